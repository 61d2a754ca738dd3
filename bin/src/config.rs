//! The configuration file. `config/homing.toml` is the default and the documentation of every key; it is compiled in,
//! then come the files named on the command line, then the environment (`HOMING__SECTION__KEY`).

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Context as _;
use homing_channels::xinge;
use homing_codec::Codec;
use homing_runtime::{admin, duration, logs};
use homing_stores::{
    StoresConfig,
    config::{LookupConfig, MembersConfig, SourceConfig, StoreConfig},
};
use secrecy::SecretString;
use serde::Deserialize;

/// The defaults, with their documentation.
pub const DEFAULTS: &str = include_str!("../../config/homing.toml");
/// The default catalogue of push types.
pub const PUSH_TYPES: &str = include_str!("../../config/push_types.toml");

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
    /// Senders.
    pub sender: Sender,
    /// Events over HTTP.
    pub intake: crate::intake::Section,
    /// The catalogue.
    #[serde(default)]
    pub push_types: PushTypes,
    /// Logs.
    #[serde(default)]
    pub log: logs::Settings,
    /// Health, readiness, metrics.
    #[serde(default)]
    pub admin: admin::Settings,
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

/// `[lane.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// The entry lists.
    pub entry: Lists,
    /// The delivery lists, per channel.
    pub delivery: BTreeMap<String, Lists>,
    /// How entry items are encoded.
    #[serde(default)]
    pub codec: Codec,
    /// Where producers keep the fields of an event.
    #[serde(default)]
    pub map: Map,
    /// In their order: `login`, `online`, `account`, `dnd`, `quiet`, or the name of any lookup with `accept`.
    #[serde(default)]
    pub rules: Vec<String>,
    /// The lookup of devices.
    #[serde(default = "tokens")]
    pub tokens: String,
    /// The lookup of group owners.
    #[serde(default)]
    pub owners: Option<String>,
    /// The enumerator of a group's members.
    #[serde(default)]
    pub members: Option<String>,
    /// The enumerator of those who follow a topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// The enumerator of all users.
    #[serde(default)]
    pub everyone: Option<String>,
    /// The lookup of users' profiles.
    #[serde(default)]
    pub profile: Option<String>,
    /// Language of the texts, where a profile names none.
    #[serde(default = "zh")]
    pub locale: String,
    /// Time zone of the quiet hours, where a profile names none.
    #[serde(default = "shanghai")]
    pub time_zone: String,
    /// Quiet hours, where a profile names none.
    #[serde(default)]
    pub quiet: Option<QuietSpan>,
    /// What quiet hours held back is released over this span.
    #[serde(default = "minute", with = "duration")]
    pub release: Duration,
    /// `all` of a user's devices, or the `first` that fits.
    #[serde(default)]
    pub devices: DeviceChoice,
    /// Targets per notification of a large audience.
    #[serde(default = "thousand")]
    pub page: usize,
    /// Bound of a delivery list in items.
    #[serde(default = "million")]
    pub high_water: u64,
    /// Most events per batch.
    #[serde(default = "batch")]
    pub batch: usize,
}

/// A family of numbered lists.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// Name with `{n}` for the number.
    pub name: String,
    /// How many.
    #[serde(default = "one")]
    pub shards: u32,
    /// The first number.
    #[serde(default = "one")]
    pub first: u32,
    /// Of delivery lists: `own`, or `php` for a sender of HIGO's.
    #[serde(default)]
    pub codec: ListCodec,
}

/// See [`Lists`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListCodec {
    /// Homing's own.
    #[default]
    Own,
    /// HIGO's PHP arrays.
    Php,
}

/// `quiet = { from = "23:00", to = "08:00" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietSpan {
    /// First quiet minute of the day.
    pub from: String,
    /// First minute that is not quiet any more.
    pub to: String,
}

/// See [`Lane::devices`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// Every device that fits.
    #[default]
    All,
    /// The first.
    First,
}

/// `[lane.NAME.map]`: paths into a producer's own item.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Map {
    /// Type.
    pub r#type: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Group.
    pub group: Option<String>,
    /// App.
    pub app: Option<String>,
    /// Id.
    pub id: Option<String>,
    /// Data.
    pub data: Option<String>,
}

/// `[scanner.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scanner {
    /// The source.
    pub source: String,
    /// The lane that its chats enter.
    pub lane: String,
    /// The event type that a chat becomes.
    pub r#type: String,
    /// Time between looks.
    #[serde(default = "second", with = "duration")]
    pub poll: Duration,
    /// Chats per page.
    #[serde(default = "half_thousand")]
    pub page: usize,
    /// `newest` (history is not pushed), `beginning`, or a time (RFC 3339).
    #[serde(default)]
    pub from: From,
    /// Who is told of a chat.
    #[serde(default)]
    pub recipients: Recipients,
    /// So long the ids of chats are remembered, for `homing scan audit`.
    #[serde(default = "hour", with = "duration")]
    pub audit: Duration,
    /// Bound of an entry list in items.
    #[serde(default = "million")]
    pub high_water: u64,
}

/// Where a scanner begins at its first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum From {
    /// Behind the newest message.
    #[default]
    Newest,
    /// At the oldest.
    Beginning,
    /// At the first of this time (milliseconds since 1970) or later.
    At(i64),
}

impl TryFrom<String> for From {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "newest" => Ok(Self::Newest),
            "beginning" => Ok(Self::Beginning),
            time => time.parse::<jiff::Timestamp>().map(|time| Self::At(time.as_millisecond())).map_err(|_| {
                format!("`{time}` is neither newest nor beginning nor a time such as 2026-11-21T08:00:00+08:00")
            }),
        }
    }
}

/// See [`Scanner::recipients`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Recipients {
    /// The owner of the group.
    #[default]
    #[serde(rename = "group.owner")]
    GroupOwner,
    /// Every member of the group.
    #[serde(rename = "group.members")]
    GroupMembers,
    /// The user that the chat names (`fields.to` of the source).
    #[serde(rename = "user")]
    User,
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

/// `[push_types]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushTypes {
    /// A file instead of the compiled-in catalogue.
    pub file: Option<PathBuf>,
}

fn one() -> u32 {
    1
}

fn thousand() -> usize {
    1_000
}

fn hour() -> Duration {
    Duration::from_secs(3_600)
}

fn half_thousand() -> usize {
    500
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn zh() -> String {
    "zh".to_owned()
}

fn shanghai() -> String {
    "Asia/Shanghai".to_owned()
}

fn tokens() -> String {
    "tokens".to_owned()
}

fn million() -> u64 {
    1_000_000
}

fn batch() -> usize {
    256
}

impl Lane {
    /// Are its delivery lists written for HIGO's sender?
    pub fn serves_a_foreign_sender(&self) -> bool {
        self.delivery.values().any(|lists| lists.codec == ListCodec::Php)
    }
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
            .secrets(["url", "secret", "token", "key"]);
        let loaded = homing_runtime::config::load::<Self>(sources)?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(loaded.value)
    }

    /// The parts that the stores crate reads.
    pub fn stores(&self) -> StoresConfig {
        StoresConfig {
            stores: self.stores.clone(),
            lookup: self.lookup.clone(),
            members: self.members.clone(),
            source: self.source.clone(),
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
