//! `POST /v3/{project}/messages:send`. (Huawei, push scenariozed API.)

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::Request,
    response::Response,
};
use serde_json::Value;

use super::{
    Answered, Call, Huawei,
    limits::{BYTES, TTL},
    reply::{Naming, bare, coded, deliver},
    v1::{bearer, through, tokens},
};
use crate::simulator::jwt::{Algorithm, verify};

const CATEGORIES: [&str; 14] = [
    "IM",
    "VOIP",
    "MISS_CALL",
    "SUBSCRIPTION",
    "TRAVEL",
    "HEALTH",
    "WORK",
    "ACCOUNT",
    "EXPRESS",
    "FINANCE",
    "DEVICE_REMINDER",
    "MAIL",
    "PLAY_VOICE",
    "MARKETING",
];

/// Huawei's clock and that of a JWT may differ so much, in seconds.
const LEEWAY: i64 = 300;

/// The handler.
pub(super) async fn send(
    State(huawei): State<Arc<Huawei>>,
    Path(project): Path<String>,
    request: Request<Body>,
) -> Response {
    through(huawei, project, request, look).await
}

fn look(huawei: &Huawei, call: &Call) -> Answered {
    let Some(known) = huawei.config.projects.iter().find(|project| project.project == call.name) else {
        return Err(Box::new(bare(404, None)));
    };
    let refused = |problem: &str| Box::new(coded(huawei, 401, "80200001", problem));
    let jwt = verify(bearer(call), Algorithm::Ps256, &known.public_key).map_err(refused)?;
    let now = huawei.stand.now() / 1_000;
    let claims = &jwt.claims;
    if jwt.header["kid"] != known.key_id.as_str() || claims["iss"] != known.sub_account.as_str() {
        return Err(refused("the key or the sub-account is not known"));
    }
    if claims["aud"] != known.token_uri.as_str() {
        return Err(refused("wrong audience"));
    }
    let (Some(iat), Some(exp)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else {
        return Err(refused("iat and exp are needed"));
    };
    if exp - iat > 3_600 || iat > now + LEEWAY {
        return Err(refused("iat and exp are not reasonable"));
    }
    if exp <= now {
        return Err(Box::new(coded(huawei, 401, "80200005", "Jwt token expired")));
    }
    let structure = |problem: &str| Box::new(coded(huawei, 400, "80100003", problem));
    let body: Value = serde_json::from_slice(&call.body).map_err(|_| structure("Illegal payload, it is not JSON"))?;
    let tokens = tokens(huawei, &body["target"]["token"])?;
    let mut push = body.clone();
    if let Some(push) = push.as_object_mut() {
        push.remove("target");
    }
    if push.to_string().len() > BYTES {
        return Err(Box::new(coded(
            huawei,
            400,
            "80300008",
            "The size of the message body exceeds the default value set by the system",
        )));
    }
    let kind = call.headers.get("push-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = check(kind, &body).map_err(|problem| structure(&problem))?;
    if let Some(push) = push.as_object_mut() {
        push.insert("push-type".to_owned(), kind.into());
    }
    deliver(huawei, &tokens, id.as_deref(), push, Naming::Grouped, false)
}

/// Answers the message's id.
fn check(kind: &str, body: &Value) -> Result<Option<String>, String> {
    let wrong = |what: &str| Err(format!("Illegal payload, {what}"));
    if let Some(ttl) = body["pushOptions"].get("ttl")
        && !ttl.as_i64().is_some_and(|ttl| (1..=TTL).contains(&ttl))
    {
        return wrong("ttl");
    }
    let payload = &body["payload"];
    match kind {
        "0" => {
            let shown = &payload["notification"];
            for name in ["title", "body"] {
                if shown[name].as_str().is_none_or(str::is_empty) {
                    return wrong(name);
                }
            }
            if !shown["category"].as_str().is_some_and(|category| CATEGORIES.contains(&category)) {
                return wrong("category");
            }
            let click = &shown["clickAction"];
            match click["actionType"].as_i64() {
                Some(0) => {}
                Some(1) if click["action"].is_string() || click["uri"].is_string() => {}
                _ => return wrong("clickAction"),
            }
            if click.get("data").is_some_and(|data| !data.is_object()) {
                return wrong("clickAction.data");
            }
            if shown.get("notifyId").is_some_and(|id| id.as_i64().is_none_or(|id| i32::try_from(id).is_err())) {
                return wrong("notifyId");
            }
            Ok(click["data"]["id"].as_str().map(str::to_owned))
        }
        "6" => match payload["extraData"].as_str() {
            None => wrong("extraData"),
            Some(text) => {
                let data: Value = serde_json::from_str(text).unwrap_or_default();
                Ok(data["id"].as_str().map(str::to_owned))
            }
        },
        "1" | "2" | "7" | "10" => wrong("this kind of message is not simulated"),
        _ => wrong("push-type"),
    }
}
