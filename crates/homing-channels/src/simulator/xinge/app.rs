//! The service's checks of `/v3/push/app` and `/v3/device/tag`, under v3 and TPNS. (Xinge v3 REST documentation, 2018
//! edition, "push API", "tag API"; TPNS documentation, 548/39064.)

use std::sync::Arc;

use homing_core::notification::Platform;
use jiff::civil::DateTime;
use serde_json::{Map, Value};

use super::{
    config::{App, Flavour},
    fields::{Fault, Fields},
    order::{Content, Order, Refusal, To},
    v2::in_order,
};

const EXPIRE_TIME: i64 = 259_200;
const MESSAGE_BYTES: usize = 4096;
const LIST_LENGTH: usize = 1000;
const TAGS: usize = 20;

/// All checks of a push, after its sender proved who it is.
pub(super) fn push(app: Arc<App>, body: &[u8], now: i64) -> Result<Order, Refusal> {
    let flavour = app.flavour;
    let fields = Fields::read(flavour, body)?;
    let audience: String = fields.required("audience_type")?;
    platform(&fields, &app, &audience)?;
    let environment = environment(&fields, app.platform)?;
    let expire_s = numbers(&fields, &audience)?;
    send_time(&fields, &audience, now)?;
    let to = match audience.as_str() {
        "token" => {
            // Only the first counts.
            let mut tokens = tokens(&fields)?;
            tokens.truncate(1);
            tokens.pop().map(To::One)
        }
        "token_list" => {
            let tokens = tokens(&fields)?;
            if let Some(push_id) = task(&fields)? {
                return Ok(Order::Page { app, push_id, tokens });
            }
            let skip_invalid = fields.optional::<i64>("ignore_invalid_token")?.unwrap_or(0) == 1;
            Some(To::Page { tokens, skip_invalid })
        }
        "account" | "account_list" => {
            fields.list("account_list", LIST_LENGTH, Fault::NoAccount)?;
            if audience == "account_list" {
                task(&fields)?;
            }
            None
        }
        "tag" => tags(&fields).map(|()| None)?,
        "all" => None,
        "package_account_push" | "package_token_push" if flavour == Flavour::Tpns => {
            fields.required::<i64>("upload_id")?;
            None
        }
        other => return fields.refuse(Fault::Bad, format!("audience_type `{other}` is none")),
    };
    let (message_type, message, id) = message(&fields, app.platform)?;
    let Some(to) = to else { return Ok(Order::Nobody { app, environment }) };
    let message_type = Value::from(message_type);
    Ok(Order::Push { content: Content { app, message_type, environment, message, id }, to, expire_s })
}

/// All checks of a call that changes tags.
pub(super) fn tag(app: Arc<App>, body: &[u8]) -> Result<Order, Refusal> {
    let fields = Fields::read(app.flavour, body)?;
    let operator: i64 = fields.required("operator_type")?;
    if !(1..=10).contains(&operator) {
        return fields.refuse(Fault::Bad, format!("operator_type {operator} is not within 1 to 10"));
    }
    if app.flavour == Flavour::V3 {
        platform(&fields, &app, "token_list")?;
    }
    for name in ["token_list", "tag_list"] {
        let list: Vec<String> = fields.optional(name)?.unwrap_or_default();
        if list.len() > TAGS || (name == "tag_list" && list.iter().any(|tag| tag.len() > 50)) {
            return fields.refuse(Fault::Bad, format!("{name}: {TAGS} entries pass, a tag of 50 bytes"));
        }
    }
    let pairs: Vec<Value> = fields.optional("tag_token_list")?.unwrap_or_default();
    let shaped = |pair: &Value| match app.flavour {
        Flavour::Tpns => {
            pair.get("tag").is_some_and(Value::is_string) && pair.get("token").is_some_and(Value::is_string)
        }
        _ => pair.as_array().is_some_and(|pair| pair.len() == 2 && pair.iter().all(Value::is_string)),
    };
    if pairs.len() > TAGS || !pairs.iter().all(shaped) {
        return fields.refuse(Fault::Bad, format!("tag_token_list: {TAGS} pairs of tag and token pass"));
    }
    Ok(Order::Nobody { app, environment: "product" })
}

/// All checks of a question about accounts. Nobody is known here, so nobody is found.
pub(super) fn query(app: Arc<App>, body: &[u8]) -> Result<Order, Refusal> {
    let fields = Fields::read(app.flavour, body)?;
    let operator: i64 = fields.required("operator_type")?;
    if !(1..=2).contains(&operator) {
        return fields.refuse(Fault::Bad, format!("operator_type {operator} is neither 1 nor 2"));
    }
    if app.flavour == Flavour::V3 {
        platform(&fields, &app, "account_list")?;
    }
    let accounts: Vec<Value> = fields.optional("account_list")?.unwrap_or_default();
    if operator == 1 && (accounts.is_empty() || accounts.iter().any(|account| !account["account"].is_string())) {
        return fields.refuse(Fault::NoAccount, "account_list is missing or empty");
    }
    Ok(Order::Query { app, result: Value::Array(Vec::new()) })
}

/// v3 asks for the platform; TPNS has no use for it.
fn platform(fields: &Fields<'_>, app: &App, audience: &str) -> Result<(), Refusal> {
    if app.flavour == Flavour::Tpns {
        return fields.optional::<String>("platform").map(drop);
    }
    let platform: String = fields.required("platform")?;
    match platform.as_str() {
        "all" if matches!(audience, "all" | "tag") => Ok(()),
        "all" => fields.refuse(Fault::OnePlatform, format!("platform all does not go with {audience}")),
        name if name == app.platform.name() => Ok(()),
        other => fields.refuse(Fault::Bad, format!("platform `{other}` is not that of the app")),
    }
}

fn environment(fields: &Fields<'_>, platform: Platform) -> Result<&'static str, Refusal> {
    match fields.optional::<String>("environment")?.as_deref() {
        Some("product") => Ok("product"),
        Some("dev") => Ok("dev"),
        Some(other) => fields.refuse(Fault::Bad, format!("environment `{other}` is neither product nor dev")),
        None if fields.flavour == Flavour::Tpns && platform == Platform::Ios => {
            fields.refuse(Fault::Missing, "environment is missing: iOS needs product or dev")
        }
        None => Ok("product"),
    }
}

/// The optional numbers and switches; answers `expire_time` in seconds.
fn numbers(fields: &Fields<'_>, audience: &str) -> Result<i64, Refusal> {
    for name in ["seq", "loop_times", "loop_interval", "badge_type", "account_type", "account_push_type", "push_speed"]
    {
        fields.optional::<i64>(name)?;
    }
    for name in ["multi_pkg", "force_collapse"] {
        fields.optional::<bool>(name)?;
    }
    let collapse: i64 = fields.optional("collapse_id")?.unwrap_or(0);
    if collapse != 0 && !matches!(audience, "all" | "tag") && !audience.starts_with("package_") {
        return fields.refuse(Fault::Bad, format!("collapse_id does not go with {audience}"));
    }
    match fields.optional::<i64>("expire_time")? {
        Some(seconds) if !(0..=EXPIRE_TIME).contains(&seconds) => {
            fields.refuse(Fault::Bad, format!("expire_time {seconds} is not within 0 to {EXPIRE_TIME}"))
        }
        None => Ok(EXPIRE_TIME),
        Some(0) if fields.flavour == Flavour::V3 => Ok(EXPIRE_TIME),
        Some(seconds @ 1..800) if fields.flavour == Flavour::Tpns => Ok(seconds.max(800)),
        Some(seconds) => Ok(seconds),
    }
}

/// `YYYY-MM-DD HH:MM:SS` in Beijing. TPNS takes one that is up to ten minutes past or 90 days ahead.
fn send_time(fields: &Fields<'_>, audience: &str, now: i64) -> Result<(), Refusal> {
    let Some(text) = fields.optional::<String>("send_time")?.filter(|text| !text.is_empty()) else { return Ok(()) };
    let Ok(time) = DateTime::strptime("%Y-%m-%d %H:%M:%S", &text) else {
        return fields.refuse(Fault::Date, format!("send_time `{text}` is no time"));
    };
    if fields.flavour != Flavour::Tpns || audience.starts_with("token") || audience.starts_with("account") {
        return Ok(());
    }
    let beijing = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let seconds = time.to_zoned(beijing).map_or(now, |time| time.timestamp().as_second());
    if (now - 600..=now + 90 * 86_400).contains(&seconds) {
        return Ok(());
    }
    Err(Refusal::new(Flavour::Tpns, 10_010_012, format!("send_time `{text}` is past or too far ahead")))
}

fn tokens(fields: &Fields<'_>) -> Result<Vec<String>, Refusal> {
    let tokens = fields.list("token_list", LIST_LENGTH, Fault::Missing)?;
    // A token of v3 that cannot be one is refused with its call; TPNS answers for each.
    if fields.flavour == Flavour::V3 && tokens.iter().any(|token| !(1..=64).contains(&token.len())) {
        return fields.refuse(Fault::Bad, "a token has 1 to 64 characters");
    }
    Ok(tokens)
}

/// The task that a page of v3 goes on with; none for a first page. TPNS has no pages.
fn task(fields: &Fields<'_>) -> Result<Option<String>, Refusal> {
    let push_id = fields.optional::<String>("push_id")?;
    match (fields.flavour, push_id.as_deref()) {
        (Flavour::Tpns, None | Some("" | "0")) | (Flavour::V3, Some("0")) => Ok(None),
        (Flavour::Tpns, Some(_)) => Err(Refusal::new(Flavour::Tpns, 1_008_015, "push_id: there are no pages any more")),
        (_, None) => fields.refuse(Fault::Missing, "push_id is missing: \"0\" begins a list"),
        (_, Some(id)) if id.bytes().all(|byte| byte.is_ascii_digit()) && !id.is_empty() => Ok(push_id),
        (_, Some(_)) => fields.refuse(Fault::Bad, "push_id is no number"),
    }
}

fn tags(fields: &Fields<'_>) -> Result<(), Refusal> {
    if fields.flavour == Flavour::Tpns && fields.optional::<Vec<Value>>("tag_rules")?.is_some_and(|r| !r.is_empty()) {
        return Ok(());
    }
    let list: Map<String, Value> = fields.required("tag_list")?;
    let tags = list.get("tags").and_then(Value::as_array);
    let op = list.get("op").and_then(Value::as_str);
    match (tags, op) {
        (Some(tags), Some("AND" | "OR")) if !tags.is_empty() && tags.iter().all(Value::is_string) => Ok(()),
        _ => fields.refuse(Fault::Bad, "tag_list needs tags and op AND or OR"),
    }
}

/// Type, text as it came, and the id among its custom fields.
fn message(fields: &Fields<'_>, platform: Platform) -> Result<(String, String, Option<String>), Refusal> {
    // v3 asks for message_type, but one of its SDKs leaves it out and was served.
    let message_type = match fields.flavour {
        Flavour::Tpns => fields.required::<String>("message_type")?,
        _ => fields.optional("message_type")?.unwrap_or_else(|| "notify".to_owned()),
    };
    if !matches!(message_type.as_str(), "notify" | "message") {
        return fields.refuse(Fault::Bad, format!("message_type `{message_type}` is neither notify nor message"));
    }
    let Some(text) = fields.raw("message") else { return fields.refuse(Fault::Missing, "message is missing") };
    if text.len() > MESSAGE_BYTES {
        let size = format!("message has {} bytes, the limit is {MESSAGE_BYTES}", text.len());
        return fields.refuse(Fault::TooLong, size);
    }
    let message: Value = fields.required("message")?;
    let bad = |what: &str| fields.refuse(Fault::Bad, format!("message: {what}"));
    let Some(map) = message.as_object() else { return bad("it is no object") };
    for key in ["title", "content"] {
        match map.get(key) {
            Some(value) if !value.is_string() => return bad(&format!("{key} is no text")),
            None if message_type == "notify" => {
                return fields.refuse(Fault::Missing, format!("message: {key} is missing"));
            }
            _ => {}
        }
    }
    match map.get("accept_time") {
        None => {}
        Some(Value::Array(windows)) if windows.iter().all(in_order) => {}
        Some(_) => return bad("accept_time is wrong"),
    }
    let problem =
        part(map, "android").and_then(|android| android.map_or(Ok(()), |part| shape_android(part, fields.flavour)));
    let problem = problem.and_then(|()| part(map, "ios")?.map_or(Ok(()), |part| shape_ios(part, fields.flavour)));
    if let Err(problem) = problem {
        return bad(problem);
    }
    let id = Content::custom_of(&message, platform).and_then(|custom| Content::id_of(Some(&custom)));
    Ok((message_type, text.to_owned(), id))
}

fn part<'a>(message: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, &'static str> {
    match message.get(name) {
        None => Ok(None),
        Some(Value::Object(part)) => Ok(Some(part)),
        Some(_) => Err("android and ios are objects"),
    }
}

fn shape_android(part: &Map<String, Value>, flavour: Flavour) -> Result<(), &'static str> {
    const NUMBERS: [&str; 8] =
        ["builder_id", "n_id", "ring", "vibrate", "lights", "clearable", "icon_type", "style_id"];
    if NUMBERS.iter().any(|name| part.get(*name).is_some_and(|value| !value.is_i64())) {
        return Err("a number of android is none");
    }
    if part.get("n_id").and_then(Value::as_i64).is_some_and(|id| !(-1..=i64::from(i32::MAX)).contains(&id)) {
        return Err("android.n_id is out of its range");
    }
    match part.get("action") {
        None => {}
        Some(action) => {
            let within = |name: &str, key: &str| action.get(name).and_then(|of| of.get(key)).and_then(Value::as_str);
            let fits = match action.get("action_type").and_then(Value::as_i64) {
                Some(1 | 4..=6) => true,
                Some(2) => within("browser", "url").is_some_and(|url| url.starts_with("http")),
                Some(3) => action.get("intent").and_then(Value::as_str).is_some_and(|intent| !intent.is_empty()),
                _ => false,
            };
            if !fits {
                return Err("android.action is wrong");
            }
        }
    }
    match (flavour, part.get("custom_content")) {
        (_, None) => Ok(()),
        (Flavour::Tpns, Some(Value::String(text))) if is_text_of_object(text) => Ok(()),
        (Flavour::Tpns, Some(_)) => Err("android.custom_content is not the text of a JSON object"),
        (_, Some(Value::Object(custom))) if custom.values().all(Value::is_string) => Ok(()),
        (_, Some(_)) => Err("android.custom_content is no object of texts"),
    }
}

fn shape_ios(part: &Map<String, Value>, flavour: Flavour) -> Result<(), &'static str> {
    match part.get("aps") {
        None => {}
        Some(Value::Object(aps)) => {
            if aps.get("alert").is_some_and(|alert| !alert.is_object() && !alert.is_string()) {
                return Err("ios.aps.alert is neither object nor text");
            }
            if aps.get("badge_type").is_some_and(|badge| badge.as_i64().is_none_or(|badge| badge < -2)) {
                return Err("ios.aps.badge_type is wrong");
            }
        }
        Some(_) => return Err("ios.aps is no object"),
    }
    match (flavour, part.get("custom_content"), part.get("custom")) {
        (Flavour::Tpns, Some(Value::String(text)), _) if is_text_of_object(text) => Ok(()),
        (Flavour::Tpns, Some(_), _) => Err("ios.custom_content is not the text of a JSON object"),
        (_, _, Some(Value::String(text))) if is_text_of_object(text) => Ok(()),
        (_, _, None | Some(Value::Object(_))) => Ok(()),
        (_, _, Some(_)) => Err("ios.custom is wrong"),
    }
}

fn is_text_of_object(text: &str) -> bool {
    text.is_empty() || serde_json::from_str::<Map<String, Value>>(text).is_ok()
}
