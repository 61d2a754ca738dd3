//! Frames to clients.

use std::sync::Arc;

use bytes::Bytes;
use homing_core::live::{Position, Stream};
use serde::{Serialize, ser::SerializeMap as _};
use serde_json::value::RawValue;

use crate::{
    desk::Missed,
    parcel::{Dialect, Payload, Source},
};

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// `msg_type`, `to_user_id` and `data` alone.
    pub bare: bool,
    /// With `to_user_id`.
    pub to_user_id: bool,
    /// Emits of Socket.IO, too.
    pub emits: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    msg_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_user_id: Option<&'a str>,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
}

impl Frames {
    /// A parcel's source as frames; `None` = plain sessions do not hear it.
    pub fn encode(self, source: &Source) -> Option<Vec<Payload>> {
        match source {
            Source::Message { message, .. } if message.emit.is_some() && !self.emits => None,
            Source::Message { stream, at, message } => {
                let user = if let Stream::User(user) = stream { Some(user) } else { None };
                let to = message.to.as_ref().or(user).map(|to| &**to);
                let at = at.filter(|_| !self.bare);
                Some(vec![frame(&Shown {
                    msg_type: &message.kind,
                    to_user_id: to.filter(|_| self.to_user_id),
                    data: &message.data,
                    id: (!self.bare).then_some(&*message.id),
                    offset: at.map(|at| at.offset),
                    epoch: at.map(|at| at.epoch),
                    stream: (!self.bare).then(|| stream.to_string()),
                })])
            }
            Source::Ready(Dialect::Plain, payloads) => Some(payloads.clone()),
            Source::Ready(..) | Source::Emit(_) => None,
        }
    }
}

/// What a user's tabs hear when messages were read: `{"msg_type":"read","ids":[..]}`.
pub fn read_notice(ids: &[Arc<str>]) -> Source {
    Source::Ready(Dialect::Plain, vec![frame(&Ids { msg_type: "read", ids, stream: None })])
}

fn frame(value: &impl Serialize) -> Payload {
    // Texts, numbers and raw JSON have no way to fail.
    Payload::Text(serde_json::to_vec(value).map(Bytes::from).unwrap_or_default())
}

/// A frame as it stands.
pub(super) fn text(text: impl Into<String>) -> Payload {
    Payload::Text(Bytes::from(text.into()))
}

#[derive(Serialize)]
struct Ids<'a> {
    msg_type: &'static str,
    ids: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
}

/// These were read; `stream` if all of one was asked for.
pub(super) fn acked(ids: &[Arc<str>], stream: Option<&Stream>) -> Payload {
    frame(&Ids { msg_type: "acked", ids, stream: stream.map(Stream::to_string) })
}

#[derive(Serialize)]
struct Answer<T> {
    msg_type: &'static str,
    data: T,
}

#[derive(Serialize)]
struct Wrong<'a> {
    field: &'a str,
    message: &'a str,
}

/// Something of the client's was not understood, or not done.
pub(super) fn error(field: &str, message: &str) -> Payload {
    frame(&Answer { msg_type: "error", data: Wrong { field, message } })
}

#[derive(Serialize)]
struct Who<'a> {
    user: Option<&'a str>,
}

/// The client is known.
pub(super) fn login(user: Option<&str>) -> Payload {
    frame(&Answer { msg_type: "login", data: Who { user } })
}

#[derive(Serialize)]
struct Group<'a> {
    group: &'a str,
}

/// A group is not followed any more.
pub(super) fn unsubscribed(group: &str) -> Payload {
    frame(&Answer { msg_type: "unsubscribed", data: Group { group } })
}

#[derive(Serialize)]
struct Hello<'a> {
    user: Option<&'a str>,
    session: &'a str,
    streams: Places<'a>,
    heartbeat_ms: u64,
}

struct Places<'a>(&'a [Missed]);

#[derive(Serialize)]
struct Place {
    epoch: u32,
    offset: u64,
    recovered: bool,
    truncated: bool,
}

impl Serialize for Places<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Missed { stream, recovered, truncated, top: Position { epoch, offset }, .. } in self.0 {
            let place = Place { epoch: *epoch, offset: *offset, recovered: *recovered, truncated: *truncated };
            map.serialize_entry(&stream.to_string(), &place)?;
        }
        map.end()
    }
}

/// The session has begun.
pub(super) fn connected(user: Option<&str>, session: &str, missed: &[Missed], heartbeat_ms: u64) -> Payload {
    frame(&Answer { msg_type: "connected", data: Hello { user, session, streams: Places(missed), heartbeat_ms } })
}

#[derive(Serialize)]
struct Joined<'a> {
    streams: Places<'a>,
}

/// More streams are followed.
pub(super) fn subscribed(missed: &[Missed]) -> Payload {
    frame(&Answer { msg_type: "subscribed", data: Joined { streams: Places(missed) } })
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
