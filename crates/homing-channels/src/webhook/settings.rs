//! `[channel.webhook]` and its hooks.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;

use crate::Endpoint;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// Timeouts and trusted certificates; each hook has an address of its own.
    pub(super) endpoint: Endpoint,
    pub(super) hook: BTreeMap<String, Hook>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hook {
    /// Some addresses are secrets: whoever knows them may post.
    pub(super) url: SecretString,
    pub(super) secret: SecretString,
    /// Only for notifications of this app.
    #[serde(default)]
    pub(super) app: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, SecretString>,
    /// It is in our own network: plain HTTP and private addresses are meant.
    #[serde(default)]
    pub(super) private: bool,
    /// The credential doctor may post a ping.
    #[serde(default)]
    pub(super) ping: bool,
}
