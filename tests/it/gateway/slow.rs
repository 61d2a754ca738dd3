//! A client that reads slowly and has missed much: it gets all of it, on one connection, and the node holds little.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::connect_async;

use super::{
    calls::Calls,
    site::{Plan, Site},
    tab::token,
};

const MESSAGES: usize = 400;
const LENGTH: usize = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_sent_no_faster_than_its_client_reads() {
    let bounds = |_| {
        "[live]\nmax_bytes = 40000000\n[gateway.node]\nreplay = 400\nreplay_bytes = 40000000\n\
         [gateway.hub]\noverflow = 65536\nmax_held = 65536\n"
            .to_owned()
    };
    let site = Site::plan(Plan { nodes: 1, more: Some(&bounds), ..Plan::default() }).await;
    let calls = Calls::new();
    let text = "x".repeat(LENGTH);
    for n in 0..MESSAGES {
        let params = json!({"user": "slow", "type": "n", "data": {"n": n, "text": text}, "id": format!("b-{n}")});
        calls.call(&site.http(0), "push.user", params).await;
    }
    let (mut socket, _) =
        connect_async(format!("ws://127.0.0.1:{}/ws?token={}", site.port(0), token("slow"))).await.unwrap();
    // Nothing is read until the node has written all that the system takes.
    sleep(Duration::from_millis(500)).await;
    let mut read = 0;
    while read < MESSAGES {
        let message =
            timeout(Duration::from_secs(20), socket.next()).await.expect("the replay goes on").unwrap().unwrap();
        assert!(message.is_text(), "the connection stays: {message:?}");
        let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if frame["msg_type"] == "connected" {
            assert_eq!(frame["data"]["streams"]["u:slow"]["truncated"], false);
            continue;
        }
        assert_eq!((&frame["id"], &frame["offset"]), (&json!(format!("b-{read}")), &json!(read + 1)));
        read += 1;
        if read % 20 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    // What is new comes behind it.
    calls.call(&site.http(0), "push.user", json!({"user": "slow", "type": "n", "data": 1, "id": "last"})).await;
    let last = timeout(Duration::from_secs(20), socket.next()).await.unwrap().unwrap().unwrap();
    assert!(last.to_text().unwrap().contains("\"last\""), "{last:?}");
    println!(
        "{} MB missed, {MESSAGES} messages in order on one connection with 128 KiB of room",
        (MESSAGES * LENGTH) >> 20
    );
}
