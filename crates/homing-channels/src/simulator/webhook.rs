//! A service that is told by webhooks, as its author would write it from the documentation: it checks the signature and
//! its age, and does nothing twice. The secret is the same for every hook.
//!
//! | path | answers |
//! |---|---|
//! | `POST /hook/{name}` | 200; 401 where the signature does not fit or is older than the tolerance; 400 where the body is no event |
//!
//! States of the stand, by the hook's name: dead = 410, foreign = 403, throttled = 429, a code of its own = that HTTP
//! status. A delivery that was taken already is answered with 200 and counted as `replays`, a ping as `pings`.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::stand::{Device, Hangup, Stand};

/// Longer bodies are refused.
const BODY_MAX: usize = 1024 * 1024;

/// Deliveries that are remembered; then the memory begins anew.
const KEEP: usize = 200_000;

/// What the receiver is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hook's secret.
    pub secret: String,
    /// Signatures older, or more ahead, than so many seconds are refused.
    pub tolerance_s: i64,
}

impl Config {
    /// With a tolerance of 5 minutes.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), tolerance_s: 300 }
    }
}

struct Receiver {
    config: Config,
    stand: Arc<Stand>,
    taken: Mutex<HashSet<String>>,
}

/// The receiver's route, and those of the stand under `/_sim`.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let receiver = Receiver { config, stand: Arc::clone(&stand), taken: Mutex::default() };
    Router::new().route("/hook/{name}", post(hook)).with_state(Arc::new(receiver)).nest("/_sim", stand.routes())
}

async fn hook(
    State(receiver): State<Arc<Receiver>>,
    Path(name): Path<String>,
    ConnectInfo(hangup): ConnectInfo<Hangup>,
    request: Request,
) -> Response {
    let meeting = receiver.stand.meet(request.uri().path());
    if meeting.drop_before {
        hangup.now();
        return Response::default();
    }
    if !meeting.wait.is_zero() {
        tokio::time::sleep(meeting.wait).await;
    }
    let (status, after, words) = match meeting.status {
        Some((status, after)) => (status, after, "by script".to_owned()),
        None => receiver.judge(&name, request).await,
    };
    receiver.stand.answered(status.to_string());
    if meeting.drop_after {
        hangup.now();
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(json!({ "message": words }))).into_response();
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, after.into());
    }
    response
}

// === impl Receiver ===

impl Receiver {
    async fn judge(&self, name: &str, request: Request) -> (u16, Option<u64>, String) {
        let (head, body) = request.into_parts();
        match self.stand.device(name) {
            Device::Good => {}
            Device::Dead(_) => return (410, None, "this hook is gone".to_owned()),
            Device::Foreign => return (403, None, "not for you".to_owned()),
            Device::Throttled(after) => return (429, after, "slow down".to_owned()),
            Device::Code(code) => return (code.parse().unwrap_or(500), None, "by script".to_owned()),
        }
        let Ok(body) = to_bytes(body, BODY_MAX).await else { return (413, None, "too long".to_owned()) };
        if let Err(problem) = self.verify(&head.headers, &body) {
            return (401, None, problem);
        }
        let event: Value = match serde_json::from_slice(&body) {
            Ok(event) => event,
            Err(error) => return (400, None, error.to_string()),
        };
        let header = head.headers.get("homing-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        // The header is not signed; the body is.
        let delivery = event.get("delivery").and_then(Value::as_str).unwrap_or_default();
        if delivery.is_empty() || delivery != header {
            return (400, None, "Homing-Id is not the delivery in the body".to_owned());
        }
        {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.len() >= KEEP {
                taken.clear();
            }
            if !taken.insert(delivery.to_owned()) {
                self.stand.count("replays");
                return (200, None, "known".to_owned());
            }
        }
        if event.get("type") == Some(&"ping".into()) {
            self.stand.count("pings");
            return (200, None, "pong".to_owned());
        }
        let delivery = delivery.to_owned();
        self.stand.accept(name, Some(&delivery), Arc::new(event));
        (200, None, "taken".to_owned())
    }

    /// `Homing-Signature: t=UNIX,v1=HEX`; several `v1` are allowed, one must fit.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let signature = headers.get("homing-signature").and_then(|value| value.to_str().ok());
        let parts: Vec<(&str, &str)> =
            signature.ok_or("no signature")?.split(',').filter_map(|part| part.split_once('=')).collect();
        let time = parts.iter().find(|(name, _)| *name == "t").map(|(_, value)| *value).ok_or("t is missing")?;
        let at: i64 = time.parse().map_err(|_| "t is no time")?;
        let now = self.stand.now().div_euclid(1000);
        if (now - at).abs() > self.config.tolerance_s {
            return Err(format!("the signature is {} s old", now - at));
        }
        let mut state =
            Hmac::<Sha256>::new_from_slice(self.config.secret.as_bytes()).map_err(|error| error.to_string())?;
        state.update(format!("{time}.").as_bytes());
        state.update(body);
        let fits = |hex: &str| unhex(hex).is_some_and(|bytes| state.clone().verify_slice(&bytes).is_ok());
        if parts.iter().any(|(name, value)| *name == "v1" && fits(value)) {
            Ok(())
        } else {
            Err("the signature does not fit".to_owned())
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
