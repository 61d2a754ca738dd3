//! `[channel.fcm]`.
//!
//! ```toml
//! [channel.fcm]
//! rate = 600000
//! ramp_ms = 60000
//! [channel.fcm.account.higo]
//! app = "higo"
//! service_account_file = "secrets/fcm-higo.json"
//! channel_id = "messages"
//! channels = { order = "orders" }
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use homing_core::{clock::Millis, notification::Environment};
use secrecy::SecretString;
use serde::Deserialize;
use toml::Table;

use crate::{Endpoint, Result, common::section};

/// The default quota of a project, in messages per minute. (Firebase, "Throttling and quotas".)
pub(crate) const RATE: u32 = 600_000;

/// From nothing to the full rate. (Firebase, "Best practices when sending FCM messages at scale".)
pub(crate) const RAMP: Millis = 60_000;

/// FCM may take its time. (The same page asks for no less than 10 s.)
const REQUEST_TIMEOUT_MS: i64 = 15_000;

/// See the module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where FCM is.
    #[serde(default)]
    pub(crate) endpoint: Endpoint,
    /// A file laid over `codes.toml`.
    #[serde(default)]
    pub(crate) codes: Option<PathBuf>,
    /// Messages per minute that a project may send.
    #[serde(default = "rate")]
    pub(crate) rate: u32,
    /// From a standstill the rate grows to that over so many milliseconds.
    #[serde(default = "ramp")]
    pub(crate) ramp_ms: Millis,
    /// The accounts by name.
    #[serde(default)]
    pub(crate) account: BTreeMap<String, AccountSettings>,
}

/// One app's project.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSettings {
    /// The app: `higo`.
    pub(crate) app: String,
    /// The network of its devices; without it both.
    #[serde(default)]
    pub(crate) environment: Option<Environment>,
    /// The key file of the service account, whole.
    pub(crate) service_account: SecretString,
    /// The project, where it is not the one that the key file names.
    #[serde(default)]
    pub(crate) project: Option<String>,
    /// Android's notification channel; without it the app's default.
    #[serde(default)]
    pub(crate) channel_id: Option<String>,
    /// The same by a message's category.
    #[serde(default)]
    pub(crate) channels: BTreeMap<String, String>,
    /// The sound; empty for none.
    #[serde(default = "sound")]
    pub(crate) sound: String,
}

fn rate() -> u32 {
    RATE
}

fn ramp() -> Millis {
    RAMP
}

fn sound() -> String {
    "default".to_owned()
}

/// Reads the section.
///
/// # Errors
/// Names the key.
pub(crate) fn read(table: &Table) -> Result<Settings> {
    let mut table = table.clone();
    let endpoint = table.entry("endpoint").or_insert_with(|| Table::new().into());
    if let Some(endpoint) = endpoint.as_table_mut() {
        endpoint.entry("request_timeout_ms").or_insert(REQUEST_TIMEOUT_MS.into());
    }
    section::read("fcm", &table)
}
