#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn lengths_are_written_in_their_shortest_form() {
    for (length, header) in [
        (0, vec![0x81, 0]),
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (65_535, vec![0x81, 126, 0xff, 0xff]),
        (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let body = Bytes::from(vec![b'x'; length]);
        let frames = wire(&[Payload::Text(body.clone()), Payload::Binary(Bytes::from_static(b"b"))]);
        let mut wanted = header;
        wanted.extend_from_slice(&body);
        wanted.extend_from_slice(&[0x82, 1, b'b']);
        assert!(frames == wanted, "{length}");
    }
}

#[test]
fn a_close_frame_holds_whole_characters() {
    assert_eq!(close(&Close::new(1000, "bye")), &b"\x88\x05\x03\xe8bye"[..]);
    assert_eq!(close(&Close::new(1005, "not sent")), &b"\x88\x00"[..]);
    let long = close(&Close::new(4001, "ä".repeat(100)));
    assert_eq!(long.len(), 2 + 2 + 122, "61 characters of two bytes");
    assert!(std::str::from_utf8(&long[4..]).is_ok());
}

#[test]
fn what_gains_nothing_is_not_compressed() {
    let mut compress = deflate::compressor();
    let long = Payload::Text(Bytes::from("abc".repeat(1_000)));
    let short = Payload::Text(Bytes::from_static(b"abcabcabcabcabc"));
    let frames = deflated(&mut compress, &[long, short], 100);
    assert_eq!(frames[0], 0xc1);
    assert!(frames.len() < 200, "{}", frames.len());
    assert!(frames.ends_with(b"\x81\x0fabcabcabcabcabc"));
}
