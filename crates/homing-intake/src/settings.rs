//! What an installation may decide about its intake.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use secrecy::SecretString;

/// Most events in one request.
pub(crate) const MAX_EVENTS: usize = 1_000;

/// The longest body in bytes.
pub(crate) const MAX_BODY: usize = 4 << 20;

/// Settings of an intake.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens: what decides whether it may be open.
    pub listen: SocketAddr,
    /// Who may post. Nobody, if it is empty.
    pub keys: Vec<Key>,
    /// Ask for no key where only this machine can reach the listener.
    pub open_on_loopback: bool,
    /// Events per second and key; 0 = no cap.
    pub rate: u32,
    /// Share of the queue server's memory at which nothing more is taken.
    pub brake: f64,
    /// Connections at once.
    pub connections: usize,
    /// Time for a request's head; an idle connection is closed after it too.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Time for the queue to take an event.
    pub timeout: Duration,
    /// Type of the events that `/api/push` makes.
    pub gorush_type: String,
    /// App of their devices, where `apps` does not know the topic.
    pub gorush_app: Option<String>,
    /// App by topic (an iOS bundle id).
    pub apps: BTreeMap<String, String>,
}

/// A producer's key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Who it is, for logs and for idempotency keys.
    pub name: String,
    /// The secret, at least 16 bytes.
    pub key: SecretString,
    /// Only these lanes; all, if it is empty.
    pub lanes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7701)),
            keys: Vec::new(),
            open_on_loopback: false,
            rate: 0,
            brake: 0.9,
            connections: 1024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            gorush_type: "DEFAULT".to_owned(),
            gorush_app: None,
            apps: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Is it open to this machine without a key?
    pub(crate) fn is_open(&self) -> bool {
        self.open_on_loopback && self.is_loopback()
    }

    /// Can only this machine reach it?
    pub(crate) fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}
