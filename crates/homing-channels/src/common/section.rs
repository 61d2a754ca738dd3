//! A channel's part of the configuration.

use serde::de::DeserializeOwned;
use toml::Table;

use crate::{Error, Result};

/// Reads `[channel.NAME]` as the channel's own type.
///
/// # Errors
/// Names the key: `channel.fcm.account.higo.project`.
pub fn read<T: DeserializeOwned>(name: &str, table: &Table) -> Result<T> {
    serde_path_to_error::deserialize(toml::Value::Table(table.clone())).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => format!("channel.{name}"),
            path => format!("channel.{name}.{path}"),
        };
        Error::setting(path, error.inner().message())
    })
}
