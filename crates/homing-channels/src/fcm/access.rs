//! The access token: an assertion signed by the service account, exchanged for a token that serves for an hour. (Google,
//! "Using OAuth 2.0 for server to server applications".)

use homing_core::{channel::Outcome, clock::Millis};
use reqwest::Client;
use serde_json::json;

use super::service_account::ServiceAccount;
pub(super) use crate::common::grant::{Denied, Granted};
use crate::common::grant::{HOUR, grant};

/// What a token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The form's `grant_type`. (RFC 7523, section 2.1.)
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Asks once.
pub(crate) async fn fetch(
    client: &Client,
    url: &str,
    account: &ServiceAccount,
    now: Millis,
) -> Result<Granted, Denied> {
    let seconds = now.div_euclid(1_000);
    let claims = json!({
        "iss": account.email, "scope": SCOPE, "aud": account.audience,
        "iat": seconds, "exp": seconds.saturating_add(HOUR),
    });
    let kid = account.key_id.as_deref().map(|id| ("kid", id));
    let assertion = account
        .signer
        .sign(kid.as_slice(), &claims)
        .map_err(|problem| Denied::unasked(Outcome::Retry { after: None }, format!("no access token: {problem}")))?;
    let form = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    // Without a Retry-After a minute, as for messages.
    grant(
        client,
        url,
        &form,
        &assertion,
        |status, _, after| (status == 429).then(|| Outcome::limited(after.or(Some(60_000)))),
        now,
    )
    .await
}
