//! Huawei's push service, on plain HTTP: `POST /oauth2/v3/token` lends access tokens for an app's secret, `POST
//! /v1/{app}/messages:send` and `POST /v3/{project}/messages:send` take messages. What it checks and how it refuses is
//! from Huawei's references (Push Kit REST API; push scenariozed API).
//!
//! Beside the [script](super::stand::Script) that all providers share:
//!
//! | `own.` | meaning |
//! |---|---|
//! | `lent_s` | life of an access token, else 3600 |
//! | `revoked` | access tokens up to this number have expired |
//! | `code` | every call is answered with this code and not looked at |
//! | `unnamed` | a partial success does not say which tokens failed |
//!
//! | state of a token | v1 | v3 |
//! |---|---|---|
//! | dead | in `illegal_tokens` | in `tokenFormatError` |
//! | foreign | in `illegal_tokens` | in `noRight` |
//! | throttled | HTTP 503 for the call | the same |
//! | code, digits | that code for the call | the same |
//! | code, a name | in `illegal_tokens` | in that list |
//!
//! Some tokens failed: 80100000; all: 80300007. Counts: `tokens_lent`, `validated` (validate_only), `targets`.

mod limits;
mod oauth;
mod reply;
mod v1;
mod v3;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, body::Bytes, http::HeaderMap, response::Response, routing::post};
use homing_core::clock::Millis;
use serde_json::Value;

use self::oauth::Lender;
use super::{jwt, stand::Stand};

/// An app as v1 knows it.
#[derive(Clone)]
pub struct App {
    /// Its id.
    pub app_id: String,
    /// Its secret.
    pub secret: String,
}

/// A project as v3 knows it.
#[derive(Clone)]
pub struct Project {
    /// Its id.
    pub project: String,
    /// The key's id.
    pub key_id: String,
    /// Who signs.
    pub sub_account: String,
    /// For whom JWTs are made.
    pub token_uri: String,
    /// The public key (DER of an RSAPublicKey).
    pub public_key: Vec<u8>,
}

/// See [`router`].
#[derive(Clone, Default)]
pub struct Config {
    /// Apps of v1.
    pub apps: Vec<App>,
    /// Projects of v3.
    pub projects: Vec<Project>,
}

/// What all calls share.
pub(crate) struct Huawei {
    config: Config,
    stand: Arc<Stand>,
    lender: Lender,
    requests: Mutex<u64>,
}

impl Project {
    /// From a key file as Huawei hands it out; only the public part is kept. `project` is the one that it names, or this.
    ///
    /// # Errors
    /// In words.
    pub fn of_service_account(text: &str, project: Option<&str>) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| format!("the key file is no JSON: {error}"))?;
        let of = |name: &str| match &file[name] {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(format!("the key file lacks {name}")),
        };
        let own = "https://oauth-login.cloud.huawei.com/oauth2/v3/token";
        Ok(Self {
            project: project.map_or_else(|| of("project_id"), |project| Ok(project.to_owned()))?,
            key_id: of("key_id")?,
            sub_account: of("sub_account")?,
            token_uri: of("token_uri").unwrap_or_else(|_| own.to_owned()),
            public_key: jwt::public_of(&of("private_key")?)?,
        })
    }
}

impl Config {
    /// The accounts of a `[channel.hms]` section.
    ///
    /// # Errors
    /// Names the account.
    pub fn of_section(section: &toml::Table) -> Result<Self, String> {
        let mut config = Self::default();
        for (name, account) in section.get("account").and_then(toml::Value::as_table).into_iter().flatten() {
            let of = |key: &str| match account.get(key) {
                Some(toml::Value::String(text)) => Ok(text.trim().to_owned()),
                Some(toml::Value::Integer(number)) => Ok(number.to_string()),
                _ => Err(format!("channel.hms.account.{name} has no {key}")),
            };
            if of("flavour")? == "v3" {
                let project = Project::of_service_account(&of("service_account")?, of("project").ok().as_deref());
                config.projects.push(project.map_err(|problem| format!("channel.hms.account.{name}: {problem}"))?);
            } else {
                config.apps.push(App { app_id: of("app_id")?, secret: of("secret")? });
            }
        }
        Ok(config)
    }
}

impl Huawei {
    /// The `requestId` of an answer.
    fn request_id(&self, now: Millis) -> String {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests += 1;
        format!("{now}{:06}", *requests)
    }
}

/// A call, read.
struct Call {
    name: String,
    headers: HeaderMap,
    body: Bytes,
}

type Answered = Result<Response, Box<Response>>;

/// The provider's routes. Nest `stand.routes()` under `/_sim` beside them.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let huawei = Huawei { config, stand, lender: Lender::default(), requests: Mutex::default() };
    Router::new()
        .route("/oauth2/v3/token", post(oauth::grant))
        .route("/oauth2/v2/token", post(oauth::grant))
        .route("/v1/{app}/messages:send", post(v1::send))
        .route("/v3/{project}/messages:send", post(v3::send))
        .with_state(Arc::new(huawei))
}
