//! `[channel.hms]`.
//!
//! ```toml
//! [channel.hms.account.higo]
//! flavour = "v1"
//! app = "higo"
//! app_id = "100000001"
//! secret_file = "secrets/hms-higo"
//! categories = { order = "EXPRESS" }
//! [channel.hms.account.higo_harmony]
//! flavour = "v3"
//! app = "higo"
//! service_account_file = "secrets/hms-higo.json"
//! categories = { order = "EXPRESS" }
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use homing_core::notification::{Environment, Platform};
use secrecy::SecretString;
use serde::Deserialize;
use toml::Table;

use crate::{Endpoint, Result, common::section};

/// See the module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where Huawei is.
    #[serde(default)]
    pub(crate) endpoint: Endpoint,
    /// A file laid over `codes.toml`.
    #[serde(default)]
    pub(crate) codes: Option<PathBuf>,
    /// Tokens per second for an app on a platform; without it as fast as it goes.
    #[serde(default)]
    pub(crate) rate: Option<u32>,
    /// The accounts by name.
    #[serde(default)]
    pub(crate) account: BTreeMap<String, AccountSettings>,
}

/// Generation of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Flavour {
    /// Android, OAuth2.
    V1,
    /// HarmonyOS 5 and later, a JWT of our own.
    V3,
}

impl Flavour {
    /// Whose devices it reaches.
    pub(crate) fn platform(self) -> Platform {
        match self {
            Self::V1 => Platform::Android,
            Self::V3 => Platform::Harmony,
        }
    }
}

/// One app under one flavour.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSettings {
    /// Generation of the service.
    pub(crate) flavour: Flavour,
    /// The app: `higo`.
    pub(crate) app: String,
    /// The network of its devices; without it both.
    #[serde(default)]
    pub(crate) environment: Option<Environment>,
    /// v1: the app's id at Huawei, a number or a text.
    #[serde(default)]
    pub(crate) app_id: Option<Id>,
    /// v1: the app's secret.
    #[serde(default)]
    pub(crate) secret: Option<SecretString>,
    /// v3: the key file of the service account, whole.
    #[serde(default)]
    pub(crate) service_account: Option<SecretString>,
    /// v3: the project, where it is not the one that the key file names.
    #[serde(default)]
    pub(crate) project: Option<Id>,
    /// Huawei's category for messages whose own is not in `categories`. v3 needs one and takes MARKETING without it.
    #[serde(default)]
    pub(crate) category: Option<String>,
    /// Huawei's category by a message's own.
    #[serde(default)]
    pub(crate) categories: BTreeMap<String, String>,
    /// What stands where a message has no title; without it the app's name. Huawei takes no message without one.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// v1: Android's notification channel.
    #[serde(default)]
    pub(crate) channel_id: Option<String>,
    /// The action that a tap starts where the message names none; without it the app opens.
    #[serde(default)]
    pub(crate) click_action: Option<String>,
}

/// A number or a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected an id, a whole number or a text")]
pub(crate) enum Id {
    /// `100000001`.
    Number(u64),
    /// `"100000001"`.
    Text(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text.trim()),
        }
    }
}

/// Reads the section.
///
/// # Errors
/// Names the key.
pub(crate) fn read(table: &Table) -> Result<Settings> {
    section::read("hms", table)
}
