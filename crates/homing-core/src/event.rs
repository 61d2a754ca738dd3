//! An event: something happened that may deserve a push.

use homing_codec::Value;

use crate::{
    clock::Millis,
    notification::{Environment, Platform, Priority},
};

/// A field of a producer's item that is missing or is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct Invalid {
    /// Path of the field in the producer's own item.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

impl Invalid {
    /// `field` is wrong in the way `what` says.
    pub fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into() }
    }
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One user or several, by their ids.
    Users(Vec<String>),
    /// The owner of a group.
    GroupOwner(String),
    /// All members of a group.
    GroupMembers(String),
    /// All who follow a topic (or carry a tag).
    Topic(String),
    /// Every user.
    Everyone,
    /// Devices by their tokens, of no user: no rule is asked.
    Tokens(Vec<Device>),
}

/// A device that an event names itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// The provider's token.
    pub token: String,
    /// Its platform.
    pub platform: Platform,
    /// Its app.
    pub app: String,
    /// Its network.
    pub environment: Environment,
    /// The channel that the token is for; without it the lane's routes say.
    pub channel: Option<String>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a {} device of {}", self.platform.name(), self.app)
    }
}

/// Most users or tokens that one event may name.
pub const MAX_USERS: usize = 5_000;

impl Audience {
    /// How many recipients it has at most.
    pub fn recipients(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::Tokens(devices) => devices.len(),
            Self::GroupOwner(_) => 1,
            Self::GroupMembers(_) | Self::Topic(_) | Self::Everyone => MAX_USERS,
        }
    }

    /// Which enumerator lists it, and of what: `("members", "9")`, `("topic", "sale")`, `("everyone", "")`.
    pub fn enumerated(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::GroupMembers(group) => Some(("members", group)),
            Self::Topic(topic) => Some(("topic", topic)),
            Self::Everyone => Some(("everyone", "")),
            Self::Users(_) | Self::GroupOwner(_) | Self::Tokens(_) => None,
        }
    }

    /// In words, for records: `user 42`, `all members of group 9`.
    pub fn describe(&self) -> String {
        match self {
            Self::Users(users) => match users.as_slice() {
                [user] => format!("user {user}"),
                users => format!("{} users", users.len()),
            },
            Self::GroupOwner(group) => format!("the owner of group {group}"),
            Self::GroupMembers(group) => format!("all members of group {group}"),
            Self::Topic(topic) => format!("topic {topic}"),
            Self::Everyone => "everyone".to_owned(),
            Self::Tokens(devices) => format!("{} tokens", devices.len()),
        }
    }

    /// What decides the shard: one user's events, and one group's, keep their order.
    pub fn shard_key(&self) -> &str {
        match self {
            Self::Users(users) => users.first().map_or("", String::as_str),
            Self::GroupOwner(of) | Self::GroupMembers(of) | Self::Topic(of) => of,
            Self::Everyone => "",
            Self::Tokens(devices) => devices.first().map_or("", |d| &d.token),
        }
    }
}

/// A type as the producer wrote it; the [catalogue](crate::catalogue) knows what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `7`, also as text.
    Code(i64),
    /// `GOODS_SENT`.
    Name(String),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The producer's own id, if it gave one.
    pub id: Option<String>,
    /// Type.
    pub kind: Kind,
    /// Who is meant.
    pub to: Audience,
    /// Only devices of this app.
    pub app: Option<String>,
    /// Who caused it (a chat's author): is never told of it.
    pub author: Option<String>,
    /// Fields for the templates and the client.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Instead of the type's headline.
    pub title: Option<String>,
    /// Instead of the type's text.
    pub body: Option<String>,
    /// Not before this time.
    pub send_at: Option<Millis>,
    /// Time to live in milliseconds from when it was taken in.
    pub expires_in: Option<Millis>,
    /// The language of its texts, instead of each recipient's own.
    pub locale: Option<String>,
    /// How urgent, instead of the type's own.
    pub priority: Option<Priority>,
    /// When the intake accepted it; a plain RPUSH carries no time.
    pub accepted_at: Option<Millis>,
}

/// Where a lane's producers keep the fields of an event: paths (`a.b`) into their own items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Type, as a number or a name.
    pub kind: String,
    /// One user's id. Where it is set and present, `to` is not read.
    pub user: Option<String>,
    /// A group's id, likewise.
    pub group: Option<String>,
    /// App.
    pub app: String,
    /// The producer's own id.
    pub id: String,
    /// An object with the rest.
    pub data: String,
}

impl Default for Map {
    fn default() -> Self {
        let own = |s: &str| s.to_owned();
        Self { kind: own("type"), user: None, group: None, app: own("app"), id: own("id"), data: own("data") }
    }
}

impl Event {
    /// An event that says nothing more than what it is and whom it means.
    pub fn new(kind: Kind, to: Audience) -> Self {
        Self {
            id: None,
            kind,
            to,
            app: None,
            author: None,
            data: serde_json::Map::new(),
            title: None,
            body: None,
            send_at: None,
            expires_in: None,
            locale: None,
            priority: None,
            accepted_at: None,
        }
    }

    /// Reads a decoded item by the lane's map.
    ///
    /// # Errors
    /// Names the first field that is missing or wrong.
    pub fn read(item: &Value, map: &Map) -> Result<Self, Invalid> {
        if !matches!(item, Value::Map(_)) {
            return Err(Invalid::new("item", format!("expected an object with fields, found {}", kind_of(item))));
        }
        // What Homing itself took in has Homing's own fields, whatever the lane's producers write.
        let own = Map::default();
        let map = if item.get(ACCEPTED_AT).is_some() { &own } else { map };
        let data = match item.path(&map.data) {
            None | Some(Value::Null) => unmapped(item, map),
            // PHP writes an empty array for an empty object.
            Some(Value::List(list)) if list.is_empty() => serde_json::Map::new(),
            Some(value) => match value.to_json() {
                serde_json::Value::Object(fields) => fields,
                _ => return Err(Invalid::new(&map.data, format!("expected an object, found {}", kind_of(value)))),
            },
        };
        Ok(Self {
            id: match text(item, &map.id)?.filter(|id| !id.is_empty()) {
                Some(id) => Some(one(&map.id, id)?),
                None => None,
            },
            kind: kind(item, &map.kind)?,
            to: audience(item, map)?,
            app: text(item, &map.app)?.filter(|app| !app.is_empty()),
            author: text(item, "author")?,
            data,
            title: text(item, "title")?,
            body: text(item, "body")?,
            send_at: match item.get("send_at") {
                None | Some(Value::Null) => None,
                Some(value) => Some(time("send_at", value)?),
            },
            expires_in: match item.get("expires_in") {
                None | Some(Value::Null) => None,
                Some(value) => {
                    let seconds = value.int().filter(|s| (1..=31_536_000).contains(s));
                    let seconds =
                        seconds.ok_or_else(|| Invalid::new("expires_in", "expected seconds, 1 to 31536000"))?;
                    Some(seconds * 1_000)
                }
            },
            locale: text(item, "locale")?.filter(|locale| !locale.is_empty()),
            priority: match text(item, "priority")?.as_deref() {
                None | Some("") => None,
                Some("high") => Some(Priority::High),
                Some("normal") => Some(Priority::Normal),
                Some("low") => Some(Priority::Low),
                Some(_) => return Err(Invalid::new("priority", "expected high, normal or low")),
            },
            accepted_at: item.get(ACCEPTED_AT).and_then(Value::int),
        })
    }
}

/// The fields of an item without a `data` of its own: what no other field of the event is read from.
fn unmapped(item: &Value, map: &Map) -> serde_json::Map<String, serde_json::Value> {
    const OWN: [&str; 11] =
        ["type", "to", "id", "app", "author", "title", "body", "send_at", "expires_in", "locale", "priority"];
    let serde_json::Value::Object(mut fields) = item.to_json() else { return serde_json::Map::new() };
    let mapped = [Some(&map.kind), map.user.as_ref(), map.group.as_ref(), Some(&map.app), Some(&map.id)];
    let used = |name: &str| {
        OWN.contains(&name) || name == ACCEPTED_AT || mapped.iter().flatten().any(|path| path.as_str() == name)
    };
    fields.retain(|name, _| !used(name));
    fields
}

/// The field in which the intake notes when it accepted an event, in milliseconds since 1970.
pub const ACCEPTED_AT: &str = "accepted_at";

fn kind(item: &Value, path: &str) -> Result<Kind, Invalid> {
    let value = item.path(path).ok_or_else(|| Invalid::new(path, "is missing"))?;
    if let Some(code) = value.int() {
        return Ok(Kind::Code(code));
    }
    match value {
        Value::Str(_) => Ok(Kind::Name(value.text().unwrap_or_default().into_owned())),
        other => Err(Invalid::new(path, format!("expected a number or a name, found {}", kind_of(other)))),
    }
}

fn audience(item: &Value, map: &Map) -> Result<Audience, Invalid> {
    for (path, owner) in [(&map.user, false), (&map.group, true)] {
        let Some(path) = path else { continue };
        if let Some(id) = text(item, path)?.filter(|id| !id.is_empty()) {
            let id = one(path, id)?;
            return Ok(if owner { Audience::GroupOwner(id) } else { Audience::Users(vec![id]) });
        }
    }
    let Some(to) = item.get("to") else {
        let wanted = [map.user.as_deref(), map.group.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" or ");
        let field = if wanted.is_empty() { "to" } else { &wanted };
        return Err(Invalid::new(field, "is missing: nobody is named"));
    };
    if let Some(user) = text(to, "user")? {
        return one("to.user", user).map(|user| Audience::Users(vec![user]));
    }
    if let Some(users) = to.get("users") {
        // A PHP array that lost an element arrives as a map.
        if !matches!(users, Value::List(_) | Value::Map(_)) {
            return Err(Invalid::new("to.users", format!("expected a list, found {}", kind_of(users))));
        }
        if users.values().count() > MAX_USERS {
            return Err(Invalid::new(
                "to.users",
                format!("expected at most {MAX_USERS} users, found {}", users.values().count()),
            ));
        }
        let id = |(i, user): (usize, &Value)| {
            let field = format!("to.users.{i}");
            let user = user.text().ok_or_else(|| Invalid::new(&field, "expected text or a number"))?;
            one(&field, user.into_owned())
        };
        return users.values().enumerate().map(id).collect::<Result<_, _>>().map(Audience::Users);
    }
    if let Some(group) = text(to, "group")? {
        let group = one("to.group", group)?;
        let all = to.get("members").is_some_and(Value::truthy);
        return Ok(if all { Audience::GroupMembers(group) } else { Audience::GroupOwner(group) });
    }
    if let Some(topic) = text(to, "topic")? {
        return one("to.topic", topic).map(Audience::Topic);
    }
    if let Some(tokens) = to.get("tokens") {
        return devices(tokens);
    }
    if to.get("all").is_some_and(Value::truthy) {
        return Ok(Audience::Everyone);
    }
    Err(Invalid::new("to", "expected one of user, users, group, topic, tokens, all"))
}

fn devices(tokens: &Value) -> Result<Audience, Invalid> {
    if !matches!(tokens, Value::List(_) | Value::Map(_)) {
        return Err(Invalid::new("to.tokens", format!("expected a list, found {}", kind_of(tokens))));
    }
    let count = tokens.values().count();
    if !(1..=MAX_USERS).contains(&count) {
        return Err(Invalid::new("to.tokens", format!("expected 1 to {MAX_USERS} tokens, found {count}")));
    }
    let device = |(i, device): (usize, &Value)| {
        let field = |name: &str| format!("to.tokens.{i}.{name}");
        let needed = |name: &str| match device.get(name).and_then(Value::text) {
            Some(text) => one(&field(name), text.into_owned()),
            None => Err(Invalid::new(field(name), "is missing or not text")),
        };
        let platform = needed("platform")?;
        let platform = Platform::parse(&platform)
            .ok_or_else(|| Invalid::new(field("platform"), format!("`{platform}` is none of {}", Platform::NAMES)))?;
        let environment = match device.get("env").and_then(Value::text) {
            None => Environment::default(),
            Some(text) => Environment::parse(&text)
                .ok_or_else(|| Invalid::new(field("env"), format!("`{text}` is neither prod nor dev")))?,
        };
        let channel = match device.get("channel") {
            None | Some(Value::Null) => None,
            Some(_) => Some(needed("channel")?),
        };
        Ok(Device { token: needed("token")?, platform, app: needed("app")?, environment, channel })
    };
    tokens.values().enumerate().map(device).collect::<Result<_, _>>().map(Audience::Tokens)
}

fn one(field: &str, id: String) -> Result<String, Invalid> {
    if id.is_empty() || id.len() > 256 {
        return Err(Invalid::new(field, "expected an id of 1 to 256 bytes"));
    }
    Ok(id)
}

fn text(item: &Value, path: &str) -> Result<Option<String>, Invalid> {
    match item.path(path) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.text() {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(Invalid::new(path, format!("expected text, found {}", kind_of(value)))),
        },
    }
}

/// RFC 3339 text, or seconds since 1970.
fn time(field: &str, value: &Value) -> Result<Millis, Invalid> {
    let wrong = || Invalid::new(field, "expected RFC 3339 (2026-11-21T09:00:00+08:00) or seconds since 1970");
    if let Some(seconds) = value.int() {
        // Up to the year 9999, as RFC 3339.
        return seconds.checked_mul(1_000).filter(|ms| (0..253_402_300_800_000).contains(ms)).ok_or_else(wrong);
    }
    let text = value.text().ok_or_else(wrong)?;
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|_| wrong())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing (null)",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Str(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use homing_codec::{Codec, decode};

    fn read(json: &str, map: &Map) -> Result<Event, Invalid> {
        Event::read(&decode(json.as_bytes(), Codec::Auto).unwrap(), map)
    }

    #[track_caller]
    fn refused(json: &str, expected: &str) {
        assert_eq!(read(json, &Map::default()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn reads_the_documented_event() {
        let event = read(
            r#"{"id":"o-1","type":"7","to":{"user":42},"app":"higo","data":{"order_id":"A1"},"expires_in":60,
                "send_at":"2026-11-21T09:00:00+08:00"}"#,
            &Map::default(),
        )
        .unwrap();
        assert_eq!(event.id.as_deref(), Some("o-1"));
        assert_eq!(event.kind, Kind::Code(7));
        assert_eq!(event.to, Audience::Users(vec!["42".into()]));
        assert_eq!(event.data["order_id"], "A1");
        assert_eq!((event.expires_in, event.send_at), (Some(60_000), Some(1_795_222_800_000)));
    }

    #[test]
    fn a_map_reads_a_producers_own_item() {
        let map =
            Map { kind: "push_type".into(), user: Some("msg.to_id".into()), data: "msg".into(), ..Map::default() };
        let event = read(r#"{"push_type":5,"msg":{"to_id":42,"order":"A1"}}"#, &map).unwrap();
        assert_eq!(event.to, Audience::Users(vec!["42".into()]));
        assert_eq!(event.data["order"], "A1");
        let map = Map { kind: "push_type".into(), user: Some("to_id".into()), ..Map::default() };
        let event = read(r#"{"push_type":5,"to_id":42,"order":"A1"}"#, &map).unwrap();
        assert_eq!(serde_json::Value::Object(event.data), serde_json::json!({"order": "A1"}), "what is not mapped");
        let map =
            Map { kind: "push_type".into(), user: Some("msg.to_id".into()), data: "msg".into(), ..Map::default() };
        let error = read(r#"{"push_type":5,"msg":{}}"#, &map).unwrap_err();
        assert_eq!(error.to_string(), "msg.to_id: is missing: nobody is named");
    }

    #[test]
    fn every_audience_is_read() {
        let audience = |to: &str| read(&format!(r#"{{"type":7,"to":{to}}}"#), &Map::default()).unwrap().to;
        assert_eq!(audience(r#"{"group":"9"}"#), Audience::GroupOwner("9".into()));
        assert_eq!(audience(r#"{"group":"9","members":true}"#), Audience::GroupMembers("9".into()));
        assert_eq!(audience(r#"{"topic":"sale"}"#), Audience::Topic("sale".into()));
        assert_eq!(audience(r#"{"all":true}"#), Audience::Everyone);
        let Audience::Tokens(devices) = audience(r#"{"tokens":[{"token":"t","platform":"iphone","app":"higo"}]}"#)
        else {
            panic!("no tokens");
        };
        assert_eq!((devices[0].platform, devices[0].environment), (Platform::Ios, Environment::Production));
        assert_eq!(devices[0].channel, None);
        let Audience::Tokens(devices) =
            audience(r#"{"tokens":[{"token":"t","platform":"web","app":"higo","channel":"webpush"}]}"#)
        else {
            panic!("no tokens");
        };
        assert_eq!(devices[0].channel.as_deref(), Some("webpush"));
        let packed = decode(b"\x82\xa4type\x07\xa2to\x81\xa6tokens\x91\x84\xa5token\xa1t\xa8platform\xa3ios\xa3app\xa1a\xa7channel\xa4apns", Codec::Auto);
        let Audience::Tokens(devices) = Event::read(&packed.unwrap(), &Map::default()).unwrap().to else {
            panic!("no tokens");
        };
        assert_eq!(devices[0].channel.as_deref(), Some("apns"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("[1]", "item: expected an object with fields, found a list");
        refused(r#"{"to":{"user":"1"}}"#, "type: is missing");
        refused(r#"{"type":[],"to":{"user":"1"}}"#, "type: expected a number or a name, found a list");
        refused(r#"{"type":7}"#, "to: is missing: nobody is named");
        refused(r#"{"type":7,"to":{"nobody":1}}"#, "to: expected one of user, users, group, topic, tokens, all");
        refused(r#"{"type":7,"to":{"tokens":[{"token":"t"}]}}"#, "to.tokens.0.platform: is missing or not text");
        refused(
            r#"{"type":7,"to":{"tokens":[{"token":"t","platform":"tv","app":"a"}]}}"#,
            "to.tokens.0.platform: `tv` is none of android, ios, harmony, web, mqtt, webhook, socket",
        );
        refused(
            r#"{"type":7,"to":{"tokens":[{"token":"t","platform":"ios","app":"a","channel":[]}]}}"#,
            "to.tokens.0.channel: is missing or not text",
        );
        refused(r#"{"type":7,"to":{"user":"1"},"priority":"soon"}"#, "priority: expected high, normal or low");
        refused(r#"{"type":7,"to":{"users":["1",[]]}}"#, "to.users.1: expected text or a number");
        refused(r#"{"type":7,"to":{"user":""}}"#, "to.user: expected an id of 1 to 256 bytes");
        refused(r#"{"type":7,"to":{"user":"1"},"data":3}"#, "data: expected an object, found a number");
        refused(r#"{"type":7,"to":{"user":"1"},"expires_in":0}"#, "expires_in: expected seconds, 1 to 31536000");
        refused(
            r#"{"type":7,"to":{"user":"1"},"send_at":"soon"}"#,
            "send_at: expected RFC 3339 (2026-11-21T09:00:00+08:00) or seconds since 1970",
        );
    }
}
