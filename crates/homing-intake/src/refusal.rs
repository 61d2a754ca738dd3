//! Why a request is not served: a status, a field, a sentence.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use homing_core::event::Invalid;
use serde_json::json;

/// Seconds after which a full list is worth another try.
pub(crate) const FULL: u64 = 5;
/// The same of a server whose memory is short.
pub(crate) const BRAKED: u64 = 10;
/// The same of a server that does not answer.
pub(crate) const AWAY: u64 = 2;

/// One event of a request that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its place in a batch.
    pub index: Option<usize>,
    /// The field, within the event.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// It is only too long.
    pub too_large: bool,
}

/// A request that is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// What is at fault: a field of the body, a header, the queue.
    pub field: Cow<'static, str>,
    /// In words.
    pub message: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u64>,
    /// All that is wrong with a batch (at most 100).
    pub faults: Vec<Fault>,
    /// What a batch had put into its queues before it failed.
    pub accepted: Vec<String>,
}

impl Fault {
    /// A fault of an event, in a batch if `index` says where.
    pub(crate) fn new(index: Option<usize>, invalid: Invalid) -> Self {
        Self { index, field: invalid.field, message: invalid.what, too_large: false }
    }
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status,
            field: field.into(),
            message: message.into(),
            retry_after: None,
            faults: Vec::new(),
            accepted: Vec::new(),
        }
    }

    pub(crate) fn again(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    pub(crate) fn bad(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, field, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue", message).again(AWAY)
    }

    /// Events that cannot be accepted; there is at least one. `list` names the field that holds a batch.
    pub(crate) fn of(mut faults: Vec<Fault>, list: &str) -> Self {
        faults.truncate(100);
        let Some(first) = faults.first() else { return Self::bad("body", "cannot be accepted") };
        let status = if first.too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        let field = match first.index {
            Some(index) => format!("{list}.{index}.{}", first.field),
            None => first.field.clone(),
        };
        let message = first.message.clone();
        if first.index.is_none() {
            faults.clear();
        }
        Self { faults, ..Self::new(status, field, message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({"error": {"field": self.field, "message": self.message}});
        if !self.faults.is_empty() {
            let fault = |f: &Fault| json!({"event": f.index, "field": f.field, "message": f.message});
            body["errors"] = self.faults.iter().map(fault).collect();
        }
        if !self.accepted.is_empty() {
            body["accepted"] = json!(self.accepted);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"homing\""));
        }
        response
    }
}
