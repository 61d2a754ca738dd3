//! `[gateway.hub]`: how many sockets, how fast, how much memory for each.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// More threads than this gain nothing, and the node counts them in the bits of a number.
const MOST_THREADS: u16 = 64;

/// Settings of the sockets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Threads that own sockets; 0 = one per core.
    pub threads: u16,
    /// WebSockets and polling sessions at a time; beyond, 503.
    pub max_sockets: usize,
    /// Connections at a time that have not finished their first request; the others wait in the kernel.
    pub handshakes: usize,
    /// A connection that has not sent its first request (and done its TLS handshake) by then is closed.
    #[serde(with = "homing_core::duration")]
    pub handshake_timeout: Duration,
    /// A peer that does not answer a close frame, or takes nothing any more, is cut off after this.
    #[serde(with = "homing_core::duration")]
    pub close_timeout: Duration,
    /// Bytes that may wait for a socket that takes nothing; beyond, it is closed with 4001. Bytes are shared between sockets.
    pub overflow: usize,
    /// The longest message of a client, in bytes; beyond, 1009.
    pub max_message: usize,
    /// Bytes held back for a session while it waits for its backlog; beyond, it is closed with 4002.
    pub max_held: usize,
    /// Topics that one session may hear; beyond, 1008.
    pub max_topics: usize,
    /// Frames per second from one client; 0 = any number. Beyond (after the burst), 1008.
    pub rate: u32,
    /// So many frames above the rate may come at once.
    pub burst: u32,
    /// Over so long the closes of a drain are spread.
    #[serde(with = "homing_core::duration")]
    pub drain: Duration,
    /// Offer permessage-deflate (without context takeover).
    pub deflate: bool,
    /// Messages below this many bytes are not compressed.
    pub deflate_from: usize,
    /// Subprotocols that may be chosen by `Sec-WebSocket-Protocol`; of the client's, the first that is here.
    pub protocols: Vec<String>,
    /// TLS on every listener.
    pub tls: Option<Tls>,
}

/// A certificate and its key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, PEM.
    pub certificate: String,
    /// The private key, PEM.
    pub key: SecretString,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 0,
            max_sockets: 100_000,
            handshakes: 1_024,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            overflow: 256 * 1024,
            max_message: 1_000_000,
            max_held: 1024 * 1024,
            max_topics: 1_024,
            rate: 100,
            burst: 1_000,
            drain: Duration::from_secs(5),
            deflate: false,
            deflate_from: 256,
            protocols: Vec::new(),
            tls: None,
        }
    }
}

impl Settings {
    /// Says what is wrong, beginning with the field's path.
    ///
    /// # Errors
    /// A value that cannot work.
    pub fn check(&self) -> Result<(), String> {
        let at_least = |field: &str, value: usize, least: usize| {
            if value < least {
                return Err(format!("gateway.hub.{field}: {value} is too little, at least {least}"));
            }
            Ok(())
        };
        at_least("max_sockets", self.max_sockets, 1)?;
        at_least("handshakes", self.handshakes, 1)?;
        at_least("overflow", self.overflow, 4 * 1024)?;
        at_least("max_message", self.max_message, 125)?;
        at_least("max_held", self.max_held, 4 * 1024)?;
        at_least("max_topics", self.max_topics, 8)?;
        if self.threads > MOST_THREADS {
            return Err(format!("gateway.hub.threads: {} are too many, at most {MOST_THREADS}", self.threads));
        }
        for (field, time) in [("handshake_timeout", self.handshake_timeout), ("close_timeout", self.close_timeout)] {
            if time < Duration::from_millis(100) || time > Duration::from_secs(600) {
                return Err(format!("gateway.hub.{field}: from 100ms to 10m"));
            }
        }
        if self.drain > Duration::from_secs(3_600) {
            return Err("gateway.hub.drain: at most 1h".to_owned());
        }
        if let Some(name) = self.protocols.iter().find(|name| !is_token(name)) {
            return Err(format!(
                "gateway.hub.protocols: {name:?} is no name of a subprotocol (letters, digits, - . _)"
            ));
        }
        if let Some(tls) = &self.tls {
            crate::net::tls::server(&tls.certificate, tls.key.expose_secret())
                .map_err(|error| format!("gateway.hub.tls.{error}"))?;
        }
        Ok(())
    }

    /// Threads, counted.
    pub(crate) fn shards(&self) -> u16 {
        if self.threads > 0 {
            return self.threads;
        }
        std::thread::available_parallelism()
            .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX).min(MOST_THREADS))
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+!#$%&'*^`|~".contains(&b))
}
