//! Configuration of one account: an app on one platform and network, under one flavour of the service.

use homing_core::notification::{Environment, Platform};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// The lowest access id of an iOS app under v2; Android ids are below. (Constant of the official SDKs, version 1.1.8.)
pub const IOS_MIN_ID: u64 = 2_200_000_000;

/// Longest time that v2 allows between `timestamp` and its own clock. (Xinge v2 REST documentation, 2018 edition,
/// "common parameters": absent, negative or above 600 means 600.)
pub(crate) const VALID_TIME_MAX: u32 = 600;

/// One app on one platform and network. Its Debug does not show the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Generation of the service.
    pub flavour: Flavour,
    /// Platform of its devices.
    pub platform: Platform,
    /// The app: `higo`, `higirl`.
    pub app: String,
    /// The network of its devices. On iOS it also says which APNs a message goes to.
    #[serde(default)]
    pub environment: Environment,
    /// The application's id, a number or a text: a number under v2 and TPNS, 13 characters under v3.
    #[serde(deserialize_with = "number_or_text")]
    pub access_id: String,
    /// The application's secret key (not the access key).
    pub secret: SecretString,
    /// Scheme, host and port of the service; without it the flavour's own.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Host that is sent as `Host`, and signed under v2; without it the host of `base_url` (v2: without its port).
    #[serde(default)]
    pub sign_host: Option<String>,
    /// How a TPNS request proves itself; without it by HMAC.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Seconds that a v2 request's timestamp stays valid, 1 to 600; without it 600.
    #[serde(default)]
    pub valid_time: Option<u32>,
}

/// Generation of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Xinge v2, "classic".
    V2,
    /// Xinge v3.
    V3,
    /// Tencent Push Notification Service.
    Tpns,
}

/// How a request proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A signature of time, id and body.
    Hmac,
    /// Id and secret in every request, as v3 does.
    Basic,
}

pub(crate) fn is_ios(access_id: u64) -> bool {
    access_id >= IOS_MIN_ID
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the access id, a whole number or a text")]
    enum Either {
        Number(u64),
        Text(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Number(number) => number.to_string(),
        Either::Text(text) => text.trim().to_owned(),
    })
}

// === impl Flavour ===

impl Flavour {
    /// `v2`, `v3`, `tpns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::Tpns => "tpns",
        }
    }

    /// The service's own address; TPNS has three more, for apps of other regions.
    fn base_url(self) -> &'static str {
        match self {
            Self::V2 => "http://openapi.xg.qq.com",
            Self::V3 => "https://openapi.xg.qq.com",
            Self::Tpns => "https://api.tpns.tencent.com",
        }
    }
}

// === impl Account ===

impl Account {
    /// `higo/android`, `higo/ios/dev`: how messages name it.
    pub fn label(&self) -> String {
        let label = format!("{}/{}", self.app, self.platform.name());
        match self.environment {
            Environment::Production => label,
            Environment::Development => label + "/dev",
        }
    }

    /// The `environment` parameter of v2: 1 or 2 for iOS, 0 for Android. (Xinge v2 REST documentation, 2018 edition,
    /// "push parameters".)
    pub fn environment_code(&self) -> u8 {
        match (self.platform, self.environment) {
            (Platform::Ios, Environment::Production) => 1,
            (Platform::Ios, Environment::Development) => 2,
            _ => 0,
        }
    }

    /// The access id as the number that it is under v2.
    pub(crate) fn number(&self) -> Result<u64> {
        let id = &self.access_id;
        let number = id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten();
        number.ok_or_else(|| self.error(format!("access_id `{id}` is not a whole number")))
    }

    /// The proof that goes with its flavour.
    pub(crate) fn proof(&self) -> Auth {
        match self.flavour {
            Flavour::V2 | Flavour::V3 => Auth::Basic,
            Flavour::Tpns => self.auth.unwrap_or(Auth::Hmac),
        }
    }

    /// Refuses what cannot work.
    pub fn validate(&self) -> Result<()> {
        if self.app.is_empty() {
            return Err(self.error("app is empty"));
        }
        if !matches!(self.platform, Platform::Android | Platform::Ios) {
            return Err(self.error(format!("platform is {}, not android or ios", self.platform.name())));
        }
        if self.secret.expose_secret().is_empty() {
            return Err(self.error("secret is empty"));
        }
        match self.flavour {
            Flavour::V2 => self.validate_v2()?,
            Flavour::V3 => self.validate_v3()?,
            Flavour::Tpns => self.validate_tpns()?,
        }
        if self.flavour != Flavour::V2 && self.valid_time.is_some() {
            return Err(self.error(format!("valid_time is for v2 only, and the flavour is {}", self.flavour.name())));
        }
        self.endpoint("/").map(drop)
    }

    fn validate_v2(&self) -> Result<()> {
        let id = self.number()?;
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
        if self.auth.is_some() {
            return Err(self.error("auth is for tpns only: v2 signs with MD5"));
        }
        match self.valid_time {
            Some(seconds) if !(1..=VALID_TIME_MAX).contains(&seconds) => {
                Err(self.error(format!("valid_time {seconds} is not within 1 to {VALID_TIME_MAX}")))
            }
            _ => Ok(()),
        }
    }

    fn validate_v3(&self) -> Result<()> {
        let id = &self.access_id;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.error(format!("access_id `{id}` is not an app id of letters and digits")));
        }
        if self.auth == Some(Auth::Hmac) {
            return Err(self.error("auth = \"hmac\" is for tpns only: v3 knows basic alone"));
        }
        Ok(())
    }

    /// Ids of Android apps are `1500xxxxxx`, those of iOS apps `1600xxxxxx`. (TPNS documentation, 548/39064.)
    fn validate_tpns(&self) -> Result<()> {
        let id = self.number()?;
        let theirs = match self.platform {
            Platform::Ios => ("1500", "Android"),
            _ => ("1600", "iOS"),
        };
        if self.access_id.len() == 10 && self.access_id.starts_with(theirs.0) {
            let platform = self.platform.name();
            return Err(self.error(format!("access_id {id} belongs to {}, but the platform is {platform}", theirs.1)));
        }
        Ok(())
    }

    /// The full address of a path, and the host to sign: without a port, unless `sign_host` says so.
    pub(crate) fn endpoint(&self, path: &str) -> Result<(Url, String)> {
        let base_url = self.base_url.as_deref().unwrap_or_else(|| self.flavour.base_url());
        let bad = |why: String| self.error(format!("base_url `{base_url}` {why}"));
        let base = Url::parse(base_url).map_err(|error| bad(format!("is no address: {error}")))?;
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
#[path = "account_tests.rs"]
mod tests;
