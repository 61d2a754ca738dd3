//! What can become of a message: one closed set of fates, shared by ledger, trace, logs, metrics and tests.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// The stage that decided, which also fixes the unit that it counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Entry queue; counts events.
    Entry,
    /// Rules; counts recipients.
    Rules,
    /// Delivery queue; counts targets (devices).
    Send,
    /// The device itself; counts receipts.
    Client,
}

impl Stage {
    /// `entry`, `rules`, `send`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Rules => "rules",
            Self::Send => "send",
            Self::Client => "client",
        }
    }

    /// The ledger's field for a fate at this stage, such as `rules.skipped.online`.
    pub fn field(self, fate: &Fate) -> Cow<'static, str> {
        use Fate::{
            BadToken, Cancelled, Dead, Deferred, Delivered, Expanded, Expired, Invalid, NoDevice, Passed, Queued,
            Received, Rehearsed, Rerouted, Retried, Seen, Skipped,
        };
        let detail = match fate {
            Skipped { rule } => Some(rule.as_str()),
            Dead { why } => Some(why.as_str()),
            Rehearsed { outcome } => Some(outcome.as_str()),
            Seen { how } => return self.named(how.name()),
            _ => None,
        };
        let fixed = match (self, fate) {
            (Self::Entry, Expanded) => "entry.expanded",
            (Self::Rules, Passed) => "rules.passed",
            (Self::Send, Delivered { .. }) => "send.delivered",
            (_, Received) => return self.named("received"),
            (_, Invalid { .. }) => return self.named("invalid"),
            (_, Expanded) => return self.named("expanded"),
            (_, Passed) => return self.named("passed"),
            (_, Skipped { .. } | Dead { .. } | Rehearsed { .. }) => {
                return Cow::Owned(format!("{}.{}.{}", self.name(), fate.name(), detail.unwrap_or_default()));
            }
            (
                _,
                Deferred { .. }
                | Queued { .. }
                | Delivered { .. }
                | Retried { .. }
                | BadToken { .. }
                | Rerouted { .. }
                | Seen { .. }
                | NoDevice
                | Expired
                | Cancelled,
            ) => {
                return self.named(fate.name());
            }
        };
        Cow::Borrowed(fixed)
    }

    fn named(self, fate: &str) -> Cow<'static, str> {
        Cow::Owned(format!("{}.{fate}", self.name()))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of one event, recipient or target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fate")]
pub enum Fate {
    /// A scanner or the intake took it in.
    Received,
    /// It could not be read or breaks the catalogue; it is in the dead list.
    Invalid {
        /// What is wrong, with field and position.
        error: String,
    },
    /// An event became recipients (possibly none).
    Expanded,
    /// A recipient passed the rules.
    Passed,
    /// A rule held a recipient back.
    Skipped {
        /// `login`, `online`, `account`, `dnd`, ...
        rule: String,
    },
    /// It waits and is judged again.
    Deferred {
        /// When.
        until: Millis,
    },
    /// It stands in a delivery queue.
    Queued {
        /// Of this channel.
        channel: String,
    },
    /// *The provider accepted it*; nobody may have seen it.
    Delivered {
        /// The provider's id, where it gives one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_id: Option<String>,
    },
    /// It is tried again.
    Retried {
        /// When; `due` in JSON, where `at` is the record's own.
        #[serde(rename = "due")]
        at: Millis,
        /// Why.
        why: String,
    },
    /// The token is dead.
    BadToken {
        /// Was it taken out of the directory?
        removed: bool,
    },
    /// The recipient has no device (or the provider knows none).
    NoDevice,
    /// Its time to live ended first.
    Expired,
    /// Given up; it is in the dead list.
    Dead {
        /// A short reason: `payload`, `ambiguous`, `attempts`, ...
        why: String,
    },
    /// Its sender took it back.
    Cancelled,
    /// The app's credentials do not work here; the device is told another way.
    Rerouted {
        /// By this channel.
        channel: String,
    },
    /// It was built and validated for a migration, and shown to nobody.
    Rehearsed {
        /// What the provider would have said.
        outcome: String,
    },
    /// A device said that its user has it.
    Seen {
        /// How.
        how: Seen,
    },
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// It was shown.
    Shown,
    /// It was tapped.
    Clicked,
}

impl Seen {
    /// `shown`, `clicked`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Clicked => "clicked",
        }
    }
}

impl Fate {
    /// The fate's name as it stands in records, counters and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Invalid { .. } => "invalid",
            Self::Expanded => "expanded",
            Self::Passed => "passed",
            Self::Skipped { .. } => "skipped",
            Self::Deferred { .. } => "deferred",
            Self::Queued { .. } => "queued",
            Self::Delivered { .. } => "delivered",
            Self::Retried { .. } => "retried",
            Self::BadToken { .. } => "bad_token",
            Self::NoDevice => "no_device",
            Self::Expired => "expired",
            Self::Dead { .. } => "dead",
            Self::Cancelled => "cancelled",
            Self::Rerouted { .. } => "rerouted",
            Self::Rehearsed { .. } => "rehearsed",
            Self::Seen { how } => how.name(),
        }
    }

    /// Name, text and number of the fate: its shape in a trace.
    pub(crate) fn parts(&self) -> (&'static str, Option<&str>, Option<i64>) {
        let (text, number) = match self {
            Self::Invalid { error } => (Some(error.as_str()), None),
            Self::Skipped { rule } => (Some(rule.as_str()), None),
            Self::Deferred { until } => (None, Some(*until)),
            Self::Queued { channel } => (Some(channel.as_str()), None),
            Self::Delivered { provider_id } => (provider_id.as_deref(), None),
            Self::Retried { at, why } => (Some(why.as_str()), Some(*at)),
            Self::BadToken { removed } => (None, Some(i64::from(*removed))),
            Self::Dead { why } => (Some(why.as_str()), None),
            Self::Rerouted { channel } => (Some(channel.as_str()), None),
            Self::Rehearsed { outcome } => (Some(outcome.as_str()), None),
            Self::Seen { .. } => (None, None),
            Self::Received | Self::Expanded | Self::Passed | Self::NoDevice | Self::Expired | Self::Cancelled => {
                (None, None)
            }
        };
        (self.name(), text, number)
    }

    /// The reverse of [`Fate::parts`]; `None` for a name that this version does not know.
    pub(crate) fn from_parts(name: &str, text: Option<String>, number: Option<i64>) -> Option<Self> {
        let given = text.clone().unwrap_or_default();
        let number = number.unwrap_or_default();
        Some(match name {
            "received" => Self::Received,
            "invalid" => Self::Invalid { error: given },
            "expanded" => Self::Expanded,
            "passed" => Self::Passed,
            "skipped" => Self::Skipped { rule: given },
            "deferred" => Self::Deferred { until: number },
            "queued" => Self::Queued { channel: given },
            "delivered" => Self::Delivered { provider_id: text },
            "retried" => Self::Retried { at: number, why: given },
            "bad_token" => Self::BadToken { removed: number != 0 },
            "no_device" => Self::NoDevice,
            "expired" => Self::Expired,
            "dead" => Self::Dead { why: given },
            "cancelled" => Self::Cancelled,
            "rerouted" => Self::Rerouted { channel: given },
            "rehearsed" => Self::Rehearsed { outcome: given },
            "shown" => Self::Seen { how: Seen::Shown },
            "clicked" => Self::Seen { how: Seen::Clicked },
            _ => return None,
        })
    }
}

/// One line of a message's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in milliseconds since 1970.
    pub at: Millis,
    /// The message's id, the same from intake to settle.
    pub id: String,
    /// Who decided.
    pub stage: Stage,
    /// What.
    #[serde(flatten)]
    pub fate: Fate,
    /// For whom: a user, or a user and the end of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// In words, where the fate alone does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_record_as_json_says_when_it_was_written_and_when_it_is_due() {
        let fate = Fate::Retried { at: 9, why: "busy".to_owned() };
        let record = Record { at: 7, id: "m".to_owned(), stage: Stage::Send, fate, target: None, reason: None };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"at":7,"id":"m","stage":"send","fate":"retried","due":9,"why":"busy"}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
