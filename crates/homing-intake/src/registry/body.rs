//! What a body says: a device, or preferences. Every field is checked, and the first that is wrong is named.

use std::collections::BTreeMap;

use homing_core::{
    event::Invalid,
    notification::{Environment, Platform},
    quiet::QuietHours,
    registry::{Device, MAX_NAME, MAX_TOKEN, MAX_TOKENS, Preferences},
};
use serde_json::{Map, Value};

/// The longest short text in bytes: an app, a channel, a language, a time zone.
const MAX_SHORT: usize = 64;
/// The most topics of one body.
const MAX_TOPICS: usize = 100;
/// The most muted types.
const MAX_MUTED: usize = 100;

/// A body as an object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Invalid> {
    if body.trim_ascii().is_empty() {
        return Err(Invalid::new("body", "is empty: expected an object"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Invalid::new("body", format!("expected an object, found {}", kind(&other)))),
        Err(error) => Err(Invalid::new("body", format!("json: {error}"))),
    }
}

/// Reads a device; `id` where the path names it. Tokens of `channels` alone, if there are any.
pub(super) fn device(fields: &Map<String, Value>, id: Option<&str>, channels: &[String]) -> Result<Device, Invalid> {
    only(fields, &["id", "app", "platform", "env", "tokens", "locale", "model", "topics"])?;
    let own = text(fields, "id", MAX_NAME)?;
    let id = match (id, own) {
        (Some(id), Some(own)) if own != id => return Err(Invalid::new("id", "is not the one of the path")),
        (Some(id), _) => id.to_owned(),
        (None, own) => own.ok_or_else(|| missing("id", "the installation's own, made by the app"))?,
    };
    let app = text(fields, "app", MAX_SHORT)?.ok_or_else(|| missing("app", "its name, as the accounts have it"))?;
    let platforms = Platform::NAMES;
    let platform = text(fields, "platform", MAX_SHORT)?.ok_or_else(|| missing("platform", platforms))?;
    let platform =
        Platform::parse(&platform).ok_or_else(|| Invalid::new("platform", format!("is none of {platforms}")))?;
    let environment = match text(fields, "env", MAX_SHORT)? {
        None => Environment::default(),
        Some(text) => Environment::parse(&text).ok_or_else(|| Invalid::new("env", "is neither prod nor dev"))?,
    };
    let locale = text(fields, "locale", 35)?;
    if let Some(locale) = &locale {
        language(locale)?;
    }
    Ok(Device {
        id,
        app,
        platform,
        environment,
        tokens: tokens(fields.get("tokens"), channels)?,
        locale,
        model: text(fields, "model", 200)?,
        topics: names(fields.get("topics"), "topics", MAX_TOPICS, MAX_NAME)?,
    })
}

fn tokens(value: Option<&Value>, channels: &[String]) -> Result<BTreeMap<String, String>, Invalid> {
    let Some(Value::Object(named)) = value else {
        return Err(match value {
            None | Some(Value::Null) => missing("tokens", "an object of channel to token"),
            Some(other) => {
                Invalid::new("tokens", format!("expected an object of channel to token, found {}", kind(other)))
            }
        });
    };
    if named.is_empty() || named.len() > MAX_TOKENS {
        return Err(Invalid::new("tokens", format!("expected 1 to {MAX_TOKENS} channels, found {}", named.len())));
    }
    let mut tokens = BTreeMap::new();
    for (channel, token) in named {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if channel.is_empty() || channel.len() > MAX_SHORT || !channel.bytes().all(fine) {
            let what = "names no channel: 1 to 64 small letters, digits, _ and -";
            return Err(Invalid::new(format!("tokens.{}", shown(channel)), what));
        }
        let field = format!("tokens.{channel}");
        if !channels.is_empty() && !channels.contains(channel) {
            return Err(Invalid::new(field, format!("is no channel of this installation: {}", channels.join(", "))));
        }
        let token = match token {
            Value::String(token) => token.clone(),
            // A browser's subscription, as it says it.
            Value::Object(subscription) if subscription.contains_key("endpoint") => token.to_string(),
            other => {
                let what = format!("expected text, or a browser's subscription, found {}", kind(other));
                return Err(Invalid::new(field, what));
            }
        };
        if token.trim().is_empty() || token.len() > MAX_TOKEN {
            return Err(Invalid::new(field, format!("expected 1 to {MAX_TOKEN} bytes, found {}", token.len())));
        }
        if token.contains(char::is_control) {
            return Err(Invalid::new(field, "has control characters"));
        }
        tokens.insert(channel.clone(), token);
    }
    Ok(tokens)
}

/// Reads preferences. `is_type` knows the catalogue.
pub(super) fn preferences(fields: &Map<String, Value>, is_type: impl Fn(&str) -> bool) -> Result<Preferences, Invalid> {
    only(fields, &["locale", "time_zone", "quiet_from", "quiet_to", "muted"])?;
    let short = |name: &str| text(fields, name, MAX_SHORT);
    let locale = text(fields, "locale", 35)?;
    if let Some(locale) = &locale {
        language(locale)?;
    }
    let (time_zone, quiet_from, quiet_to) = (short("time_zone")?, short("quiet_from")?, short("quiet_to")?);
    // Each by itself, so that the field is named; the other two are good.
    for (name, value) in [("time_zone", &time_zone), ("quiet_from", &quiet_from), ("quiet_to", &quiet_to)] {
        let Some(value) = value else { continue };
        let parsed = match name {
            "time_zone" => QuietHours::parse("00:00", "00:00", value),
            "quiet_from" => QuietHours::parse(value, "00:00", "UTC"),
            _ => QuietHours::parse("00:00", value, "UTC"),
        };
        parsed.map_err(|what| Invalid::new(name, what))?;
    }
    let muted = names(fields.get("muted"), "muted", MAX_MUTED, MAX_SHORT)?;
    for (i, name) in muted.iter().enumerate() {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if !name.bytes().all(fine) || !is_type(name) {
            return Err(Invalid::new(format!("muted.{i}"), "is no type of the catalogue, by name or code"));
        }
    }
    Ok(Preferences { locale, time_zone, quiet_from, quiet_to, muted })
}

/// An id or a name of the path.
pub(super) fn named(field: &'static str, text: String, most: usize) -> Result<String, Invalid> {
    checked(field, &text, most)?;
    Ok(text)
}

fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Invalid::new(shown(name), format!("is not known; there are {}", known.join(", ")))),
        None => Ok(()),
    }
}

fn text(fields: &Map<String, Value>, name: &str, most: usize) -> Result<Option<String>, Invalid> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => {
            checked(name, text, most)?;
            Ok(Some(text.clone()))
        }
        Some(other) => Err(Invalid::new(name, format!("expected text, found {}", kind(other)))),
    }
}

fn names(value: Option<&Value>, field: &str, most: usize, length: usize) -> Result<Vec<String>, Invalid> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(Invalid::new(field, format!("expected a list, found {}", kind(other)))),
    };
    if list.len() > most {
        return Err(Invalid::new(field, format!("expected at most {most}, found {}", list.len())));
    }
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for (i, name) in list.iter().enumerate() {
        let field = format!("{field}.{i}");
        let name = match name {
            Value::String(name) => name.clone(),
            Value::Number(number) if number.is_i64() => number.to_string(),
            other => return Err(Invalid::new(field, format!("expected text, found {}", kind(other)))),
        };
        checked(&field, &name, length)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn checked(field: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > most {
        return Err(Invalid::new(field, format!("expected 1 to {most} bytes, found {}", text.len())));
    }
    if text.contains(char::is_control) {
        return Err(Invalid::new(field, "has control characters"));
    }
    Ok(())
}

/// `en`, `zh-CN`, `zh_Hans_CN`.
fn language(locale: &str) -> Result<(), Invalid> {
    let part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if locale.split(['-', '_']).all(part) && locale.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(());
    }
    Err(Invalid::new("locale", "is no language such as en or zh-CN"))
}

fn missing(field: &str, what: &str) -> Invalid {
    Invalid::new(field, format!("is missing: {what}"))
}

/// The beginning of a name that somebody made up.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing (null)",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
