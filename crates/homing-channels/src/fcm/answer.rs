//! What an answer means. `codes.toml` holds the classes; here is where a code stands, and the three cases in which it does
//! not say all: an INVALID_ARGUMENT that means the token, a token of another project, and a quota of one device.

use homing_core::{
    channel::{Outcome, Scope},
    clock::Millis,
};
use serde_json::Value;

use crate::common::{
    codes::{Class, Codes},
    http::Reply,
    words::words,
};

/// What 429 waits when it names no time. (Firebase, "Handling retries".)
const RATE_WAIT: Millis = 60_000;

/// What 503 waits when it names no time. (The same page.)
const RETRY_WAIT: Millis = 10_000;

/// A reading of an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    /// It means this, whatever others are answered.
    Plain(Outcome),
    /// The token is another project's, if others are not.
    Stranger,
    /// The token is no token, if others are.
    Misfit,
    /// The access token is refused.
    Renew,
}

/// Reads an answer: what it means, and the words for the record. `secrets` do not appear in these.
pub(crate) fn read(reply: &Reply, codes: &Codes, now: Millis, secrets: &[&str]) -> (Reading, String) {
    let (status, body) = (reply.status.as_u16(), reply.json());
    if (200..300).contains(&status) {
        return match body["name"].as_str() {
            Some(name) if status == 200 => {
                let provider_id = Some(words(name, secrets));
                (Reading::Plain(Outcome::Delivered { provider_id }), String::new())
            }
            _ => (Reading::Plain(Outcome::Ambiguous), format!("HTTP {status} without the name of a message")),
        };
    }
    let error = &body["error"];
    let text = error["message"].as_str().unwrap_or_default();
    let code = code(status, error, text, codes);
    let known = codes.class(&code);
    let words = match words(text, secrets) {
        text if text.is_empty() => words(codes.words(&code), &[]),
        text => text,
    };
    let http = format!("HTTP {status}");
    let detail = match (code == http, words.is_empty()) {
        (true, true) => code.clone(),
        (true, false) => format!("{code}: {words}"),
        (false, true) => format!("{code} ({http})"),
        (false, false) => format!("{code} ({http}): {words}"),
    };
    let after = reply.retry_after(now);
    // Of an answer that is the service's own failure nothing is believed but that.
    let class = match known {
        Some(class @ (Class::Retry | Class::Rate | Class::Day | Class::RateToken)) => Some(class),
        _ if status >= 500 => Some(Class::Retry),
        class => class,
    };
    let reading = match class {
        // Somebody else than Google answers at that address.
        None if (300..400).contains(&status) => Reading::Plain(Outcome::Config),
        None => Reading::Plain(Outcome::Unknown),
        Some(Class::Token) if code == "SENDER_ID_MISMATCH" => Reading::Stranger,
        Some(Class::Token) if code == "INVALID_ARGUMENT token" && !speaks_of_the_token(text) => Reading::Misfit,
        Some(Class::Renew) => Reading::Renew,
        Some(Class::Rate | Class::Day) => Reading::Plain(Outcome::limited(after.or(Some(RATE_WAIT)))),
        Some(Class::RateToken) => {
            let after = after.or(Some(RATE_WAIT));
            Reading::Plain(Outcome::RateLimited { after, scope: Scope::Token })
        }
        Some(Class::Retry) => {
            let after = after.or((status == 503).then_some(RETRY_WAIT));
            Reading::Plain(Outcome::Retry { after })
        }
        Some(class) => Reading::Plain(class.outcome()),
    };
    (reading, detail)
}

/// The code to look up.
fn code(status: u16, error: &Value, text: &str, codes: &Codes) -> String {
    let details = error["details"].as_array().map_or(&[][..], Vec::as_slice);
    let of =
        |kind: &str| details.iter().find(|detail| detail["@type"].as_str().is_some_and(|name| name.ends_with(kind)));
    let named = of("google.firebase.fcm.v1.FcmError").and_then(|detail| detail["errorCode"].as_str());
    // It says that there is nothing more to say.
    let named = named.filter(|code| *code != "UNSPECIFIED_ERROR");
    let code = match (named, error["status"].as_str()) {
        // A code that nobody documented stays one, whatever the status.
        (Some(named), _) => words(named, &[]),
        (None, Some(status)) if codes.class(status).is_some() => status.to_owned(),
        _ => format!("HTTP {status}"),
    };
    let violations = of("google.rpc.BadRequest").and_then(|detail| detail["fieldViolations"].as_array());
    let violated = violations.is_some_and(|violations| !violations.is_empty());
    match code.as_str() {
        "INVALID_ARGUMENT" if !violated && (named.is_some() || speaks_of_the_token(text)) => {
            "INVALID_ARGUMENT token".to_owned()
        }
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" if of_a_device(of("google.rpc.QuotaFailure")) => {
            "DEVICE_QUOTA".to_owned()
        }
        _ => code,
    }
}

fn speaks_of_the_token(text: &str) -> bool {
    text.to_ascii_lowercase().contains("not a valid fcm registration token")
}

/// (Firebase, ErrorCode, QUOTA_EXCEEDED: a QuotaFailure says which quota it was; one is "device message rate".)
fn of_a_device(failure: Option<&Value>) -> bool {
    let violations = failure.and_then(|failure| failure["violations"].as_array());
    violations.is_some_and(|violations| {
        !violations.is_empty()
            && violations.iter().all(|violation| {
                let says = |name: &str| violation[name].as_str().unwrap_or_default().to_ascii_lowercase();
                says("subject").contains("device") || says("description").contains("device")
            })
    })
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
