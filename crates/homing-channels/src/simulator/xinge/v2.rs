//! The service's checks of v2 calls, in the order of the documentation: common parameters, application, signature, clock,
//! then the call itself. (Xinge v2 REST documentation: the 2017 edition for the signature, the 2018 edition for
//! parameters, limits and codes; the official SDKs for message types 11 and 12.)

use std::{fmt::Write as _, sync::Arc};

use homing_core::notification::Platform;
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{
    apps::Apps,
    config::{App, Flavour},
    form::Form,
    order::{Content, Order, Refusal, To},
};

const VALID_TIME: i64 = 600;
const EXPIRE_TIME: i64 = 259_200;
const MESSAGE_BYTES: usize = 4096;
const LIST_LENGTH: usize = 1000;

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

fn refuse<T>(code: i64, text: impl Into<String>) -> Result<T, Refusal> {
    Err(refusal(code, text))
}

fn refusal(code: i64, text: impl Into<String>) -> Refusal {
    Refusal::new(Flavour::V2, code, text)
}

/// All checks.
pub(super) fn check(call: &Call<'_>, apps: &Apps) -> Result<Order, Refusal> {
    let app = authenticate(call, apps)?;
    let form = call.form;
    match call.path {
        "/v2/push/create_multipush" => {
            if form.value("send_time").is_some_and(|time| !time.is_empty()) {
                return refuse(-1, "send_time: a task for lists knows no timing");
            }
            let (content, expire_s) = content(form, app)?;
            Ok(Order::Create { content, expire_s })
        }
        "/v2/push/device_list_multiple" => page(form, app),
        "/v2/application/get_app_device_num" => Ok(Order::Query { app, result: serde_json::json!({"device_num": 1}) }),
        _ => {
            let platform = app.platform;
            let (content, expire_s) = content(form, app)?;
            let token = required(form, "device_token")?;
            fits(platform, token)?;
            Ok(Order::Push { content, to: To::One(token.to_owned()), expire_s })
        }
    }
}

/// Everything about the message itself.
fn content(form: &Form<'_>, app: Arc<App>) -> Result<(Content, i64), Refusal> {
    let message_type = message_type(form, app.platform)?;
    let expire_s = optional_numbers(form)?;
    let environment = match (app.platform, form.value("environment").unwrap_or("0")) {
        (_, "1") => "1",
        (_, "2") => "2",
        (Platform::Ios, other) => {
            return refuse(-1, format!("environment `{other}`: iOS needs 1 (production) or 2 (development)"));
        }
        (_, "0") => "0",
        (_, other) => return refuse(-1, format!("environment `{other}` is none")),
    };
    let text = required(form, "message")?;
    if text.len() > MESSAGE_BYTES {
        return refuse(73, format!("message has {} bytes, the limit is {MESSAGE_BYTES}", text.len()));
    }
    let Ok(Value::Object(message)) = serde_json::from_str(text) else { return refuse(75, "message is no JSON object") };
    shape(&message, message_type)?;
    let id = match app.platform {
        Platform::Ios => Content::id_of(Some(&Value::Object(message))),
        _ => Content::id_of(message.get("custom_content")),
    };
    let message_type = Value::from(message_type);
    Ok((Content { app, message_type, environment, message: text.to_owned(), id }, expire_s))
}

/// A page of devices for a task.
fn page(form: &Form<'_>, app: Arc<App>) -> Result<Order, Refusal> {
    let push_id = required(form, "push_id")?;
    if !push_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(-1, "push_id is no number");
    }
    let list = required(form, "device_list")?;
    let Ok(tokens) = serde_json::from_str::<Vec<String>>(list) else {
        return refuse(-1, "device_list is no JSON array of texts");
    };
    if tokens.is_empty() || tokens.len() > LIST_LENGTH {
        return refuse(-1, format!("device_list has {} devices, 1 to {LIST_LENGTH} pass", tokens.len()));
    }
    tokens.iter().try_for_each(|token| fits(app.platform, token))?;
    Ok(Order::Page { app, push_id: push_id.to_owned(), tokens })
}

fn fits(platform: Platform, token: &str) -> Result<(), Refusal> {
    let fits = match platform {
        Platform::Ios => token.len() == 64,
        _ => matches!(token.len(), 40 | 64),
    };
    if fits { Ok(()) } else { refuse(14, format!("a device token has {} characters", token.len())) }
}

fn authenticate(call: &Call<'_>, apps: &Apps) -> Result<Arc<App>, Refusal> {
    let form = call.form;
    if let Some(name) = form.repeated() {
        return refuse(-101, format!("{name} comes twice"));
    }
    let common = |name| form.value(name).ok_or_else(|| refusal(-101, format!("{name} is missing")));
    let access_id: u64 = number(common("access_id")?, "access_id", -101)?;
    let timestamp: i64 = number(common("timestamp")?, "timestamp", -101)?;
    let sign = common("sign")?;
    let Some(app) = apps.get(Flavour::V2, &access_id.to_string()) else {
        return refuse(20, format!("access_id {access_id} is not registered"));
    };
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

/// Answers `expire_time` in seconds.
fn optional_numbers(form: &Form<'_>) -> Result<i64, Refusal> {
    let mut expire_s = EXPIRE_TIME;
    if let Some(text) = form.value("expire_time") {
        let seconds: u64 = number(text, "expire_time", -1)?;
        match i64::try_from(seconds) {
            Ok(0) => {}
            Ok(seconds) if seconds <= EXPIRE_TIME => expire_s = seconds,
            _ => return refuse(-1, format!("expire_time {seconds} is above {EXPIRE_TIME}")),
        }
    }
    match form.value("multi_pkg") {
        None | Some("0" | "1") => Ok(expire_s),
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
pub(super) fn in_order(window: &Value) -> bool {
    let part = |end: &str, unit: &str, below: i64| {
        let value = window.get(end)?.get(unit)?;
        let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
        (0..below).contains(&number).then_some(number)
    };
    let time = |end: &str| Some((part(end, "hour", 24)?, part(end, "min", 60)?));
    matches!((time("start"), time("end")), (Some(start), Some(end)) if end >= start)
}
