//! The body of a call from a notification. (Firebase, reference/fcm/rest/v1/projects.messages.)
//!
//! ```text
//! {"validate_only":false,"message":{"token","notification":{title,body},"data":{text: text},
//!   "android":{priority,ttl,collapse_key,notification:{tag,channel_id,sound,click_action}},
//!   "apns":{headers,payload:{aps}},"webpush":{headers,notification,fcm_options}}}
//! ```
//!
//! As on every channel `push_type` and `id` travel with the custom fields and win over fields of these names; what a tap
//! does travels as `action`. Android and browsers get `notification`, iOS gets its alert in `apns`.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::{
    clock::Millis,
    notification::{Action, Notification, Platform, Priority},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Bytes of what a device gets: the notification and the data. (Firebase, "Message too big".)
pub const MESSAGE_MAX: usize = 4096;

/// Longest life of a message in seconds. (`android.ttl`: four weeks.)
const TTL_MAX: Millis = 2_419_200;

/// What an account adds to its messages.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Android's notification channel.
    pub(crate) channel_id: Option<String>,
    /// The sound; empty for none.
    pub(crate) sound: String,
}

/// A message without its token.
pub(crate) struct Draft(String);

impl Draft {
    /// The whole body for one device.
    pub(crate) fn body(&self, token: &str, validate_only: bool) -> String {
        let token = Value::from(token);
        let mut body = String::with_capacity(self.0.len() + 256);
        // Writing to a text does not fail.
        write!(body, "{{\"validate_only\":{validate_only},\"message\":{{\"token\":{token},{}}}", self.0).ok();
        body
    }
}

/// The message of a notification.
///
/// # Errors
/// Why it would be refused, in words.
pub(crate) fn build(notification: &Notification, look: &Look, now: Millis) -> Result<Draft, String> {
    let data = data(notification)?;
    let ttl = (notification.expires_at.saturating_sub(now) / 1_000).clamp(0, TTL_MAX);
    let mut message = Map::new();
    let shown = match notification.platform {
        Platform::Ios => {
            let apns = apns(notification, look, now.saturating_add(ttl.saturating_mul(1_000)));
            let shown = apns["payload"].to_string().len();
            message.insert("apns".to_owned(), apns);
            shown
        }
        Platform::Web => {
            let web = web(notification, ttl);
            let shown = web["notification"].to_string().len();
            message.insert("webpush".to_owned(), web);
            shown
        }
        _ => {
            let mut shown = 0;
            if !notification.silent {
                let text = json!({ "title": notification.title, "body": notification.body });
                shown = text.to_string().len();
                message.insert("notification".to_owned(), text);
            }
            message.insert("android".to_owned(), android(notification, look, ttl));
            shown
        }
    };
    let data = Value::Object(data);
    let size = shown + data.to_string().len();
    if size > MESSAGE_MAX {
        return Err(format!("the message is {size} bytes long and at most {MESSAGE_MAX} pass"));
    }
    message.insert("data".to_owned(), data);
    let text = Value::Object(message).to_string();
    text.strip_prefix('{').map(|rest| Draft(rest.to_owned())).ok_or_else(|| "the message cannot be written".to_owned())
}

/// All values are texts: others go as their JSON text, `null` does not go. A key that FCM keeps for itself goes with `x_`
/// before it.
fn data(notification: &Notification) -> Result<Map<String, Value>, String> {
    let mut data = Map::new();
    let mut put = |key: &str, value: &Value| match value {
        Value::Null => None,
        Value::String(text) => data.insert(key.to_owned(), Value::String(text.clone())),
        other => data.insert(key.to_owned(), Value::String(other.to_string())),
    };
    if let Some(action) = &notification.action {
        let action = match action {
            Action::Activity(class) => json!({ "activity": class }),
            Action::Url(url) => json!({ "url": url }),
            Action::Intent(intent) => json!({ "intent": intent }),
        };
        put("action", &action);
    }
    for (key, value) in &notification.custom {
        if !is_reserved(key) {
            put(key, value);
            continue;
        }
        let renamed = format!("x_{key}");
        if notification.custom.contains_key(&renamed) {
            return Err(format!("FCM keeps the field `{key}` for itself, and `{renamed}` is there already"));
        }
        put(&renamed, value);
    }
    put("push_type", &json!(notification.kind.to_string()));
    put("id", &json!(notification.id));
    Ok(data)
}

/// (Firebase, `Message.data`: no `from`, no `message_type`, nothing that begins with `google` or `gcm`.)
fn is_reserved(key: &str) -> bool {
    matches!(key, "from" | "message_type") || key.starts_with("google") || key.starts_with("gcm")
}

fn android(notification: &Notification, look: &Look, ttl: Millis) -> Value {
    // What is shown should be shown now, unless it may wait; what is not shown must not wake the device often.
    let high = match notification.priority {
        Priority::Low => false,
        Priority::Normal => !notification.silent,
        Priority::High => true,
    };
    let mut android = json!({ "priority": if high { "HIGH" } else { "NORMAL" }, "ttl": format!("{ttl}s") });
    // A device keeps messages of four keys at most, so a message that collapses nothing has none.
    if let Some(collapse) = &notification.collapse {
        android["collapse_key"] = json!(collapse);
    }
    if !notification.silent {
        let mut shown = json!({ "tag": notification.key() });
        if let Some(channel) = &look.channel_id {
            shown["channel_id"] = json!(channel);
        }
        if !look.sound.is_empty() {
            shown["sound"] = json!(look.sound);
        }
        if let Some(Action::Activity(activity)) = notification.action.as_ref().filter(|action| opens(action)) {
            shown["click_action"] = json!(activity);
        }
        android["notification"] = shown;
    }
    android
}

fn opens(action: &Action) -> bool {
    !matches!(action, Action::Activity(class) if class.is_empty())
}

fn apns(notification: &Notification, look: &Look, until: Millis) -> Value {
    let kind = if notification.silent { "background" } else { "alert" };
    let urgent = !notification.silent && notification.priority != Priority::Low;
    let mut headers = json!({
        "apns-push-type": kind,
        "apns-priority": if urgent { "10" } else { "5" },
        "apns-expiration": until.div_euclid(1_000).to_string(),
    });
    let aps = if notification.silent {
        json!({ "content-available": 1 })
    } else {
        headers["apns-collapse-id"] = json!(collapse_id(notification.key()));
        let mut alert = json!({ "body": notification.body });
        if !notification.title.is_empty() {
            alert["title"] = json!(notification.title);
        }
        let mut aps = json!({ "alert": alert });
        if !look.sound.is_empty() {
            aps["sound"] = json!(look.sound);
        }
        aps
    };
    json!({ "headers": headers, "payload": { "aps": aps } })
}

/// At most 64 bytes (Apple, `apns-collapse-id`): a longer key is its SHA-256 in hex.
fn collapse_id(key: &str) -> String {
    if key.len() <= 64 {
        return key.to_owned();
    }
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(key.as_bytes()) {
        write!(hex, "{byte:02x}").ok();
    }
    hex
}

fn web(notification: &Notification, ttl: Millis) -> Value {
    let urgency = match notification.priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
    };
    // At most 32 characters of base64url (RFC 8030, section 5.4).
    let topic: String =
        URL_SAFE_NO_PAD.encode(Sha256::digest(notification.key().as_bytes())).chars().take(32).collect();
    let mut web = json!({ "headers": { "TTL": ttl.to_string(), "Urgency": urgency, "Topic": topic } });
    if !notification.silent {
        web["notification"] =
            json!({ "title": notification.title, "body": notification.body, "tag": notification.key() });
        if let Some(Action::Url(url)) = &notification.action
            && url.starts_with("https://")
        {
            web["fcm_options"] = json!({ "link": url });
        }
    }
    web
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
