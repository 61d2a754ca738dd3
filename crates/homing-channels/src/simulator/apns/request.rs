//! What a call must look like. ("Sending notification requests to APNs", "Generating a remote notification".)

use hyper::{HeaderMap, Method, http::request::Parts};
use serde_json::{Value, json};
use uuid::Uuid;

use super::reasons::Refusal;

const PUSH_TYPES: &[&str] = &[
    "alert",
    "background",
    "controls",
    "location",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "liveactivity",
    "pushtotalk",
    "widgets",
];

const HEADERS: [&str; 6] =
    ["apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-id"];

/// A call that is in order, but for its device.
pub(super) struct Push {
    pub(super) token: String,
    pub(super) apns_id: String,
    /// The sender's id of the message.
    pub(super) id: String,
    /// As the device would get it, with the headers.
    pub(super) seen: Value,
}

/// The device of a path.
pub(super) fn token(head: &Parts) -> Result<&str, Refusal> {
    let token = head.uri.path().strip_prefix("/3/device/").ok_or("BadPath")?;
    if head.method != Method::POST {
        return Err("MethodNotAllowed".into());
    }
    if token.is_empty() {
        return Err("MissingDeviceToken".into());
    }
    Ok(token)
}

/// Is it a token that Apple could have made?
pub(super) fn is_token(token: &str) -> bool {
    token.len() >= 64
        && token.len().is_multiple_of(2)
        && token.bytes().all(|byte| byte.is_ascii_hexdigit())
        && token.bytes().any(|byte| byte != b'0')
}

pub(super) fn check(token: &str, headers: &HeaderMap, topics: &[String], body: &[u8]) -> Result<Push, Refusal> {
    if HEADERS.iter().any(|name| headers.get_all(*name).iter().count() > 1) {
        return Err("DuplicateHeaders".into());
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("\u{0}"));
    let topic = header("apns-topic").ok_or("MissingTopic")?;
    if topic.is_empty() || topic.contains('\u{0}') {
        return Err("BadTopic".into());
    }
    if !topics.iter().any(|known| known == topic) {
        return Err("TopicDisallowed".into());
    }
    let push_type = header("apns-push-type").unwrap_or("alert");
    if !PUSH_TYPES.contains(&push_type) {
        return Err("InvalidPushType".into());
    }
    let priority = header("apns-priority").unwrap_or("10");
    if !["10", "5", "1"].contains(&priority) || (push_type == "background" && priority != "5") {
        return Err("BadPriority".into());
    }
    let expiration = header("apns-expiration");
    if expiration.is_some_and(|text| text.parse::<u32>().is_err()) {
        return Err("BadExpirationDate".into());
    }
    let collapse = header("apns-collapse-id");
    if collapse.is_some_and(|text| text.is_empty() || text.len() > 64) {
        return Err("BadCollapseId".into());
    }
    let apns_id = match header("apns-id") {
        Some(text) if text.len() == 36 && Uuid::parse_str(text).is_ok() => text.to_owned(),
        Some(_) => return Err("BadMessageId".into()),
        None => made_up(token, body),
    };
    if body.len() > if push_type == "voip" { 5120 } else { 4096 } {
        return Err("PayloadTooLarge".into());
    }
    let payload: Value = serde_json::from_slice(body).map_err(|_| "PayloadEmpty")?;
    if !payload.get("aps").is_some_and(Value::is_object) {
        return Err("PayloadEmpty".into());
    }
    let id = payload.pointer("/homing/id").and_then(Value::as_str).unwrap_or(&apns_id).to_owned();
    let seen = json!({ "topic": topic, "push_type": push_type, "priority": priority, "expiration": expiration,
        "collapse_id": collapse, "apns_id": apns_id, "payload": payload });
    Ok(Push { token: token.to_owned(), apns_id, id, seen })
}

/// Apple makes up an id where the sender has none; ours need not be unique.
fn made_up(token: &str, body: &[u8]) -> String {
    let half = |bytes: &[u8]| u64::from(crc32fast::hash(bytes));
    Uuid::from_u64_pair(half(token.as_bytes()), half(body)).to_string()
}
