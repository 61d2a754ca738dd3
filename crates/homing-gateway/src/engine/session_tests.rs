#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::{
    engine::fake::{Rig, body},
    socketio::Settings,
};

fn echo() -> Arc<Site> {
    Site::echo(Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        poll_buffer: 4_096,
        ..Settings::default()
    })
    .unwrap()
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Engine>() <= 400, "{} bytes", size_of::<Engine>());
}

#[test]
fn the_handshake_has_the_keys_of_the_protocol() {
    for (version, start) in [(Version::V4, "0{"), (Version::V3, "126:0{")] {
        let (rig, open) = Rig::polling(&echo(), version, None);
        assert!(open.starts_with(start), "{open}");
        let json = open.split_once('{').unwrap().1;
        let expected = format!(
            r#""sid":"{}","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}}"#,
            rig.sid
        );
        assert_eq!(json, expected);
        assert_eq!(sid::key_of(&rig.sid), Some(rig.link.key()));
    }
}

#[test]
fn polling_carries_packets_both_ways() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    assert_eq!(rig.post("4a\x1ebAQI=").unwrap().body, Payload::Text("ok".into()));
    assert_eq!(rig.got(), "4a\x1ebAQI=");
    let mut waiting = rig.get(&rig.sid.clone());
    assert_eq!(waiting.try_recv(), Err(TryRecvError::Empty));
    rig.post("4b").unwrap();
    assert_eq!(body(&mut waiting), "4b");
}

#[test]
fn binary_by_polling_in_version_3_depends_on_what_the_client_takes() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V3, None);
    rig.post("6:4hello10:b4AQIDBA==").unwrap();
    assert_eq!(rig.got(), format!("{:?}", [&[0, 6, 255][..], b"4hello", &[1, 5, 255, 4, 1, 2, 3, 4]].concat()));
    let mut link = crate::engine::fake::FakeLink::default();
    let mut engine = Engine::new(echo(), Version::V3, true, Credentials::default());
    engine.open(&mut link);
    rig = Rig { engine, link, sid: String::new() };
    rig.got();
    rig.post("6:4hello10:b4AQIDBA==").unwrap();
    assert_eq!(rig.got(), "6:4hello10:b4AQIDBA==");
}

#[test]
fn another_sid_finds_nothing() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    let mut wrong = rig.sid.clone();
    wrong.replace_range(31.., if wrong.ends_with('A') { "Q" } else { "A" });
    assert_eq!(sid::key_of(&wrong), sid::key_of(&rig.sid));
    assert_eq!(rig.get(&wrong).try_recv(), Err(TryRecvError::Closed));
    rig.post("4a").unwrap();
    assert_eq!(rig.got(), "4a");
}

#[test]
fn the_server_pings_in_version_4_and_not_at_once() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    // From ping to ping it is 300, however long the answer takes.
    for pause in [299, 249, 249] {
        let mut waiting = rig.get(&rig.sid.clone());
        rig.pass(pause);
        assert_eq!(waiting.try_recv(), Err(TryRecvError::Empty));
        rig.pass(1);
        assert_eq!(body(&mut waiting), "2");
        rig.pass(50);
        assert_eq!(rig.post("3").unwrap().status, 200);
    }
    rig.pass(449);
    assert!(rig.link.closed.is_none());
    rig.pass(1);
    assert_eq!(rig.code(), code::SILENT);
    assert!(rig.post("3").is_err());
}

#[test]
fn a_late_timer_gives_nobody_more_time() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    rig.link.now += 390;
    rig.link.wake = None;
    rig.engine.wake(&mut rig.link);
    rig.link.now += 110;
    assert_eq!(rig.get(&rig.sid.clone()).try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rig.code(), code::SILENT);
    // But a client keeps a part of its time in any case.
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    rig.link.now += 5_000;
    assert_eq!(rig.got(), "2");
    rig.link.now += 49;
    assert_eq!(rig.post("3").unwrap().status, 200);
    let mut rig = Rig::websocket(&echo(), Version::V4, None);
    rig.link.now += 5_000;
    rig.engine.wake(&mut rig.link);
    rig.link.now += 99;
    rig.text("3");
    assert!(rig.link.closed.is_none());
}

#[test]
fn the_client_pings_in_version_3() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V3, None);
    for _ in 0..3 {
        rig.pass(400);
        rig.post("1:2").unwrap();
        assert_eq!(rig.got(), "1:3");
    }
    rig.link.now += 500;
    assert!(rig.post("1:2").is_err());
    let mut rig = Rig::websocket(&echo(), Version::V3, None);
    rig.text("2abc");
    assert_eq!(rig.said(), "3abc");
    rig.pass(499);
    assert!(rig.link.closed.is_none());
    rig.pass(1);
    assert_eq!(rig.code(), code::SILENT);
}

#[test]
fn pings_and_pongs_in_the_wrong_direction_end_the_session() {
    for (version, packet) in [(Version::V4, "2"), (Version::V3, "3"), (Version::V4, "0{}"), (Version::V4, "abc")] {
        let mut rig = Rig::websocket(&echo(), version, None);
        rig.text(packet);
        assert_eq!(rig.code(), code::PROTOCOL, "{packet}");
    }
    // A pong that nobody asked for is nothing, and gives no time.
    let mut rig = Rig::websocket(&echo(), Version::V4, None);
    rig.text("3");
    rig.pass(300);
    assert_eq!(rig.said(), "2");
}

#[test]
fn a_close_packet_ends_the_waiting_request_with_nothing() {
    for (version, close, noop) in [(Version::V4, "1", "6"), (Version::V3, "1:1", "1:6")] {
        let (mut rig, _) = Rig::polling(&echo(), version, None);
        let mut waiting = rig.get(&rig.sid.clone());
        assert_eq!(rig.post(close).unwrap().status, 200);
        assert_eq!(body(&mut waiting), noop);
        assert_eq!(rig.code(), code::NORMAL);
        assert_eq!(rig.get(&rig.sid.clone()).try_recv(), Err(TryRecvError::Closed));
    }
    let mut rig = Rig::websocket(&echo(), Version::V4, None);
    rig.text("1");
    assert_eq!(rig.code(), code::NORMAL);
}

#[test]
fn two_requests_at_a_time_end_the_session() {
    for (version, close) in [(Version::V4, "1"), (Version::V3, "1:1")] {
        let (mut rig, _) = Rig::polling(&echo(), version, None);
        let mut first = rig.get(&rig.sid.clone());
        let mut second = rig.get(&rig.sid.clone());
        assert_eq!(body(&mut first), close);
        assert_eq!(second.try_recv().unwrap().status, 400);
        assert_eq!(rig.code(), code::PROTOCOL);
    }
}

#[test]
fn a_request_that_was_given_up_loses_nothing() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    drop(rig.get(&rig.sid.clone()));
    rig.post("4a").unwrap();
    assert_eq!(rig.got(), "4a");
}

#[test]
fn a_request_brings_at_most_sixteen_packets() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    let all: Vec<String> = (0..40).map(|n| format!("4{n}")).collect();
    for some in all.chunks(10) {
        rig.post(&some.join("\x1e")).unwrap();
    }
    let got = [rig.got(), rig.got(), rig.got()];
    assert_eq!(got.each_ref().map(|body| body.split('\x1e').count()), [16, 16, 8]);
    assert_eq!(got.join("\x1e"), all.join("\x1e"));
    let mut waiting = rig.get(&rig.sid.clone());
    assert_eq!(waiting.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_malformed_payload_ends_the_session() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    assert_eq!(rig.post("abc").unwrap().status, 400);
    assert_eq!(rig.code(), code::PROTOCOL);
    assert!(rig.post("4a").is_err());
}

#[test]
fn what_waits_for_a_client_that_does_not_come_is_bounded() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    for _ in 0..3 {
        rig.post(&format!("4{}", "x".repeat(1_000))).unwrap();
    }
    assert!(rig.link.closed.is_none());
    rig.post(&format!("4{}", "x".repeat(1_000))).unwrap();
    assert_eq!(rig.code(), code::SLOW);
}

#[test]
fn a_websocket_takes_over() {
    for (version, noop) in [(Version::V4, "6"), (Version::V3, "1:6")] {
        let (mut rig, _) = Rig::polling(&echo(), version, None);
        let mut waiting = rig.get(&rig.sid.clone());
        rig.offer(&rig.sid.clone());
        rig.probe("2probe");
        assert_eq!(rig.said(), "3probe");
        assert_eq!(waiting.try_recv(), Err(TryRecvError::Empty));
        rig.pass(50);
        assert_eq!(body(&mut waiting), noop);
        // The client may ask once more before it knows.
        let mut waiting = rig.get(&rig.sid.clone());
        rig.pass(50);
        assert_eq!(body(&mut waiting), noop);
        rig.post(if version == Version::V4 { "4early" } else { "6:4early" }).unwrap();
        rig.probe("5");
        assert_eq!(rig.said(), "4early");
        rig.text("4hello");
        assert_eq!(rig.said(), "4hello");
        assert_eq!(rig.get(&rig.sid.clone()).try_recv().unwrap().status, 400);
        rig.offer(&rig.sid.clone());
        assert_eq!(rig.link.dropped.as_ref().unwrap().code, code::POLICY);
        rig.text("4on");
        assert_eq!(rig.said(), "4on");
        assert!(!rig.engine.lost(&mut rig.link, Socket::Main));
    }
}

#[test]
fn an_upgrade_need_not_wait_for_the_answer_to_the_probe() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    rig.offer(&rig.sid.clone());
    rig.probe("2probe");
    rig.probe("5");
    assert_eq!(rig.said(), "3probe");
    assert!(rig.link.main && !rig.link.candidate);
    // And its next request may overtake it.
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    rig.offer(&rig.sid.clone());
    let mut overtaking = rig.get(&rig.sid.clone());
    rig.probe("2probe");
    rig.probe("5");
    assert_eq!(overtaking.try_recv().unwrap().status, 400);
}

#[test]
fn candidates_that_do_something_else_are_dropped_and_polling_goes_on() {
    for packets in [&["5"][..], &["4hello"], &["2"], &["2probe", "4x"], &["abc"]] {
        let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
        rig.offer(&rig.sid.clone());
        for packet in packets {
            rig.probe(packet);
        }
        assert_eq!(rig.link.dropped.as_ref().unwrap().code, code::PROTOCOL, "{packets:?}");
        rig.post("4a").unwrap();
        assert_eq!(rig.got(), "4a");
        assert!(rig.link.closed.is_none());
    }
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    rig.offer("another");
    assert_eq!(rig.link.dropped.as_ref().unwrap().code, code::POLICY);
    rig.offer(&rig.sid.clone());
    rig.probe("2probe");
    assert!(rig.engine.lost(&mut rig.link, Socket::Candidate));
    rig.post("4a").unwrap();
    assert_eq!(rig.got(), "4a");
}

#[test]
fn a_candidate_that_says_nothing_is_dropped() {
    let site = Site::echo(Settings::default()).unwrap();
    let (mut rig, _) = Rig::polling(&site, Version::V4, None);
    rig.offer(&rig.sid.clone());
    rig.pass(10_000);
    assert_eq!(rig.link.dropped.as_ref().unwrap().reason, "no upgrade");
    rig.post("4a").unwrap();
    assert_eq!(rig.got(), "4a");
}

#[test]
fn an_end_from_outside_is_told_to_the_waiting_request() {
    let (mut rig, _) = Rig::polling(&echo(), Version::V4, None);
    let mut waiting = rig.get(&rig.sid.clone());
    rig.engine.ended(&Close::new(code::RESTART, "restart"));
    assert_eq!(body(&mut waiting), "1");
}

#[test]
fn websockets_echo_text_and_binary() {
    let mut rig = Rig::websocket(&echo(), Version::V4, None);
    rig.text("4hello");
    rig.binary(&[1, 2, 3, 4]);
    assert_eq!((rig.said(), rig.said()), ("4hello".to_owned(), "[1, 2, 3, 4]".to_owned()));
    let mut rig = Rig::websocket(&echo(), Version::V3, None);
    rig.binary(&[4, 1, 2, 3, 4]);
    assert_eq!(rig.said(), "[4, 1, 2, 3, 4]");
}
