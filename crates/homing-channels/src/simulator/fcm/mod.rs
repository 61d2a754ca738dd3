//! FCM as Google runs it, on plain HTTP: `POST /token` lends access tokens for signed assertions, `POST
//! /v1/projects/{project}/messages:send` takes messages. What it checks of a message, and in which shape it refuses, is
//! from Firebase's reference (projects.messages, ErrorCode) and Google's API error model.
//!
//! Beside the [script](super::stand::Script) that all providers share, where `http_status` is answered in Google's shape
//! and a 429 with `retry_after` closes the project for so long:
//!
//! | `own.` | meaning |
//! |---|---|
//! | `project` | `http_status` meets only this project |
//! | `lent_s` | life of an access token, else 3599 |
//! | `revoked` | access tokens up to this number are refused |
//! | `grace_ms` | calls that arrive so soon after a 429 were under way (default 200) |
//!
//! | state of a token | answer |
//! |---|---|
//! | dead | 404 UNREGISTERED |
//! | foreign | 403 SENDER_ID_MISMATCH |
//! | throttled | 429 QUOTA_EXCEEDED of the device |
//! | code | the error of that name, see `errors.rs` |
//!
//! Counts: `tokens_lent`, `assertions_refused`, `validated` (validate_only), `early_calls` (before the Retry-After of
//! their project or device had passed), `under_way` (the same within the grace), `latest_early_ms` (how long after the 429
//! the last of both came), `most_at_once`.

mod errors;
mod limits;
mod message;
mod oauth;
mod send;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, routing::post};
use serde_json::Value;

use self::{limits::Limits, oauth::Lender};
use super::{jwt, stand::Stand};

/// A service account that the simulated Google knows.
#[derive(Clone)]
pub struct Account {
    /// Its project.
    pub project: String,
    /// Who it is.
    pub client_email: String,
    /// For whom its assertions are made.
    pub token_uri: String,
    /// Its public key (DER of an RSAPublicKey).
    pub public_key: Vec<u8>,
}

/// See [`router`].
#[derive(Clone, Default)]
pub struct Config {
    /// The accounts that may send.
    pub accounts: Vec<Account>,
}

/// What all calls share.
pub(crate) struct Google {
    config: Config,
    stand: Arc<Stand>,
    lender: Lender,
    limits: Limits,
    at_once: AtomicU64,
}

impl Account {
    /// From a key file as Google hands it out; only the public part is kept. `project` is the one that it names, or this.
    ///
    /// # Errors
    /// In words.
    pub fn of_service_account(text: &str, project: Option<&str>) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| format!("the key file is no JSON: {error}"))?;
        let of =
            |name: &str| file[name].as_str().map(str::to_owned).ok_or_else(|| format!("the key file lacks {name}"));
        Ok(Self {
            project: project.map_or_else(|| of("project_id"), |project| Ok(project.to_owned()))?,
            client_email: of("client_email")?,
            token_uri: of("token_uri").unwrap_or_else(|_| "https://oauth2.googleapis.com/token".to_owned()),
            public_key: jwt::public_of(&of("private_key")?)?,
        })
    }
}

impl Config {
    /// The accounts of a `[channel.fcm]` section.
    ///
    /// # Errors
    /// Names the account.
    pub fn of_section(section: &toml::Table) -> Result<Self, String> {
        let mut accounts = Vec::new();
        for (name, account) in section.get("account").and_then(toml::Value::as_table).into_iter().flatten() {
            let of = |key: &str| account.get(key).and_then(toml::Value::as_str);
            let file =
                of("service_account").ok_or_else(|| format!("channel.fcm.account.{name} has no service_account"))?;
            let account = Account::of_service_account(file, of("project"));
            accounts.push(account.map_err(|problem| format!("channel.fcm.account.{name}: {problem}"))?);
        }
        Ok(Self { accounts })
    }
}

impl Google {
    /// A call to send is under way until this is dropped.
    fn enter(&self) -> Entered<'_> {
        self.stand.peak("most_at_once", self.at_once.fetch_add(1, Ordering::Relaxed) + 1);
        Entered(&self.at_once)
    }
}

struct Entered<'a>(&'a AtomicU64);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The provider's routes. Nest `stand.routes()` under `/_sim` beside them.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let google =
        Google { config, stand, lender: Lender::default(), limits: Limits::default(), at_once: AtomicU64::new(0) };
    Router::new()
        .route("/token", post(oauth::grant))
        .route("/v1/projects/{project}/messages:send", post(send::send))
        .with_state(Arc::new(google))
}
