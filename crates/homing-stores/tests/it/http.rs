//! Lookups behind a service: a server of the test's own, its faults, and one question for many who miss the same id.

use homing_core::lookup::Death;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use homing_core::lookup::Lookup;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};

use crate::support::{ask, refused, silence, stores, story};

/// What the service does, and what it saw.
struct Service {
    mode: Mutex<&'static str>,
    asked: AtomicUsize,
    seen: Mutex<Vec<Value>>,
    gate: Semaphore,
}

async fn answer(State(service): State<Arc<Service>>, headers: HeaderMap, Json(question): Json<Value>) -> Response {
    service.asked.fetch_add(1, Ordering::Relaxed);
    service.seen.lock().await.push(question.clone());
    if headers.get("authorization").map(|value| value.to_str().unwrap()) != Some("Bearer hunter2") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mode = *service.mode.lock().await;
    match mode {
        "redirect" => return (StatusCode::FOUND, [("location", "/other")]).into_response(),
        "broken" => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "html" => return "<html>".into_response(),
        "object" => return Json(json!({ "rows": [] })).into_response(),
        "anonymous" => return Json(json!([{ "push": 1 }])).into_response(),
        "endless" => {
            let piece = || Ok::<_, std::io::Error>(vec![b' '; 1 << 16]);
            return Body::from_stream(futures_util::stream::repeat_with(piece)).into_response();
        }
        "slow" => std::future::pending().await,
        "gate" => drop(service.gate.acquire().await.unwrap()),
        _ => {}
    }
    if let Some(forget) = question.get("forget") {
        return Json(json!({ "forgotten": forget["user_id"] == "1" && forget["token"] == "t1" })).into_response();
    }
    let ids = question["user_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
    let rows = ids.filter(|id| id.parse::<u32>().is_ok_and(|n| n < 9_000)).map(|id| {
        json!({ "user_id": id.parse::<u32>().unwrap(), "push": true, "nick": Value::Null, "n": 1.5,
                "settings": { "tz": "UTC" }, "token": "0123456789abcdef" })
    });
    let mut rows: Vec<Value> = rows.collect();
    rows.push(json!({ "user_id": "stranger", "push": true }));
    Json(rows).into_response()
}

async fn service() -> (Arc<Service>, String) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let service =
        Service { mode: Mutex::new(""), asked: AtomicUsize::new(0), seen: Mutex::default(), gate: Semaphore::new(0) };
    let service = Arc::new(service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/lookup?key=hunter2", listener.local_addr().unwrap());
    let router = Router::new().route("/lookup", post(answer)).with_state(Arc::clone(&service));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (service, url)
}

fn lookup(url: &str, store: &str, keys: &str) -> Arc<dyn Lookup> {
    let toml = format!(
        "[stores.s]\nkind = 'http'\nurl = '{url}'\ntoken = 'hunter2'\ntimeout = '2s'\n{store}\n[lookup.x]\nstore = 's'\n{keys}"
    );
    stores(&toml).lookup("x").unwrap()
}

#[tokio::test]
async fn a_service_answers_for_many_ids() {
    let (service, url) = service().await;
    let x = lookup(&url, "", "");
    let row = |id: &str| format!("n=1.5 push=true settings={{\"tz\":\"UTC\"}} token=0123456789abcdef user_id={id}");
    let ids = ["2", "bob", "1", "2", "' OR 1=1", "1\0", "stranger"];
    let answer = ask(&*x, &ids).await;
    assert_eq!(answer[..6], [row("2"), "-".into(), row("1"), row("2"), "-".into(), "-".into()]);
    assert_eq!(answer[6], "push=true user_id=stranger", "who was asked for");
    assert_eq!(service.asked.load(Ordering::Relaxed), 1, "in one question");
    assert_eq!(
        service.seen.lock().await[0],
        json!({ "lookup": "x", "user_ids": ["2", "bob", "1", "' OR 1=1", "stranger"] })
    );
    let mapped = lookup(
        &url,
        "",
        "id = 'user_id'\ncolumns = { time_zone = 'settings.tz', push = 'push' }\nmap.push = { true = '1' }",
    );
    assert_eq!(ask(&*mapped, &["7"]).await, ["push=1 time_zone=UTC"]);
    let many: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = ask(&*mapped, &many).await;
    assert_eq!(answer.iter().filter(|row| *row == "push=1 time_zone=UTC").count(), 9_000);
    let told = x.explain("1").await.unwrap();
    assert!(
        told.asked.starts_with("POST http://127.0.0.1:") && told.asked.contains(r#""user_ids":["1"]"#),
        "{}",
        told.asked
    );
    assert!(!told.asked.contains("hunter2"), "{}", told.asked);
    assert!(told.raw.contains("…cdef") && !told.raw.contains("0123456789"), "{}", told.raw);
    assert_eq!(told.rows.len(), 1);
}

#[tokio::test]
async fn whatever_goes_wrong_is_down_and_heals() {
    let (service, url) = service().await;
    let x = lookup(&url, "", "");
    for (mode, word) in [
        ("redirect", "redirects are not followed"),
        ("broken", "503"),
        ("html", "no JSON"),
        ("object", "no JSON array"),
        ("anonymous", "row 1 has no `user_id`"),
        ("endless", "more than 16777216 bytes"),
        ("slow", "within 2s"),
    ] {
        *service.mode.lock().await = mode;
        let story = story(&x.rows(&["1"]).await.unwrap_err());
        assert!(story.contains(word) && !story.contains("hunter2"), "{mode}: {story}");
        *service.mode.lock().await = "";
        assert_eq!(x.rows(&["1"]).await.unwrap()[0].len(), 1, "after {mode}");
    }
    let stranger =
        stores(&format!("[stores.s]\nkind = 'http'\nurl = '{url}'\n[lookup.x]\nstore = 's'")).lookup("x").unwrap();
    assert!(story(&stranger.rows(&["1"]).await.unwrap_err()).contains("401"));
    for port in [1, silence().await.1] {
        let x = lookup(&format!("http://127.0.0.1:{port}/?key=hunter2"), "", "");
        let story = story(&x.rows(&["1"]).await.unwrap_err());
        assert!(!story.contains("hunter2"), "{story}");
    }
}

#[tokio::test]
async fn the_service_is_told_of_a_dead_token() {
    let (_service, url) = service().await;
    let x = lookup(&url, "allow_write = true", "invalidate = 'post'");
    assert!(x.forget("1", "t1", &Death::default()).await.unwrap());
    assert!(
        !x.forget("1", "t2", &Death::default()).await.unwrap()
            && !x.forget("2", "t1", &Death::default()).await.unwrap()
    );
    assert!(!lookup(&url, "", "").forget("1", "t1", &Death::default()).await.unwrap(), "it does not want to know");
    for (store, keys, word) in [
        ("", "invalidate = 'post'", "allow_write"),
        ("allow_write = true", "invalidate = 'DELETE'", "post"),
        ("", "table = 't'", "is for SQL"),
    ] {
        let message =
            refused(&format!("[stores.s]\nkind = 'http'\nurl = 'http://h/'\n{store}\n[lookup.x]\nstore = 's'\n{keys}"));
        assert!(message.contains("[lookup.x]") && message.contains(word), "{message}");
    }
    for (keys, key) in [
        ("url = 'ftp://h'", "url"),
        ("url = 'http://u:hunter2@h'", "url"),
        ("url = 'http://h'\npool = 2", "pool"),
        ("url = 'http://h'\ncompat = 'mysql55'", "compat"),
    ] {
        let message = refused(&format!("[stores.s]\nkind = 'http'\n{keys}"));
        assert!(message.contains(&format!("[stores.s] {key}")) && !message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn many_who_miss_the_same_id_ask_once() {
    let (service, url) = service().await;
    let x = lookup(&url, "", "cache = '60s'");
    *service.mode.lock().await = "gate";
    let ids: [&[&str]; 4] = [&["1", "2"], &["2", "3"], &["3", "1"], &["1"]];
    let all = (0..40).map(|n| {
        let x = Arc::clone(&x);
        tokio::spawn(async move { x.rows(ids[n % 4]).await.map(|rows| rows.iter().map(Vec::len).collect::<Vec<_>>()) })
    });
    let all: Vec<_> = all.collect();
    while service.asked.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    service.gate.add_permits(1_000);
    for (n, task) in all.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), vec![1; ids[n % 4].len()]);
    }
    let asked: Vec<String> = service
        .seen
        .lock()
        .await
        .iter()
        .flat_map(|q| q["user_ids"].as_array().unwrap().clone())
        .map(|id| id.to_string())
        .collect();
    assert_eq!(asked.len(), 3, "each id once: {asked:?}");

    // A failure is told to all who waited, and is not remembered.
    *service.mode.lock().await = "broken";
    let before = service.asked.load(Ordering::Relaxed);
    let all = futures_util::future::join_all((0..10).map(|_| x.rows(&["77"]))).await;
    assert!(all.iter().all(|end| end.as_ref().is_err_and(|down| story(down).contains("503"))));
    assert!(service.asked.load(Ordering::Relaxed) - before < 10);
    // Who asked and was dropped leaves nobody waiting.
    *service.mode.lock().await = "slow";
    let (asking, other) = (Arc::clone(&x), Arc::clone(&x));
    let asking = tokio::spawn(async move { asking.rows(&["78"]).await.map(|_| ()) });
    let before = service.asked.load(Ordering::Relaxed);
    while service.asked.load(Ordering::Relaxed) == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waiting = tokio::spawn(async move { other.rows(&["78"]).await.map(|rows| rows[0].len()) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    *service.mode.lock().await = "";
    asking.abort();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}
