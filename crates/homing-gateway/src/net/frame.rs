//! Frames as a server writes them (RFC 6455, section 5.2): never masked, never fragmented, so that the same bytes fit
//! every socket.

use bytes::{Bytes, BytesMut};
use flate2::Compress;

use super::deflate;
use crate::{parcel::Payload, session::Close};

/// What a frame is (section 11.8).
pub mod opcode {
    /// The next part of a message.
    pub const CONTINUATION: u8 = 0x0;
    /// Text.
    pub const TEXT: u8 = 0x1;
    /// Binary.
    pub const BINARY: u8 = 0x2;
    /// The end.
    pub const CLOSE: u8 = 0x8;
    /// Are you there?
    pub const PING: u8 = 0x9;
    /// I am.
    pub const PONG: u8 = 0xa;
}

/// The longest payload of a control frame.
pub(crate) const MAX_CONTROL: usize = 125;

/// Appends the header of a whole message or control frame.
fn put_header(out: &mut BytesMut, opcode: u8, compressed: bool, length: usize) {
    let first = 0x80 | if compressed { 0x40 } else { 0 } | opcode;
    let length = length as u64;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => out.extend_from_slice(&[first, short]),
        (_, Ok(medium)) => {
            out.extend_from_slice(&[first, 126]);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

fn put(out: &mut BytesMut, payload: &Payload) {
    let (opcode, body) = parts(payload);
    put_header(out, opcode, false, body.len());
    out.extend_from_slice(body);
}

fn parts(payload: &Payload) -> (u8, &Bytes) {
    match payload {
        Payload::Text(body) => (opcode::TEXT, body),
        Payload::Binary(body) => (opcode::BINARY, body),
    }
}

/// Messages as frames, one behind the other.
pub(crate) fn wire(payloads: &[Payload]) -> Bytes {
    let mut out = BytesMut::with_capacity(payloads.iter().map(|payload| parts(payload).1.len() + 10).sum());
    for payload in payloads {
        put(&mut out, payload);
    }
    out.freeze()
}

/// The same for a peer that agreed to compression; what is shorter than `from`, or would not become shorter, stays as it is.
pub(crate) fn deflated(compress: &mut Compress, payloads: &[Payload], from: usize) -> Bytes {
    let mut out = BytesMut::new();
    for payload in payloads {
        let (opcode, body) = parts(payload);
        match (body.len() >= from).then(|| deflate::compress(compress, body)).flatten() {
            Some(short) => {
                put_header(&mut out, opcode, true, short.len());
                out.extend_from_slice(&short);
            }
            None => put(&mut out, payload),
        }
    }
    out.freeze()
}

/// A control frame; what is beyond 125 bytes is cut off.
pub(crate) fn control(opcode: u8, data: &[u8]) -> Bytes {
    let data = data.get(..MAX_CONTROL).unwrap_or(data);
    let mut out = BytesMut::with_capacity(data.len() + 2);
    put_header(&mut out, opcode, false, data.len());
    out.extend_from_slice(data);
    out.freeze()
}

/// A close frame. The codes that may not be sent (1005, 1006, 1015) become a frame without one.
pub(crate) fn close(close: &Close) -> Bytes {
    if matches!(close.code, 1005 | 1006 | 1015) {
        return control(opcode::CLOSE, &[]);
    }
    let mut data = close.code.to_be_bytes().to_vec();
    let reason = close.reason.get(..close.reason.floor_char_boundary(MAX_CONTROL - 2)).unwrap_or_default();
    data.extend_from_slice(reason.as_bytes());
    control(opcode::CLOSE, &data)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
