#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

fn t(text: &str) -> Payload {
    Payload::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn b(bytes: &[u8]) -> Payload {
    Payload::Binary(Bytes::copy_from_slice(bytes))
}

fn message(content: Payload) -> Packet {
    Packet { kind: Kind::Message, content }
}

#[track_caller]
fn both(version: Version, body: &[u8], base64: bool, whole: &[Payload]) {
    let encoded = encode_payload(version, whole.iter(), base64);
    let binary = matches!(encoded, Payload::Binary(_));
    let (Payload::Text(bytes) | Payload::Binary(bytes)) = encoded;
    assert_eq!(bytes, body);
    let expected: Vec<_> = whole.iter().map(|p| decode(version, p.clone()).unwrap()).collect();
    assert_eq!(decode_payload(version, &bytes, binary).unwrap(), expected);
}

#[test]
fn payloads_have_the_bytes_of_the_protocol() {
    both(Version::V4, b"4hello", false, &[t("4hello")]);
    both(Version::V4, b"4test1\x1e4test2\x1e4test3", false, &[t("4test1"), t("4test2"), t("4test3")]);
    both(Version::V4, b"4hello\x1ebAQIDBA==", false, &[t("4hello"), b(&[1, 2, 3, 4])]);
    both(Version::V3, b"6:4hello", false, &[t("4hello")]);
    both(Version::V3, b"6:4test16:4test26:4test3", false, &[t("4test1"), t("4test2"), t("4test3")]);
    both(Version::V3, b"6:4hello10:b4AQIDBA==", true, &[t("4hello"), b(&[4, 1, 2, 3, 4])]);
    let framed = [&[0, 6, 255][..], b"4hello", &[1, 5, 255, 4, 1, 2, 3, 4]].concat();
    both(Version::V3, &framed, false, &[t("4hello"), b(&[4, 1, 2, 3, 4])]);
    // Two UTF-16 units for the emoji, one for the Chinese character; where the client can take frames, bytes.
    both(Version::V3, "4:4小😀".as_bytes(), true, &[t("4小😀")]);
    both(Version::V3, &[&[0, 8, 255][..], "4小😀".as_bytes()].concat(), false, &[t("4小😀")]);
    both(Version::V3, "2:4小".as_bytes(), false, &[t("4小")]);
    let long = "4".repeat(123);
    both(
        Version::V3,
        &[&[0, 1, 2, 3, 255][..], long.as_bytes(), &[1, 1, 255, 4]].concat(),
        false,
        &[t(&long), b(&[4])],
    );
}

#[test]
fn lengths_in_characters_are_read_too() {
    let body = Bytes::from("3:4小😀1:2".to_owned());
    let packets = decode_payload(Version::V3, &body, false).unwrap();
    assert_eq!(packets, [message(t("小😀")), Packet { kind: Kind::Ping, content: t("") }]);
}

#[test]
fn packets_of_both_versions() {
    assert_eq!(decode(Version::V4, t("2probe")).unwrap(), Packet { kind: Kind::Ping, content: t("probe") });
    assert_eq!(decode(Version::V4, b(&[9])).unwrap(), message(b(&[9])));
    assert_eq!(decode(Version::V3, b(&[4, 9])).unwrap(), message(b(&[9])));
    assert_eq!(decode(Version::V3, t("b4CQ==")).unwrap(), message(b(&[9])));
    for (version, packet, at) in [
        (Version::V4, t("abc"), 0),
        (Version::V4, t("7"), 0),
        (Version::V4, t(""), 0),
        (Version::V4, t("b***"), 1),
        (Version::V3, b(&[]), 0),
        (Version::V3, b(&[7]), 0),
        (Version::V3, t("b"), 1),
        (Version::V3, t("b4*"), 2),
    ] {
        assert_eq!(decode(version, packet.clone()).unwrap_err().at, at, "{packet:?}");
    }
}

#[test]
fn malformed_payloads_say_where() {
    for (version, body, binary, at) in [
        (Version::V4, &b"abc"[..], false, 0),
        (Version::V4, b"", false, 0),
        (Version::V4, b"4a\x1e\x1e4b", false, 3),
        (Version::V4, b"4a\xff", false, 2),
        (Version::V3, b"abc", false, 0),
        (Version::V3, b"", false, 0),
        (Version::V3, b"0:", false, 0),
        (Version::V3, b"7:4hello", false, 8),
        (Version::V3, b"99999999999999999999:4", false, 0),
        (Version::V3, b"+1:4", false, 0),
        (Version::V3, &[0, 6, 255, b'4'], true, 4),
        (Version::V3, &[0, 6, 6], true, 0),
        (Version::V3, &[2, 1, 255, b'4'], true, 0),
        (Version::V3, &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255], true, 12),
        (Version::V3, &[], true, 0),
    ] {
        let error = decode_payload(version, &Bytes::copy_from_slice(body), binary).unwrap_err();
        assert_eq!(error.at, at, "{body:?}: {error}");
    }
    let many = Bytes::from("2\x1e".repeat(MAX_PACKETS) + "2");
    assert_eq!(decode_payload(Version::V4, &many, false).unwrap_err().what, "payload: too many packets");
}

fn packets(version: Version) -> impl Strategy<Value = Vec<Payload>> {
    let text = ("[1-6]", "[^\x1e]{0,20}").prop_map(|(kind, rest)| t(&(kind + &rest)));
    let bytes = proptest::collection::vec(any::<u8>(), 0..40).prop_map(move |bytes| binary(version, &bytes.into()));
    proptest::collection::vec(prop_oneof![text, bytes], 1..8)
}

proptest! {
    #[test]
    fn payloads_survive(v4 in packets(Version::V4), v3 in packets(Version::V3), base64: bool) {
        for (version, whole) in [(Version::V4, v4), (Version::V3, v3)] {
            let encoded = encode_payload(version, whole.iter(), base64);
            let framed = matches!(encoded, Payload::Binary(_));
            let (Payload::Text(bytes) | Payload::Binary(bytes)) = encoded;
            let expected: Vec<_> = whole.iter().map(|p| decode(version, p.clone()).unwrap()).collect();
            prop_assert_eq!(decode_payload(version, &bytes, framed).unwrap(), expected);
        }
    }

    #[test]
    fn hostile_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), binary: bool) {
        let body = Bytes::from(bytes);
        for version in [Version::V3, Version::V4] {
            if let Ok(packets) = decode_payload(version, &body, binary) {
                prop_assert!(packets.len() <= body.len());
            }
        }
    }

    #[test]
    fn hostile_text_ends_in_an_answer(text in "[0-9:b4=\u{1e}小😀]{0,60}") {
        let body = Bytes::from(text);
        for version in [Version::V3, Version::V4] {
            if let Ok(packets) = decode_payload(version, &body, false) {
                prop_assert!(!packets.is_empty());
            }
        }
    }
}
