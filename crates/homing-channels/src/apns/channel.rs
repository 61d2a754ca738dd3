//! The channel: finds the account of a notification and makes the calls of a page at once.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use homing_core::{
    channel::{Answer, Channel, Credential, Outcome},
    notification::{Environment, Notification, Platform, Target},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use toml::Table;
use url::Url;

use super::{
    account::{Account, Proof, Shared},
    examine::examine,
    line::{Limits, Line},
    link::Place,
    payload::hex,
    settings::{AccountSettings, Settings, path},
    tls::{self, Identity},
    token::Tokens,
};
use crate::{
    Error, Result,
    common::{codes::Codes, section},
    registry::Tools,
};

/// Devices of one call of [`Channel::send`]; each is a request of its own.
pub const PAGE: usize = 64;

const ENDPOINT: &str = "channel.apns.endpoint";

/// APNs for any number of (app, environment) accounts.
pub struct Apns {
    shared: Shared,
    accounts: Vec<Account>,
}

impl std::fmt::Debug for Apns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.accounts.iter().map(|account| &account.settings)).finish()
    }
}

impl Apns {
    /// From `[channel.apns]`. Connects to nobody yet. A TLS provider of the process must be installed.
    ///
    /// # Errors
    /// Names the setting: `channel.apns.account.higo.key`.
    pub fn new(table: &Table, tools: &Tools) -> Result<Self> {
        let settings: Settings = section::read("apns", table)?;
        settings.check()?;
        let codes = Codes::load(include_str!("apns.toml"), "channel.apns.codes", settings.codes.as_deref())?;
        let mut makers = Makers::default();
        let Settings { endpoint, streams, account, .. } = settings;
        let limits = Limits {
            streams,
            connect: Duration::from_millis(endpoint.connect_timeout_ms),
            request: Duration::from_millis(endpoint.request_timeout_ms),
        };
        let mut accounts = Vec::new();
        for (key, settings) in account {
            accounts.push(makers.account(&key, settings, &endpoint, limits)?);
        }
        Ok(Self { shared: Shared { codes, clock: Arc::clone(&tools.clock) }, accounts })
    }

    /// As the registry builds it.
    ///
    /// # Errors
    /// See [`Apns::new`].
    pub fn build(table: &Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
        Ok(Arc::new(Self::new(table, tools)?))
    }

    fn account(&self, notification: &Notification) -> Result<&Account, Answer> {
        let (app, platform, environment) = (&notification.app, notification.platform, notification.environment);
        let fits = |account: &&Account| {
            platform == Platform::Ios && account.settings.app == *app && account.settings.environment == environment
        };
        self.accounts.iter().find(fits).ok_or_else(|| {
            let detail = format!("not sent: no account for app {app}, {}, {}", platform.name(), environment.name());
            Answer::new(Outcome::Config, detail)
        })
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let ready = self.account(notification).and_then(|account| Ok((account, account.prepared(notification)?)));
        match ready {
            Ok((account, prepared)) => {
                join_all(targets.iter().map(|target| account.push(&self.shared, notification, target, &prepared))).await
            }
            Err(answer) => answer.for_all(targets),
        }
    }

    fn rehearse_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let ready = self.account(notification).and_then(|account| account.prepared(notification).map(|_| account));
        match ready {
            Ok(account) => targets.iter().map(|target| account.rehearse(&self.shared, target)).collect(),
            Err(answer) => answer.for_all(targets),
        }
    }
}

impl Channel for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    fn page(&self) -> usize {
        PAGE
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }

    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(std::future::ready(self.rehearse_all(notification, targets)))
    }

    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(async { join_all(self.accounts.iter().map(|account| examine(account, &self.shared))).await })
    }
}

/// Keys and connections that accounts share.
#[derive(Default)]
struct Makers {
    tokens: HashMap<(String, String), Arc<Tokens>>,
    lines: HashMap<(String, String), Arc<Line>>,
}

impl Makers {
    fn account(
        &mut self,
        key: &str,
        settings: AccountSettings,
        endpoint: &crate::Endpoint,
        limits: Limits,
    ) -> Result<Account> {
        let base = base(key, &settings, endpoint)?;
        let (proof, who, identity) = self.proof(key, &settings)?;
        let at = base.as_str().trim_end_matches('/').to_owned();
        let line = match self.lines.get(&(who.clone(), at.clone())) {
            Some(line) => Arc::clone(line),
            None => {
                let certificate = path(key, "certificate");
                let identity = identity.as_ref().map(|identity| (identity, certificate.as_str()));
                let line = Arc::new(Line::new(place(&base, endpoint, identity)?, limits));
                self.lines.insert((who, at.clone()), Arc::clone(&line));
                line
            }
        };
        let path = format!("channel.apns.account.{key}");
        Ok(Account { path, settings, base: at, proof, line, window: Default::default() })
    }

    /// Who the account is, a name for it, and its certificate.
    fn proof(&mut self, key: &str, settings: &AccountSettings) -> Result<(Proof, String, Option<Identity>)> {
        if let Some(pem) = &settings.certificate {
            let identity = Identity::from_pem(pem.expose_secret())
                .map_err(|problem| Error::setting(path(key, "certificate"), problem))?;
            let name = hex(&Sha256::digest(identity.leaf()));
            return Ok((Proof::Certificate { expires_at: identity.expires_at }, name, Some(identity)));
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (team, id) = (text(&settings.team_id), text(&settings.key_id));
        let pem = settings.key.as_ref().map(|pem| pem.expose_secret()).unwrap_or_default();
        let wrong = |problem: String| Error::setting(path(key, "key"), problem);
        let tokens = Arc::new(Tokens::new(pem, &id, &team).map_err(wrong)?);
        let known = self.tokens.entry((team.clone(), id.clone())).or_insert_with(|| Arc::clone(&tokens));
        if !known.is(&tokens) {
            return Err(wrong(format!("another account has another key with the key_id {id}")));
        }
        Ok((Proof::Key(Arc::clone(known)), format!("{team}/{id}"), None))
    }
}

/// The account's address, or the channel's, or Apple's.
fn base(key: &str, settings: &AccountSettings, endpoint: &crate::Endpoint) -> Result<Url> {
    let own = match settings.environment {
        Environment::Production => "https://api.push.apple.com",
        Environment::Development => "https://api.sandbox.push.apple.com",
    };
    let (given, at) = match &settings.base_url {
        Some(url) => (Some(url.clone()), path(key, "base_url")),
        None => (endpoint.base_url.clone(), format!("{ENDPOINT}.base_url")),
    };
    let url = given.map_or_else(|| Url::parse(own), Ok).map_err(|error| Error::setting(&at, error.to_string()))?;
    let bare = url.path().is_empty() || url.path() == "/";
    if !matches!(url.scheme(), "https" | "http") || !bare || url.query().is_some() || !url.username().is_empty() {
        return Err(Error::setting(at, format!("`{url}` is more or less than scheme, host and port")));
    }
    Ok(url)
}

fn place(url: &Url, endpoint: &crate::Endpoint, identity: Option<(&Identity, &str)>) -> Result<Place> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let with_tls = url.scheme() == "https";
    let tls = if with_tls { Some(tls::client(endpoint, ENDPOINT, identity)?) } else { None };
    // A port in the address counts where the URL names none.
    let resolve = endpoint.resolve.map(|address| match (url.port(), address.port()) {
        (None, given) if given != 0 => address,
        _ => SocketAddr::new(address.ip(), port),
    });
    Ok(Place { host, port, resolve, tls })
}
