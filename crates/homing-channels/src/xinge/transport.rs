//! One HTTP exchange with the service. Whatever is not a complete reply with status 200 becomes an answer here.

use std::{error::Error as _, time::Duration};

use homing_core::{
    channel::{Answer, Outcome},
    clock::{Clock, Millis},
};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{
    Client, Request, Response, StatusCode,
    header::{DATE, HeaderMap, HeaderName, RETRY_AFTER},
    redirect,
};

use super::{options::Options, reply::answer};
use crate::{Error, Result};

/// Longer replies are not read.
const BODY_MAX: usize = 64 * 1024;

/// An idle connection is given up before usual servers close it: a request that meets the close is ambiguous.
const IDLE: Duration = Duration::from_secs(15);

/// Idle connections that are kept per provider: as many as senders have calls under way.
const KEPT: usize = 512;

/// The body of a reply with status 200, and the service's clock.
pub(crate) struct Exchange {
    pub(crate) body: Vec<u8>,
    headers: HeaderMap,
}

// === impl Exchange ===

impl Exchange {
    /// The `Date` header.
    pub(crate) fn date(&self) -> Option<Millis> {
        date(&self.headers, DATE)
    }
}

/// One client for all accounts: it keeps connections, follows no redirect and asks no proxy of the environment.
pub(crate) fn client(options: &Options) -> Result<Client> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::NoTls);
    }
    Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(options.connect_timeout())
        .timeout(options.request_timeout())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(KEPT)
        .build()
        .map_err(Error::Client)
}

/// Sends once and reads the whole reply.
pub(crate) async fn exchange(client: &Client, request: Request, clock: &dyn Clock) -> Result<Exchange, Answer> {
    let mut response = client.execute(request).await.map_err(|error| broken(&error))?;
    let status = response.status();
    let body = read(&mut response).await;
    if status != StatusCode::OK {
        return Err(refused(status, response.headers(), clock.now()));
    }
    match body {
        Ok(Some(body)) => Ok(Exchange { body, headers: std::mem::take(response.headers_mut()) }),
        Ok(None) => Err(answer(Outcome::Ambiguous, format!("the reply is longer than {BODY_MAX} bytes"))),
        Err(error) => Err(answer(Outcome::Ambiguous, story(&error))),
    }
}

/// The body, or `None` when it is too long. The body of an error is read as well: it keeps the connection.
async fn read(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Without a connection nothing was written; any later break leaves the fate open.
fn broken(error: &reqwest::Error) -> Answer {
    let outcome = if error.is_connect() {
        Outcome::Retry { after: None }
    } else if error.is_builder() {
        Outcome::Config
    } else {
        Outcome::Ambiguous
    };
    answer(outcome, story(error))
}

fn refused(status: StatusCode, headers: &HeaderMap, now: Millis) -> Answer {
    let after = retry_after(headers, now);
    let outcome = if status == StatusCode::TOO_MANY_REQUESTS {
        Outcome::RateLimited { after }
    } else if status.is_server_error() {
        Outcome::Retry { after }
    } else {
        Outcome::Unknown
    };
    answer(outcome, format!("HTTP status {}", status.as_u16()))
}

/// `Retry-After` in both forms, seconds and date (RFC 9110, section 10.2.3), as a wait from `now`.
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<Millis>().ok()?.checked_mul(1000);
    }
    Some(date(headers, RETRY_AFTER)?.saturating_sub(now).max(0))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<Millis> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(DateTimeParser::new().parse_timestamp(text.trim()).ok()?.as_millisecond())
}

/// The error with its causes and without the address.
fn story(error: &reqwest::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, retry_after: Option<&str>, expected: Outcome) {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        let now = 784_111_777_000;
        assert_eq!(refused(StatusCode::from_u16(status).unwrap(), &headers, now).outcome, expected);
    }

    #[test]
    fn statuses_become_outcomes_and_both_forms_of_retry_after_are_read() {
        let after = |seconds: i64| Some(seconds * 1000);
        check(500, None, Outcome::Retry { after: None });
        check(503, Some("7"), Outcome::Retry { after: after(7) });
        check(429, None, Outcome::RateLimited { after: None });
        check(429, Some("120"), Outcome::RateLimited { after: after(120) });
        check(429, Some("Sun, 06 Nov 1994 08:50:37 GMT"), Outcome::RateLimited { after: after(60) });
        check(429, Some("Sun, 06 Nov 1994 08:40:37 GMT"), Outcome::RateLimited { after: after(0) });
        check(429, Some("soon"), Outcome::RateLimited { after: None });
        check(429, Some("99999999999999999999"), Outcome::RateLimited { after: None });
        check(302, None, Outcome::Unknown);
        check(404, Some("1"), Outcome::Unknown);
        check(201, None, Outcome::Unknown);
    }
}
