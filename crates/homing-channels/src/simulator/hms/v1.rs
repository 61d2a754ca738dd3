//! `POST /v1/{app}/messages:send`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{Request, header::AUTHORIZATION},
    response::Response,
};
use serde_json::{Map, Value};

use super::{
    Answered, Call, Huawei,
    limits::{BYTES, TOKENS, TTL},
    oauth::Worth,
    reply::{Naming, bare, coded, deliver},
};
use crate::simulator::encounter;

/// Longer bodies are not read.
const BODY_MAX: usize = 4 << 20;

/// The handler.
pub(super) async fn send(
    State(huawei): State<Arc<Huawei>>,
    Path(app): Path<String>,
    request: Request<Body>,
) -> Response {
    through(huawei, app, request, look).await
}

/// What both generations do before a call is looked at.
pub(super) async fn through(
    huawei: Arc<Huawei>,
    name: String,
    request: Request<Body>,
    look: impl FnOnce(&Huawei, &Call) -> Answered,
) -> Response {
    let hangup = encounter::hangup(&request);
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let call = Call { name, headers: parts.headers, body };
    let refuse = |status: u16, seconds| {
        huawei.stand.answered(format!("HTTP {status}"));
        bare(status, seconds)
    };
    let scripted = huawei.stand.own("code").and_then(|code| code.as_str().map(str::to_owned));
    let answer = || match scripted {
        Some(code) => coded(&huawei, 200, &code, "by script"),
        None => look(&huawei, &call).unwrap_or_else(|refusal| *refusal),
    };
    encounter::through(&huawei.stand, &path, hangup, refuse, answer).await
}

/// The bearer of a call.
pub(super) fn bearer(call: &Call) -> &str {
    let value = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

/// The tokens of a call, or 80300010.
pub(super) fn tokens<'a>(huawei: &Huawei, tokens: &'a Value) -> Result<Vec<&'a str>, Box<Response>> {
    let list: Option<Vec<&str>> =
        tokens.as_array().and_then(|tokens| tokens.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let refuse =
        || Box::new(coded(huawei, 200, "80300010", "The number of tokens in the message body is not within 1 to 1000"));
    list.filter(|list| (1..=TOKENS).contains(&list.len())).ok_or_else(refuse)
}

fn look(huawei: &Huawei, call: &Call) -> Answered {
    let stand = &huawei.stand;
    if !huawei.config.apps.iter().any(|app| app.app_id == call.name) {
        return Err(Box::new(bare(404, None)));
    }
    let revoked = stand.own("revoked").and_then(|value| value.as_u64()).unwrap_or(0);
    match huawei.lender.worth(bearer(call), stand.now(), revoked) {
        Worth::Of(app) if app == call.name => {}
        Worth::Expired => return Err(Box::new(coded(huawei, 401, "80200003", "OAuth token expired"))),
        _ => return Err(Box::new(coded(huawei, 401, "80200001", "OAuth authentication error"))),
    }
    let structure = |problem: &str| Box::new(coded(huawei, 400, "80100003", problem));
    let body: Value = serde_json::from_slice(&call.body).map_err(|_| structure("Illegal payload, it is not JSON"))?;
    let validate_only = body["validate_only"].as_bool().unwrap_or(false);
    let message = body["message"].as_object().ok_or_else(|| structure("Illegal payload, no message"))?;
    let tokens = tokens(huawei, message.get("token").unwrap_or(&Value::Null))?;
    let mut push = message.clone();
    push.remove("token");
    let bytes = Value::Object(push.clone()).to_string().len();
    if bytes > BYTES {
        return Err(Box::new(coded(
            huawei,
            400,
            "80300008",
            "The size of the message body exceeds the default value set by the system",
        )));
    }
    if let Err(problem) = check(message) {
        return Err(structure(&problem));
    }
    let data: Value = message
        .get("data")
        .and_then(Value::as_str)
        .map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_default());
    deliver(huawei, &tokens, data["id"].as_str(), Value::Object(push), Naming::Plain, validate_only)
}

fn check(message: &Map<String, Value>) -> Result<(), String> {
    let known = ["token", "data", "notification", "android", "apns", "webpush", "topic", "condition"];
    if let Some(key) = message.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("Illegal payload, unknown field {key}"));
    }
    if message.get("data").is_some_and(|data| !data.is_string()) {
        return Err("Illegal payload, data is not a text".to_owned());
    }
    let Some(android) = message.get("android") else {
        return Err("Illegal payload, no android".to_owned());
    };
    if let Some(ttl) = android.get("ttl") {
        let seconds =
            ttl.as_str().and_then(|text| text.strip_suffix('s')).and_then(|number| number.parse::<i64>().ok());
        if !seconds.is_some_and(|seconds| (1..=TTL).contains(&seconds)) {
            return Err("Illegal payload, ttl".to_owned());
        }
    }
    if !matches!(android["urgency"].as_str(), None | Some("HIGH" | "NORMAL")) {
        return Err("Illegal payload, urgency".to_owned());
    }
    if android.get("collapse_key").is_some_and(|key| !key.as_i64().is_some_and(|key| (-1..=100).contains(&key))) {
        return Err("Illegal payload, collapse_key".to_owned());
    }
    let Some(shown) = message.get("notification") else {
        // Without one it is handed to the app, and needs something to hand over.
        return if message.contains_key("data") { Ok(()) } else { Err("Illegal payload, nothing to send".to_owned()) };
    };
    for name in ["title", "body"] {
        let text = android["notification"].get(name).or_else(|| shown.get(name)).and_then(Value::as_str);
        if text.is_none_or(str::is_empty) {
            return Err(format!("Illegal payload, {name} is empty"));
        }
    }
    let more = &android["notification"];
    if more.get("notify_id").is_some_and(|id| id.as_i64().is_none_or(|id| i32::try_from(id).is_err())) {
        return Err("Illegal payload, notify_id".to_owned());
    }
    if more.get("tag").is_some_and(|tag| !tag.is_string()) {
        return Err("Illegal payload, tag".to_owned());
    }
    let click = &more["click_action"];
    match click["type"].as_i64() {
        Some(1) if click["intent"].is_string() || click["action"].is_string() => Ok(()),
        Some(2) if click["url"].as_str().is_some_and(|url| url.starts_with("https://")) => Ok(()),
        Some(3) => Ok(()),
        _ => Err("Illegal payload, click_action".to_owned()),
    }
}
