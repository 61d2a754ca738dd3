#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

#[test]
fn packets_of_clients() {
    let packet = |kind, namespace, id, json| Packet { kind, attachments: 0, namespace, query: "", id, json };
    for (text, expected) in [
        ("0", packet(Kind::Connect, "/", None, "")),
        (r#"0{"token":"123"}"#, packet(Kind::Connect, "/", None, r#"{"token":"123"}"#)),
        ("0/custom,", packet(Kind::Connect, "/custom", None, "")),
        ("0/random", packet(Kind::Connect, "/random", None, "")),
        (r#"0/chat,{"a":1}"#, packet(Kind::Connect, "/chat", None, r#"{"a":1}"#)),
        ("0/chat?token=x,", Packet { query: "token=x", ..packet(Kind::Connect, "/chat", None, "") }),
        ("0/chat?token=x", Packet { query: "token=x", ..packet(Kind::Connect, "/chat", None, "") }),
        ("1", packet(Kind::Disconnect, "/", None, "")),
        ("1/chat,", packet(Kind::Disconnect, "/chat", None, "")),
        (r#"2["e",1]"#, packet(Kind::Event, "/", None, r#"["e",1]"#)),
        (r#"2[5]"#, packet(Kind::Event, "/", None, "[5]")),
        (r#"2/chat,7["e"]"#, packet(Kind::Event, "/chat", Some(7), r#"["e"]"#)),
        ("3456[]", packet(Kind::Ack, "/", Some(456), "[]")),
        (r#"52-["e"]"#, Packet { attachments: 2, ..packet(Kind::Event, "/", None, r#"["e"]"#) }),
        (r#"61-/chat,9[1]"#, Packet { attachments: 1, ..packet(Kind::Ack, "/chat", Some(9), "[1]") }),
        (r#"50-["e"]"#, packet(Kind::Event, "/", None, r#"["e"]"#)),
    ] {
        assert_eq!(Packet::parse(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_no_packet_is_refused_with_a_reason() {
    for (text, why) in [
        ("", "empty"),
        ("abc", "type"),
        ("小", "empty"),
        ("7", "type"),
        (r#"4{"message":"x"}"#, "type"),
        ("2{}", "array"),
        ("2", "array"),
        ("2[]", "name in front"),
        ("2[null]", "name in front"),
        ("2[\"e\"", "array"),
        (r#"2abc["e"]"#, "array"),
        (r#"2-1["e"]"#, "array"),
        (r#"299999999999999999999["e"]"#, "number"),
        (r#"2["connect"]"#, "reserved"),
        (r#"2["disconnect",1]"#, "reserved"),
        (r#"2["\u0063onnect"]"#, "reserved"),
        ("0[]", "object"),
        ("0{", "object"),
        ("07", "a connect with a number"),
        ("1[]", "behind it"),
        ("3[]", "without a number"),
        ("37{}", "no JSON array"),
        ("5[\"e\"]", "attachments"),
        ("5x-[\"e\"]", "attachments"),
        ("5-[\"e\"]", "attachments"),
        ("565-[\"e\"]", "too many"),
        ("51000000000-[\"e\"]", "attachments"),
        (r#"2["e",NaN]"#, "array"),
    ] {
        let error = Packet::parse(text).unwrap_err();
        assert!(error.0.contains(why), "{text}: {error}");
    }
    let long = format!("0/{}", "a".repeat(MAX_NAME));
    assert_eq!(Packet::parse(&long), Err(Malformed("its namespace is too long")));
}

#[test]
fn numbers_stay_as_they_were_written() {
    let text = r#"2["e",123456789012345678901234567890,1.10,-0]"#;
    assert_eq!(Some(Packet::parse(text).unwrap().json), text.strip_prefix('2'));
}

#[test]
fn attachments_are_bounded_in_bytes() {
    let mut assembly = Assembly::new(Bytes::new(), 2, 10);
    assert_eq!(assembly.add(Bytes::from_static(b"1234")), Ok(false));
    assert_eq!(assembly.add(Bytes::from_static(b"123456")), Ok(true));
    assert_eq!(assembly.add(Bytes::from_static(b"1")), Err(Malformed("its attachments are too large")));
}

#[test]
fn packets_of_the_server() {
    let text = |payload: &Payload| match payload {
        Payload::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        Payload::Binary(bytes) => format!("{bytes:?}"),
    };
    for (payload, expected) in [
        (connected(Version::V4, "/", "ab"), r#"40{"sid":"ab"}"#),
        (connected(Version::V4, "/chat", "ab"), r#"40/chat,{"sid":"ab"}"#),
        (connected(Version::V3, "/", "ab"), "40"),
        (connected(Version::V3, "/chat", "ab"), "40/chat"),
        (disconnected("/"), "41"),
        (disconnected("/chat"), "41/chat,"),
        (refused(Version::V4, "/random", "Invalid namespace", None), r#"44/random,{"message":"Invalid namespace"}"#),
        (refused(Version::V4, "/", "a \"b\"", Some("{}")), r#"44{"message":"a \"b\"","data":{}}"#),
        (refused(Version::V3, "/ns", "text", Some("{}")), r#"44/ns,"text""#),
    ] {
        assert_eq!(text(&payload), expected);
    }
    let bytes = [Bytes::from_static(&[1, 2])];
    let array = br#"["e",{"_placeholder":true,"num":0}]"#;
    let packets = event(Version::V3, "/chat", Some(7), array, &bytes);
    assert_eq!(text(&packets[0]), r#"451-/chat,7["e",{"_placeholder":true,"num":0}]"#);
    assert_eq!(packets[1], Payload::Binary(Bytes::from_static(&[4, 1, 2])));
    assert_eq!(event(Version::V4, "/", None, array, &bytes)[1], Payload::Binary(Bytes::from_static(&[1, 2])));
    assert_eq!(text(&ack(Version::V4, "/", 456, b"[1]", &[])[0]), "43456[1]");
    assert_eq!(text(&ack(Version::V4, "/", 789, b"[]", &bytes)[0]), "461-789[]");
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        namespace in prop_oneof![Just("/".to_owned()), "/[a-z小]{1,8}"],
        id in proptest::option::of(any::<u64>()),
        name in "[a-z\"小😀]{1,8}",
        number in any::<i64>(),
    ) {
        let array = format!("[{},{number}]", json::text(&format!("_{name}")));
        let packets = event(Version::V4, &namespace, id, array.as_bytes(), &[]);
        let Payload::Text(text) = &packets[0] else { panic!() };
        let packet = Packet::parse(std::str::from_utf8(&text[1..]).unwrap()).unwrap();
        prop_assert_eq!((packet.namespace, packet.id, packet.json), (namespace.as_str(), id, array.as_str()));
    }

    #[test]
    fn hostile_text_ends_in_an_answer(text in "[0-6]?[0-9]{0,2}-?(/[a-z?]{0,3},?)?[0-9]{0,25}[\\[\\]{}\",:a0小]{0,20}") {
        if let Ok(packet) = Packet::parse(&text) {
            prop_assert!(packet.attachments <= MAX_ATTACHMENTS);
            prop_assert!(packet.json.is_empty() || json::array(packet.json).is_some() || json::is_object(packet.json));
        }
    }

    #[test]
    fn any_text_ends_in_an_answer(text in "\\PC{0,60}") {
        if let Ok(packet) = Packet::parse(&text) {
            prop_assert!(text.starts_with(['0', '1', '2', '3', '5', '6']), "{:?}", packet);
        }
    }
}
