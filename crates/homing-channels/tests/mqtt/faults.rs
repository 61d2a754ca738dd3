//! Brokers that refuse, keep silent, or end the connection.

use std::time::Duration;

use homing_core::channel::Outcome;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

use crate::broker::{HANG, Mosquitto, Peer, channel, send};

const USER: &str = "user/1";

fn one() -> Vec<String> {
    vec![USER.to_owned()]
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_refusal_is_configuration_unless_the_broker_is_busy() {
    for (code, config) in [(1, true), (2, true), (3, false), (4, true), (5, true)] {
        let (listener, url) = listen().await;
        let broker = tokio::spawn(async move {
            let mut peer = Peer::accept(&listener).await;
            let (kind, body) = peer.packet().await.unwrap();
            assert_eq!((kind, &body[..7]), (0x10, &b"\0\x04MQTT\x04"[..]));
            peer.0.write_all(&[0x20, 2, 0, code]).await.unwrap();
            // It stays until the client goes.
            peer.packet().await
        });
        let mqtt = channel(&format!("url = '{url}'\nconnections = 1"));
        let answers = send(&mqtt, 1, &one()).await;
        let expected = if config { Outcome::Config } else { Outcome::Retry { after: None } };
        assert_eq!(answers[0].outcome, expected, "{answers:?}");
        assert!(answers[0].detail.contains(&format!("CONNACK {code}: ")), "{answers:?}");
        timeout(HANG, broker).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn without_a_broker_nothing_was_sent() {
    let (listener, url) = listen().await;
    drop(listener);
    let mqtt = channel(&format!("url = '{url}'"));
    let answers = send(&mqtt, 1, &one()).await;
    assert_eq!(answers[0].outcome, Outcome::Retry { after: None }, "{answers:?}");
    assert!(answers[0].detail.starts_with("not sent: no connection to 127.0.0.1:"), "{answers:?}");
}

#[tokio::test]
async fn a_connection_that_ends_before_the_puback_is_ambiguous_and_nothing_is_sent_again_by_itself() {
    let (listener, url) = listen().await;
    let broker = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        peer.packet().await.unwrap();
        peer.0.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        let (kind, body) = peer.packet().await.unwrap();
        assert_eq!(kind, 0x32, "PUBLISH with QoS 1, not repeated, not retained");
        assert_eq!(&body[..10], b"\0\x08p/user/1");
        drop(peer);
        // The next connection: it publishes what is sent then, and nothing else.
        let mut peer = Peer::accept(&listener).await;
        peer.packet().await.unwrap();
        peer.0.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        let (_, body) = peer.packet().await.unwrap();
        peer.0.write_all(&[0x40, 2, body[10], body[11]]).await.unwrap();
        (body, peer.packet().await)
    });
    let mqtt = channel(&format!("url = '{url}'\nprefix = 'p'\nconnections = 1"));
    let answers = send(&mqtt, 1, &one()).await;
    assert_eq!(answers[0].outcome, Outcome::Ambiguous, "{answers:?}");
    let again = async {
        loop {
            let answers = send(&mqtt, 2, &one()).await;
            match answers[0].outcome {
                Outcome::Delivered { .. } => return,
                Outcome::Retry { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
                ref other => panic!("{other:?}"),
            }
        }
    };
    timeout(HANG, again).await.unwrap();
    drop(mqtt);
    let (body, last) = timeout(HANG, broker).await.unwrap().unwrap();
    let text = String::from_utf8(body[12..].to_vec()).unwrap();
    assert!(text.contains("\"n\":2"), "{text}");
    assert_eq!(last, Some((0xe0, Vec::new())), "a channel that goes says so (DISCONNECT)");
}

#[tokio::test]
async fn a_silent_broker_makes_messages_ambiguous_and_then_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).await;
    let url = broker.url();
    let mqtt = channel(&format!("url = '{url}'\nconnections = 1\ninflight = 3\nrequest_timeout_ms = 1000"));
    assert_eq!(send(&mqtt, 0, &one()).await[0].outcome.name(), "delivered");
    broker.signal("STOP");
    let tokens: Vec<String> = (0..5).map(|user| format!("user/{user}")).collect();
    let answers = send(&mqtt, 1, &tokens).await;
    let names: Vec<_> = answers.iter().map(|answer| answer.outcome.name()).collect();
    assert_eq!(names, ["ambiguous", "ambiguous", "ambiguous", "retry", "retry"], "{answers:?}");
    assert_eq!(answers[3].detail, "not sent: too many messages wait for the broker's PUBACK");
    broker.signal("CONT");
    let again = async { while send(&mqtt, 2, &one()).await[0].outcome.name() != "delivered" {} };
    timeout(HANG, again).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_its_place_when_the_broker_answers() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).await;
    let mqtt = channel(&format!("url = '{}'\nconnections = 1\ninflight = 2", broker.url()));
    assert_eq!(send(&mqtt, 0, &one()).await[0].outcome.name(), "delivered");
    for n in 1..50 {
        broker.signal("STOP");
        let cut = timeout(Duration::from_millis(2), send(&mqtt, n, &one())).await;
        assert!(cut.is_err(), "a stopped broker answered");
        broker.signal("CONT");
    }
    let answers = timeout(HANG, send(&mqtt, 50, &one())).await.unwrap();
    assert_eq!(answers[0].outcome.name(), "delivered", "{answers:?}");
}

#[tokio::test]
async fn the_presets_broker_is_complete() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/agent.toml");
    let preset: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let section = preset["channel"]["mqtt"].as_table().unwrap();
    let link = homing_channels::mqtt::link(section, None).unwrap();
    assert_eq!((link.address.as_str(), link.prefix.as_str()), ("127.0.0.1:1883", "im"));
    let missing = homing_channels::mqtt::link(section, Some("im")).err().unwrap().to_string();
    assert_eq!(missing, "channel.mqtt.account.im: is not configured");
}
