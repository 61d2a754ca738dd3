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
    TokenInvalid {
        /// Since when, by the provider; a token that was registered later lives.
        since: Option<Millis>,
    },
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
        /// Who has to wait.
        scope: Scope,
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

/// For whom a provider's wish for less holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// This device only: the app goes on.
    Token,
    /// The app on this platform, in all processes.
    #[default]
    App,
}

impl Outcome {
    /// A dead token of which the provider does not say since when.
    pub const DEAD: Self = Self::TokenInvalid { since: None };

    /// The provider asks the app for less.
    pub fn limited(after: Option<Millis>) -> Self {
        Self::RateLimited { after, scope: Scope::App }
    }

    /// Name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::TokenInvalid { .. } => "token_invalid",
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

impl Answer {
    /// An outcome and its words.
    pub fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into() }
    }

    /// The same answer for every target of a page.
    pub fn for_all(self, targets: &[Target]) -> Vec<Self> {
        vec![self; targets.len()]
    }
}

/// What an app on a platform may be sent at once; senders of one process share it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Targets per second.
    pub per_second: f64,
    /// From a standstill the rate grows to that over this many milliseconds.
    pub ramp: Millis,
}

/// What a look at one credential showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account in the configuration: `channel.apns.account.higo`.
    pub account: String,
    /// Did the provider take it?
    pub health: Health,
    /// In words: what the provider said, and what to do. Never a secret.
    pub detail: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_at: Option<Millis>,
}

/// See [`Credential`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It works.
    Good,
    /// It works, and will not for long, or not for all.
    Doubtful,
    /// It could not be tried: the provider was not reached.
    Unknown,
    /// The provider refuses it.
    Refused,
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

    /// As [`send`](Channel::send), but nobody sees anything: the message is built, and validated as far as the provider
    /// offers it (credentials, form, token). [`Outcome::Unknown`] where a channel has no such thing.
    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        let _ = notification;
        let answer = Answer::new(Outcome::Unknown, format!("{} cannot validate without sending", self.name()));
        Box::pin(std::future::ready(answer.for_all(targets)))
    }

    /// How fast the notification's app may be served; `None` = as fast as it goes.
    fn pace(&self, notification: &Notification) -> Option<Pace> {
        let _ = notification;
        None
    }

    /// Tries every credential with the provider's cheapest call that shows nobody anything.
    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}
