//! From the merged table to the program's own type. Keys that the type does not have are errors whether or not it says
//! `deny_unknown_fields`: a setting that is silently ignored is worse than one that is refused.

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StringDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_path_to_error::Segment;
use toml::{Table, Value, de::Error};

use super::{
    error::ConfigError,
    origin::{Origin, Origins, Path, position},
    secrets::SecretKeys,
    suggest::nearest,
};

/// Deserializes, or says what is wrong and where it was written.
pub(super) fn deserialize<T: DeserializeOwned>(
    table: &Table,
    origins: &Origins,
    secrets: &SecretKeys,
) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(Node::table(table, origins, &mut Path::new())).map_err(|error| {
        let path = path(error.path());
        explain(error.inner().message(), path, table, origins, secrets)
    })
}

fn path(path: &serde_path_to_error::Path) -> Path {
    let key = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(position(*index)),
        Segment::Map { key } | Segment::Enum { variant: key } => Some(key.clone()),
        Segment::Unknown => None,
    };
    path.iter().map_while(key).collect()
}

fn explain(message: &str, mut path: Path, table: &Table, origins: &Origins, secrets: &SecretKeys) -> ConfigError {
    // serde's sentences: unknown field `a`, expected `b` or `c`; ..., expected one of `b`, `c`; ..., there are no fields.
    let mut quoted = message.split('`').skip(1).step_by(2);
    let given = quoted.next().unwrap_or_default();
    if message.starts_with("unknown field `") {
        // Depending on who noticed, the path ends with the key or with its table.
        path.push(given.to_owned());
        if origins.get(&path).is_none() && path.iter().rev().nth(1).is_some_and(|key| key == given) {
            path.pop();
        }
        let known: Vec<&str> = quoted.collect();
        return origins.error_at(
            &path,
            match nearest(given, known.iter().copied()) {
                Some(meant) => format!("unknown key, did you mean {meant:?}?"),
                None if known.is_empty() => "unknown key, nothing can be set here".to_owned(),
                None => format!("unknown key, known here: {}", known.join(", ")),
            },
        );
    }
    if message.starts_with("missing field `") {
        return origins.error_at(&path, message);
    }
    let suggestion = match nearest(given, quoted) {
        Some(meant) if message.starts_with("unknown variant `") => format!(", did you mean {meant:?}?"),
        _ => String::new(),
    };
    let message = secrets.redact(message.to_owned(), table, &path);
    origins.error_at(&path, message + &suggestion)
}

/// A value on its way into a type. It differs from [`toml::Value`] in three points: a struct refuses unknown keys, keys may
/// be numbers (`[type.7]`), and a number from the environment is a text where the type wants one.
enum Node {
    Table(Vec<(String, Self)>),
    Array(Vec<Self>),
    Scalar { value: Value, text: Option<String> },
}

impl Node {
    fn new(value: &Value, origins: &Origins, path: &mut Path) -> Self {
        match value {
            Value::Table(table) => Self::table(table, origins, path),
            Value::Array(array) => Self::Array(array.iter().map(|element| Self::new(element, origins, path)).collect()),
            scalar => {
                let text = match origins.get(path) {
                    Some(Origin::Env { text, .. }) => text.clone(),
                    _ => None,
                };
                Self::Scalar { value: scalar.clone(), text }
            }
        }
    }

    fn table(table: &Table, origins: &Origins, path: &mut Path) -> Self {
        let child = |(key, value): (&String, _)| {
            path.push(key.clone());
            let node = Self::new(value, origins, path);
            path.pop();
            (key.clone(), node)
        };
        Self::Table(table.iter().map(child).collect())
    }

    fn map(table: Vec<(String, Self)>) -> MapDeserializer<'static, impl Iterator<Item = (Key, Self)>, Error> {
        MapDeserializer::new(table.into_iter().map(|(key, value)| (Key(key), value)))
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Table(table) => Self::map(table).deserialize_any(visitor),
            Self::Array(array) => SeqDeserializer::new(array.into_iter()).deserialize_any(visitor),
            Self::Scalar { value, .. } => value.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Scalar { text: Some(text), .. } => visitor.visit_string(text),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Table(table) => match table.iter().find(|(key, _)| !fields.contains(&key.as_str())) {
                Some((unknown, _)) => Err(Error::unknown_field(unknown, fields)),
                None => Self::map(table).deserialize_any(visitor),
            },
            Self::Array(_) => self.deserialize_any(visitor),
            Self::Scalar { value, .. } => value.deserialize_struct(name, fields, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Table(table) if table.len() == 1 => visitor.visit_enum(MapAccessDeserializer::new(Self::map(table))),
            Self::Table(_) => Err(Error::custom("wanted a table with exactly one key")),
            Self::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &"a name, or a table with exactly one key")),
            Self::Scalar { value, .. } => value.deserialize_enum(name, variants, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A key of a table, which TOML writes as a text even where the program counts.
struct Key(String);

macro_rules! numbers {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    numbers! {
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        StringDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Key {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
