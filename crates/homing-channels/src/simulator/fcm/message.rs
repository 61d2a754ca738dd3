//! What FCM checks of a message. (Firebase, reference/fcm/rest/v1/projects.messages.)

use serde_json::{Map, Value};

use super::errors::Refusal;

const TOP: [&str; 11] = [
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "fcmOptions",
    "token",
    "topic",
    "condition",
];
const NOTIFICATION: [&str; 3] = ["title", "body", "image"];
const ANDROID: [&str; 9] = [
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
    "bandwidth_constrained_ok",
];
const ANDROID_NOTIFICATION: [&str; 16] = [
    "title",
    "body",
    "icon",
    "color",
    "sound",
    "tag",
    "click_action",
    "channel_id",
    "ticker",
    "sticky",
    "notification_priority",
    "default_sound",
    "notification_count",
    "visibility",
    "image",
    "event_time",
];
const WEBPUSH: [&str; 4] = ["headers", "data", "notification", "fcm_options"];
const APNS: [&str; 3] = ["headers", "payload", "fcm_options"];

/// Longest life in seconds.
const TTL_MAX: f64 = 2_419_200.0;

/// Bytes of keys, values and shown texts.
const MOST: usize = 4096;

/// A message that is fine but for its token.
pub(crate) struct Checked<'a> {
    pub(crate) token: &'a str,
    pub(crate) message: &'a Map<String, Value>,
    pub(crate) validate_only: bool,
}

/// Checks a whole body.
pub(crate) fn check(body: &Value) -> Result<Checked<'_>, Refusal> {
    let Some(body) = body.as_object() else {
        return Err(Refusal::form("", "Invalid JSON payload received. Unexpected token."));
    };
    known(body, &["validate_only", "validateOnly", "message"], "")?;
    let validate_only = match body.get("validate_only").or_else(|| body.get("validateOnly")) {
        None => false,
        Some(Value::Bool(only)) => *only,
        Some(other) => return Err(typed("validate_only", "TYPE_BOOL", other)),
    };
    let message = object(body, "message", "message")?
        .ok_or_else(|| Refusal::argument("message", "Recipient of the message is not set."))?;
    known(message, &TOP, "message")?;
    let targets: Vec<&str> =
        ["token", "topic", "condition"].into_iter().filter(|name| message.contains_key(*name)).collect();
    if targets.len() != 1 {
        return Err(Refusal::argument("message", "Exactly one of token, topic or condition is required"));
    }
    let token = text(message, "token", "message")?.unwrap_or_default();
    let mut size = data(message)?;
    if let Some(notification) = object(message, "notification", "message.notification")? {
        known(notification, &NOTIFICATION, "message.notification")?;
        for name in NOTIFICATION {
            size += text(notification, name, "message.notification")?.map_or(0, str::len);
        }
    }
    if let Some(android) = object(message, "android", "message.android")? {
        check_android(android)?;
    }
    if let Some(apns) = object(message, "apns", "message.apns")? {
        known(apns, &APNS, "message.apns")?;
        headers(apns, "message.apns")?;
        if let Some(payload) = object(apns, "payload", "message.apns.payload")? {
            size += Value::Object(payload.clone()).to_string().len();
        }
    }
    if let Some(web) = object(message, "webpush", "message.webpush")? {
        known(web, &WEBPUSH, "message.webpush")?;
        headers(web, "message.webpush")?;
        size += object(web, "notification", "message.webpush.notification")?
            .map_or(0, |shown| Value::Object(shown.clone()).to_string().len());
    }
    if size > MOST {
        return Err(Refusal::argument("message", "Android message is too big"));
    }
    Ok(Checked { token, message, validate_only })
}

fn check_android(android: &Map<String, Value>) -> Result<(), Refusal> {
    known(android, &ANDROID, "message.android")?;
    text(android, "collapse_key", "message.android")?;
    if let Some(priority) = text(android, "priority", "message.android")?
        && !["HIGH", "NORMAL", "high", "normal"].contains(&priority)
    {
        return Err(Refusal::form("message.android.priority", "Invalid value at 'message.android.priority'"));
    }
    if let Some(ttl) = text(android, "ttl", "message.android")? {
        let seconds = ttl.strip_suffix('s').and_then(|number| number.parse::<f64>().ok());
        let Some(seconds) = seconds else {
            return Err(Refusal::form("message.android.ttl", "Illegal duration format; duration must end with 's'"));
        };
        if !(0.0..=TTL_MAX).contains(&seconds) {
            let words = "Invalid ttl: it must be between 0 and 2419200 seconds";
            return Err(Refusal::argument("message.android.ttl", words));
        }
    }
    if let Some(shown) = object(android, "notification", "message.android.notification")? {
        known(shown, &ANDROID_NOTIFICATION, "message.android.notification")?;
        for name in ["title", "body", "tag", "click_action", "channel_id", "sound"] {
            text(shown, name, "message.android.notification")?;
        }
    }
    Ok(())
}

/// Values are texts, and some keys are FCM's own. Answers the size.
fn data(message: &Map<String, Value>) -> Result<usize, Refusal> {
    let mut size = 0;
    for (index, (key, value)) in object(message, "data", "message.data")?.into_iter().flatten().enumerate() {
        let Value::String(value) = value else {
            return Err(typed(&format!("message.data[{index}].value"), "TYPE_STRING", value));
        };
        let own =
            matches!(key.as_str(), "from" | "message_type") || key.starts_with("google") || key.starts_with("gcm");
        if own {
            return Err(Refusal::argument("message.data", &format!("Invalid data payload key: {key}")));
        }
        size += key.len() + value.len();
    }
    Ok(size)
}

fn headers(part: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    for (name, value) in object(part, "headers", &format!("{path}.headers"))?.into_iter().flatten() {
        if !value.is_string() {
            return Err(typed(&format!("{path}.headers.{name}"), "TYPE_STRING", value));
        }
    }
    Ok(())
}

fn known(object: &Map<String, Value>, names: &[&str], path: &str) -> Result<(), Refusal> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let at = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
            let words = format!("Invalid JSON payload received. Unknown name \"{key}\"{at}: Cannot find field.");
            Err(Refusal::form(path, &words))
        }
    }
}

fn object<'a>(
    parent: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match parent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(typed(path, "TYPE_MESSAGE", other)),
    }
}

fn text<'a>(parent: &'a Map<String, Value>, name: &str, path: &str) -> Result<Option<&'a str>, Refusal> {
    match parent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(typed(&format!("{path}.{name}"), "TYPE_STRING", other)),
    }
}

fn typed(field: &str, kind: &str, value: &Value) -> Refusal {
    Refusal::form(field, &format!("Invalid value at '{field}' ({kind}), {value}"))
}
