//! Who may call, and what comes of requests that no producer would make.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{CHAT, Plan, Rig, event, told};

/// Writes bytes and reads until the server closes.
async fn raw(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    // It may close before it has read all.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    // A reset after the answer ends it too.
    timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap().ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn keys_open_their_lanes_only() {
    let rig = Rig::start().await;
    for (path, method) in [
        ("/v1/events", Method::POST),
        ("/api/push", Method::POST),
        ("/v1/events/x", Method::GET),
        ("/v1/events/x", Method::DELETE),
        ("/v1/ledger", Method::GET),
    ] {
        for request in [
            rig.request(method.clone(), path),
            rig.request(method.clone(), path).bearer_auth("of-another-installation"),
            rig.request(method.clone(), path).header("X-API-Key", ""),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"homing\"");
            let (status, body) = told(answer).await;
            assert_eq!((status, &body["error"]["field"]), (401, &json!("Authorization")), "{method} {path}");
        }
    }
    let chat = |body| rig.request(Method::POST, "/v1/events").bearer_auth(CHAT).json(&body).send();
    let (status, body) = told(chat(event(1)).await.unwrap()).await;
    assert_eq!((status, &body["error"]["field"]), (403, &json!("lane")));
    assert_eq!(told(chat(json!({"type": 1, "to": {"user": "1"}})).await.unwrap()).await.0, 202);
    assert_eq!((rig.items(0).await, rig.items(1).await), (0, 1));
    for path in ["/healthz", "/health", "/readyz", "/ready"] {
        assert_eq!(rig.request(Method::GET, path).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn wrong_routes_and_methods_are_answered_in_json() {
    let rig = Rig::start().await;
    let (status, body) = told(rig.get("/v2/events").send().await.unwrap()).await;
    assert_eq!((status, body), (404, json!({"error": {"field": "path", "message": "there is no /v2/events"}})));
    let answer = rig.request(Method::PUT, "/v1/events").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "POST");
    let (status, body) = told(answer).await;
    assert_eq!((status, &body["error"]["message"]), (405, &json!("/v1/events does not know PUT")));
    let (status, body) = told(rig.get(&format!("/v1/events/{}", "x".repeat(257))).send().await.unwrap()).await;
    assert_eq!((status, &body["error"]["field"]), (400, &json!("id")));
    assert_eq!(told(rig.get("/v1/events/%ff").send().await.unwrap()).await.0, 400);
    assert_eq!(told(rig.post("/v1/events?lane=%ff").json(&event(1)).send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn garbage_is_answered_with_its_place() {
    let rig = Rig::start().await;
    let mut seen = 0;
    for (body, part) in [
        ("", "is empty"),
        ("hello", "json: expected `{` or `[`, found `h`"),
        ("[1,", "EOF while parsing a value at line 1 column 3"),
        ("{\"type\":7", "EOF while parsing an object at byte 9"),
        ("{\"type\":7,\"to\":{\"user\":\"\\ud800\"}}", "json:"),
        ("{\"type\":1e999,\"to\":{}}", "json:"),
        ("[]", "expected at least one"),
        ("3", "json: expected `{` or `[`, found `3`"),
        ("{}", "is missing"),
        ("[null]", "expected an object with fields"),
    ] {
        let (status, answer) = told(rig.post("/v1/events").body(body).send().await.unwrap()).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(part), "{body}: {status} {message}");
        seen += 1;
    }
    let not_utf8 = rig.post("/v1/events").body(b"{\"type\":\"\xff\"}".to_vec());
    assert_eq!(told(not_utf8.send().await.unwrap()).await.0, 400);
    let deep = format!("{}7{}", "{\"type\":".repeat(200_000), "}".repeat(200_000));
    let (status, answer) = told(rig.post("/v1/events").body(deep).send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["field"]), (413, &json!("event")), "longer than an event");
    let deep = format!("{}7{}", "{\"type\":".repeat(50_000), "}".repeat(50_000));
    let (status, answer) = told(rig.post("/v1/events").body(deep).send().await.unwrap()).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("nested deeper than 64"), "{status} {answer}");
    let zipped = rig.post("/v1/events").header("Content-Encoding", "gzip").body("x");
    assert_eq!(told(zipped.send().await.unwrap()).await.0, 415);
    assert_eq!((seen, rig.items(0).await), (10, 0));
}

#[tokio::test]
async fn long_bodies_are_refused_announced_or_not() {
    let rig = Rig::start().await;
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n", crate::support::SHOP);
    let announced = raw(&rig, format!("{head}Connection: close\r\nContent-Length: 4194305\r\n\r\n").as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    let chunk = format!("186a0\r\n{}\r\n", " ".repeat(100_000));
    let body = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(50));
    let chunked = raw(&rig, body.as_bytes()).await;
    // The server may close before all is written, and its answer is lost then.
    assert!(chunked.is_empty() || chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    let mut long = event(1);
    long["data"]["x"] = json!("x".repeat(1 << 20));
    let (status, body) = told(rig.post("/v1/events").json(&long).send().await.unwrap()).await;
    assert_eq!((status, &body["error"]["field"]), (413, &json!("event")));
    long["data"]["x"] = json!("x".repeat(1_000_000));
    assert_eq!(told(rig.post("/v1/events").json(&json!([long, long, long])).send().await.unwrap()).await.0, 202);
    assert_eq!(rig.items(0).await, 3);
}

#[tokio::test]
async fn slow_and_overloaded_heads_have_an_end() {
    let mut plan = Plan::default();
    plan.settings.header_timeout = Duration::from_millis(200);
    plan.settings.body_timeout = Duration::from_millis(300);
    let rig = plan.start().await;
    assert_eq!(raw(&rig, b"POST /v1/events HTTP/1.1\r\nHost: x\r\n").await, "", "a head that never ends");
    assert_eq!(raw(&rig, b"").await, "", "nothing at all");
    let idle = raw(&rig, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 ") && idle.ends_with("ok\n"), "answered, and closed when idle: {idle}");
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n", crate::support::SHOP);
    let slow = raw(&rig, format!("{head}Content-Length: 100\r\n\r\n{{").as_bytes()).await;
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    let many: String = (0..100).map(|i| format!("X-{i}: y\r\n")).collect();
    assert!(raw(&rig, format!("{head}{many}\r\n").as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let long = raw(&rig, format!("{head}X: {}\r\n\r\n", "y".repeat(100_000)).as_bytes()).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431 "), "{long}");
    assert_eq!(told(rig.post("/v1/events").json(&event(1)).send().await.unwrap()).await.0, 202, "others are served");
}

#[tokio::test]
async fn an_open_listener_serves_this_machine_alone() {
    let mut plan = Plan::default();
    plan.settings.open_on_loopback = true;
    let rig = plan.start().await;
    let post = || rig.request(Method::POST, "/v1/events").json(&event(1));
    assert_eq!(told(post().send().await.unwrap()).await.0, 202);
    assert_eq!(told(post().header("Host", "localhost:9").send().await.unwrap()).await.0, 202);
    for (header, value) in [("Host", "evil.example"), ("Origin", "https://evil.example")] {
        let (status, body) = told(post().header(header, value).send().await.unwrap()).await;
        assert_eq!((status, &body["error"]["field"]), (403, &json!(header)));
    }
    let with_a_wrong_key = post().bearer_auth("of-another-installation");
    assert_eq!(told(with_a_wrong_key.send().await.unwrap()).await.0, 401);
    assert_eq!(rig.items(0).await, 2);
}

#[tokio::test]
async fn a_caller_has_its_events_a_second() {
    let mut plan = Plan::default();
    plan.settings.rate = 5;
    let rig = plan.start().await;
    let batch: Vec<_> = (0..50).map(event).collect();
    assert_eq!(told(rig.post("/v1/events").json(&batch).send().await.unwrap()).await.0, 202);
    let answer = rig.post("/v1/events").json(&event(1)).send().await.unwrap();
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(told(answer).await.0, 429);
    assert_eq!(rig.items(0).await, 50);
}
