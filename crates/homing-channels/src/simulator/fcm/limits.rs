//! Who was told to wait, until when, and who did not.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use homing_core::clock::Millis;

/// Waits that are remembered; beyond that those that have passed go.
const KEEP: usize = 100_000;

/// A call that came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Early {
    /// So many seconds are left, rounded up.
    pub(crate) left: u64,
    /// It may have left before the 429 arrived.
    pub(crate) under_way: bool,
    /// So many milliseconds after the 429.
    pub(crate) after: u64,
}

#[derive(Clone, Copy)]
struct Wait {
    since: Millis,
    until: Millis,
}

/// See the module. The names are of projects and of devices.
#[derive(Default)]
pub(crate) struct Limits(Mutex<HashMap<String, Wait>>);

impl Limits {
    /// `name` is told to wait `seconds` from `now`.
    pub(crate) fn close(&self, name: &str, seconds: u64, now: Millis) {
        let until = now.saturating_add(Millis::try_from(seconds).unwrap_or(Millis::MAX).saturating_mul(1_000));
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.len() >= KEEP {
            waits.retain(|_, wait| wait.until > now);
        }
        waits.insert(name.to_owned(), Wait { since: now, until });
    }

    /// Does a call of `name` come too early?
    pub(crate) fn early(&self, name: &str, now: Millis, grace: Millis) -> Option<Early> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = waits.get(name).filter(|wait| now < wait.until)?;
        let left = u64::try_from((wait.until - now + 999) / 1_000).unwrap_or(1);
        let after = now - wait.since;
        Some(Early { left, under_way: after <= grace, after: u64::try_from(after).unwrap_or(0) })
    }
}
