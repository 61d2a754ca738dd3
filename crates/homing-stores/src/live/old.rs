//! The form of a history from before Homing: JSON objects that hold a message and its state, whose paths are
//! configured. Changing a state changes those bytes and no others.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use homing_core::{
    clock::Millis,
    live::{MAX_ID, Stored},
    wire_live::Message,
};
use serde_json::value::RawValue;

use super::OldHistory;
use crate::times::latest;

/// See the module.
pub(crate) struct Shape(OldHistory);

/// An unread message with what orders it.
pub(crate) struct Unread {
    at: Millis,
    stored: Stored,
}

impl Shape {
    pub(crate) fn new(config: OldHistory) -> Self {
        Self(config)
    }

    pub(crate) fn key(&self, user: &str) -> String {
        self.0.key.replace("{user}", user)
    }

    pub(crate) fn most(&self) -> usize {
        self.0.most
    }

    /// The message of an entry, if it is one and is unread.
    pub(crate) fn unread(&self, id: &str, entry: &[u8]) -> Option<Unread> {
        let entry = std::str::from_utf8(entry).ok()?;
        if id.is_empty() || id.len() > MAX_ID || plain(find(entry, &self.0.state)?) != self.0.unread {
            return None;
        }
        let data: Arc<RawValue> = find(entry, &self.0.message)?.to_owned().into();
        let at = if self.0.at.is_empty() { None } else { find(entry, &self.0.at).and_then(|at| latest(&plain(at))) };
        let (at, id): (_, Arc<str>) = (at.unwrap_or(0), id.into());
        let kind = self.0.kind.as_str().into();
        let body = Message { id: Arc::clone(&id), kind, data, at, to: None, emit: None }.encode();
        Some(Unread { at, stored: Stored { offset: 0, id, body } })
    }

    /// By time, then by id: numbers by their size.
    pub(crate) fn ordered(mut found: Vec<Unread>) -> Vec<Stored> {
        found.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| by_id(&a.stored.id, &b.stored.id)));
        found.dedup_by(|a, b| a.stored.id == b.stored.id);
        found.into_iter().map(|unread| unread.stored).collect()
    }

    /// The entry as it is to be when it was read; `None` if it is no entry or is not unread.
    pub(crate) fn marked(&self, entry: &[u8]) -> Option<String> {
        let entry = std::str::from_utf8(entry).ok()?;
        let state = find(entry, &self.0.state)?;
        if plain(state) != self.0.unread {
            return None;
        }
        let is_json = !state.get().starts_with('"') && serde_json::from_str::<&RawValue>(&self.0.read).is_ok();
        let read = if is_json { self.0.read.clone() } else { serde_json::Value::from(&*self.0.read).to_string() };
        // The raw value borrows from the entry.
        let from = (state.get().as_ptr() as usize).checked_sub(entry.as_ptr() as usize)?;
        let (head, tail) = (entry.get(..from)?, entry.get(from + state.get().len()..)?);
        Some(format!("{head}{read}{tail}"))
    }
}

fn by_id(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// The value at a path of fields, `a.b`; all of it where the path is empty.
fn find<'a>(entry: &'a str, path: &str) -> Option<&'a RawValue> {
    let whole: &RawValue = serde_json::from_str(entry).ok()?;
    if path.is_empty() {
        return Some(whole);
    }
    path.split('.').try_fold(whole, |value, field| {
        serde_json::from_str::<BTreeMap<String, &'a RawValue>>(value.get()).ok()?.remove(field)
    })
}

/// A value as text: of a text what it says.
fn plain(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn shape(toml: &str) -> Shape {
        Shape::new(toml::from_str(toml).unwrap())
    }

    #[test]
    fn an_entry_is_a_message_and_keeps_its_bytes() {
        let shape = shape("state = 'meta.state'\nmessage = 'body'\nat = 't'\nread = 'read'");
        let entry =
            r#"{"body": {"n":12345678901234567890123, "s":"小"}, "meta":{ "state" : "0","x":1.10},"t":"1447212345"}"#;
        let unread = shape.unread("7", entry.as_bytes()).unwrap();
        let message = Message::decode(&unread.stored.body).unwrap();
        assert_eq!(message.data.get(), r#"{"n":12345678901234567890123, "s":"小"}"#);
        assert_eq!((&*message.id, &*message.kind, message.at), ("7", "message", 1_447_212_345_999));
        let read = shape.marked(entry.as_bytes()).unwrap();
        assert_eq!(read, entry.replace(r#""0""#, r#""read""#));
        assert!(shape.unread("7", read.as_bytes()).is_none());
        assert!(shape.marked(read.as_bytes()).is_none());
        for bad in ["", "[]", "{}", r#"{"meta":0,"body":1}"#, "a:1:{i:0;}"] {
            assert!(shape.unread("7", bad.as_bytes()).is_none() && shape.marked(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_state_keeps_its_kind_and_ids_their_order() {
        let shape = shape("");
        assert_eq!(shape.key("42"), "history:42");
        assert_eq!(shape.marked(br#"{"state":0}"#).unwrap(), r#"{"state":1}"#);
        assert_eq!(shape.marked(br#"{"state":"0"}"#).unwrap(), r#"{"state":"1"}"#);
        let found = ["10", "9", "9"].iter().filter_map(|id| shape.unread(id, br#"{"state":0}"#)).collect();
        let ids: Vec<_> = Shape::ordered(found).iter().map(|stored| stored.id.to_string()).collect();
        assert_eq!(ids, ["9", "10"]);
    }
}
