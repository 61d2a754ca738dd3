#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

fn ack(ids: &[&str]) -> Frame {
    Frame::Ack(ids.iter().map(|id| (*id).into()).collect())
}

fn at(stream: &str, epoch: u32, offset: u64) -> (Stream, Position) {
    (Stream::parse(stream).unwrap(), Position { epoch, offset })
}

#[track_caller]
fn check(frame: &str, expected: Frame) {
    assert_eq!(Frame::read(frame), Ok(expected), "{frame}");
}

#[track_caller]
fn wrong(frame: &str, field: &str, message: &str) {
    let unknown = Frame::read(frame).unwrap_err();
    assert_eq!(unknown.field, field, "{frame}");
    assert!(unknown.message.starts_with(message), "{frame}: {}", unknown.message);
}

#[test]
fn heartbeats_are_answered_in_kind() {
    check(" ping\n", Frame::Ping("pong".into()));
    check(r#"{"type":"ping"}"#, Frame::Ping(r#"{"type":"pong"}"#.into()));
    check(r#"{"msg_type":"ping"}"#, Frame::Ping(r#"{"msg_type":"pong"}"#.into()));
    check(r#"{"msg_type":"ping","id":[1.0]}"#, Frame::Ping(r#"{"msg_type":"pong","id":[1.0]}"#.into()));
    check(r#"{"type":"ping","id":"小","t":5}"#, Frame::Ping(r#"{"type":"pong","id":"小"}"#.into()));
    check("pong", Frame::Pong);
    check(r#"{"type":"pong"}"#, Frame::Pong);
}

#[test]
fn what_was_read_stands_in_many_places() {
    for kind in ["ack", "read", "confirm", "open"] {
        check(&format!(r#"{{"msg_type":"{kind}","id":"a"}}"#), ack(&["a"]));
    }
    check(r#"{"type":"read","id":7}"#, ack(&["7"]));
    check(r#"{"msg_type":"read","ids":["a",2]}"#, ack(&["a", "2"]));
    check(r#"{"msg_type":"read","data":{"id":"a"}}"#, ack(&["a"]));
    check(r#"{"msg_type":"read","data":{"ids":["a","b"]}}"#, ack(&["a", "b"]));
    check(r#"{"msg_type":"read","data":["a","b"]}"#, ack(&["a", "b"]));
    check(r#"{"msg_type":"read","data":"a"}"#, ack(&["a"]));
    check(r#"{"msg_type":"read","id":"a","ids":["b"],"data":{"id":"c"}}"#, ack(&["a", "b", "c"]));
    wrong(r#"{"msg_type":"read"}"#, "ids", "is missing");
    wrong(r#"{"msg_type":"read","ids":[]}"#, "ids", "is missing");
    wrong(r#"{"msg_type":"read","id":null}"#, "ids", "is missing");
    wrong(r#"{"msg_type":"read","ids":[true]}"#, "ids", "expected text or a whole number");
    wrong(r#"{"msg_type":"read","ids":[""]}"#, "ids", "must not be empty");
    wrong(&format!(r#"{{"msg_type":"read","id":"{}"}}"#, "x".repeat(129)), "ids", "an id has at most 128 bytes");
    wrong(&format!(r#"{{"msg_type":"read","ids":[1{}]}}"#, ",1".repeat(1_000)), "ids", "at most 1000 at once");
    check(r#"{"msg_type":"read_all"}"#, Frame::ReadAll(Vec::new()));
    check(r#"{"msg_type":"read_all","up_to":{"u:42":[7,9]}}"#, Frame::ReadAll(vec![at("u:42", 7, 9)]));
}

#[test]
fn a_login_may_bring_a_token_and_places() {
    let login = |token: Option<&str>, resume| Frame::Login { token: token.map(str::to_owned), resume };
    check(r#"{"msg_type":"login"}"#, login(None, Vec::new()));
    check(r#"{"type":"auth","token":"a.b.c"}"#, login(Some("a.b.c"), Vec::new()));
    check(r#"{"msg_type":"login","data":{"token":"a.b.c"}}"#, login(Some("a.b.c"), Vec::new()));
    check(
        r#"{"msg_type":"login","resume":{"u:42":[7,9],"all":{"epoch":8,"offset":0},"x:1":[1,1]}}"#,
        login(None, vec![at("all", 8, 0), at("u:42", 7, 9)]),
    );
    wrong(r#"{"msg_type":"login","token":5.5}"#, "token", "expected text");
    for resume in ["5", "[]", r#"{"u:42":9}"#, r#"{"u:42":[1]}"#, r#"{"u:42":[-1,2]}"#, r#"{"u:42":[1,2,3]}"#] {
        wrong(&format!(r#"{{"msg_type":"login","resume":{resume}}}"#), "resume", "expected {");
    }
}

#[test]
fn groups_and_calls_are_known() {
    check(r#"{"msg_type":"subscribe","group":"news"}"#, Frame::Subscribe { group: "news".into(), at: None });
    let place = Some(Position { epoch: 7, offset: 9 });
    check(
        r#"{"msg_type":"subscribe","data":{"group":7,"resume":{"g:7":[7,9]}}}"#,
        Frame::Subscribe { group: "7".into(), at: place },
    );
    check(r#"{"msg_type":"unsubscribe","group":"news"}"#, Frame::Unsubscribe("news".into()));
    wrong(r#"{"msg_type":"subscribe"}"#, "group", "is missing");
    wrong(r#"{"msg_type":"subscribe","group":""}"#, "group", "must not be empty");
    check(r#"{"jsonrpc":"2.0","method":"x"}"#, Frame::Rpc);
    check(r#"[{"jsonrpc":"2.0","method":"x"}]"#, Frame::Rpc);
}

#[test]
fn what_is_not_known_is_named() {
    wrong("", "frame", "no JSON object");
    wrong("hello", "frame", "no JSON object");
    wrong("5", "frame", "no JSON object");
    wrong(r#"{"msg_type":"ping""#, "frame", "no JSON object");
    wrong("{}", "msg_type", "is missing");
    wrong(r#"{"msg_type":null}"#, "msg_type", "is missing");
    wrong(r#"{"msg_type":"dance"}"#, "msg_type", "is not known");
    wrong(r#"{"type":"dance"}"#, "type", "is not known");
    wrong(r#"{"msg_type":{}}"#, "msg_type", "expected text");
    wrong(r#"{"msg_type":"ping","msg_type":"ping"}"#, "frame", "no JSON object: duplicate field");
    let deep = format!(r#"{{"msg_type":"ping","id":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    wrong(&deep, "frame", "nests deeper than 64");
}

proptest! {
    #[test]
    fn whatever_comes_ends_in_a_frame_or_in_words(text in r#"[\[\]{}":,a-z0-9 _.\\-]{0,80}"#) {
        if let Err(unknown) = Frame::read(&text) {
            prop_assert!(!unknown.message.is_empty());
        }
    }
}
