//! Serialized shapes: everything that Homing itself writes into a list or a trace. Each is MessagePack with its fields
//! named, and tagged with its kind and version (`{"n1": {...}}`), so that a later version still reads what stands in
//! the queues.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    clock::Millis,
    notification::Notification,
    record::{Fate, Record, Stage},
};

/// An item that is not what the queue holds.
#[derive(Debug, thiserror::Error)]
#[error("not a {expected}: {source}")]
pub struct Unreadable {
    expected: &'static str,
    #[source]
    source: rmp_serde::decode::Error,
}

#[derive(Serialize, Deserialize)]
enum NotificationItem<T> {
    #[serde(rename = "n1")]
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum EnvelopeItem<T> {
    #[serde(rename = "r1")]
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum DeadItem<T> {
    #[serde(rename = "d1")]
    V1(T),
}

/// Work that comes back: the item as it first stood in its list, and what has happened to it since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The message's id.
    pub id: String,
    /// Tries that count against a bound (ambiguous and unknown answers).
    pub attempts: u32,
    /// Tries of any kind so far: the backoff grows with it.
    pub tries: u32,
    /// Was the one free retry after a corrected clock or token used?
    pub corrected: bool,
    /// When it was first tried.
    pub first_at: Millis,
    /// The last answer, in words.
    pub why: String,
    /// Of an event: only these recipients are still to be judged (they were deferred).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Of such recipients: when they were judged for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_at: Option<Millis>,
    /// Of an event with a large audience: the recipients up to this one have been worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Of an event with a large audience: how many recipients have been worked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worked: u64,
    /// The item: only its unfinished targets.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// A message that was given up, with everything that a redrive needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The message's id.
    pub id: String,
    /// A short reason, the same as in its record: `invalid`, `payload`, `ambiguous`, ...
    pub reason: String,
    /// In words, with field and position.
    pub error: String,
    /// When it was given up.
    pub at: Millis,
    /// Tries before that.
    pub tries: u32,
    /// The queue that it stood in.
    pub queue: String,
    /// Its position there.
    pub seq: u64,
    /// Its bytes: only the unfinished targets of a notification, untouched where it could not be read.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Notification {
    /// The item of a delivery queue.
    pub fn encode(&self) -> Bytes {
        encode(&NotificationItem::V1(self))
    }

    /// Reads what [`Notification::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are something else, or of a version that is not known yet.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let NotificationItem::V1(notification) = decode("notification", bytes)?;
        Ok(notification)
    }
}

impl Envelope {
    /// The item of an own list or of the delayed set.
    pub fn encode(&self) -> Bytes {
        encode(&EnvelopeItem::V1(self))
    }

    /// Reads what [`Envelope::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are something else, or of a version that is not known yet.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let EnvelopeItem::V1(envelope) = decode("retry envelope", bytes)?;
        Ok(envelope)
    }
}

impl DeadLetter {
    /// The item of a dead list.
    pub fn encode(&self) -> Bytes {
        encode(&DeadItem::V1(self))
    }

    /// Reads what [`DeadLetter::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are something else, or of a version that is not known yet.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let DeadItem::V1(letter) = decode("dead letter", bytes)?;
        Ok(letter)
    }
}

/// One record in a trace: when, id, stage, fate (name, text, number), target, reason. An array, because a trace holds
/// millions of them.
#[derive(Serialize, Deserialize)]
struct TraceRecord<S>(Millis, S, Stage, S, Option<S>, Option<i64>, Option<S>, Option<S>);

/// One trace blob: the records of a commit, one after another.
pub fn encode_records(records: &[Record]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(records.len() * 64);
    for r in records {
        let (name, text, number) = r.fate.parts();
        let shape = TraceRecord(r.at, &*r.id, r.stage, name, text, number, r.target.as_deref(), r.reason.as_deref());
        // Strings, numbers and options cannot fail to encode into memory.
        if rmp_serde::encode::write(&mut blob, &shape).is_err() {
            break;
        }
    }
    blob
}

/// The records of message `id` in a trace blob, in their order. What cannot be read is left out.
pub fn records_of(blob: &[u8], id: &str) -> Vec<Record> {
    if memchr::memmem::find(blob, id.as_bytes()).is_none() {
        return Vec::new();
    }
    let mut rest = blob;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Ok(record) = rmp_serde::from_read::<_, TraceRecord<String>>(&mut rest) else { break };
        let TraceRecord(at, of, stage, name, text, number, target, reason) = record;
        if of == id
            && let Some(fate) = Fate::from_parts(&name, text, number)
        {
            found.push(Record { at, id: of, stage, fate, target, reason });
        }
    }
    found
}

fn encode<T: Serialize>(item: &T) -> Bytes {
    // Encoding into memory fails only for maps of unknown length, and these types have none.
    rmp_serde::to_vec_named(item).map(Bytes::from).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(expected: &'static str, bytes: &[u8]) -> Result<T, Unreadable> {
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    // What the entry decoders accept, and our own shapes around it: deeper items could overflow a stack.
    reader.set_max_depth(homing_codec::MAX_DEPTH + 16);
    let item = T::deserialize(&mut reader).map_err(|source| Unreadable { expected, source })?;
    if !rest.is_empty() {
        let what = format!("{} bytes behind its end", rest.len());
        return Err(Unreadable { expected, source: rmp_serde::decode::Error::Uncategorized(what) });
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::notification::{Platform, Target};

    #[test]
    fn what_is_written_is_read_back() {
        let notification = Notification {
            id: "m-1".into(),
            kind: 7,
            app: "higo".into(),
            platform: Platform::Ios,
            title: "发货".into(),
            body: "已发货".into(),
            custom: [("order_id".to_owned(), "A1".into())].into_iter().collect(),
            created_at: 1,
            expires_at: 2,
            at_most_once: false,
            targets: vec![Target::new("42", "t".repeat(64))],
            ..Notification::default()
        };
        assert_eq!(Notification::decode(&notification.encode()).unwrap(), notification);
        let envelope = Envelope {
            id: "m-1".into(),
            attempts: 1,
            tries: 2,
            corrected: false,
            first_at: 5,
            why: "busy".into(),
            body: notification.encode().to_vec(),
            ..Envelope::default()
        };
        assert_eq!(Envelope::decode(&envelope.encode()).unwrap(), envelope);
        let error = Notification::decode(&envelope.encode()).unwrap_err().to_string();
        assert!(error.starts_with("not a notification: "), "{error}");
    }

    #[test]
    fn a_trace_blob_answers_by_id() {
        let record =
            |id: &str, fate| Record { at: 7, id: id.into(), stage: Stage::Send, fate, target: None, reason: None };
        let records = [
            record("a", Fate::Delivered { provider_id: None }),
            record("b", Fate::Retried { at: 9, why: "busy".into() }),
            record("a", Fate::BadToken { removed: true }),
        ];
        let blob = encode_records(&records);
        assert_eq!(records_of(&blob, "a"), [records[0].clone(), records[2].clone()]);
        assert_eq!(records_of(&blob, "c"), []);
        assert_eq!(records_of(&blob[..blob.len() - 1], "a"), [records[0].clone()]);
    }
}
