//! HIGO's own items of a delivery list: what its distributor writes for its sender. So either stage can be swapped alone.
//!
//! Known are `xinge_token`, `via` (android | iphone) and `app`; the other names were never published and are guesses:
//! `type`, `title`, `content` (or `body`, `message`, `msg`), `custom` (or `custom_content`, `data`), `user_id`, `id`.

use std::sync::Arc;

use homing_codec::{Codec, Value, decode};
use homing_core::{
    catalogue::Catalogue,
    clock::Millis,
    event::{Audience, Event, Kind},
    notification::{Environment, Notification, Platform, Target},
};
use serde_json::{Map, Value as Json};

/// Reads them.
pub struct Foreign {
    /// Texts for an item that has none of its own.
    pub catalogue: Arc<Catalogue>,
    /// The language of those texts.
    pub locale: String,
    /// Type of an item that names none.
    pub kind: i64,
    /// Time to live of an item of a type that the catalogue does not know, in milliseconds.
    pub ttl: Millis,
}

impl Foreign {
    /// Is this another's item? Homing's own are MessagePack maps, which no PHP or JSON text begins like.
    pub fn is(item: &[u8]) -> bool {
        !matches!(item.first(), None | Some(0x80..=0x8f | 0xde | 0xdf))
    }

    /// The item as a notification with one target; `identity` makes an id for one that has none.
    ///
    /// # Errors
    /// In words: where the bytes are no array, or which field is missing or wrong.
    pub fn read(&self, item: &[u8], now: Millis, identity: impl FnOnce() -> String) -> Result<Notification, String> {
        let value = decode(item, Codec::Auto).map_err(|e| e.to_string())?;
        if !matches!(value, Value::Map(_)) {
            return Err("item: expected an array with xinge_token, via and app".to_owned());
        }
        let text = |names: &[&str]| names.iter().find_map(|name| Some(value.get(name)?.text()?.into_owned()));
        let needed = |names: &[&str]| {
            text(names).filter(|t| !t.is_empty()).ok_or_else(|| format!("{}: is missing", names.first().unwrap_or(&"")))
        };
        let token = needed(&["xinge_token", "token"])?;
        let via = needed(&["via", "platform"])?;
        let platform = Platform::parse(&via).ok_or_else(|| format!("via: `{via}` is neither android nor iphone"))?;
        let kind = ["type", "push_type"].iter().find_map(|name| value.get(name)?.int()).unwrap_or(self.kind);
        let custom = ["custom", "custom_content", "data"].iter().find_map(|name| match value.get(name)?.to_json() {
            Json::Object(fields) => Some(fields),
            _ => None,
        });
        let (title, body) = (text(&["title"]), text(&["content", "body", "message", "msg"]));
        let known = self.catalogue.find(&Kind::Code(kind)).ok();
        let (title, body) = match (title, body, known) {
            (title, Some(body), _) => (title.unwrap_or_default(), body),
            (title, None, Some(known)) => {
                let blank = Event::new(Kind::Code(kind), Audience::Users(Vec::new()));
                let event = Event { title, data: fields(&value), ..blank };
                let content = self.catalogue.compose(known, &event, &self.locale).map_err(|e| e.to_string())?;
                (content.title, content.body)
            }
            (_, None, None) => return Err(format!("content: is missing, and type {kind} has no text of its own")),
        };
        let ends = value.get("expires_at").and_then(Value::int).and_then(|seconds| seconds.checked_mul(1_000));
        Ok(Notification {
            id: text(&["id", "msg_id"]).filter(|id| (1..=256).contains(&id.len())).unwrap_or_else(identity),
            kind,
            app: needed(&["app"])?,
            platform,
            environment: text(&["env"]).and_then(|env| Environment::parse(&env)).unwrap_or_default(),
            title,
            body,
            custom: custom.unwrap_or_else(|| rest(&value)),
            created_at: now,
            expires_at: ends.unwrap_or_else(|| now + known.map_or(self.ttl, |known| known.ttl)),
            targets: vec![Target::new(text(&["user_id", "account_id", "to_id"]).unwrap_or_default(), token)],
            ..Notification::default()
        })
    }
}

fn fields(value: &Value) -> Map<String, Json> {
    match value.to_json() {
        Json::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What is neither address nor text goes to the client.
fn rest(value: &Value) -> Map<String, Json> {
    const OWN: [&str; 13] = [
        "xinge_token",
        "token",
        "via",
        "platform",
        "app",
        "type",
        "push_type",
        "title",
        "content",
        "body",
        "message",
        "msg",
        "expires_at",
    ];
    let mut fields = fields(value);
    fields.retain(|name, _| !OWN.contains(&name.as_str()));
    fields
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn read(item: &[u8]) -> Result<Notification, String> {
        let catalogue =
            "[GOODS_SENT]\ncode = 7\ntitle = 'Shipped'\nbody = '{{ data.goods }} is on its way'\nttl_seconds = 60";
        let catalogue = Arc::new(Catalogue::parse("types.toml", catalogue).unwrap());
        let foreign = Foreign { catalogue, locale: "zh".into(), kind: 55, ttl: 1_000 };
        assert!(Foreign::is(item));
        foreign.read(item, 5_000, || "anonymous".into())
    }

    #[test]
    fn a_php_item_becomes_a_notification() {
        let item = br#"a:6:{s:11:"xinge_token";s:3:"abc";s:3:"via";s:6:"iphone";s:3:"app";s:6:"higirl";s:4:"type";i:7;s:7:"content";s:2:"hi";s:8:"order_id";i:9;}"#;
        let read = read(item).unwrap();
        assert_eq!((read.platform, read.app.as_str(), read.kind), (Platform::Ios, "higirl", 7));
        assert_eq!((read.id.as_str(), read.body.as_str(), read.expires_at), ("anonymous", "hi", 65_000));
        assert_eq!(Json::Object(read.custom), serde_json::json!({"order_id": 9}));
        assert_eq!(read.targets, [Target::new("", "abc")]);
    }

    #[test]
    fn an_item_without_text_takes_that_of_its_type() {
        let read = read(br#"{"xinge_token":"t","via":"android","app":"higo","type":"7","goods":"coat"}"#).unwrap();
        assert_eq!((read.title.as_str(), read.body.as_str()), ("Shipped", "coat is on its way"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read(br#"{"via":"android","app":"higo"}"#).unwrap_err(), "xinge_token: is missing");
        assert_eq!(
            read(br#"{"xinge_token":"t","via":"pager","app":"higo"}"#).unwrap_err(),
            "via: `pager` is neither android nor iphone"
        );
        assert_eq!(
            read(br#"{"xinge_token":"t","via":"android","app":"higo","type":99}"#).unwrap_err(),
            "content: is missing, and type 99 has no text of its own"
        );
        assert!(read(b"a:1:{").unwrap_err().contains("byte"));
    }
}
