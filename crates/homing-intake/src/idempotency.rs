//! Which idempotency key came with which request: one that comes again with another request is a mistake of the caller.
//!
//! Accepting twice is prevented by the queue, which remembers ids. This memory only finds a key that stands for two
//! different requests, so it may be small, forget, and be this process's own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use homing_core::{clock::Millis, queue::REMEMBERED};

/// At most so many keys are remembered; the oldest go first.
const MOST: usize = 100_000;

type Hash = [u8; 16];

/// The keys of the last hour.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    requests: HashMap<Hash, (Hash, Millis)>,
    order: VecDeque<(Hash, Millis)>,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing so far; from now on it stands for this request.
    New,
    /// It came with the same request.
    Same,
    /// It came with another.
    Other,
}

impl Remembered {
    /// Claims `key` for `request`.
    pub(crate) fn claim(&self, key: Hash, request: Hash, now: Millis) -> Claim {
        self.claim_within(MOST, key, request, now)
    }

    fn claim_within(&self, most: usize, key: Hash, request: Hash, now: Millis) -> Claim {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { requests, order } = &mut *inner;
        while let Some((old, at)) = order.front().copied()
            && (order.len() >= most || at + REMEMBERED < now)
        {
            order.pop_front();
            // Released and claimed anew, it stands further behind too.
            if requests.get(&old).is_some_and(|(_, since)| *since == at) {
                requests.remove(&old);
            }
        }
        match requests.get(&key) {
            Some((known, _)) if *known == request => Claim::Same,
            Some(_) => Claim::Other,
            None => {
                requests.insert(key, (request, now));
                order.push_back((key, now));
                Claim::New
            }
        }
    }

    /// Forgets a key whose request was certainly not accepted.
    pub(crate) fn release(&self, key: Hash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requests.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> Hash {
        [n; 16]
    }

    #[test]
    fn a_key_stands_for_one_request() {
        let keys = Remembered::default();
        assert_eq!(keys.claim(hash(1), hash(7), 0), Claim::New);
        assert_eq!(keys.claim(hash(1), hash(7), 1), Claim::Same);
        assert_eq!(keys.claim(hash(1), hash(8), 2), Claim::Other);
        keys.release(hash(1));
        assert_eq!(keys.claim(hash(1), hash(8), 3), Claim::New);
        assert_eq!(keys.claim(hash(1), hash(7), REMEMBERED + 3), Claim::Other, "the claim of 3 still holds");
        assert_eq!(keys.claim(hash(1), hash(7), REMEMBERED + 4), Claim::New, "an hour later");
    }

    #[test]
    fn the_oldest_are_forgotten_at_the_bound() {
        let keys = Remembered::default();
        for n in 0..10 {
            assert_eq!(keys.claim_within(4, hash(n), hash(n), i64::from(n)), Claim::New);
        }
        assert_eq!(keys.0.lock().unwrap().requests.len(), 4);
        assert_eq!(keys.claim_within(5, hash(9), hash(9), 10), Claim::Same);
        assert_eq!(keys.claim_within(5, hash(5), hash(9), 10), Claim::New);
    }
}
