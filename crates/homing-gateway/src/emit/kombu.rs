//! The envelope in which kombu publishes over Redis.
//!
//! ```text
//! {"body": "<base64>", "content-encoding": "utf-8" | "binary", "content-type": "text/plain" | "application/data", "headers": {},
//!  "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "socketio", "routing_key": ""}, "priority": 0,
//!                 "body_encoding": "base64", "delivery_tag": "<uuid>"}}
//! ```

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{bad::Bad, raw};

#[derive(Deserialize)]
struct Envelope<'a> {
    body: String,
    #[serde(borrow, default)]
    headers: HashMap<String, &'a RawValue>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
struct Properties {
    #[serde(default)]
    body_encoding: Option<String>,
}

/// The body of an envelope: a message of any era.
///
/// # Errors
/// It is no envelope, its body is compressed, or is no base64.
pub fn open(bytes: &[u8]) -> Result<Vec<u8>, Bad> {
    let envelope: Envelope<'_> = raw::parse(bytes, "envelope")?;
    if let Some(compression) = envelope.headers.get("compression").filter(|name| name.get() != "null") {
        return Err(Bad(format!("the envelope's body is compressed ({})", compression.get())));
    }
    match envelope.properties.body_encoding.as_deref() {
        Some("base64") => {
            STANDARD.decode(envelope.body).map_err(|error| Bad(format!("the envelope's body is no base64: {error}")))
        }
        None => Ok(envelope.body.into_bytes()),
        Some(other) => Err(Bad(format!("the envelope's body is encoded as {other:?}, not as base64"))),
    }
}

/// An envelope around JSON, as kombu writes it. `tag` is to be unique.
pub fn seal(body: &[u8], exchange: &str, tag: &str) -> Vec<u8> {
    json!({
        "body": STANDARD.encode(body),
        "content-encoding": "utf-8",
        "content-type": "text/plain",
        "headers": {},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": exchange, "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    })
    .to_string()
    .into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens() {
        let body = br#"{"method":"callback"}"#;
        assert_eq!(open(&seal(body, "socketio", "t")).unwrap(), body);
        assert_eq!(open(br#"{"body":"plain"}"#).unwrap(), b"plain");
        for (bytes, why) in [
            (&br#"{"body":"@","properties":{"body_encoding":"base64"}}"#[..], "no base64: Invalid symbol 64, offset 0"),
            (br#"{"body":"","headers":{"compression":"application/x-gzip"}}"#, "compressed (\"application/x-gzip\")"),
            (br#"{"body":"","properties":{"body_encoding":"hex"}}"#, "encoded as \"hex\""),
            (b"{}", "missing field `body`"),
            (b"\x80\x04", "envelope: expected value at line 1"),
        ] {
            let error = open(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
