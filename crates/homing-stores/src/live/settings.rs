//! `[live]`: bounds and times of live delivery, the same for every backend. All nodes and the distributor read the
//! same.

use std::{path::PathBuf, time::Duration};

use homing_core::duration;
use secrecy::SecretString;
use serde::Deserialize;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The Redis server; without it that of the queues. Not read by the backend.
    pub url: Option<SecretString>,
    /// The SQLite file of one process; without it one beside that of the queues. Not read by the backend.
    pub path: Option<PathBuf>,
    /// Every key and channel of Redis begins with it.
    pub prefix: String,
    /// A user's or group's stream keeps at most so many messages.
    pub max_messages: usize,
    /// The stream for everyone keeps at most so many.
    pub everyone_messages: usize,
    /// Any stream keeps at most so many bytes; the newest message stays in any case.
    pub max_bytes: usize,
    /// No message is kept longer.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// So long after the last message a stream's epoch and number are known, and after the last mark what was read.
    #[serde(with = "duration")]
    pub meta_ttl: Duration,
    /// So long at least an id is known again, though its message has left the stream; so long a read one counts as
    /// read.
    #[serde(with = "duration")]
    pub id_window: Duration,
    /// Copies of one publication reach the nodes within this time.
    #[serde(with = "duration")]
    pub copy_window: Duration,
    /// A node that says nothing for so long is dead; it is to say so every third of it.
    #[serde(with = "duration")]
    pub presence_ttl: Duration,
    /// So long it is known when somebody's last session ended.
    #[serde(with = "duration")]
    pub gone_ttl: Duration,
    /// What a node said of a user counts so long: it is to be said again every third of it.
    #[serde(with = "duration")]
    pub attend_ttl: Duration,
    /// How long to wait for an answer of the server.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// What was heard and waits for the node takes at most so many bytes; beyond, all of it is dropped for a gap.
    pub bus_bytes: usize,
    /// `[live.schedule]`.
    pub schedule: Schedule,
    /// `[live.old_history]`: a history from before Homing, in Redis.
    pub old_history: Option<OldHistory>,
}

/// `[live.schedule]`: messages that wait for their time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The sorted set; other producers write to it, too.
    pub key: String,
    /// What its scores count.
    pub unit: Unit,
    /// The dead list beside it keeps at most so many members.
    pub dead_max: usize,
}

/// What scores count, since 1970. Fractions are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Seconds.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
}

impl Unit {
    /// Milliseconds in one.
    pub(crate) fn millis(self) -> f64 {
        match self {
            Self::Seconds => 1_000.0,
            Self::Millis => 1.0,
        }
    }
}

/// `[live.old_history]`: one Redis hash per user, message id to a JSON object that holds the message and its state.
///
/// What is unread there is shown before the user's own stream, with offset 0. Reading one writes its state back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OldHistory {
    /// The hash of a user; `{user}` stands for the user.
    pub key: String,
    /// Path of the state in an entry: `state`, `meta.state`.
    pub state: String,
    /// The state that means unread, as text: `0` is the number 0 and the text "0".
    pub unread: String,
    /// The state that is written when it was read: in place of a text as text, else as JSON.
    pub read: String,
    /// Path of the message's content in an entry; empty = the whole entry.
    pub message: String,
    /// Path of the time (s or ms since 1970, or RFC 3339), which orders them; empty = by id.
    pub at: String,
    /// What such messages are called: their `type`.
    pub kind: String,
    /// At most so many entries of a hash are looked at.
    pub most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: None,
            path: None,
            prefix: "homing:live:".to_owned(),
            max_messages: 1_000,
            everyone_messages: 1_000,
            max_bytes: 4 << 20,
            ttl: Duration::from_secs(7 * 86_400),
            meta_ttl: Duration::from_secs(30 * 86_400),
            id_window: Duration::from_secs(3_600),
            copy_window: Duration::from_secs(5),
            presence_ttl: Duration::from_secs(15),
            gone_ttl: Duration::from_secs(60),
            attend_ttl: Duration::from_secs(1_800),
            timeout: Duration::from_secs(2),
            bus_bytes: 64 << 20,
            schedule: Schedule::default(),
            old_history: None,
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self { key: "websocket:producer:zset".to_owned(), unit: Unit::Seconds, dead_max: 1_000 }
    }
}

impl Default for OldHistory {
    fn default() -> Self {
        Self {
            key: "history:{user}".to_owned(),
            state: "state".to_owned(),
            unread: "0".to_owned(),
            read: "1".to_owned(),
            message: String::new(),
            at: String::new(),
            kind: "message".to_owned(),
            most: 10_000,
        }
    }
}

/// The most messages that a stream may be configured to keep: what was read is one byte for each.
const MAX_KEPT: usize = 100_000;

impl Settings {
    /// Can it be used?
    ///
    /// # Errors
    /// Begins with the field: `live.ttl: ...`.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |field: &str, why: &str| Err(format!("live.{field}: {why}"));
        for (field, value) in [("max_messages", self.max_messages), ("everyone_messages", self.everyone_messages)] {
            if value == 0 || value > MAX_KEPT {
                return Err(format!("live.{field}: must be 1 to {MAX_KEPT}"));
            }
        }
        if self.prefix.contains(['{', '}']) {
            return wrong("prefix", "must have no braces, they are for hash tags");
        }
        for (field, value) in [("max_bytes", self.max_bytes), ("bus_bytes", self.bus_bytes)] {
            if value < 65_536 {
                return wrong(field, "must be at least 65536");
            }
        }
        for (field, value) in [
            ("ttl", self.ttl),
            ("id_window", self.id_window),
            ("copy_window", self.copy_window),
            ("presence_ttl", self.presence_ttl),
            ("gone_ttl", self.gone_ttl),
            ("timeout", self.timeout),
        ] {
            if value < Duration::from_millis(1) {
                return wrong(field, "must be longer than nothing");
            }
        }
        if self.meta_ttl <= self.ttl || self.meta_ttl < self.id_window {
            return wrong(
                "meta_ttl",
                "must be longer than ttl and id_window: an old client would be told that it missed nothing",
            );
        }
        if self.attend_ttl < 3 * (self.presence_ttl + self.gone_ttl) {
            return wrong("attend_ttl", "must be at least three times presence_ttl and gone_ttl together");
        }
        if self.schedule.key.is_empty() {
            return wrong("schedule.key", "must not be empty");
        }
        match &self.old_history {
            Some(old) if !old.key.contains("{user}") => wrong("old_history.key", "must contain {user}"),
            Some(old) if old.state.is_empty() => wrong("old_history.state", "must not be empty"),
            Some(old) if old.unread == old.read => wrong("old_history.read", "must differ from unread"),
            Some(old) if old.most == 0 || old.most > MAX_KEPT => {
                Err(format!("live.old_history.most: must be 1 to {MAX_KEPT}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let settings: Settings = toml::from_str(toml).unwrap();
        assert_eq!(settings.check().err().as_deref().unwrap_or_default(), expected, "{toml}");
    }

    #[test]
    fn what_cannot_work_is_named() {
        check("", "");
        check("[old_history]\nstate = 'meta.state'", "");
        check("[schedule]\nunit = 'ms'", "");
        check("max_messages = 0", "live.max_messages: must be 1 to 100000");
        check("everyone_messages = 100001", "live.everyone_messages: must be 1 to 100000");
        check("prefix = 'a{b}'", "live.prefix: must have no braces, they are for hash tags");
        check("max_bytes = 1", "live.max_bytes: must be at least 65536");
        check("copy_window = '0s'", "live.copy_window: must be longer than nothing");
        check(
            "presence_ttl = '1h'",
            "live.attend_ttl: must be at least three times presence_ttl and gone_ttl together",
        );
        check("[old_history]\nkey = 'h'", "live.old_history.key: must contain {user}");
        check("[old_history]\nread = '0'", "live.old_history.read: must differ from unread");
        let short = toml::from_str::<Settings>("meta_ttl = '7d'").unwrap().check().unwrap_err();
        assert!(short.starts_with("live.meta_ttl: must be longer than ttl"), "{short}");
        assert!(toml::from_str::<Settings>("maximum = 1").is_err());
        assert!(toml::from_str::<Settings>("[schedule]\nunit = 'm'").is_err());
    }
}
