//! A service of the installation that answers questions by HTTP.
//!
//! Its address comes from the operator's configuration, so it may well be a private one. Redirects are not followed and no
//! proxy is asked; an answer has a bound in time and in bytes.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Response, Url, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::timeout;

use crate::config::StoreConfig;
use crate::error::ConfigError;
use crate::failure::Failure;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes of an answer.
const MAX_BODY: usize = 16 << 20;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A service.
pub(crate) struct HttpStore {
    name: String,
    url: Url,
    token: Option<SecretString>,
    timeout: Duration,
    /// May a lookup's `invalidate` write?
    pub(crate) allow_write: bool,
    client: OnceLock<Client>,
}

// === impl HttpStore ===

impl HttpStore {
    /// Reads the URL; opens nothing.
    pub(crate) fn new(name: &str, config: &StoreConfig) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::store(name, key, reason);
        if config.pool.is_some() {
            return Err(wrong("pool", "is for SQL; an HTTP client opens connections as it needs them"));
        }
        let url = Url::parse(config.url.expose_secret()).map_err(|error| wrong("url", &error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("url", "must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("url", "holds a user or password; write `token`, which is sent as a Bearer token"));
        }
        Ok(Self {
            name: name.to_owned(),
            url,
            token: config.token.clone(),
            timeout: config.timeout.unwrap_or(DEFAULT_TIMEOUT),
            allow_write: config.allow_write,
            client: OnceLock::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The address without its query, which may hold a key.
    pub(crate) fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    }

    /// The body of the answer to a question.
    pub(crate) async fn post(&self, question: &Value) -> Result<Vec<u8>, Failure> {
        let call = async {
            let client = self.client()?;
            let mut response = match self.send(client, question).await {
                // A kept connection may have been closed meanwhile. A question may be asked twice.
                Err(error) if !error.is_connect() => self.send(client, question).await,
                done => done,
            }
            .map_err(|error| self.failed(error))?;
            let status = response.status();
            if status.is_redirection() {
                return Err(self.refused(format!("answers {status}; redirects are not followed")));
            }
            if !status.is_success() {
                return Err(self.refused(format!("answers {status}")));
            }
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|error| self.failed(error))? {
                if body.len() + piece.len() > MAX_BODY {
                    return Err(self.refused(format!("answers with more than {MAX_BODY} bytes")));
                }
                body.extend_from_slice(&piece);
            }
            Ok(body)
        };
        match timeout(self.timeout, call).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Silent { store: self.name.clone(), timeout: self.timeout, last: None }),
        }
    }

    async fn send(&self, client: &Client, question: &Value) -> Result<Response, reqwest::Error> {
        let mut request = client.post(self.url.clone()).header(header::ACCEPT, "application/json").json(question);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        request.send().await
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(self.refused("this process has installed no TLS provider".to_owned()));
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(IDLE)
            .connect_timeout(self.timeout)
            .build()
            .map_err(|error| self.failed(error))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The address goes out of the error: its query may hold a key.
    fn failed(&self, error: reqwest::Error) -> Failure {
        Failure::driver(&self.name, error.without_url())
    }

    fn refused(&self, reason: String) -> Failure {
        Failure::contradiction(&self.name, reason)
    }
}
