//! `[[route]]` and `[migration.NAME]`: which way a device is told.

use homing_core::notification::{Environment, Platform};
use serde::{Deserialize, Deserializer};

/// `[[route]]`: the first whose conditions all hold decides; what is left out holds always.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Only this lane.
    #[serde(default)]
    pub lane: Option<String>,
    /// Only these push types, by name.
    #[serde(default, deserialize_with = "one_or_many")]
    pub r#type: Vec<String>,
    /// Only devices of this platform.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Only devices of this app.
    #[serde(default)]
    pub app: Option<String>,
    /// Only devices of this network.
    #[serde(default)]
    pub env: Option<Environment>,
    /// The way.
    pub channel: String,
    /// Other ways, when the token is dead there or the credentials are refused; in this order.
    #[serde(default)]
    pub fallback: Vec<String>,
}

/// `[migration.NAME]`: devices with tokens of both channels move from one to the other, at the operator's pace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// The channel that is left behind.
    pub from: String,
    /// The channel that takes over.
    pub to: String,
    /// Only this lane.
    #[serde(default)]
    pub lane: Option<String>,
    /// Only devices of this platform.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Only devices of this app.
    #[serde(default)]
    pub app: Option<String>,
    /// Only devices of this network.
    #[serde(default)]
    pub env: Option<Environment>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the name of a push type, or a list of names")]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(name) => vec![name],
        Either::Many(names) => names,
    })
}
