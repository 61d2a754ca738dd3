#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use super::*;
use crate::settings::Key;

fn key(name: &str, key: &str, lanes: &[&str]) -> Key {
    Key { name: name.into(), key: key.into(), lanes: lanes.iter().map(|l| (*l).to_owned()).collect() }
}

fn keys(settings: &Settings) -> Result<Keys> {
    Keys::new(settings, &["system", "group"])
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_caller_is_known_by_either_header() {
    let settings = Settings {
        keys: vec![key("shop", "0123456789abcdef", &["system"]), key("chat", "fedcba9876543210", &[])],
        ..Settings::default()
    };
    let keys = keys(&settings).unwrap();
    let name = |pairs: &[(&'static str, &str)]| keys.caller(&headers(pairs)).map(|c| c.name.clone());
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
        assert_eq!(name(wrong).unwrap_err().status, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    let shop = keys.caller(&headers(&[("x-api-key", "0123456789abcdef")])).unwrap();
    assert!(shop.may("system") && !shop.may("group"));
}

#[test]
fn without_keys_it_is_closed_unless_open_on_loopback() {
    let closed = keys(&Settings::default()).unwrap();
    assert_eq!(closed.caller(&HeaderMap::new()).unwrap_err().status, StatusCode::UNAUTHORIZED);
    let open = keys(&Settings { open_on_loopback: true, ..Settings::default() }).unwrap();
    assert_eq!(open.caller(&HeaderMap::new()).unwrap().name, "loopback");
    let error = open.caller(&headers(&[("x-api-key", "of-another-installation")])).unwrap_err();
    assert_eq!(error.status, StatusCode::UNAUTHORIZED, "a wrong key is a mistake wherever it is shown");
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    #[track_caller]
    fn refused(settings: &Settings, expected: &str) {
        assert_eq!(keys(settings).err().unwrap().to_string(), expected);
    }
    let public = Settings { listen: "0.0.0.0:7701".parse().unwrap(), ..Settings::default() };
    let message =
        "listen = \"0.0.0.0:7701\" can be reached from other machines: it needs keys, and open_on_loopback must be off";
    refused(&public, message);
    let keyed = Settings { keys: vec![key("shop", "0123456789abcdef", &[])], ..public };
    assert!(keys(&keyed).is_ok());
    refused(&Settings { open_on_loopback: true, ..keyed }, message);
    let with = |keys: Vec<Key>| Settings { keys, ..Settings::default() };
    refused(&with(vec![key("a", "short", &[])]), "keys: `a` needs a key of at least 16 visible ASCII characters");
    refused(
        &with(vec![key("a", "0123456789abcdef", &["nowhere"])]),
        "keys: `a` names the lane nowhere, which does not exist",
    );
    refused(
        &with(vec![key("a", "0123456789abcdef", &[]), key("b", "0123456789abcdef", &[])]),
        "keys: `b` stands there twice, by its name or its key",
    );
    let shown = format!("{:?}", with(vec![key("a", "0123456789abcdef", &[])]));
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_a_batch_is_paid_back() {
    let caller = Caller::new("shop", &[], 10);
    let start = Instant::now();
    caller.spend(30, start).unwrap();
    let error = caller.spend(1, start).unwrap_err();
    assert_eq!((error.status, error.retry_after), (StatusCode::TOO_MANY_REQUESTS, Some(3)));
    assert!(caller.spend(1, start + Duration::from_millis(2_000)).is_err());
    caller.spend(1, start + Duration::from_millis(2_200)).unwrap();
    for _ in 0..10 {
        caller.spend(1, start + Duration::from_secs(60)).unwrap();
    }
    assert!(caller.spend(1, start + Duration::from_secs(60)).is_err(), "no more is saved than a second's worth");
    Caller::local("send").spend(1_000_000, start).unwrap();
}
