//! Who calls: API keys, what each may use, and how fast.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode, header};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    refusal::Refusal,
    settings::Settings,
};

/// The shortest key in bytes.
const SHORTEST: usize = 16;

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Events, their traces, the ledger.
    Events,
    /// Users' devices, preferences and topics.
    Registry,
    /// Receipts without a proof.
    Receipts,
}

/// One who may call.
#[derive(Debug)]
pub struct Caller {
    /// Its name.
    pub(crate) name: String,
    /// Only these lanes; all, if it is empty.
    lanes: Vec<String>,
    /// Only this. If it is empty: everything, or events alone where it is bound to lanes.
    access: Vec<Capability>,
    /// `None` = as fast as it can.
    bucket: Option<Mutex<Bucket>>,
}

/// Tokens that come back with time; a batch may overdraw it, and the next request waits the longer.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

/// All who may call.
pub(crate) struct Keys {
    known: Vec<([u8; 32], Arc<Caller>)>,
    /// Whoever shows no key.
    open: Option<Arc<Caller>>,
}

// === impl Caller ===

impl Caller {
    /// A caller within this process: every lane, as fast as it can.
    pub fn local(name: impl Into<String>) -> Self {
        Self { name: name.into(), lanes: Vec::new(), access: Vec::new(), bucket: None }
    }

    fn new(name: &str, lanes: &[String], rate: u32) -> Self {
        let bucket = |rate: u32| Mutex::new(Bucket { rate: rate.into(), tokens: rate.into(), at: Instant::now() });
        let bucket = (rate > 0).then(|| bucket(rate));
        Self { name: name.to_owned(), lanes: lanes.to_vec(), access: Vec::new(), bucket }
    }

    /// Refuses what its key is not good for.
    pub(crate) fn require(&self, capability: Capability) -> Result<(), Refusal> {
        let granted = match self.access.as_slice() {
            [] => self.lanes.is_empty() || capability == Capability::Events,
            access => access.contains(&capability),
        };
        if granted {
            return Ok(());
        }
        let what = match capability {
            Capability::Events => "events",
            Capability::Registry => "the registry",
            Capability::Receipts => "receipts without a proof",
        };
        let message = format!("{} has no key for {what}", self.name);
        Err(Refusal::new(StatusCode::FORBIDDEN, "Authorization", message))
    }

    /// May it use this lane?
    pub(crate) fn may(&self, lane: &str) -> bool {
        self.lanes.is_empty() || self.lanes.iter().any(|own| own == lane)
    }

    /// Takes `events` from its share of the second.
    pub(crate) fn spend(&self, events: usize, now: Instant) -> Result<(), Refusal> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * bucket.rate).min(bucket.rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            let wait = ((1.0 - bucket.tokens) / bucket.rate).ceil();
            let message = format!("{} is over its {} events a second", self.name, bucket.rate);
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", message).again(wait as u64));
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000 events")]
        let events = events as f64;
        bucket.tokens -= events;
        Ok(())
    }
}

// === impl Keys ===

impl Keys {
    pub(crate) fn new(settings: &Settings, lanes: &[&str]) -> Result<Self> {
        let open = settings.is_open();
        if !settings.is_loopback() && (settings.keys.is_empty() || settings.open_on_loopback) {
            return Err(Error::Public(settings.listen));
        }
        let mut known: Vec<([u8; 32], Arc<Caller>)> = Vec::new();
        for key in &settings.keys {
            let wrong = |what: String| Error::Key { name: key.name.clone(), what };
            let secret = key.key.expose_secret();
            if key.name.is_empty() {
                return Err(wrong("needs a name".to_owned()));
            }
            if secret.len() < SHORTEST || secret.bytes().any(|b| !b.is_ascii_graphic()) {
                return Err(wrong(format!("needs a key of at least {SHORTEST} visible ASCII characters")));
            }
            if let Some(lane) = key.lanes.iter().find(|lane| !lanes.contains(&lane.as_str())) {
                return Err(wrong(format!("names the lane {lane}, which does not exist")));
            }
            let digest = digest(secret.as_bytes());
            if known.iter().any(|(other, caller)| *other == digest || caller.name == key.name) {
                return Err(wrong("stands there twice, by its name or its key".to_owned()));
            }
            known.push((digest, Arc::new(Caller::new(&key.name, &key.lanes, settings.rate))));
        }
        let open = open.then(|| Arc::new(Caller::new("loopback", &[], settings.rate)));
        Ok(Self { known, open })
    }

    /// The key of this name is good for these alone. Before anybody calls.
    pub(crate) fn restrict(&mut self, name: &str, access: &[Capability]) -> Result<()> {
        let wrong = |what: &str| Error::Key { name: name.to_owned(), what: what.to_owned() };
        let known = self.known.iter_mut().find(|(_, caller)| caller.name == name);
        let (_, caller) = known.ok_or_else(|| wrong("is no key"))?;
        Arc::get_mut(caller).ok_or_else(|| wrong("is in use"))?.access = access.to_vec();
        Ok(())
    }

    /// Does a request show a key, be it known or not?
    pub(crate) fn is_shown(headers: &HeaderMap) -> bool {
        headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-api-key")
    }

    /// Who shows these headers? `Authorization: Bearer KEY`, or `X-API-Key: KEY`.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
        let refused = |message: &str| Refusal::new(StatusCode::UNAUTHORIZED, "Authorization", message);
        let shown = match (headers.get(header::AUTHORIZATION), headers.get("x-api-key")) {
            (Some(value), _) => {
                let (scheme, key) = split_once(value.as_bytes());
                if !scheme.eq_ignore_ascii_case(b"bearer") || key.is_empty() {
                    return Err(refused("expected `Bearer KEY`"));
                }
                key
            }
            (None, Some(value)) => value.as_bytes(),
            (None, None) => {
                let message = "a key is needed: `Authorization: Bearer KEY` or `X-API-Key: KEY`";
                return self.open.clone().ok_or_else(|| refused(message));
            }
        };
        // Digests are compared whole and all of them, so that the time tells neither the key nor its place.
        let shown = digest(shown);
        let mut found = None;
        for (digest, caller) in &self.known {
            if digest.iter().zip(&shown).fold(0, |different, (a, b)| different | (a ^ b)) == 0 {
                found = Some(caller);
            }
        }
        found.cloned().ok_or_else(|| refused("this key is not known"))
    }
}

fn split_once(value: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = value.splitn(2, |b| *b == b' ');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii())
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
