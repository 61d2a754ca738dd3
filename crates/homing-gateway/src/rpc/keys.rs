//! Who calls by HTTP: API keys, what each is good for, and how fast.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use ring::digest::{SHA256, digest};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{
    fault::{Fault, code},
    settings::Settings,
};

/// The shortest key in bytes.
const SHORTEST: usize = 16;

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// `push.*`.
    Push,
    /// `presence.*`.
    Presence,
    /// `history.*`, of every user.
    History,
    /// `schedule.*`.
    Schedule,
    /// `session.*`.
    Sessions,
}

/// A key, without its secret.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Only this; everything, if it is empty.
    may: Vec<Capability>,
    /// `None` = as fast as it can.
    bucket: Option<Mutex<Bucket>>,
}

/// Tokens that come back with time; one call may overdraw it, and the next waits the longer.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

/// All keys.
pub struct Keys {
    known: Vec<([u8; 32], Arc<Key>)>,
    /// Whoever shows no key.
    open: Option<Arc<Key>>,
}

// === impl Key ===

impl Key {
    /// One for everything, as fast as it can: of a caller within this process.
    pub fn local(name: impl Into<String>) -> Self {
        Self { name: name.into(), may: Vec::new(), bucket: None }
    }

    fn new(name: &str, may: &[Capability], rate: u32) -> Self {
        let bucket = |rate: u32| Mutex::new(Bucket { rate: rate.into(), tokens: rate.into(), at: Instant::now() });
        Self { name: name.to_owned(), may: may.to_vec(), bucket: (rate > 0).then(|| bucket(rate)) }
    }

    pub(super) fn may(&self, capability: Capability) -> bool {
        self.may.is_empty() || self.may.contains(&capability)
    }

    /// Takes `messages` from its share of the second.
    pub(super) fn spend(&self, messages: usize, now: Instant) -> Result<(), Fault> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * bucket.rate).min(bucket.rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            let wait = ((1.0 - bucket.tokens) / bucket.rate).ceil();
            let message = format!("{} is over its {} a second", self.name, bucket.rate);
            return Err(Fault::new(code::LIMIT, message).again(wait as u64));
        }
        #[expect(clippy::cast_precision_loss, reason = "at most some thousands")]
        let messages = messages as f64;
        bucket.tokens -= messages;
        Ok(())
    }
}

// === impl Keys ===

impl Keys {
    /// Those of the settings. `loopback` = no other machine can reach the listener.
    ///
    /// # Errors
    /// Names the key that cannot be used, or what is open that must not be.
    pub fn new(settings: &Settings, loopback: bool) -> Result<Self, String> {
        if settings.open_on_loopback && !loopback {
            return Err(
                "gateway.rpc.open_on_loopback: the listener can be reached from other machines: it must be off, \
                        and keys are needed"
                    .to_owned(),
            );
        }
        let mut known: Vec<([u8; 32], Arc<Key>)> = Vec::new();
        for (place, key) in settings.keys.iter().enumerate() {
            let wrong = |field: &str, what: &str| Err(format!("gateway.rpc.keys[{place}].{field}: {what}"));
            let secret = key.key.expose_secret();
            if key.name.is_empty() {
                return wrong("name", "must not be empty");
            }
            if secret.len() < SHORTEST || secret.bytes().any(|b| !b.is_ascii_graphic()) {
                return wrong("key", "needs at least 16 visible ASCII characters");
            }
            let hash = hash(secret.as_bytes());
            if known.iter().any(|(other, known)| *other == hash || known.name == key.name) {
                return wrong("name", "stands there twice, by its name or its key");
            }
            known.push((hash, Arc::new(Key::new(&key.name, &key.may, key.rate))));
        }
        let open = settings.open_on_loopback.then(|| Arc::new(Key::local("loopback")));
        Ok(Self { known, open })
    }

    /// Who shows these headers? `Authorization: Bearer KEY`, or `X-Api-Key: KEY`.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Key>, Fault> {
        let shown = match (headers.get(header::AUTHORIZATION), headers.get("x-api-key")) {
            (Some(value), _) => {
                let mut parts = value.as_bytes().splitn(2, |b| *b == b' ');
                let scheme = parts.next().unwrap_or_default();
                let key = parts.next().unwrap_or_default().trim_ascii();
                if !scheme.eq_ignore_ascii_case(b"bearer") || key.is_empty() {
                    return Err(refused("Authorization: expected `Bearer KEY`"));
                }
                key
            }
            (None, Some(value)) => value.as_bytes(),
            (None, None) => {
                let Some(open) = &self.open else {
                    return Err(refused("a key is needed: `Authorization: Bearer KEY` or `X-Api-Key: KEY`"));
                };
                local_only(headers)?;
                return Ok(Arc::clone(open));
            }
        };
        // Hashes are compared whole and all of them, so that the time tells neither the key nor its place.
        let shown = hash(shown);
        let mut found = None;
        for (hash, key) in &self.known {
            if hash.iter().zip(&shown).fold(0, |different, (a, b)| different | (a ^ b)) == 0 {
                found = Some(key);
            }
        }
        found.cloned().ok_or_else(|| refused("this key is not known"))
    }
}

fn refused(message: &'static str) -> Fault {
    Fault { unknown: true, ..Fault::new(code::UNAUTHORIZED, message) }
}

/// Without a key, programs of this machine are served. A page in a browser on this machine is somebody else: it shows in
/// the `Host` that it was led to, and in its `Origin`.
fn local_only(headers: &HeaderMap) -> Result<(), Fault> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let mut hosts = headers.get_all(header::HOST).iter();
    let one = hosts.next().is_some() && hosts.next().is_none();
    let origin = text(header::ORIGIN).is_none_or(|origin| {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(is_local)
    });
    if one && text(header::HOST).is_some_and(is_local) && origin {
        return Ok(());
    }
    let message = "without a key, only programs that ask localhost, 127.0.0.1 or [::1] are served";
    Err(Fault::new(code::UNAUTHORIZED, message))
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
        let Some((name, rest)) = host.split_at_checked(own.len()) else { return false };
        let port = rest.strip_prefix(':');
        name.eq_ignore_ascii_case(own) && (rest.is_empty() || port.is_some_and(|p| p.parse::<u16>().is_ok()))
    })
}

fn hash(key: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // SHA-256 has 32 bytes.
    hash.iter_mut().zip(digest(&SHA256, key).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
