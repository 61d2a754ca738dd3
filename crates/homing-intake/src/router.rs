//! The routes.

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{Method, StatusCode, Uri},
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};

use crate::{
    handlers::{delete_event, get_event, get_ledger, post_events, post_push, ready},
    intake::Intake,
    meter, receipts,
    refusal::Refusal,
    registry,
};

/// The routes of the intake and JSON answers for all others: a whole server.
pub fn router(intake: Arc<Intake>) -> Router {
    let health = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/health", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/ready", get(ready))
        .with_state(Arc::clone(&intake));
    bare(intake).merge(health).fallback(unknown).method_not_allowed_fallback(wrong_method).layer(from_fn(count))
}

/// The routes below `/v1` and `/api` alone, to be merged into another server's.
pub fn routes(intake: Arc<Intake>) -> Router {
    bare(intake).layer(from_fn(count))
}

fn bare(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/v1/events", post(post_events))
        .route("/v1/events/{id}", get(get_event).delete(delete_event))
        .route("/v1/ledger", get(get_ledger))
        .route("/api/push", post(post_push))
        .merge(registry::routes())
        .merge(receipts::routes())
        .with_state(intake)
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "path", format!("there is no {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", format!("{} does not know {method}", uri.path()))
}

async fn count(request: Request, next: Next) -> Response {
    // The route and not the path: labels are few.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    meter::request(route.as_ref().map_or("other", MatchedPath::as_str), response.status().as_u16());
    response
}
