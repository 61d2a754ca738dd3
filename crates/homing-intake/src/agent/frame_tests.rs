#![allow(clippy::unwrap_used, reason = "a test may panic")]
use rmpv::Value as Rmp;

use super::*;

const BOTH: &[Dialect] = &[Dialect::Framed, Dialect::Bare];

fn feed(frames: &mut Frames, bytes: &[u8]) -> Result<Vec<Frame>, Garbage> {
    frames.buffer.extend_from_slice(bytes);
    let mut all = Vec::new();
    while let Some(frame) = frames.next()? {
        all.push(frame);
    }
    Ok(all)
}

/// Every form of MessagePack, by an encoder that is not ours.
fn values() -> Vec<Vec<u8>> {
    let text = |n: usize| Rmp::from("x".repeat(n));
    let list = |n: usize| Rmp::Array(vec![Rmp::from(300); n]);
    let map = |n: usize| Rmp::Map((0..n).map(|i| (Rmp::from(i), Rmp::from("y"))).collect());
    let all = [
        Rmp::Nil,
        Rmp::from(true),
        Rmp::from(5),
        Rmp::from(-5),
        Rmp::from(200),
        Rmp::from(-200),
        Rmp::from(70_000),
        Rmp::from(-70_000),
        Rmp::from(u64::MAX),
        Rmp::from(i64::MIN),
        Rmp::F32(1.5),
        Rmp::F64(1.5),
        text(3),
        text(40),
        text(300),
        text(70_000),
        Rmp::Binary(vec![1; 3]),
        Rmp::Binary(vec![1; 300]),
        Rmp::Binary(vec![1; 70_000]),
        list(3),
        list(300),
        list(70_000),
        map(3),
        map(300),
        map(70_000),
        Rmp::Ext(1, vec![0; 1]),
        Rmp::Ext(1, vec![0; 2]),
        Rmp::Ext(1, vec![0; 3]),
        Rmp::Ext(1, vec![0; 4]),
        Rmp::Ext(1, vec![0; 8]),
        Rmp::Ext(1, vec![0; 16]),
        Rmp::Ext(1, vec![0; 300]),
        Rmp::Ext(1, vec![0; 70_000]),
    ];
    let packed = |value: &Rmp| {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, value).unwrap();
        bytes
    };
    all.iter().map(packed).collect()
}

#[test]
fn a_value_is_measured_whatever_its_form_and_portions() {
    for value in values() {
        assert!(Measure::is_one(&value), "{:02x?}", value.get(..8));
        let most = 1 << 20;
        // Byte by byte where it is short, else in a few goes.
        let step = value.len().div_ceil(50);
        let mut measure = Measure::default();
        for end in (0..value.len()).step_by(step) {
            assert_eq!(measure.go_on(&value[..end], most), Ok(None), "{:02x?} at {end}", value.get(..8));
        }
        let more = [value.as_slice(), b"\x93\x01"].concat();
        assert_eq!(measure.go_on(&more, most), Ok(Some(value.len())));
    }
}

#[test]
fn a_claim_that_cannot_be_true_is_refused_at_once() {
    for (bytes, at) in [
        (&b"\x93\x01\xdb\xff\xff\xff\xff"[..], 2),
        (b"\xdd\xff\xff\xff\xff", 0),
        (b"\xdf\xff\xff\xff\xff", 0),
        (b"\x93\x01\xc6\0\x0f\xff\xff", 2),
        (b"\x91\xc1", 1),
    ] {
        let (position, _) = Measure::default().go_on(bytes, 1_000).unwrap_err();
        assert_eq!(position, at, "{bytes:02x?}");
    }
}

#[test]
fn frames_come_out_of_any_portions() {
    let stream = b"\0\0\0\x0d\x93\x03\x91\xa2u1\x81\xa4type\x06\0\0\0\0\0\0\0\x04\x93\x01\x09\x80";
    for step in 1..=stream.len() {
        let mut frames = Frames::new(BOTH, 1 << 20);
        let all: Vec<Frame> = stream.chunks(step).flat_map(|part| feed(&mut frames, part).unwrap()).collect();
        let places: Vec<(u64, usize)> = all.iter().map(|frame| (frame.at, frame.bytes.len())).collect();
        assert_eq!(places, [(4, 13), (21, 0), (25, 4)], "in portions of {step}");
        assert!(!frames.is_partial());
        assert_eq!(frames.dialect, Some(Dialect::Framed));
    }
    let mut frames = Frames::new(BOTH, 1 << 20);
    assert_eq!(feed(&mut frames, &stream[..20]).unwrap().len(), 1);
    assert!(frames.is_partial(), "of the next frame's length there are three bytes");
}

#[test]
fn bare_values_come_out_of_any_portions() {
    let stream = b"\x93\x03\x91\xa2u1\x81\xa4type\x06\x93\x01\x09\x80";
    for step in 1..=stream.len() {
        let mut frames = Frames::new(BOTH, 1 << 20);
        let all: Vec<Frame> = stream.chunks(step).flat_map(|part| feed(&mut frames, part).unwrap()).collect();
        let places: Vec<(u64, usize)> = all.iter().map(|frame| (frame.at, frame.bytes.len())).collect();
        assert_eq!(places, [(0, 13), (13, 4)], "in portions of {step}");
        assert_eq!(frames.dialect, Some(Dialect::Bare));
    }
}

#[test]
fn garbage_has_a_place_and_a_reason() {
    let refused = |understood: &[Dialect], bytes: &[u8]| {
        let garbage = feed(&mut Frames::new(understood, 1_000), bytes).unwrap_err();
        (garbage.at, garbage.what)
    };
    assert_eq!(
        refused(BOTH, b"GET / HTTP/1.1"),
        (0, "the first byte is 0x47: neither a length below 16 MiB nor a msgpack container".to_owned())
    );
    assert_eq!(
        refused(BOTH, b"\0\0\0\x01\xc0\0\0\x03\xe9"),
        (5, "a frame of 1001 bytes, the most is 1000".to_owned()),
        "the position is that of its length"
    );
    assert_eq!(refused(&[Dialect::Framed], b"\x93"), (0, "the bare dialect is switched off".to_owned()));
    assert_eq!(refused(BOTH, b"\x91\x01\x91\xc1"), (3, "the byte 0xc1 begins no value".to_owned()));
}
