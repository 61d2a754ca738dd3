//! Serialized shapes of live delivery: the body of a message as streams hold it, and what nodes say on the bus.
//!
//! Both are text, so that `redis-cli` shows them. A body is a JSON object ([`Message`]). An announcement is a head, a
//! JSON object on one line, then a line feed and, for a message, its body:
//!
//! ```text
//! {"k":"m","s":"u:42","e":2779096485,"o":7}\n{"id":"a1","type":"notify","data":{...},"at":1795190400000}
//! {"k":"r","s":"u:42","ids":["a1","a2"]}\n
//! {"k":"l","s":"u:42","why":"logged out"}\n
//! ```
//!
//! `e` and `o` are missing for what was not stored.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    clock::Millis,
    live::{Announcement, Position, Stream},
};

/// A message to users' sockets. JSON values are kept as they were written: numbers of any length stay exact.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Its id, that an acknowledgement names.
    pub id: Arc<str>,
    /// What it is: `msg_type` of plain frames, the event's name in Socket.IO.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Its content, any JSON; `null` where there is none. Of a Socket.IO emit: the first argument.
    #[serde(default = "null")]
    pub data: Arc<RawValue>,
    /// When it was taken in, in milliseconds since 1970.
    #[serde(default)]
    pub at: Millis,
    /// Whom its producer named, where it did; for routing, and not shown to clients unless they are told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Arc<str>>,
    /// It was a Socket.IO emit: how it is repeated to Socket.IO clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emit: Option<Emitted>,
}

/// See [`Message::emit`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Emitted {
    /// The namespace.
    #[serde(rename = "ns")]
    pub namespace: Arc<str>,
    /// The array of arguments behind the event's name, with placeholders where there is binary.
    pub args: Arc<RawValue>,
    /// The binary attachments in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binary: Vec<String>,
}

fn null() -> Arc<RawValue> {
    RawValue::NULL.to_owned().into()
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        let emit = |m: &Self| m.emit.as_ref().map(|e| (e.namespace.clone(), e.args.get().to_owned(), e.binary.clone()));
        (&self.id, &self.kind, self.data.get(), self.at, &self.to, emit(self))
            == (&other.id, &other.kind, other.data.get(), other.at, &other.to, emit(other))
    }
}

impl Message {
    /// The body of a post.
    pub fn encode(&self) -> Bytes {
        // A struct of strings, numbers and raw JSON has no way to fail.
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// It is not one; the words say where.
    pub fn decode(body: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(body).map_err(|source| Unreadable(format!("not a live message: {source}")))
    }
}

/// Bytes that are none of these shapes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    k: &'a str,
    #[serde(borrow)]
    s: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Announcement {
    /// As it goes over the bus.
    pub fn encode(&self) -> Bytes {
        let user = |user: &Arc<str>| Stream::User(Arc::clone(user)).to_string().into();
        let bare = |k, s| Head { k, s, e: None, o: None, ids: Vec::new(), why: None };
        let (head, body) = match self {
            Self::Message { stream, at, body } => {
                let (e, o) = at.map(|at| (at.epoch, at.offset)).unzip();
                (Head { e, o, ..bare("m", stream.to_string().into()) }, Some(body))
            }
            Self::Read { user: who, ids } => (Head { ids: ids.clone(), ..bare("r", user(who)) }, None),
            Self::Leave { user: who, why } => (Head { why: Some(why.clone()), ..bare("l", user(who)) }, None),
        };
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(body.map(Bytes::as_ref).unwrap_or_default());
        bytes.into()
    }

    /// Reads what came over the bus.
    ///
    /// # Errors
    /// It is no announcement.
    pub fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        let wrong = |why: &str| Unreadable(format!("not an announcement: {why}"));
        let end = memchr::memchr(b'\n', bytes).ok_or_else(|| wrong("it has no head"))?;
        let head: Head<'_> =
            serde_json::from_slice(bytes.get(..end).unwrap_or_default()).map_err(|e| wrong(&e.to_string()))?;
        let stream = Stream::parse(&head.s).ok_or_else(|| wrong("its stream"))?;
        match (head.k, stream) {
            ("m", stream) => {
                let at = head.e.zip(head.o).map(|(epoch, offset)| Position { epoch, offset });
                Ok(Self::Message { stream, at, body: bytes.slice(end + 1..) })
            }
            ("r", Stream::User(user)) => Ok(Self::Read { user, ids: head.ids }),
            ("l", Stream::User(user)) => Ok(Self::Leave { user, why: head.why.unwrap_or_default() }),
            (kind, _) => Err(wrong(&format!("kind {kind}"))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn announcements_survive_the_bus() {
        let at = Some(Position { epoch: 7, offset: u64::MAX });
        let body = Bytes::from_static(b"{\"id\":\"1\"}\n\xff");
        for said in [
            Announcement::Message { stream: Stream::User("小\"明".into()), at, body },
            Announcement::Message { stream: Stream::Everyone, at: None, body: Bytes::new() },
            Announcement::Read { user: "42".into(), ids: vec!["a".into(), "b\n".into()] },
            Announcement::Leave { user: "42".into(), why: "out".into() },
        ] {
            assert_eq!(Announcement::decode(&said.encode()).unwrap(), said);
        }
        for (bytes, why) in [
            (&b""[..], "no head"),
            (b"{}\n", "missing field"),
            (b"{\"k\":\"m\",\"s\":\"x\"}\n", "its stream"),
            (b"{\"k\":\"z\",\"s\":\"all\"}\n", "kind z"),
        ] {
            let error = Announcement::decode(&Bytes::from_static(bytes)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_message_keeps_its_numbers() {
        let text = r#"{"id":"1","type":"notify","data":{"n":123456789012345678901234567890,"s":"小"},"at":5,"emit":{"ns":"/","args":[1.10,{"_placeholder":true,"num":0}],"binary":["AAE="]}}"#;
        let message = Message::decode(text.as_bytes()).unwrap();
        assert_eq!(message.data.get(), r#"{"n":123456789012345678901234567890,"s":"小"}"#);
        assert_eq!(std::str::from_utf8(&message.encode()).unwrap(), text);
        assert_eq!(Message::decode(b"{\"id\":\"1\",\"type\":\"x\"}").unwrap().data.get(), "null");
        assert!(Message::decode(b"{}").unwrap_err().to_string().contains("missing field `id`"));
    }
}
