//! `[gateway.auth]`.

use std::{path::PathBuf, time::Duration};

use homing_core::duration;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Keys for tokens. A token's `kid` chooses among those with an id; without one all of its algorithm are tried.
    pub keys: Vec<KeySettings>,
    /// A key set (RFC 7517).
    pub jwks: Option<JwksSettings>,
    /// The claim that names the user; a dot goes into an object.
    pub user_claim: String,
    /// The claim that lists the user's groups.
    pub groups_claim: Option<String>,
    /// Whom tokens may be for (`aud`). Empty = tokens with an audience are refused (RFC 7519, section 4.1.3).
    pub audience: Vec<String>,
    /// Who may have made them (`iss`); empty = anybody with the key.
    pub issuer: Vec<String>,
    /// Refuse tokens that do not say when they end.
    pub require_exp: bool,
    /// Other clocks may be this wrong.
    #[serde(with = "duration")]
    pub leeway: Duration,
    /// What becomes of who shows something that is refused.
    pub invalid: IfInvalid,
    /// What becomes of who shows nothing.
    pub missing: IfMissing,
    /// The query parameter with the token; empty = none is looked at.
    pub query: String,
    /// Whether `Authorization: Bearer` is looked at.
    pub header: bool,
    /// The cookie with the token; empty = none is looked at.
    pub cookie: String,
    /// A cookie that is no token and must be looked up.
    pub session_cookie: Option<SessionCookie>,
}

/// A key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// What tokens name it by (`kid`).
    pub id: Option<String>,
    /// The only algorithm that it is for.
    pub algorithm: Algorithm,
    /// The secret, for HS256, HS384 and HS512.
    pub secret: Option<SecretString>,
    /// The secret is written in base64, either alphabet.
    #[serde(default)]
    pub base64: bool,
    /// The public key in PEM, for the others.
    pub public_key: Option<String>,
    /// A file with it.
    pub public_key_file: Option<PathBuf>,
}

/// Algorithms of signatures (RFC 7518, section 3.1; EdDSA: RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Where the key set is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwksSettings {
    /// Its address.
    pub url: Option<Url>,
    /// Or its file.
    pub file: Option<PathBuf>,
    /// How often it is read again.
    #[serde(default = "refresh", with = "duration")]
    pub refresh: Duration,
    /// Time for one fetch.
    #[serde(default = "fetch_timeout", with = "duration")]
    pub timeout: Duration,
    /// Fetch it without TLS from other machines, too.
    #[serde(default)]
    pub allow_http: bool,
}

/// What becomes of who shows something that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfInvalid {
    /// No.
    #[default]
    Refuse,
    /// Let in as nobody in particular.
    Anonymous,
}

/// What becomes of who shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfMissing {
    /// No.
    Refuse,
    /// Let in as nobody in particular.
    Anonymous,
    /// It may come in the first message.
    #[default]
    Wait,
}

/// An opaque cookie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionCookie {
    /// Its name.
    pub name: String,
    /// Who knows whose it is.
    pub lookup: LookupSettings,
}

/// Who knows whose cookie it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LookupSettings {
    /// A Redis.
    Redis(RedisLookup),
    /// A service.
    Http(HttpLookup),
}

/// A key of a Redis, by GET, or by HGET with a field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisLookup {
    /// The server.
    pub url: SecretString,
    /// The key, with `{value}` where the cookie's value goes.
    #[serde(default = "session_key")]
    pub key: String,
    /// The field, if it is a hash.
    pub field: Option<String>,
    /// The value is JSON, and the user stands at this dotted path; without it the value is the user.
    pub json_path: Option<String>,
    /// Time for the answer.
    #[serde(default = "lookup_timeout", with = "duration")]
    pub timeout: Duration,
}

/// A service: `POST {"cookie": VALUE}` is answered by `{"user_id": ..}`; `null`, 401 and 404 mean that nobody has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpLookup {
    /// Its address.
    pub url: SecretString,
    /// Sent as a Bearer token.
    pub token: Option<SecretString>,
    /// Time for the answer.
    #[serde(default = "lookup_timeout", with = "duration")]
    pub timeout: Duration,
}

fn refresh() -> Duration {
    Duration::from_secs(600)
}

fn fetch_timeout() -> Duration {
    Duration::from_secs(5)
}

fn lookup_timeout() -> Duration {
    Duration::from_secs(2)
}

fn session_key() -> String {
    "session:{value}".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks: None,
            user_claim: "user_id".to_owned(),
            groups_claim: None,
            audience: Vec::new(),
            issuer: Vec::new(),
            require_exp: true,
            leeway: Duration::ZERO,
            invalid: IfInvalid::Refuse,
            missing: IfMissing::Wait,
            query: "token".to_owned(),
            header: true,
            cookie: "token".to_owned(),
            session_cookie: None,
        }
    }
}

impl Settings {
    /// Is there anything that says who somebody is?
    pub fn knows_anybody(&self) -> bool {
        !self.keys.is_empty() || self.jwks.is_some() || self.session_cookie.is_some()
    }

    /// Can it be used? (What PEM and files hold is seen when they are read: [`Auth::new`](super::Auth::new).)
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), String> {
        for (place, key) in self.keys.iter().enumerate() {
            key.check().map_err(|what| format!("gateway.auth.keys[{place}].{what}"))?;
        }
        if let Some(jwks) = &self.jwks {
            jwks.check().map_err(|what| format!("gateway.auth.jwks.{what}"))?;
        }
        if self.user_claim.is_empty() {
            return Err("gateway.auth.user_claim: must not be empty".to_owned());
        }
        if self.leeway > Duration::from_secs(3_600) {
            return Err("gateway.auth.leeway: at most 1h".to_owned());
        }
        let Some(session) = &self.session_cookie else { return Ok(()) };
        if session.name.is_empty() || session.name == self.cookie {
            return Err("gateway.auth.session_cookie.name: must be another than `cookie`, and not empty".to_owned());
        }
        session.lookup.check().map_err(|what| format!("gateway.auth.session_cookie.lookup.{what}"))
    }
}

impl KeySettings {
    fn check(&self) -> Result<(), String> {
        let shared = matches!(self.algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        let public = usize::from(self.public_key.is_some()) + usize::from(self.public_key_file.is_some());
        match (shared, &self.secret, public) {
            (true, Some(secret), 0) if !secret.expose_secret().is_empty() => Ok(()),
            (true, Some(_), 0) => Err("secret: must not be empty".to_owned()),
            (true, ..) => Err(format!("secret: is what {:?} needs, and no public key", self.algorithm)),
            (false, None, 1) => Ok(()),
            (false, ..) => Err(format!(
                "public_key: is what {:?} needs, here or as public_key_file, and no secret",
                self.algorithm
            )),
        }
    }
}

impl JwksSettings {
    fn check(&self) -> Result<(), String> {
        match (&self.url, &self.file) {
            (Some(url), None) => {
                let ours = match url.host() {
                    Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
                    Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
                    Some(url::Host::Domain(name)) => name == "localhost",
                    None => false,
                };
                match url.scheme() {
                    "https" => {}
                    "http" if ours || self.allow_http => {}
                    "http" => return Err("url: must begin with https://, or allow_http be set".to_owned()),
                    _ => return Err("url: must begin with https:// or http://".to_owned()),
                }
            }
            (None, Some(_)) => {}
            _ => return Err("url: either it or `file` is needed".to_owned()),
        }
        if self.refresh < Duration::from_secs(10) {
            return Err("refresh: at least 10s".to_owned());
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(60) {
            return Err("timeout: above 0s and at most 60s".to_owned());
        }
        Ok(())
    }
}

impl LookupSettings {
    fn check(&self) -> Result<(), String> {
        let (name, timeout) = match self {
            Self::Redis(redis) => {
                if !redis.key.contains("{value}") {
                    return Err("redis.key: must hold {value}".to_owned());
                }
                ("redis", redis.timeout)
            }
            Self::Http(http) => ("http", http.timeout),
        };
        if timeout.is_zero() || timeout > Duration::from_secs(60) {
            return Err(format!("{name}.timeout: above 0s and at most 60s"));
        }
        Ok(())
    }
}
