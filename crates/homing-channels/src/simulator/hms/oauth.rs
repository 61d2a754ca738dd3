//! `POST /oauth2/v3/token`: an access token for an app's id and secret. (Huawei, "OAuth 2.0, client credentials mode".)

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
};
use homing_core::clock::Millis;
use serde_json::json;

use super::{Huawei, reply};
use crate::simulator::encounter;

/// Fetches of an app within five minutes.
const FETCHES: usize = 1_000;

/// Access tokens that are remembered; the oldest go.
const KEEP: usize = 10_000;

struct Lent {
    token: String,
    number: u64,
    app_id: String,
    at: Millis,
    until: Millis,
}

/// What an access token is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It is this app's.
    Of(String),
    /// It was somebody's.
    Expired,
    /// It is none.
    None,
}

/// All tokens that were lent.
#[derive(Default)]
pub(super) struct Lender(Mutex<(VecDeque<Lent>, u64)>);

impl Lender {
    /// `None` when the app asks too often.
    fn lend(&self, app_id: &str, now: Millis, until: Millis) -> Option<String> {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lent.0.iter().filter(|lent| lent.app_id == app_id && lent.at > now - 300_000).count() >= FETCHES {
            return None;
        }
        lent.1 += 1;
        let number = lent.1;
        // Real ones have base64's characters.
        let token = format!("DQEBsimulated/{number}+{:08x}==", crc32fast::hash(format!("{app_id}{number}").as_bytes()));
        if lent.0.len() >= KEEP {
            lent.0.pop_front();
        }
        lent.0.push_back(Lent { token: token.clone(), number, app_id: app_id.to_owned(), at: now, until });
        Some(token)
    }

    /// Tokens up to the number `revoked` have expired.
    pub(super) fn worth(&self, token: &str, now: Millis, revoked: u64) -> Worth {
        let lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lent.0.iter().rev().find(|lent| lent.token == token) {
            None => Worth::None,
            Some(found) if now < found.until && found.number > revoked => Worth::Of(found.app_id.clone()),
            Some(_) => Worth::Expired,
        }
    }
}

/// The handler.
pub(super) async fn grant(State(huawei): State<Arc<Huawei>>, request: Request<Body>) -> Response {
    let hangup = encounter::hangup(&request);
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 64 * 1024).await.unwrap_or_default();
    let refuse = |status: u16, seconds| {
        huawei.stand.answered(format!("token {status}"));
        reply::bare(status, seconds)
    };
    encounter::through(&huawei.stand, &path, hangup, refuse, || look(&huawei, &body)).await
}

fn look(huawei: &Huawei, body: &Bytes) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let of = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    if of("grant_type") != "client_credentials" {
        return denied(20_001, "not supported grant_type");
    }
    let known = huawei.config.apps.iter().find(|app| app.app_id == of("client_id"));
    let Some(app) = known else { return denied(20_044, "invalid client_id") };
    if app.secret != of("client_secret") {
        return denied(20_042, "invalid client_secret");
    }
    let life = huawei.stand.own("lent_s").and_then(|value| value.as_i64()).unwrap_or(3_600);
    let now = huawei.stand.now();
    match huawei.lender.lend(&app.app_id, now, now.saturating_add(life.saturating_mul(1_000))) {
        None => reply::bare(503, None),
        Some(token) => {
            huawei.stand.count("tokens_lent");
            Json(json!({ "access_token": token, "expires_in": life, "token_type": "Bearer" })).into_response()
        }
    }
}

fn denied(sub_error: u32, description: &str) -> Response {
    let body = json!({ "error": 1101, "sub_error": sub_error, "error_description": description });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
