#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;
use crate::topic::Room;

fn options() -> Options {
    Options { namespaces: vec!["/".into()], text_rooms: false, bytes: 1 << 20 }
}

fn named(name: &str) -> Room {
    Room::Name(name.into())
}

#[test]
fn emits_of_msgpack() {
    // ["u", {type: 2, data: ["bin", Buffer], nsp: "/"}, {rooms: ["42", 7], flags: {volatile: true}, except: ["s"]}]
    let packet = b"\x83\xa4type\x02\xa4data\x92\xa3bin\xc4\x02\0\x01\xa3nsp\xa1/";
    let opts = b"\x83\xa5rooms\x92\xa242\x07\xa5flags\x81\xa8volatile\xc3\xa6except\x91\xa1s";
    let message = [b"\x93\xa1u", &packet[..], opts].concat();
    let Command::Emit { emit, rooms, callback: None, volatile: true, .. } = broadcast(&message, &options()).unwrap()
    else {
        panic!()
    };
    assert_eq!(emit.array, r#"["bin",{"_placeholder":true,"num":0}]"#);
    assert_eq!(emit.binary, [&b"\0\x01"[..]]);
    assert_eq!((rooms.to, rooms.except), (vec![named("42"), Room::Number(7)], vec![named("s")]));
    // The old form: no namespace, no exceptions.
    let old = b"\x93\xa1u\x82\xa4type\x02\xa4data\x91\xa1x\x82\xa5rooms\x90\xa5flags\x80";
    let Command::Emit { emit, rooms, .. } = broadcast(old, &options()).unwrap() else { panic!() };
    assert_eq!((&*emit.namespace, rooms), ("/", Rooms::default()));
    let elsewhere = Options { namespaces: vec!["/chat".into()], ..options() };
    let Command::Ignored { why: Ignored::Namespace, .. } = broadcast(old, &elsewhere).unwrap() else { panic!() };
    let Command::Ignored { why: Ignored::Cluster, .. } = broadcast(b"\x81\xa4type\x09", &options()).unwrap() else {
        panic!()
    };
    for (bytes, why) in [
        (&b"\x91\xa1u"[..], "the message has no packet"),
        (b"\x05", "the message is an integer, not an array"),
        (b"\x92\xa1u\x82\xa4type\x02\xa4data\xa1x", "packet.data is no array"),
        (b"\x92\xa1u\x82\xa4type\x02\xa4data\x91\x05", "packet.data[0] is no event's name"),
        (b"\x92\xa1u\x81\xa3nsp\x05", "nsp is an integer, not text"),
        (b"{}", "msgpack: "),
    ] {
        assert!(broadcast(bytes, &options()).unwrap_err().to_string().contains(why), "{}", bytes.escape_ascii());
    }
}

#[test]
fn requests_of_both_forms() {
    let ask = |text: &str| request(text.as_bytes(), &"/".into(), &options()).unwrap();
    let Command::EnterAll { whom, rooms, .. } =
        ask(r#"{"type":2,"opts":{"rooms":["42"],"except":["s"]},"rooms":["r9"]}"#)
    else {
        panic!()
    };
    assert_eq!((whom.to, whom.except, rooms), (vec![named("42")], vec![named("s")], vec![named("r9")]));
    let Command::LeaveAll { .. } = ask(r#"{"type":3,"opts":{"rooms":[],"except":[]},"rooms":["r9"]}"#) else {
        panic!()
    };
    let Command::DisconnectAll { close: true, .. } = ask(r#"{"type":4,"opts":{"rooms":[]},"close":true}"#) else {
        panic!()
    };
    let Command::Enter { .. } = ask(r#"{"type":2,"sid":"s","room":"r"}"#) else { panic!() };
    let Command::Leave { .. } = ask(r#"{"type":3,"sid":"s","room":"r"}"#) else { panic!() };
    let Command::Disconnect { close: false, .. } = ask(r#"{"type":4,"sid":"s"}"#) else { panic!() };
    for (text, ignored) in [
        (r#"{"type":0}"#, Ignored::Question),
        (r#"{"type":5,"opts":{}}"#, Ignored::Question),
        (r#"{"type":6,"data":["hello",1]}"#, Ignored::ServerSide),
        (r#"{"type":77}"#, Ignored::Unknown),
        (r#"{"type":2,"opts":{"rooms":[]},"rooms":[]}"#, Ignored::Nobody),
        // A room that nobody can be in is not everyone.
        (r#"{"type":4,"opts":{"rooms":[{}]}}"#, Ignored::Nobody),
    ] {
        let Command::Ignored { why, .. } = ask(text) else { panic!("{text}") };
        assert_eq!(why, ignored, "{text}");
    }
    // {type: 7, packet: {type: 2, data: ["q"]}, opts: {rooms: ["42"]}}
    let ack = b"\x83\xa4type\x07\xa6packet\x82\xa4type\x02\xa4data\x91\xa1q\xa4opts\x81\xa5rooms\x91\xa242";
    let Command::Emit { rooms, callback: None, .. } = request(ack, &"/".into(), &options()).unwrap() else { panic!() };
    assert_eq!(rooms.to, [named("42")]);
    request(br#"{"type":"2"}"#, &"/".into(), &options()).unwrap_err();
    request(br#"{"type":2}"#, &"/".into(), &options()).unwrap_err();
}

#[test]
fn entries_of_streams() {
    let read = |kind: &str, data: &[u8]| {
        let fields = Entry { namespace: "/".into(), kind: kind.into(), data: Some(data.to_vec()) };
        entry(&fields, &options())
    };
    let data = r#"{"packet":{"type":2,"data":["x", 12345678901234567890123, 1.10]},"opts":{"rooms":["42"],"except":[],"flags":{}}}"#;
    let Command::Emit { emit, rooms, .. } = read("3", data.as_bytes()).unwrap() else { panic!() };
    assert_eq!((emit.array, rooms.to), (r#"["x",12345678901234567890123,1.10]"#.into(), vec![named("42")]));
    let packed = STANDARD.encode(b"\x82\xa6packet\x82\xa4type\x02\xa4data\x92\xa1x\xc4\x01a\xa4opts\x81\xa5rooms\x90");
    let Command::Emit { emit, .. } = read("3", packed.as_bytes()).unwrap() else { panic!() };
    assert_eq!((emit.array, emit.binary), (r#"["x",{"_placeholder":true,"num":0}]"#.into(), vec!["a".into()]));
    let Command::EnterAll { .. } = read("4", br#"{"opts":{"rooms":["a"],"except":[]},"rooms":["b"]}"#).unwrap() else {
        panic!()
    };
    let Command::DisconnectAll { close: true, .. } = read("6", br#"{"opts":{"rooms":["a"]},"close":true}"#).unwrap()
    else {
        panic!()
    };
    for (kind, ignored) in
        [("1", Ignored::Cluster), ("7", Ignored::Question), ("9", Ignored::ServerSide), ("99", Ignored::Unknown)]
    {
        let Command::Ignored { why, .. } = read(kind, b"").unwrap() else { panic!("{kind}") };
        assert_eq!(why, ignored);
    }
    for (kind, data, why) in [
        ("x", &b"{}"[..], "type is no number"),
        ("3", b"{}", "missing field `packet`"),
        ("3", b"*", "data is neither JSON nor base64"),
        ("3", br#"{"packet":{"type":2,"data":7}}"#, "packet.data is no array"),
        ("3", br#"{"packet":{"type":2,"data":[7]}}"#, "packet.data[0] is no event's name"),
    ] {
        assert!(read(kind, data).unwrap_err().to_string().contains(why), "{kind} {}", data.escape_ascii());
    }
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_there_is_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        broadcast(&bytes, &options()).ok();
        broadcast(&[b"\x93\xa1u\x82\xa4type\x02\xa4data", bytes.as_slice()].concat(), &options()).ok();
        request(&bytes, &"/".into(), &options()).ok();
        for data in [bytes.clone(), STANDARD.encode(&bytes).into_bytes()] {
            entry(&Entry { namespace: "/".into(), kind: "3".into(), data: Some(data) }, &options()).ok();
        }
    }
}
