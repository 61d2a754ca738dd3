//! What a channel sends: one content and the devices that get it.

use std::{borrow::Cow, fmt::Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{clock::Millis, live::MAX_ID, quiet::QuietHours};

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
    /// Huawei's own phones since HarmonyOS 5.
    Harmony,
    /// Browsers with a push subscription; the token is the subscription as JSON.
    Web,
    /// A topic of an MQTT broker; the token is the topic below the broker's prefix.
    Mqtt,
    /// A service that is told by HTTP; the token is the name of its address in the configuration.
    Webhook,
    /// Sockets of the gateway; the token is `user/ID`, `group/ID` or `everyone`.
    Socket,
}

impl Platform {
    /// All names, for errors.
    pub const NAMES: &'static str = "android, ios, harmony, web, mqtt, webhook, socket";

    /// Is it told without waking anybody? Rules that only keep from waking (do-not-disturb, quiet hours) do not hold for
    /// such a way.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Mqtt | Self::Webhook | Self::Socket)
    }

    /// `android`, `ios`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Ios => "ios",
            Self::Harmony => "harmony",
            Self::Web => "web",
            Self::Mqtt => "mqtt",
            Self::Webhook => "webhook",
            Self::Socket => "socket",
        }
    }

    /// Reads what [`Platform::name`] writes, and HIGO's `iphone`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "android" => Some(Self::Android),
            "ios" | "iphone" => Some(Self::Ios),
            "harmony" => Some(Self::Harmony),
            "web" => Some(Self::Web),
            "mqtt" => Some(Self::Mqtt),
            "webhook" => Some(Self::Webhook),
            "socket" => Some(Self::Socket),
            _ => None,
        }
    }
}

/// Another way to a device, for when the first does not work.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alternate {
    /// The channel.
    pub channel: String,
    /// The device's token there.
    pub token: String,
}

/// One device of one user.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The user, for order, explain and the removal of dead tokens. Empty when an event named a bare token.
    pub user: String,
    /// The provider's device token.
    pub token: String,
    /// Where else the device can be reached, in this order: used when the provider calls the token dead, or refuses the
    /// app's credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates: Vec<Alternate>,
    /// The user's data is to be removed from the directory once this was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clean: bool,
}

impl Target {
    /// A device with this token only.
    pub fn new(user: impl Into<String>, token: impl Into<String>) -> Self {
        Self { user: user.into(), token: token.into(), ..Self::default() }
    }

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

/// The part of a provider migration that a notification has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cohort {
    /// Name of the migration.
    pub migration: String,
    /// Which side of it.
    pub arm: Arm,
}

/// A side of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// Still by the channel that is left behind.
    Old,
    /// Already by the channel that takes over.
    New,
    /// A rehearsal on the channel that takes over: built and validated, not shown to anybody.
    Shadow,
}

impl Arm {
    /// `old`, `new`, `shadow`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Shadow => "shadow",
        }
    }
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
    /// Shows nothing: the client gets the custom fields and decides itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// What kind of message it is to a vendor that rations by kind (`order`, `campaign`); accounts translate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The migration that it takes part in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Cohort>,
    /// When its receivers must not be woken: nothing is sent then, however it was delayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// Who gets it; never empty.
    pub targets: Vec<Target>,
}

impl Notification {
    /// What makes it one message wherever it is shown: every channel hands this to its provider as the key under which a
    /// later message replaces, and a recall finds, an earlier one. The collapse key, or else the message's id.
    pub fn key(&self) -> &str {
        self.collapse.as_deref().unwrap_or(&self.id)
    }

    /// Is it only to be validated, and shown to nobody?
    pub fn is_rehearsal(&self) -> bool {
        self.cohort.as_ref().is_some_and(|cohort| cohort.arm == Arm::Shadow)
    }
}

/// The id under which a message stands in users' streams ([`Inbox`](crate::live::Inbox)): its own, or where that is too
/// long for them the beginning of it and 32 hexadecimal digits of its SHA-256. The same always.
pub fn live_id(id: &str) -> Cow<'_, str> {
    const HASH: usize = 16;
    if id.len() <= MAX_ID {
        return Cow::Borrowed(id);
    }
    let most = MAX_ID - 2 * HASH - 1;
    let cut = (0..=most).rev().find(|at| id.is_char_boundary(*at)).unwrap_or(0);
    let mut short = format!("{}~", id.get(..cut).unwrap_or_default());
    for byte in Sha256::digest(id.as_bytes()).iter().take(HASH) {
        // Writing to a string has no way to fail.
        let _ok = write!(short, "{byte:02x}");
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_a_stream_and_stays_its_own() {
        assert_eq!(live_id("m-1"), "m-1");
        let long = "订".repeat(80);
        let short = live_id(&long);
        assert!(short.len() <= MAX_ID && short.starts_with("订订"), "{short}");
        assert_eq!(short, live_id(&long), "the same always");
        assert_ne!(short, live_id(&format!("{long}x")));
        assert_eq!(live_id(&"a".repeat(MAX_ID)), "a".repeat(MAX_ID));
    }

    #[test]
    fn platforms_read_what_they_write() {
        for name in Platform::NAMES.split(", ") {
            assert_eq!(Platform::parse(name).map(Platform::name), Some(name));
        }
        assert!(Platform::Socket.is_live() && !Platform::Web.is_live());
    }
}
