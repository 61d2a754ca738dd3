//! The port of the ways out. A channel makes one attempt against one provider and classifies the answer; it never
//! sleeps, retries or loops. The sender decides what follows.

use futures_util::future::BoxFuture;

use crate::{
    clock::Millis,
    notification::{Notification, Target},
};

/// Class of a provider's answer for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider accepted it.
    Delivered {
        /// The provider's id for it.
        provider_id: Option<String>,
    },
    /// The token is dead.
    TokenInvalid,
    /// The provider knows no device for this target (an account without a token): terminal, nothing to remove.
    NoDevice,
    /// Our message is bad: it would be refused again.
    Payload,
    /// Credentials, certificate or permission: every message of this app would be refused.
    Config,
    /// The provider asks for less.
    RateLimited {
        /// Wait this long, in milliseconds.
        after: Option<Millis>,
    },
    /// Surely not accepted, and worth another try.
    Retry {
        /// Not before, in milliseconds.
        after: Option<Millis>,
    },
    /// The channel corrected itself (clock offset, token refreshed): try again at once, once.
    Corrected,
    /// The request was written and the answer is unknown: it may have been accepted.
    Ambiguous,
    /// An answer that nobody documented: a few tries.
    Unknown,
}

impl Outcome {
    /// Name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::TokenInvalid => "token_invalid",
            Self::NoDevice => "no_device",
            Self::Payload => "payload",
            Self::Config => "config",
            Self::RateLimited { .. } => "rate_limited",
            Self::Retry { .. } => "retry",
            Self::Corrected => "corrected",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
        }
    }
}

/// A provider's answer for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its class.
    pub outcome: Outcome,
    /// The provider's code or the transport's error, for people: `ret_code 40: ...`. Never a secret or a whole token.
    pub detail: String,
}

/// One way out.
///
/// `send` makes one attempt and answers once per target, in their order. It may be cancelled; the outcome is then
/// ambiguous. It never panics on any answer of the provider.
pub trait Channel: Send + Sync {
    /// Its name in configuration, metrics and records: `xinge`.
    fn name(&self) -> &'static str;

    /// How many targets one call takes at most.
    fn page(&self) -> usize;

    /// One attempt for `targets` (at most [`page`](Channel::page), all of the notification's app and platform).
    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>>;
}
