use serde_json::json;

use super::*;

fn sample() -> Value {
    Value::Map(vec![
        ("id".into(), Value::Int(7)),
        (
            "devices".into(),
            Value::List(vec![
                Value::Map(vec![("token".into(), "t0".into())]),
                Value::Map(vec![("token".into(), "t1".into())]),
            ]),
        ),
        (3.into(), "three".into()),
        ("04".into(), "four".into()),
        ("".into(), "empty".into()),
    ])
}

#[test]
fn paths_lead_through_maps_and_lists() {
    for (path, found) in [
        ("id", Some("7")),
        ("devices.0.token", Some("t0")),
        ("devices.1.token", Some("t1")),
        ("devices.2.token", None),
        ("devices.-1.token", None),
        ("devices.01.token", None),
        ("devices.token", None),
        ("3", Some("three")),
        ("03", None),
        ("4", None),
        ("04", Some("four")),
        ("id.x", None),
        ("none", None),
    ] {
        assert_eq!(sample().path(path).and_then(Value::text).as_deref(), found, "{path}");
    }
    assert_eq!(sample().path(""), Some(&sample()));
    assert_eq!(sample().get(""), Some(&"empty".into()));
}

#[test]
fn an_empty_list_is_an_empty_map() {
    assert_eq!(Value::List(vec![]).entries(), Some(&[][..]));
    assert_eq!(Value::List(vec![]).get("a"), None);
    assert_eq!(Value::List(vec![Value::Null]).entries(), None);
    assert_eq!(sample().entries().map(<[_]>::len), Some(5));
    assert_eq!(Value::Int(1).entries(), None);
}

#[test]
fn values_ignore_keys() {
    let gap = Value::Map(vec![(0.into(), Value::Int(5)), (2.into(), Value::Int(6))]);
    let list = Value::List(vec![Value::Int(5), Value::Int(6)]);
    for value in [gap, list] {
        assert_eq!(value.values().filter_map(Value::int).collect::<Vec<_>>(), [5, 6]);
    }
    assert_eq!(Value::Int(1).values().count(), 0);
}

#[test]
fn scalars_convert() {
    let float = Value::Float;
    // value, text, int, truthy
    for (value, text, int, truthy) in [
        (Value::Null, None, None, false),
        (Value::Bool(true), Some("true"), None, true),
        (Value::Bool(false), Some("false"), None, false),
        (Value::Int(0), Some("0"), Some(0), false),
        (Value::Int(-5), Some("-5"), Some(-5), true),
        (float(0.0), Some("0"), Some(0), false),
        (float(0.5), Some("0.5"), None, true),
        (float(1_735_689_600_000.0), Some("1735689600000"), Some(1_735_689_600_000), true),
        (float(1e17), Some("100000000000000000"), None, true),
        (float(f64::NAN), Some("NaN"), None, false),
        (float(f64::INFINITY), Some("inf"), None, true),
        ("".into(), Some(""), None, false),
        ("0".into(), Some("0"), Some(0), false),
        ("00".into(), Some("00"), Some(0), true),
        ("42".into(), Some("42"), Some(42), true),
        ("-42".into(), Some("-42"), Some(-42), true),
        ("4 2".into(), Some("4 2"), None, true),
        ("False".into(), Some("False"), None, false),
        ("true".into(), Some("true"), None, true),
        (Value::Str(b"a\xffb".to_vec()), Some("a\u{fffd}b"), None, true),
        (Value::List(vec![]), None, None, false),
        (Value::List(vec![Value::Null]), None, None, true),
        (Value::Map(vec![]), None, None, false),
        (Value::Map(vec![(0.into(), Value::Null)]), None, None, true),
    ] {
        assert_eq!(value.text().as_deref(), text, "{value:?}");
        assert_eq!(value.int(), int, "{value:?}");
        assert_eq!(value.truthy(), truthy, "{value:?}");
    }
}

#[test]
fn php_makes_integers_of_some_keys() {
    for (text, number) in [
        ("0", Some(0)),
        ("3", Some(3)),
        ("-3", Some(-3)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("10000000000000000000", None),
        ("-0", None),
        ("00", None),
        ("03", None),
        ("+3", None),
        ("3 ", None),
        ("3.0", None),
        ("-", None),
        ("", None),
    ] {
        assert_eq!(Key::normalised(text.as_bytes()), number.map_or(Key::from(text), Key::Int), "{text}");
    }
}

#[test]
fn json_both_ways() {
    let value = Value::Map(vec![
        ("list".into(), Value::List(vec![Value::Null, Value::Bool(true), Value::Float(0.5)])),
        (3.into(), Value::Int(i64::MIN)),
        ("bad".into(), Value::Str(b"\xff".to_vec())),
        ("inf".into(), Value::Float(f64::INFINITY)),
    ]);
    let json = json!({"list": [null, true, 0.5], "3": i64::MIN, "bad": "\u{fffd}", "inf": null});
    assert_eq!(value.to_json(), json);
    assert_eq!(Value::from_json(json.clone()).to_json(), json);
    assert_eq!(Value::from_json(json!(u64::MAX)), Value::Float(u64::MAX as f64));
}

#[test]
fn debug_is_readable() {
    let value = Value::Map(vec![("a".into(), Value::List(vec![Value::Null, Value::Str(b"\xff\"".to_vec())]))]);
    assert_eq!(format!("{value:?}"), r#"{"a": [Null, "\xff\""]}"#);
}
