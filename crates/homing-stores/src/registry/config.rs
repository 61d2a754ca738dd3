//! The shape of `[registry]`.

use std::time::Duration;

use serde::Deserialize;

/// `[registry]`: users' devices, preferences and topics, in tables of Homing's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// The store, one of SQL with `allow_write = true`. A SQLite file is made if it is missing.
    pub store: String,
    /// What the names of its tables begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// A device that was not registered for this long is gone.
    #[serde(default = "inactive_after", with = "homing_core::duration")]
    pub inactive_after: Duration,
    /// For this long a deletion and a death can be taken back.
    #[serde(default = "undo", with = "homing_core::duration")]
    pub undo: Duration,
    /// For this long what is gone is kept and shown with its reason; at least as long as `undo`.
    #[serde(default = "keep", with = "homing_core::duration")]
    pub keep: Duration,
    /// The most devices with a live token that a user may have.
    #[serde(default = "max_devices")]
    pub max_devices: usize,
    /// The most topics that a user may follow.
    #[serde(default = "max_topics")]
    pub max_topics: usize,
    /// The lane that changes are told in; without it nobody is told and none are kept.
    pub events_lane: Option<String>,
    /// Their type in the catalogue.
    #[serde(default = "events_type")]
    pub events_type: String,
    /// The app of the webhook channel's account that they are told with.
    #[serde(default = "events_app")]
    pub events_app: String,
    /// The names of the hooks that are told.
    #[serde(default)]
    pub hooks: Vec<String>,
}

fn prefix() -> String {
    "homing_".to_owned()
}

fn inactive_after() -> Duration {
    Duration::from_secs(90 * 86_400)
}

fn undo() -> Duration {
    Duration::from_secs(7 * 86_400)
}

fn keep() -> Duration {
    Duration::from_secs(30 * 86_400)
}

fn max_devices() -> usize {
    50
}

fn max_topics() -> usize {
    100
}

fn events_type() -> String {
    "REGISTRY_CHANGED".to_owned()
}

fn events_app() -> String {
    "homing".to_owned()
}
