//! What any codec's bytes become, and how callers look into it.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, iter};

use serde_json::{Map as JsonMap, Number, Value as Json};

/// One decoded value.
///
/// A PHP array whose keys are `0..n` in order is a [`Value::List`], any other a [`Value::Map`]. PHP has one empty array
/// for both, so the accessors treat an empty list as an empty map.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float; also an integer beyond `i64` of JSON and msgpack.
    Float(f64),
    /// Text or bytes; nobody promised UTF-8.
    Str(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Keys and values, in the order in which they were written. What `decode` returns has no key twice.
    Map(Vec<(Key, Value)>),
}

/// The key of a map. PHP turns the key `"3"` into `3`; so does the PHP reader. Other codecs keep what was written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// An integer key.
    Int(i64),
    /// A string key.
    Str(Vec<u8>),
}

impl Key {
    /// The key as text, U+FFFD for what is not UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Str(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The key that PHP makes of a string: [`Key::Int`] of `3` and `-3`, but not of `03`, `-0`, `+3` and what exceeds
    /// `i64`.
    pub(crate) fn normalised(bytes: &[u8]) -> Self {
        match php_integer(bytes) {
            Some(number) => Self::Int(number),
            None => Self::Str(bytes.to_vec()),
        }
    }

    fn is(&self, name: &str, number: Option<i64>) -> bool {
        match self {
            Self::Int(own) => Some(*own) == number,
            Self::Str(own) => own == name.as_bytes(),
        }
    }
}

/// The integer that PHP sees in a key's text.
fn php_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [b'0'] if bytes.len() == 1 => Some(0),
        // 19 digits are the most that fit; the parser decides about those.
        [b'1'..=b'9', ..] if digits.len() <= 19 => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl Value {
    /// The value of `key` in a map, or of index `key` in a list. The text of an integer finds an integer key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let number = php_integer(key.as_bytes());
        match self {
            Self::Map(entries) => entries.iter().find(|(own, _)| own.is(key, number)).map(|(_, value)| value),
            Self::List(values) => values.get(usize::try_from(number?).ok()?),
            _ => None,
        }
    }

    /// The value at the end of a way of keys, `user.devices.0.token`. The empty way is the value itself. A key that
    /// itself holds a dot cannot be reached so.
    pub fn path(&self, path: &str) -> Option<&Value> {
        if path.is_empty() {
            return Some(self);
        }
        path.split('.').try_fold(self, Value::get)
    }

    /// The entries of a map (none for an empty list), or `None` for anything else.
    pub fn entries(&self) -> Option<&[(Key, Value)]> {
        match self {
            Self::Map(entries) => Some(entries),
            Self::List(values) if values.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The values of a list or of a map, whose keys are ignored; nothing for anything else. For lists from PHP this is
    /// the way to read: an array that lost an element (keys 0, 2, 3) arrives as a map.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let (list, map) = match self {
            Self::List(values) => (values.as_slice(), &[][..]),
            Self::Map(entries) => (&[][..], entries.as_slice()),
            _ => (&[][..], &[][..]),
        };
        iter::chain(list, map.iter().map(|(_, value)| value))
    }

    /// Strings as they are (U+FFFD for what is not UTF-8), numbers in decimal, `true` and `false`; `None` for null and
    /// containers.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Str(bytes) => String::from_utf8_lossy(bytes),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Float(number) => Cow::Owned(number.to_string()),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Null | Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// Integers, strings that are a decimal integer, and whole floats up to 2^53 (32-bit PHP keeps milliseconds so);
    /// `None` for anything else.
    pub fn int(&self) -> Option<i64> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Int(number) => Some(*number),
            Self::Str(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            Self::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => Some(*number as i64),
            _ => None,
        }
    }

    /// What PHP takes for true, except that the text `false` (in any case) is not: so `1`, `"1"`, `true` and `"true"`
    /// are equal here, and null, `0`, `""`, `"0"`, empty containers and NaN are false.
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(own) => *own,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0 && !number.is_nan(),
            Self::Str(bytes) => !(bytes.is_empty() || bytes == b"0" || bytes.eq_ignore_ascii_case(b"false")),
            Self::List(values) => !values.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
        }
    }

    /// As JSON: U+FFFD for what is not UTF-8, null for infinities and NaN, keys as text (the last of equal ones wins).
    /// `serde_json` sorts the keys.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(own) => Json::Bool(*own),
            Self::Int(number) => Json::Number((*number).into()),
            Self::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Self::Str(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
            Self::List(values) => Json::Array(values.iter().map(Value::to_json).collect()),
            Self::Map(entries) => {
                let entry = |(key, value): &(Key, Value)| (key.text().into_owned(), value.to_json());
                Json::Object(entries.iter().map(entry).collect::<JsonMap<_, _>>())
            }
        }
    }

    /// From JSON. Integers beyond `i64` become floats; keys stay strings.
    pub fn from_json(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(own) => Self::Bool(own),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => number.as_f64().map_or(Self::Null, Self::Float),
            },
            Json::String(text) => Self::Str(text.into_bytes()),
            Json::Array(values) => Self::List(values.into_iter().map(Self::from_json).collect()),
            Json::Object(entries) => {
                let entry = |(key, value): (String, Json)| (Key::Str(key.into_bytes()), Self::from_json(value));
                Self::Map(entries.into_iter().map(entry).collect())
            }
        }
    }
}

// Derived, a string would print as a list of numbers.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bool(own) => write!(f, "{own}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Str(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::List(values) => f.debug_list().entries(values).finish(),
            Self::Map(entries) => f.debug_map().entries(entries.iter().map(|(key, value)| (key, value))).finish(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Str(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
        }
    }
}
