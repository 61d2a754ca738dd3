//! JSON that is passed on as it was written.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::bad::Bad;

/// Parses JSON; an error of Python's bare `NaN` and `Infinity` says so.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, Bad> {
    serde_json::from_slice(bytes).map_err(|error| {
        let line = bytes.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let from = line.get(error.column().saturating_sub(2)..).unwrap_or_default();
        let word = [&b"NaN"[..], b"Infinity", b"-Infinity"]
            .into_iter()
            .find(|word| from.starts_with(word) || from.get(1..).is_some_and(|from| from.starts_with(word)));
        match word {
            Some(word) => Bad::new(format!(
                "{what}: {} at line {} column {} is no JSON",
                word.escape_ascii(),
                error.line(),
                error.column()
            )),
            None => Bad::new(format!("{what}: {error}")),
        }
    })
}

/// Without white space outside of strings. The text is valid JSON.
pub(super) fn compact(text: &str) -> Cow<'_, str> {
    let space = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    if !text.bytes().any(space) {
        return text.into();
    }
    let (mut out, mut in_string, mut escaped) = (Vec::with_capacity(text.len()), false, false);
    for byte in text.bytes() {
        if in_string {
            out.push(byte);
            match (escaped, byte) {
                (true, _) => escaped = false,
                (false, b'\\') => escaped = true,
                (false, b'"') => in_string = false,
                _ => {}
            }
        } else if !space(byte) {
            in_string = byte == b'"';
            out.push(byte);
        }
    }
    // Only whole ASCII bytes were left out.
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether `text` is an array.
pub(super) fn is_array(text: &RawValue) -> bool {
    text.get().starts_with('[')
}

/// The elements of an array.
pub(super) fn elements(text: &RawValue) -> Result<Vec<&RawValue>, Bad> {
    parse(text.get().as_bytes(), "data")
}

/// Looks at each placeholder of `text` and checks that it names one of `attachments`. Refuses what is nested deeper than
/// the JSON reader's limit (128), so that nobody behind us needs to.
pub(super) fn check(text: &RawValue, attachments: usize) -> Result<(), Bad> {
    let mut reader = serde_json::Deserializer::from_str(text.get());
    Walk { attachments }.deserialize(&mut reader).map_err(|error| Bad::new(format!("data: {error}")))
}

#[derive(Clone, Copy)]
struct Walk {
    attachments: usize,
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! nothing {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<(), E> {
            Ok(())
        })*
    };
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    nothing!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut is_placeholder, mut number) = (false, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "_placeholder" if self.attachments > 0 => is_placeholder = map.next_value::<Flag>()?.0,
                "num" if self.attachments > 0 => number = map.next_value::<Number>()?.0,
                _ => map.next_value_seed(self)?,
            }
        }
        match number {
            Some(number) if is_placeholder && number >= self.attachments as u64 => Err(serde::de::Error::custom(
                format!("placeholder {number}, but there are {} attachments", self.attachments),
            )),
            None if is_placeholder => Err(serde::de::Error::custom("a placeholder without a number")),
            _ => Ok(()),
        }
    }
}

/// `true`, or anything else.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(text.get() == "true"))
    }
}

/// A number from 0, or anything else.
struct Number(Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(text.get().parse().ok()))
    }
}

/// Something that is there, even if it is null.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn white_space_goes_and_strings_stay() {
        for (text, short) in [
            (
                r#"{"a": [1, 2.50], "b c": "x \" , y\\", "d" : "三 三"}"#,
                r#"{"a":[1,2.50],"b c":"x \" , y\\","d":"三 三"}"#,
            ),
            ("[1]", "[1]"),
            ("\n[ ]\t", "[]"),
        ] {
            assert_eq!(compact(text), short);
        }
    }

    #[test]
    fn placeholders_name_attachments() {
        check(&raw(r#"[{"_placeholder":true,"num":1},{"_placeholder":false,"num":9},{"num":"x"}]"#), 2).unwrap();
        check(&raw(r#"{"_placeholder":true,"num":7}"#), 0).unwrap();
        let error = check(&raw(r#"[{"a":{"_placeholder":true,"num":2}}]"#), 2).unwrap_err().to_string();
        assert!(error.contains("placeholder 2, but there are 2 attachments"), "{error}");
        check(&raw(r#"{"_placeholder":true}"#), 1).unwrap_err();
        check(&raw(&("[".repeat(127) + &"]".repeat(127))), 0).unwrap();
        assert!(
            check(&raw(&("[".repeat(1_000) + &"]".repeat(1_000))), 0).unwrap_err().to_string().contains("recursion")
        );
    }

    #[test]
    fn not_a_number_is_named() {
        for text in ["{\"a\": NaN}", "{\"a\": Infinity}", "{\"a\": -Infinity}", "{\n\"a\": [1, NaN]}"] {
            let error = parse::<Box<RawValue>>(text.as_bytes(), "message").unwrap_err().to_string();
            assert!(error.contains("is no JSON"), "{error}");
        }
        let error = parse::<Box<RawValue>>(b"{\"a\": Nein}", "message").unwrap_err().to_string();
        assert!(error.starts_with("message: expected value at line 1"), "{error}");
    }
}
