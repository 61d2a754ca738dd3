//! The configuration file. `config/homing.toml` is the default and the documentation of every key; it is compiled in,
//! then come the files named on the command line, then the environment (`HOMING__SECTION__KEY`).

mod lane;
mod place;
mod route;
mod scanner;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Context as _;
use homing_channels::xinge;
use homing_core::receipt::{self, Prover};
use homing_runtime::{admin, config::Origins, duration, logs};
use homing_stores::{
    StoresConfig,
    config::{LookupConfig, MembersConfig, RegistryConfig, SourceConfig, StoreConfig},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::wiring;

pub use self::{
    lane::{DeviceChoice, Lane, ListCodec, Lists, Map, Presence, QuietSpan},
    route::{Migration, Route},
    scanner::{From, Recipients, Scanner},
};

/// The defaults, with their documentation.
pub const DEFAULTS: &str = include_str!("../../../config/homing.toml");
/// The default catalogue of push types.
pub const PUSH_TYPES: &str = include_str!("../../../config/push_types.toml");

/// Keys that may be given as `KEY_file`.
const SECRETS: [&str; 7] = ["url", "secret", "token", "key", "password", "certificate", "service_account"];

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the queues are.
    #[serde(default)]
    pub queue: QueueBackend,
    /// The queue server.
    pub redis: Redis,
    /// Kinds of traffic.
    #[serde(default)]
    pub lane: BTreeMap<String, Lane>,
    /// What is scanned into which lane.
    #[serde(default)]
    pub scanner: BTreeMap<String, Scanner>,
    /// Servers with the installation's own data.
    #[serde(default)]
    pub stores: BTreeMap<String, StoreConfig>,
    /// Facts about users and groups.
    #[serde(default)]
    pub lookup: BTreeMap<String, LookupConfig>,
    /// Who belongs to a group, follows a topic, is a user.
    #[serde(default)]
    pub members: BTreeMap<String, MembersConfig>,
    /// Collections of chats.
    #[serde(default)]
    pub source: BTreeMap<String, SourceConfig>,
    /// Credentials per (platform, app).
    #[serde(default)]
    pub account: BTreeMap<String, xinge::Account>,
    /// Options of the Xinge channel.
    #[serde(default)]
    pub xinge: xinge::Options,
    /// Every other channel's own section, `[channel.NAME]`; the channel reads it.
    #[serde(default)]
    pub channel: BTreeMap<String, ChannelSection>,
    /// Which way a device is told.
    #[serde(default)]
    pub route: Vec<Route>,
    /// Moves from one channel to another.
    #[serde(default)]
    pub migration: BTreeMap<String, Migration>,
    /// Browsers and other clients that stay connected.
    #[serde(default)]
    pub gateway: Option<homing_gateway::Settings>,
    /// Streams, presence and bus of live delivery.
    #[serde(default)]
    pub live: Option<homing_stores::live::Settings>,
    /// Users' devices in tables of Homing's own.
    #[serde(default)]
    pub registry: Option<RegistryConfig>,
    /// What devices say of messages.
    #[serde(default)]
    pub receipts: Receipts,
    /// Senders.
    pub sender: Sender,
    /// Events over HTTP.
    pub intake: crate::intake::Section,
    /// Jobs of the msgpack push agent's clients.
    #[serde(default)]
    pub agent: Option<homing_intake::agent::Options>,
    /// The catalogue.
    #[serde(default)]
    pub push_types: PushTypes,
    /// Logs.
    #[serde(default)]
    pub log: logs::Settings,
    /// Health, readiness, metrics.
    #[serde(default)]
    pub admin: admin::Settings,
    /// Where each value was written, for the errors of later checks.
    #[serde(skip)]
    pub origins: Origins,
}

/// `[channel.NAME]`, as the channel reads it. Its Debug shows no value: some are secrets.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct ChannelSection(pub toml::Table);

impl std::fmt::Debug for ChannelSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `[queue]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueBackend {
    /// `redis`, or `sqlite`: a file, for one machine.
    pub backend: Backend,
    /// The file of the backend `sqlite`.
    pub path: Option<PathBuf>,
    /// Bound of that file in bytes; 0 = none.
    pub max_bytes: u64,
}

/// See [`QueueBackend`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A Redis server.
    #[default]
    Redis,
    /// A SQLite file.
    Sqlite,
}

/// `[redis]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// The server.
    pub url: SecretString,
    /// How long a lease runs without renewal.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// No call begins this long before its end.
    #[serde(with = "duration")]
    pub margin: Duration,
    /// Wait for an answer.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Bound of a shard's trace in commits.
    pub trace_entries: u64,
    /// Bound of a shard's trace in bytes.
    pub trace_bytes: u64,
    /// Share of the server's `maxmemory` at which scanners wait.
    pub brake: f64,
    /// Bound of a shard's dead list.
    pub dead: u64,
    /// Where dead letters beyond it go.
    pub dead_folder: Option<PathBuf>,
    /// Where each daemon notes the counters of its shards.
    pub state_folder: Option<PathBuf>,
}

/// `[sender]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// Calls under way at once per shard, app and platform.
    pub concurrency: usize,
    /// Settled items wait at most this long.
    #[serde(with = "duration")]
    pub checkpoint: Duration,
    /// Bound of the first retry's wait.
    #[serde(with = "duration")]
    pub backoff: Duration,
    /// Bound of any retry's wait.
    #[serde(with = "duration")]
    pub backoff_cap: Duration,
    /// Tries with an ambiguous or unknown answer.
    pub attempts: u32,
    /// First pause of a blocked app.
    #[serde(with = "duration")]
    pub pause: Duration,
    /// Longest pause of a blocked app.
    #[serde(with = "duration")]
    pub pause_cap: Duration,
    /// Failures in a row that block an app.
    pub breaker: u32,
}

/// `[receipts]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Receipts {
    /// Makes the proofs that notifications carry; without it only callers with a key may post receipts.
    pub key: Option<SecretString>,
    /// Receipts per second that one address may send by a proof alone; 20 by default.
    pub rate: Option<u32>,
}

impl Receipts {
    /// What makes the proofs.
    ///
    /// # Errors
    /// The key is too short.
    pub fn prover(&self) -> anyhow::Result<Option<Prover>> {
        let Some(key) = &self.key else { return Ok(None) };
        let prover = Prover::new(key.expose_secret().as_bytes());
        prover.map(Some).with_context(|| format!("receipts.key: is shorter than {} bytes", receipt::SHORTEST))
    }
}

/// `[push_types]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushTypes {
    /// A file instead of the compiled-in catalogue.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Loads the defaults, the files, the environment. Warnings (a secret file that others can read) go to stderr.
    ///
    /// # Errors
    /// Names the file and line, or the variable, and what is wrong there.
    pub fn load(files: &[PathBuf]) -> anyhow::Result<Self> {
        let sources = homing_runtime::config::Sources::new()
            .defaults("config/homing.toml (compiled in)", DEFAULTS)
            .files(files)
            .env(std::env::vars_os())
            .secrets(SECRETS);
        let loaded = homing_runtime::config::load::<Self>(sources)?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(Self { origins: loaded.origins, ..loaded.value })
    }

    /// An error of a check that looks at several sections, with the file and line of the key that it begins with.
    pub fn place(&self, error: anyhow::Error) -> anyhow::Error {
        place::place(&self.origins, error)
    }

    /// Does anything of it need `[live]`?
    pub fn needs_live(&self) -> bool {
        let needs = |lane: &Lane| {
            lane.delivery.contains_key("websocket") || lane.rules.iter().any(|rule| rule == wiring::PRESENCE)
        };
        self.gateway.is_some() || self.lane.values().any(needs)
    }

    /// The parts that the stores crate reads.
    pub fn stores(&self) -> StoresConfig {
        StoresConfig {
            stores: self.stores.clone(),
            lookup: self.lookup.clone(),
            members: self.members.clone(),
            source: self.source.clone(),
            registry: self.registry.clone(),
        }
    }

    /// The catalogue of push types.
    ///
    /// # Errors
    /// The file cannot be read or used.
    pub fn catalogue(&self) -> anyhow::Result<homing_core::catalogue::Catalogue> {
        let (name, text) = match &self.push_types.file {
            None => ("config/push_types.toml (compiled in)".to_owned(), PUSH_TYPES.to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    let here = std::env::current_dir().unwrap_or_default();
                    format!("push_types.file: {} (as seen from {})", path.display(), here.display())
                })?;
                (path.display().to_string(), text)
            }
        };
        Ok(homing_core::catalogue::Catalogue::parse(&name, &text)?)
    }
}
