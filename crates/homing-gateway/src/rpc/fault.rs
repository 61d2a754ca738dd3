//! Why a call fails: as JSON-RPC says it, and as HTTP does.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;

use super::service::Failure;

/// Codes of JSON-RPC 2.0 (section 5.1), and Homing's own from the range that it leaves to servers.
pub mod code {
    /// No JSON.
    pub const PARSE: i32 = -32700;
    /// No request.
    pub const REQUEST: i32 = -32600;
    /// No such method.
    pub const METHOD: i32 = -32601;
    /// Parameters that do not fit.
    pub const PARAMS: i32 = -32602;
    /// Something failed here.
    pub const INTERNAL: i32 = -32603;
    /// The caller may not do this.
    pub const UNAUTHORIZED: i32 = -32001;
    /// A store does not answer: again later.
    pub const UNAVAILABLE: i32 = -32002;
    /// Too much, or too fast.
    pub const LIMIT: i32 = -32003;
}

/// Seconds after which a store that is away is worth another try.
const AWAY: u64 = 2;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// See [`code`].
    pub code: i32,
    /// In words.
    pub message: Cow<'static, str>,
    /// The parameter at fault: `users[3]`.
    pub field: Option<Cow<'static, str>>,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u64>,
    /// No key was shown, or an unknown one (HTTP 401; else such a fault is 403).
    pub(super) unknown: bool,
}

/// The member `error` of an answer.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    code: i32,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None, retry_after: None, unknown: false }
    }

    /// A parameter that does not fit.
    pub(super) fn param(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        let field = field.into();
        let message = format!("{field}: {}", message.into());
        Self { field: Some(field), ..Self::new(code::PARAMS, message) }
    }

    pub(super) fn again(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// The service's word. What a store says stays in the log: it names servers.
    pub(super) fn of(failure: Failure) -> Self {
        match failure {
            Failure::Down(down) if down.refused => {
                Self::new(code::LIMIT, "the store refuses it: it is full, or the message is too large").again(AWAY)
            }
            Failure::Down(_) => Self::new(code::UNAVAILABLE, "the store is unavailable").again(AWAY),
            Failure::Refused { field, why } => Self::param(field, why),
            Failure::Busy { why, retry_after } => Self::new(code::LIMIT, why).again(retry_after),
        }
    }

    /// As HTTP says it.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            code::PARSE | code::REQUEST | code::PARAMS => StatusCode::BAD_REQUEST,
            code::METHOD => StatusCode::NOT_FOUND,
            code::UNAUTHORIZED if self.unknown => StatusCode::UNAUTHORIZED,
            code::UNAUTHORIZED => StatusCode::FORBIDDEN,
            code::UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
            code::LIMIT => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn shown(&self) -> Shown<'_> {
        let details = Details { field: self.field.as_deref(), retry_after: self.retry_after };
        let data = (details.field.is_some() || details.retry_after.is_some()).then_some(details);
        Shown { code: self.code, message: &self.message, data }
    }

    /// For the metrics.
    pub(super) fn label(&self) -> &'static str {
        match self.code {
            code::UNAUTHORIZED => "unauthorized",
            code::UNAVAILABLE => "unavailable",
            code::LIMIT => "limit",
            code::INTERNAL => "failed",
            _ => "invalid",
        }
    }
}
