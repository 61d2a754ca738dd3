#![allow(clippy::unwrap_used, reason = "a test may panic")]

use futures_util::future::BoxFuture;
use homing_core::clock::SystemClock;
use serde_json::{Value, json};

use super::*;
use crate::identity::{Credentials, Identity};

/// Lets in whoever shows a cookie or a query that is not `bad`.
struct Simple;

impl Authenticate for Simple {
    fn check(&self, credentials: &Credentials) -> Option<Verdict> {
        Some(match credentials.query.as_deref().or(credentials.cookie.as_deref()) {
            None => Verdict::Refused("a token is needed".into()),
            Some("bad") => Verdict::Refused("this is no token".into()),
            Some("later") => return None,
            Some("away") => Verdict::Unavailable("not now".into()),
            Some(user) => Verdict::Known(Identity { user: Some(user.into()), ..Identity::default() }),
        })
    }

    fn look_up<'a>(&'a self, _: &'a Credentials) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Missing })
    }
}

fn door(settings: Value) -> Door {
    let settings = serde_json::from_value(settings).unwrap();
    Door::new(settings, Arc::new(Simple), Arc::new(SystemClock::default())).unwrap()
}

fn request(path: &str) -> Request {
    Request { path: path.into(), host: Some("push.example".into()), ..Request::default() }
}

/// What becomes of a request: nothing (404), a session (101), or a status.
#[track_caller]
fn check(door: &Door, request: &Request, expected: u16) {
    let status = match door.websocket(request) {
        None => 404,
        Some(Admission::Session(_)) => 101,
        Some(Admission::Refuse { status, why }) => {
            assert!(!why.is_empty());
            status
        }
        Some(Admission::Offer(..)) => 0,
    };
    assert_eq!(status, expected, "{} {:?}", request.path, request.origin);
}

#[test]
fn paths_are_as_configured() {
    let usual = door(json!({}));
    for (path, expected) in [("/ws", 101), ("/ws/", 101), ("/", 404), ("/wss", 404), ("/ws/x", 404), ("", 404)] {
        check(&usual, &request(path), expected);
    }
    let several = door(json!({"ws_paths": ["/", "/push/socket"]}));
    for (path, expected) in [("/", 101), ("/push/socket", 101), ("/ws", 404)] {
        check(&several, &request(path), expected);
    }
    for any in ["*", ""] {
        let any = door(json!({"ws_paths": [any]}));
        check(&any, &request("/whatever"), 101);
    }
}

#[test]
fn who_is_refused_learns_it_as_configured() {
    let query = |text: &str| {
        let credentials = Credentials { query: Some(text.into()), ..Credentials::default() };
        Request { credentials, ..request("/ws") }
    };
    let (close, http) = (door(json!({})), door(json!({"refuse_with": "http"})));
    for (text, status) in [("42", 101), ("bad", 401), ("away", 503), ("later", 101)] {
        check(&close, &query(text), 101);
        check(&http, &query(text), status);
    }
}

#[test]
fn foreign_pages_come_without_cookies_or_not_at_all() {
    let with_cookie = |origin: Option<&str>| {
        let credentials = Credentials { cookie: Some("42".into()), ..Credentials::default() };
        Request { credentials, origin: origin.map(str::to_owned), ..request("/ws") }
    };
    let usual = door(json!({"refuse_with": "http"}));
    check(&usual, &with_cookie(None), 101);
    check(&usual, &with_cookie(Some("https://push.example")), 101);
    check(&usual, &with_cookie(Some("https://evil.example")), 401);
    let listed = door(json!({"refuse_with": "http", "origins": ["https://app.example"]}));
    check(&listed, &with_cookie(Some("https://app.example")), 101);
    check(&listed, &with_cookie(Some("https://evil.example")), 403);
    let own = door(json!({"refuse_with": "http", "origins": []}));
    check(&own, &with_cookie(Some("https://push.example")), 101);
    check(&own, &with_cookie(Some("https://evil.example")), 403);
    let any = door(json!({"refuse_with": "http", "origins": ["*"]}));
    check(&any, &with_cookie(Some("https://evil.example")), 101);
}

#[test]
fn settings_that_do_not_fit_are_named() {
    #[track_caller]
    fn refused(settings: Value, expected: &str) {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let error = settings.check().unwrap_err();
        assert!(error.starts_with(&format!("gateway.plain.{expected}: ")), "{error}");
    }
    refused(json!({"ws_paths": ["/ws", "ws"]}), "ws_paths[1]");
    refused(json!({"origins": ["app.example"]}), "origins[0]");
    refused(json!({"origins": ["https://app.example/"]}), "origins[0]");
    refused(json!({"ping_interval": "500ms"}), "ping_interval");
    refused(json!({"login_timeout": "2h"}), "login_timeout");
    refused(json!({"max_groups": 0}), "max_groups");
    refused(json!({"rate": 20_000}), "rate");
    assert!(Settings::default().check().is_ok());
    assert!(serde_json::from_value::<Settings>(json!({"sub": "any"})).is_err());
}
