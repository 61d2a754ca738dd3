//! What a call proves itself with: under v1 an access token that Huawei lends for the app's secret, under v3 a JWT that we
//! sign ourselves.

use homing_core::{
    channel::{Answer, Outcome},
    clock::Millis,
};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::service_account::ServiceAccount;
use crate::common::{
    http::{Reply, exchange},
    lent::Fresh,
    words::words,
};

/// Life of a JWT, and of an access token that comes without one, in seconds.
const HOUR: i64 = 3_600;

/// So long before its end a token is renewed.
const EARLY: Millis = 600_000;

/// A credential, and Huawei's clock where it was asked.
pub(crate) struct Granted {
    pub(crate) fresh: Fresh,
    pub(crate) date: Option<Millis>,
}

/// No credential.
pub(crate) struct Denied {
    pub(crate) answer: Answer,
    pub(crate) date: Option<Millis>,
}

/// v1: asks once. (Huawei, "OAuth 2.0, client credentials mode".) Without a token nothing was sent, so no answer here is
/// ambiguous.
pub(crate) async fn fetch(
    client: &Client,
    url: &str,
    app_id: &str,
    secret: &SecretString,
    now: Millis,
) -> Result<Granted, Denied> {
    let denied = |outcome, detail: String| Denied { answer: Answer::new(outcome, detail), date: None };
    let form = [("grant_type", "client_credentials"), ("client_id", app_id), ("client_secret", secret.expose_secret())];
    let request =
        client.post(url).form(&form).build().map_err(|_| {
            denied(Outcome::Config, "no access token: the address of the token service is unusable".into())
        })?;
    let reply = exchange(client, request).await.map_err(|answer| {
        let outcome = if answer.outcome == Outcome::Config { Outcome::Config } else { Outcome::Retry { after: None } };
        denied(outcome, format!("no access token: {}", answer.detail))
    })?;
    read(&reply, secret.expose_secret(), now)
}

fn read(reply: &Reply, secret: &str, now: Millis) -> Result<Granted, Denied> {
    let (date, body, status) = (reply.date(), reply.json(), reply.status.as_u16());
    if status == 200
        && let Some(token) = body["access_token"].as_str().filter(|token| is_token(token))
    {
        let life = seconds(&body["expires_in"]).unwrap_or(HOUR).clamp(60, 86_400).saturating_mul(1_000);
        let renew_at = now.saturating_add((life - EARLY).max(life / 2));
        return Ok(Granted { fresh: Fresh { token: token.to_owned(), renew_at }, date });
    }
    let after = reply.retry_after(now);
    let outcome = match status {
        // Its errors may come with status 200.
        200 if body.get("error").is_some() => Outcome::Config,
        400 | 401 | 403 | 404 => Outcome::Config,
        429 | 503 => Outcome::limited(after),
        _ => Outcome::Retry { after },
    };
    let said = ["error", "sub_error", "error_description"].map(|name| match &body[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    });
    let said = words(&said.join(" "), &[secret]);
    let said = if said.is_empty() { "no reason given" } else { &said };
    Err(Denied { answer: Answer::new(outcome, format!("no access token (HTTP {status}): {said}")), date })
}

/// Fit for a header? Huawei's tokens have base64's characters.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= 8_192 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// v3: signs. (Huawei, "Generating a JWT based on a service account".)
pub(crate) fn sign(account: &ServiceAccount, now: Millis) -> Result<Granted, Denied> {
    let seconds = now.div_euclid(1_000);
    let exp = seconds.saturating_add(HOUR);
    let claims = json!({ "iss": account.sub_account, "aud": account.audience, "iat": seconds, "exp": exp });
    let token = account.signer.sign(&[("kid", &account.key_id)], &claims).map_err(|problem| Denied {
        answer: Answer::new(Outcome::Retry { after: None }, format!("no JWT: {problem}")),
        date: None,
    })?;
    let renew_at = exp.saturating_mul(1_000) - EARLY;
    Ok(Granted { fresh: Fresh { token, renew_at }, date: None })
}
