//! JSON-RPC and REST by HTTP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::rpc::answer::tests::{Noted, rpc};

const KEY: &str = "0123456789abcdef";

struct Bench {
    noted: Arc<Noted>,
    base: String,
    client: Client,
}

impl Bench {
    async fn new(extra: Value) -> Self {
        // Not installed twice, and other tests may be first.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut settings = json!({"keys": [{"name": "shop", "key": KEY}]});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (noted, rpc) = rpc(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router(Arc::new(rpc))).await });
        Self { noted, base, client: Client::builder().no_proxy().build().unwrap() }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(KEY)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.ask(Method::POST, path).json(body)
    }
}

async fn shown(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn json_rpc_is_posted() {
    let bench = Bench::new(json!({"max_body": 1_000})).await;
    let call = json!({"jsonrpc": "2.0", "method": "presence.get", "params": ["42"], "id": 1});
    let (status, answer) = shown(bench.post("/rpc", &call)).await;
    assert_eq!((status, &answer["result"]["online"]), (200, &json!(true)));
    let note = json!({"jsonrpc": "2.0", "method": "presence.get", "params": ["42"]});
    assert_eq!(shown(bench.post("/rpc", &note)).await, (204, Value::Null));
    assert_eq!(bench.noted.take().len(), 2);
    // Whoever has no key calls nothing.
    let answer = bench.client.post(format!("{}/rpc", bench.base)).json(&call).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"homing\"");
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32001), &Value::Null));
    let (status, answer) = shown(bench.ask(Method::POST, "/rpc").body("{")).await;
    assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32700)));
    let (status, answer) = shown(bench.ask(Method::POST, "/rpc").body("x".repeat(1_001))).await;
    assert_eq!((status, &answer["error"]["message"]), (413, &json!("the body has more than 1000 bytes")));
    assert_eq!(shown(bench.ask(Method::GET, "/rpc")).await.0, 405);
    assert_eq!(bench.noted.take().len(), 0);
}

#[tokio::test]
async fn a_body_that_says_itself_that_it_is_too_long_is_not_waited_for() {
    let bench = Bench::new(json!({"max_body": 1_000, "body_timeout": "1h"})).await;
    let address = bench.base.strip_prefix("http://").unwrap();
    let head = format!("POST /rpc HTTP/1.1\r\nHost: a\r\nX-Api-Key: {KEY}\r\nContent-Length: 1001\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn paths_do_what_methods_do() {
    let bench = Bench::new(json!({})).await;
    let message = json!({"type": "notify", "data": {"n": 1}});
    for (request, said) in [
        (bench.post("/v1/push/user/42", &message), r#"push User("42") notify {"n":1} None None"#),
        (
            bench.post("/v1/push/user/%E5%B0%8F%2F1", &message).header("Idempotency-Key", "o-1"),
            r#"push User("小/1") notify {"n":1} Some("o-1") None"#,
        ),
        (
            bench
                .post("/v1/push/users", &json!({"users": [1], "type": "x", "id": "own"}))
                .header("Idempotency-Key", "o"),
            r#"push Users(["1"]) x null Some("own") None"#,
        ),
        (bench.post("/v1/push/broadcast", &message), r#"push Everyone notify {"n":1} None None"#),
        (bench.post("/v1/push/group/news", &message), r#"push Group("news") notify {"n":1} None None"#),
        (bench.ask(Method::GET, "/v1/presence/42"), r#"presence ["42"]"#),
        (bench.post("/v1/presence", &json!({"users": [1, 2]})), r#"presence ["1", "2"]"#),
        (bench.ask(Method::GET, "/v1/history/42/unread?limit=7&x=y"), "unread 42 7"),
        (bench.post("/v1/history/42/read", &json!({"ids": ["a1"]})), r#"read 42 Ids(["a1"])"#),
        (
            bench.post("/v1/schedule", &json!({"user": 42, "after": 60, "type": "x"})),
            r#"schedule After(60s) User("42") x"#,
        ),
        (bench.ask(Method::DELETE, "/v1/schedule/s1"), "cancel s1"),
        (bench.ask(Method::DELETE, "/v1/sessions/42"), "end 42 the session was ended"),
    ] {
        let (status, answer) = shown(request).await;
        assert_eq!((status, bench.noted.take()), (200, vec![said.to_owned()]), "{answer}");
        assert!(answer.is_object());
    }
}

#[tokio::test]
async fn errors_name_the_field() {
    let bench = Bench::new(json!({"max_body": 1_000})).await;
    let field = |answer: &Value| answer["error"]["field"].to_string().replace('"', "");
    for (request, status, expected) in [
        (bench.post("/v1/push/user/42", &json!({})), 400, "type"),
        (bench.post("/v1/push/user/42", &json!({"user": "43", "type": "x"})), 400, "user"),
        (bench.post("/v1/push/user/42", &json!([1])), 400, "body"),
        (bench.ask(Method::POST, "/v1/push/user/42").body("{\"type\":"), 400, "body"),
        (bench.ask(Method::POST, "/v1/push/user/42").body("x".repeat(1_001)), 413, "body"),
        (bench.post("/v1/push/users", &json!({"users": ["a", ""], "type": "x"})), 400, "users[1]"),
        (
            bench.post("/v1/push/user/42", &json!({"type": "x"})).header("Idempotency-Key", "x".repeat(129)),
            400,
            "Idempotency-Key",
        ),
        (bench.ask(Method::GET, "/v1/history/42/unread?limit=0"), 400, "limit"),
        (bench.ask(Method::GET, "/v1/push/user/42"), 405, "method"),
        (bench.client.get(format!("{}/v1/presence/42", bench.base)), 401, "Authorization"),
    ] {
        let (got, answer) = shown(request).await;
        assert_eq!((got, field(&answer).as_str()), (status, expected), "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.starts_with(expected), "{message}");
    }
    assert_eq!(bench.noted.take().len(), 0);
    *bench.noted.down.lock().unwrap() = Some(false);
    let answer = bench.post("/v1/push/user/42", &json!({"type": "x"})).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &HeaderValue::from_static("2")));
}
