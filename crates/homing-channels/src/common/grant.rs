//! One exchange with a service that lends access tokens (OAuth 2.0, RFC 6749, section 5).

use homing_core::{
    channel::{Answer, Outcome},
    clock::Millis,
};
use reqwest::Client;
use serde_json::Value;

use super::{
    http::{Reply, exchange},
    lent::Fresh,
    words::words,
};

/// Life of a token that comes without one, in seconds.
pub(crate) const HOUR: i64 = 3_600;

/// So long before its end a token is renewed.
pub(crate) const EARLY: Millis = 600_000;

/// A token, and the service's clock where it was asked.
pub(crate) struct Granted {
    pub(crate) fresh: Fresh,
    pub(crate) date: Option<Millis>,
}

/// A token was not granted.
pub(crate) struct Denied {
    pub(crate) answer: Answer,
    pub(crate) date: Option<Millis>,
}

impl Denied {
    /// Before the service was asked.
    pub(crate) fn unasked(outcome: Outcome, detail: String) -> Self {
        Self { answer: Answer::new(outcome, detail), date: None }
    }
}

/// What a refusal of the service means, by its status and body; `None` where it is as usual.
pub(crate) type Refusal = fn(u16, &Value, Option<Millis>) -> Option<Outcome>;

/// Asks once with this form. Without a token nothing was sent, so no answer here is ambiguous. `secret` is left out of
/// what the service says.
pub(crate) async fn grant(
    client: &Client,
    url: &str,
    form: &[(&str, &str)],
    secret: &str,
    refusal: Refusal,
    now: Millis,
) -> Result<Granted, Denied> {
    let request = client.post(url).form(form).build().map_err(|_| {
        Denied::unasked(Outcome::Config, "no access token: the address of the token service is unusable".into())
    })?;
    let reply = exchange(client, request).await.map_err(|answer| {
        let outcome = if answer.outcome == Outcome::Config { Outcome::Config } else { Outcome::Retry { after: None } };
        Denied::unasked(outcome, format!("no access token: {}", answer.detail))
    })?;
    read(&reply, secret, refusal, now)
}

fn read(reply: &Reply, secret: &str, refusal: Refusal, now: Millis) -> Result<Granted, Denied> {
    let (date, body, status) = (reply.date(), reply.json(), reply.status.as_u16());
    if status == 200
        && let Some(token) = body["access_token"].as_str().filter(|token| is_token(token))
    {
        let life = seconds(&body["expires_in"]).unwrap_or(HOUR).clamp(60, 86_400).saturating_mul(1_000);
        // A token that lives shorter than twice that serves for half of its life.
        let renew_at = now.saturating_add((life - EARLY).max(life / 2));
        return Ok(Granted { fresh: Fresh { token: token.to_owned(), renew_at }, date });
    }
    let after = reply.retry_after(now);
    let usual = || match status {
        400 | 401 | 403 | 404 => Outcome::Config,
        429 => Outcome::limited(after),
        _ => Outcome::Retry { after },
    };
    let outcome = refusal(status, &body, after).unwrap_or_else(usual);
    let said = ["error", "sub_error", "error_description"].map(|name| match &body[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    });
    let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    let said = words(&said.join(" "), &[secret]);
    let said = if said.is_empty() { "no reason given" } else { &said };
    Err(Denied { answer: Answer::new(outcome, format!("no access token (HTTP {status}): {said}")), date })
}

/// Fit for a header?
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= 8_192 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
