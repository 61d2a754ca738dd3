//! The demo's HTTP API on loopback: post an event, look at a phone, a trace, the ledger.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use homing_codec::{Codec, decode};
use homing_core::{
    catalogue::Catalogue,
    event::{Audience, Event, Map},
    queue::Queue,
};
use homing_pipeline::lane::Shards;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{demo::token_of, ledger, trace};
use crate::{config::Config, wiring};

/// What the handlers share.
pub(super) struct Demo {
    config: Config,
    queue: Arc<dyn Queue>,
    entry: Shards,
    catalogue: Catalogue,
    simulator: SocketAddr,
    http: reqwest::Client,
}

impl Demo {
    pub(super) fn new(config: Config, queue: Arc<dyn Queue>, simulator: SocketAddr) -> anyhow::Result<Self> {
        let lane = config.lane.get("system").ok_or_else(|| anyhow::anyhow!("the demo has the lane `system`"))?;
        let entry = wiring::shards("lane.system.entry", &lane.entry)?;
        let (catalogue, http) = (config.catalogue()?, reqwest::Client::builder().no_proxy().build()?);
        Ok(Self { config, queue, entry, catalogue, simulator, http })
    }

    /// Accepts an event or a list of events; answers their ids once they stand in the queue.
    pub(super) async fn post(&self, body: &[u8]) -> Result<Vec<String>, String> {
        let posted: Value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let events = if let Value::Array(events) = posted { events } else { vec![posted] };
        if events.is_empty() || events.len() > 1_000 {
            return Err("expected 1 to 1000 events".to_owned());
        }
        // All are checked before the first is accepted.
        let mut accepted = Vec::with_capacity(events.len());
        for (i, event) in events.into_iter().enumerate() {
            accepted.push(self.check(event).map_err(|e| format!("event {i}: {e}"))?);
        }
        let mut ids = Vec::with_capacity(accepted.len());
        for (id, key, item) in accepted {
            self.queue.append(&self.entry.of(&key), &[item]).await.map_err(|e| e.to_string())?;
            ids.push(id);
        }
        Ok(ids)
    }

    /// The id, the key that chooses the shard, and the item of an event that is in order.
    fn check(&self, mut event: Value) -> Result<(String, String, Bytes), String> {
        if event.get("id").is_none()
            && let Some(fields) = event.as_object_mut()
        {
            fields.insert("id".to_owned(), random_hex().into());
        }
        let item = serde_json::to_vec(&event).map_err(|e| e.to_string())?;
        let value = decode(&item, Codec::Json).map_err(|e| e.to_string())?;
        let read = Event::read(&value, &Map::default()).map_err(|e| e.to_string())?;
        let kind = self.catalogue.find(&read.kind).map_err(|e| e.to_string())?;
        self.catalogue.compose(kind, &read).map_err(|e| e.to_string())?;
        let key = match &read.to {
            Audience::Users(users) => users.first().cloned().unwrap_or_default(),
            Audience::GroupOwner(group) => group.clone(),
        };
        Ok((read.id.unwrap_or_default(), key, item.into()))
    }

    /// What a user's phone shows, newest first.
    pub(super) async fn phone(&self, user: &str) -> anyhow::Result<Vec<Value>> {
        let Some(token) = token_of(user) else { return Ok(Vec::new()) };
        let url = format!("http://{}/_sim/phones/{token}", self.simulator);
        let answer: Value = self.http.get(url).send().await?.error_for_status()?.json().await?;
        let shown = |d: &Value| {
            json!({"id": d["id"], "title": d["title"], "body": d["content"], "platform": d["platform"],
                   "received_at": d["received_at_ms"]})
        };
        Ok(answer["deliveries"].as_array().map(|all| all.iter().map(shown).collect()).unwrap_or_default())
    }

    pub(super) async fn trace(&self, id: &str) -> anyhow::Result<trace::Trace> {
        trace::read(&self.config, &*self.queue, id).await
    }
}

/// Serves the API until `stop` completes.
pub(super) async fn serve(
    listener: TcpListener,
    demo: Arc<Demo>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/healthz", get(async || "ok"))
        .route("/v1/events", post(post_events))
        .route("/v1/events/{id}", get(get_event))
        .route("/v1/phones/{user}", get(get_phone))
        .route("/v1/ledger", get(get_ledger))
        .layer(DefaultBodyLimit::max(1 << 20))
        .with_state(demo);
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

async fn post_events(State(demo): State<Arc<Demo>>, body: Bytes) -> Response {
    match demo.post(&body).await {
        Ok(ids) => (StatusCode::ACCEPTED, Json(json!({"id": ids.first(), "ids": ids}))).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response(),
    }
}

async fn get_event(State(demo): State<Arc<Demo>>, Path(id): Path<String>) -> Response {
    match demo.trace(&id).await {
        Ok(trace) if trace.records.is_empty() => {
            (StatusCode::NOT_FOUND, Json(json!({"error": "nothing is on record about this id"}))).into_response()
        }
        Ok(trace) => Json(trace).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn get_phone(State(demo): State<Arc<Demo>>, Path(user): Path<String>) -> Response {
    match demo.phone(&user).await {
        Ok(shown) => Json(shown).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn get_ledger(State(demo): State<Arc<Demo>>) -> Response {
    match ledger::read(&demo.config, &*demo.queue).await {
        Ok(ledger) => Json(ledger).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &anyhow::Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": format!("{error:#}")}))).into_response()
}

/// 128 random bits: the standard library's hasher keys are random per process and per call.
pub(super) fn random_hex() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

const PAGE: &str = include_str!("demo.html");
