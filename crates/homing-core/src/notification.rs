//! What a channel sends: one content and the devices that get it.

use serde::{Deserialize, Serialize};

use crate::{clock::Millis, quiet::QuietHours};

/// Platform of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Android phones.
    #[default]
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

/// Which provider network a device belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// The provider's production network.
    #[default]
    #[serde(rename = "prod", alias = "production")]
    Production,
    /// Its test network (iOS builds for an internal network).
    #[serde(rename = "dev", alias = "development")]
    Development,
}

impl Environment {
    /// `prod`, `dev`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "prod",
            Self::Development => "dev",
        }
    }

    /// Reads `prod`, `production`, `1`, or `dev`, `development`, `2` (Xinge's numbers).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "prod" | "production" | "1" => Some(Self::Production),
            "dev" | "development" | "2" => Some(Self::Development),
            _ => None,
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How urgent a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// May wait for the device.
    Low,
    /// As it comes.
    #[default]
    Normal,
    /// At once.
    High,
}

impl Priority {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a tap on the notification does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do", content = "with")]
pub enum Action {
    /// Opens this activity (Android's class name); empty = the app.
    Activity(String),
    /// Opens this address in the browser.
    Url(String),
    /// Starts this intent (`xgscheme://...`).
    Intent(String),
}

/// One message for up to a page of devices of one app and platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The message's id.
    pub id: String,
    /// The event type's code, for the client's routing.
    pub kind: i64,
    /// App of the devices: `higo`, `higirl`.
    pub app: String,
    /// Platform of the devices.
    pub platform: Platform,
    /// Network of the devices.
    #[serde(default, skip_serializing_if = "Environment::is_default")]
    pub environment: Environment,
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
    /// What a tap does; without it the app opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// A later message with the same key takes this one's place on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<String>,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "Priority::is_default")]
    pub priority: Priority,
    /// When its receivers must not be woken: nothing is sent then, however it was delayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// Who gets it; never empty.
    pub targets: Vec<Target>,
}
