use super::*;
use crate::{Error, decode};

#[test]
fn reads_every_form() {
    let text = |text: &str| Value::from(text);
    let list = |values: &[i64]| Value::List(values.iter().copied().map(Value::Int).collect());
    for (input, value) in [
        (&b"\x00"[..], Value::Int(0)),
        (b"\x7f", Value::Int(127)),
        (b"\xff", Value::Int(-1)),
        (b"\xe0", Value::Int(-32)),
        (b"\xc0", Value::Null),
        (b"\xc2", Value::Bool(false)),
        (b"\xc3", Value::Bool(true)),
        (b"\xcc\xff", Value::Int(255)),
        (b"\xcd\xff\xff", Value::Int(65_535)),
        (b"\xce\xff\xff\xff\xff", Value::Int(4_294_967_295)),
        (b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", Value::Int(i64::MAX)),
        (b"\xcf\x80\0\0\0\0\0\0\0", Value::Float(9_223_372_036_854_775_808.0)),
        (b"\xd0\x80", Value::Int(-128)),
        (b"\xd1\x80\0", Value::Int(-32_768)),
        (b"\xd2\x80\0\0\0", Value::Int(i32::MIN.into())),
        (b"\xd3\x80\0\0\0\0\0\0\0", Value::Int(i64::MIN)),
        (b"\xca\x3f\0\0\0", Value::Float(0.5)),
        (b"\xcb\x3f\xe0\0\0\0\0\0\0", Value::Float(0.5)),
        (b"\xa1a", text("a")),
        (b"\xd9\x01a", text("a")),
        (b"\xda\0\x01a", text("a")),
        (b"\xdb\0\0\0\x01a", text("a")),
        (b"\xc4\x01a", text("a")),
        (b"\xc5\0\x01a", text("a")),
        (b"\xc6\0\0\0\x01a", text("a")),
        // A Python 2 string.
        (b"\xa2\xff\xfe", Value::Str(b"\xff\xfe".to_vec())),
        (b"\x92\x01\x02", list(&[1, 2])),
        (b"\xdc\0\x01\x01", list(&[1])),
        (b"\xdd\0\0\0\x01\x01", list(&[1])),
        (b"\x80", Value::Map(vec![])),
        (b"\x82\xa1a\x01\x03\x02", Value::Map(vec![("a".into(), Value::Int(1)), (3.into(), Value::Int(2))])),
        (b"\xde\0\x01\xa13\x01", Value::Map(vec![("3".into(), Value::Int(1))])),
        (b"\xdf\0\0\0\x01\xc4\x01a\x01", Value::Map(vec![("a".into(), Value::Int(1))])),
        (b"\x82\xa1a\x01\xa1a\x02", Value::Map(vec![("a".into(), Value::Int(2))])),
    ] {
        assert_eq!(decode(input, Codec::Msgpack), Ok(value), "{}", input.escape_ascii());
    }
}

#[test]
fn errors_have_positions() {
    for (input, position, what) in [
        (&b"\x91\xc1"[..], 1, "the byte 0xc1 begins no value"),
        (b"\x92\x01", 0, "an array of 2 elements, but 1 bytes are left"),
        (b"\xdd\xff\xff\xff\xff\x01", 0, "an array of 4294967295 elements, but 1 bytes are left"),
        (b"\xdf\xff\xff\xff\xff\x01\x01", 0, "a map of 4294967295 elements, but 2 bytes are left"),
        (b"\x91\xdb\xff\xff\xff\xffab", 1, "a string of 4294967295 bytes, but 2 are left"),
        (b"\x91\xd3\0\0", 2, "expected a number of 8 bytes"),
        (b"\x91\xd6\xff\0\0\0\0", 1, "an extension type, which no value is made of"),
        (b"\xc7\x01\x01\x01", 0, "an extension type, which no value is made of"),
        (b"\x81\xc0\x01", 1, "expected a key, an integer of 64 bits or a string"),
        (b"\x81\x90\x01", 1, "expected a key, an integer of 64 bits or a string"),
        (b"\x81\xcf\xff\0\0\0\0\0\0\0\x01", 1, "expected a key, an integer of 64 bits or a string"),
        (b"\x81\xa1a", 3, "expected a value"),
        (b"\x81\x01", 0, "a map of 1 elements, but 1 bytes are left"),
        (b"\x82\xa1a\x91\x05\xa1", 5, "a string of 1 bytes, but 0 are left"),
        (b"\x01\x01", 1, "1 byte follows the value"),
        (b"\x01\x01\x01", 1, "2 bytes follow the value"),
    ] {
        let error = Error { codec: Codec::Msgpack, position, what: what.into() };
        assert_eq!(decode(input, Codec::Msgpack), Err(error), "{}", input.escape_ascii());
    }
}

#[test]
fn depth_is_bounded() {
    for open in [&b"\x91"[..], b"\x81\xa1k"] {
        let nested = |depth: usize| [open.repeat(depth), vec![1]].concat();
        assert!(decode(&nested(64), Codec::Msgpack).is_ok());
        for depth in [65, 100_000] {
            let what = "nested deeper than 64".into();
            let error = Error { codec: Codec::Msgpack, position: 64 * open.len(), what };
            assert_eq!(decode(&nested(depth), Codec::Msgpack), Err(error));
        }
    }
}

#[test]
fn rmpv_reads_the_same_from_what_is_written() {
    let lengths = [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536];
    let numbers = [0, 31, 32, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 1 << 31, (1 << 32) - 1, 1 << 32];
    let mut values =
        vec![Value::Null, Value::Bool(true), Value::Float(-0.1), Value::Int(i64::MAX), Value::Int(i64::MIN)];
    values.extend(numbers.iter().flat_map(|&n: &i64| [Value::Int(n), Value::Int(-n), Value::Int(-n - 1)]));
    values.extend(lengths.iter().map(|&n| Value::Str(vec![b'x'; n])));
    values.extend(lengths.iter().map(|&n| Value::Str(vec![0xff; n])));
    values.extend(lengths.iter().map(|&n| Value::List(vec![Value::Null; n])));
    values.extend(lengths.iter().map(|&n| Value::Map((0..n as i64).map(|key| (Key::Int(key), Value::Null)).collect())));
    for value in values {
        let bytes = to_msgpack(&value);
        let rmpv = rmpv::decode::read_value(&mut bytes.as_slice()).unwrap();
        let mut shortest = Vec::new();
        rmpv::encode::write_value(&mut shortest, &rmpv).unwrap();
        // Not assert_eq, which would print 65,536 elements.
        let head = bytes.get(..9).unwrap_or(&bytes);
        assert!(bytes == shortest, "{}", head.escape_ascii());
        assert!(decode(&bytes, Codec::Msgpack) == Ok(value), "{}", head.escape_ascii());
    }
}
