//! `[gateway.rpc]`.

use std::{collections::BTreeMap, time::Duration};

use homing_core::duration;
use secrecy::SecretString;
use serde::Deserialize;

use super::{alias::Alias, keys::Capability};

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who may call. Nobody, if it is empty and it is not open.
    pub keys: Vec<KeySettings>,
    /// Ask for no key where only this machine can reach the listener.
    pub open_on_loopback: bool,
    /// Other names of methods.
    pub aliases: BTreeMap<String, Alias>,
    /// Most requests in a batch.
    pub max_batch: usize,
    /// Most users in a call.
    pub max_users: usize,
    /// The longest `data` of a message, in bytes.
    pub max_data: usize,
    /// The longest body, in bytes.
    pub max_body: usize,
    /// Time for one call.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Time for a request's body.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
}

/// An API key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// Whose it is, for messages.
    pub name: String,
    /// The secret: at least 16 visible ASCII characters.
    pub key: SecretString,
    /// What it is good for; everything, if it is empty.
    #[serde(default)]
    pub may: Vec<Capability>,
    /// Messages and questions a second; 0 = no limit.
    #[serde(default)]
    pub rate: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            open_on_loopback: false,
            aliases: BTreeMap::new(),
            max_batch: 100,
            max_users: 1_000,
            max_data: 64 << 10,
            max_body: 1 << 20,
            timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
        }
    }
}

impl Settings {
    /// Can it be used? (Keys are checked where they are read: [`Keys::new`](super::Keys::new).)
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), String> {
        let within = |field: &str, value: usize, most: usize| match value {
            0 => Err(format!("gateway.rpc.{field}: must be above 0")),
            value if value > most => Err(format!("gateway.rpc.{field}: at most {most}")),
            _ => Ok(()),
        };
        within("max_batch", self.max_batch, 1_000)?;
        within("max_users", self.max_users, 1_000)?;
        within("max_data", self.max_data, 1 << 20)?;
        within("max_body", self.max_body, 16 << 20)?;
        for (field, value) in [("timeout", self.timeout), ("body_timeout", self.body_timeout)] {
            if value.is_zero() {
                return Err(format!("gateway.rpc.{field}: must be longer than nothing"));
            }
        }
        self.aliases.iter().try_for_each(|(name, alias)| alias.check(name))
    }
}
