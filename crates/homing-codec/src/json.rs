//! JSON: `serde_json`'s parser into a [`Value`].
//!
//! Not by way of `serde_json::Value`, which sorts keys. Integers beyond `i64` become floats.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{Codec, Error, Key, MAX_DEPTH, Result, Value, repeats::last_wins};

/// Reads the one value in `bytes`, which [`crate::decode`] has measured.
pub(crate) fn read(bytes: &[u8]) -> Result<Value> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = Depth(0).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    value.map_err(|error| {
        let mut what = error.to_string();
        what.truncate(what.rfind(" at line ").unwrap_or(what.len()));
        Error { codec: Codec::Json, position: position(bytes, &error), what: what.into() }
    })
}

/// The offset that a line and a column mean. The column counts the bytes of the line up to and with the offending one,
/// which is the line feed itself if the column is 0.
fn position(bytes: &[u8], error: &serde_json::Error) -> usize {
    let feeds = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
    let line_start = match error.line() {
        0 | 1 => 0,
        line => feeds.map(|(at, _)| at + 1).nth(line - 2).unwrap_or(bytes.len()),
    };
    let place = if error.is_eof() { bytes.len() } else { (line_start + error.column()).saturating_sub(1) };
    // What is not UTF-8 is reported at the end of its string.
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    place.min(valid)
}

/// A value inside so many containers.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.0 >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self(self.0 + 1))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(value) = elements.next_element_seed(inner)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Vec::new();
        while let Some(key) = elements.next_key::<String>()? {
            map.push((Key::Str(key.into_bytes()), elements.next_value_seed(inner)?));
        }
        Ok(Value::Map(last_wins(map).0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn text(text: &str) -> Value {
        Value::from(text)
    }

    #[test]
    fn reads_values() {
        for (input, value) in [
            ("null", Value::Null),
            (" [true, false]\n", Value::List(vec![Value::Bool(true), Value::Bool(false)])),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            ("-9223372036854775809", Value::Float(-9_223_372_036_854_775_808.0)),
            ("99999999999999999999", Value::Float(1e20)),
            ("1735689600.123456", Value::Float(1_735_689_600.123_456)),
            (r#""\u00e4\ud83d\ude00\u0000""#, text("ä😀\0")),
            ("[]", Value::List(vec![])),
            ("{}", Value::Map(vec![])),
            // In order, and a numeric key stays a string.
            (r#"{"b":1,"3":2,"a":3}"#, map(&[("b", 1), ("3", 2), ("a", 3)])),
            (r#"{"a":1,"b":2,"a":3}"#, map(&[("a", 3), ("b", 2)])),
        ] {
            assert_eq!(decode(input.as_bytes(), Codec::Json), Ok(value), "{input}");
        }
    }

    fn map(entries: &[(&str, i64)]) -> Value {
        Value::Map(entries.iter().map(|(key, value)| (Key::from(*key), Value::Int(*value))).collect())
    }

    #[test]
    fn errors_have_byte_offsets() {
        for (input, position, what) in [
            (&b"nul"[..], 3, "EOF while parsing a value"),
            (b"x", 0, "expected value"),
            (b"[1 2]", 3, "expected `,` or `]`"),
            (b"[1,\n\n 2 x]", 8, "expected `,` or `]`"),
            (b"{\n \"a\": tru}", 11, "expected ident"),
            (b"{\"a\n\":1}", 3, "control character (\\u0000-\\u001F) found while parsing a string"),
            (b"{\"a\":1", 6, "EOF while parsing an object"),
            (b"[1]\n\n]", 5, "trailing characters"),
            (b"[1e400]", 5, "number out of range"),
            (b"[\"a\xffb\"]", 3, "invalid unicode code point"),
            (b"[\"\\ud800\"]", 8, "unexpected end of hex escape"),
            (b"\xef\xbb\xbf{}", 0, "expected value"),
        ] {
            let error = Error { codec: Codec::Json, position, what: what.into() };
            assert_eq!(decode(input, Codec::Json), Err(error), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"k\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(decode(nested(64).as_bytes(), Codec::Json).is_ok());
            for depth in [65, 1000] {
                let what = "nested deeper than 64".into();
                let error = Error { codec: Codec::Json, position: 64 * open.len(), what };
                assert_eq!(decode(nested(depth).as_bytes(), Codec::Json), Err(error));
            }
        }
    }
}
