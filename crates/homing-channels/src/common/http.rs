//! One HTTP exchange with a provider, and what a broken one means.

use std::{error::Error as _, net::SocketAddr, path::PathBuf, time::Duration};

use homing_core::{
    channel::{Answer, Outcome},
    clock::Millis,
};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{
    Certificate, Client, ClientBuilder, Request, Response, StatusCode,
    header::{DATE, HeaderMap, HeaderName, RETRY_AFTER},
    redirect,
};
use serde::Deserialize;
use url::Url;

use crate::{Error, Result};

/// Longer replies are not read.
pub(crate) const BODY_MAX: usize = 64 * 1024;

/// An idle connection is given up before usual servers close it: a request that meets the close is ambiguous.
pub(crate) const IDLE: Duration = Duration::from_secs(15);

/// Idle connections that are kept per provider: as many as senders have calls under way.
pub(crate) const KEPT: usize = 512;

/// Where a provider is, and how it is reached. Part of every channel's section (`#[serde(flatten)]` does not go with
/// `deny_unknown_fields`, so it is a table of its own: `[channel.fcm.endpoint]`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Scheme, host, port and a path to put in front; without it the provider's own.
    pub base_url: Option<Url>,
    /// The same for the service that lends access tokens, where it is another.
    pub auth_url: Option<Url>,
    /// Certificates (PEM) that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// The address that the host of `base_url` is at, instead of what DNS says.
    pub resolve: Option<SocketAddr>,
    /// Longest wait for a connection.
    pub connect_timeout_ms: u64,
    /// Longest wait for a whole answer.
    pub request_timeout_ms: u64,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            base_url: None,
            auth_url: None,
            ca_file: None,
            resolve: None,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 10_000,
        }
    }
}

impl Endpoint {
    /// `base_url`, or the provider's own address `own`, without a slash at its end.
    pub fn base(&self, own: &str) -> String {
        self.base_url.as_ref().map_or(own, |url| url.as_str()).trim_end_matches('/').to_owned()
    }

    /// The same for `auth_url`.
    pub(crate) fn auth(&self, own: &str) -> String {
        self.auth_url.as_ref().map_or(own, |url| url.as_str()).trim_end_matches('/').to_owned()
    }

    /// For channels whose addresses do not stand here: refuses the keys that name one.
    pub(crate) fn has_no_address(&self, section: &str) -> Result<()> {
        let given = [
            ("base_url", self.base_url.is_some()),
            ("auth_url", self.auth_url.is_some()),
            ("resolve", self.resolve.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(Error::setting(format!("{section}.{name}"), "this channel has no address of its own: leave it out"))
            }
            None => Ok(()),
        }
    }

    /// A client with these settings, to which a channel adds its own: it follows no redirect and asks no proxy of the
    /// environment. `section` names it in errors: `channel.fcm.endpoint`.
    pub fn builder(&self, section: &str) -> Result<ClientBuilder> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Error::NoTls);
        }
        for (name, ms) in
            [("connect_timeout_ms", self.connect_timeout_ms), ("request_timeout_ms", self.request_timeout_ms)]
        {
            if !(1..=600_000).contains(&ms) {
                return Err(Error::setting(format!("{section}.{name}"), format!("{ms} is not within 1 to 600000")));
            }
        }
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_millis(self.connect_timeout_ms))
            .timeout(Duration::from_millis(self.request_timeout_ms))
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT);
        if let Some(path) = &self.ca_file {
            let wrong = |problem: String| Error::setting(format!("{section}.ca_file"), problem);
            let pem = std::fs::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
            let trusted =
                Certificate::from_pem_bundle(&pem).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
            if trusted.is_empty() {
                return Err(wrong(format!("{} holds no certificate", path.display())));
            }
            builder = builder.tls_certs_merge(trusted);
        }
        if let (Some(address), Some(host)) = (self.resolve, self.base_url.as_ref().and_then(|url| url.host_str())) {
            builder = builder.resolve(host, address);
        }
        Ok(builder)
    }
}

/// A whole reply, whatever its status.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// At most 64 KiB, or what the channel asked for.
    pub body: Vec<u8>,
}

impl Reply {
    /// `Retry-After` in both forms (RFC 9110, section 10.2.3), as a wait from `now`.
    pub fn retry_after(&self, now: Millis) -> Option<Millis> {
        retry_after(&self.headers, now)
    }

    /// The `Date` header: the provider's clock.
    pub fn date(&self) -> Option<Millis> {
        date(&self.headers, DATE)
    }

    /// The body as JSON; `Null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends once and reads the whole reply. Without one it is an answer: connecting failed (Retry), or the request may have
/// arrived (Ambiguous).
pub async fn exchange(client: &Client, request: Request) -> Result<Reply, Answer> {
    exchange_up_to(client, request, BODY_MAX).await
}

/// As [`exchange`], for replies that are longer because they answer for each target of a page: up to `most` bytes.
pub(crate) async fn exchange_up_to(client: &Client, request: Request, most: usize) -> Result<Reply, Answer> {
    whole(client.execute(request).await.map_err(|error| broken(&error))?, most).await
}

/// As [`exchange`], for a channel that has its own answer to what breaks before a reply begins.
pub(crate) async fn exchange_or(
    client: &Client,
    request: Request,
    broken: impl FnOnce(&reqwest::Error) -> Answer,
) -> Result<Reply, Answer> {
    whole(client.execute(request).await.map_err(|error| broken(&error))?, BODY_MAX).await
}

async fn whole(mut response: Response, most: usize) -> Result<Reply, Answer> {
    let status = response.status();
    match read_up_to(&mut response, most).await {
        Ok(Some(body)) => Ok(Reply { status, headers: std::mem::take(response.headers_mut()), body }),
        // The status tells what became of the message; the words about it do not matter.
        Ok(None) if !status.is_success() => {
            Ok(Reply { status, headers: std::mem::take(response.headers_mut()), body: Vec::new() })
        }
        Ok(None) => Err(Answer::new(Outcome::Ambiguous, format!("the reply is longer than {most} bytes"))),
        Err(error) => Err(Answer::new(Outcome::Ambiguous, story(&error))),
    }
}

/// The body, or `None` when it is too long. The body of an error is read as well: it keeps the connection.
pub(crate) async fn read(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    read_up_to(response, BODY_MAX).await
}

async fn read_up_to(response: &mut Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Without a connection nothing was written; any later break leaves the fate open.
pub(crate) fn broken(error: &reqwest::Error) -> Answer {
    let outcome = if error.is_connect() {
        Outcome::Retry { after: None }
    } else if error.is_builder() {
        Outcome::Config
    } else {
        Outcome::Ambiguous
    };
    Answer::new(outcome, story(error))
}

/// `Retry-After` as a wait from `now`.
pub(crate) fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<Millis>().ok()?.checked_mul(1000);
    }
    Some(date(headers, RETRY_AFTER)?.saturating_sub(now).max(0))
}

/// A header that holds a date.
pub(crate) fn date(headers: &HeaderMap, name: HeaderName) -> Option<Millis> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(DateTimeParser::new().parse_timestamp(text.trim()).ok()?.as_millisecond())
}

/// The error with its causes and without the address.
pub fn story(error: &reqwest::Error) -> String {
    let mut story = match error {
        error if error.is_connect() => "connection failed",
        error if error.is_timeout() => "no answer in time",
        _ => "connection broke",
    }
    .to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        story.push_str(": ");
        story.push_str(&cause.to_string());
        source = cause.source();
    }
    story
}
