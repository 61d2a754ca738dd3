//! What a channel sends: one content and the devices that get it.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// Platform of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Android phones.
    Android,
    /// iPhones and iPads. Configuration and foreign items may say `iphone`.
    #[serde(alias = "iphone")]
    Ios,
}

impl Platform {
    /// `android`, `ios`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Ios => "ios",
        }
    }

    /// Reads `android`, `ios` or HIGO's `iphone`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "android" => Some(Self::Android),
            "ios" | "iphone" => Some(Self::Ios),
            _ => None,
        }
    }
}

/// One device of one user.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The user, for order, explain and the removal of dead tokens. Empty when an event named a bare token.
    pub user: String,
    /// The provider's device token.
    pub token: String,
}

impl Target {
    /// The user and the last four characters of the token: enough to recognise, too little to use.
    pub fn label(&self) -> String {
        let tail: String = self.token.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        format!("{}/..{tail}", self.user)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.label())
    }
}

/// One message for up to a page of devices of one app and platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The message's id.
    pub id: String,
    /// The event type's code, for the client's routing.
    pub kind: i64,
    /// App of the devices: `higo`, `higirl`.
    pub app: String,
    /// Platform of the devices.
    pub platform: Platform,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// Custom fields for the client.
    #[serde(default)]
    pub custom: serde_json::Map<String, serde_json::Value>,
    /// When the event was taken in.
    pub created_at: Millis,
    /// After this it is not sent any more.
    pub expires_at: Millis,
    /// An answer that was lost is final (the type says "drop"): told at most once.
    #[serde(default)]
    pub at_most_once: bool,
    /// Who gets it; never empty.
    pub targets: Vec<Target>,
}
