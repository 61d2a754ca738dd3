//! `[lane.NAME]`: a kind of traffic with lists of its own from end to end.

use std::{collections::BTreeMap, time::Duration};

use homing_codec::Codec;
use homing_runtime::duration;
use serde::Deserialize;

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
    /// In their order: `login`, `online`, `presence`, `account`, `dnd`, `quiet`, or the name of any lookup with `accept`.
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
    /// The channel by which a group's message is also sent once to the group itself (`group/ID`), and by sockets one to
    /// everyone once to everyone.
    #[serde(default)]
    pub announce: Option<String>,
    /// The channel by which a user without a device that fits is told (`user/ID`).
    #[serde(default)]
    pub otherwise: Option<String>,
    /// The channel of sockets by which every recipient is told beside the devices (`user/ID`).
    #[serde(default)]
    pub sockets: Option<String>,
    /// What the rule `presence` does with who is on a socket.
    #[serde(default)]
    pub presence: Option<Presence>,
    /// The lookup whose column `muted` names the types that a user does not want.
    #[serde(default)]
    pub preferences: Option<String>,
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

/// `presence = { grace = "5s", confirm = "10s" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    /// Whose last socket ended within this time may come back, and is judged again when it is over.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// Who is on a socket and has not read the message there after this time is woken all the same; without it never.
    #[serde(with = "duration::option")]
    pub confirm: Option<Duration>,
}

impl Default for Presence {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5), confirm: None }
    }
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

fn one() -> u32 {
    1
}

fn thousand() -> usize {
    1_000
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
