//! Frames of clients.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use homing_core::live::{MAX_ID, Position, Stream};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::rpc::json::{MAX_DEPTH, is_flat, is_null, name, text};

/// Most ids in a frame.
pub(super) const MAX_IDS: usize = 1_000;
/// Most streams in a `resume`.
const MAX_STREAMS: usize = 512;

/// Where a client says it is.
pub(super) type Resume = Vec<(Stream, Position)>;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A heartbeat, and its answer.
    Ping(String),
    /// The answer to one of ours.
    Pong,
    /// Who it is.
    Login { token: Option<String>, resume: Resume },
    /// These were read.
    Ack(Vec<Arc<str>>),
    /// Everything was read: in these streams up to there, or, if there are none, in all.
    ReadAll(Resume),
    /// Follow a group.
    Subscribe { group: Arc<str>, at: Option<Position> },
    /// Follow it no more.
    Unsubscribe(Arc<str>),
    /// JSON-RPC, to be handed on as it came.
    Rpc,
}

/// A frame that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) field: &'static str,
    pub(super) message: Cow<'static, str>,
}

#[derive(Deserialize, Default)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    msg_type: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type", deserialize_with = "given")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    ids: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    resume: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    group: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    up_to: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    jsonrpc: Option<&'a RawValue>,
}

/// `null` is nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(|raw| Some(raw).filter(|raw| !is_null(raw)))
}

impl Frame {
    /// For the metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Ping(_) | Self::Pong => "heartbeat",
            Self::Login { .. } => "login",
            Self::Ack(_) | Self::ReadAll(_) => "read",
            Self::Subscribe { .. } | Self::Unsubscribe(_) => "subscribe",
            Self::Rpc => "rpc",
        }
    }

    /// Reads one. Every text of a client ends in a frame or in words that name what is wrong.
    pub(super) fn read(frame: &str) -> Result<Self, Unknown> {
        let wrong = |field, message: &'static str| Unknown { field, message: Cow::Borrowed(message) };
        match frame.trim() {
            "ping" => return Ok(Self::Ping("pong".to_owned())),
            "pong" => return Ok(Self::Pong),
            frame if !is_flat(frame.as_bytes()) => {
                return Err(Unknown { field: "frame", message: format!("nests deeper than {MAX_DEPTH}").into() });
            }
            frame if frame.starts_with('[') => return Ok(Self::Rpc),
            _ => {}
        }
        let members: Members<'_> = serde_json::from_str(frame)
            .map_err(|error| Unknown { field: "frame", message: format!("no JSON object: {error}").into() })?;
        if members.jsonrpc.is_some() {
            return Ok(Self::Rpc);
        }
        let (field, kind) = match (members.msg_type, members.kind) {
            (Some(kind), _) => ("msg_type", kind),
            (None, Some(kind)) => ("type", kind),
            (None, None) => return Err(wrong("msg_type", "is missing")),
        };
        let kind = text(kind).ok_or(wrong(field, "expected text"))?;
        let inner = members.inner();
        match &*kind {
            "ping" => {
                let id = members.id.map(|id| format!(",\"id\":{}", id.get())).unwrap_or_default();
                Ok(Self::Ping(format!("{{\"{field}\":\"pong\"{id}}}")))
            }
            "pong" => Ok(Self::Pong),
            "login" | "auth" => {
                let token = members.token.or(inner.token).map(|raw| text(raw).ok_or(wrong("token", "expected text")));
                let resume = members.resume.or(inner.resume).map(resume).transpose();
                let resume = resume.map_err(|message| wrong("resume", message))?.unwrap_or_default();
                Ok(Self::Login { token: token.transpose()?.map(Cow::into_owned), resume })
            }
            "ack" | "read" | "confirm" | "open" => members.read_ids(&inner).map(Self::Ack),
            "read_all" => {
                let up_to = members.up_to.or(inner.up_to).map(resume).transpose();
                Ok(Self::ReadAll(up_to.map_err(|message| wrong("up_to", message))?.unwrap_or_default()))
            }
            "subscribe" | "unsubscribe" => {
                let group = members.group.or(inner.group).ok_or(wrong("group", "is missing"))?;
                let group = name(group).map_err(|what| wrong("group", what))?;
                if kind == "unsubscribe" {
                    return Ok(Self::Unsubscribe(group));
                }
                let resume = members.resume.or(inner.resume).map(resume).transpose();
                let resume = resume.map_err(|message| wrong("resume", message))?.unwrap_or_default();
                let own = Stream::Group(Arc::clone(&group));
                let at = resume.into_iter().find(|(stream, _)| *stream == own).map(|(_, at)| at);
                Ok(Self::Subscribe { group, at })
            }
            _ => Err(wrong(field, "is not known")),
        }
    }
}

impl<'a> Members<'a> {
    /// What stands under `data`: there some clients put everything.
    fn inner(&self) -> Members<'a> {
        let object = self.data.filter(|data| data.get().starts_with('{'));
        object.and_then(|data| serde_json::from_str(data.get()).ok()).unwrap_or_default()
    }

    fn read_ids(&self, inner: &Members<'a>) -> Result<Vec<Arc<str>>, Unknown> {
        let wrong = |message: &'static str| Unknown { field: "ids", message: Cow::Borrowed(message) };
        let bare = self.data.filter(|data| !data.get().starts_with('{'));
        let one = |raw: &RawValue| match name(raw) {
            Ok(id) if id.len() > MAX_ID => Err(wrong("an id has at most 128 bytes")),
            Ok(id) => Ok(id),
            Err(what) => Err(wrong(what)),
        };
        let mut ids = Vec::new();
        for given in [self.id, self.ids, inner.id, inner.ids, bare].into_iter().flatten() {
            if given.get().starts_with('[') {
                let list: Vec<&RawValue> = serde_json::from_str(given.get()).map_err(|_| wrong("expected a list"))?;
                if list.len() > MAX_IDS {
                    return Err(wrong("at most 1000 at once"));
                }
                for raw in list {
                    ids.push(one(raw)?);
                }
            } else {
                ids.push(one(given)?);
            }
        }
        match ids.len() {
            0 => Err(wrong("is missing")),
            1..=MAX_IDS => Ok(ids),
            _ => Err(wrong("at most 1000 at once")),
        }
    }
}

/// `{"u:42": [epoch, offset], "all": {"epoch": e, "offset": o}}`. Streams of unknown kinds are left out.
pub(super) fn resume(raw: &RawValue) -> Result<Resume, &'static str> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum At {
        Pair(u32, u64),
        Named { epoch: u32, offset: u64 },
    }
    let expected = "expected {\"u:42\": [epoch, offset]}";
    let places: BTreeMap<String, At> = serde_json::from_str(raw.get()).map_err(|_| expected)?;
    if places.len() > MAX_STREAMS {
        return Err("names too many streams");
    }
    let place = |(stream, at): (String, At)| {
        let (epoch, offset) = match at {
            At::Pair(epoch, offset) | At::Named { epoch, offset } => (epoch, offset),
        };
        Stream::parse(&stream).map(|stream| (stream, Position { epoch, offset }))
    };
    Ok(places.into_iter().filter_map(place).collect())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
