//! Traces, ledger, cancelling, metrics.

use homing_core::{
    queue::Commit,
    record::{Fate, Record, Stage},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::Method;
use serde_json::json;

use crate::support::{CHAT, Rig, event, told};

async fn put(rig: &Rig, shard: &homing_core::queue::QueueName, at: i64, id: &str, stage: Stage, fate: Fate) {
    let mut owned = rig.queue.acquire(shard).await.unwrap();
    let mut commit = Commit::default();
    commit.record(Record { at, id: id.into(), stage, fate, target: Some("42".into()), reason: None }, 1);
    owned.commit(&commit).await.unwrap();
    owned.release().await.unwrap();
}

#[tokio::test]
async fn a_trace_is_gathered_from_every_shard_in_order() {
    let rig = Rig::start().await;
    let (status, body) = told(rig.get("/v1/events/m-1").send().await.unwrap()).await;
    assert_eq!((status, &body["error"]["field"]), (404, &json!("id")));
    assert!(body["error"]["message"].as_str().unwrap().contains("older than the trace window or unknown"));
    let (system, group) = (&rig.lanes[0], &rig.lanes[1]);
    put(&rig, &system.delivery[0], 30, "m-1", Stage::Send, Fate::Delivered { provider_id: None }).await;
    put(&rig, &system.entry[2], 20, "m-1", Stage::Rules, Fate::Passed).await;
    put(&rig, &system.entry[2], 20, "m-2", Stage::Rules, Fate::Passed).await;
    put(&rig, &rig.seat, 10, "m-1", Stage::Entry, Fate::Received).await;
    put(&rig, &group.entry[0], 25, "m-1", Stage::Rules, Fate::Skipped { rule: "dnd".into() }).await;
    let (status, body) = told(rig.get("/v1/events/m-1").send().await.unwrap()).await;
    assert_eq!((status, &body["id"]), (200, &json!("m-1")));
    let fates: Vec<&str> = body["records"].as_array().unwrap().iter().map(|r| r["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["received", "passed", "skipped", "delivered"]);
    let skipped = json!({"at": 25, "id": "m-1", "stage": "rules", "fate": "skipped", "rule": "dnd", "target": "42"});
    assert_eq!(body["records"][2], skipped);
    // A key of one lane sees that lane.
    let theirs = rig.request(Method::GET, "/v1/events/m-1").bearer_auth(CHAT);
    let (_, body) = told(theirs.send().await.unwrap()).await;
    assert_eq!(body["records"], json!([skipped]));
}

#[tokio::test]
async fn the_ledger_counts_every_fate_by_lane_and_stage() {
    let rig = Rig::start().await;
    let batch: Vec<_> = (0..30).map(event).collect();
    assert_eq!(told(rig.post("/v1/events").json(&batch).send().await.unwrap()).await.0, 202);
    let (status, body) = told(rig.get("/v1/ledger").send().await.unwrap()).await;
    assert_eq!((status, &body["balanced"]), (200, &json!(true)));
    let entry = &body["lanes"]["system"]["entry"];
    assert_eq!((&entry["in"], &entry["waiting"], &entry["balanced"]), (&json!(30), &json!(30), &json!(true)));
    // Fates without items: somebody counted what never came in.
    put(&rig, &rig.lanes[0].entry[0], 1, "x", Stage::Rules, Fate::Skipped { rule: "dnd".into() }).await;
    let (_, body) = told(rig.get("/v1/ledger").send().await.unwrap()).await;
    assert_eq!(body["balanced"], false);
    assert_eq!(body["lanes"]["system"]["rules"]["fates"], json!({"skipped.dnd": 1}));
    assert_eq!(body["unbalanced"], json!([format!("{}: rules", rig.lanes[0].entry[0])]));
    let theirs = rig.request(Method::GET, "/v1/ledger").bearer_auth(CHAT);
    let (_, body) = told(theirs.send().await.unwrap()).await;
    assert_eq!((&body["balanced"], body["lanes"].as_object().unwrap().len()), (&json!(true), 1));
}

#[tokio::test]
async fn a_cancelled_event_is_marked_at_every_shard() {
    let rig = Rig::start().await;
    let (_, body) = told(rig.post("/v1/events").json(&event(42)).send().await.unwrap()).await;
    let id = body["id"].as_str().unwrap();
    let answer = rig.request(Method::DELETE, &format!("/v1/events/{id}")).bearer_auth(CHAT).send().await.unwrap();
    assert_eq!(told(answer).await.0, 202);
    let cancelled = async |shard: &homing_core::queue::QueueName| {
        let mut owned = rig.queue.acquire(shard).await.unwrap();
        let marks = owned.marks(&[id, "other"]).await.unwrap();
        owned.release().await.unwrap();
        assert!(!marks[1].cancelled);
        marks[0].cancelled
    };
    assert!(!cancelled(&rig.lanes[0].entry[0]).await, "another lane's events are not this key's");
    let answer = rig.request(Method::DELETE, &format!("/v1/events/{id}")).bearer_auth(crate::support::SHOP);
    let (status, body) = told(answer.send().await.unwrap()).await;
    assert_eq!(status, 202);
    assert_eq!(body, json!({"id": id, "note": "what is under way already may still arrive"}));
    let mut shards = 0;
    for shard in rig.lanes.iter().flat_map(|lane| lane.entry.iter().chain(&lane.delivery)) {
        assert!(cancelled(shard).await, "{shard}");
        shards += 1;
    }
    assert_eq!(shards, 6);
}

#[tokio::test]
async fn requests_and_events_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let text = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let rig = Rig::start().await;
    let mut own = event(42);
    own["id"] = json!("m-1");
    for _ in 0..3 {
        rig.post("/v1/events").json(&own).send().await.unwrap();
    }
    rig.post("/v1/events").json(&json!([event(1), event(2)])).send().await.unwrap();
    rig.post("/v1/events").body("x").send().await.unwrap();
    rig.post("/v1/events").json(&json!({"type": 99})).send().await.unwrap();
    rig.request(Method::GET, "/v1/events/m-1").send().await.unwrap();
    rig.get("/nowhere").send().await.unwrap();
    let text = text.render();
    let mut lines = 0;
    for line in [
        "homing_intake_requests_total{route=\"/v1/events\",status=\"202\"} 4",
        "homing_intake_requests_total{route=\"/v1/events\",status=\"400\"} 2",
        "homing_intake_requests_total{route=\"/v1/events/{id}\",status=\"401\"} 1",
        "homing_intake_requests_total{route=\"other\",status=\"404\"} 1",
        "homing_intake_events_total{lane=\"system\",result=\"accepted\"} 3",
        "homing_intake_events_total{lane=\"system\",result=\"replayed\"} 2",
        "homing_intake_events_total{lane=\"\",result=\"invalid\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        lines += 1;
    }
    assert_eq!(lines, 7);
}
