//! The device registry over HTTP.
//!
//! | route | what |
//! |---|---|
//! | `GET /v1/users/{id}/devices` | all devices of a user, tokens shortened |
//! | `PUT /v1/users/{id}/devices`, `.../devices/{device}` | registers a device, or confirms it |
//! | `DELETE /v1/users/{id}/devices`, `.../devices/{device}` | deletes all, or one |
//! | `GET /v1/users/{id}/devices/{device}` | one |
//! | `POST /v1/users/{id}/devices/{device}/restore` | takes back that it was deleted, expired, or called dead |
//! | `GET`, `PUT /v1/users/{id}/preferences` | what the user wants |
//! | `GET /v1/users/{id}/topics`, `PUT`, `DELETE .../topics/{topic}` | what the user follows |
//! | `DELETE /v1/users/{id}` | removes everything about a user for good |
//!
//! [`Pump`] tells the registry's changes as events, and lets go what was not seen for long.

mod body;
mod handlers;
mod pump;
mod show;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, post, put},
};
use homing_core::registry::Registry;

use crate::intake::Intake;

pub use pump::{Pump, Told};

/// Where requests meet the registry.
pub struct Desk {
    pub(crate) registry: Arc<dyn Registry>,
    /// Channels that a device may have tokens of; any, if it is empty.
    pub(crate) channels: Vec<String>,
}

impl Desk {
    /// A desk that takes tokens of these channels, or of any if none are named.
    pub fn new(registry: Arc<dyn Registry>, channels: Vec<String>) -> Self {
        Self { registry, channels }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("channels", &self.channels).finish_non_exhaustive()
    }
}

pub(crate) fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/v1/users/{id}", delete(handlers::erase))
        .route("/v1/users/{id}/devices", get(handlers::list).put(handlers::put).delete(handlers::delete_all))
        .route(
            "/v1/users/{id}/devices/{device}",
            get(handlers::get_one).put(handlers::put_one).delete(handlers::delete_one),
        )
        .route("/v1/users/{id}/devices/{device}/restore", post(handlers::restore))
        .route("/v1/users/{id}/preferences", get(handlers::preferences).put(handlers::prefer))
        .route("/v1/users/{id}/topics", get(handlers::topics))
        .route("/v1/users/{id}/topics/{topic}", put(handlers::follow).delete(handlers::unfollow))
}
