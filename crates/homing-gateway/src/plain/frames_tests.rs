#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use homing_core::wire_live::{Emitted, Message};

use super::*;
use crate::parcel::Emit;

fn raw(json: &str) -> Arc<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap().into()
}

fn message(to: Option<&str>) -> Message {
    let data = raw(r#"{"n":1.10,"s":"小\"明"}"#);
    Message { id: "a\"1".into(), kind: "notify".into(), data, at: 5, to: to.map(Into::into), emit: None }
}

fn user(at: Option<Position>, message: Message) -> Source {
    Source::Message { stream: Stream::User("42".into()), at, message }
}

#[track_caller]
fn check(frames: Frames, source: &Source, expected: Option<&str>) {
    let encoded = frames.encode(source).map(|payloads| {
        assert_eq!(payloads.len(), 1);
        let Payload::Text(text) = &payloads[0] else { panic!("no text") };
        String::from_utf8(text.to_vec()).unwrap()
    });
    assert_eq!(encoded.as_deref(), expected);
}

#[test]
fn a_message_is_written_as_configured() {
    let at = Some(Position { epoch: 7, offset: u64::MAX });
    let full = Frames::default();
    check(
        full,
        &user(at, message(None)),
        Some(concat!(
            r#"{"msg_type":"notify","data":{"n":1.10,"s":"小\"明"},"id":"a\"1","offset":18446744073709551615,"epoch":7,"#,
            r#""stream":"u:42"}"#
        )),
    );
    let all = Source::Message { stream: Stream::Everyone, at: None, message: message(None) };
    let unstored = r#"{"msg_type":"notify","data":{"n":1.10,"s":"小\"明"},"id":"a\"1","stream":"all"}"#;
    check(full, &all, Some(unstored));
    let named = Frames { to_user_id: true, bare: true, ..full };
    let shown = r#"{"msg_type":"notify","to_user_id":"42","data":{"n":1.10,"s":"小\"明"}}"#;
    check(named, &user(at, message(None)), Some(shown));
    let shown = r#"{"msg_type":"notify","to_user_id":"7","data":{"n":1.10,"s":"小\"明"}}"#;
    check(named, &user(at, message(Some("7"))), Some(shown));
    let bare = r#"{"msg_type":"notify","data":{"n":1.10,"s":"小\"明"}}"#;
    check(named, &all, Some(bare));
    check(Frames { bare: true, ..full }, &user(at, message(Some("7"))), Some(bare));
}

#[test]
fn emits_are_for_others_unless_asked_for() {
    let emit = Emitted { namespace: "/".into(), args: raw("[1,2]"), binary: Vec::new() };
    let kept = user(None, Message { emit: Some(emit), data: raw("1"), ..message(None) });
    check(Frames::default(), &kept, None);
    let shown = r#"{"msg_type":"notify","data":1,"id":"a\"1","stream":"u:42"}"#;
    check(Frames { emits: true, ..Frames::default() }, &kept, Some(shown));
    let emit = Emit { namespace: "/".into(), array: Bytes::from_static(b"[\"x\"]"), binary: Vec::new() };
    check(Frames { emits: true, ..Frames::default() }, &Source::Emit(emit), None);
}

#[test]
fn notices_are_for_plain_sessions() {
    let notice = read_notice(&["a".into(), "b\"".into()]);
    check(Frames::default(), &notice, Some(r#"{"msg_type":"read","ids":["a","b\""]}"#));
    check(Frames::default(), &Source::Ready(Dialect::Engine4, vec![text("x")]), None);
}
