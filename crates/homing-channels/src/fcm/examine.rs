//! Tries an account: a fresh access token, then a message to a token that cannot exist, validated and not sent.

use homing_core::{
    channel::{Credential, Health, Outcome},
    clock::Millis,
};
use reqwest::header;

use super::{
    access::{self, Granted},
    account::{Account, Line},
    answer::{Reading, read},
};
use crate::common::http::exchange;

/// No device has it: tokens have no blanks.
const NOBODY: &str = "nobody has this token";

/// Google refuses assertions of a clock that is far off; this much is worth a word before that.
const SKEW: Millis = 60_000;

/// One account.
pub(crate) async fn examine(line: &Line, account: &Account) -> Credential {
    let now = line.clock.now();
    let fetched = access::fetch(&line.client, &account.token_url, &account.service, now).await;
    let (found, date) = match fetched {
        Ok(Granted { fresh, date }) => (validate(line, account, &fresh.token).await, date),
        Err(denied) => {
            let health = match denied.answer.outcome {
                Outcome::Config => Health::Refused,
                Outcome::RateLimited { .. } => Health::Doubtful,
                _ => Health::Unknown,
            };
            ((health, denied.answer.detail), denied.date)
        }
    };
    let (mut health, mut detail) = found;
    if let Some(skew) = date.map(|date| now - date).filter(|skew| skew.abs() > SKEW) {
        let direction = if skew > 0 { "ahead of" } else { "behind" };
        detail.push_str(&format!("; the clock of this machine is {} s {direction} Google's", skew.abs() / 1_000));
        health = health.max(Health::Doubtful);
    }
    Credential { account: account.label.clone(), health, detail, expires_at: None }
}

async fn validate(line: &Line, account: &Account, bearer: &str) -> (Health, String) {
    let body = format!(r#"{{"validate_only":true,"message":{{"token":"{NOBODY}","data":{{"id":"0"}}}}}}"#);
    let request =
        line.client.post(&account.url).bearer_auth(bearer).header(header::CONTENT_TYPE, "application/json").body(body);
    let Ok(request) = request.build() else {
        return (Health::Refused, "the address of FCM is unusable".to_owned());
    };
    let reply = match exchange(&line.client, request).await {
        Ok(reply) => reply,
        Err(answer) => return (Health::Unknown, format!("FCM was not reached: {}", answer.detail)),
    };
    let (reading, detail) = read(&reply, &line.codes, line.clock.now(), &[bearer]);
    let good =
        || (Health::Good, format!("project {}: the token of nobody was refused, as it should be", account.project));
    match reading {
        Reading::Stranger | Reading::Misfit => good(),
        Reading::Plain(Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } | Outcome::Payload) => good(),
        Reading::Plain(Outcome::Config) | Reading::Renew => (Health::Refused, detail),
        Reading::Plain(Outcome::RateLimited { .. }) => (Health::Doubtful, detail),
        Reading::Plain(_) => (Health::Unknown, detail),
    }
}
