//! What a push service's status means (RFC 8030, sections 5 and 7 to 8; RFC 8292, section 4.2).

use homing_core::channel::{Answer, Outcome, Scope};
use reqwest::StatusCode;
use url::Url;

use super::origins::Origin;
use crate::common::{
    guard::{Known, Refused, is_private},
    http::{Reply, broken},
    words::words,
};

/// A failure of a host that only a user named says nothing of the others: the app is not to be paused for it. 60 seconds.
const STRANGER_WAITS: i64 = 60_000;

/// Who was called: the push service, whose account it was, and by which rule it may be called.
pub(super) struct Call<'a> {
    pub(super) origin: &'a Origin,
    pub(super) account: usize,
    /// Whoever knows it may post, so it is kept out of the details.
    pub(super) endpoint: &'a Url,
    pub(super) known: Known,
    pub(super) now: i64,
}

/// The answer that a reply is.
pub(super) fn judge(reply: &Reply, call: &Call<'_>) -> Answer {
    let after = reply.retry_after(call.now);
    let outcome = match reply.status.as_u16() {
        200..=299 => {
            call.origin.accepted(call.account, call.now);
            Outcome::Delivered { provider_id: message_id(reply) }
        }
        404 | 410 => Outcome::DEAD,
        400 | 413 => Outcome::Payload,
        401 | 403 if call.known == Known::Named => call.origin.refused(call.account, call.endpoint.as_str(), call.now),
        401 | 403 => Outcome::NoDevice,
        // It limits one subscription (RFC 8030, section 8.4: "to a push resource"): the app goes on.
        429 => Outcome::RateLimited { after, scope: Scope::Token },
        500..=599 => Outcome::Retry { after },
        _ => Outcome::Unknown,
    };
    Answer::new(alone(outcome, call.known), detail(reply, call.endpoint))
}

/// The answer where there is no reply.
pub(super) fn judge_broken(error: &reqwest::Error, known: Known) -> Answer {
    let mut answer = broken(error);
    if is_private(error) {
        // DNS lies about a host that we know; one that only a user named is not worth another try.
        let outcome = if known == Known::Named { Outcome::Retry { after: None } } else { Outcome::NoDevice };
        return Answer::new(outcome, format!("not sent: {}", answer.detail));
    }
    answer.outcome = alone(answer.outcome, known);
    answer
}

/// The answer where the guard lets nothing out.
pub(super) fn not_sent(refused: Refused) -> Answer {
    match refused {
        // Nothing is removed: the address may be one that `allow` named, and that somebody took out of it by mistake.
        Refused::Hostile(why) => Answer::new(Outcome::NoDevice, format!("not sent: the endpoint is unusable: {why}")),
        // Or it is a push service that the configuration forgot.
        Refused::Unlisted(why) => {
            Answer::new(Outcome::NoDevice, format!("not sent: {why} (channel.web_push.allow names push services)"))
        }
    }
}

fn alone(outcome: Outcome, known: Known) -> Outcome {
    match outcome {
        Outcome::Retry { after } if known == Known::Stranger => {
            Outcome::RateLimited { after: Some(after.unwrap_or(STRANGER_WAITS)), scope: Scope::Token }
        }
        outcome => outcome,
    }
}

/// The last part of `Location`: the service's name for the message. Some are as long as the message; those are left out.
fn message_id(reply: &Reply) -> Option<String> {
    let location = reply.headers.get(reqwest::header::LOCATION)?.to_str().ok()?;
    let id = location.rsplit('/').next().filter(|id| (1..=128).contains(&id.len()))?;
    Some(id.to_owned())
}

/// The status and the first words of an error.
pub(super) fn detail(reply: &Reply, endpoint: &Url) -> String {
    let status = reply.status.as_u16();
    if !reply.status.is_success() && !reply.body.is_empty() {
        let path = endpoint.path();
        let own = path.rsplit('/').next().unwrap_or_default();
        return format!("HTTP status {status}: {}", words(&String::from_utf8_lossy(&reply.body), &[path, own]));
    }
    let why = match reply.status {
        StatusCode::GONE | StatusCode::NOT_FOUND => ": the subscription is gone",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": the VAPID key is refused, or is not the one of this subscription"
        }
        _ => "",
    };
    format!("HTTP status {status}{why}")
}
