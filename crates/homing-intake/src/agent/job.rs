//! A frame into events.
//!
//! What is a job `[type, id, data]` always ends in the queue: as the event that it means, or, where Homing cannot use it,
//! as an item that the distributor buries with the reason, for the client would send it again for ever. What is no job at
//! all is garbage, and the connection ends.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use homing_codec::{Codec, Key, Value, decode, to_msgpack};
use homing_core::{
    event::{ACCEPTED_AT, MAX_USERS},
    queue::{MAX_ITEM, NewItem},
};
use tracing::info;

use super::{
    Options,
    frame::{Frame, Garbage, Measure},
    options::fits,
};
use crate::{
    check::{Checked, Wrong},
    ids,
    intake::Intake,
};

/// A list of users that would become more bytes than this, its data in each event, is not split.
const SPLIT: usize = 8 << 20;

/// What a frame became.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// What to append, in this order.
    pub(super) events: Vec<Checked>,
    /// Why the distributor will bury it.
    pub(super) refused: Option<String>,
}

/// Which readings of types 2 and 3 were met: each is told once.
#[derive(Default)]
pub(super) struct Conventions(AtomicU8);

impl Conventions {
    fn met(&self, kind: i64, list: bool) {
        let bit = 1_u8 << ((kind - 2) * 2 + i64::from(list)).clamp(0, 3);
        if self.0.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let id = if list { "a list of users" } else { "one user" };
            info!("Frames of type {kind} with {id} come in.");
        }
    }
}

/// What the frames of an agent are read with.
pub(super) struct Reader<'a> {
    pub(super) intake: &'a Intake,
    pub(super) options: &'a Options,
    pub(super) conventions: &'a Conventions,
}

// === impl Reader ===

impl Reader<'_> {
    /// Reads one frame.
    ///
    /// # Errors
    /// It is no job.
    pub(super) fn read(&self, frame: &Frame) -> Result<Job, Garbage> {
        let garbage = |at: usize, what: String| Garbage { at: frame.at + at as u64, what };
        let parts = match decode(&frame.bytes, Codec::Msgpack) {
            Ok(Value::List(parts)) => parts,
            Ok(_) => return Err(garbage(0, "expected an array of 3 (type, id, data)".to_owned())),
            // A value that only we cannot hold, deep or of an extension type, is still a job.
            Err(error) if looks_like_a_job(&frame.bytes) => {
                return Ok(self.bury(frame, &format!("{} at byte {}", error.what, error.position)));
            }
            Err(error) => return Err(garbage(error.position, format!("msgpack: {}", error.what))),
        };
        let Ok([kind, id, data]) = <[Value; 3]>::try_from(parts) else {
            return Err(garbage(0, "expected an array of 3 (type, id, data)".to_owned()));
        };
        let data = if data == Value::Null { Value::Map(Vec::new()) } else { data };
        match kind {
            Value::Int(1) => Ok(match id {
                Value::List(_) | Value::Map(_) => self.bury(frame, "type 1 names one group, found a list"),
                group => self.group(frame, group, &data),
            }),
            Value::Int(kind @ 2..=3) => {
                self.conventions.met(kind, matches!(id, Value::List(_) | Value::Map(_)));
                Ok(self.users(frame, id, &data))
            }
            Value::Int(other) => Ok(self.bury(frame, &format!("expected type 1, 2 or 3, found {other}"))),
            _ => Err(garbage(0, "expected a number as the type".to_owned())),
        }
    }

    fn group(&self, frame: &Frame, group: Value, data: &Value) -> Job {
        let key = key_of(&group);
        let to = map([("group", group), ("members", Value::Bool(true))]);
        self.event(frame, to, &key, data, self.author(data))
    }

    fn users(&self, frame: &Frame, id: Value, data: &Value) -> Job {
        let users = match id {
            Value::List(users) => users,
            // A PHP array that lost an element arrives as a map.
            Value::Map(entries) => entries.into_iter().map(|(_, user)| user).collect(),
            user => {
                let key = key_of(&user);
                return self.event(frame, map([("user", user)]), &key, data, None);
            }
        };
        let pages = users.len().div_ceil(MAX_USERS);
        if pages > 1 && pages.saturating_mul(frame.bytes.len()) > SPLIT {
            let why = format!("{} users and {} bytes are too much for one frame", users.len(), frame.bytes.len());
            return self.bury(frame, &why);
        }
        // Without a user there is nothing to do and nothing to refuse.
        let mut job = Job::default();
        for page in users.chunks(MAX_USERS) {
            let key = page.first().map(key_of).unwrap_or_default();
            let one = self.event(frame, map([("users", Value::List(page.to_vec()))]), &key, data, None);
            job.events.extend(one.events);
            job.refused = job.refused.or(one.refused);
        }
        job
    }

    /// The event of a job; `key` decides its list where the event itself cannot be read.
    fn event(&self, frame: &Frame, to: Value, key: &str, data: &Value, author: Option<Value>) -> Job {
        let mut event = vec![
            (Key::from("type"), Value::from(self.kind(data))),
            (Key::from("to"), to),
            (Key::from("data"), data.clone()),
        ];
        event.extend(author.map(|author| (Key::from("author"), author)));
        match self.intake.look(&self.options.lane, Value::Map(event.clone())) {
            Ok(checked) => Job { events: vec![checked], refused: None },
            // The distributor refuses it for the same reason; from the dead list it may come back once that is mended.
            Err(Wrong::Invalid(invalid)) => self.raw(event, key, invalid.to_string()),
            Err(Wrong::TooLarge(invalid)) => self.bury(frame, &invalid.to_string()),
        }
    }

    /// An item that no distributor can use, and so buries with the reason: the frame as it came.
    fn bury(&self, frame: &Frame, why: &str) -> Job {
        let item = |frame: Value| {
            let kind = format!("of a frame that the agent could not use ({why})");
            vec![
                (Key::from("type"), Value::from(kind.as_str())),
                (Key::from("to"), map([("users", Value::List(Vec::new()))])),
                (Key::from("frame"), frame),
            ]
        };
        // Room for the reason and the rest of the item.
        let kept = if frame.bytes.len() + why.len() + 1_024 <= MAX_ITEM {
            Value::Str(frame.bytes.to_vec())
        } else {
            Value::from(format!("{} bytes, too many to keep", frame.bytes.len()).as_str())
        };
        self.raw(item(kept), "", why.to_owned())
    }

    /// An item that goes to the queue unchecked.
    fn raw(&self, mut event: Vec<(Key, Value)>, key: &str, why: String) -> Job {
        let (id, now) = (ids::mint(self.intake.now()), self.intake.now());
        event.push((Key::from("id"), Value::from(id.as_str())));
        event.push((Key::from(ACCEPTED_AT), Value::Int(now)));
        let item = NewItem { id: Some(id.clone()), body: Bytes::from(to_msgpack(&Value::Map(event))) };
        let place = self.intake.lane(&self.options.lane).and_then(|lane| Some((lane, lane.of(key)?.clone())));
        // The lane and its lists were looked at when the agent was made.
        let events = place.map(|(lane, queue)| Checked { id, lane: lane.clone(), queue, item });
        Job { events: events.into_iter().collect(), refused: Some(why) }
    }

    /// The type of the event, by the table.
    fn kind(&self, data: &Value) -> &str {
        let rule = self.options.types.iter().find(|rule| rule.is_for(data));
        rule.map_or(&self.options.default_type, |rule| &rule.event)
    }

    /// Who wrote what a group is told, if that counts.
    fn author(&self, data: &Value) -> Option<Value> {
        let author = &self.options.author;
        let counts = !author.field.is_empty() && fits(&author.when, data);
        let found = data.get(&author.field).filter(|_| counts)?;
        found.text().filter(|text| !text.is_empty()).map(|text| Value::from(text.as_ref()))
    }
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.map(|(key, value)| (Key::from(key), value)).into())
}

fn key_of(id: &Value) -> String {
    id.text().map(Cow::into_owned).unwrap_or_default()
}

/// Does it begin as `[number, ...]` of three, and is it one value?
fn looks_like_a_job(bytes: &[u8]) -> bool {
    matches!(bytes, [0x93, 0x00..=0x7f, ..]) && Measure::is_one(bytes)
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
