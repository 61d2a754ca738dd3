//! Body and headers of a notification. (Apple, "Generating a remote notification", "Sending notification requests to
//! APNs", "Pushing background updates to your app".)
//!
//! Shown: `{"aps":{"alert":{"title","body"},"sound"}, custom.., "homing":{"id","type","proof"?}}`.
//! Silent: `{"aps":{"content-available":1},"data":{custom..},"homing":{"id","type","proof"?}}`.

use bytes::Bytes;
use homing_core::notification::{Action, Notification};
use hyper::header::HeaderValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::settings::{AccountSettings, Custom};

/// Longest payload in bytes.
const PAYLOAD_MAX: usize = 4096;

/// The same for `voip`.
const VOIP_MAX: usize = 5120;

/// Longest `apns-collapse-id` in bytes.
const COLLAPSE_MAX: usize = 64;

/// What all targets of a notification have in common.
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) push_type: String,
    pub(crate) priority: u8,
    /// Unix seconds; 0 = APNs does not keep it.
    pub(crate) expiration: i64,
    pub(crate) collapse: HeaderValue,
}

/// Errors say in words why the message would be refused.
pub(crate) fn prepare(account: &AccountSettings, notification: &Notification) -> Result<Prepared, String> {
    let silent = notification.silent;
    let push_type = if silent { "background" } else { account.push_type.as_str() };
    let body = body(account, notification).to_string();
    let most = if push_type == "voip" { VOIP_MAX } else { PAYLOAD_MAX };
    if body.len() > most {
        return Err(format!("not sent: the payload has {} bytes, {most} are allowed", body.len()));
    }
    Ok(Prepared {
        body: Bytes::from(body),
        push_type: push_type.to_owned(),
        // Apple: a background push must not have another one.
        priority: if push_type == "background" { 5 } else { account.priority.of(notification.priority) },
        expiration: notification.expires_at.div_euclid(1000).max(0),
        collapse: collapse_id(notification.key(), silent),
    })
}

fn body(account: &AccountSettings, notification: &Notification) -> Value {
    let mut custom = notification.custom.clone();
    if let Some(action) = &notification.action
        && !custom.contains_key("action")
    {
        custom.insert("action".to_owned(), action_of(action));
    }
    let mut payload = Map::new();
    let aps = if notification.silent { json!({ "content-available": 1 }) } else { shown(account, notification) };
    if notification.silent || account.custom == Custom::Data {
        payload.insert("data".to_owned(), Value::Object(custom));
    } else {
        payload = custom;
    }
    if !account.message_id.is_empty() {
        let mut known = Map::from_iter([
            ("id".to_owned(), notification.id.as_str().into()),
            ("type".to_owned(), notification.kind.into()),
        ]);
        // The proof of its receipts stands under the same name, wherever the custom fields go.
        if let Some(proof) = notification.custom.get("homing").and_then(|own| own.get("proof")) {
            known.insert("proof".to_owned(), proof.clone());
        }
        payload.insert(account.message_id.clone(), Value::Object(known));
    }
    payload.insert("aps".to_owned(), aps);
    Value::Object(payload)
}

fn shown(account: &AccountSettings, notification: &Notification) -> Value {
    let mut alert = Map::new();
    if !notification.title.is_empty() {
        alert.insert("title".to_owned(), notification.title.as_str().into());
    }
    alert.insert("body".to_owned(), notification.body.as_str().into());
    let mut aps = Map::new();
    aps.insert("alert".to_owned(), Value::Object(alert));
    if !account.sound.is_empty() {
        aps.insert("sound".to_owned(), account.sound.as_str().into());
    }
    let category = notification.category.as_ref().and_then(|name| account.categories.get(name));
    if let Some(category) = category {
        aps.insert("category".to_owned(), category.as_str().into());
    }
    Value::Object(aps)
}

/// APNs knows no action: the app reads it.
fn action_of(action: &Action) -> Value {
    match action {
        Action::Activity(name) => json!({ "activity": name }),
        Action::Url(url) => json!({ "url": url }),
        Action::Intent(intent) => json!({ "intent": intent }),
    }
}

/// The key as it is, where it fits into the header. A silent push has a key of its own: it must not take the place of the
/// shown one that it goes with.
fn collapse_id(key: &str, silent: bool) -> HeaderValue {
    let text = if silent { format!("silent:{key}") } else { key.to_owned() };
    let fits = (1..=COLLAPSE_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = if fits { text } else { hex(&Sha256::digest(&text)) };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("homing"))
}

/// The same message to the same device always has the same `apns-id`: a repeat is recognised as one.
pub(crate) fn apns_id(notification: &Notification, token: &str) -> String {
    let mut hash = Sha256::new();
    for part in [notification.id.as_str(), if notification.silent { "silent" } else { "shown" }, token] {
        hash.update(part);
        hash.update([0]);
    }
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = from;
    }
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// Hexadecimal digits, as APNs names devices; their length is not fixed.
pub(crate) fn is_token(token: &str) -> bool {
    (2..=512).contains(&token.len())
        && token.len().is_multiple_of(2)
        && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Lower-case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
