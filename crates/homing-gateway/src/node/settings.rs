//! `[gateway.node]`.

use std::time::Duration;

use homing_core::duration;
use serde::Deserialize;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A session that comes is shown at most so many messages of each of its streams.
    pub replay: usize,
    /// And at most so many bytes; of what is more, what is unread and newest.
    pub replay_bytes: usize,
    /// Questions of sessions that wait for an answer; beyond, sessions are told that the node is busy.
    pub questions: usize,
    /// Questions that are worked on at once.
    pub asking: usize,
    /// How often it is checked that no announcement was lost.
    #[serde(with = "duration")]
    pub check: Duration,
    /// The node says that it lives; a third of the presence's limit at most.
    #[serde(with = "duration")]
    pub beat: Duration,
    /// How often everybody's presence is said again.
    #[serde(with = "duration")]
    pub roll_call: Duration,
    /// Scheduled messages taken at once.
    pub promote: usize,
    /// How often the schedule is looked at though nobody announced a change.
    #[serde(with = "duration")]
    pub look: Duration,
    /// How long a session may wait for the store before it is broken off.
    #[serde(with = "duration")]
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replay: 300,
            replay_bytes: 1 << 20,
            questions: 65_536,
            asking: 256,
            check: Duration::from_secs(40),
            beat: Duration::from_secs(5),
            roll_call: Duration::from_secs(600),
            promote: 256,
            look: Duration::from_secs(5),
            patience: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Can it be used?
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), String> {
        for (field, value) in
            [("replay", self.replay), ("questions", self.questions), ("asking", self.asking), ("promote", self.promote)]
        {
            if value == 0 {
                return Err(format!("gateway.node.{field}: must be above 0"));
            }
        }
        if self.replay > 10_000 {
            return Err("gateway.node.replay: at most 10000".to_owned());
        }
        for (field, value) in [
            ("check", self.check),
            ("beat", self.beat),
            ("roll_call", self.roll_call),
            ("look", self.look),
            ("patience", self.patience),
        ] {
            if value.is_zero() {
                return Err(format!("gateway.node.{field}: must be longer than nothing"));
            }
        }
        Ok(())
    }
}
