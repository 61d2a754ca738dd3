//! The layer of the environment: `HOMING__LANE__SYSTEM__SHARDS=8` is `lane.system.shards = 8`.

use std::{collections::BTreeMap, ffi::OsString};

use toml::{Table, Value, map::Entry};

use super::{
    error::ConfigError,
    layer::Layer,
    origin::{Origin, PREFIX, Path},
    secrets::SecretKeys,
};

/// Builds the layer that lies above `base`, which decides how a key is spelled: `GOODS_SENT` and `goods_sent` are one name
/// in the environment.
pub(super) fn layer(
    vars: &BTreeMap<OsString, OsString>,
    base: &Table,
    secrets: &SecretKeys,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (name, value) in vars {
        let Some((name, keys)) = name.to_str().and_then(|name| Some((name, name.strip_prefix(PREFIX)?))) else {
            continue;
        };
        let fail = |message| ConfigError::at(Origin::Env { name: name.to_owned(), text: None }, message);
        let value = value.to_str().ok_or_else(|| fail("not UTF-8"))?;
        let path = locate(keys, base).ok_or_else(|| fail("a key is empty; two underscores separate keys"))?;
        let value = match read(value) {
            (_, Some(text)) if path.last().is_some_and(|key| secrets.is_secret(key)) => (Value::String(text), None),
            read => read,
        };
        insert(&mut layer, name, &path, value)?;
    }
    Ok(layer)
}

/// The path that `LANE__SYSTEM__SHARDS` means.
fn locate(keys: &str, base: &Table) -> Option<Path> {
    let mut table = Some(base);
    let spell = |key: &str| {
        let key = key.to_ascii_lowercase();
        let known =
            table.and_then(|t| t.get_key_value(&key).or_else(|| t.iter().find(|(k, _)| k.eq_ignore_ascii_case(&key))));
        table = known.and_then(|(_, value)| value.as_table());
        if key.is_empty() { None } else { Some(known.map_or(key, |(spelled, _)| spelled.clone())) }
    };
    keys.split("__").map(spell).collect()
}

/// A TOML scalar or array, or else a text; and the text of what could be one as well, for the type to decide.
/// A date stays the text that it was written as.
fn read(value: &str) -> (Value, Option<String>) {
    match value.parse() {
        Ok(parsed @ (Value::String(_) | Value::Array(_))) => (parsed, None),
        Ok(parsed @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => (parsed, Some(value.to_owned())),
        Ok(Value::Table(_) | Value::Datetime(_)) | Err(_) => (Value::String(value.to_owned()), None),
    }
}

fn insert(layer: &mut Layer, name: &str, path: &[String], value: (Value, Option<String>)) -> Result<(), ConfigError> {
    let origin = |text| Origin::Env { name: name.to_owned(), text };
    let twice = |other: Option<&Origin>| {
        let other = other.map(Origin::to_string).unwrap_or_default();
        ConfigError::at(origin(None), format!("{other} sets the same; keep one of them"))
    };
    let Some((last, tables)) = path.split_last() else { return Ok(()) };
    let mut table = &mut layer.table;
    for (depth, key) in tables.iter().enumerate() {
        let at = path.get(..=depth).unwrap_or(path);
        if !table.contains_key(key) {
            layer.origins.insert(at, origin(None));
        }
        let Value::Table(next) = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())) else {
            return Err(twice(layer.origins.get(at)));
        };
        table = next;
    }
    let (value, text) = value;
    match table.entry(last.clone()) {
        Entry::Vacant(free) => free.insert(value),
        Entry::Occupied(_) => return Err(twice(layer.origins.get(path))),
    };
    layer.origins.insert(path, origin(text));
    Ok(())
}
