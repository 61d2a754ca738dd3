#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::json;

use super::*;

fn codes() -> Codes {
    Codes::load(include_str!("codes.toml"), "channel.fcm.codes", None).unwrap()
}

fn reply(status: u16, body: &str, retry_after: Option<&str>) -> Reply {
    let mut headers = HeaderMap::new();
    if let Some(text) = retry_after {
        headers.insert(RETRY_AFTER, text.parse().unwrap());
    }
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec() }
}

#[track_caller]
fn check(status: u16, body: &str, retry_after: Option<&str>, expected: Reading) {
    let (reading, detail) = read(&reply(status, body, retry_after), &codes(), 0, &[]);
    assert_eq!(reading, expected, "{status} {body}: {detail}");
    assert!(detail.len() < 1_000, "{detail}");
}

fn plain(outcome: Outcome) -> Reading {
    Reading::Plain(outcome)
}

fn error(status: &str, code: Option<&str>, violations: &[&str]) -> String {
    let mut details = Vec::new();
    if let Some(code) = code {
        details.push(json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}));
    }
    if !violations.is_empty() {
        let fields: Vec<_> = violations.iter().map(|field| json!({ "field": field })).collect();
        details.push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}));
    }
    json!({"error": {"code": 400, "message": "words", "status": status, "details": details}}).to_string()
}

#[test]
fn an_invalid_argument_is_the_token_only_when_it_says_so() {
    let token = |text: &str| json!({"error": {"status": "INVALID_ARGUMENT", "message": text}}).to_string();
    let says = token("The registration token is not a valid FCM registration token");
    check(400, &says, None, plain(Outcome::DEAD));
    check(400, &token("Request contains an invalid argument."), None, plain(Outcome::Payload));
    check(400, &error("INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), &[]), None, Reading::Misfit);
    check(400, &error("INVALID_ARGUMENT", None, &[]), None, plain(Outcome::Payload));
    for code in [None, Some("INVALID_ARGUMENT")] {
        let refused = error("INVALID_ARGUMENT", code, &["message.data[0].value"]);
        check(400, &refused, None, plain(Outcome::Payload));
    }
}

#[test]
fn codes_and_statuses_have_their_outcomes() {
    let limited = |seconds: Millis| plain(Outcome::limited(Some(seconds * 1_000)));
    let retry = |seconds: Option<Millis>| plain(Outcome::Retry { after: seconds.map(|seconds| seconds * 1_000) });
    check(404, &error("NOT_FOUND", Some("UNREGISTERED"), &[]), None, plain(Outcome::DEAD));
    check(404, &error("NOT_FOUND", None, &[]), None, plain(Outcome::Config));
    check(404, "<html>", None, plain(Outcome::Config));
    check(403, &error("PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), &[]), None, Reading::Stranger);
    check(403, &error("PERMISSION_DENIED", None, &[]), None, plain(Outcome::Config));
    check(401, &error("UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), &[]), None, plain(Outcome::Config));
    check(401, &error("UNAUTHENTICATED", None, &[]), None, Reading::Renew);
    check(401, "", None, Reading::Renew);
    check(429, &error("RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), &[]), None, limited(60));
    check(429, &error("RESOURCE_EXHAUSTED", None, &[]), Some("7"), limited(7));
    check(429, "", Some("7"), limited(7));
    check(503, &error("UNAVAILABLE", Some("UNAVAILABLE"), &[]), None, retry(Some(10)));
    check(503, "", Some("3"), retry(Some(3)));
    check(500, &error("INTERNAL", Some("INTERNAL"), &[]), None, retry(None));
    check(502, "", None, retry(None));
    check(500, &error("INTERNAL", Some("UNSPECIFIED_ERROR"), &[]), None, retry(None));
    check(599, "", None, retry(None));
    check(404, &error("NOT_FOUND", Some("SOMETHING_NEW"), &[]), None, plain(Outcome::Unknown));
    check(400, "<html>", None, plain(Outcome::Unknown));
    check(302, "", None, plain(Outcome::Config));
    let device = json!({"error": {"status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "QUOTA_EXCEEDED"},
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"subject": "x", "description": "Device message rate exceeded"}]}]}});
    let expected = plain(Outcome::RateLimited { after: Some(60_000), scope: Scope::Token });
    check(429, &device.to_string(), None, expected);
}

#[test]
fn a_failing_service_kills_no_token() {
    check(503, &error("NOT_FOUND", Some("UNREGISTERED"), &[]), Some("1"), plain(Outcome::Retry { after: Some(1_000) }));
    check(
        500,
        &error("PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), &[]),
        None,
        plain(Outcome::Retry { after: None }),
    );
}

#[test]
fn hostile_answers_are_read_without_harm() {
    let named = r#"{"name":"projects/p/messages/1"}"#;
    let delivered = Outcome::Delivered { provider_id: Some("projects/p/messages/1".to_owned()) };
    check(200, named, None, plain(delivered));
    for body in ["", "{}", "<html>", "{\"name\":7}", "[]", "{\"name\":", "null", "{\"error\":{\"status\":\"OK\"}}"] {
        check(200, body, None, plain(Outcome::Ambiguous));
    }
    check(204, "", None, plain(Outcome::Ambiguous));
    check(201, named, None, plain(Outcome::Ambiguous));
    for body in [
        r#"{"error":"no"}"#,
        r#"{"error":{"details":"no","status":7,"message":{}}}"#,
        r#"{"error":{"details":[7,null,{"@type":7},{"@type":"x"}],"status":[]}}"#,
        r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":7}]}}"#,
    ] {
        check(400, body, None, plain(Outcome::Unknown));
    }
    let long = error(&"X".repeat(9_000), Some(&"Y".repeat(9_000)), &[]);
    check(400, &long, None, plain(Outcome::Unknown));
    let told =
        json!({"error": {"status": "INVALID_ARGUMENT", "message": "bad token abcdefgh-token and\nya29.secret!"}});
    let (_, detail) = read(&reply(400, &told.to_string(), None), &codes(), 0, &["abcdefgh-token", "ya29.secret"]);
    assert_eq!(detail, "INVALID_ARGUMENT (HTTP 400): bad token .. and ..!");
}
