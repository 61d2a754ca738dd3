//! The service's checks of a single-device push, in the order of the documentation: common parameters, application,
//! signature, clock, then the push itself. (Xinge v2 REST documentation: the 2017 edition for the signature, the 2018
//! edition for parameters, limits and codes; the official SDKs for message types 11 and 12.)

use std::{collections::HashMap, fmt::Write as _};

use homing_core::notification::Platform;
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{config::App, form::Form};

const VALID_TIME: i64 = 600;
const EXPIRE_TIME: u64 = 259_200;
const MESSAGE_BYTES: usize = 4096;

/// The known apps by access id.
pub(super) type Apps = HashMap<u64, App>;

/// A request as far as the checks look at it.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// The `Host` header.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) form: &'a Form<'a>,
    /// Unix seconds on the service's clock.
    pub(super) now: i64,
}

/// A push that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) access_id: u64,
    pub(super) platform: Platform,
    pub(super) token: String,
    pub(super) message_type: u8,
    pub(super) message: String,
    /// The custom field `id`.
    pub(super) id: Option<String>,
}

/// `ret_code` and `err_msg`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) i64, pub(super) String);

fn refuse<T>(code: i64, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(code, text.into()))
}

/// All checks.
pub(super) fn check(call: &Call<'_>, apps: &Apps) -> Result<Push, Refusal> {
    let app = authenticate(call, apps)?;
    let form = call.form;
    let message_type = message_type(form, app.platform)?;
    optional_numbers(form)?;
    let environment = form.value("environment").unwrap_or("0");
    if app.platform == Platform::Ios && !matches!(environment, "1" | "2") {
        return refuse(-1, format!("environment `{environment}`: iOS needs 1 (production) or 2 (development)"));
    }
    let text = required(form, "message")?;
    if text.len() > MESSAGE_BYTES {
        return refuse(73, format!("message has {} bytes, the limit is {MESSAGE_BYTES}", text.len()));
    }
    let Ok(Value::Object(message)) = serde_json::from_str(text) else { return refuse(75, "message is no JSON object") };
    shape(&message, message_type)?;
    let token = required(form, "device_token")?;
    let fits = match app.platform {
        Platform::Android => matches!(token.len(), 40 | 64),
        Platform::Ios => token.len() == 64,
    };
    if !fits {
        return refuse(14, format!("device_token has {} characters", token.len()));
    }
    Ok(Push {
        access_id: app.access_id,
        platform: app.platform,
        token: token.to_owned(),
        message_type,
        message: text.to_owned(),
        id: id(&message, app.platform),
    })
}

fn authenticate<'a>(call: &Call<'_>, apps: &'a Apps) -> Result<&'a App, Refusal> {
    let form = call.form;
    if let Some(name) = form.repeated() {
        return refuse(-101, format!("{name} comes twice"));
    }
    let common = |name| form.value(name).ok_or_else(|| Refusal(-101, format!("{name} is missing")));
    let access_id: u64 = number(common("access_id")?, "access_id", -101)?;
    let timestamp: i64 = number(common("timestamp")?, "timestamp", -101)?;
    let sign = common("sign")?;
    let Some(app) = apps.get(&access_id) else { return refuse(20, format!("access_id {access_id} is not registered")) };
    if sign != expected_sign(call, &app.secret) {
        return refuse(-103, "sign is invalid");
    }
    let valid_time = match form.value("valid_time").map(str::parse::<i64>) {
        Some(Ok(seconds)) if (0..=VALID_TIME).contains(&seconds) => seconds,
        _ => VALID_TIME,
    };
    if call.now.saturating_sub(timestamp).saturating_abs() > valid_time {
        return refuse(-2, format!("timestamp {timestamp} is not within {valid_time} s of {}", call.now));
    }
    Ok(app)
}

/// Method, host without port, path, every other parameter as `k=v` by byte order, the secret: MD5 in lower-case hex.
fn expected_sign(call: &Call<'_>, secret: &SecretString) -> String {
    let host = match call.host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => call.host,
    };
    let mut source = [call.method, host, call.path].concat();
    for (name, value) in call.form.sorted() {
        if name != "sign" {
            source.push_str(name);
            source.push('=');
            source.push_str(value);
        }
    }
    source.push_str(secret.expose_secret());
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(source.as_bytes()) {
        // Writing to a String does not fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

fn required<'a>(form: &'a Form<'_>, name: &str) -> Result<&'a str, Refusal> {
    match form.value(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => refuse(-1, format!("{name} is missing")),
    }
}

fn number<T: std::str::FromStr>(text: &str, name: &str, code: i64) -> Result<T, Refusal> {
    text.parse().or_else(|_| refuse(code, format!("{name} is no number")))
}

fn message_type(form: &Form<'_>, platform: Platform) -> Result<u8, Refusal> {
    let text = required(form, "message_type")?;
    match (platform, text) {
        (Platform::Android, "1") => Ok(1),
        (Platform::Android, "2") => Ok(2),
        (Platform::Ios, "0") => Ok(0),
        (Platform::Ios, "11") => Ok(11),
        (Platform::Ios, "12") => Ok(12),
        _ => refuse(-1, format!("message_type `{text}` does not fit an {} id", platform.name())),
    }
}

fn optional_numbers(form: &Form<'_>) -> Result<(), Refusal> {
    if let Some(text) = form.value("expire_time") {
        let seconds: u64 = number(text, "expire_time", -1)?;
        if seconds > EXPIRE_TIME {
            return refuse(-1, format!("expire_time {seconds} is above {EXPIRE_TIME}"));
        }
    }
    match form.value("multi_pkg") {
        None | Some("0" | "1") => Ok(()),
        Some(other) => refuse(-1, format!("multi_pkg `{other}` is neither 0 nor 1")),
    }
}

fn shape(message: &Map<String, Value>, message_type: u8) -> Result<(), Refusal> {
    let text = |key: &str| match message.get(key) {
        Some(Value::String(_)) => Ok(()),
        _ => refuse(-1, format!("message: {key} is no text")),
    };
    match message_type {
        1 => {
            text("title")?;
            text("content")?;
            if !message.get("builder_id").is_some_and(Value::is_i64) {
                return refuse(-1, "message: builder_id is no number");
            }
        }
        2 => text("content")?,
        _ => {
            if !message.get("aps").is_some_and(Value::is_object) {
                return refuse(-1, "message: aps is no object");
            }
        }
    }
    match message.get("accept_time") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(windows)) if windows.iter().all(in_order) => Ok(()),
        Some(_) => refuse(-1, "message: accept_time is wrong"),
    }
}

/// Whether a window of `accept_time` runs forward within one day.
fn in_order(window: &Value) -> bool {
    let part = |end: &str, unit: &str, below: i64| {
        let value = window.get(end)?.get(unit)?;
        let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
        (0..below).contains(&number).then_some(number)
    };
    let time = |end: &str| Some((part(end, "hour", 24)?, part(end, "min", 60)?));
    matches!((time("start"), time("end")), (Some(start), Some(end)) if end >= start)
}

fn id(message: &Map<String, Value>, platform: Platform) -> Option<String> {
    let id = match platform {
        Platform::Android => message.get("custom_content")?.get("id")?,
        Platform::Ios => message.get("id")?,
    };
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
