//! Google's errors: `{"error":{code,message,status,details}}`. (Google, "API design guide, errors"; Firebase, ErrorCode.)

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An error before it is written.
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) status: &'static str,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: u16, status: &'static str, message: impl Into<String>) -> Self {
        Self { code, status, message: message.into(), details: Vec::new(), retry_after: None }
    }

    /// With FCM's own code.
    fn fcm(mut self, code: &str) -> Self {
        let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
        self.details.push(json!({ "@type": kind, "errorCode": code }));
        self
    }

    fn field(mut self, field: &str, description: &str) -> Self {
        let violation = json!({ "field": field, "description": description });
        self.details
            .push(json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] }));
        self
    }

    pub(crate) fn after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// The JSON itself is not a message: no FcmError.
    pub(crate) fn form(field: &str, message: &str) -> Self {
        Self::new(400, "INVALID_ARGUMENT", message).field(field, message)
    }

    /// A value is refused.
    pub(crate) fn argument(field: &str, message: &str) -> Self {
        Self::new(400, "INVALID_ARGUMENT", message).fcm("INVALID_ARGUMENT").field(field, message)
    }

    pub(crate) fn unregistered() -> Self {
        Self::new(404, "NOT_FOUND", "Requested entity was not found.").fcm("UNREGISTERED")
    }

    pub(crate) fn sender_id_mismatch() -> Self {
        Self::new(403, "PERMISSION_DENIED", "SenderId mismatch").fcm("SENDER_ID_MISMATCH")
    }

    pub(crate) fn no_token() -> Self {
        let message = "The registration token is not a valid FCM registration token";
        Self::new(400, "INVALID_ARGUMENT", message).fcm("INVALID_ARGUMENT")
    }

    pub(crate) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
                       valid authentication credential.";
        Self::new(401, "UNAUTHENTICATED", message)
    }

    pub(crate) fn permission_denied(project: &str) -> Self {
        let message = format!(
            "Permission 'cloudmessaging.messages.create' denied on resource '//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."
        );
        Self::new(403, "PERMISSION_DENIED", message)
    }

    /// The project's quota.
    pub(crate) fn quota(seconds: Option<u64>) -> Self {
        let message = "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute'.";
        let mut refusal = Self::new(429, "RESOURCE_EXHAUSTED", message).fcm("QUOTA_EXCEEDED");
        let violation = json!({ "subject": "project", "description": "Message rate exceeded" });
        refusal
            .details
            .push(json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] }));
        refusal.after(seconds)
    }

    /// A device's.
    pub(crate) fn device_quota(seconds: Option<u64>) -> Self {
        let mut refusal = Self::new(429, "RESOURCE_EXHAUSTED", "Device message rate exceeded").fcm("QUOTA_EXCEEDED");
        let violation = json!({ "subject": "device", "description": "Device message rate exceeded" });
        refusal
            .details
            .push(json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] }));
        refusal.after(seconds)
    }

    /// The error for a scripted HTTP status.
    pub(crate) fn of_status(status: u16, seconds: Option<u64>) -> Self {
        match status {
            400 => Self::new(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
            401 => Self::unauthenticated(),
            403 => Self::permission_denied("scripted"),
            404 => Self::new(404, "NOT_FOUND", "Requested entity was not found."),
            429 => Self::quota(seconds),
            500 => Self::new(500, "INTERNAL", "Internal error encountered.").fcm("INTERNAL"),
            503 => Self::new(503, "UNAVAILABLE", "The service is currently unavailable.").fcm("UNAVAILABLE"),
            _ => Self::new(status, "UNKNOWN", "An error by script."),
        }
        .after(seconds)
    }

    /// The error that a script names for a token. `INVALID_ARGUMENT` is the one that means the token, `BAD_REQUEST` names
    /// a field, `NO_DETAILS` names nothing.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "UNREGISTERED" => Self::unregistered(),
            "SENDER_ID_MISMATCH" => Self::sender_id_mismatch(),
            "INVALID_ARGUMENT" => Self::no_token(),
            "FCM_ERROR_ONLY" => {
                Self::new(400, "INVALID_ARGUMENT", "Request contains an invalid argument.").fcm("INVALID_ARGUMENT")
            }
            "BAD_REQUEST" => Self::argument("message.android", "Invalid value"),
            "NO_DETAILS" => Self::of_status(400, None),
            "THIRD_PARTY_AUTH_ERROR" => Self::new(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service")
                .fcm("THIRD_PARTY_AUTH_ERROR"),
            "UNAUTHENTICATED" => Self::unauthenticated(),
            "PERMISSION_DENIED" => Self::permission_denied("scripted"),
            "NOT_FOUND" => Self::of_status(404, None),
            "QUOTA_EXCEEDED" => Self::quota(None),
            "DEVICE_QUOTA" => Self::device_quota(None),
            "RESOURCE_EXHAUSTED" => {
                Self::new(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")
            }
            "UNAVAILABLE" => Self::of_status(503, None),
            "INTERNAL" => Self::of_status(500, None),
            other => Self::new(400, "FAILED_PRECONDITION", "An error by script.").fcm(other),
        }
    }

    /// The code under which it is counted.
    pub(crate) fn name(&self) -> String {
        let code = self.details.iter().find_map(|detail| detail["errorCode"].as_str());
        code.unwrap_or(self.status).to_owned()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message, "status": self.status });
        if !self.details.is_empty() {
            error["details"] = Value::Array(self.details);
        }
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (code, Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
