//! Who a client is.

use std::{net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use homing_core::clock::Millis;

/// A client that was recognised, or one that is let in without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user; `None` = anonymous.
    pub user: Option<Arc<str>>,
    /// Groups that the token names.
    pub groups: Vec<Arc<str>>,
    /// When the token ends, in milliseconds since 1970.
    pub expires_at: Option<Millis>,
}

/// What a client showed, from any of the places where it may stand.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `?token=`, or as it is called in the configuration.
    pub query: Option<String>,
    /// The `Authorization` header, whole.
    pub header: Option<String>,
    /// The `Cookie` headers, whole, joined by `; `.
    pub cookie: Option<String>,
    /// A token in the first message or in Socket.IO's CONNECT payload.
    pub message: Option<String>,
    /// The client's address.
    pub remote: Option<IpAddr>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<String>| if value.is_some() { "given" } else { "none" };
        f.debug_struct("Credentials")
            .field("query", &shown(&self.query))
            .field("header", &shown(&self.header))
            .field("cookie", &shown(&self.cookie))
            .field("message", &shown(&self.message))
            .field("remote", &self.remote)
            .finish()
    }
}

/// What is said of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let in.
    Known(Identity),
    /// Nothing was shown, and the configuration wants something: it may still come in the first message.
    Missing,
    /// Refused; the reason is for the client and names no secret.
    Refused(String),
    /// It cannot be said now: something that must be asked for it does not answer. The client is to come back later, with
    /// the same.
    Unavailable(String),
}

/// Checks what clients show.
pub trait Authenticate: Send + Sync {
    /// The verdict, where it needs no network; `None` = [`look_up`](Self::look_up) must be asked. It is called on the
    /// threads that write to sockets, and is quick.
    fn check(&self, credentials: &Credentials) -> Option<Verdict>;

    /// The verdict, with whatever must be asked for it: a cookie's lookup, a key set.
    fn look_up<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Verdict>;
}
