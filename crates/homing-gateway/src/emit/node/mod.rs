//! What the Redis emitters and adapters of Node publish.
//!
//! | where | what |
//! |---|---|
//! | `PUBLISH socket.io#<nsp>#`, `socket.io#<nsp>#<room>#` | msgpack `[uid, {type, data: [event, ...], nsp}, {rooms, flags, except}]`; maps are from the streams adapter's servers to each other |
//! | `PUBLISH socket.io-request#<nsp>#` | JSON or a msgpack map `{type, opts: {rooms, except}, rooms, close, packet}` |
//! | `XADD socket.io` | fields `uid`, `nsp`, `type`, `data`: JSON, or msgpack in base64 where there is binary |
//!
//! An emit that wants acknowledgements (request 7) is delivered without them: its server counts the servers that answer by
//! their subscriptions, and who is counted must answer every other question, too.

mod moment;
mod msgpack;
mod request;
mod stream;

use std::sync::Arc;

use super::{
    bad::Bad,
    command::{Command, Ignored},
    json_text::{self, Rules},
    rooms,
    value::Value,
};
use crate::parcel::{Emit, Rooms};

pub use request::request;
pub use stream::{Entry, entry};

/// How messages of one source are read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces that it is for; empty = all.
    pub namespaces: Vec<Arc<str>>,
    /// A room that is a number is the room of that text.
    pub text_rooms: bool,
    /// Bytes of a message.
    pub bytes: usize,
}

impl Options {
    fn fits(&self, bytes: usize) -> Result<(), Bad> {
        if bytes > self.bytes { Err(Bad(format!("{bytes} bytes are more than {}", self.bytes))) } else { Ok(()) }
    }

    fn wants(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|name| &**name == namespace)
    }
}

/// Reads a message of the channels `socket.io#...`.
///
/// # Errors
/// It is no msgpack, or no emit.
pub fn broadcast(bytes: &[u8], options: &Options) -> Result<Command, Bad> {
    options.fits(bytes.len())?;
    let value = msgpack::read(bytes)?;
    let items = match &value {
        Value::Dict(_) => {
            let namespace = text(value.get("nsp"), "nsp")?.unwrap_or_else(|| "/".into());
            return Ok(Command::Ignored { namespace, why: Ignored::Cluster });
        }
        other => other.items().ok_or_else(|| Bad(format!("the message is {}, not an array", other.kind())))?,
    };
    let [_, packet, rest @ ..] = items else { return Err(Bad::new("the message has no packet")) };
    let namespace = text(packet.get("nsp"), "nsp")?.unwrap_or_else(|| "/".into());
    packed(packet, rest.first(), namespace, options)
}

/// An emit of msgpack: its packet and its options.
fn packed(packet: &Value, opts: Option<&Value>, namespace: Arc<str>, options: &Options) -> Result<Command, Bad> {
    if !options.wants(&namespace) {
        return Ok(Command::Ignored { namespace, why: Ignored::Namespace });
    }
    // 5 is an event with binary, which the emitters write as 2.
    let Some(Value::Int(2 | 5)) = packet.get("type") else {
        return Ok(Command::Ignored { namespace, why: Ignored::Unknown });
    };
    let data = packet.get("data").and_then(Value::items).ok_or_else(|| Bad::new("packet.data is no array"))?;
    if data.first().and_then(Value::text).is_none() {
        return Err(Bad::new("packet.data[0] is no event's name"));
    }
    let (mut array, mut binary) = (String::from("["), Vec::new());
    for (i, item) in data.iter().enumerate() {
        if i > 0 {
            array.push(',');
        }
        json_text::write(item, Rules::Node, &mut array, &mut binary)
            .map_err(|Bad(why)| Bad(format!("packet.data[{i}]: {why}")))?;
    }
    array.push(']');
    let Some(rooms) = whom(opts, options) else { return Ok(Command::Ignored { namespace, why: Ignored::Nobody }) };
    let volatile = opts.and_then(|opts| opts.get("flags")?.get("volatile")) == Some(&Value::Bool(true));
    let emit = Emit { namespace, array: array.into(), binary };
    Ok(Command::Emit { emit, rooms, callback: None, host: None, volatile })
}

/// `{rooms, except}`; `None` = rooms were named, but nobody can be in one of them.
fn whom(opts: Option<&Value>, options: &Options) -> Option<Rooms> {
    let named = opts.and_then(|opts| opts.get("rooms"));
    let to = rooms::list(named, options.text_rooms);
    if to.is_empty() && named.and_then(Value::items).is_some_and(|rooms| !rooms.is_empty()) {
        return None;
    }
    Some(Rooms { to, except: rooms::list(opts.and_then(|opts| opts.get("except")), options.text_rooms) })
}

/// A text that may be missing.
fn text(value: Option<&Value>, name: &str) -> Result<Option<Arc<str>>, Bad> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(Arc::clone(text))),
        Some(other) => Err(Bad(format!("{name} is {}, not text", other.kind()))),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
