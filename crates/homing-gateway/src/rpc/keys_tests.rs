#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::*;

fn keys(settings: Value, loopback: bool) -> Result<Keys, String> {
    Keys::new(&serde_json::from_value(settings).unwrap(), loopback)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_caller_is_known_by_either_header() {
    let keys = keys(
        json!({"keys": [
            {"name": "shop", "key": "0123456789abcdef", "may": ["push"]},
            {"name": "chat", "key": "fedcba9876543210"},
        ]}),
        false,
    )
    .unwrap();
    let name = |pairs: &[(&'static str, &str)]| keys.caller(&headers(pairs)).map(|key| key.name.clone());
    assert_eq!(name(&[("authorization", "Bearer 0123456789abcdef")]).unwrap(), "shop");
    assert_eq!(name(&[("authorization", "bearer  fedcba9876543210")]).unwrap(), "chat");
    assert_eq!(name(&[("x-api-key", "fedcba9876543210")]).unwrap(), "chat");
    for wrong in [
        &[][..],
        &[("authorization", "0123456789abcdef")],
        &[("authorization", "Basic 0123456789abcdef")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer 0123456789abcdeF")],
        &[("authorization", "Bearer 0123456789abcde")],
        &[("authorization", "Bearer wrong"), ("x-api-key", "fedcba9876543210")],
        &[("x-api-key", "")],
    ] {
        assert_eq!(keys.caller(&headers(wrong)).unwrap_err().status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    let shop = keys.caller(&headers(&[("x-api-key", "0123456789abcdef")])).unwrap();
    assert!(shop.may(Capability::Push) && !shop.may(Capability::History));
}

#[test]
fn without_a_key_only_programs_of_this_machine_are_served() {
    let closed = keys(json!({}), true).unwrap();
    assert_eq!(closed.caller(&headers(&[("host", "localhost")])).unwrap_err().status(), StatusCode::UNAUTHORIZED);
    let open = keys(json!({"open_on_loopback": true}), true).unwrap();
    for host in ["localhost", "127.0.0.1:7700", "[::1]:80"] {
        assert_eq!(open.caller(&headers(&[("host", host)])).unwrap().name, "loopback");
    }
    for pairs in [
        &[("host", "evil.example")][..],
        &[],
        &[("host", "localhost"), ("origin", "http://evil.example")],
        &[("host", "localhost"), ("origin", "null")],
    ] {
        assert_eq!(open.caller(&headers(pairs)).unwrap_err().status(), StatusCode::FORBIDDEN, "{pairs:?}");
    }
    let wrong = open.caller(&headers(&[("host", "localhost"), ("x-api-key", "of-another-installation")]));
    assert_eq!(wrong.unwrap_err().status(), StatusCode::UNAUTHORIZED, "a wrong key is a mistake wherever it is shown");
    assert!(keys(json!({"open_on_loopback": true}), false).err().unwrap().starts_with("gateway.rpc.open_on_loopback"));
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    #[track_caller]
    fn refused(list: Value, expected: &str) {
        let error = keys(json!({"keys": list}), true).err().unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
    refused(json!([{"name": "a", "key": "short"}]), "gateway.rpc.keys[0].key: needs at least 16");
    refused(json!([{"name": "a", "key": "0123456789 abcdef"}]), "gateway.rpc.keys[0].key: needs at least 16");
    refused(json!([{"name": "", "key": "0123456789abcdef"}]), "gateway.rpc.keys[0].name: must not be empty");
    let twice = json!([{"name": "a", "key": "0123456789abcdef"}, {"name": "b", "key": "0123456789abcdef"}]);
    refused(twice, "gateway.rpc.keys[1].name: stands there twice");
}

#[test]
fn a_rate_is_kept() {
    let key = Key::new("shop", &[], 10);
    let now = Instant::now();
    assert!(key.spend(25, now).is_ok(), "one call may overdraw it");
    let refused = key.spend(1, now).unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (code::LIMIT, Some(2)));
    assert!(key.spend(1, now + Duration::from_secs(1)).is_err());
    assert!(key.spend(1, now + Duration::from_secs(2)).is_ok());
    assert!(Key::local("us").spend(1_000_000, now).is_ok());
}
