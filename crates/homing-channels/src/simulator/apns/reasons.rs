//! Apple's reasons and their statuses. ("Handling notification responses from APNs".)

use homing_core::clock::Millis;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: String,
    /// Since when a token is dead.
    pub(super) timestamp: Option<Millis>,
    /// Seconds.
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(reason: &str) -> Self {
        Self { status: status(reason), reason: reason.to_owned(), timestamp: None, retry_after: None }
    }

    /// A code of the script: `BadTopic`, `410`, `410 ExpiredToken`.
    pub(super) fn scripted(code: &str, now: Millis) -> Self {
        let (first, rest) = code.split_once(' ').unwrap_or((code, ""));
        let mut refusal = match first.parse() {
            Ok(status) => Self { status, ..Self::new(rest) },
            Err(_) => Self::new(code),
        };
        if refusal.status == 410 {
            refusal.timestamp = Some(now);
        }
        refusal
    }

    /// A status of the script.
    pub(super) fn of_status(status: u16, retry_after: Option<u64>) -> Self {
        let reason = match status {
            403 => "Forbidden",
            429 => "TooManyRequests",
            500 => "InternalServerError",
            503 => "ServiceUnavailable",
            _ => "",
        };
        Self { status, retry_after, ..Self::new(reason) }
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

fn status(reason: &str) -> u16 {
    match reason {
        "BadCertificate"
        | "BadCertificateEnvironment"
        | "ExpiredProviderToken"
        | "Forbidden"
        | "InvalidProviderToken"
        | "MissingProviderToken"
        | "UnrelatedKeyIdInToken"
        | "BadEnvironmentKeyIdInToken" => 403,
        "BadPath" => 404,
        "MethodNotAllowed" => 405,
        "Unregistered" | "ExpiredToken" => 410,
        "PayloadTooLarge" => 413,
        "TooManyProviderTokenUpdates" | "TooManyRequests" => 429,
        "InternalServerError" => 500,
        "ServiceUnavailable" | "Shutdown" => 503,
        _ => 400,
    }
}
