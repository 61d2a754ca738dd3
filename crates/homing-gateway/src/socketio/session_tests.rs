#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use bytes::Bytes;
use homing_core::{
    live::{Marks, Position},
    wire_live::Message,
};
use proptest::prelude::*;

use super::*;
use crate::{
    desk::{Callback, Missed},
    engine::{
        Site,
        fake::{At, Gate, Rig, known, site},
    },
    parcel::{Dialect, Emit, Parcel, Payload, Source},
    session::Session as _,
    socketio::{Read, Settings},
};

fn settings() -> Settings {
    Settings { namespaces: vec!["/".into(), "/chat".into()], ..Settings::default() }
}

fn v5(token: Option<&str>) -> Rig {
    Rig::websocket(&site(settings(), None), Version::V4, token)
}

fn room(namespace: &str, name: &str) -> Topic {
    Topic::Room(namespace.into(), Room::Name(name.into()))
}

fn emit(namespace: &str, array: &'static str) -> Arc<Parcel> {
    let array = Bytes::from_static(array.as_bytes());
    Arc::new(Parcel::new(Source::Emit(Emit { namespace: namespace.into(), array, binary: Vec::new() })))
}

fn message(id: &str, offset: u64) -> Arc<Parcel> {
    let message = Message::decode(format!(r#"{{"id":"{id}","type":"notify","data":1}}"#).as_bytes()).unwrap();
    let at = Some(Position { epoch: 1, offset });
    Arc::new(Parcel::new(Source::Message { stream: Stream::User("42".into()), at, message }))
}

/// Connected to the main namespace as user 42, with nothing missed.
fn user(version: Version, settings: Settings) -> Rig {
    let mut rig = Rig::websocket(&site(settings, None), version, Some("user:42"));
    if version == Version::V4 {
        rig.text("40");
    }
    assert!(rig.said().starts_with("40"));
    attend(&mut rig);
    rig
}

fn attend(rig: &mut Rig) {
    if let Some(Ask::Attend { .. }) = rig.link.asked.pop_front() {
        rig.reply(Reply::Attending(Ok(Vec::new())));
    }
}

#[track_caller]
fn marked(rig: &mut Rig) -> Vec<String> {
    match rig.link.asked.pop_front() {
        Some(Ask::Mark { user, streams, marks: Marks::Ids(ids) }) => {
            assert_eq!((&*user, streams.len()), ("42", 3));
            ids.iter().map(|id| id.to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_upper_half_is_small() {
    assert!(size_of::<Socketio>() <= 200, "{} bytes", size_of::<Socketio>());
}

#[test]
fn a_connect_brings_a_client_to_its_rooms() {
    let mut rig = v5(None);
    rig.silent();
    rig.text(r#"40/chat,{"token":"user:42"}"#);
    let said = rig.said();
    let sid = said.strip_prefix(r#"40/chat,{"sid":""#).unwrap().strip_suffix(r#""}"#).unwrap().to_owned();
    assert_ne!(sid, rig.sid);
    rig.silent();
    let streams = [Stream::User("42".into()), Stream::Group("a".into()), Stream::Everyone];
    let mut expected = vec![Topic::Namespace("/chat".into()), room("/chat", &sid), room("/chat", "42")];
    expected.extend(streams.clone().map(Topic::Stream));
    assert_eq!(rig.link.topics, expected);
    assert_eq!(rig.link.user.as_deref(), Some("42"));
    assert!(rig.link.held);
    match rig.link.asked.pop_front().unwrap() {
        Ask::Attend { user, streams: asked } => {
            assert_eq!(user.as_deref(), Some("42"));
            assert_eq!(asked, streams.map(|stream| (stream, None)));
        }
        other => panic!("{other:?}"),
    }
    // A second namespace needs no second token, and asks for nothing again.
    rig.text("40");
    assert!(rig.said().starts_with("40{"));
    assert!(rig.link.topics.contains(&room("/", "42")));
    assert!(rig.link.asked.is_empty());
}

#[test]
fn protocol_4_connects_unasked_and_has_one_id() {
    let mut rig = Rig::websocket(&site(settings(), None), Version::V3, Some("user:42"));
    assert_eq!(rig.said(), "40");
    let sid = rig.sid.clone();
    assert!(rig.link.topics.contains(&room("/", &sid)));
    rig.text("40/chat?token=user%3A42,");
    assert_eq!(rig.said(), "40/chat");
    assert!(rig.link.topics.contains(&room("/chat", &sid)) && rig.link.topics.contains(&room("/chat", "42")));
    rig.text("40");
    rig.silent();
    rig.text("40/nowhere,");
    assert_eq!(rig.said(), r#"44/nowhere,"Invalid namespace""#);
}

#[test]
fn refusals_say_why_in_the_words_of_the_protocol() {
    for (version, connect, expected) in [
        (Version::V4, Some("40/random"), r#"44/random,{"message":"Invalid namespace"}"#),
        (Version::V4, Some(r#"40{"token":"x"}"#), r#"44{"message":"a bad token","data":{"code":"unauthorized"}}"#),
        (Version::V4, Some("40"), r#"44{"message":"a token is needed","data":{"code":"unauthorized"}}"#),
        (Version::V3, None, r#"44"a token is needed""#),
        (Version::V3, Some("40/chat?token=x"), r#"44/chat,"a bad token""#),
    ] {
        let mut rig = Rig::websocket(&site(settings(), None), version, None);
        if let Some(connect) = connect {
            if version == Version::V3 {
                rig.said();
            }
            rig.text(connect);
        }
        assert_eq!(rig.said(), expected);
        assert!(rig.link.topics.is_empty() && rig.link.closed.is_none());
        rig.text("42[\"e\"]");
        rig.silent();
        for _ in 0..10 {
            rig.pass(5_000);
            if rig.link.closed.is_none() {
                rig.text(if version == Version::V4 { "3" } else { "2" });
            }
        }
        assert_eq!(rig.code(), code::UNAUTHORIZED, "nobody came in within the time");
    }
}

#[test]
fn a_bad_token_may_be_no_user() {
    let anonymous = Settings { invalid: Invalid::Anonymous, ..settings() };
    let mut rig = Rig::websocket(&site(anonymous, None), Version::V3, Some("bad"));
    assert_eq!(rig.said(), "40");
    assert_eq!(rig.link.user, None);
    let own = room("/", &rig.sid);
    assert_eq!(rig.link.topics, [Topic::Namespace("/".into()), own, Topic::Stream(Stream::Everyone)]);
    assert!(rig.link.asked.is_empty() && !rig.link.held);
    // Who shows a good token later is known from then on, everywhere.
    rig.text("40/chat?token=user:42,");
    assert_eq!(rig.said(), "40/chat");
    assert_eq!(rig.link.user.as_deref(), Some("42"));
    assert!(rig.link.topics.contains(&room("/", "42")) && rig.link.topics.contains(&room("/chat", "42")));
    assert!(matches!(rig.link.asked.pop_front(), Some(Ask::Attend { .. })));
}

#[test]
fn a_connection_has_one_user() {
    let mut rig = v5(None);
    rig.text(r#"40{"token":"user:42"}"#);
    rig.said();
    rig.text(r#"40/chat,{"token":"user:43"}"#);
    assert!(rig.said().starts_with(r#"44/chat,{"message":"this connection is another user's""#));
    rig.text(r#"40/chat,{"token":"user:42"}"#);
    assert!(rig.said().starts_with("40/chat,"));
}

#[test]
fn verdicts_are_waited_for_in_order() {
    let mut rig = v5(Some("ask"));
    rig.text("40");
    rig.text("40/chat,");
    rig.text("40/chat,");
    rig.silent();
    assert!(matches!(rig.link.asked.pop_front(), Some(Ask::Identify(_))));
    assert!(rig.link.asked.is_empty(), "one question at a time");
    rig.reply(Reply::Verdict(Verdict::Known(known("42"))));
    assert!(rig.said().starts_with("40{"));
    assert!(rig.said().starts_with("40/chat,{"));
    rig.silent();
    // One who leaves before the verdict does not come in.
    let mut rig = v5(Some("ask"));
    rig.text("40");
    rig.text("41");
    rig.reply(Reply::Verdict(Verdict::Known(known("42"))));
    rig.silent();
    assert!(rig.link.topics.is_empty());
}

#[test]
fn a_verdict_that_cannot_be_had_loses_the_connection_so_that_the_client_comes_back() {
    let mut rig = v5(Some("away"));
    rig.text("40");
    rig.silent();
    assert_eq!(rig.code(), code::FULL);
}

#[test]
fn a_token_ends() {
    let mut rig = user(Version::V4, Settings { ping_interval: Duration::from_secs(3_599), ..settings() });
    rig.pass(3_599_000);
    assert_eq!(rig.said(), "2");
    rig.text("3");
    rig.pass(1_000);
    assert_eq!(rig.said(), "41");
    assert_eq!(rig.code(), code::EXPIRED);
}

#[test]
fn leaving_a_namespace_leaves_its_rooms_and_the_connection_open() {
    let mut rig = user(Version::V4, settings());
    rig.text("40/chat,");
    rig.said();
    rig.text("41/chat,");
    rig.silent();
    assert!(!rig.link.topics.contains(&room("/chat", "42")) && rig.link.topics.contains(&room("/", "42")));
    rig.deliver(&emit("/chat", r#"["e"]"#));
    rig.silent();
    rig.text("41");
    assert!(rig.link.topics.is_empty());
    assert_eq!(rig.link.user, None);
    rig.pass(25_000);
    assert_eq!(rig.said(), "2");
    rig.text("3");
    // And back again.
    rig.text("40");
    assert!(rig.said().starts_with("40{"));
    assert_eq!(rig.link.user.as_deref(), Some("42"));
    assert!(matches!(rig.link.asked.pop_front(), Some(Ask::Attend { .. })));
}

#[test]
fn what_is_no_packet_ends_the_connection() {
    for text in ["4abc", "42{}", r#"42abc["e"]"#, "4", "47", "44\"x\"", r#"451-["e"]"#] {
        let mut rig = user(Version::V4, settings());
        rig.text(text);
        if text.starts_with("451") {
            rig.text("42[\"e\"]");
        }
        assert_eq!(rig.code(), code::PROTOCOL, "{text}");
    }
    let mut rig = user(Version::V4, settings());
    rig.binary(b"x");
    assert_eq!(rig.code(), code::PROTOCOL);
    let mut rig = user(Version::V4, Settings { max_payload: 4_096, ..settings() });
    rig.text(r#"452-["e"]"#);
    rig.binary(&[0; 4_000]);
    assert!(rig.link.closed.is_none());
    rig.binary(&[0; 100]);
    assert_eq!(rig.code(), code::PROTOCOL);
}

#[test]
fn many_namespaces_are_too_many() {
    let any = Settings { namespaces: vec!["*".into()], ..settings() };
    let mut rig = Rig::websocket(&site(any, None), Version::V4, Some("nobody"));
    for n in 0..MAX_NAMESPACES {
        rig.text(&format!("40/n{n},"));
        assert!(rig.said().starts_with("40/n"));
    }
    rig.text("40/more,");
    assert_eq!(rig.said(), r#"44/more,{"message":"too many namespaces"}"#);
}

#[test]
fn emitters_move_sessions() {
    let mut rig = user(Version::V4, settings());
    let number = Room::Number(7);
    let enter = |namespace: &str| Move::Enter { namespace: namespace.into(), room: number.clone() };
    for namespace in ["/", "/chat"] {
        rig.engine.moved(&mut rig.link, &enter(namespace));
    }
    assert!(rig.link.topics.contains(&Topic::Room("/".into(), Room::Number(7))));
    assert!(!rig.link.topics.contains(&Topic::Room("/chat".into(), Room::Number(7))), "it is not there");
    rig.engine.moved(&mut rig.link, &Move::Leave { namespace: "/".into(), room: number });
    assert!(!rig.link.topics.contains(&Topic::Room("/".into(), Room::Number(7))));
    rig.engine.moved(&mut rig.link, &Move::Disconnect { namespace: "/".into(), close: false });
    assert_eq!(rig.said(), "41");
    assert!(rig.link.topics.is_empty() && rig.link.closed.is_none());
    rig.engine.moved(&mut rig.link, &Move::Disconnect { namespace: "/".into(), close: true });
    assert!(rig.link.closed.is_none(), "it had left before");
}

#[test]
fn who_is_dismissed_is_told_so_in_every_namespace() {
    let mut rig = user(Version::V4, settings());
    rig.text("40/chat,");
    rig.said();
    rig.engine.end(&mut rig.link, &Close::new(code::DISMISSED, "logged out"));
    assert_eq!((rig.said().as_str(), rig.said().as_str()), ("41", "41/chat,"));
    assert_eq!(rig.code(), code::DISMISSED);
}

#[test]
fn what_was_missed_comes_before_what_is_new() {
    let mut rig = Rig::websocket(&site(settings(), None), Version::V4, Some("user:42"));
    rig.text("40");
    rig.said();
    let top = Position { epoch: 1, offset: 2 };
    let missed = |stream, top, messages| Missed { stream, recovered: false, truncated: false, top, messages };
    let stream = Stream::User("42".into());
    rig.reply(Reply::Attending(Ok(vec![
        missed(stream.clone(), top, vec![message("a", 1), message("b", 2)]),
        missed(Stream::Everyone, Position::default(), Vec::new()),
    ])));
    assert_eq!((rig.said(), rig.said()), (r#"42["notify",1]"#.to_owned(), r#"42["notify",1]"#.to_owned()));
    assert!(!rig.link.held);
    assert_eq!(rig.link.shown, [(stream, top), (Stream::Everyone, Position::default())]);
}

#[test]
fn a_store_that_is_away_is_asked_again() {
    let mut rig = Rig::websocket(&site(settings(), None), Version::V4, Some("user:42"));
    rig.text("40");
    rig.said();
    rig.link.asked.clear();
    rig.reply(Reply::Attending(Err("away".into())));
    assert!(rig.link.held);
    rig.pass(RETRY);
    assert!(matches!(rig.link.asked.pop_front(), Some(Ask::Attend { .. })));
    rig.reply(Reply::Attending(Ok(Vec::new())));
    assert!(!rig.link.held);
}

#[test]
fn callbacks_of_emitters_have_a_number_of_this_client() {
    let mut rig = user(Version::V4, Settings { read: Read::Never, ..settings() });
    let route = Arc::new(Callback {
        host: "h".into(),
        room: "\"42\"".into(),
        namespace: "/".into(),
        id: "9".into(),
        source: 0,
    });
    let parcel = emit("/", r#"["ask","q"]"#);
    for number in 1..=2 {
        rig.engine.deliver(&mut rig.link, &parcel, Some(&route));
        assert_eq!(rig.said(), format!(r#"42{number}["ask","q"]"#));
    }
    rig.text("432[\"yes\",1.10]");
    match rig.link.asked.pop_front().unwrap() {
        Ask::Callback { route: back, args, binary } => {
            assert_eq!((back, args.as_str(), binary.len()), (Arc::clone(&route), r#"["yes",1.10]"#, 0));
        }
        other => panic!("{other:?}"),
    }
    rig.text("432[]");
    rig.text("43/chat,1[]");
    assert!(rig.link.asked.is_empty(), "each counts once, and in its namespace");
    rig.text(r#"461-1[{"_placeholder":true,"num":0}]"#);
    rig.binary(&[7]);
    match rig.link.asked.pop_front().unwrap() {
        Ask::Callback { binary, .. } => assert_eq!(binary, [Bytes::from_static(&[7])]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answered_heartbeat_proves_what_was_written_before_it() {
    let mut rig = user(Version::V4, settings());
    rig.deliver(&message("a", 1));
    rig.deliver(&message("b", 2));
    rig.deliver(&emit("/", r#"["e"]"#));
    assert_eq!((rig.said(), rig.said()), (r#"42["notify",1]"#.to_owned(), r#"42["notify",1]"#.to_owned()));
    rig.said();
    rig.text("3");
    assert!(rig.link.asked.is_empty(), "nobody pinged");
    // The ping comes early, since there is something to prove.
    rig.pass(1_000);
    assert_eq!(rig.said(), "2");
    rig.deliver(&message("c", 3));
    rig.said();
    rig.text("3");
    assert_eq!(marked(&mut rig), ["a", "b"]);
    rig.pass(1_000);
    assert_eq!(rig.said(), "2");
    rig.text("3");
    assert!(rig.link.asked.is_empty(), "one question at a time");
    rig.reply(Reply::Marked(Ok(Vec::new())));
    assert_eq!(marked(&mut rig), ["c"]);
    rig.reply(Reply::Marked(Ok(Vec::new())));
    rig.pass(23_999);
    rig.silent();
}

#[test]
fn protocol_4_is_asked_by_a_websocket_ping() {
    let mut rig = user(Version::V3, settings());
    rig.deliver(&message("a", 1));
    rig.said();
    rig.text("2");
    assert_eq!(rig.said(), "3");
    assert_eq!((rig.link.pings, rig.link.asked.len()), (0, 0), "its own heartbeat proves nothing");
    rig.pass(1_000);
    assert_eq!(rig.link.pings, 1);
    rig.deliver(&message("b", 2));
    rig.said();
    rig.text("2");
    rig.said();
    assert!(rig.link.asked.is_empty());
    rig.link.pongs = 1;
    rig.pass(1_000);
    assert_eq!(marked(&mut rig), ["a"]);
    rig.pass(1_000);
    assert_eq!(rig.link.pings, 2);
}

#[test]
fn by_polling_the_pong_or_the_next_request_is_the_proof() {
    let (mut rig, open) = Rig::polling(&site(settings(), None), Version::V3, Some("user:42"));
    assert!(open.ends_with("2:40"), "{open}");
    attend(&mut rig);
    rig.deliver(&message("a", 1));
    assert_eq!(rig.got(), r#"14:42["notify",1]"#);
    rig.deliver(&message("b", 2));
    assert!(rig.link.asked.is_empty());
    assert_eq!(rig.got(), r#"14:42["notify",1]"#);
    assert_eq!(marked(&mut rig), ["a"]);
    let (mut rig, open) = Rig::polling(&site(settings(), None), Version::V4, Some("user:42"));
    assert!(open.starts_with("0{") && open.ends_with('}'));
    rig.post("40").unwrap();
    assert!(rig.got().starts_with("40{"));
    attend(&mut rig);
    rig.deliver(&message("a", 1));
    rig.got();
    let mut waiting = rig.get(&rig.sid.clone());
    assert!(rig.link.asked.is_empty(), "a request may be repeated by what is between");
    rig.pass(1_000);
    assert_eq!(crate::engine::fake::body(&mut waiting), "2");
    rig.post("3").unwrap();
    assert_eq!(marked(&mut rig), ["a"]);
}

#[test]
fn reads_may_be_acknowledged_or_left_to_the_client() {
    let mut rig = user(Version::V4, Settings { read: Read::Ack, ..settings() });
    rig.deliver(&message("a", 1));
    assert_eq!(rig.said(), r#"421["notify",1]"#);
    rig.pass(5_000);
    rig.silent();
    rig.text("431[]");
    assert_eq!(marked(&mut rig), ["a"]);
    let mut rig = user(Version::V4, Settings { read: Read::Never, ..settings() });
    rig.deliver(&message("a", 1));
    rig.said();
    rig.pass(24_999);
    rig.silent();
    assert!(rig.link.asked.is_empty());
}

#[test]
fn clients_mark_what_they_read() {
    let mut rig = user(Version::V4, Settings { read: Read::Never, ..settings() });
    rig.text(r#"427["read",{"ids":["a","b"]}]"#);
    assert_eq!(marked(&mut rig), ["a", "b"]);
    rig.text(r#"42["ack",{"id":"c"}]"#);
    rig.reply(Reply::Marked(Ok(vec!["a".into()])));
    assert_eq!(rig.said(), r#"437[{"read":["a"]}]"#);
    assert_eq!(marked(&mut rig), ["c"]);
    rig.reply(Reply::Marked(Err("away".into())));
    rig.silent();
    rig.text(r#"428["read","x"]"#);
    assert_eq!(rig.said(), r#"438[{"error":"expected {id} or {ids}"}]"#);
    rig.text(r#"429["read",{"ids":[]}]"#);
    assert_eq!(rig.said(), r#"439[{"error":"from 1 to 1000 ids"}]"#);
    let mut rig = Rig::websocket(&site(settings(), None), Version::V4, Some("nobody"));
    rig.text("40");
    rig.said();
    rig.text(r#"427["read",{"id":"a"}]"#);
    assert_eq!(rig.said(), r#"437[{"error":"a user is needed"}]"#);
}

#[test]
fn calls_are_answered_in_order_if_they_are_allowed() {
    let mut rig = user(Version::V4, Settings { rpc: true, ..settings() });
    rig.text(r#"421["rpc",{"id":1}]"#);
    rig.text(r#"422["rpc",{"id":2},3]"#);
    for (number, expected) in [(1, r#"{"id":1}"#), (2, r#"{"id":2}"#)] {
        match rig.link.asked.pop_front().unwrap() {
            Ask::Rpc { user, text } => assert_eq!((user.as_deref(), text.as_str()), (Some("42"), expected)),
            other => panic!("{other:?}"),
        }
        assert!(rig.link.asked.is_empty());
        let answer = (number == 1).then(|| serde_json::value::RawValue::from_string("{\"r\":1.10}".into()).unwrap());
        rig.reply(Reply::Rpc(answer));
        let argument = if number == 1 { "{\"r\":1.10}" } else { "" };
        assert_eq!(rig.said(), format!("43{number}[{argument}]"));
    }
    let mut rig = user(Version::V4, settings());
    rig.text(r#"421["rpc",{"id":1}]"#);
    rig.silent();
    assert!(rig.link.asked.is_empty());
}

#[test]
fn rooms_are_open_to_clients_by_their_beginning() {
    let mut rig = user(Version::V4, Settings { client_rooms: vec!["news:".into()], ..settings() });
    rig.text(r#"421["join","news:1"]"#);
    assert_eq!(rig.said(), "431[true]");
    assert!(rig.link.topics.contains(&room("/", "news:1")));
    rig.text(r#"422["join","43"]"#);
    assert_eq!(rig.said(), r#"432[{"error":"this room is not open to clients"}]"#);
    rig.text(r#"42["leave","news:1"]"#);
    rig.silent();
    assert!(!rig.link.topics.contains(&room("/", "news:1")));
    let mut rig = user(Version::V4, settings());
    rig.text(r#"421["join","news:1"]"#);
    rig.silent();
}

#[test]
fn the_shard_writes_by_itself_only_where_nothing_is_followed() {
    assert!(!user(Version::V4, settings()).link.direct);
    let mut rig = user(Version::V4, Settings { inbox: false, ..settings() });
    assert!(rig.link.direct && !rig.link.held);
    assert_eq!(rig.link.topics.len(), 3);
    assert_eq!(rig.link.user.as_deref(), Some("42"));
    rig.text("41");
    assert!(!rig.link.direct);
    let (rig, _) = Rig::polling(&site(Settings { inbox: false, ..settings() }, None), Version::V3, Some("user:42"));
    assert!(!rig.link.direct);
}

#[test]
fn what_waits_for_clients_that_poll_is_there_once() {
    let site = site(settings(), None);
    for (version, dialect) in [(Version::V3, Dialect::Engine3), (Version::V4, Dialect::Engine4)] {
        let (parcel, mut rig) = (message("a", 1), Rig::polling(&site, version, Some("user:42")).0);
        if version == Version::V4 {
            rig.post("40").unwrap();
            rig.got();
        }
        attend(&mut rig);
        rig.deliver(&parcel);
        let kept = parcel.encoded(dialect, |_| panic!("the session made its own")).unwrap();
        let [Payload::Text(text)] = kept.payloads.as_slice() else { panic!("{kept:?}") };
        assert_eq!(text, r#"42["notify",1]"#);
        assert!(!text.is_unique(), "the session has the same");
    }
}

#[test]
fn a_site_refuses_settings_that_cannot_work() {
    let bad = Settings { paths: Vec::new(), ..settings() };
    let error = Site::socketio(bad, Arc::new(Gate), Arc::new(At(0)), None).err().unwrap();
    assert_eq!(error, "gateway.socketio.paths: it is empty");
}

/// What a client may do to a session.
#[derive(Clone, Debug)]
enum Do {
    Text(String),
    Binary(Vec<u8>),
    Post(String),
    Get,
    Offer,
    Probe(String),
    Wait(u64),
    Verdict,
    Deliver,
}

fn anything() -> impl Strategy<Value = Do> {
    let packet = prop_oneof![
        Just("40".to_owned()),
        Just(r#"40/chat,{"token":"user:42"}"#.to_owned()),
        Just("40/chat?token=ask".to_owned()),
        Just("41/chat,".to_owned()),
        Just(r#"451-7["read",{"ids":["a"]}]"#.to_owned()),
        Just(r#"421["read",{"ids":["a"]}]"#.to_owned()),
        Just("431[]".to_owned()),
        Just("2".to_owned()),
        Just("3".to_owned()),
        Just("5".to_owned()),
        "[0-6]{0,2}[/,a-z\\[\\]{}\"0-9-]{0,12}",
    ];
    prop_oneof![
        4 => packet.clone().prop_map(Do::Text),
        2 => packet.clone().prop_map(Do::Post),
        1 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(Do::Binary),
        1 => Just(Do::Get),
        1 => Just(Do::Offer),
        1 => prop_oneof![Just("2probe".to_owned()), Just("5".to_owned()), packet].prop_map(Do::Probe),
        1 => (0_u64..30_000).prop_map(Do::Wait),
        1 => Just(Do::Verdict),
        1 => Just(Do::Deliver),
    ]
}

proptest! {
    #[test]
    fn no_client_breaks_a_session(steps in proptest::collection::vec(anything(), 0..60), polls: bool, old: bool) {
        let version = if old { Version::V3 } else { Version::V4 };
        let site = site(Settings { invalid: Invalid::Anonymous, ..settings() }, None);
        let mut rig = if polls { Rig::polling(&site, version, None).0 } else { Rig::websocket(&site, version, None) };
        for (number, step) in steps.into_iter().enumerate() {
            if rig.link.closed.is_some() {
                break;
            }
            match step {
                Do::Text(text) if rig.link.main => rig.text(&text),
                Do::Binary(bytes) if rig.link.main => rig.binary(&bytes),
                Do::Post(text) => drop(rig.post(&text)),
                Do::Get => drop(rig.get(&rig.sid.clone())),
                Do::Offer => rig.offer(&rig.sid.clone()),
                Do::Probe(text) if rig.link.candidate => rig.probe(&text),
                Do::Wait(time) => rig.pass(time),
                Do::Verdict => rig.reply(Reply::Verdict(Verdict::Known(known("42")))),
                Do::Deliver => rig.deliver(&message("a", number as u64)),
                _ => {}
            }
            while let Some(ask) = rig.link.asked.pop_front() {
                match ask {
                    Ask::Attend { .. } => rig.reply(Reply::Attending(Err("away".into()))),
                    Ask::Mark { .. } => rig.reply(Reply::Marked(Ok(Vec::new()))),
                    _ => {}
                }
            }
            prop_assert!(rig.link.topics.len() < 20);
        }
    }
}
