//! `[channel.web_push]`: which push services may be called, and a key pair for each app.

use std::collections::BTreeMap;

use homing_core::notification::Environment;
use secrecy::SecretString;
use serde::Deserialize;

use super::subscription::Subscription;
use crate::Endpoint;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// Timeouts and trusted certificates; the addresses come with the subscriptions.
    pub(super) endpoint: Endpoint,
    /// Hosts and origins that may be called beside the browsers' own push services.
    pub(super) allow: Vec<String>,
    /// Any other public host may be called, too.
    pub(super) public: bool,
    pub(super) topic: Topic,
    pub(super) account: BTreeMap<String, Account>,
}

/// Which messages replace their predecessors while the push service still holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    /// Each has a topic: what is sent twice is held once.
    #[default]
    Key,
    /// Those with a collapse key.
    Collapse,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) app: String,
    /// Without it the account serves both.
    #[serde(default)]
    pub(super) environment: Option<Environment>,
    /// The private key: PEM (PKCS#8), or its 32 bytes in base64url.
    pub(super) key: SecretString,
    /// Whom a push service may write to: `mailto:` or `https:`.
    pub(super) subject: String,
    /// A browser of one's own that the credential doctor may send to.
    #[serde(default)]
    pub(super) probe: Option<Subscription>,
}
