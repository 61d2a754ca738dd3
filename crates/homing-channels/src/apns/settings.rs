//! `[channel.apns]`: what all accounts share, and `[channel.apns.account.KEY]`, one per app and environment.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use homing_core::notification::{Environment, Priority};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::{Endpoint, Error, Result};

/// Requests that may be under way on one connection. Apple names no figure; its servers were seen to announce 1000.
const STREAMS: usize = 500;

/// Values of `apns-push-type`. (Apple, "Sending notification requests to APNs".)
const PUSH_TYPES: [&str; 10] = [
    "alert",
    "background",
    "location",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "liveactivity",
    "pushtotalk",
    "widgets",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    /// A file laid over `apns.toml`.
    pub(crate) codes: Option<PathBuf>,
    /// Requests that may be under way on one connection, 1 to 1000; the server's SETTINGS may allow fewer.
    pub(crate) streams: usize,
    pub(crate) account: BTreeMap<String, AccountSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { endpoint: Endpoint::default(), codes: None, streams: STREAMS, account: BTreeMap::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSettings {
    pub(crate) app: String,
    #[serde(default)]
    pub(crate) environment: Environment,
    /// The bundle id, for some push types with a suffix.
    pub(crate) topic: String,
    /// The signing key as Apple gives it (.p8).
    #[serde(default)]
    pub(crate) key: Option<SecretString>,
    #[serde(default)]
    pub(crate) key_id: Option<String>,
    #[serde(default)]
    pub(crate) team_id: Option<String>,
    /// Instead of the key: certificate, chain and private key in PEM.
    #[serde(default)]
    pub(crate) certificate: Option<SecretString>,
    /// Another address than Apple's, for this account only.
    #[serde(default)]
    pub(crate) base_url: Option<Url>,
    /// Of what is shown; silent notifications are `background`.
    #[serde(default = "alert")]
    pub(crate) push_type: String,
    /// Empty = none.
    #[serde(default = "default_sound")]
    pub(crate) sound: String,
    #[serde(default)]
    pub(crate) custom: Custom,
    /// The payload's key for `{"id", "type"}` of the message; empty = without.
    #[serde(default = "homing")]
    pub(crate) message_id: String,
    /// A notification's category to a category that the app registered.
    #[serde(default)]
    pub(crate) categories: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) priority: Levels,
}

/// Where custom fields of what is shown go; those of a silent notification are always in `data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Custom {
    /// Beside `aps`.
    #[default]
    Beside,
    /// In one object, `data`.
    Data,
}

/// `apns-priority` by a notification's: 10 at once, 5 when it suits the device, 1 without ever waking it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Levels {
    low: u8,
    normal: u8,
    high: u8,
}

impl Default for Levels {
    fn default() -> Self {
        Self { low: 5, normal: 10, high: 10 }
    }
}

impl Levels {
    pub(crate) fn of(self, priority: Priority) -> u8 {
        match priority {
            Priority::Low => self.low,
            Priority::Normal => self.normal,
            Priority::High => self.high,
        }
    }
}

fn alert() -> String {
    "alert".to_owned()
}

fn default_sound() -> String {
    "default".to_owned()
}

fn homing() -> String {
    "homing".to_owned()
}

impl Settings {
    /// What can be checked without looking into keys.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |name: &str, problem: String| Err(Error::setting(format!("channel.apns.{name}"), problem));
        if !(1..=1000).contains(&self.streams) {
            return wrong("streams", format!("{} is not within 1 to 1000", self.streams));
        }
        for (name, ms) in [
            ("endpoint.connect_timeout_ms", self.endpoint.connect_timeout_ms),
            ("endpoint.request_timeout_ms", self.endpoint.request_timeout_ms),
        ] {
            if !(1..=600_000).contains(&ms) {
                return wrong(name, format!("{ms} is not within 1 to 600000"));
            }
        }
        if self.endpoint.auth_url.is_some() {
            return wrong("endpoint.auth_url", "APNs has no second address".to_owned());
        }
        let mut seen = HashSet::new();
        for (key, account) in &self.account {
            account.check().map_err(|(name, problem)| Error::setting(path(key, name), problem))?;
            if !seen.insert((&account.app, account.environment)) {
                let problem = format!("there are two accounts for app {}, {}", account.app, account.environment.name());
                return Err(Error::setting(path(key, "app"), problem));
            }
        }
        Ok(())
    }
}

/// `channel.apns.account.higo.key`.
pub(crate) fn path(key: &str, name: &str) -> String {
    format!("channel.apns.account.{key}.{name}")
}

impl AccountSettings {
    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.app.is_empty() {
            return Err(("app", "is empty".to_owned()));
        }
        if self.topic.is_empty() || !self.topic.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(("topic", format!("`{}` is no bundle id", self.topic)));
        }
        if !PUSH_TYPES.contains(&self.push_type.as_str()) {
            return Err(("push_type", format!("`{}` is none of {}", self.push_type, PUSH_TYPES.join(", "))));
        }
        if self.message_id == "aps" || (self.message_id == "data" && self.custom == Custom::Data) {
            return Err(("message_id", format!("`{}` is taken", self.message_id)));
        }
        for level in [self.priority.low, self.priority.normal, self.priority.high] {
            if ![1, 5, 10].contains(&level) {
                return Err(("priority", format!("{level} is none of 10, 5 and 1")));
            }
        }
        match (&self.key, &self.certificate) {
            (Some(_), Some(_)) => return Err(("key", "stands beside `certificate`: one of the two".to_owned())),
            (None, None) => {
                let problem = "is missing: give `key_file` with `key_id` and `team_id`, or `certificate_file`";
                return Err(("key", problem.to_owned()));
            }
            (None, Some(_)) => return Ok(()),
            (Some(_), None) => {}
        }
        for (name, id) in [("key_id", &self.key_id), ("team_id", &self.team_id)] {
            let id = id.as_deref().unwrap_or_default();
            if id.is_empty() || id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err((name, format!("`{id}` is not the id of ten letters and digits that Apple gives")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::common::section;

    fn read(text: &str) -> Result<Settings> {
        let settings: Settings = section::read("apns", &text.parse().unwrap())?;
        settings.check()?;
        Ok(settings)
    }

    const KEY: &str = "key = 'topsecret'\nkey_id = 'K1'\nteam_id = 'T1'\n";

    #[test]
    fn defaults_are_production_alert_and_the_default_sound_and_secrets_are_not_shown() {
        let settings = read(&format!("[account.higo]\napp = 'higo'\ntopic = 'com.higo'\n{KEY}")).unwrap();
        let account = settings.account.get("higo").unwrap();
        assert_eq!(account.environment, Environment::Production);
        assert_eq!((account.push_type.as_str(), account.sound.as_str()), ("alert", "default"));
        assert_eq!((account.custom, account.message_id.as_str()), (Custom::Beside, "homing"));
        let levels = [Priority::Low, Priority::Normal, Priority::High].map(|level| account.priority.of(level));
        assert_eq!(levels, [5, 10, 10]);
        assert!(!format!("{settings:?}").contains("topsecret"));
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let problem = read(text).unwrap_err().to_string();
        assert!(problem.contains(expected) && !problem.contains("topsecret"), "{problem}");
    }

    #[test]
    fn wrong_settings_are_named() {
        let account = |more: &str| format!("[account.a]\napp = 'higo'\ntopic = 'com.higo'\n{more}");
        refused("streams = 0", "channel.apns.streams");
        refused("[endpoint]\nrequest_timeout_ms = 0", "channel.apns.endpoint.request_timeout_ms");
        refused("[endpoint]\nauth_url = 'https://x'", "channel.apns.endpoint.auth_url");
        refused(&account(""), "channel.apns.account.a.key: is missing");
        refused(&account("key = 'topsecret'\nkey_id = 'K1'"), "channel.apns.account.a.team_id");
        refused(&account("key = 'topsecret'\ncertificate = 'topsecret'"), "beside `certificate`");
        refused(&account(&format!("{KEY}push_type = 'loud'")), "channel.apns.account.a.push_type");
        refused(&account(&format!("{KEY}message_id = 'aps'")), "channel.apns.account.a.message_id");
        refused(&account(&format!("{KEY}priority.low = 7")), "channel.apns.account.a.priority");
        refused(&account(&format!("{KEY}colour = 'red'")), "channel.apns.account.a");
        let twice = format!("{}{}", account(KEY), account(KEY).replace("account.a", "account.b"));
        refused(&twice, "two accounts for app higo, prod");
        refused("[account.a]\napp = 'higo'\ntopic = 'com higo'", "channel.apns.account.a.topic");
    }
}
