//! The routes under `/_sim`: what was delivered, and the faults.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use homing_core::{clock::Millis, notification::Platform};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    config::Faults,
    http::Simulator,
    state::{Delivery, Stats},
};

/// Deliveries of one answer at most.
const LIMIT_MAX: usize = 10_000;

pub(super) fn routes() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/deliveries", get(deliveries))
        .route("/phones/{token}", get(phone))
        .route("/stats", get(stats))
        .route("/faults", get(faults).post(set_faults))
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

/// A delivery as an operator wants to see it.
#[derive(Serialize)]
struct View {
    seq: u64,
    received_at_ms: Millis,
    access_id: u64,
    token: String,
    platform: Platform,
    message_type: u8,
    id: Option<String>,
    title: String,
    content: String,
    custom: Value,
    message: String,
}

async fn deliveries(State(simulator): State<Arc<Simulator>>, Query(page): Query<Page>) -> Json<Deliveries> {
    let found = simulator.memory.after(page.after, page.limit());
    let last = found.last().map_or(page.after, |delivery| delivery.seq);
    Json(Deliveries { deliveries: found.into_iter().map(View::from).collect(), last })
}

async fn phone(
    State(simulator): State<Arc<Simulator>>,
    Path(token): Path<String>,
    Query(page): Query<Page>,
) -> Json<Phone> {
    let found = simulator.memory.of_token(&token, page.limit());
    Json(Phone { token, deliveries: found.into_iter().map(View::from).collect() })
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

// === impl View ===

impl From<Delivery> for View {
    fn from(delivery: Delivery) -> Self {
        let message: Map<String, Value> = serde_json::from_str(&delivery.message).unwrap_or_default();
        let (title, content, custom) = match delivery.platform {
            Platform::Android => android(message),
            Platform::Ios => ios(message),
        };
        Self {
            seq: delivery.seq,
            received_at_ms: delivery.received_at_ms,
            access_id: delivery.access_id,
            token: delivery.token.to_string(),
            platform: delivery.platform,
            message_type: delivery.message_type,
            id: delivery.id.map(|id| id.to_string()),
            title,
            content,
            custom,
            message: delivery.message.to_string(),
        }
    }
}

fn android(mut message: Map<String, Value>) -> (String, String, Value) {
    let custom = message.remove("custom_content").unwrap_or_default();
    (text(message.get("title")), text(message.get("content")), custom)
}

fn ios(mut message: Map<String, Value>) -> (String, String, Value) {
    let aps = message.remove("aps").unwrap_or_default();
    message.remove("accept_time");
    message.remove("xg");
    let alert = aps.get("alert");
    let (title, content) = match alert {
        Some(Value::Object(parts)) => (text(parts.get("title")), text(parts.get("body"))),
        other => (String::new(), text(other)),
    };
    (title, content, Value::Object(message))
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
