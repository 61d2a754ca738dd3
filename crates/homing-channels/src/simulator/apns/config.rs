//! What the simulator is told.

use std::{io, path::PathBuf, sync::Arc};

use homing_core::{clock::Clock, notification::Environment};
use secrecy::SecretString;
use tokio::net::TcpListener;
use toml::Table;

use super::{super::stand::Stand, tls::Authority};

/// Streams that a connection may have, as Apple's servers were seen to announce.
const MAX_STREAMS: u32 = 1000;

/// Settings of one environment. Two of them, each on a port of its own, may share an [`Authority`].
pub struct Config {
    /// Production or sandbox.
    pub environment: Environment,
    /// Who may call.
    pub accounts: Vec<Account>,
    /// Signs the server's certificate.
    pub authority: Authority,
    /// Where the authority's certificate is written to before the first connection: the client's `ca_file`.
    pub ca_file: Option<PathBuf>,
    /// Another port that answers `/_sim` by plain HTTP/1.1.
    pub plain: Option<TcpListener>,
    /// Streams of a connection, unless the script says otherwise.
    pub max_streams: u32,
    /// What was accepted, states of tokens, faults, counts.
    pub stand: Arc<Stand>,
}

/// A registered key or certificate. Its Debug does not show it.
#[derive(Clone, Debug)]
pub struct Account {
    /// How a caller proves to be it.
    pub who: Who,
    /// Bundle ids that it may push to.
    pub topics: Vec<String>,
    /// Networks that it may push on; empty = both.
    pub environments: Vec<Environment>,
}

/// See [`Account`].
#[derive(Clone, Debug)]
pub enum Who {
    /// By tokens that this key signed.
    Key {
        /// Apple's id of the key.
        key_id: String,
        /// Apple's id of the team.
        team_id: String,
        /// In PEM: the public key, or the .p8 that it follows from.
        pem: SecretString,
    },
    /// By this certificate.
    Certificate {
        /// In PEM; only the first certificate is looked at.
        pem: SecretString,
    },
}

impl Config {
    /// One environment with an authority of its own and without faults.
    ///
    /// # Errors
    /// No certificate can be made.
    pub fn new(environment: Environment, accounts: Vec<Account>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self {
            environment,
            accounts,
            authority: Authority::new()?,
            ca_file: None,
            plain: None,
            max_streams: MAX_STREAMS,
            stand: Stand::new(clock),
        })
    }
}

impl Account {
    /// The accounts that a configuration's `[channel.apns]` is for, as Apple would know them: keys for both environments,
    /// certificates for the account's.
    ///
    /// # Errors
    /// An account lacks what Apple would need to know; it is named.
    pub fn of_section(section: &Table) -> Result<Vec<Self>, String> {
        let Some(accounts) = section.get("account").and_then(|accounts| accounts.as_table()) else {
            return Ok(Vec::new());
        };
        accounts.iter().map(|(name, account)| Self::of(name, account)).collect()
    }

    fn of(name: &str, account: &toml::Value) -> Result<Self, String> {
        let optional = |key: &str| account.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let text = |key: &str| optional(key).ok_or_else(|| format!("channel.apns.account.{name}.{key} is missing"));
        let environment = optional("environment").and_then(|text| Environment::parse(&text)).unwrap_or_default();
        let (who, environments) = match optional("certificate") {
            Some(pem) => (Who::Certificate { pem: pem.into() }, vec![environment]),
            None => {
                let (key_id, team_id, pem) = (text("key_id")?, text("team_id")?, text("key")?.into());
                (Who::Key { key_id, team_id, pem }, Vec::new())
            }
        };
        Ok(Self { who, topics: vec![text("topic")?], environments })
    }
}
