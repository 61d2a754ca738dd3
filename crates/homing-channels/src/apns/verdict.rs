//! An answer of APNs as an outcome: `{"reason", "timestamp"}` by the table of reasons, and what the table does not know by
//! its status.

use homing_core::{
    channel::{Answer, Outcome, Scope},
    clock::Millis,
};
use reqwest::StatusCode;

use super::token::BLAMELESS;
use crate::common::{
    codes::{Class, Codes},
    http::Reply,
};

/// What a key that changed its token too often has to wait. (Apple: 20 minutes between updates.)
const UPDATES: Millis = 20 * 60 * 1000;

/// What an answer says.
pub(crate) enum Verdict {
    /// It is final.
    Plain(Answer),
    /// The token is called bad, which it is, or else the configuration; the words for it.
    BadToken(String),
    /// The provider token is called expired; the words for it.
    Expired(String),
}

/// The reason in the body, empty where there is none.
pub(crate) fn reason(reply: &Reply) -> String {
    reply.json().get("reason").and_then(|reason| reason.as_str()).unwrap_or_default().to_owned()
}

/// Does the answer show that APNs accepted who we are?
pub(crate) fn is_authenticated(reply: &Reply) -> bool {
    let status = reply.status;
    !matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)
        && !status.is_server_error()
        && reason(reply) != "TooManyProviderTokenUpdates"
}

/// By how much APNs' clock is ahead of ours, where that is too much.
pub(crate) fn skew(reply: &Reply, now: Millis) -> Option<Millis> {
    reply.date().map(|date| date.saturating_sub(now)).filter(|skew| skew.saturating_abs() > BLAMELESS)
}

pub(crate) fn verdict(codes: &Codes, reply: &Reply, now: Millis) -> Verdict {
    let status = reply.status;
    if status == StatusCode::OK {
        let id = reply.headers.get("apns-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        return Verdict::Plain(Answer::new(Outcome::Delivered { provider_id: id }, "200"));
    }
    let reason = reason(reply);
    let class = codes.class(&reason);
    let mut detail = match (reason.is_empty(), codes.words(&reason)) {
        (true, _) => format!("status {} without a reason", status.as_u16()),
        (false, "") => format!("{} {reason}", status.as_u16()),
        (false, words) => format!("{} {reason} ({words})", status.as_u16()),
    };
    let after = reply.retry_after(now);
    let outcome = match class {
        Some(Class::Token) if status == StatusCode::GONE => Outcome::TokenInvalid { since: since(reply) },
        Some(Class::Token) => return Verdict::BadToken(detail),
        Some(Class::Renew) => return Verdict::Expired(detail),
        Some(Class::Retry) => Outcome::Retry { after },
        Some(Class::RateToken) => Outcome::RateLimited { after, scope: Scope::Token },
        Some(Class::Rate) => Outcome::limited(Some(after.unwrap_or(UPDATES))),
        Some(class) => class.outcome(),
        None => by_status(reply, after),
    };
    if let (Outcome::Config, Some(skew)) = (&outcome, skew(reply, now)) {
        detail = format!("{detail}; {}", skew_words(skew));
    }
    Verdict::Plain(Answer::new(outcome, detail))
}

pub(crate) fn skew_words(skew: Millis) -> String {
    let side = if skew > 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {} s {side} APNs'", skew.saturating_abs() / 1000)
}

/// What the table does not know.
fn by_status(reply: &Reply, after: Option<Millis>) -> Outcome {
    match reply.status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Outcome::Config,
        StatusCode::GONE => Outcome::TokenInvalid { since: since(reply) },
        StatusCode::TOO_MANY_REQUESTS => Outcome::limited(after),
        status if status.is_server_error() => Outcome::Retry { after },
        status if status.is_client_error() => Outcome::Payload,
        _ => Outcome::Unknown,
    }
}

/// When the token became invalid: milliseconds since 1970. (Apple, "Handling notification responses", `timestamp`.)
fn since(reply: &Reply) -> Option<Millis> {
    reply.json().get("timestamp").and_then(serde_json::Value::as_i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use reqwest::header::HeaderMap;

    use super::*;

    fn of(status: u16, body: &str, headers: &[(&'static str, &str)]) -> Verdict {
        let codes = Codes::load(include_str!("apns.toml"), "codes", None).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        verdict(&codes, &Reply { status, headers: map, body: body.as_bytes().to_vec() }, 784_111_777_000)
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: &Outcome) {
        match of(status, body, &[]) {
            Verdict::Plain(answer) => assert_eq!(answer.outcome, *expected, "{}", answer.detail),
            Verdict::BadToken(detail) | Verdict::Expired(detail) => panic!("{detail}"),
        }
    }

    #[test]
    fn unknown_reasons_and_bodies_that_are_none_go_by_status() {
        for body in ["", "{}", "<html>", r#"{"reason":"SomethingNew"}"#, r#"{"reason":7}"#] {
            check(403, body, &Outcome::Config);
            check(400, body, &Outcome::Payload);
            check(404, body, &Outcome::Payload);
            check(410, body, &Outcome::DEAD);
            check(429, body, &Outcome::limited(None));
            check(500, body, &Outcome::Retry { after: None });
            check(302, body, &Outcome::Unknown);
        }
    }

    #[test]
    fn times_are_read_from_body_and_headers() {
        check(
            410,
            r#"{"reason":"Unregistered","timestamp":1700000000123}"#,
            &Outcome::TokenInvalid { since: Some(1_700_000_000_123) },
        );
        check(429, r#"{"reason":"TooManyProviderTokenUpdates"}"#, &Outcome::limited(Some(UPDATES)));
        let Verdict::Plain(answer) = of(503, r#"{"reason":"Shutdown"}"#, &[("retry-after", "7")]) else { panic!() };
        assert_eq!(answer.outcome, Outcome::Retry { after: Some(7_000) });
        let late = [("date", "Sun, 06 Nov 1994 09:49:37 GMT")];
        let Verdict::Plain(answer) = of(403, r#"{"reason":"InvalidProviderToken"}"#, &late) else { panic!() };
        assert!(answer.detail.ends_with("this machine's clock is 3600 s behind APNs'"), "{}", answer.detail);
    }

    #[test]
    fn a_bad_token_is_believed_at_once_only_when_it_is_gone() {
        assert!(matches!(of(400, r#"{"reason":"BadDeviceToken"}"#, &[]), Verdict::BadToken(_)));
        assert!(matches!(of(400, r#"{"reason":"DeviceTokenNotForTopic"}"#, &[]), Verdict::BadToken(_)));
        assert!(matches!(of(403, r#"{"reason":"ExpiredProviderToken"}"#, &[]), Verdict::Expired(_)));
        check(410, r#"{"reason":"ExpiredToken"}"#, &Outcome::DEAD);
    }
}
