//! `homing demo` as somebody uses it who has just cloned the project: no service, one port, two phones, a browser.

mod browser;
mod chromium;
mod tabs;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Process, free_port, until};

const HOMING: &str = env!("CARGO_BIN_EXE_homing");

/// A running demo.
struct Demo {
    process: Process,
    base: String,
    http: reqwest::Client,
}

impl Demo {
    /// Starts it and waits until it is ready.
    async fn start(dir: &Path, data: Option<&Path>) -> Self {
        Self::start_with(dir, data, &[]).await
    }

    async fn start_with(dir: &Path, data: Option<&Path>, more: &[&str]) -> Self {
        // For reqwest.
        rustls::crypto::ring::default_provider().install_default().ok();
        let port = free_port().to_string();
        let mut args = vec!["demo", "--port", &port];
        if let Some(data) = data {
            args.extend(["--data", data.to_str().unwrap()]);
        }
        args.extend(more);
        let temporary = [("TMPDIR", dir.to_str().unwrap())];
        let process = Process::start(dir, "demo", HOMING, args, &temporary).ready().await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { process, base: format!("http://127.0.0.1:{port}"), http }
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        if answer.status().is_success() { Some(answer.json().await.unwrap()) } else { None }
    }

    async fn text(&self, path: &str) -> (StatusCode, String) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Posts an event or a batch; answers the body of the 202.
    async fn post(&self, lane: &str, event: &Value) -> Value {
        let url = format!("{}/v1/events?lane={lane}", self.base);
        let answer = self.http.post(url).body(event.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, StatusCode::ACCEPTED, "{event}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn phone(&self, user: &str) -> Vec<Value> {
        self.get(&format!("/v1/phones/{user}")).await.unwrap().as_array().unwrap().clone()
    }

    /// How often a phone of the user shows the message.
    async fn shows(&self, user: &str, id: &str) -> usize {
        self.phone(user).await.iter().filter(|push| push["id"] == id).count()
    }

    async fn records(&self, id: &str) -> Vec<Value> {
        let trace = self.get(&format!("/v1/events/{id}")).await.unwrap_or_default();
        trace["records"].as_array().cloned().unwrap_or_default()
    }

    /// The record of a fate that names a user, when it is there.
    async fn record(&self, id: &str, user: &str, fate: &str) -> Value {
        let find = async || {
            let of = |r: &Value| r["target"].as_str().is_some_and(|target| target.split('/').next() == Some(user));
            self.records(id).await.into_iter().find(|r| r["fate"] == fate && of(r))
        };
        until(&format!("{id}: {user} is {fate}"), async || find().await.is_some()).await;
        find().await.unwrap()
    }

    /// Nothing of its own was lost or is left.
    async fn ends(mut self) {
        assert_eq!(children(self.process.pid()), Vec::<u32>::new(), "one process");
        self.process.signal("INT");
        let since = Instant::now();
        let status = self.process.ended().await;
        println!("the demo ended {:?} after SIGINT", since.elapsed());
        assert_eq!(status.code(), Some(0), "{}", self.process.log());
    }
}

/// Pids of a process's children.
fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|p| std::fs::read_to_string(format!("/proc/{p}/stat")).is_ok_and(|stat| parent(&stat) == Some(pid)))
        .collect()
}

/// Resident memory in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Runs the operator's tool beside the demo.
fn homing(data: &Path, command: &[&str]) -> (i32, String) {
    let config = data.join("demo.toml");
    let out = Command::new(HOMING).args(command).arg("--config").arg(config).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_every_audience_and_says_why_others_got_nothing() {
    let dir = folder();
    let data = dir.path().join("data");
    let began = Instant::now();
    let demo = Demo::start(dir.path(), Some(&data)).await;
    let ready = began.elapsed();
    println!("ready after {ready:?}, {} MiB resident", resident(demo.process.pid()));
    assert!(ready < Duration::from_secs(20));

    // Each audience, and who of it may be told.
    for (i, (lane, to, told, not)) in [
        ("system", json!({"user": "42"}), vec!["42"], vec!["1"]),
        ("system", json!({"users": ["1", "2", "5"]}), vec!["1", "5", "5"], vec!["2"]),
        ("system", json!({"group": "9"}), vec!["1"], vec!["42"]),
        ("group", json!({"group": "9", "members": true}), vec!["1", "10", "42"], vec!["2", "3", "4", "8", "21"]),
        ("system", json!({"topic": "sale"}), vec!["1", "42", "41"], vec!["2", "9"]),
        ("system", json!({"all": true}), vec!["1", "42", "60"], vec!["2", "3", "4", "6", "8"]),
        ("private", json!({"user": "1"}), vec!["1"], vec!["42"]),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("audience-{i}");
        let event = json!({"id": id, "type": "GOODS_SENT", "to": to, "title": "T <b>", "body": "B & c"});
        assert_eq!(demo.post(lane, &event).await["id"], id);
        for user in &told {
            let n = told.iter().filter(|t| t == &user).count();
            until(&format!("{event} on the phones of {user}"), async || demo.shows(user, &id).await == n).await;
        }
        let push = demo.phone(told[0]).await.into_iter().find(|push| push["id"] == *id).unwrap();
        assert_eq!(push["type"], 7, "{push}");
        assert_eq!((&push["title"], &push["body"], &push["app"]), (&json!("T <b>"), &json!("B & c"), &json!("higo")));
        assert!(push["at"].is_i64() && push["custom"].is_object() && push["platform"].is_string(), "{push}");
        for user in not {
            assert_eq!(demo.shows(user, &id).await, 0, "user {user} of {event}");
        }
    }
    // Devices of nobody: the event names them.
    let token = demo.get("/demo/explain/42").await.unwrap()[0]["devices"][0]["token"].clone();
    assert!(token.as_str().unwrap().starts_with(".."), "shortened: {token}");
    let device = json!({"token": format!("{:064x}", 12_303_291 + 42), "platform": "ios", "app": "higo"});
    demo.post("system", &json!({"id": "device", "type": 7, "to": {"tokens": [device]}})).await;
    until("a token's phone shows it", async || demo.shows("42", "device").await == 1).await;
    let pushes = demo.phone("42").await;
    assert!(pushes.is_sorted_by_key(|push| std::cmp::Reverse(push["at"].as_i64())), "newest first");

    // Why not: the trace, and the operator's tool in a process of its own.
    let id = "audience-5";
    let record = demo.record(id, "4", "skipped").await;
    assert_eq!(record["rule"], "login", "{record}");
    let (code, text) = homing(&data, &["explain", "--user", "4"]);
    assert!(code == 0 && text.contains("not told: the rule login refuses") && text.contains("logged_in=0"), "{text}");
    // These are not woken; an open page would show it.
    for (user, rule, seen) in [("2", "online", "last_seen"), ("3", "dnd", "push_status=0")] {
        let record = demo.record(id, user, "passed").await;
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("only by a live way: {rule}: ")) && reason.contains(seen), "{record}");
        let (code, text) = homing(&data, &["explain", "--user", user]);
        assert!(code == 0 && text.contains(&format!("the rule {rule} refuses")) && text.contains(seen), "{text}");
    }
    assert!(demo.record(id, "6", "deferred").await["until"].is_i64());
    let (_, text) = homing(&data, &["explain", "--user", "6"]);
    assert!(text.contains("the rule quiet refuses to wake") && text.contains("a device at "), "{text}");
    let no_device = async |id: &str, user: &str| {
        assert_eq!(demo.record(id, user, "passed").await["reason"], "only by a live way: no device");
    };
    no_device(id, "8").await;
    // The app was taken off that phone: the first push found it out, the second no device any more.
    let dead = demo.record(id, "7", "bad_token").await;
    assert_eq!(dead["removed"], true, "{dead}");
    demo.post("system", &json!({"id": "again", "type": 7, "to": {"user": "7"}})).await;
    no_device("again", "7").await;

    // The books.
    let (code, text) = homing(&data, &["trace", "audience-0"]);
    assert!(code == 0 && text.contains("the provider accepted it"), "{text}");
    until("everything has its end", async || {
        let ledger = demo.get("/v1/ledger").await.unwrap();
        assert_eq!(ledger["balanced"], true, "{ledger:#}");
        ["system", "group", "private"].iter().all(|lane| ledger["lanes"][lane]["send"]["waiting"] == 0)
    })
    .await;
    let (code, text) = homing(&data, &["ledger"]);
    assert!(code == 0 && text.ends_with("balanced\n") && !text.contains("NOT"), "{text}");
    let queues = demo.get("/demo/queues").await.unwrap();
    assert_eq!(queues.as_array().unwrap().len(), 14, "{queues:#}");
    assert_eq!(queues.as_array().unwrap().iter().map(|q| q["waiting"].as_u64().unwrap()).sum::<u64>(), 0);
    assert!(queues.as_array().unwrap().iter().any(|q| q["delayed"].as_u64().unwrap() > 0), "user 6 waits: {queues:#}");

    latency(&demo).await;
    println!("{} MiB resident", resident(demo.process.pid()));
    assert!(resident(demo.process.pid()) < 400);
    demo.ends().await;
}

/// Prints how long an event takes from the post to the phone.
async fn latency(demo: &Demo) {
    let mut times = Vec::new();
    for i in 0..30 {
        let id = format!("timed-{i}");
        let began = Instant::now();
        demo.post("system", &json!({"id": id, "type": 7, "to": {"user": "42"}})).await;
        while demo.shows("42", &id).await == 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "{id} does not arrive");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(began.elapsed());
    }
    times.sort();
    println!("from the post to the phone: p50 {:?}, the slowest of {} {:?}", times[15], times.len(), times[29]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_this_machine_and_its_events_are_checked() {
    let dir = folder();
    let demo = Demo::start(dir.path(), None).await;
    for (path, kind, word) in [
        ("/", "text/html; charset=utf-8", "<script src=\"/demo.js\""),
        ("/demo.js", "text/javascript; charset=utf-8", "textContent"),
        ("/notify.js", "text/javascript; charset=utf-8", "requestPermission"),
        ("/sw.js", "text/javascript; charset=utf-8", "showNotification"),
        ("/demo.css", "text/css; charset=utf-8", ".phone"),
        ("/demo/setup", "application/json", "GOODS_SENT"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "homing_lease_owned"),
    ] {
        let answer = demo.http.get(format!("{}{path}", demo.base)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["content-type"], kind, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(word), "{path}: {text}");
    }
    assert_eq!(demo.text("/healthz").await.0, StatusCode::OK);
    assert_eq!(demo.text("/readyz").await.0, StatusCode::OK);
    assert_eq!(demo.text("/v1/events/nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(demo.text("/no/such").await.0, StatusCode::NOT_FOUND);
    assert_eq!(demo.phone("nobody").await, Vec::<Value>::new());

    let ask = async |method: Method, path: &str, header: &str, value: &str| {
        let body = json!({"type": 7, "to": {"user": "42"}}).to_string();
        let request = demo.http.request(method, format!("{}{path}", demo.base)).header(header, value).body(body);
        request.send().await.unwrap().status()
    };
    for path in ["/", "/v1/ledger", "/v1/phones/42", "/demo/queues", "/metrics"] {
        assert_eq!(ask(Method::GET, path, "host", "evil.example").await, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/v1/events", "/v1/receipts", "/demo/browser"] {
        assert_eq!(ask(Method::POST, path, "origin", "http://evil.example").await, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(ask(Method::POST, "/v1/events", "origin", &demo.base).await, StatusCode::ACCEPTED);
    let wrong = json!({"type": "NO_SUCH", "to": {"user": "1"}}).to_string();
    let refused = demo.http.post(format!("{}/v1/events", demo.base)).body(wrong).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("NO_SUCH is not in the catalogue"));

    // What is for later can be taken back.
    let in_a_month = jiff::Timestamp::now().as_second() + 30 * 86_400;
    let event = json!({"id": "later", "type": 7, "to": {"user": "42"}, "send_at": in_a_month});
    demo.post("system", &event).await;
    until("it waits", async || demo.records("later").await.iter().any(|r| r["fate"] == "deferred")).await;
    let url = format!("{}/v1/events/later", demo.base);
    assert_eq!(demo.http.delete(url).send().await.unwrap().status(), StatusCode::ACCEPTED);

    // The event and the chats that it sent itself, on a fresh directory.
    until("the sample chats", async || demo.phone("42").await.len() >= 5).await;
    let log = demo.process.log();
    for line in [
        "Homing demo: http://127.0.0.1:",
        "curl -s http",
        " explain --user 2 --config",
        " trace ID --config",
        " ledger --config",
    ] {
        assert!(log.contains(line), "{line:?} is missing in:\n{log}");
    }
    let own = std::fs::read_dir(dir.path()).unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    assert_eq!(own.filter(|name| name.starts_with("homing-demo-")).count(), 1);
    demo.ends().await;
    let left = std::fs::read_dir(dir.path()).unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    assert_eq!(left.filter(|name| name.starts_with("homing-demo-")).count(), 0, "the temporary folder is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_demo_loses_nothing_that_it_accepted() {
    const N: usize = 900;
    let dir = folder();
    let data = dir.path().join("data");
    let demo = Demo::start(dir.path(), Some(&data)).await;
    let soon = jiff::Timestamp::now().as_second() + 12;
    // All of them are told.
    let user = |i: usize| (10 + i % 30).to_string();
    let is_later = |i: usize| i.is_multiple_of(10);
    let event = |i: usize| {
        let mut event = json!({"id": format!("kept-{i}"), "type": 7, "to": {"user": user(i)}});
        if is_later(i) {
            event["send_at"] = json!(soon);
        }
        event
    };
    let batch: Vec<Value> = (0..N).map(event).collect();
    let answer = demo.post("system", &json!(batch)).await;
    assert_eq!(answer["ids"].as_array().unwrap().len(), N);
    // Those of the sample chats are no more than two each.
    until("messages flow", async || demo.phone("11").await.len() > 3).await;
    demo.process.kill();

    let demo = Demo::start(dir.path(), Some(&data)).await;
    let delivered = async |i: usize| {
        let on_phone = |record: &&Value| {
            record["fate"] == "delivered" && !record["reason"].as_str().unwrap_or_default().starts_with("stored")
        };
        demo.records(&format!("kept-{i}")).await.iter().filter(on_phone).count()
    };
    let mut after = 0;
    for i in 0..N {
        until(&format!("kept-{i} has arrived"), async || delivered(i).await == 1).await;
        let shown = demo.shows(&user(i), &format!("kept-{i}")).await;
        assert!(shown <= 1, "kept-{i} arrived {shown} times");
        assert!(shown == 1 || !is_later(i), "kept-{i} was for later");
        after += shown;
    }
    println!("{after} of {N} arrived after the kill");
    let ledger = demo.get("/v1/ledger").await.unwrap();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let system = &ledger["lanes"]["system"];
    assert_eq!((&system["entry"]["waiting"], &system["send"]["waiting"]), (&json!(0), &json!(0)), "{ledger:#}");

    // A second demo keeps its hands off.
    let port = free_port().to_string();
    let second = Command::new(HOMING).args(["demo", "--port", &port, "--data"]).arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(64) && said.contains("is in use by another demo"), "{said}");
    demo.ends().await;
}
