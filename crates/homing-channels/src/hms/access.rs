//! What a call proves itself with: under v1 an access token that Huawei lends for the app's secret, under v3 a JWT that we
//! sign ourselves.

use homing_core::{channel::Outcome, clock::Millis};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::service_account::ServiceAccount;
pub(super) use crate::common::grant::{Denied, Granted};
use crate::common::{
    grant::{EARLY, HOUR, grant},
    lent::Fresh,
};

/// v1: asks once. (Huawei, "OAuth 2.0, client credentials mode".)
pub(crate) async fn fetch(
    client: &Client,
    url: &str,
    app_id: &str,
    secret: &SecretString,
    now: Millis,
) -> Result<Granted, Denied> {
    let secret = secret.expose_secret();
    let form = [("grant_type", "client_credentials"), ("client_id", app_id), ("client_secret", secret)];
    grant(
        client,
        url,
        &form,
        secret,
        |status, body, after| match status {
            // Its errors may come with status 200.
            200 if body.get("error").is_some() => Some(Outcome::Config),
            503 => Some(Outcome::limited(after)),
            _ => None,
        },
        now,
    )
    .await
}

/// v3: signs. (Huawei, "Generating a JWT based on a service account".)
pub(crate) fn sign(account: &ServiceAccount, now: Millis) -> Result<Granted, Denied> {
    let seconds = now.div_euclid(1_000);
    let exp = seconds.saturating_add(HOUR);
    let claims = json!({ "iss": account.sub_account, "aud": account.audience, "iat": seconds, "exp": exp });
    let token = account
        .signer
        .sign(&[("kid", &account.key_id)], &claims)
        .map_err(|problem| Denied::unasked(Outcome::Retry { after: None }, format!("no JWT: {problem}")))?;
    let renew_at = exp.saturating_mul(1_000) - EARLY;
    Ok(Granted { fresh: Fresh { token, renew_at }, date: None })
}
