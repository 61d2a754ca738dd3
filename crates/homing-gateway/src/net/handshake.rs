//! The WebSocket handshake (RFC 6455, section 4.2), for a request that was read here and for one that HTTP read.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::deflate;
use crate::{identity::Credentials, session::Request};

/// Section 1.3.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a handshake may agree on.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Subprotocols that are known.
    pub protocols: Vec<String>,
    /// Compression is offered.
    pub deflate: bool,
}

/// A handshake that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// `Sec-WebSocket-Protocol`, if one was chosen.
    pub protocol: Option<String>,
    /// permessage-deflate without context takeover was agreed on.
    pub deflate: bool,
}

/// A handshake that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 400, or 426 when the version is another one (the answer then names 13).
    pub status: u16,
    /// In words.
    pub why: &'static str,
}

/// Is this a request for a WebSocket? Then what becomes of it. Headers are given as name and value, in any case and order;
/// `http11` = the version is at least 1.1.
pub fn upgrade<'a>(
    get: bool,
    http11: bool,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    rules: &Rules,
) -> Option<Result<Upgrade, Refused>> {
    let (mut websocket, mut connection, mut host) = (false, false, false);
    let (mut key, mut keys, mut version) = (None, 0, None);
    let mut protocol = None;
    let mut compressed = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("upgrade") {
            websocket |= has_token(value, "websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            connection |= has_token(value, "upgrade");
        } else if name.eq_ignore_ascii_case("host") {
            host = true;
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            key = Some(value);
            keys += 1;
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            version = Some(value.trim_ascii());
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") && protocol.is_none() {
            protocol = tokens(value).find(|offer| rules.protocols.iter().any(|known| known.as_bytes() == *offer));
        } else if name.eq_ignore_ascii_case("sec-websocket-extensions") && rules.deflate {
            compressed |= deflate::acceptable(value);
        }
    }
    if !websocket {
        return None;
    }
    let refused = |status, why| Some(Err(Refused { status, why }));
    if !get {
        return refused(400, "a WebSocket is asked for by GET");
    }
    if !http11 {
        return refused(400, "a WebSocket needs HTTP/1.1");
    }
    if !host {
        return refused(400, "Host is missing");
    }
    if !connection {
        return refused(400, "Connection does not name Upgrade");
    }
    if version != Some(b"13") {
        return refused(426, "Sec-WebSocket-Version must be 13");
    }
    let Some(key) = key.filter(|_| keys == 1).map(<[u8]>::trim_ascii) else {
        return refused(400, "Sec-WebSocket-Key must be there once");
    };
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return refused(400, "Sec-WebSocket-Key is not 16 bytes in base64");
    }
    let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
    Some(Ok(Upgrade { accept: accept(key), protocol, deflate: compressed }))
}

/// What sessions are told of a request. `target` is its path with the query. `credentials.query` is the parameter `token`;
/// where it is called otherwise, whoever knows looks for it.
pub fn request<'a>(
    target: &str,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    remote: Option<IpAddr>,
) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut request = Request { path: path.to_owned(), query, ..Request::default() };
    request.credentials =
        Credentials { query: request.parameter("token").map(str::to_owned), remote, ..Credentials::default() };
    for (name, value) in headers {
        let text = || String::from_utf8_lossy(value).into_owned();
        if name.eq_ignore_ascii_case("authorization") {
            request.credentials.header = Some(text());
        } else if name.eq_ignore_ascii_case("cookie") {
            match &mut request.credentials.cookie {
                Some(cookies) => {
                    cookies.push_str("; ");
                    cookies.push_str(&text());
                }
                none => *none = Some(text()),
            }
        } else if name.eq_ignore_ascii_case("host") {
            request.host.get_or_insert_with(text);
        } else if name.eq_ignore_ascii_case("origin") {
            request.origin = Some(text());
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            match &mut request.protocols {
                Some(protocols) => {
                    protocols.push_str(", ");
                    protocols.push_str(&text());
                }
                none => *none = Some(text()),
            }
        }
    }
    request
}

/// `Sec-WebSocket-Accept` for this key.
pub fn accept(key: &[u8]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(MAGIC);
    STANDARD.encode(digest.finish())
}

impl Upgrade {
    /// The answer, as it goes over the wire.
    pub fn answer(&self) -> String {
        let mut text = String::with_capacity(256);
        text.push_str(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        text.push_str(&self.accept);
        if let Some(protocol) = &self.protocol {
            text.push_str("\r\nSec-WebSocket-Protocol: ");
            text.push_str(protocol);
        }
        if self.deflate {
            text.push_str("\r\nSec-WebSocket-Extensions: ");
            text.push_str(deflate::ANSWER);
        }
        text.push_str("\r\n\r\n");
        text
    }
}

/// A refusal as it goes over the wire: the reason is the body.
pub fn refusal(status: u16, why: &str) -> String {
    let phrase = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Refused",
    };
    let extra = match status {
        426 => "sec-websocket-version: 13\r\n",
        503 | 429 => "retry-after: 5\r\n",
        401 => "www-authenticate: Bearer\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n{extra}connection: \
         close\r\n\r\n{why}\n",
        why.len() + 1
    )
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

fn has_token(value: &[u8], wanted: &str) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
