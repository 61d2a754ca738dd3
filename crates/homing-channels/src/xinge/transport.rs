//! One HTTP exchange with the service. Whatever is not a complete reply with status 200 becomes an answer here.

use homing_core::{
    channel::{Answer, Outcome},
    clock::{Clock, Millis},
};
use reqwest::{
    Client, Request, StatusCode,
    header::{DATE, HeaderMap},
    redirect,
};

use super::{options::Options, reply::answer};
use crate::{
    Error, Result,
    common::http::{BODY_MAX, IDLE, KEPT, broken, date, read, retry_after, story},
};

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

fn refused(status: StatusCode, headers: &HeaderMap, now: Millis) -> Answer {
    let after = retry_after(headers, now);
    let outcome = if status == StatusCode::TOO_MANY_REQUESTS {
        Outcome::limited(after)
    } else if status.is_server_error() {
        Outcome::Retry { after }
    } else {
        Outcome::Unknown
    };
    answer(outcome, format!("HTTP status {}", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use reqwest::header::RETRY_AFTER;

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
        check(429, None, Outcome::limited(None));
        check(429, Some("120"), Outcome::limited(after(120)));
        check(429, Some("Sun, 06 Nov 1994 08:50:37 GMT"), Outcome::limited(after(60)));
        check(429, Some("Sun, 06 Nov 1994 08:40:37 GMT"), Outcome::limited(after(0)));
        check(429, Some("soon"), Outcome::limited(None));
        check(429, Some("99999999999999999999"), Outcome::limited(None));
        check(302, None, Outcome::Unknown);
        check(404, Some("1"), Outcome::Unknown);
        check(201, None, Outcome::Unknown);
    }
}
