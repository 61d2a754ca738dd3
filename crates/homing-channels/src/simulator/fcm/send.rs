//! `POST /v1/projects/{project}/messages:send`.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{Request, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use homing_core::clock::Millis;
use serde_json::{Value, json};

use super::{
    Google,
    errors::Refusal,
    message::{Checked, check},
};
use crate::simulator::{encounter, stand::Device};

/// Longer bodies are not read.
const BODY_MAX: usize = 1 << 20;

/// The handler.
pub(crate) async fn send(
    State(google): State<Arc<Google>>,
    Path(project): Path<String>,
    request: Request<Body>,
) -> Response {
    let _entered = google.enter();
    let hangup = encounter::hangup(&request);
    let path = request.uri().path().to_owned();
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(request.into_body(), BODY_MAX).await.unwrap_or_default();
    let answer = |outcome: Result<Value, Refusal>| match outcome {
        Ok(value) => {
            google.stand.answered("ok");
            Json(value).into_response()
        }
        Err(refusal) => {
            google.stand.answered(refusal.name());
            refusal.into_response()
        }
    };
    if let Some(seconds) = early(&google, &project) {
        return answer(Err(Refusal::quota(Some(seconds))));
    }
    let refuse = |status: u16, seconds: Option<u64>| {
        let only = google.stand.own("project");
        if only.is_some_and(|only| only != project.as_str()) {
            return answer(look(&google, &project, &bearer, &body));
        }
        if let (429, Some(seconds)) = (status, seconds) {
            google.limits.close(&project, seconds, google.stand.now());
        }
        answer(Err(Refusal::of_status(status, seconds)))
    };
    encounter::through(&google.stand, &path, hangup, refuse, || answer(look(&google, &project, &bearer, &body))).await
}

fn grace(google: &Google) -> Millis {
    google.stand.own("grace_ms").and_then(|value| value.as_i64()).unwrap_or(200)
}

/// The project or the device was told to wait and did not: what is left, in seconds.
fn early(google: &Google, name: &str) -> Option<u64> {
    let early = google.limits.early(name, google.stand.now(), grace(google))?;
    google.stand.count(if early.under_way { "under_way" } else { "early_calls" });
    google.stand.peak("latest_early_ms", early.after);
    Some(early.left)
}

fn look(google: &Google, project: &str, bearer: &str, body: &Bytes) -> Result<Value, Refusal> {
    let revoked = google.stand.own("revoked").and_then(|value| value.as_u64()).unwrap_or(0);
    let owner = google.lender.project_of(bearer, google.stand.now(), revoked).ok_or_else(Refusal::unauthenticated)?;
    if owner != project {
        return Err(if google.config.accounts.iter().any(|account| account.project == project) {
            Refusal::permission_denied(project)
        } else {
            Refusal::of_status(404, None)
        });
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| Refusal::form("", "Invalid JSON payload received. Unexpected token."))?;
    let Checked { token, message, validate_only } = check(&body)?;
    // What is empty or has a blank is none.
    if token.is_empty() || token.contains(|c: char| c.is_whitespace()) {
        return Err(Refusal::no_token());
    }
    let device = format!("device {token}");
    if let Some(seconds) = early(google, &device) {
        return Err(Refusal::device_quota(Some(seconds)));
    }
    match google.stand.device(token) {
        Device::Good => {}
        Device::Dead(_) => return Err(Refusal::unregistered()),
        Device::Foreign => return Err(Refusal::sender_id_mismatch()),
        Device::Throttled(seconds) => {
            if let Some(seconds) = seconds {
                google.limits.close(&device, seconds, google.stand.now());
            }
            return Err(Refusal::device_quota(seconds));
        }
        Device::Code(name) => return Err(Refusal::named(&name)),
    }
    if validate_only {
        google.stand.count("validated");
        return Ok(json!({ "name": format!("projects/{project}/messages/fake_message_id") }));
    }
    let id = message.get("data").and_then(|data| data["id"].as_str());
    let mut push = message.clone();
    push.remove("token");
    google.stand.accept(token, id, Arc::new(Value::Object(push)));
    let number = google.stand.now();
    Ok(json!({ "name": format!("projects/{project}/messages/0:{number}%{:08x}", crc32fast::hash(token.as_bytes())) }))
}
