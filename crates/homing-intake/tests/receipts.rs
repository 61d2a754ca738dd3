//! Receipts as devices and pages post them: over a socket, onto a real redis-server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, dead_code, reason = "shared by the parts")]

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;

use homing_core::{
    receipt::Prover,
    record::{Fate, Seen, Stage},
};
use homing_intake::{
    Capability,
    receipts::{self, Receipts},
};
use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};

use support::{CHAT, Plan, Rig, SHOP, event, fresh, told};

const PATH: &str = "/v1/receipts";

fn prover() -> Prover {
    Prover::new(b"a-secret-of-receipts").unwrap()
}

async fn rig(rate: u32) -> Rig {
    let receipts = Receipts::new(Some(Arc::new(prover())), rate);
    Plan { dress: Box::new(|intake| intake.with_receipts(receipts)), ..Plan::default() }.start().await
}

async fn post(rig: &Rig, key: Option<&str>, body: &Value) -> Response {
    let request = rig.request(Method::POST, PATH).json(body);
    let request = match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    request.send().await.unwrap()
}

fn shown(id: &str, user: &str) -> Value {
    json!({"id": id, "user": user, "device": "i-1", "event": "shown", "proof": prover().prove(id)})
}

#[tokio::test]
async fn a_receipt_is_counted_once_and_stands_in_the_trace() {
    let (rig, id) = (rig(0).await, fresh());
    let before = rig.queue.inspect(&receipts::shard()).await.unwrap().counts;
    let count = |counts: &homing_core::ledger::Counts, field: &str| counts.get(field);
    assert_eq!(
        told(post(&rig, Some(SHOP), &shown(&id, "42")).await).await,
        (202, json!({"accepted": 1, "repeated": 0}))
    );
    assert_eq!(told(post(&rig, None, &shown(&id, "42")).await).await, (202, json!({"accepted": 0, "repeated": 1})));
    // Another user, device or event is another receipt; twice in a list is once.
    let mut clicked = shown(&id, "42");
    clicked["event"] = json!("clicked");
    clicked["at"] = json!("2026-11-21T09:00:00+08:00");
    let list = json!([clicked, clicked, shown(&id, "43"), shown(&id, "42")]);
    assert_eq!(told(post(&rig, None, &list).await).await.1, json!({"accepted": 2, "repeated": 2}));
    let wrapped = json!({"receipts": [shown(&id, "44")]});
    assert_eq!(told(post(&rig, None, &wrapped).await).await, (202, json!({"accepted": 1, "repeated": 0})));

    let trace = rig.queue.trace(&receipts::shard(), &id).await.unwrap();
    assert_eq!(trace.len(), 4, "{trace:?}");
    assert!(trace.iter().all(|record| record.stage == Stage::Client));
    let click = trace.iter().find(|record| record.fate == Fate::Seen { how: Seen::Clicked }).unwrap();
    assert_eq!(click.target.as_deref(), Some("42/i-1"));
    assert_eq!(click.reason.as_deref(), Some("at 2026-11-21T01:00:00Z by the device's clock"));
    let after = rig.queue.inspect(&receipts::shard()).await.unwrap().counts;
    // Other tests count there, too.
    assert!(count(&after, "client.shown") >= count(&before, "client.shown") + 3);
    assert!(count(&after, "client.clicked") > count(&before, "client.clicked"));
    // The trace over HTTP has it beside the rest.
    let (status, body) = told(rig.get(&format!("/v1/events/{id}")).send().await.unwrap()).await;
    assert_eq!((status, body["records"].as_array().unwrap().len()), (200, 4), "{body}");
}

#[tokio::test]
async fn without_a_key_each_receipt_proves_itself() {
    let (rig, id) = (rig(0).await, fresh());
    let refused = async |body: Value, field: &str| {
        let (status, answer) = told(post(&rig, None, &body).await).await;
        assert_eq!((status, answer["error"]["field"].as_str()), (401, Some(field)), "{answer}");
    };
    let with = |proof: Value| json!({"id": id, "event": "shown", "proof": proof});
    refused(with(Value::Null), "proof").await;
    refused(with(json!("")), "proof").await;
    refused(with(json!("AAAAAAAAAAAAAAAAAAAAAA")), "proof").await;
    refused(with(json!(prover().prove("another"))), "proof").await;
    refused(with(json!(format!("{}==", prover().prove(&id)))), "proof").await;
    refused(json!([shown(&id, "1"), with(json!("x"))]), "receipts.1.proof").await;
    assert!(rig.queue.trace(&receipts::shard(), &id).await.unwrap().is_empty(), "nothing of a list was counted");
    // A key that is not known is no better for its proof; one of a lane's producer is not good for receipts.
    assert_eq!(told(post(&rig, Some("nobody-0123456789"), &shown(&id, "1")).await).await.0, 401);
    assert_eq!(told(post(&rig, Some(CHAT), &shown(&id, "1")).await).await.0, 403);
    assert_eq!(told(post(&rig, None, &shown(&id, "1")).await).await.0, 202);
    // Where no proofs are made, a key is needed.
    let bare = Rig::start().await;
    let (status, body) = told(post(&bare, None, &shown(&id, "1")).await).await;
    assert_eq!((status, &body["error"]["field"]), (401, &json!("Authorization")));
    assert_eq!(told(post(&bare, Some(SHOP), &shown(&fresh(), "1")).await).await.0, 202);
}

#[tokio::test]
async fn a_key_may_be_good_for_receipts_alone() {
    let receipts = Receipts::default();
    let dress = |intake: homing_intake::Intake| {
        intake.with_receipts(receipts).with_access("chat", &[Capability::Receipts]).unwrap()
    };
    let rig = Plan { dress: Box::new(dress), ..Plan::default() }.start().await;
    let mut one = shown(&fresh(), "1");
    one.as_object_mut().unwrap().remove("proof");
    assert_eq!(told(post(&rig, Some(CHAT), &one).await).await.0, 202);
    let request = rig.request(Method::POST, "/v1/events").bearer_auth(CHAT).json(&event(1));
    assert_eq!(told(request.send().await.unwrap()).await.0, 403);
}

#[tokio::test]
async fn pages_of_any_origin_may_post_and_read_the_answer() {
    let (rig, id) = (rig(0).await, fresh());
    let preflight = rig.request(Method::OPTIONS, PATH).header("Origin", "https://shop.example");
    let preflight = preflight.header("Access-Control-Request-Method", "POST").send().await.unwrap();
    let of = |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(preflight.status().as_u16(), 204);
    assert_eq!(of(preflight.headers(), "access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(of(preflight.headers(), "access-control-allow-methods").as_deref(), Some("POST"));
    assert_eq!(of(preflight.headers(), "access-control-allow-headers").as_deref(), Some("content-type"), "no keys");
    assert_eq!(of(preflight.headers(), "access-control-allow-credentials"), None);
    for (body, status) in [(shown(&id, "1"), 202), (json!({"id": id}), 400), (json!({"id": id, "event": "shown"}), 401)]
    {
        // As a beacon sends it: text, without asking first.
        let request = rig.request(Method::POST, PATH).header("Origin", "https://shop.example");
        let answer =
            request.header("Content-Type", "text/plain;charset=UTF-8").body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{body}");
        assert_eq!(of(answer.headers(), "access-control-allow-origin").as_deref(), Some("*"));
    }
    // The other routes stay closed to pages.
    let answer =
        rig.request(Method::OPTIONS, "/v1/events").header("Origin", "https://shop.example").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), of(answer.headers(), "access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn an_open_listener_asks_foreign_pages_for_a_proof() {
    let receipts = Receipts::new(Some(Arc::new(prover())), 0);
    let mut plan = Plan { dress: Box::new(|intake| intake.with_receipts(receipts)), ..Plan::default() };
    plan.settings.open_on_loopback = true;
    let (rig, id) = (plan.start().await, fresh());
    let bare = json!({"id": id, "event": "shown"});
    let send = async |origin: &str, body: &Value| {
        let request = rig.request(Method::POST, PATH).header("Origin", origin).json(body);
        told(request.send().await.unwrap()).await.0
    };
    assert_eq!(send("https://evil.example", &bare).await, 401);
    assert_eq!(send("https://shop.example", &shown(&id, "1")).await, 202);
    assert_eq!(send("http://localhost:7700", &bare).await, 202, "a program of this machine");
}

#[tokio::test]
async fn a_peer_says_so_much_a_second() {
    let rig = rig(5).await;
    let list: Vec<Value> = (0..200).map(|_| shown(&fresh(), "1")).collect();
    assert_eq!(told(post(&rig, None, &json!(list)).await).await.0, 202, "a list may overdraw");
    let answer = post(&rig, None, &shown(&fresh(), "1")).await;
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(answer.status().as_u16() == 429 && wait > 20, "{wait}");
    // Who shows a key is not meant.
    assert_eq!(told(post(&rig, Some(SHOP), &shown(&fresh(), "1")).await).await.0, 202);
}

#[tokio::test]
async fn what_no_device_would_send_is_answered_with_its_field() {
    let rig = rig(0).await;
    let send = async |body: Vec<u8>| told(rig.post(PATH).body(body).send().await.unwrap()).await;
    let long = format!(r#"{{"id":"{}","event":"shown"}}"#, "x".repeat(257));
    for (body, field) in [
        ("", "body"),
        ("x", "body"),
        ("[]", "receipts"),
        (r#"{"id":"a","event":"opened"}"#, "event"),
        (r#"[{"id":"a","event":"shown"},{"event":"shown"}]"#, "receipts.1.id"),
        (r#"{"id":"a","event":"shown","at":"now"}"#, "at"),
        (&long, "id"),
    ] {
        let (status, answer) = send(body.as_bytes().to_vec()).await;
        assert_eq!((status, answer["error"]["field"].as_str()), (400, Some(field)), "{answer}");
    }
    let many: Vec<Value> = (0..1_001).map(|n| json!({"id": n.to_string(), "event": "shown"})).collect();
    assert_eq!(send(json!(many).to_string().into_bytes()).await.0, 400);
    assert_eq!(send(vec![b' '; 257 << 10]).await.0, 413);
    let thousand: Vec<Value> =
        (0..1_000).map(|n| json!({"id": format!("{}-{n}", fresh()), "event": "clicked"})).collect();
    assert_eq!(send(json!(thousand).to_string().into_bytes()).await, (202, json!({"accepted": 1_000, "repeated": 0})));
    // MessagePack, as events.
    let body = rmp_serde::to_vec_named(&json!({"id": fresh(), "event": "shown"})).unwrap();
    let answer = rig.post(PATH).header("Content-Type", "application/msgpack").body(body).send().await.unwrap();
    assert_eq!(told(answer).await.0, 202);
    assert_eq!(told(rig.get(PATH).send().await.unwrap()).await.0, 405);
}
