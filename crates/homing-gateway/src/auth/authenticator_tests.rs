//! Verdicts: where tokens stand, key sets, and cookies that must be looked up, against a real Redis and real HTTP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::clock::Millis;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const SECRET: &str = "a secret of more than thirty-two bytes";

struct Fixed(Millis);

impl Clock for Fixed {
    fn now(&self) -> Millis {
        self.0
    }
}

fn auth(settings: Value) -> Auth {
    // Not installed twice, and other tests may be first.
    rustls::crypto::ring::default_provider().install_default().ok();
    Auth::new(serde_json::from_value(settings).unwrap(), Arc::new(Fixed(1_795_219_200_000))).unwrap()
}

fn shared() -> Value {
    json!({"keys": [{"algorithm": "HS256", "secret": SECRET}]})
}

fn token(user: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message =
        format!("{}.{}", part(json!({"alg": "HS256"})), part(json!({"user_id": user, "exp": 4_102_444_800_u64})));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn fixture(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap();
    all[name].clone()
}

fn with_query(token: impl Into<String>) -> Credentials {
    Credentials { query: Some(token.into()), ..Credentials::default() }
}

fn with_cookie(cookie: &str) -> Credentials {
    Credentials { cookie: Some(cookie.to_owned()), ..Credentials::default() }
}

fn user(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Known(identity) => identity.user.as_deref(),
        _ => None,
    }
}

fn refused(why: &str) -> Verdict {
    Verdict::Refused(why.to_owned())
}

fn anonymous() -> Verdict {
    Verdict::Known(Identity::default())
}

#[test]
fn what_is_missing_or_wrong_is_as_configured() {
    let with = |extra: Value| {
        let mut settings = shared();
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        auth(settings)
    };
    let none = Credentials::default();
    assert_eq!(with(json!({"missing": "refuse"})).check(&none), Some(refused("a token is needed")));
    assert_eq!(with(json!({})).check(&none), Some(Verdict::Missing));
    assert_eq!(with(json!({"missing": "anonymous"})).check(&none), Some(anonymous()));
    let wrong = with_query(token("42") + "A");
    assert_eq!(with(json!({})).check(&wrong), Some(refused("no key fits the token's signature")));
    assert_eq!(with(json!({"invalid": "anonymous"})).check(&wrong), Some(anonymous()));
    let auth = with(json!({}));
    for credentials in [
        with_query(token("42")),
        with_cookie(&format!("a=b; token={}", token("42"))),
        Credentials { header: Some(format!("Bearer {}", token("42"))), ..Credentials::default() },
        Credentials { message: Some(token("42")), ..Credentials::default() },
    ] {
        assert_eq!(user(&auth.check(&credentials).unwrap()), Some("42"), "{credentials:?}");
    }
}

#[test]
fn settings_that_do_not_fit_are_named() {
    #[track_caller]
    fn check(settings: Value, expected: &str) {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let error = Auth::new(settings, Arc::new(Fixed(0))).err().unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
    check(json!({"keys": [{"algorithm": "HS256"}]}), "gateway.auth.keys[0].secret: is what HS256 needs");
    check(json!({"keys": [{"algorithm": "RS256", "secret": "x"}]}), "gateway.auth.keys[0].public_key: is what RS256");
    check(json!({"keys": [{"algorithm": "RS256", "public_key": "x"}]}), "gateway.auth.keys[0].public_key: holds no");
    check(json!({"jwks": {"url": "http://login.example/keys"}}), "gateway.auth.jwks.url: must begin with https://");
    check(json!({"jwks": {}}), "gateway.auth.jwks.url: either it or `file`");
    check(json!({"user_claim": ""}), "gateway.auth.user_claim");
    let lookup = json!({"redis": {"url": "redis://127.0.0.1/", "key": "sessions"}});
    check(
        json!({"session_cookie": {"name": "sid", "lookup": lookup}}),
        "gateway.auth.session_cookie.lookup.redis.key: must hold {value}",
    );
    let lookup = json!({"http": {"url": "ftp://127.0.0.1/"}});
    check(
        json!({"session_cookie": {"name": "sid", "lookup": lookup}}),
        "gateway.auth.session_cookie.lookup.http.url: must begin with",
    );
    assert!(serde_json::from_value::<Settings>(json!({"keys": [{"algorithm": "none", "secret": "x"}]})).is_err());
    let shown = format!("{:?}", serde_json::from_value::<Settings>(shared()).unwrap());
    assert!(!shown.contains(SECRET), "{shown}");
}

/// A server with the key set that stands in its state; it counts how often it was asked.
#[derive(Default)]
struct Keys {
    set: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn key_server(keys: &Arc<Keys>) -> String {
    let answer = async |State(keys): State<Arc<Keys>>| {
        keys.asked.fetch_add(1, Ordering::Relaxed);
        let set = keys.set.lock().unwrap().clone();
        set.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
    };
    serve(Router::new().route("/keys", get(answer)).with_state(Arc::clone(keys))).await + "/keys"
}

#[tokio::test]
async fn a_key_set_is_fetched_when_it_is_needed() {
    let keys = Arc::new(Keys::default());
    let auth = auth(json!({"jwks": {"url": key_server(&keys).await}}));
    let (rs256, ps512) = (fixture("RS256")["token"].clone(), fixture("PS512")["token"].clone());
    let (rs256, ps512) = (with_query(rs256.as_str().unwrap()), with_query(ps512.as_str().unwrap()));
    assert_eq!(auth.check(&rs256), None);
    // It is away: nobody is refused for that, and it is not asked again at once.
    let away = Verdict::Unavailable(AWAY.to_owned());
    assert_eq!(auth.look_up(&rs256).await, away);
    assert_eq!(auth.check(&rs256), Some(away));
    assert_eq!(keys.asked.load(Ordering::Relaxed), 1);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    *keys.set.lock().unwrap() = Some(json!({"keys": [fixture("jwk")]}));
    // A hundred who wait for it ask once.
    let all = futures_util::future::join_all((0..100).map(|_| auth.look_up(&rs256))).await;
    assert!(all.iter().all(|verdict| user(verdict) == Some("42")));
    assert_eq!(keys.asked.load(Ordering::Relaxed), 2);
    assert_eq!(user(&auth.check(&ps512).unwrap()), Some("42"));
}

#[tokio::test]
async fn an_unknown_key_is_sought_once_a_minute() {
    let keys = Arc::new(Keys::default());
    *keys.set.lock().unwrap() = Some(json!({"keys": [fixture("jwk")]}));
    let auth = auth(json!({"jwks": {"url": key_server(&keys).await}}));
    let known = with_query(fixture("RS256")["token"].as_str().unwrap());
    assert_eq!(user(&auth.look_up(&known).await), Some("42"));
    let es256 = with_query(fixture("ES256")["token"].as_str().unwrap());
    assert_eq!(auth.check(&es256), None, "it may be a new key");
    assert_eq!(auth.look_up(&es256).await, refused("no key fits the token's signature"));
    assert_eq!(auth.check(&es256), Some(refused("no key fits the token's signature")));
    assert_eq!(keys.asked.load(Ordering::Relaxed), 2);
    // A wrong signature of a key that is there is no reason to ask.
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let forged = format!("{}.{}.AAAA", part(json!({"alg": "RS256", "kid": "rsa-1"})), part(json!({})));
    assert_eq!(auth.check(&with_query(forged)), Some(refused("no key fits the token's signature")));
}

#[tokio::test]
async fn a_key_set_may_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, json!({"keys": [fixture("jwk")]}).to_string()).unwrap();
    let auth = Arc::new(auth(json!({"jwks": {"file": path, "refresh": "10s"}})));
    let keeping = tokio::spawn({
        let auth = Arc::clone(&auth);
        async move { auth.keep().await }
    });
    let known = with_query(fixture("RS256")["token"].as_str().unwrap());
    let read = async {
        while auth.check(&known).is_none_or(|verdict| user(&verdict).is_none()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), read).await.unwrap();
    keeping.abort();
}

#[tokio::test]
async fn a_cookie_is_looked_up_in_redis() {
    let url = std::env::var("HOMING_TEST_REDIS_URL").expect("HOMING_TEST_REDIS_URL: scripts/services start");
    let mut redis = redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let prefix = format!("homing-test-auth-{}", std::process::id());
    let mut set = async |key: &str, value: &str| {
        redis::cmd("SET")
            .arg(format!("{prefix}:{key}"))
            .arg(value)
            .arg("EX")
            .arg(60)
            .exec_async(&mut redis)
            .await
            .unwrap();
    };
    set("plain", "42").await;
    set("json", r#"{"user":{"id":43}}"#).await;
    let mut hash = redis::cmd("HSET");
    hash.arg(format!("{prefix}:hash")).arg("uid").arg("44").exec_async(&mut redis).await.unwrap();
    let with = |extra: Value| {
        let mut lookup = json!({"url": url, "key": format!("{prefix}:{{value}}")});
        lookup.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        auth(json!({"session_cookie": {"name": "sid", "lookup": {"redis": lookup}}}))
    };
    let plain = with(json!({}));
    assert_eq!(plain.check(&with_cookie("sid=plain")), None);
    assert_eq!(user(&plain.look_up(&with_cookie("x=y; sid=plain")).await), Some("42"));
    assert_eq!(plain.look_up(&with_cookie("sid=nobody")).await, refused("the session is not known"));
    assert_eq!(plain.look_up(&with_cookie("sid=\u{7f}")).await, refused("the session is not known"));
    assert_eq!(plain.look_up(&with_cookie("other=plain")).await, Verdict::Missing);
    assert_eq!(user(&with(json!({"json_path": "user.id"})).look_up(&with_cookie("sid=json")).await), Some("43"));
    assert_eq!(user(&with(json!({"field": "uid"})).look_up(&with_cookie("sid=hash")).await), Some("44"));
    // A hash where a text is expected: nobody is refused for what is wrong here.
    let away = Verdict::Unavailable("sessions cannot be looked up now".to_owned());
    assert_eq!(plain.look_up(&with_cookie("sid=hash")).await, away);
    let gone = auth(json!({"session_cookie": {"name": "sid", "lookup": {"redis": {
        "url": "redis://127.0.0.1:1/", "timeout": "1s"}}}}));
    assert_eq!(gone.look_up(&with_cookie("sid=plain")).await, away);
    for key in ["plain", "json", "hash"] {
        redis::cmd("DEL").arg(format!("{prefix}:{key}")).exec_async(&mut redis).await.unwrap();
    }
}

#[tokio::test]
async fn a_cookie_is_looked_up_by_http() {
    let answer = async |Json(question): Json<Value>| match question["cookie"].as_str() {
        Some("good") => Ok(Json(json!({"user_id": 42}))),
        Some("nobody") => Ok(Json(json!({"user_id": null}))),
        Some("odd") => Ok(Json(json!({"user_id": [1]}))),
        Some("gone") => Err(StatusCode::NOT_FOUND),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let url = serve(Router::new().route("/who", axum::routing::post(answer))).await + "/who";
    let auth = auth(json!({"session_cookie": {"name": "sid", "lookup": {"http": {"url": url}}}}));
    let ask = async |value: &str| auth.look_up(&with_cookie(&format!("sid={value}"))).await;
    assert_eq!(user(&ask("good").await), Some("42"));
    assert_eq!(ask("nobody").await, refused("the session is not known"));
    assert_eq!(ask("gone").await, refused("the session is not known"));
    let away = Verdict::Unavailable("sessions cannot be looked up now".to_owned());
    assert_eq!(ask("odd").await, away);
    assert_eq!(ask("fails").await, away);
}
