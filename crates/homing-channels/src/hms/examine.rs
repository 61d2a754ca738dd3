//! Tries an account: a fresh credential, then a message to a token that cannot exist. v1 validates it without sending; v3
//! has no such thing, but nobody has the token.

use homing_core::{
    channel::{Credential, Health, Outcome},
    clock::Millis,
};
use serde_json::{Map, Value, json};

use super::{
    access::{Denied, Granted},
    account::{Account, Line, Proof},
    answer::{Reading, read},
};
use crate::common::http::exchange;

/// No device has it: tokens have no blanks.
const NOBODY: &str = "nobody has this token";

/// A JWT of a clock that is far off is refused; this much is worth a word before that.
const SKEW: Millis = 60_000;

/// One account.
pub(crate) async fn examine(line: &Line, account: &Account) -> Credential {
    let now = line.clock.now();
    let ((mut health, mut detail), date) = match account.fresh(line, now).await {
        Ok(Granted { fresh, date }) => {
            let (found, seen) = validate(line, account, &fresh.token).await;
            (found, date.or(seen))
        }
        Err(Denied { answer, date }) => {
            let health = match answer.outcome {
                Outcome::Config => Health::Refused,
                Outcome::RateLimited { .. } => Health::Doubtful,
                _ => Health::Unknown,
            };
            ((health, answer.detail), date)
        }
    };
    if let Some(skew) = date.map(|date| now - date).filter(|skew| skew.abs() > SKEW) {
        let direction = if skew > 0 { "ahead of" } else { "behind" };
        detail.push_str(&format!("; the clock of this machine is {} s {direction} Huawei's", skew.abs() / 1_000));
        health = health.max(Health::Doubtful);
    }
    Credential { account: account.label.clone(), health, detail, expires_at: None }
}

async fn validate(line: &Line, account: &Account, bearer: &str) -> ((Health, String), Option<Millis>) {
    let mut draft = Map::new();
    match account.proof {
        Proof::Secret { .. } => drop(draft.insert("data".to_owned(), json!("{}"))),
        Proof::Key(_) => drop(draft.insert("payload".to_owned(), json!({ "extraData": "{}" }))),
    }
    let Ok(request) = account.request(line, draft, "6", &[NOBODY], true, bearer) else {
        return ((Health::Refused, "the address of Huawei is unusable".to_owned()), None);
    };
    let reply = match exchange(&line.client, request).await {
        Ok(reply) => reply,
        Err(answer) => return ((Health::Unknown, format!("Huawei was not reached: {}", answer.detail)), None),
    };
    let read = read(&reply, &line.codes, &[NOBODY], line.clock.now(), &[bearer]);
    let Some((reading, detail)) = read.into_iter().next() else {
        return ((Health::Unknown, "no answer".to_owned()), reply.date());
    };
    let code = reply.json()["code"].as_str().map(str::to_owned);
    let found = match reading {
        // It is the token of nobody, or else the app's id is wrong.
        _ if code.as_deref() == Some("80300002") => (Health::Doubtful, detail),
        Reading::Stranger => (Health::Good, good()),
        Reading::Plain(Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } | Outcome::Payload) => {
            (Health::Good, good())
        }
        Reading::Plain(Outcome::Config) if is_about_kinds(&reply.json()) => {
            (Health::Doubtful, format!("{detail}; background messages only were tried"))
        }
        Reading::Plain(Outcome::Config) | Reading::Renew => (Health::Refused, detail),
        Reading::Plain(Outcome::RateLimited { .. }) => (Health::Doubtful, detail),
        Reading::Plain(_) => (Health::Unknown, detail),
    };
    (found, reply.date())
}

fn good() -> String {
    "the token of nobody was refused, as it should be".to_owned()
}

/// The credential was taken, but not for this kind of message.
fn is_about_kinds(body: &Value) -> bool {
    body["msg"].as_str().is_some_and(|text| text.contains("noPushTypeRight"))
}
