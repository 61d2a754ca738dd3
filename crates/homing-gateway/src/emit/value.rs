//! A value as an emitter pickled or packed it: what JSON has, and bytes, exact integers and tuples besides.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};

/// A value. Containers are shared where the emitter's message shares them, so a clone costs nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    None,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer beyond 64 bits, in decimal digits.
    Big(Arc<str>),
    /// A float; it may be no number.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Bytes),
    /// A list.
    List(Arc<[Value]>),
    /// A tuple: several arguments where a list is one.
    Tuple(Arc<[Value]>),
    /// Keys and values in the order in which they were written; of a key that occurs twice the last one counts.
    Dict(Arc<[(Value, Value)]>),
}

impl Value {
    /// The value of a key of a dict; `None` if this is no dict or it has no such key.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Dict(pairs) = self else { return None };
        pairs.iter().rev().find(|(key, _)| key.text().is_some_and(|key| &**key == name)).map(|(_, value)| value)
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list or a tuple.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Big(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

/// From JSON; only for fields in which no number beyond 64 bits can be meant, since those lose digits here.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::Big(value.to_string().into()), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = map.next_entry::<Arc<str>, _>()? {
            pairs.push((Value::Str(key), value));
        }
        Ok(Value::Dict(pairs.into()))
    }
}
