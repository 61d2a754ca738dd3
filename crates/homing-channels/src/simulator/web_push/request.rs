//! What a push must look like (RFC 8030, section 5).

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

/// The headers of a push, as the browser's vendor would log them.
pub(super) fn check(headers: &HeaderMap) -> Result<Value, &'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let ttl = text("ttl").ok_or("TTL is missing")?;
    if ttl.is_empty() || !ttl.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("TTL is no number of seconds");
    }
    let ttl: u64 = ttl.parse().map_err(|_| "TTL is too large")?;
    let urgency = text("urgency").unwrap_or("normal");
    if !matches!(urgency, "very-low" | "low" | "normal" | "high") {
        return Err("Urgency is none of very-low, low, normal, high");
    }
    let topic = text("topic");
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if topic.is_some_and(|topic| topic.is_empty() || topic.len() > 32 || !topic.bytes().all(in_alphabet)) {
        return Err("Topic is not up to 32 characters of base64url");
    }
    if text(header::CONTENT_ENCODING.as_str()) != Some("aes128gcm") {
        return Err("Content-Encoding is not aes128gcm");
    }
    Ok(json!({ "ttl": ttl, "urgency": urgency, "topic": topic }))
}
