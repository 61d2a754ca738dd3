//! A look at one credential. APNs has no call for it: a push to a device that does not exist is refused for the device
//! only after everything else was accepted.

use homing_core::{
    channel::{Answer, Credential, Health, Outcome},
    clock::Millis,
};

use super::{
    account::{Account, Proof, Shared},
    verdict::{Verdict, skew, skew_words, verdict},
};

/// A certificate that ends within this is doubtful.
const SOON: Millis = 30 * 86_400_000;

pub(crate) async fn examine(account: &Account, shared: &Shared) -> Credential {
    let expires_at = match account.proof {
        Proof::Certificate { expires_at } => expires_at,
        Proof::Key(_) => None,
    };
    let answer = account.probe(shared).await;
    let now = shared.clock.now();
    let (mut health, mut detail) = match &answer {
        Ok(reply) => judge(verdict(&shared.codes, reply, now)),
        Err(Answer { outcome: Outcome::Config, detail }) => (Health::Refused, detail.clone()),
        Err(answer) => (Health::Unknown, answer.detail.clone()),
    };
    let mut doubt = |words: String| {
        health = if health == Health::Good { Health::Doubtful } else { health };
        detail = format!("{detail}; {words}");
    };
    if let Some(skew) = answer.ok().and_then(|reply| skew(&reply, now)) {
        doubt(skew_words(skew));
    }
    match expires_at {
        Some(end) if end <= now => doubt("the certificate has expired: make a new one".to_owned()),
        Some(end) if end - now < SOON => {
            doubt(format!("the certificate expires in {} days: make a new one", (end - now) / 86_400_000));
        }
        _ => {}
    }
    if account.window.is_suspect() {
        doubt(account.wrong_environment());
    }
    Credential { account: account.path.clone(), health, detail, expires_at }
}

fn judge(verdict: Verdict) -> (Health, String) {
    match verdict {
        // That there is no such device is what an accepted credential is told.
        Verdict::BadToken(_) => (Health::Good, "accepted".to_owned()),
        Verdict::Expired(detail) => (Health::Refused, detail),
        Verdict::Plain(answer) => match answer.outcome {
            Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } => (Health::Good, "accepted".to_owned()),
            Outcome::Config => (Health::Refused, answer.detail),
            Outcome::RateLimited { .. } => (Health::Doubtful, answer.detail),
            _ => (Health::Unknown, answer.detail),
        },
    }
}
