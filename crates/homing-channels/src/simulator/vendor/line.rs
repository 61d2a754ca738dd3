//! What every call of these servers meets: faults by script, the bytes of the body, access tokens.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use homing_core::clock::Millis;
use serde_json::Value;

use crate::simulator::stand::{Hangup, Stand};

/// Access tokens that are remembered; the oldest go.
const KEEP: usize = 1_000;

/// The provider's routes with the stand's faults before them, and `/_sim` beside them.
pub(super) fn with_faults(routes: Router, stand: &Arc<Stand>) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(stand), faults)).nest("/_sim", stand.routes())
}

async fn faults(State(stand): State<Arc<Stand>>, request: Request, next: Next) -> Response {
    let hangup = request.extensions().get::<ConnectInfo<Hangup>>().map(|info| info.0.clone()).unwrap_or_default();
    let meeting = stand.meet(request.uri().path());
    if !meeting.wait.is_zero() {
        tokio::time::sleep(meeting.wait).await;
    }
    if meeting.drop_before {
        hangup.now();
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if let Some((status, after)) = meeting.status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if let Some(after) = after {
            response.headers_mut().insert("retry-after", after.into());
        }
        return response;
    }
    let response = next.run(request).await;
    if meeting.drop_after {
        hangup.now();
    }
    response
}

/// A field of a form; empty where it is missing.
pub(super) fn field(form: &[u8], name: &str) -> String {
    url::form_urlencoded::parse(form)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// All fields of a form as an object of texts.
pub(super) fn object(form: &[u8]) -> Value {
    Value::Object(
        url::form_urlencoded::parse(form).map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect(),
    )
}

/// A reply with `Retry-After`, if the script asks for it.
pub(super) fn after(body: Value, seconds: Option<u64>) -> Response {
    let mut response = axum::Json(body).into_response();
    if let Some(seconds) = seconds {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

/// Access tokens that were lent.
#[derive(Default)]
pub(super) struct Lent(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    number: u64,
    tokens: VecDeque<(u64, String, usize, Millis)>,
}

/// How a token that a call came with stands.
pub(super) enum Standing {
    /// It is this app's.
    Of(usize),
    /// It was one, or was revoked.
    Old,
    /// Nobody got it here.
    Never,
}

impl Lent {
    /// A new token for the app with this index, until `until`.
    pub(super) fn lend(&self, app: usize, until: Millis, stand: &Stand) -> String {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.number += 1;
        let number = memory.number;
        let token = format!("lent-{number:08}-{:016x}", u64::from(crc32fast::hash(&number.to_le_bytes())) << 7);
        while memory.tokens.len() >= KEEP {
            memory.tokens.pop_front();
        }
        memory.tokens.push_back((number, token.clone(), app, until));
        stand.count("tokens_lent");
        token
    }

    /// How the token stands.
    pub(super) fn look(&self, token: &str, stand: &Stand) -> Standing {
        let revoked = stand.own("revoked").and_then(|value| value.as_u64()).unwrap_or(0);
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.tokens.iter().find(|(_, known, ..)| known == token) {
            None => Standing::Never,
            Some((number, _, _, until)) if *number <= revoked || *until <= stand.now() => Standing::Old,
            Some((_, _, app, _)) => Standing::Of(*app),
        }
    }
}
