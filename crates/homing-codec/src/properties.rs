//! What holds for every value and for all bytes.

use proptest::{collection::vec, prelude::*};

use crate::{Codec, Key, Value, decode, repeats::last_wins, to_msgpack, to_php};

const CODECS: [Codec; 4] = [Codec::Auto, Codec::Php, Codec::Json, Codec::Msgpack];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "\\PC{0,20}".prop_map(String::into_bytes),
        "-?[0-9]{1,3}".prop_map(String::into_bytes)
    ]
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![(-3..5_i64).prop_map(Key::Int), any::<i64>().prop_map(Key::Int), bytes().prop_map(Key::Str)]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-200..200_i64).prop_map(Value::Int),
        proptest::num::f64::ANY.prop_map(Value::Float),
        bytes().prop_map(Value::Str),
    ];
    leaf.prop_recursive(6, 60, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::List),
            vec((key(), inner), 0..20).prop_map(|entries| Value::Map(last_wins(entries).0)),
        ]
    })
}

/// Equal to the bit, so that NaN is itself and the zeros differ.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        (a, b) => a == b,
    }
}

/// What PHP makes of a value: it has one kind of array, and integers for keys that look like one.
fn as_php(value: &Value) -> Value {
    match value {
        Value::List(values) => Value::List(values.iter().map(as_php).collect()),
        Value::Map(entries) => {
            let key = |key: &Key| match key {
                Key::Str(bytes) => Key::normalised(bytes),
                Key::Int(_) => key.clone(),
            };
            let (entries, _) = last_wins(entries.iter().map(|(k, value)| (key(k), as_php(value))).collect());
            if entries.iter().enumerate().all(|(index, (key, _))| *key == Key::Int(index as i64)) {
                return Value::List(entries.into_iter().map(|(_, value)| value).collect());
            }
            Value::Map(entries)
        }
        other => other.clone(),
    }
}

/// Inputs that are almost right go deeper than noise.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = vec(
        (
            any::<prop::sample::Index>(),
            prop_oneof![any::<u8>(), prop::sample::select(b"aOsidbNCERr:;{}\"0129-".to_vec())],
        ),
        1..4,
    );
    (value(), 0..3, damage).prop_map(|(value, codec, damage)| {
        let mut bytes = match codec {
            0 => to_php(&value),
            1 => to_msgpack(&value),
            _ => serde_json::to_vec(&value.to_json()).unwrap(),
        };
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn php_round_trip(value in value()) {
        let bytes = to_php(&value);
        let read = decode(&bytes, Codec::Php).unwrap();
        prop_assert!(same(&read, &as_php(&value)), "{read:?}\n{value:?}");
        prop_assert!(same(&decode(&to_php(&read), Codec::Auto).unwrap(), &read));
    }

    #[test]
    fn msgpack_round_trip(value in value()) {
        let read = decode(&to_msgpack(&value), Codec::Msgpack).unwrap();
        prop_assert!(same(&read, &value), "{read:?}\n{value:?}");
    }

    #[test]
    fn json_round_trip(value in value()) {
        let json = value.to_json();
        let read = decode(&serde_json::to_vec(&json).unwrap(), Codec::Json).unwrap();
        prop_assert!(same(&read, &Value::from_json(json)), "{read:?}\n{value:?}");
    }

    #[test]
    fn truncation_is_an_error(value in vec(value(), 0..5).prop_map(Value::List)) {
        let json = serde_json::to_vec(&value.to_json()).unwrap();
        for (codec, bytes) in [(Codec::Php, to_php(&value)), (Codec::Msgpack, to_msgpack(&value)), (Codec::Json, json)] {
            for end in 0..bytes.len() {
                let error = decode(&bytes[..end], codec).unwrap_err();
                prop_assert!(error.position <= end, "{error}");
            }
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error_within_them(bytes in prop_oneof![vec(any::<u8>(), 0..200), damaged()]) {
        for codec in CODECS {
            if let Err(error) = decode(&bytes, codec) {
                prop_assert!(error.position <= bytes.len(), "{error}");
            }
        }
    }

    #[test]
    fn accessors_take_any_value(value in value(), path in "[a-z0-9.-]{0,8}") {
        let _: (Option<&Value>, usize) = (value.path(&path), value.values().count());
        prop_assert_eq!(value.entries().is_some_and(|entries| !entries.is_empty()), matches!(&value, Value::Map(map) if !map.is_empty()));
    }
}
