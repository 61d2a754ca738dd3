//! Socket.IO's packets, protocol 4 and 5: what stands behind the `4` of an Engine.IO message.
//!
//! ```text
//! <type>[<attachments>-][<namespace>[?<query>],][<ack id>][<JSON>]
//! 0{"token":"x"}   1/chat   2/chat,7["e",1]   3/chat,7[1]   51-["e",{"_placeholder":true,"num":0}]   4/ns,{"message":".."}
//! ```
//!
//! JSON stays the text that it was, so that numbers of any length stay exact; it is checked, and its nesting is bounded.
//! The parser is as strict as the JavaScript one, and a little stricter: an acknowledgement has a number, and clients send
//! no connect error. Whoever sends something else is cut off, since nothing behind it can be trusted.

use bytes::Bytes;
use homing_core::live::MAX_NAME;

use super::json;
use crate::{
    engine::packet::{Version, binary},
    parcel::Payload,
};

/// Attachments of one packet of a client.
pub const MAX_ATTACHMENTS: usize = 64;
/// Names that clients and servers use between themselves; a JavaScript client that gets such an event closes its connection.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To a namespace.
    Connect,
    /// From a namespace.
    Disconnect,
    /// An event.
    Event,
    /// The answer to an event.
    Ack,
}

/// A packet of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is.
    pub kind: Kind,
    /// How many attachments follow.
    pub attachments: usize,
    /// The namespace.
    pub namespace: &'a str,
    /// The query behind the namespace (protocol 4).
    pub query: &'a str,
    /// The number of the acknowledgement.
    pub id: Option<u64>,
    /// The JSON text: an array of events and acknowledgements, an object or nothing of the others.
    pub json: &'a str,
}

/// Text that is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed Socket.IO packet: {0}")]
pub struct Malformed(pub &'static str);

impl<'a> Packet<'a> {
    /// Reads the text of an Engine.IO message.
    ///
    /// # Errors
    /// It is no packet, or not one that clients send.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (digit, rest) = text.split_at_checked(1).ok_or(Malformed("it is empty"))?;
        let (kind, binary) = match digit {
            "0" => (Kind::Connect, false),
            "1" => (Kind::Disconnect, false),
            "2" => (Kind::Event, false),
            "3" => (Kind::Ack, false),
            "5" => (Kind::Event, true),
            "6" => (Kind::Ack, true),
            _ => return Err(Malformed("its type")),
        };
        let (attachments, rest) = if binary { count(rest)? } else { (0, rest) };
        let (path, rest) = match rest.strip_prefix('/') {
            Some(_) => rest.split_once(',').unwrap_or((rest, "")),
            None => ("/", rest),
        };
        let (namespace, query) = path.split_once('?').unwrap_or((path, ""));
        if namespace.len() > MAX_NAME {
            return Err(Malformed("its namespace is too long"));
        }
        let json = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.strip_suffix(json).unwrap_or_default();
        let id = match digits {
            "" => None,
            digits => Some(digits.parse().map_err(|_| Malformed("its acknowledgement's number"))?),
        };
        let packet = Self { kind, attachments, namespace, query, id, json };
        packet.check()?;
        Ok(packet)
    }

    fn check(&self) -> Result<(), Malformed> {
        match self.kind {
            Kind::Connect if self.id.is_some() => Err(Malformed("a connect with a number")),
            Kind::Connect if self.json.is_empty() || json::is_object(self.json) => Ok(()),
            Kind::Connect => Err(Malformed("a connect with something that is no JSON object")),
            Kind::Disconnect if self.json.is_empty() && self.id.is_none() => Ok(()),
            Kind::Disconnect => Err(Malformed("a disconnect with something behind it")),
            Kind::Event => match json::array(self.json) {
                Some(array)
                    if array.first.starts_with(['"', '-']) || array.first.starts_with(|c: char| c.is_ascii_digit()) =>
                {
                    let name = array.name();
                    if name.is_some_and(|name| RESERVED.contains(&name.as_str())) {
                        return Err(Malformed("a reserved name of an event"));
                    }
                    Ok(())
                }
                _ => Err(Malformed("an event that is no JSON array with a name in front")),
            },
            Kind::Ack if self.id.is_none() => Err(Malformed("an acknowledgement without a number")),
            Kind::Ack if json::array(self.json).is_some() => Ok(()),
            Kind::Ack => Err(Malformed("an acknowledgement that is no JSON array")),
        }
    }
}

fn count(text: &str) -> Result<(usize, &str), Malformed> {
    let (digits, rest) = text.split_once('-').ok_or(Malformed("its attachments"))?;
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Malformed("its attachments"));
    }
    match digits.parse() {
        Ok(count) if count <= MAX_ATTACHMENTS => Ok((count, rest)),
        _ => Err(Malformed("too many attachments")),
    }
}

/// A packet with attachments, of which some are still to come.
#[derive(Debug)]
pub struct Assembly {
    /// The packet's text.
    pub text: Bytes,
    /// The attachments that came.
    pub binary: Vec<Bytes>,
    wanted: usize,
    room: usize,
}

impl Assembly {
    /// Waits for so many attachments, of at most `room` bytes together.
    pub fn new(text: Bytes, wanted: usize, room: usize) -> Self {
        Self { text, binary: Vec::new(), wanted, room }
    }

    /// Takes the next one; true = that was the last.
    ///
    /// # Errors
    /// They are too large.
    pub fn add(&mut self, bytes: Bytes) -> Result<bool, Malformed> {
        self.room = self.room.checked_sub(bytes.len()).ok_or(Malformed("its attachments are too large"))?;
        self.binary.push(bytes);
        Ok(self.binary.len() >= self.wanted)
    }
}

// === What the server says ===

fn head(kind: char, attachments: usize, namespace: &str, id: Option<u64>) -> String {
    let mut head = String::with_capacity(24 + namespace.len());
    head.push('4');
    head.push(kind);
    if attachments > 0 {
        head.push_str(&format!("{attachments}-"));
    }
    if namespace != "/" {
        head.push_str(namespace);
        head.push(',');
    }
    if let Some(id) = id {
        head.push_str(&id.to_string());
    }
    head
}

fn with_binary(version: Version, head: &str, json: &[u8], attachments: &[Bytes]) -> Vec<Payload> {
    let mut packets = Vec::with_capacity(1 + attachments.len());
    packets.push(Payload::Text([head.as_bytes(), json].concat().into()));
    packets.extend(attachments.iter().map(|bytes| binary(version, bytes)));
    packets
}

/// An event: `array` is the whole JSON array, name first.
pub fn event(version: Version, namespace: &str, id: Option<u64>, array: &[u8], binary: &[Bytes]) -> Vec<Payload> {
    let kind = if binary.is_empty() { '2' } else { '5' };
    with_binary(version, &head(kind, binary.len(), namespace, id), array, binary)
}

/// The answer to an event: `array` is the JSON array of its arguments.
pub fn ack(version: Version, namespace: &str, id: u64, array: &[u8], binary: &[Bytes]) -> Vec<Payload> {
    let kind = if binary.is_empty() { '3' } else { '6' };
    with_binary(version, &head(kind, binary.len(), namespace, Some(id)), array, binary)
}

/// The answer to a connect. Protocol 4 has no id in it.
pub fn connected(version: Version, namespace: &str, sid: &str) -> Payload {
    let mut text = head('0', 0, namespace, None);
    match version {
        // The id is base64url: there is nothing to escape.
        Version::V4 => text.push_str(&format!(r#"{{"sid":"{sid}"}}"#)),
        Version::V3 => text.truncate(text.trim_end_matches(',').len()),
    }
    Payload::Text(text.into())
}

/// The end of a namespace.
pub fn disconnected(namespace: &str) -> Payload {
    Payload::Text(head('1', 0, namespace, None).into())
}

/// A connect is refused. Protocol 4 says it in a text alone.
pub fn refused(version: Version, namespace: &str, why: &str, data: Option<&str>) -> Payload {
    let mut text = head('4', 0, namespace, None);
    let why = json::text(why);
    text.push_str(&match (version, data) {
        (Version::V4, Some(data)) => format!(r#"{{"message":{why},"data":{data}}}"#),
        (Version::V4, None) => format!(r#"{{"message":{why}}}"#),
        (Version::V3, _) => why,
    });
    Payload::Text(text.into())
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
