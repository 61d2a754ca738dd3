#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::{super::command::Ignored, *};
use crate::topic::Room;

fn options() -> Options {
    Options { own_host: Some("gw".into()), ..Options::default() }
}

fn command(text: &str) -> Command {
    read(text.as_bytes(), &options()).unwrap()
}

/// The event's array and its attachments.
#[track_caller]
fn event(text: &str, options: &Options) -> (String, Vec<Vec<u8>>) {
    match read(text.as_bytes(), options).unwrap() {
        Command::Emit { emit, .. } => {
            (String::from_utf8(emit.array.to_vec()).unwrap(), emit.binary.iter().map(|bytes| bytes.to_vec()).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_follows_its_era() {
    for (data, array) in [
        // 5.14.0: no key `binary`.
        (r#""data": "hello""#, r#"["x","hello"]"#),
        (r#""data": [1, 2]"#, r#"["x",[1,2]]"#),
        (r#""data": [null]"#, r#"["x",[null]]"#),
        (r#""data": null"#, r#"["x"]"#),
        // 5.14.2: a bare value.
        (r#""data": "hello", "binary": false"#, r#"["x","hello"]"#),
        (r#""data": null, "binary": false"#, r#"["x"]"#),
        // Wrapped, or a bare list, which looks the same.
        (r#""data": [[1, 2]], "binary": false"#, r#"["x",[1,2]]"#),
        (r#""data": ["a", 2, {"c": "\u4e09"}], "binary": false"#, r#"["x","a",2,{"c":"\u4e09"}]"#),
        (r#""data": [null], "binary": false"#, r#"["x"]"#),
        (r#""data": [null, null], "binary": false"#, r#"["x",null,null]"#),
        (r#""data": [], "binary": false"#, r#"["x"]"#),
        (
            r#""data": [123456789012345678901234567890, 1.10, -0], "binary": null"#,
            r#"["x",123456789012345678901234567890,1.10,-0]"#,
        ),
    ] {
        let text = format!(r#"{{"method": "emit", "event": "x", {data}}}"#);
        assert_eq!(event(&text, &options()), (array.to_owned(), vec![]), "{text}");
    }
    let raw = Options { raw: true, ..options() };
    let text = r#"{"method":"emit","event":"x","data":["a",2],"binary":false}"#;
    assert_eq!(event(text, &raw).0, r#"["x",["a",2]]"#);
}

#[test]
fn attachments_come_back() {
    for (data, array, binary) in [
        (r#"[{"_placeholder":true,"num":0},"AAE="]"#, r#"["x",{"_placeholder":true,"num":0}]"#, &[&b"\0\x01"[..]][..]),
        (r#"[[{"_placeholder":true,"num":0}],"AAE="]"#, r#"["x",{"_placeholder":true,"num":0}]"#, &[b"\0\x01"]),
        (r#"[[[{"_placeholder":true,"num":0},"b"]],"YQ=="]"#, r#"["x",[{"_placeholder":true,"num":0},"b"]]"#, &[b"a"]),
        (r#"[["plain"]]"#, r#"["x","plain"]"#, &[]),
    ] {
        let text = format!(r#"{{"method":"emit","event":"x","data":{data},"binary":true}}"#);
        let binary = binary.iter().map(|bytes| bytes.to_vec()).collect();
        assert_eq!(event(&text, &options()), (array.to_owned(), binary), "{text}");
    }
    for (data, why) in [
        (r#"{"a":1}"#, "data is no array, although binary is true"),
        (r#"[[{"_placeholder":true,"num":1}],"AAE="]"#, "data: placeholder 1, but there are 1 attachments"),
        (r#"[[{"_placeholder":true,"num":0}],"A"]"#, "data[1] is no base64: Invalid input length: 1"),
        (r#"[[{"_placeholder":true,"num":0}],7]"#, "data[1] is not text"),
    ] {
        let text = format!(r#"{{"method":"emit","event":"x","data":{data},"binary":true}}"#);
        assert!(read(text.as_bytes(), &options()).unwrap_err().to_string().contains(why), "{text}");
    }
}

#[test]
fn methods_and_their_fields() {
    let named = |name: &str| Room::Name(name.into());
    let Command::Enter { namespace, sid, room } =
        command(r#"{"method":"enter_room","sid":"s","room":"r","namespace":"/chat"}"#)
    else {
        panic!()
    };
    assert_eq!((&*namespace, &*sid, room), ("/chat", "s", named("r")));
    let Command::Leave { room, .. } = command(r#"{"method":"leave_room","sid":"s","room":7}"#) else { panic!() };
    assert_eq!(room, Room::Number(7));
    let Command::CloseRoom { namespace, room } = command(r#"{"method":"close_room","room":"r"}"#) else { panic!() };
    assert_eq!((&*namespace, room), ("/", named("r")));
    let Command::Disconnect { sid, close: false, .. } =
        command(r#"{"method":"disconnect","sid":"s","namespace":null}"#)
    else {
        panic!()
    };
    assert_eq!(&*sid, "s");
    let answer = r#"{"method":"callback","host_id":"gw","sid":"r","namespace":"/c","id":3,"args":["a", 1.10]}"#;
    let Command::Answer { namespace, sid, id, args } = command(answer) else { panic!() };
    assert_eq!((&*namespace, &*sid, &*id, args.get()), ("/c", "\"r\"", "3", "[\"a\", 1.10]"));
    for (text, ignored) in [
        (r#"{"method":"callback","host_id":"other"}"#, Ignored::OtherHost),
        (r#"{"method":"callback"}"#, Ignored::OtherHost),
        (r#"{"method":"emit","host_id":"gw"}"#, Ignored::Own),
        (r#"{"method":"dance","namespace":"/x"}"#, Ignored::Unknown),
        (r#"{"method":"emit","event":"x","room":[]}"#, Ignored::Nobody),
        (r#"{"method":"emit","event":"x","room":{}}"#, Ignored::Nobody),
    ] {
        let Command::Ignored { why, .. } = command(text) else { panic!("{text}") };
        assert_eq!(why, ignored, "{text}");
    }
}

#[test]
fn rooms_and_callbacks_of_an_emit() {
    let text = r#"{"method":"emit","event":"x","data":"y","room":["a",42],"skip_sid":["s1","s2"],
        "callback":[42,"/chat",2],"host_id":"h"}"#;
    let found = command(text);
    let callback = found.callback(5).unwrap();
    assert_eq!((&*callback.room, &*callback.namespace, &*callback.id, callback.source), ("42", "/chat", "2", 5));
    let Command::Emit { rooms, host, volatile: false, .. } = found else { panic!() };
    assert_eq!(rooms.to, [Room::Name("a".into()), Room::Number(42)]);
    assert_eq!(rooms.except, [Room::Name("s1".into()), Room::Name("s2".into())]);
    assert_eq!(host.as_deref(), Some("h"));
    let text_rooms = Options { text_rooms: true, ..options() };
    let Command::Emit { rooms, .. } = read(text.as_bytes(), &text_rooms).unwrap() else { panic!() };
    assert_eq!(rooms.to, [Room::Name("a".into()), Room::Name("42".into())]);
}

#[test]
fn what_is_wrong_is_named() {
    let deep = format!(r#"{{"method":"emit","event":"x","data":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    for (text, why) in [
        (r#"{"method": "emit", "event": "x", "data": NaN}"#, "message: NaN at line 1 column 42 is no JSON"),
        (r#"{"event":"x"}"#, "method is missing: text is needed"),
        (r#"{"method":7}"#, "method is an integer, not text"),
        (r#"{"method":"emit"}"#, "event is missing"),
        (r#"{"method":"emit","event":["x"]}"#, "event is not text"),
        (r#"{"method":"emit","event":"x","namespace":[]}"#, "namespace is a list, not text"),
        (r#"{"method":"emit","event":"x","callback":[1,2]}"#, "callback is a list, not room, namespace and id"),
        (r#"{"method":"enter_room","room":"r"}"#, "sid is missing"),
        (r#"{"method":"enter_room","sid":"s"}"#, "room is missing"),
        (r#"{"method":"callback","host_id":"gw","sid":"s","id":1,"args":7}"#, "args is no array"),
        ("{\"method\"", "message: EOF while parsing"),
        ("[1]", "pickle: opcode 0x5b at byte 0: not allowed"),
        ("", "pickle: at byte 0: it ends without STOP"),
        ("I1\n.", "the message is an integer, not a dict"),
        (&deep, "data: recursion limit exceeded"),
    ] {
        let error = read(text.as_bytes(), &options()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let small = Options { limits: Limits { bytes: 10, ..Limits::default() }, ..options() };
    assert!(read(b"{\"method\":\"emit\"}", &small).unwrap_err().to_string().contains("17 bytes are more than 10"));
}

#[test]
fn pickles_of_odd_content_are_refused_in_words() {
    // {'method': 'emit', 'event': 'x', 'data': {(): 1}} and a float that is none.
    for (data, why) in [
        (&b"})K\x01s"[..], "data: a key of a dict is a tuple, which JSON cannot have"),
        (b"G\x7f\xf8\0\0\0\0\0\0", "data: the float NaN is no JSON number"),
    ] {
        let bytes = [b"\x80\x02}(U\x06methodU\x04emitU\x05eventU\x01xU\x04data", data, b"u."].concat();
        assert_eq!(read(&bytes, &options()).unwrap_err().to_string(), why);
    }
    // A tuple of nothing is no argument, one of None is one.
    for (data, array) in [(&b")"[..], r#"["x"]"#), (b"N", r#"["x"]"#), (b"N\x85", r#"["x",null]"#)] {
        let bytes = [b"\x80\x02}(U\x06methodU\x04emitU\x05eventU\x01xU\x04data", data, b"u."].concat();
        let Command::Emit { emit, .. } = read(&bytes, &options()).unwrap() else { panic!() };
        assert_eq!(emit.array, array);
    }
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_there_is_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes, &options()).ok();
        read(&[b"{\"method\":\"emit\",\"event\":\"x\",\"data\":", bytes.as_slice(), b"}"].concat(), &options()).ok();
        super::super::kombu::open(&bytes).ok();
        super::super::plain::read(&bytes).ok();
    }
}
