//! What is known of each push service while the process runs: how many calls it has in hand, the header that was signed
//! for it, and whether it takes our key.
//!
//! A refusal of the key (401, 403) has two causes that the answer does not tell apart: the key is wrong for everybody, or
//! this one subscription was made with another key, which any user can do. The first must pause the app and keep its
//! messages, the second must not. So it depends on what the service did with other messages of the account:
//!
//! | lately | the refused message |
//! |---|---|
//! | it took one within 10 minutes | ends: the subscription is another key's (`no_device`, nothing is removed) |
//! | the same, and since then it refused 20 subscriptions | `config` |
//! | it took none | waits 5 seconds, the others go on |
//! | the same, and it refused 5 subscriptions, or 10 tries | `config` |
//!
//! After `config` the count begins anew, so that a probe that meets a subscription of another key is not the last word.
//! (Providers that say "another app's token" in so many words are judged by `common/strangers`; here a clock that is off
//! has the same status, so nothing may be removed, and few refusals must do.)

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use homing_core::{
    channel::{Outcome, Scope},
    clock::Millis,
};
use reqwest::header::HeaderValue;
use tokio::sync::Semaphore;

use super::vapid::{LIFE, Vapid};

/// Calls that one push service has in hand at once.
pub(super) const AT_ONCE: usize = 50;

/// More push services than these are forgotten and begin anew; there are four that matter.
const ORIGINS_MAX: usize = 1_000;

const FRESH: Millis = 600_000;
const SUBSCRIPTIONS_FIRST: usize = 5;
const TRIES_FIRST: u32 = 10;
const SUBSCRIPTIONS_LATER: usize = 20;
const UNDECIDED: Millis = 5_000;

/// All of them.
#[derive(Default)]
pub(super) struct Origins(Mutex<HashMap<String, Arc<Origin>>>);

/// One of them.
pub(super) struct Origin {
    name: String,
    pub(super) permits: Semaphore,
    /// By the account's number.
    sides: Mutex<BTreeMap<usize, Side>>,
}

#[derive(Default)]
struct Side {
    /// And when it ends.
    header: Option<(HeaderValue, Millis)>,
    standing: Standing,
}

#[derive(Debug, Default)]
struct Standing {
    accepted_at: Option<Millis>,
    /// Refusals since then, and the subscriptions that they were for, hashed; at most 20.
    refused: u32,
    subscriptions: Vec<u32>,
}

// === impl Origins ===

impl Origins {
    /// The one at this origin.
    pub(super) fn at(&self, name: String) -> Arc<Origin> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ORIGINS_MAX && !known.contains_key(&name) {
            known.retain(|_, origin| Arc::strong_count(origin) > 1);
        }
        let fresh = || {
            let permits = Semaphore::new(AT_ONCE);
            Arc::new(Origin { name: name.clone(), permits, sides: Mutex::default() })
        };
        Arc::clone(known.entry(name.clone()).or_insert_with(fresh))
    }
}

// === impl Origin ===

impl Origin {
    fn sides(&self) -> MutexGuard<'_, BTreeMap<usize, Side>> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account's header for it; signed anew when half of its time is over, or the clock was set back.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn header(&self, account: usize, vapid: &Vapid, now: Millis) -> Result<HeaderValue, String> {
        let mut sides = self.sides();
        let side = sides.entry(account).or_default();
        if let Some((header, ends)) = &side.header
            && (LIFE / 2..=LIFE).contains(&(ends - now))
        {
            return Ok(header.clone());
        }
        let (header, ends) = vapid.header(&self.name, now)?;
        side.header = Some((header.clone(), ends));
        Ok(header)
    }

    /// It took a message of the account.
    pub(super) fn accepted(&self, account: usize, now: Millis) {
        self.sides().entry(account).or_default().standing.accepted(now);
    }

    /// It refused the account's key: what follows for this message, see the module.
    pub(super) fn refused(&self, account: usize, endpoint: &str, now: Millis) -> Outcome {
        self.sides().entry(account).or_default().standing.refused(endpoint, now)
    }
}

// === impl Standing ===

impl Standing {
    fn accepted(&mut self, now: Millis) {
        *self = Self { accepted_at: Some(now), ..Self::default() };
    }

    fn refused(&mut self, endpoint: &str, now: Millis) -> Outcome {
        let hash = crc32fast::hash(endpoint.as_bytes());
        if !self.subscriptions.contains(&hash) {
            self.subscriptions.push(hash);
        }
        self.refused = self.refused.saturating_add(1);
        let proven = self.accepted_at.is_some_and(|at| (now - at).abs() < FRESH);
        let everybody = if proven {
            self.subscriptions.len() >= SUBSCRIPTIONS_LATER
        } else {
            self.subscriptions.len() >= SUBSCRIPTIONS_FIRST || self.refused >= TRIES_FIRST
        };
        if everybody {
            *self = Self::default();
            Outcome::Config
        } else if proven {
            Outcome::NoDevice
        } else {
            Outcome::RateLimited { after: Some(UNDECIDED), scope: Scope::Token }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const LATER: Outcome = Outcome::RateLimited { after: Some(UNDECIDED), scope: Scope::Token };

    #[test]
    fn a_key_that_nobody_takes_is_config_and_one_subscription_of_another_key_is_not() {
        let mut standing = Standing::default();
        for round in 0..2 {
            for n in 1..5 {
                assert_eq!(standing.refused(&n.to_string(), 0), LATER, "round {round}, refusal {n}");
            }
            assert_eq!(standing.refused("5", 0), Outcome::Config);
        }
        for _ in 1..10 {
            assert_eq!(standing.refused("the same", 0), LATER, "it proves little");
        }
        assert_eq!(standing.refused("the same", 0), Outcome::Config, "but somebody has to look");
        standing.accepted(1_000);
        for n in (1..20).chain(1..20) {
            assert_eq!(standing.refused(&n.to_string(), 2_000), Outcome::NoDevice);
        }
        assert_eq!(standing.refused("20", 2_000), Outcome::Config, "it was taken once, and is not any more");
        assert_eq!(standing.refused("1", 2_000), LATER);
        standing.accepted(3_000);
        assert_eq!(standing.refused("1", 3_000 + FRESH), LATER, "that was long ago");
    }

    #[test]
    fn origins_are_bounded_and_what_is_in_use_stays() {
        let origins = Origins::default();
        let held = origins.at("https://0.example".to_owned());
        for n in 1..5_000 {
            origins.at(format!("https://{n}.example"));
        }
        assert!(origins.0.lock().unwrap().len() <= ORIGINS_MAX);
        assert!(Arc::ptr_eq(&held, &origins.at("https://0.example".to_owned())));
    }
}
