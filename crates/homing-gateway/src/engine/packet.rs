//! Engine.IO's packets and the payloads in which polling carries several of them, in protocol 3 and 4.
//!
//! ```text
//! packet   4: text "4hello"; binary as it is (always a message)
//!          3: text "4hello"; binary 04 01 02 (the type is the first byte)
//! payload  4: 4hello<1e>bAQIDBA==             packets joined by 1e, binary = b + base64
//!          3: 6:4hello10:b4AQIDBA==           length in UTF-16 units, binary = b + type + base64
//!          3: 00 06 ff "4hello" 01 05 ff 04.. 0 = text, 1 = binary; decimal digits of the length in bytes; ff
//! ```
//!
//! Outgoing packets are [`Payload`]s that are whole already: what a WebSocket message holds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::parcel::{Dialect, Payload};

/// Packets that one payload of a client may hold.
pub const MAX_PACKETS: usize = 10_000;
const SEPARATOR: u8 = 0x1e;

/// A version of Engine.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// With Socket.IO 4: JavaScript clients 2.x, python-socketio 4.x.
    V3,
    /// With Socket.IO 5: JavaScript clients 3 and 4, python-socketio 5.x.
    V4,
}

impl Version {
    /// What sessions of this version speak.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::V3 => Dialect::Engine3,
            Self::V4 => Dialect::Engine4,
        }
    }
}

/// A packet's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The handshake; only a server sends it.
    Open,
    /// The connection is to end.
    Close,
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// What the connection is for.
    Message,
    /// The WebSocket carries the session from now on.
    Upgrade,
    /// Nothing.
    Noop,
}

impl Kind {
    fn of(digit: u8) -> Option<Self> {
        Some(match digit {
            0 => Self::Open,
            1 => Self::Close,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Message,
            5 => Self::Upgrade,
            6 => Self::Noop,
            _ => return None,
        })
    }
}

/// A packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its type.
    pub kind: Kind,
    /// What follows the type.
    pub content: Payload,
}

/// Bytes that are no packet or payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed Engine.IO {what} at byte {at}")]
pub struct Malformed {
    /// Packet or payload, and what of it.
    pub what: &'static str,
    /// Where.
    pub at: usize,
}

fn malformed(what: &'static str, at: usize) -> Malformed {
    Malformed { what, at }
}

/// A packet that consists of a type and text, whole.
pub fn text(kind: char, content: &str) -> Payload {
    let mut packet = String::with_capacity(content.len() + 1);
    packet.push(kind);
    packet.push_str(content);
    Payload::Text(packet.into())
}

/// Binary content as a message of this version.
pub fn binary(version: Version, content: &Bytes) -> Payload {
    Payload::Binary(match version {
        Version::V4 => content.clone(),
        Version::V3 => [&[4u8][..], content].concat().into(),
    })
}

/// Reads one WebSocket message, or one packet of a payload.
///
/// # Errors
/// It is empty, or has no known type, or is base64 that is none.
pub fn decode(version: Version, payload: Payload) -> Result<Packet, Malformed> {
    match payload {
        Payload::Binary(bytes) if version == Version::V4 => {
            Ok(Packet { kind: Kind::Message, content: Payload::Binary(bytes) })
        }
        Payload::Binary(bytes) => {
            let kind = bytes.first().and_then(|first| Kind::of(*first));
            let kind = kind.ok_or_else(|| malformed("packet: its type", 0))?;
            Ok(Packet { kind, content: Payload::Binary(bytes.slice(1..)) })
        }
        Payload::Text(bytes) => match bytes.first() {
            Some(b'b') => from_base64(version, &bytes),
            Some(digit) => {
                let kind = Kind::of(digit.wrapping_sub(b'0')).ok_or_else(|| malformed("packet: its type", 0))?;
                Ok(Packet { kind, content: Payload::Text(bytes.slice(1..)) })
            }
            None => Err(malformed("packet: it is empty", 0)),
        },
    }
}

fn from_base64(version: Version, text: &[u8]) -> Result<Packet, Malformed> {
    let (kind, start) = match version {
        Version::V4 => (Kind::Message, 1),
        Version::V3 => {
            let digit = text.get(1).ok_or_else(|| malformed("packet: its type", 1))?;
            (Kind::of(digit.wrapping_sub(b'0')).ok_or_else(|| malformed("packet: its type", 1))?, 2)
        }
    };
    let decoded = STANDARD.decode(text.get(start..).unwrap_or_default());
    let decoded = decoded.map_err(|_| malformed("packet: its base64", start))?;
    Ok(Packet { kind, content: Payload::Binary(decoded.into()) })
}

/// Reads the body of a POST. `binary`: its content type says so (version 3 only).
///
/// # Errors
/// It is malformed, or holds more than [`MAX_PACKETS`].
pub fn decode_payload(version: Version, body: &Bytes, binary: bool) -> Result<Vec<Packet>, Malformed> {
    match version {
        Version::V4 => decode_joined(body),
        Version::V3 if binary => decode_framed(body),
        Version::V3 => {
            let text = std::str::from_utf8(body).map_err(|e| malformed("payload: its text", e.valid_up_to()))?;
            // The protocol counts UTF-16 units; Python's clients count characters.
            decode_counted(body, text, char::len_utf16)
                .or_else(|error| decode_counted(body, text, |_| 1).or(Err(error)))
        }
    }
}

fn decode_joined(body: &Bytes) -> Result<Vec<Packet>, Malformed> {
    std::str::from_utf8(body).map_err(|e| malformed("payload: its text", e.valid_up_to()))?;
    let mut packets = Vec::new();
    let mut at = 0;
    for part in body.split(|byte| *byte == SEPARATOR) {
        push(&mut packets, at, decode(Version::V4, Payload::Text(body.slice(at..at + part.len()))))?;
        at += part.len() + 1;
    }
    Ok(packets)
}

fn decode_counted(body: &Bytes, text: &str, units: impl Fn(char) -> usize) -> Result<Vec<Packet>, Malformed> {
    let mut packets = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let (digits, behind) = rest.split_once(':').ok_or_else(|| malformed("payload: no length", at))?;
        let mut count = length(digits.as_bytes()).ok_or_else(|| malformed("payload: its length", at))?;
        let mut end = 0;
        for c in behind.chars() {
            if count == 0 {
                break;
            }
            count = count.checked_sub(units(c)).ok_or_else(|| malformed("payload: a length within a character", at))?;
            end += c.len_utf8();
        }
        if count > 0 {
            return Err(malformed("payload: it is cut off", text.len()));
        }
        let start = text.len() - behind.len();
        push(&mut packets, start, decode(Version::V3, Payload::Text(body.slice(start..start + end))))?;
        rest = behind.get(end..).unwrap_or_default();
    }
    if packets.is_empty() {
        return Err(malformed("payload: it is empty", 0));
    }
    Ok(packets)
}

fn decode_framed(body: &Bytes) -> Result<Vec<Packet>, Malformed> {
    let mut packets = Vec::new();
    let mut at = 0;
    while let Some(kind) = body.get(at) {
        let head = body.get(at + 1..).unwrap_or_default();
        let end = head.iter().take(11).position(|byte| *byte == 0xff);
        let end = end.ok_or_else(|| malformed("payload: its length", at))?;
        let digits: Vec<u8> = head.iter().take(end).map(|digit| digit.wrapping_add(b'0')).collect();
        let count = length(&digits).ok_or_else(|| malformed("payload: its length", at))?;
        let start = at + end + 2;
        if count > body.len() - start {
            return Err(malformed("payload: it is cut off", body.len()));
        }
        let content = body.slice(start..start + count);
        let content = match kind {
            0 => {
                std::str::from_utf8(&content).map_err(|e| malformed("payload: its text", start + e.valid_up_to()))?;
                Payload::Text(content)
            }
            1 => Payload::Binary(content),
            _ => return Err(malformed("payload: neither text nor binary", at)),
        };
        push(&mut packets, start, decode(Version::V3, content))?;
        at = start + count;
    }
    if packets.is_empty() {
        return Err(malformed("payload: it is empty", 0));
    }
    Ok(packets)
}

fn push(packets: &mut Vec<Packet>, at: usize, packet: Result<Packet, Malformed>) -> Result<(), Malformed> {
    if packets.len() == MAX_PACKETS {
        return Err(malformed("payload: too many packets", at));
    }
    packets.push(packet.map_err(|error| malformed(error.what, at + error.at))?);
    Ok(())
}

/// A length of at most ten digits; a packet has at least its type.
fn length(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|length| *length > 0)
}

/// The body of a GET. `base64`: the client cannot take binary (version 3 only; in version 4 it is always text).
pub fn encode_payload<'a>(
    version: Version,
    packets: impl Iterator<Item = &'a Payload> + Clone,
    base64: bool,
) -> Payload {
    let framed = version == Version::V3 && !base64 && packets.clone().any(wants_frames);
    let mut body = Vec::new();
    for (number, packet) in packets.enumerate() {
        match (version, packet) {
            (Version::V4, Payload::Text(text)) => {
                separate(&mut body, number);
                body.extend_from_slice(text);
            }
            (Version::V4, Payload::Binary(bytes)) => {
                separate(&mut body, number);
                body.push(b'b');
                body.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            }
            (Version::V3, Payload::Text(bytes)) if framed => frame(&mut body, 0, bytes),
            (Version::V3, Payload::Binary(bytes)) if framed => frame(&mut body, 1, bytes),
            (Version::V3, Payload::Text(text)) => {
                let units: usize = String::from_utf8_lossy(text).chars().map(char::len_utf16).sum();
                body.extend_from_slice(format!("{units}:").as_bytes());
                body.extend_from_slice(text);
            }
            (Version::V3, Payload::Binary(bytes)) => {
                let (kind, content) = bytes.split_first().unwrap_or((&4, &[]));
                let text = format!("b{kind}{}", STANDARD.encode(content));
                body.extend_from_slice(format!("{}:{text}", text.len()).as_bytes());
            }
        }
    }
    if framed { Payload::Binary(body.into()) } else { Payload::Text(body.into()) }
}

/// In version 3 the length of a text counts UTF-16 units in the JavaScript library and code points in the Python one. They
/// differ for what UTF-8 writes in four bytes; frames count bytes, in both.
fn wants_frames(packet: &Payload) -> bool {
    match packet {
        Payload::Binary(_) => true,
        Payload::Text(text) => text.iter().any(|byte| *byte >= 0xf0),
    }
}

fn separate(body: &mut Vec<u8>, number: usize) {
    if number > 0 {
        body.push(SEPARATOR);
    }
}

fn frame(body: &mut Vec<u8>, kind: u8, content: &[u8]) {
    body.push(kind);
    body.extend(content.len().to_string().bytes().map(|digit| digit - b'0'));
    body.push(0xff);
    body.extend_from_slice(content);
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
