//! JSON that is looked at without being decoded.

use std::{borrow::Cow, sync::Arc};

use homing_core::live::MAX_NAME;
use serde_json::value::RawValue;

/// Deeper JSON is refused: clients decode it with whatever they have.
pub(crate) const MAX_DEPTH: usize = 64;

/// Does it nest no deeper than [`MAX_DEPTH`]? Of text that is no JSON the answer means nothing.
pub(crate) fn is_flat(text: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// A text, or a whole number as its own text: producers write users' ids either way. `None` = something else.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    if json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    let digits = json.strip_prefix('-').unwrap_or(json);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(Cow::Borrowed(json))
}

/// A name of a user or group: 1 to [`MAX_NAME`] bytes without control characters.
pub(crate) fn name(raw: &RawValue) -> Result<Arc<str>, &'static str> {
    let name = text(raw).ok_or("expected text or a whole number")?;
    check_name(&name)?;
    Ok(name.into())
}

/// See [`name`].
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("must not be empty"),
        name if name.len() > MAX_NAME => Err("must have at most 256 bytes"),
        name if name.chars().any(char::is_control) => Err("must hold no control characters"),
        _ => Ok(()),
    }
}

/// JSON `null`.
pub(crate) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_flat(nested(MAX_DEPTH).as_bytes()));
        assert!(!is_flat(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(is_flat(format!("[\"{}\\\"{}\"]", "[".repeat(100), "{".repeat(100)).as_bytes()));
        assert!(is_flat("[{}],".repeat(1_000).as_bytes()));
    }

    #[test]
    fn a_name_is_text_or_a_whole_number() {
        for (json, expected) in [
            ("\"42\"", Ok("42")),
            ("42", Ok("42")),
            ("-7", Ok("-7")),
            ("123456789012345678901234567890", Ok("123456789012345678901234567890")),
            ("\"\\u5c0f\"", Ok("小")),
            ("4.0", Err("expected text or a whole number")),
            ("1e3", Err("expected text or a whole number")),
            ("true", Err("expected text or a whole number")),
            ("null", Err("expected text or a whole number")),
            ("[1]", Err("expected text or a whole number")),
            ("\"\"", Err("must not be empty")),
            ("\"a\\n\"", Err("must hold no control characters")),
        ] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            assert_eq!(name(&raw).as_deref(), expected.as_ref().map(|e| *e), "{json}");
        }
        let long = RawValue::from_string(format!("\"{}\"", "x".repeat(257))).unwrap();
        assert_eq!(name(&long), Err("must have at most 256 bytes"));
    }
}
