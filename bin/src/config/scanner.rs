//! `[scanner.NAME]`: what is scanned into which lane.

use std::time::Duration;

use homing_runtime::duration;
use serde::Deserialize;

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

fn hour() -> Duration {
    Duration::from_secs(3_600)
}

fn half_thousand() -> usize {
    500
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn million() -> u64 {
    1_000_000
}
