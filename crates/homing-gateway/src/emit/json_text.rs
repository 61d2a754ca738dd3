//! A [`Value`] as JSON text, with placeholders where there are bytes.
//!
//! What Python's `json.dumps` writes for the clients of the reference server, but for escapes and spaces: keys that are
//! numbers, booleans or None become text, floats look as in Python. What it refuses (keys that are tuples) or what is no
//! JSON (`NaN`) is refused. Values of Node are written as `JSON.stringify` does: what is no number becomes `null`.

use bytes::Bytes;

use super::{bad::Bad, value::Value};

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// `json.dumps`.
    Python,
    /// `JSON.stringify`.
    Node,
}

/// Appends `value` to `out` and its bytes, in order, to `binary`. Values of our readers are at most 64 levels deep (128 of
/// JSON), so the recursion is, too.
///
/// # Errors
/// It has no form in JSON.
pub fn write(value: &Value, rules: Rules, out: &mut String, binary: &mut Vec<Bytes>) -> Result<(), Bad> {
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Big(digits) => out.push_str(digits),
        Value::Float(value) => out.push_str(&number(*value, rules)?),
        Value::Str(text) => string(text, out),
        Value::Bytes(bytes) => {
            out.push_str(&format!(r#"{{"_placeholder":true,"num":{}}}"#, binary.len()));
            binary.push(bytes.clone());
        }
        Value::List(items) | Value::Tuple(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, rules, out, binary)?;
            }
            out.push(']');
        }
        Value::Dict(pairs) => {
            out.push('{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                string(&name(key, rules)?, out);
                out.push(':');
                write(value, rules, out, binary)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// The JSON text of a value without bytes.
///
/// # Errors
/// It has bytes, or no form in JSON.
pub fn plain(value: &Value, rules: Rules) -> Result<String, Bad> {
    let (mut out, mut binary) = (String::new(), Vec::new());
    write(value, rules, &mut out, &mut binary)?;
    if binary.is_empty() { Ok(out) } else { Err(Bad::new("bytes where only JSON may stand")) }
}

/// A JSON string.
pub fn string(text: &str, out: &mut String) {
    // A string has no way to fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn name(key: &Value, rules: Rules) -> Result<std::borrow::Cow<'_, str>, Bad> {
    Ok(match key {
        Value::Str(text) => (&**text).into(),
        Value::Int(number) => number.to_string().into(),
        Value::Big(digits) => (&**digits).into(),
        Value::Float(value) => number(*value, rules)?.into(),
        Value::Bool(value) => if *value { "true" } else { "false" }.into(),
        Value::None => "null".into(),
        other => return Err(Bad::new(format!("a key of a dict is {}, which JSON cannot have", other.kind()))),
    })
}

fn number(value: f64, rules: Rules) -> Result<String, Bad> {
    match (value.is_finite(), rules) {
        (true, _) => Ok(repr(value)),
        (false, Rules::Node) => Ok("null".to_owned()),
        (false, Rules::Python) => Err(Bad::new(format!("the float {value} is no JSON number"))),
    }
}

/// A finite float as Python writes it: the fewest digits that read back the same, with an exponent below -4 and from 16 on.
pub fn repr(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let text = value.to_string();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_python() {
        for (value, text) in [
            (0.1, "0.1"),
            (2.5, "2.5"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (5e-324, "5e-324"),
            (123_456_789.125, "123456789.125"),
        ] {
            assert_eq!(repr(value), text);
        }
    }

    #[test]
    fn keys_and_odd_floats_follow_the_emitters_language() {
        let dict = |key| Value::Dict([(key, Value::Int(1))].into());
        for (key, text) in [
            (Value::Int(-3), r#"{"-3":1}"#),
            (Value::Float(1e16), r#"{"1e+16":1}"#),
            (Value::Bool(true), r#"{"true":1}"#),
            (Value::None, r#"{"null":1}"#),
            ("a\"\u{1}小".into(), "{\"a\\\"\\u0001小\":1}"),
        ] {
            assert_eq!(plain(&dict(key), Rules::Python).unwrap(), text);
        }
        for key in [Value::Tuple([].into()), Value::Bytes(Bytes::new()), Value::Float(f64::NAN)] {
            plain(&dict(key), Rules::Python).unwrap_err();
        }
        let nan = Value::List([Value::Float(f64::NAN)].into());
        assert_eq!(plain(&nan, Rules::Python).unwrap_err().to_string(), "the float NaN is no JSON number");
        assert_eq!(plain(&nan, Rules::Node).unwrap(), "[null]");
    }
}
