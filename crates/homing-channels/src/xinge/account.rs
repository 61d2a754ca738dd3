//! Configuration of one account: an app on one platform, under one flavour of the service.

use homing_core::notification::Platform;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// The lowest access id of an iOS app; Android ids are below. (Constant of the official SDKs, version 1.1.8.)
pub const IOS_MIN_ID: u64 = 2_200_000_000;

const BASE_URL: &str = "http://openapi.xg.qq.com";

/// Longest time that the service allows between `timestamp` and its own clock. (Xinge v2 REST documentation, 2018
/// edition, "common parameters": absent, negative or above 600 means 600.)
const VALID_TIME_MAX: u32 = 600;

/// One app on one platform. Its Debug does not show the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Generation of the service.
    pub flavour: Flavour,
    /// Platform of its devices.
    pub platform: Platform,
    /// The app: `higo`, `higirl`.
    pub app: String,
    /// The application's id; a text is taken too.
    #[serde(deserialize_with = "number_or_text")]
    pub access_id: u64,
    /// The application's secret key (not the access key).
    pub secret: SecretString,
    /// Scheme, host and port of the service.
    #[serde(default = "default_base_url")]
    pub base_url: String,
    /// Host that is signed and sent as `Host`; without it the host of `base_url`, without its port.
    #[serde(default)]
    pub sign_host: Option<String>,
    /// Which APNs an iOS message goes to.
    #[serde(default)]
    pub environment: Environment,
    /// Seconds that a request's timestamp stays valid, 1 to 600.
    #[serde(default = "default_valid_time")]
    pub valid_time: u32,
}

/// Generation of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Xinge v2, "classic".
    V2,
}

/// Which APNs an iOS message goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Apps from the store.
    #[default]
    Production,
    /// Development builds.
    Development,
}

pub(crate) fn is_ios(access_id: u64) -> bool {
    access_id >= IOS_MIN_ID
}

fn default_base_url() -> String {
    BASE_URL.to_owned()
}

fn default_valid_time() -> u32 {
    VALID_TIME_MAX
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the access id, a whole number")]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.trim().parse().map_err(|_| {
            serde::de::Error::custom(format!("expected the access id, a whole number, and found `{text}`"))
        }),
    }
}

// === impl Account ===

impl Account {
    /// `higo/android`: how messages name it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.app, self.platform.name())
    }

    /// The `environment` parameter: 1 or 2 for iOS, 0 for Android. (Xinge v2 REST documentation, 2018 edition, "push
    /// parameters".)
    pub fn environment_code(&self) -> u8 {
        match (self.platform, self.environment) {
            (Platform::Android, _) => 0,
            (Platform::Ios, Environment::Production) => 1,
            (Platform::Ios, Environment::Development) => 2,
        }
    }

    /// Refuses what cannot work.
    pub fn validate(&self) -> Result<()> {
        let id = self.access_id;
        match (self.platform, is_ios(id)) {
            (Platform::Android, true) => {
                let range = format!("iOS ids begin at {IOS_MIN_ID}, Android ids are below");
                return Err(self.error(format!("access_id {id} belongs to iOS, but the platform is android ({range})")));
            }
            (Platform::Ios, false) => {
                let range = format!("Android ids are below {IOS_MIN_ID}, iOS ids begin there");
                return Err(self.error(format!("access_id {id} belongs to Android, but the platform is ios ({range})")));
            }
            _ => {}
        }
        if self.app.is_empty() {
            return Err(self.error("app is empty"));
        }
        if self.secret.expose_secret().is_empty() {
            return Err(self.error("secret is empty"));
        }
        if !(1..=VALID_TIME_MAX).contains(&self.valid_time) {
            return Err(self.error(format!("valid_time {} is not within 1 to {VALID_TIME_MAX}", self.valid_time)));
        }
        self.endpoint("/").map(drop)
    }

    /// The full address of a path, and the host to sign.
    pub(crate) fn endpoint(&self, path: &str) -> Result<(Url, String)> {
        let bad = |why: String| self.error(format!("base_url `{}` {why}", self.base_url));
        let base = Url::parse(&self.base_url).map_err(|error| bad(format!("is no address: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad("must begin with http:// or https://".to_owned()));
        }
        if base.query().is_some()
            || base.fragment().is_some()
            || !base.username().is_empty()
            || base.password().is_some()
        {
            return Err(bad("may only hold scheme, host, port and path".to_owned()));
        }
        let Some(base_host) = base.host_str() else { return Err(bad("has no host".to_owned())) };
        let host = self.sign_host.as_deref().unwrap_or(base_host);
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
            return Err(self.error(format!("sign_host `{host}` is no host name")));
        }
        let full = format!("{}{path}", base.as_str().trim_end_matches('/'));
        let url = Url::parse(&full).map_err(|error| bad(format!("is no address: {error}")))?;
        Ok((url, host.to_owned()))
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::Account { account: self.label(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(more: &str) -> Result<Account, toml::de::Error> {
        toml::from_str(&format!("flavour = \"v2\"\napp = \"higo\"\nsecret = \"made-up-key\"\n{more}"))
    }

    #[test]
    fn defaults_are_the_services() {
        let android = account("platform = \"android\"\naccess_id = \"2100012345\"").unwrap();
        android.validate().unwrap();
        let (url, host) = android.endpoint("/v2/push/single_device").unwrap();
        assert_eq!(url.as_str(), "http://openapi.xg.qq.com/v2/push/single_device");
        assert_eq!(host, "openapi.xg.qq.com");
        assert_eq!((android.access_id, android.environment_code(), android.valid_time), (2_100_012_345, 0, 600));
        let ios = account("platform = \"iphone\"\naccess_id = 2200012345").unwrap();
        assert_eq!(ios.environment_code(), 1);
        let ios = account("platform = \"ios\"\naccess_id = 2200012345\nenvironment = \"development\"").unwrap();
        assert_eq!(ios.environment_code(), 2);
    }

    #[test]
    fn the_signed_host_has_no_port() {
        let base = account("platform = \"android\"\naccess_id = 1\nbase_url = \"http://127.0.0.1:8080/\"").unwrap();
        let (url, host) = base.endpoint("/v2/x").unwrap();
        assert_eq!((url.as_str(), host.as_str()), ("http://127.0.0.1:8080/v2/x", "127.0.0.1"));
        let named = Account { sign_host: Some("openapi.xg.qq.com".to_owned()), ..base };
        assert_eq!(named.endpoint("/").unwrap().1, "openapi.xg.qq.com");
    }

    #[track_caller]
    fn refused(more: &str, expected: &str) {
        let message = match account(more) {
            Ok(account) => account.validate().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("made-up-key"), "{message}");
    }

    #[test]
    fn bad_accounts_are_refused_by_name() {
        refused("platform = \"android\"\naccess_id = 2200012345", "higo/android: access_id 2200012345 belongs to iOS");
        refused("platform = \"ios\"\naccess_id = 2100012345", "higo/ios: access_id 2100012345 belongs to Android");
        refused("platform = \"ios\"\naccess_id = \"21x\"", "whole number");
        refused("platform = \"android\"\naccess_id = 1\nbase_url = \"ftp://a\"", "http://");
        refused("platform = \"android\"\naccess_id = 1\nbase_url = \"http://u:p@a\"", "may only hold");
        refused("platform = \"android\"\naccess_id = 1\nsign_host = \"a b\"", "sign_host");
        refused("platform = \"android\"\naccess_id = 1\nvalid_time = 601", "valid_time");
        refused("platform = \"android\"\naccess_id = 1\nkey = 2", "unknown field");
    }

    #[test]
    fn debug_hides_the_secret() {
        let account = account("platform = \"android\"\naccess_id = 1").unwrap();
        assert!(!format!("{account:?}").contains("made-up-key"));
    }
}
