//! The simulator of v2 against bytes that our client would not send.

use std::fmt::Write as _;

use homing_channels::simulator::Faults;
use md5::{Digest, Md5};

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const PATH: &str = "/v2/push/single_device";

/// A good Android push as pairs; tests change them. Signed here by hand.
fn pairs(now: i64) -> Vec<(&'static str, String)> {
    let message = r#"{"title":"t","content":"c","builder_id":0,"custom_content":{"id":"x1"}}"#;
    vec![
        ("access_id", ANDROID.to_string()),
        ("device_token", token(Platform::Android, 1)),
        ("message", message.to_owned()),
        ("message_type", "1".to_owned()),
        ("timestamp", now.to_string()),
    ]
}

fn signed(method: &str, pairs: Vec<(&'static str, String)>, secret: &str) -> String {
    signed_for(method, PATH, pairs, secret)
}

fn signed_for(method: &str, path: &str, mut pairs: Vec<(&'static str, String)>, secret: &str) -> String {
    pairs.sort();
    let source: String = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let digest = Md5::digest(format!("{method}sim.test{path}{source}{secret}"));
    pairs.push((
        "sign",
        digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        }),
    ));
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let parts: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    parts.join("&")
}

fn now() -> i64 {
    SystemClock::default().now() / 1000
}

#[tokio::test]
async fn requests_are_judged_as_documented() {
    let simulator = Running::start(config()).await;
    let change = |name: &'static str, value: &str| {
        let mut pairs = pairs(now());
        pairs.retain(|(key, _)| *key != name);
        if value != "absent" {
            pairs.push((name, value.to_owned()));
        }
        pairs
    };
    let ios = |name: &'static str, value: &str| {
        let mut pairs = change(name, value);
        pairs.retain(|(key, _)| {
            *key == name || !matches!(*key, "access_id" | "device_token" | "message" | "message_type")
        });
        for (key, good) in [
            ("access_id", IOS.to_string()),
            ("device_token", token(Platform::Ios, 1)),
            ("message", r#"{"aps":{"alert":"a"}}"#.to_owned()),
            ("message_type", "11".to_owned()),
            ("environment", "2".to_owned()),
        ] {
            if key != name {
                pairs.push((key, good));
            }
        }
        pairs
    };
    let old = (now() - 500).to_string();
    let mut brief = change("timestamp", &old);
    brief.push(("valid_time", "60".to_owned()));
    let mut endless = change("timestamp", &(now() - 700).to_string());
    endless.push(("valid_time", "6000".to_owned()));
    let long = format!(r#"{{"title":"t","content":"{}","builder_id":0}}"#, "x".repeat(4096));
    let night = r#"{"title":"t","content":"c","builder_id":0,"accept_time":[{"start":{"hour":"22","min":"0"},"end":{"hour":"8","min":"0"}}]}"#;
    for (pairs, secret, expected) in [
        (pairs(now()), ANDROID_KEY, 0),
        (change("timestamp", &old), ANDROID_KEY, 0),
        (brief, ANDROID_KEY, -2),
        (endless, ANDROID_KEY, -2),
        (change("timestamp", &(now() + 700).to_string()), ANDROID_KEY, -2),
        (pairs(now()), "another-key", -103),
        (change("access_id", "5"), ANDROID_KEY, 20),
        (change("access_id", "abc"), ANDROID_KEY, -101),
        (change("timestamp", "absent"), ANDROID_KEY, -101),
        (change("device_token", "absent"), ANDROID_KEY, -1),
        (change("device_token", "abc"), ANDROID_KEY, 14),
        (change("device_token", &token(Platform::Ios, 1)), ANDROID_KEY, 0),
        (change("message", "absent"), ANDROID_KEY, -1),
        (change("message", "{"), ANDROID_KEY, 75),
        (change("message", "[]"), ANDROID_KEY, 75),
        (change("message", &long), ANDROID_KEY, 73),
        (change("message", r#"{"title":"t","builder_id":0}"#), ANDROID_KEY, -1),
        (change("message", r#"{"title":"t","content":"c"}"#), ANDROID_KEY, -1),
        (change("message", night), ANDROID_KEY, -1),
        (change("message_type", "2"), ANDROID_KEY, 0),
        (change("message_type", "11"), ANDROID_KEY, -1),
        (change("expire_time", "259200"), ANDROID_KEY, 0),
        (change("expire_time", "259201"), ANDROID_KEY, -1),
        (change("multi_pkg", "2"), ANDROID_KEY, -1),
        (ios("environment", "1"), IOS_KEY, 0),
        (ios("environment", "0"), IOS_KEY, -1),
        (ios("environment", "absent"), IOS_KEY, -1),
        (ios("message_type", "0"), IOS_KEY, 0),
        (ios("message_type", "12"), IOS_KEY, 0),
        (ios("message_type", "1"), IOS_KEY, -1),
        (ios("message", r#"{"alert":"a"}"#), IOS_KEY, -1),
        (ios("device_token", &token(Platform::Android, 1)), IOS_KEY, 14),
    ] {
        let body = signed("POST", pairs.clone(), secret);
        let answer = simulator.post(PATH, "sim.test:80", FORM, &body).await;
        assert_eq!(answer["ret_code"], json!(expected), "{pairs:?}: {answer}");
    }
    simulator.stop().await;
}

#[tokio::test]
async fn method_type_and_host_are_judged() {
    let simulator = Running::start(config()).await;
    let body = signed("POST", pairs(now()), ANDROID_KEY);
    let code = |answer: serde_json::Value| answer["ret_code"].as_i64().unwrap();
    assert_eq!(code(simulator.post(PATH, "sim.test", "text/plain", &body).await), -1);
    assert_eq!(code(simulator.post(PATH, "other.test", FORM, &body).await), -103);
    assert_eq!(code(simulator.post(PATH, "sim.test", &format!("{FORM}; charset=utf-8"), &body).await), 0);
    let twice = format!("{body}&multi_pkg=0&multi_pkg=0");
    assert_eq!(code(simulator.post(PATH, "sim.test", FORM, &twice).await), -101);

    let query = signed("GET", pairs(now()), ANDROID_KEY);
    let request =
        |method: &str| format!("{method} {PATH}?{query} HTTP/1.1\r\nHost: sim.test\r\nConnection: close\r\n\r\n");
    let got = simulator.raw(request("GET").as_bytes()).await;
    assert!(String::from_utf8_lossy(&got).contains(r#"{"ret_code":0"#));
    let put = simulator.raw(request("PUT").as_bytes()).await;
    assert!(String::from_utf8_lossy(&put).contains(r#""ret_code":-1"#));

    let unknown = simulator.post("/v2/push/all_device", "sim.test", FORM, &body).await;
    assert_eq!(unknown["ret_code"], json!(-1));
    assert!(unknown["err_msg"].as_str().unwrap().contains("/v2/push/all_device"), "{unknown}");
}

#[tokio::test]
async fn a_cut_connection_ends_without_a_byte() {
    let simulator = Running::start(config()).await;
    let body = signed("POST", pairs(now()), ANDROID_KEY);
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: sim.test\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    simulator.faults(json!({"drop_before": 1.0})).await;
    // The body never comes: the connection is cut without waiting for it.
    assert_eq!(simulator.raw(request.as_bytes()).await, b"");
    simulator.faults(json!({"drop_after": 1.0, "latency_ms": 10})).await;
    assert_eq!(simulator.raw(format!("{request}{body}").as_bytes()).await, b"");
    let stats = simulator.get("/_sim/stats").await;
    let counts = ["total", "deliveries", "dropped_before", "dropped_after"].map(|name| stats[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1, 1]);
    assert_eq!(stats["by_code"], json!({}));
}

#[tokio::test]
async fn deliveries_are_paged_bounded_and_forgotten() {
    let mut bounded = config();
    bounded.keep = 5;
    let simulator = Running::start(bounded).await;
    for number in 1..=8_usize {
        let mut pairs = pairs(now());
        pairs[1].1 = token(Platform::Android, number % 2);
        let answer = simulator.post(PATH, "sim.test", FORM, &signed("POST", pairs, ANDROID_KEY)).await;
        assert_eq!(answer["ret_code"], json!(0));
    }
    let seqs = |page: &serde_json::Value| {
        let deliveries = page["deliveries"].as_array().unwrap();
        deliveries.iter().map(|delivery| delivery["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seqs(&simulator.get("/_sim/deliveries").await), [4, 5, 6, 7, 8]);
    let page = simulator.get("/_sim/deliveries?after=5&limit=2").await;
    assert_eq!((seqs(&page), &page["last"]), (vec![6, 7], &json!(7)));
    assert_eq!(seqs(&simulator.get("/_sim/deliveries?after=8").await), [0_u64; 0]);
    let phone = simulator.get(&format!("/_sim/phones/{}?limit=2", token(Platform::Android, 0))).await;
    assert_eq!(seqs(&phone), [8, 6]);
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["distinct_ids"], &stats["repeats"]), (&json!(8), &json!(1), &json!(6)));

    let reset = simulator.raw(b"POST /_sim/reset HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(reset.starts_with(b"HTTP/1.1 204"));
    assert_eq!(simulator.get("/_sim/stats").await["total"], json!(0));
    assert_eq!(seqs(&simulator.get("/_sim/deliveries").await), [0_u64; 0]);
}

#[tokio::test]
async fn faults_are_replaced_as_a_whole_and_rates_repeat_with_their_seed() {
    let simulator = Running::start(config()).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        simulator.faults(json!({"answer": 15, "answer_rate": 0.5, "seed": 42})).await;
        let mut run = Vec::new();
        for _ in 0..40 {
            let body = signed("POST", pairs(now()), ANDROID_KEY);
            run.push(simulator.post(PATH, "sim.test", FORM, &body).await["ret_code"].as_i64().unwrap());
        }
        assert!(run.contains(&0) && run.contains(&15), "{run:?}");
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);

    simulator.faults(json!({"latency_ms": 1})).await;
    let active: Faults = serde_json::from_value(simulator.get("/_sim/faults").await).unwrap();
    assert_eq!(active, Faults { latency_ms: 1, ..Faults::default() });
    for bad in ["{\"drop_after\": 2}", "{\"what\": 1}", "{\"http_status\": 99}", "no json"] {
        let request = format!(
            "POST /_sim/faults HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{bad}",
            bad.len()
        );
        let answer = simulator.raw(request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{bad}");
    }
    let health = simulator.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(health.ends_with(b"\r\n\r\nok"));
}

const CREATE: &str = "/v2/push/create_multipush";
const LIST: &str = "/v2/push/device_list_multiple";

async fn create(simulator: &Running, more: &[(&'static str, &str)]) -> serde_json::Value {
    let mut pairs = pairs(now());
    pairs.retain(|(key, _)| *key != "device_token" && more.iter().all(|(name, _)| name != key));
    pairs.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    simulator.post(CREATE, "sim.test", FORM, &signed_for("POST", CREATE, pairs, ANDROID_KEY)).await
}

async fn list(simulator: &Running, push_id: &str, devices: &serde_json::Value) -> serde_json::Value {
    let pairs = vec![
        ("access_id", ANDROID.to_string()),
        ("device_list", devices.to_string()),
        ("push_id", push_id.to_owned()),
        ("timestamp", now().to_string()),
    ];
    simulator.post(LIST, "sim.test", FORM, &signed_for("POST", LIST, pairs, ANDROID_KEY)).await
}

fn push_id(answer: &serde_json::Value) -> String {
    match &answer["result"]["push_id"] {
        serde_json::Value::String(text) => text.clone(),
        number => number.as_u64().unwrap_or_else(|| panic!("no push_id: {answer}")).to_string(),
    }
}

#[tokio::test]
async fn tasks_take_lists_within_their_limits() {
    let simulator = Running::start(config()).await;
    let (first, second) = (create(&simulator, &[]).await, create(&simulator, &[]).await);
    assert_ne!(push_id(&first), push_id(&second));
    let shapes = [&first, &second].map(|answer| answer["result"]["push_id"].is_string());
    assert_ne!(shapes[0], shapes[1], "ids come as numbers and as texts");
    let task = push_id(&first);
    let devices = |count: usize| json!((0..count).map(|number| token(Platform::Android, number)).collect::<Vec<_>>());
    let short = json!([token(Platform::Android, 1), "short"]);
    for (push_id, devices, expected) in [
        (task.as_str(), devices(1), 0),
        (&task, devices(1000), 0),
        (&task, devices(1001), -1),
        (&task, json!([]), -1),
        (&task, json!({}), -1),
        (&task, json!([1]), -1),
        (&task, short, 14),
        ("77", devices(1), 19),
        ("x", devices(1), -1),
        ("", devices(1), -1),
    ] {
        let answer = list(&simulator, push_id, &devices).await;
        assert_eq!(answer["ret_code"], json!(expected), "{push_id}: {answer}");
    }
    for (name, value, expected) in [
        ("message", "{", 75),
        ("message_type", "3", -1),
        ("send_time", "2026-12-12 18:48:00", -1),
        ("send_time", "", 0),
        ("expire_time", "259201", -1),
        ("timestamp", "1", -2),
    ] {
        let answer = create(&simulator, &[(name, value)]).await;
        assert_eq!(answer["ret_code"], json!(expected), "{name}: {answer}");
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["largest_page"]), (&json!(1001), &json!(1000)));
    assert_eq!(stats["most_pages_of_a_task"], json!(2));
}

#[tokio::test]
async fn a_task_belongs_to_its_app_and_dies() {
    let mut config = config();
    config.apps.push(app(ANDROID + 1, ANDROID_KEY));
    let simulator = Running::start(config).await;
    let theirs = push_id(&create(&simulator, &[("access_id", &(ANDROID + 1).to_string())]).await);
    let devices = json!([token(Platform::Android, 1)]);
    assert_eq!(list(&simulator, &theirs, &devices).await["ret_code"], json!(19));
    let brief = push_id(&create(&simulator, &[("expire_time", "60")]).await);
    assert_eq!(list(&simulator, &brief, &devices).await["ret_code"], json!(0));
    // A minute later, by the service's clock; a timestamp is good for ten.
    simulator.faults(json!({"accept_skew_s": 61})).await;
    let answer = list(&simulator, &brief, &devices).await;
    assert_eq!((&answer["ret_code"], &answer["err_msg"]), (&json!(19), &json!("push_id has expired")));
}

#[tokio::test]
async fn apps_may_be_added_while_it_runs() {
    let simulator = Running::start(SimulatorConfig::new(vec![])).await;
    let body = signed("POST", pairs(now()), ANDROID_KEY);
    assert_eq!(simulator.post(PATH, "sim.test", FORM, &body).await["ret_code"], json!(20));
    for (account, status) in [
        (json!({"flavour": "v2", "access_id": ANDROID, "secret": ANDROID_KEY, "platform": "android"}), "204"),
        (json!({"flavour": "v3", "access_id": "a1", "secret": "k", "platform": "ios"}), "204"),
        (json!({"flavour": "v4", "access_id": "a1", "secret": "k", "platform": "ios"}), "400"),
        (json!({"flavour": "v3", "access_id": [], "secret": "k", "platform": "ios"}), "400"),
    ] {
        let account = account.to_string();
        let request = format!(
            "POST /_sim/accounts HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{account}",
            account.len()
        );
        let answer = String::from_utf8(simulator.raw(request.as_bytes()).await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{account}: {answer}");
    }
    assert_eq!(simulator.post(PATH, "sim.test", FORM, &body).await["ret_code"], json!(0));
    let accounts = json!([
        {"flavour": "v2", "access_id": ANDROID.to_string(), "platform": "android"},
        {"flavour": "v3", "access_id": "a1", "platform": "ios"},
    ]);
    assert_eq!(simulator.get("/_sim/accounts").await, accounts, "without their secrets");
}
