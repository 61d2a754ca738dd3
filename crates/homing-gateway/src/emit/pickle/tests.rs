#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

fn load(bytes: &[u8]) -> Result<Value, String> {
    read(bytes, &Limits::default()).map_err(|rejected| rejected.to_string())
}

#[track_caller]
fn check(bytes: &[u8], expected: Value) {
    assert_eq!(load(bytes), Ok(expected), "{}", bytes.escape_ascii());
}

fn list(items: &[Value]) -> Value {
    Value::List(items.into())
}

#[test]
fn every_protocol_makes_the_same_values() {
    let one_two = list(&[Value::Int(1), Value::Int(2)]);
    check(b"(lp0\nI1\naI2\na.", one_two.clone());
    check(b"\x80\x02]q\x00(K\x01K\x02e.", one_two.clone());
    check(b"\x80\x04\x95\x09\0\0\0\0\0\0\0]\x94(K\x01K\x02e.", one_two.clone());
    check(b"(I1\nI2\nl.", one_two);
    check(b"\x80\x02\x88.", Value::Bool(true));
    check(b"I01\n.", Value::Bool(true));
    check(b"I00\n.", Value::Bool(false));
    check(b"L123456789012345678901L\n.", Value::Big("123456789012345678901".into()));
    check(b"\x80\x02\x8a\x02\x00\xff.", Value::Int(-256));
    check(b"\x80\x02\x8b\x01\0\0\0\xff.", Value::Int(-1));
    check(b"J\xff\xff\xff\xff.", Value::Int(-1));
    check(b"M\x01\x02.", Value::Int(513));
    check(b"F1.5\n.", Value::Float(1.5));
    check(b"G?\xb9\x99\x99\x99\x99\x99\x9a.", Value::Float(0.1));
    check(b"S'it\\'s'\n.", "it's".into());
    check(b"U\x02\xff\xfe.", Value::Bytes(bytes::Bytes::from_static(b"\xff\xfe")));
    check(b"T\x01\0\0\0a.", "a".into());
    check(b"V\\u4e09\n.", "三".into());
    check(b"\x80\x05\x96\x01\0\0\0\0\0\0\0a.", Value::Bytes(bytes::Bytes::from_static(b"a")));
    check(b"(I1\ntp0\n.", Value::Tuple([Value::Int(1)].into()));
}

#[test]
fn tuples_dicts_and_the_memo() {
    check(b").", Value::Tuple([].into()));
    check(b"N\x85.", Value::Tuple([Value::None].into()));
    check(b"NK\x01K\x02\x87.", Value::Tuple([Value::None, Value::Int(1), Value::Int(2)].into()));
    let dict = Value::Dict([("b".into(), Value::Int(2)), ("a".into(), Value::Int(1))].into());
    check(b"}(U\x01bK\x02U\x01aK\x01u.", dict.clone());
    check(b"(U\x01bK\x02U\x01aK\x01d.", dict);
    // The same list twice, and the text of a memo.
    check(b"]q\x05K\x07ah\x05\x86.", Value::Tuple([list(&[Value::Int(7)]), list(&[Value::Int(7)])].into()));
    // A list that grows after it was put somewhere.
    check(
        b"]q\0]q\x01h\0ah\0K\x07a\x86.",
        Value::Tuple([list(&[list(&[Value::Int(7)])]), list(&[Value::Int(7)])].into()),
    );
    // What stands below the top is ignored, and so is what follows.
    check(b"NK\x01.junk", Value::Int(1));
}

#[test]
fn the_last_of_equal_keys_counts() {
    let dict = load(b"}(U\x01aK\x01U\x01aK\x02u.").unwrap();
    assert_eq!(dict.get("a"), Some(&Value::Int(2)));
    assert_eq!(dict.get("b"), None);
}

#[test]
fn refusals_name_opcode_and_place() {
    for (bytes, why) in [
        (&b""[..], "pickle: at byte 0: it ends without STOP"),
        (b"hello", "pickle: opcode BINGET at byte 0: nothing was filed under 101"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "pickle: opcode STACK_GLOBAL at byte 17: not allowed"),
        (b"cos\nsystem\n.", "pickle: opcode GLOBAL at byte 0: not allowed"),
        (b"NR.", "pickle: opcode REDUCE at byte 1: not allowed"),
        (b"\xfe", "pickle: opcode 0xfe at byte 0: not allowed"),
        (b"\x80\x09.", "pickle: opcode PROTO at byte 0: protocol 9 is unknown"),
        (b"X\xff\xff\xff\xffab", "pickle: opcode BINUNICODE at byte 0: 4294967295 bytes are claimed, 2 are left"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 bytes are claimed"),
        (b"T\xff\xff\xff\xff.", "pickle: opcode BINSTRING at byte 0: a length is negative"),
        (b"S'x", "its line has no end"),
        (b".", "pickle: opcode STOP at byte 0: there is nothing on the stack"),
        (b"N(a.", "there is nothing on the stack"),
        (b"Ne.", "there is no mark on the stack"),
        (b"NNa.", "it appends to what is no list"),
        (b"](Nu.", "a key has no value"),
        (b"]NNs.", "it sets items of what is no dict"),
        (b"}]Ns.", "a key is a container"),
        (b"g1\n.", "nothing was filed under 1"),
        (b"gx\n.", "its line is no number of the memo"),
        (b"I1_0\n.", "its line is no decimal integer"),
        (b"]q\0h\0a.", "pickle: opcode STOP at byte 6: a container that contains itself"),
        (b"]q\0h\0\x85a.", "a container that contains itself"),
        (b"}q\0Nh\0s.", "a container that contains itself"),
    ] {
        let error = load(bytes).unwrap_err();
        assert!(error.contains(why), "{}: {error}", bytes.escape_ascii());
    }
}

#[test]
fn everything_is_bounded() {
    let nested = |depth: usize| [vec![b']'; depth], vec![b'a'; depth - 1], vec![b'.']].concat();
    load(&nested(64)).unwrap();
    assert!(load(&nested(65)).unwrap_err().contains("nested deeper than 64 levels"));
    assert!(load(&nested(100_000)).unwrap_err().contains("nested deeper than 64 levels"));
    assert!(load(&vec![b'N'; 300_000]).unwrap_err().contains("more than 200000 values"));
    assert!(load(&vec![b'('; 300_000]).unwrap_err().contains("more than 200000 values"));
    // Ten lists of ten lists of ten lists ...: few bytes, many values.
    let mut bomb = b"U\x01xq\0".to_vec();
    for level in 0..10_u8 {
        bomb.extend_from_slice(b"](");
        (0..10).for_each(|_| bomb.extend_from_slice(&[b'h', level]));
        bomb.extend_from_slice(&[b'e', b'q', level + 1]);
    }
    bomb.push(b'.');
    assert!(load(&bomb).unwrap_err().contains("more than 200000 values"));
    // One long text in many places.
    let mut long = [&b"X\x00\x00\x10\x00"[..], &vec![b'x'; 1 << 20], b"q\0]("].concat();
    (0..100).for_each(|_| long.extend_from_slice(b"h\0"));
    long.extend_from_slice(b"e.");
    assert!(load(&long).unwrap_err().contains("more than 16777216 bytes of text"));
    let longs = [&b"("[..], &[&b"\x8b\xe8\x03\0\0"[..], &[1; 1_000]].concat().repeat(1_100), b"l."].concat();
    assert!(load(&longs).unwrap_err().contains("opcode LONG4 at byte 1078366: too many long integers"));
    let error = read(b"NNNNNN.", &Limits { bytes: 3, ..Limits::default() }).unwrap_err();
    assert_eq!(error.to_string(), "pickle: at byte 3: 7 bytes are more than 3");
}

/// Bytes that are mostly opcodes, so that they get somewhere.
fn opcodes() -> impl Strategy<Value = Vec<u8>> {
    let common =
        prop::sample::select(b"(.NIJKMLGSTUVXl]aet)d}sugphq\x85\x86\x87\x88\x89\x8a\x8c\x94\x00\x01\x02\n'1".to_vec());
    prop::collection::vec(prop_oneof![4 => common, 1 => any::<u8>()], 0..200)
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_there_is_an_answer(bytes in opcodes()) {
        if let Ok(value) = read(&bytes, &Limits::default()) {
            // What was read has a form in JSON, or a reason.
            let (mut out, mut binary) = (String::new(), Vec::new());
            if crate::emit::json_text::write(&value, crate::emit::json_text::Rules::Python, &mut out, &mut binary).is_ok() {
                // Not as a `Value`: an integer may be longer than any float.
                prop_assert!(serde_json::from_str::<Box<serde_json::value::RawValue>>(&out).is_ok(), "{out}");
            }
        }
    }
}
