use super::*;
use crate::{Error, decode};

fn list(values: &[i64]) -> Value {
    Value::List(values.iter().copied().map(Value::Int).collect())
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| (Key::from(*key), value.clone())).collect())
}

#[test]
fn reads_scalars() {
    let text = |text: &str| Value::from(text);
    for (input, value) in [
        (&b"N;"[..], Value::Null),
        (b"b:0;", Value::Bool(false)),
        (b"b:1;", Value::Bool(true)),
        (b"i:0;", Value::Int(0)),
        (b"i:+7;", Value::Int(7)),
        (b"i:9223372036854775807;", Value::Int(i64::MAX)),
        (b"i:-9223372036854775808;", Value::Int(i64::MIN)),
        (b"d:0.5;", Value::Float(0.5)),
        (b"d:0.10000000000000001;", Value::Float(0.1)),
        (b"d:1.0E+25;", Value::Float(1e25)),
        (b"d:1e+100;", Value::Float(1e100)),
        (b"d:-1.5e-7;", Value::Float(-1.5e-7)),
        (b"d:5;", Value::Float(5.0)),
        (b"d:.5;", Value::Float(0.5)),
        (b"d:5.;", Value::Float(5.0)),
        (b"d:INF;", Value::Float(f64::INFINITY)),
        (b"d:-INF;", Value::Float(f64::NEG_INFINITY)),
        (b"d:inf;", Value::Float(f64::INFINITY)),
        (b"d:-inf;", Value::Float(f64::NEG_INFINITY)),
        (b"s:0:\"\";", text("")),
        (b"s:6:\"\xe4\xbd\xa0\";\x00\";", Value::Str(b"\xe4\xbd\xa0\";\x00".to_vec())),
        (b"s:1:\"\xff\";", Value::Str(vec![0xff])),
        (b"E:11:\"Suit:Hearts\";", text("Suit:Hearts")),
    ] {
        assert_eq!(decode(input, Codec::Php), Ok(value), "{}", input.escape_ascii());
    }
    for nan in ["d:NAN;", "d:nan;"] {
        assert!(matches!(decode(nan.as_bytes(), Codec::Php), Ok(Value::Float(number)) if number.is_nan()));
    }
}

#[test]
fn reads_containers() {
    let class = |name: &str| ("__class", Value::from(name));
    for (input, value) in [
        ("a:0:{}", list(&[])),
        ("a:2:{i:0;i:5;i:1;i:6;}", list(&[5, 6])),
        ("a:2:{s:1:\"0\";i:5;s:1:\"1\";i:6;}", list(&[5, 6])),
        ("a:2:{i:1;i:5;i:0;i:6;}", Value::Map(vec![(1.into(), Value::Int(5)), (0.into(), Value::Int(6))])),
        (
            "a:3:{i:0;i:5;s:1:\"k\";i:6;s:2:\"03\";i:7;}",
            Value::Map(vec![(0.into(), Value::Int(5)), ("k".into(), Value::Int(6)), ("03".into(), Value::Int(7))]),
        ),
        ("a:2:{i:0;i:5;s:1:\"0\";i:6;}", list(&[6])),
        ("a:2:{s:1:\"k\";i:5;s:1:\"k\";i:6;}", map(&[("k", Value::Int(6))])),
        (
            "O:4:\"User\":3:{s:2:\"id\";i:7;s:10:\"\0User\0name\";s:1:\"x\";s:6:\"\0*\0age\";i:8;}",
            map(&[class("User"), ("id", Value::Int(7)), ("name", "x".into()), ("age", Value::Int(8))]),
        ),
        ("O:8:\"stdClass\":0:{}", map(&[class("stdClass")])),
        // An array keeps such a key as it is.
        ("a:1:{s:4:\"\0*\0a\";i:1;}", map(&[("\0*\0a", Value::Int(1))])),
        ("C:3:\"Old\":4:{a:};}", map(&[class("Old"), ("data", "a:};".into())])),
    ] {
        assert_eq!(decode(input.as_bytes(), Codec::Php), Ok(value), "{}", input.escape_debug());
    }
}

#[test]
fn references_are_copies() {
    for (input, value) in [
        // 1 is the array, 2 its first element.
        ("a:2:{i:0;i:5;i:1;R:2;}", list(&[5, 5])),
        ("a:2:{i:0;a:1:{i:0;i:5;}i:1;R:2;}", Value::List(vec![list(&[5]), list(&[5])])),
        // An R has no number, so value 3 is what follows it.
        ("a:4:{i:0;i:5;i:1;R:2;i:2;i:6;i:3;R:3;}", list(&[5, 5, 6, 6])),
        // An r has: 4 is what follows it, and 3 the object once more.
        (
            "a:5:{i:0;O:1:\"A\":0:{}i:1;r:2;i:2;i:6;i:3;R:4;i:4;r:3;}",
            Value::List(vec![
                map(&[("__class", "A".into())]),
                map(&[("__class", "A".into())]),
                Value::Int(6),
                Value::Int(6),
                map(&[("__class", "A".into())]),
            ]),
        ),
        // A copy of what holds a reference.
        (
            "a:3:{i:0;i:5;i:1;a:2:{i:0;R:2;i:1;i:6;}i:2;R:3;}",
            Value::List(vec![Value::Int(5), list(&[5, 6]), list(&[5, 6])]),
        ),
        // A number before C: data is certain.
        (
            "a:3:{i:0;i:5;i:1;C:1:\"C\":1:{x}i:2;R:2;}",
            Value::List(vec![Value::Int(5), map(&[("__class", "C".into()), ("data", "x".into())]), Value::Int(5)]),
        ),
    ] {
        assert_eq!(decode(input.as_bytes(), Codec::Php), Ok(value), "{input}");
    }
}

#[test]
fn errors_have_positions() {
    for (input, position, what) in [
        ("x", 0, "no PHP type is called 'x'"),
        ("a:1:{i:0;S:1:\"x\";}", 9, "no PHP type is called 'S'"),
        ("i:12345678901234 ;", 16, "expected ';' after an integer"),
        ("i:;", 2, "expected a digit"),
        ("i:-;", 3, "expected a digit"),
        ("i:9223372036854775808;", 2, "an integer beyond 64 bits"),
        ("i:-9223372036854775809;", 2, "an integer beyond 64 bits"),
        ("b:2;", 2, "expected 0 or 1"),
        ("b:11;", 3, "expected ';' after a boolean"),
        ("i5;", 1, "expected ':' after the type"),
        ("N:", 1, "expected ';' after N"),
        ("d:infinity;", 2, "expected a float"),
        ("d:;", 2, "expected a float"),
        ("d:1,5;", 2, "expected a float"),
        ("d:1.5", 5, "expected ';' after a float"),
        ("s:6:\"abc\";", 2, "a string of 6 bytes, but 5 are left"),
        ("s:5:\"abc\";", 10, "expected '\"' after the bytes"),
        ("s:2:\"abc\";", 7, "expected '\"' after the bytes"),
        ("s:9223372036854775807:\"abc\";", 2, "a string of 9223372036854775807 bytes, but 5 are left"),
        ("s:99999999999999999999:\"abc\";", 2, "an integer beyond 64 bits"),
        ("s:-1:\"\";", 2, "expected a digit"),
        ("s:+1:\"a\";", 2, "expected a digit"),
        ("s:1;", 3, "expected ':' after a length"),
        ("s:1:'a';", 4, "expected '\"' before the bytes"),
        ("s:1:\"a\"", 7, "expected ';' after a string"),
        ("a:1:{i:0;N;", 11, "expected '}' after the elements"),
        ("a:1:{i:0;}", 9, "no PHP type is called '}'"),
        ("a:2:{i:0;N;}", 11, "expected a key, an integer or a string"),
        ("a:1:{N;N;}", 5, "expected a key, an integer or a string"),
        ("a:1:{i:0N;}", 8, "expected ';' after a key"),
        ("a:999999999:{i:0;N;}", 2, "999999999 elements, but 7 bytes are left"),
        ("a:0;", 3, "expected ':' after a count"),
        ("a:0:;", 4, "expected '{' after a count"),
        ("O:9:\"A\":0:{}", 2, "a class name of 9 bytes, but 7 are left"),
        ("C:1:\"A\":9:{x}", 8, "data of 9 bytes, but 2 are left"),
        ("C:1:\"A\":1:{xx}", 12, "expected '}' after the data"),
        ("E:1:\"A\";", 2, "expected an enum case written as Class:Case"),
        ("N;N;", 2, "2 bytes follow the value"),
        ("a:1:{i:0;R:9;}", 9, "a reference to value 9 of 1"),
        ("a:1:{i:0;r:2;}", 9, "a reference to value 2 of 1"),
        ("a:1:{i:0;R:0;}", 9, "a reference to value 0 of 1"),
        ("a:1:{i:0;R:1;}", 9, "a reference to a value that holds this reference"),
        ("R:1;", 0, "a reference to value 1 of 0"),
        ("r:1;", 0, "a reference to value 1 of 0"),
        ("a:2:{i:0;C:1:\"C\":4:{i:5;}i:1;R:3;}", 29, "a reference to value 3 of 2"),
        (
            "a:3:{i:0;C:1:\"C\":4:{i:5;}i:1;i:6;i:2;R:3;}",
            37,
            "a reference to a value after C: data, which hides how many values it holds",
        ),
    ] {
        let error = Error { codec: Codec::Php, position, what: what.into() };
        assert_eq!(decode(input.as_bytes(), Codec::Php), Err(error), "{input}");
    }
}

#[test]
fn depth_is_bounded() {
    for open in ["a:1:{i:0;", "O:1:\"A\":1:{i:0;"] {
        let nested = |depth: usize| format!("{}N;{}", open.repeat(depth), "}".repeat(depth));
        assert!(decode(nested(64).as_bytes(), Codec::Php).is_ok());
        for depth in [65, 50_000] {
            let what = "nested deeper than 64".into();
            let error = Error { codec: Codec::Php, position: 64 * open.len(), what };
            assert_eq!(decode(nested(depth).as_bytes(), Codec::Php), Err(error));
        }
    }
}

/// Each array holds the one before twice: 2^n values in 20 n bytes.
#[test]
fn a_billion_laughs_is_an_error() {
    let mut input = String::from("a:41:{i:0;a:0:{}");
    // Value 2 is the first; each array takes one number, because an R has none.
    for level in 1..=40 {
        input += &format!("i:{level};a:2:{{i:0;R:{0};i:1;R:{0};}}", level + 1);
    }
    input += "}";
    let error = decode(input.as_bytes(), Codec::Php).unwrap_err();
    assert_eq!(error.what, "references that copy more than 1048576 bytes");
    assert!(error.position < input.len());
}

#[test]
fn one_large_string_is_not_copied_without_bound() {
    let mut input = format!("a:100:{{i:0;s:500000:\"{}\";", "x".repeat(500_000));
    (1..100).for_each(|index| input += &format!("i:{index};R:2;"));
    let error = decode((input + "}").as_bytes(), Codec::Php).unwrap_err();
    assert_eq!(error.what, "references that copy more than 1048576 bytes");
}

/// Were a reference to a reference followed step by step, this would need a stack of 100,000 frames.
#[test]
fn a_chain_of_references_is_one_step_long() {
    let mut input = String::from("a:60000:{i:0;N;");
    (1..60_000).for_each(|index| input += &format!("i:{index};r:{};", index + 1));
    let value = decode((input + "}").as_bytes(), Codec::Php).unwrap();
    assert_eq!(value, Value::List(vec![Value::Null; 60_000]));
}

#[test]
fn writes_what_php_writes() {
    let check = |value: Value, bytes: &str| assert_eq!(to_php(&value).escape_ascii().to_string(), bytes);
    check(Value::Null, "N;");
    check(Value::Bool(false), "b:0;");
    check(Value::Int(i64::MIN), "i:-9223372036854775808;");
    check(Value::Str(b"\xff\"".to_vec()), "s:2:\\\"\\xff\\\"\\\";");
    check(list(&[]), "a:0:{}");
    check(list(&[5, 6]), "a:2:{i:0;i:5;i:1;i:6;}");
    check(Value::Map(vec![(Key::Int(-3), Value::Null)]), "a:1:{i:-3;N;}");
    check(map(&[("3", Value::Null)]), "a:1:{s:1:\\\"3\\\";N;}");
    for (number, text) in [
        (0.1, "0.1"),
        (1.0, "1"),
        (-0.0, "-0"),
        (1.0 / 3.0, "0.3333333333333333"),
        (0.0001, "0.0001"),
        (0.00001, "1.0E-5"),
        (1.25e-10, "1.25E-10"),
        // Equally near to .2 and .3.
        (15_108_560_964_866_562.0 / 8.0, "1888570120608320.2"),
        (0.0, "0"),
        (1e16, "10000000000000000"),
        (12_345_678_901_234_568.0, "12345678901234568"),
        (1e17, "1.0E+17"),
        (-1.5e25, "-1.5E+25"),
        (f64::MAX, "1.7976931348623157E+308"),
        (5e-324, "5.0E-324"),
        (f64::INFINITY, "INF"),
        (f64::NEG_INFINITY, "-INF"),
        (f64::NAN, "NAN"),
    ] {
        check(Value::Float(number), &format!("d:{text};"));
    }
}
