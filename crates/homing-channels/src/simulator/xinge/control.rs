//! The routes under `/_sim`: what was delivered, the faults and the apps.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use homing_core::notification::Platform;
use serde::{Deserialize, Serialize};

use super::{
    config::{App, Faults, Flavour},
    http::Simulator,
    state::Stats,
    view::{View, views},
};

/// Deliveries of one answer at most.
const LIMIT_MAX: usize = 10_000;

pub(super) fn routes() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/deliveries", get(deliveries))
        .route("/phones/{token}", get(phone))
        .route("/stats", get(stats))
        .route("/faults", get(faults).post(set_faults))
        .route("/accounts", get(accounts).post(add_account))
        .route("/reset", post(reset))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    after: u64,
    limit: usize,
}

#[derive(Serialize)]
struct Deliveries {
    deliveries: Vec<View>,
    /// The `after` of the next page.
    last: u64,
}

#[derive(Serialize)]
struct Phone {
    token: String,
    deliveries: Vec<View>,
}

/// An app without its secret.
#[derive(Serialize)]
struct Account {
    flavour: Flavour,
    access_id: String,
    platform: Platform,
}

async fn deliveries(State(simulator): State<Arc<Simulator>>, Query(page): Query<Page>) -> Json<Deliveries> {
    let found = simulator.memory.after(page.after, page.limit());
    let last = found.last().map_or(page.after, |delivery| delivery.seq);
    Json(Deliveries { deliveries: views(found), last })
}

async fn phone(
    State(simulator): State<Arc<Simulator>>,
    Path(token): Path<String>,
    Query(page): Query<Page>,
) -> Json<Phone> {
    let found = simulator.memory.of_token(&token, page.limit());
    Json(Phone { token, deliveries: views(found) })
}

async fn stats(State(simulator): State<Arc<Simulator>>) -> Json<Stats> {
    Json(simulator.memory.stats())
}

async fn faults(State(simulator): State<Arc<Simulator>>) -> Json<Faults> {
    Json(simulator.memory.faults())
}

/// Takes JSON whatever its Content-Type says, so that `curl -d` will do.
async fn set_faults(
    State(simulator): State<Arc<Simulator>>,
    body: Bytes,
) -> Result<Json<Faults>, (StatusCode, String)> {
    let refuse = |problem: String| (StatusCode::BAD_REQUEST, problem);
    let faults: Faults = serde_json::from_slice(&body).map_err(|error| refuse(error.to_string()))?;
    faults.validate().map_err(refuse)?;
    simulator.memory.set_faults(faults.clone());
    Ok(Json(faults))
}

async fn accounts(State(simulator): State<Arc<Simulator>>) -> Json<Vec<Account>> {
    let account =
        |app: &Arc<App>| Account { flavour: app.flavour, access_id: app.access_id.clone(), platform: app.platform };
    Json(simulator.apps.all().iter().map(account).collect())
}

/// Adds an app, or takes the place of the one with its flavour and id.
async fn add_account(State(simulator): State<Arc<Simulator>>, body: Bytes) -> Result<StatusCode, (StatusCode, String)> {
    let app: App = serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    if simulator.apps.put(app) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err((StatusCode::INSUFFICIENT_STORAGE, "there are too many apps".to_owned()))
    }
}

async fn reset(State(simulator): State<Arc<Simulator>>) -> StatusCode {
    simulator.memory.reset();
    StatusCode::NO_CONTENT
}

// === impl Page ===

impl Default for Page {
    fn default() -> Self {
        Self { after: 0, limit: 100 }
    }
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.min(LIMIT_MAX)
    }
}
