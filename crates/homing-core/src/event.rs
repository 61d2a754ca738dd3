//! An event: something happened that may deserve a push.

use homing_codec::Value;

use crate::clock::Millis;

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
}

/// Most users that one event may name.
pub const MAX_USERS: usize = 5_000;

impl Audience {
    /// How many recipients it has at most.
    pub fn recipients(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::GroupOwner(_) => 1,
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
    /// Reads a decoded item by the lane's map.
    ///
    /// # Errors
    /// Names the first field that is missing or wrong.
    pub fn read(item: &Value, map: &Map) -> Result<Self, Invalid> {
        if !matches!(item, Value::Map(_)) {
            return Err(Invalid::new("item", format!("expected an object with fields, found {}", kind_of(item))));
        }
        let data = match item.path(&map.data) {
            None | Some(Value::Null) => serde_json::Map::new(),
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
        })
    }
}

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
        if to.get("members").is_some_and(Value::truthy) {
            return Err(Invalid::new("to.members", "telling all members of a group is not supported by this version"));
        }
        return one("to.group", group).map(Audience::GroupOwner);
    }
    Err(Invalid::new("to", "expected one of user, users, group"))
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
        return seconds.checked_mul(1_000).filter(|ms| *ms >= 0).ok_or_else(wrong);
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
        let error = read(r#"{"push_type":5,"msg":{}}"#, &map).unwrap_err();
        assert_eq!(error.to_string(), "msg.to_id: is missing: nobody is named");
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("[1]", "item: expected an object with fields, found a list");
        refused(r#"{"to":{"user":"1"}}"#, "type: is missing");
        refused(r#"{"type":[],"to":{"user":"1"}}"#, "type: expected a number or a name, found a list");
        refused(r#"{"type":7}"#, "to: is missing: nobody is named");
        refused(r#"{"type":7,"to":{"nobody":1}}"#, "to: expected one of user, users, group");
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
