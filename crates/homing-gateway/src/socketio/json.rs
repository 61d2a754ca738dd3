//! JSON that is looked at without being taken apart.

use serde::{
    Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// So deep may JSON of clients be.
pub(crate) const MAX_DEPTH: usize = 64;

/// An array: its first element and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array<'a> {
    /// The first element's text; empty where there is none.
    pub(crate) first: &'a str,
    /// The others, with the commas between them.
    pub(crate) rest: &'a str,
}

impl Array<'_> {
    /// The first element, if it is a text.
    pub(crate) fn name(&self) -> Option<String> {
        serde_json::from_str(self.first).ok()
    }
}

/// Reads an array; `None` = it is none, or no JSON, or nested too deeply.
pub(crate) fn array(text: &str) -> Option<Array<'_>> {
    if !text.starts_with('[') || too_deep(text) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let first = deserializer.deserialize_seq(First).ok()?;
    deserializer.end().ok()?;
    let Some(first) = first.map(RawValue::get) else { return Some(Array { first: "", rest: "" }) };
    // The element is a part of the text, so their addresses tell where it ends.
    let end = (first.as_ptr() as usize).checked_sub(text.as_ptr() as usize)? + first.len();
    let rest = text.get(end..)?.trim().strip_suffix(']')?;
    Some(Array { first, rest: rest.trim().strip_prefix(',').unwrap_or_default().trim() })
}

/// Is it a JSON object, and not nested too deeply?
pub(crate) fn is_object(text: &str) -> bool {
    text.starts_with('{') && !too_deep(text) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// A text as JSON.
pub(crate) fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A JSON array of one more element in front.
pub(crate) fn prepend(first: &str, rest: &str) -> String {
    let comma = if rest.is_empty() { "" } else { "," };
    format!("[{first}{comma}{rest}]")
}

fn too_deep(text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

struct First;

impl<'de> Visitor<'de> for First {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let first = elements.next_element()?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_apart_after_the_first_element() {
        for (text, first, rest) in [
            (r#"["a",1,{"b":[2]}]"#, r#""a""#, r#"1,{"b":[2]}"#),
            (r#" [1]"#, "-", "-"),
            ("[]", "", ""),
            ("[ \"x\" , 2 ] ", "\"x\"", "2"),
            ("[123456789012345678901234567890,1.10]", "123456789012345678901234567890", "1.10"),
        ] {
            let expected = (first != "-").then_some(Array { first, rest });
            assert_eq!(array(text), expected, "{text}");
        }
        for text in ["", "{}", "[", "[1,]", "[1]x", "[NaN]", "[\"\u{1}\"]", "[1] [2]"] {
            assert_eq!(array(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(array(&nested(MAX_DEPTH)).is_some());
        assert!(array(&nested(MAX_DEPTH + 1)).is_none());
        assert!(array(&nested(500_000)).is_none());
        assert!(array(&format!("[\"{}\\\"[\"]", "[".repeat(100))).is_some(), "brackets in a text do not count");
        assert!(is_object(r#"{"a":{"b":1}}"#) && !is_object("[]") && !is_object("{") && !is_object("{\"a\":1}x"));
    }
}
