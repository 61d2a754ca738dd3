//! The body of gorush's `POST /api/push`, as events that name devices themselves.
//!
//! | gorush | here |
//! |---|---|
//! | `tokens`, `platform` 1 (iOS), 2 (Android) | `to.tokens` |
//! | `topic` (iOS bundle id) | the app, by the settings' `apps` |
//! | `title`, `message` | `title`, `body` |
//! | `data`, `badge` | `data`, `data.badge` |
//! | `priority` | `priority` |
//! | `time_to_live` (seconds), `expiration` (seconds since 1970) | `expires_in` |
//! | `development` | the provider's test network |
//!
//! Source of the fields: gorush's README ("Request body"). What has no counterpart is not read.

use homing_codec::{Key, Value};
use homing_core::{clock::Millis, event::Invalid};

use crate::settings::Settings;

/// Most notifications of a request, as gorush's own default.
pub(crate) const MAX: usize = 100;

/// The event of one notification, and how many devices it names.
pub(crate) fn event(notification: &Value, settings: &Settings, now: Millis) -> Result<(Value, usize), Invalid> {
    if !matches!(notification, Value::Map(_)) {
        return Err(Invalid::new("notification", "expected an object"));
    }
    let text = |field: &str| match notification.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.text() {
            Some(text) => Ok(Some(text.into_owned()).filter(|text| !text.is_empty())),
            None => Err(Invalid::new(field, "expected text")),
        },
    };
    let number = |field: &str| match notification.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.int().map(Some).ok_or_else(|| Invalid::new(field, "expected a whole number")),
    };
    let platform = match number("platform")? {
        Some(1) => "ios",
        Some(2) => "android",
        Some(3) => return Err(Invalid::new("platform", "3 (huawei) is not supported")),
        _ => return Err(Invalid::new("platform", "expected 1 (ios) or 2 (android)")),
    };
    let app = app(text("topic")?, settings)?;
    let environment = if notification.get("development").is_some_and(Value::truthy) { "dev" } else { "prod" };
    let (tokens, count) = tokens(notification, platform, &app, environment)?;
    let (title, body) = (text("title")?, text("message")?);
    if title.is_none() && body.is_none() {
        return Err(Invalid::new("message", "is missing, and title too"));
    }
    let string = |text: &str| Value::Str(text.as_bytes().to_vec());
    let mut event = vec![
        (Key::from("type"), string(&settings.gorush_type)),
        (Key::from("to"), Value::Map(vec![(Key::from("tokens"), tokens)])),
        (Key::from("title"), string(&title.unwrap_or_default())),
        (Key::from("body"), string(&body.unwrap_or_default())),
        (Key::from("data"), data(notification)?),
    ];
    if let Some(priority) = text("priority")? {
        event.push((Key::from("priority"), string(&priority)));
    }
    // 0 says nothing in either.
    let left = number("expiration")?.filter(|at| *at > 0).map(|at| ("expiration", at.saturating_sub(now / 1_000)));
    let ttl = number("time_to_live")?.filter(|ttl| *ttl != 0).map(|ttl| ("time_to_live", ttl));
    if let Some((field, seconds)) = left.or(ttl) {
        if seconds < 1 {
            return Err(Invalid::new(field, "has passed"));
        }
        event.push((Key::from("expires_in"), Value::Int(seconds)));
    }
    Ok((Value::Map(event), count))
}

fn app(topic: Option<String>, settings: &Settings) -> Result<String, Invalid> {
    if let Some(topic) = topic
        && !settings.apps.is_empty()
    {
        let app = settings.apps.get(&topic).cloned();
        return app.ok_or_else(|| Invalid::new("topic", format!("`{topic}` is none of intake.apps")));
    }
    let default = settings.gorush_app.clone();
    default.ok_or_else(|| Invalid::new("topic", "is missing, and there is no intake.gorush_app"))
}

fn tokens(notification: &Value, platform: &str, app: &str, environment: &str) -> Result<(Value, usize), Invalid> {
    let Some(Value::List(tokens)) = notification.get("tokens") else {
        return Err(Invalid::new("tokens", "expected a list of tokens"));
    };
    if tokens.is_empty() {
        return Err(Invalid::new("tokens", "expected at least one"));
    }
    let device = |(i, token): (usize, &Value)| match token {
        Value::Str(token) => {
            let fields = [
                ("token", token.clone()),
                ("platform", platform.into()),
                ("app", app.into()),
                ("env", environment.into()),
            ];
            Ok(Value::Map(fields.into_iter().map(|(name, text)| (Key::from(name), Value::Str(text))).collect()))
        }
        _ => Err(Invalid::new(format!("tokens.{i}"), "expected text")),
    };
    let devices = tokens.iter().enumerate().map(device).collect::<Result<Vec<_>, _>>()?;
    let count = devices.len();
    Ok((Value::List(devices), count))
}

fn data(notification: &Value) -> Result<Value, Invalid> {
    let mut fields = match notification.get("data") {
        None | Some(Value::Null) => Vec::new(),
        Some(data) => data.entries().ok_or_else(|| Invalid::new("data", "expected an object"))?.to_vec(),
    };
    if let Some(badge) = notification.get("badge").filter(|badge| !matches!(badge, Value::Null))
        && !fields.iter().any(|(key, _)| key.text() == "badge")
    {
        fields.push((Key::from("badge"), badge.clone()));
    }
    Ok(Value::Map(fields))
}

#[cfg(test)]
#[path = "gorush_tests.rs"]
mod tests;
