//! One exchange each, by the client in Python.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::rig::{Plan, Rig};

async fn case(rig: &Rig, name: &str) -> Value {
    rig.client(&["case", name]).await
}

/// The audiences in the lists.
async fn audiences(rig: &Rig) -> Vec<Value> {
    let mut all: Vec<Value> = rig.all().await.into_iter().map(|item| item["to"].clone()).collect();
    all.sort_by_key(Value::to_string);
    all
}

#[tokio::test]
async fn frames_are_answered_with_a_zero_each() {
    for (name, zeros, items) in [("reference", 1, 1), ("heartbeat", 1, 0), ("two_in_one", 3, 2), ("split", 1, 1)] {
        let rig = Rig::start().await;
        let told = case(&rig, name).await;
        assert_eq!(told, json!({"answered": zeros, "zero": true, "closed": false}), "{name}");
        assert_eq!(rig.all().await.len(), items, "{name}");
    }
}

#[tokio::test]
async fn types_2_and_3_go_by_the_shape_of_the_id() {
    let rig = Rig::start().await;
    let told = case(&rig, "shapes").await;
    assert_eq!(told["answered"], 5);
    let expected = [
        json!({"user": "u1"}),
        json!({"user": "u1"}),
        json!({"users": ["u1", "u2"]}),
        json!({"users": ["u1", 2]}),
        json!({"users": ["u1"]}),
    ];
    let mut expected = expected.to_vec();
    expected.sort_by_key(Value::to_string);
    assert_eq!(audiences(&rig).await, expected);
}

#[tokio::test]
async fn bytes_that_are_no_text_pass() {
    let rig = Rig::start().await;
    assert_eq!(case(&rig, "not_utf8").await["answered"], 1);
    let all = rig.all().await;
    assert_eq!((&all[0]["to"], &all[0]["data"]["raw"]), (&json!({"users": ["u1"]}), &json!("\u{fffd}\u{fffd}")));
}

#[tokio::test]
async fn garbage_closes_the_connection_and_what_came_before_is_answered() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    for (name, answered, items) in
        [("oversize", 1, 1), ("not_msgpack", 1, 1), ("not_three", 0, 0), ("no_protocol", 0, 0)]
    {
        let rig = Rig::start().await;
        let told = case(&rig, name).await;
        assert_eq!(told, json!({"answered": answered, "zero": true, "closed": true}), "{name}");
        assert_eq!(rig.all().await.len(), items, "{name}");
    }
    let text = metrics.render();
    assert!(text.contains("homing_agent_frames_total{dialect=\"framed\",result=\"garbage\"}"), "{text}");
    assert!(text.contains("homing_agent_frames_total{dialect=\"\",result=\"garbage\"}"), "{text}");
}

#[tokio::test]
async fn a_job_that_nobody_can_use_is_answered_and_on_record() {
    let rig = Rig::start().await;
    assert_eq!(case(&rig, "unknown_type").await["answered"], 1);
    let all = rig.all().await;
    assert_eq!(all[0]["type"], "of a frame that the agent could not use (expected type 1, 2 or 3, found 9)");
}

#[tokio::test]
async fn the_bare_dialect_is_never_answered_and_waits_five_seconds_for_the_rest_of_a_value() {
    let rig = Rig::start().await;
    assert_eq!(case(&rig, "bare").await["answered"], 0);
    assert_eq!(audiences(&rig).await.len(), 3);
    let options = homing_intake::agent::Options { partial: Duration::from_millis(300), ..Default::default() };
    let rig = Plan { options, ..Plan::default() }.start().await;
    let told = case(&rig, "bare_partial").await;
    assert_eq!(told, json!({"answered": 0, "zero": true, "closed": true}));
    assert_eq!(rig.all().await.len(), 1, "the whole one before it counts");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let options = homing_intake::agent::Options { idle: Duration::from_millis(700), ..Default::default() };
    let rig = Plan { options, ..Plan::default() }.start().await;
    let told = case(&rig, "idle").await;
    assert_eq!((told["answered"].as_u64(), told["closed"].as_bool()), (Some(1), Some(true)));
    assert!(told["seconds"].as_f64().unwrap() > 0.5, "{told}");
}

#[tokio::test]
async fn a_frame_that_stops_is_closed_and_one_that_drips_is_not() {
    let options = homing_intake::agent::Options { partial: Duration::from_millis(400), ..Default::default() };
    let rig = Plan { options, ..Plan::default() }.start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let frame = b"\0\0\0\x0d\x93\x03\x91\xa2u1\x81\xa4type\x06";
    for byte in frame {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(stream.read_u8().await.unwrap(), 0, "17 bytes in a second");
    stream.write_all(&frame[..6]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "closed without an answer");
    assert_eq!(rig.all().await.len(), 1);
}

#[tokio::test]
async fn one_client_too_many_is_closed_and_the_others_are_served() {
    let options = homing_intake::agent::Options { connections: 2, ..Default::default() };
    let rig = Plan { options, ..Plan::default() }.start().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(&[0; 4]).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 0);
        held.push(stream);
    }
    let mut third = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(third.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed");
    drop(held);
    let mut told = json!(null);
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        told = case(&rig, "heartbeat").await;
        if told["answered"] == 1 {
            break;
        }
    }
    assert_eq!(told["answered"], 1, "a place that became free is given again");
}

#[tokio::test]
async fn a_stop_answers_what_was_read_and_closes() {
    let rig = Rig::start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&[0; 4]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 0);
    rig.end().await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_preset_fits_its_types_and_the_clients_jobs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join("config").join(file)).unwrap();
    let preset: toml::Table = read("agent.toml").parse().unwrap();
    let options: homing_intake::agent::Options = preset["agent"].clone().try_into().unwrap();
    let own = homing_intake::agent::Options::default();
    assert_eq!((options.listen, options.idle, &options.author), (own.listen, own.idle, &own.author));
    let focus = options.focus.as_ref().unwrap().commands("1", true, 0);
    assert_eq!(focus, [["HSET", "User:1", "app_focus", "1"]]);
    let rig = Plan { options, types: read("agent_types.toml"), ..Plan::default() }.start().await;
    let kinds = ["talk:6", "talk:17", "service:1", "service:2", "system:6"].map(|kind| ["--push", kind]).concat();
    let told = rig.client(&[&["send", "--count", "60", "--mode", "pipelined"], &kinds[..]].concat()).await;
    assert_eq!(told["acked"], 60);
    let mut count = std::collections::BTreeMap::new();
    for item in rig.all().await {
        *count.entry(item["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    // 12 of each; lock_status is 1 in half of them, action in 9 of 24.
    let expected = [
        ("AGENT_LOCKED", 6),
        ("AGENT_LOW_BATTERY", 12),
        ("AGENT_SILENT", 27),
        ("AGENT_SUPPORT", 9),
        ("AGENT_UNLOCKED", 6),
    ];
    assert_eq!(count, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
}
