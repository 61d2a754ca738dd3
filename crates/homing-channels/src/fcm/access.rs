//! The access token: an assertion signed by the service account, exchanged for a token that serves for an hour. (Google,
//! "Using OAuth 2.0 for server to server applications".)

use homing_core::{
    channel::{Answer, Outcome},
    clock::Millis,
};
use reqwest::Client;
use serde_json::{Value, json};

use super::service_account::ServiceAccount;
use crate::common::{
    http::{Reply, exchange},
    lent::Fresh,
    words::words,
};

/// What a token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The form's `grant_type`. (RFC 7523, section 2.1.)
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Life of an assertion, and of a token that comes without one, in seconds.
const HOUR: i64 = 3_600;

/// So long before its end a token is renewed.
const EARLY: Millis = 600_000;

/// A token, and the service's clock.
pub(crate) struct Granted {
    pub(crate) fresh: Fresh,
    pub(crate) date: Option<Millis>,
}

/// A token was not granted.
pub(crate) struct Denied {
    pub(crate) answer: Answer,
    pub(crate) date: Option<Millis>,
}

/// Asks once. Without a token nothing was sent, so no answer here is ambiguous.
pub(crate) async fn fetch(
    client: &Client,
    url: &str,
    account: &ServiceAccount,
    now: Millis,
) -> Result<Granted, Denied> {
    let denied = |outcome, detail: String| Denied { answer: Answer::new(outcome, detail), date: None };
    let seconds = now.div_euclid(1_000);
    let claims = json!({
        "iss": account.email, "scope": SCOPE, "aud": account.audience,
        "iat": seconds, "exp": seconds.saturating_add(HOUR),
    });
    let kid = account.key_id.as_deref().map(|id| ("kid", id));
    let assertion = account
        .signer
        .sign(kid.as_slice(), &claims)
        .map_err(|problem| denied(Outcome::Retry { after: None }, format!("no access token: {problem}")))?;
    let request =
        client.post(url).form(&[("grant_type", GRANT), ("assertion", &assertion)]).build().map_err(|_| {
            denied(Outcome::Config, "no access token: the address of the token service is unusable".into())
        })?;
    let reply = exchange(client, request).await.map_err(|answer| {
        let outcome = if answer.outcome == Outcome::Config { Outcome::Config } else { Outcome::Retry { after: None } };
        denied(outcome, format!("no access token: {}", answer.detail))
    })?;
    read(&reply, &assertion, now)
}

fn read(reply: &Reply, assertion: &str, now: Millis) -> Result<Granted, Denied> {
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
    let outcome = match status {
        400 | 401 | 403 | 404 => Outcome::Config,
        429 => Outcome::limited(after.or(Some(60_000))),
        _ => Outcome::Retry { after },
    };
    let said = ["error", "error_description"].map(|name| body[name].as_str().unwrap_or_default());
    let said = words(&said.join(" "), &[assertion]);
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
