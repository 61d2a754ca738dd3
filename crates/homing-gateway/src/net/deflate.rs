//! permessage-deflate (RFC 7692), every message by itself: no context is taken over in either direction, so a message is
//! compressed once for all who want it, and an idle connection costs nothing.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What is agreed on. A server may ask for `client_no_context_takeover` whether it was offered or not (section 7.1.1.2).
pub(crate) const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The end of a flushed block, which is left out on the wire (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Is one of the offers in this header acceptable? One that limits the server's window is not: windows are always whole here.
pub(crate) fn acceptable(header: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(header) else { return false };
    text.split(',').any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
            return false;
        }
        let mut seen = [false; 4];
        parts.all(|parameter| {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
                None => (parameter, None),
            };
            let bits = |text: &str| text.parse::<u8>().is_ok_and(|bits| (8..=15).contains(&bits));
            let (place, fits) = match name {
                "server_no_context_takeover" => (0, value.is_none()),
                "client_no_context_takeover" => (1, value.is_none()),
                "server_max_window_bits" => (2, value == Some("15")),
                "client_max_window_bits" => (3, value.is_none_or(bits)),
                _ => return false,
            };
            let again = seen.get_mut(place).is_some_and(|seen| std::mem::replace(seen, true));
            fits && !again
        })
    })
}

/// Compresses one message; `None` where that would not make it shorter. `deflate` is reset first.
pub(crate) fn compress(deflate: &mut Compress, message: &[u8]) -> Option<Bytes> {
    deflate.reset();
    // A little more than the message: longer is not wanted, but a flush must have room to end.
    let mut out = Vec::with_capacity(message.len() + 64);
    let status = deflate.compress_vec(message, &mut out, FlushCompress::Sync).ok()?;
    let whole = status == Status::Ok && deflate.total_in() == message.len() as u64 && out.ends_with(&TAIL);
    out.truncate(out.len().saturating_sub(TAIL.len()));
    (whole && out.len() < message.len()).then(|| out.into())
}

/// A compressor for [`compress`]. Level 4: half the time of the usual 6 for a few percent.
pub(crate) fn compressor() -> Compress {
    Compress::new(Compression::new(4), false)
}

/// Why a message could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inflate {
    /// It is longer than allowed.
    TooBig,
    /// It is no DEFLATE.
    Broken,
}

/// Inflates one message to at most `limit` bytes. `inflate` is reset first, so one serves all connections.
pub(crate) fn inflate(inflate: &mut Decompress, message: &[u8], limit: usize) -> Result<Vec<u8>, Inflate> {
    inflate.reset(false);
    let mut out = Vec::with_capacity(message.len().saturating_mul(3).max(64).min(limit + 1));
    for mut part in [message, &TAIL[..]] {
        loop {
            let before = inflate.total_in();
            let had = out.len();
            let status = inflate.decompress_vec(part, &mut out, FlushDecompress::Sync).map_err(|_| Inflate::Broken)?;
            let read = usize::try_from(inflate.total_in() - before).unwrap_or(usize::MAX);
            part = part.get(read..).unwrap_or_default();
            if out.len() > limit {
                return Err(Inflate::TooBig);
            }
            // A final block inside a message is legal (section 7.2.3.4); what follows it is of no use to anybody.
            if status == Status::StreamEnd {
                return Ok(out);
            }
            if out.len() == out.capacity() {
                out.reserve(out.len().max(64).min(limit + 1 - out.len()));
            } else if part.is_empty() {
                break;
            } else if read == 0 && out.len() == had {
                return Err(Inflate::Broken);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
#[path = "deflate_tests.rs"]
mod tests;
