//! Texts that hold more than a text: JSON, or PHP `serialize`.
//!
//! ```text
//! decode = "php"                                      value = the whole, if it is a text or a number
//! decode = "php", path = "settings.push_status"       value = what is there
//! decode = "json", path = "devices",
//!   fields = { token = "token", app = "app.name" }    a row per device; without `path`, of the whole
//! ```

use homing_codec::{Codec, Value, decode};
use homing_core::lookup::Row;

use crate::config::{Decode, Fields, LookupConfig, RedisType};

/// The column of a lookup that has but one.
pub(crate) const VALUE: &str = "value";

/// The step from bytes to rows.
#[derive(Debug)]
pub(crate) struct Decoder {
    codec: Codec,
    path: String,
    /// Our column and the way to it; none: the column `value`.
    columns: Vec<(String, String)>,
}

// === impl Decoder ===

impl Decoder {
    /// The decode step of a lookup, if it has one; key and reason if what is said of it does not fit.
    pub(crate) fn new(config: &LookupConfig) -> Result<Option<Self>, (&'static str, &'static str)> {
        let json = config.kind == Some(RedisType::Json);
        let how = match config.decode {
            Some(Decode::Php) if json => return Err(("decode", "is php, and the type is json; say type = \"string\"")),
            Some(how) => how,
            None if json => Decode::Json,
            None if config.path.is_some() => return Err(("path", "needs decode = \"json\" or \"php\"")),
            None => return Ok(None),
        };
        match config.kind {
            Some(RedisType::String | RedisType::Json) if config.field.is_some() => {
                return Err(("field", "is for type hash; write `path` or `fields`"));
            }
            Some(RedisType::String | RedisType::Json) => {}
            Some(RedisType::Hash) if config.field.is_some() => {}
            Some(RedisType::Hash) => return Err(("field", "is missing: the field that is decoded")),
            _ => return Err(("decode", "is for type string, json and hash")),
        }
        let columns: Vec<(String, String)> = match &config.fields {
            None => Vec::new(),
            Some(Fields::List(list)) => list.iter().map(|field| (field.clone(), field.clone())).collect(),
            Some(Fields::Table(table)) => table.clone().into_iter().collect(),
        };
        let codec = match how {
            Decode::Json => Codec::Json,
            Decode::Php => Codec::Php,
        };
        Ok(Some(Self { codec, path: config.path.clone().unwrap_or_default(), columns }))
    }

    /// The columns that rows can have.
    pub(crate) fn columns(&self) -> Vec<String> {
        if self.columns.is_empty() {
            return vec![VALUE.to_owned()];
        }
        self.columns.iter().map(|(column, _)| column.clone()).collect()
    }

    /// The rows in some bytes: one per element of a list, none where nothing is; the reason if they cannot be read.
    pub(crate) fn rows(&self, bytes: &[u8]) -> Result<Vec<Row>, String> {
        let whole = decode(bytes, self.codec).map_err(|error| error.to_string())?;
        let Some(node) = whole.path(&self.path) else { return Ok(Vec::new()) };
        let elements: Vec<&Value> = match node {
            Value::List(values) => values.iter().collect(),
            other => vec![other],
        };
        Ok(elements.into_iter().map(|element| self.row(element)).filter(|row| !row.is_empty()).collect())
    }

    fn row(&self, element: &Value) -> Row {
        if self.columns.is_empty() {
            return text(element).map(|text| (VALUE.to_owned(), text)).into_iter().collect();
        }
        let cell = |(column, path): &(String, String)| Some((column.clone(), text(element.path(path)?)?));
        self.columns.iter().filter_map(cell).collect()
    }
}

/// Null is absent; what is no text is JSON.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::List(_) | Value::Map(_) => Some(value.to_json().to_string()),
        other => other.text().map(std::borrow::Cow::into_owned),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn decoder(toml: &str) -> Result<Option<Decoder>, (&'static str, &'static str)> {
        Decoder::new(&toml::from_str(&format!("store = 's'\n{toml}")).unwrap())
    }

    #[track_caller]
    fn check(toml: &str, bytes: &str, expected: &[&[(&str, &str)]]) {
        let rows = decoder(toml).unwrap().unwrap().rows(bytes.as_bytes()).unwrap();
        let row = |row: &&[(&str, &str)]| row.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(rows, expected.iter().map(row).collect::<Vec<Row>>(), "{toml}");
    }

    #[test]
    fn a_blob_becomes_rows() {
        let php = r#"a:2:{s:11:"push_status";i:1;s:4:"nick";s:3:"ann";}"#;
        check("type = 'string'\ndecode = 'php'\npath = 'push_status'", php, &[&[("value", "1")]]);
        check("type = 'string'\ndecode = 'php'\nfields = { push = 'push_status', x = 'y' }", php, &[&[("push", "1")]]);
        check("type = 'string'\ndecode = 'php'", "b:1;", &[&[("value", "true")]]);
        check("type = 'json'\npath = 'a.b'", r#"{"a":{"b":"x"}}"#, &[&[("value", "x")]]);
        check("type = 'json'\npath = 'a.c'", r#"{"a":{"b":"x"}}"#, &[]);
        check("type = 'json'\npath = 'a'", r#"{"a":null}"#, &[]);
        check("type = 'json'", r#"{"a":1}"#, &[&[("value", r#"{"a":1}"#)]]);
        let devices = r#"{"devices":[{"token":"t1","app":{"name":"higo"}},{"token":"t2"}]}"#;
        check(
            "type = 'hash'\nfield = 'blob'\ndecode = 'json'\npath = 'devices'\nfields = { token = 'token', app = 'app.name' }",
            devices,
            &[&[("app", "higo"), ("token", "t1")], &[("token", "t2")]],
        );
        check("type = 'json'", "[]", &[]);
        assert!(decoder("type = 'json'").unwrap().unwrap().rows(b"{").unwrap_err().contains("at byte"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let key = |toml: &str| decoder(toml).unwrap_err().0;
        assert_eq!(key("type = 'string'\npath = 'a'"), "path");
        assert_eq!(key("type = 'json'\ndecode = 'php'"), "decode");
        assert_eq!(key("type = 'set'\ndecode = 'php'"), "decode");
        assert_eq!(key("type = 'hash'\ndecode = 'php'\nfields = ['a']"), "field");
        assert_eq!(key("type = 'json'\nfield = 'a'"), "field");
        assert!(decoder("type = 'string'").unwrap().is_none());
    }
}
