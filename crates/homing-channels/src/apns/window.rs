//! Whether `BadDeviceToken` is to be believed. A dead token gets it, and so does *every* live token of an app whose
//! environment (or topic) is configured wrongly: then nothing may be removed.
//!
//! An account remembers what the latest 200 different tokens were answered. A token is called dead only on the ground of
//! many others that were accepted:
//!
//! | of the remembered tokens | a bad one is |
//! |---|---|
//! | 20 or more, at most a fifth of them bad | dead |
//! | 20 or more, all of them bad | a matter of configuration |
//! | 100 or more, more than a fifth of them bad | a matter of configuration |
//! | else | held back: tried again later, when more is known |
//!
//! An app that is wholly misconfigured never has an accepted token, so none of its tokens is ever called dead. A token
//! counts once however often it is tried, so a dead one on a quiet day does not make itself believed or disbelieved.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Tokens that are remembered.
const KEPT: usize = 200;

/// With fewer nothing is said.
const ENOUGH: usize = 20;

/// With so many a large share alone is enough to suspect the configuration.
const MANY: usize = 100;

/// More than one in so many is too much.
const SHARE: usize = 5;

/// See the module.
#[derive(Default)]
pub(crate) struct Window {
    seen: Mutex<VecDeque<(u64, bool)>>,
    hasher: RandomState,
}

/// What a bad token is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// The token is dead.
    Dead,
    /// The account has the wrong environment or topic.
    Misconfigured,
    /// Too little is known.
    Unsure,
}

impl Window {
    /// The token was accepted.
    pub(crate) fn good(&self, token: &str) {
        drop(self.remember(token, true));
    }

    /// The token was refused; what to make of it.
    pub(crate) fn bad(&self, token: &str) -> Belief {
        believe(&self.remember(token, false))
    }

    /// Does the account look misconfigured now?
    pub(crate) fn is_suspect(&self) -> bool {
        believe(&self.lock()) == Belief::Misconfigured
    }

    fn remember(&self, token: &str, good: bool) -> MutexGuard<'_, VecDeque<(u64, bool)>> {
        let token = self.hasher.hash_one(token);
        let mut seen = self.lock();
        if let Some(known) = seen.iter_mut().find(|(known, _)| *known == token) {
            known.1 = good;
        } else {
            if seen.len() >= KEPT {
                seen.pop_front();
            }
            seen.push_back((token, good));
        }
        seen
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, bool)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn believe(seen: &VecDeque<(u64, bool)>) -> Belief {
    let (all, bad) = (seen.len(), seen.iter().filter(|(_, good)| !good).count());
    if all < ENOUGH {
        Belief::Unsure
    } else if bad * SHARE <= all {
        Belief::Dead
    } else if bad == all || all >= MANY {
        Belief::Misconfigured
    } else {
        Belief::Unsure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misconfigured_app_never_has_a_dead_token() {
        let window = Window::default();
        let beliefs: Vec<Belief> = (0..5_000).map(|n| window.bad(&format!("t{n}"))).collect();
        assert!(beliefs.iter().take(ENOUGH - 1).all(|belief| *belief == Belief::Unsure));
        assert!(beliefs.iter().skip(ENOUGH - 1).all(|belief| *belief == Belief::Misconfigured));
        assert!(window.is_suspect());
    }

    #[test]
    fn dead_tokens_among_good_traffic_are_dead_once_enough_is_known() {
        let window = Window::default();
        assert_eq!(window.bad("x"), Belief::Unsure);
        for n in 0..ENOUGH - 2 {
            window.good(&format!("t{n}"));
            assert_eq!(window.bad("x"), Belief::Unsure, "{n}");
        }
        window.good("last");
        assert_eq!(window.bad("x"), Belief::Dead);
        assert!(!window.is_suspect());
    }

    #[test]
    fn one_dead_token_tried_again_and_again_counts_once() {
        let window = Window::default();
        for n in 0..ENOUGH {
            window.good(&format!("t{n}"));
        }
        assert!((0..1_000).all(|_| window.bad("x") == Belief::Dead));
    }

    #[test]
    fn more_than_a_fifth_is_too_much_and_good_traffic_ends_it() {
        let window = Window::default();
        for n in 0..MANY * 3 / 4 {
            window.good(&format!("g{n}"));
        }
        let beliefs: Vec<Belief> = (0..MANY).map(|n| window.bad(&format!("b{n}"))).collect();
        // 75 good: 18 bad ones are a fifth of 93; from 25 on there are 100 in all.
        assert!(beliefs.iter().take(18).all(|belief| *belief == Belief::Dead));
        assert!(beliefs.iter().skip(18).take(6).all(|belief| *belief == Belief::Unsure));
        assert!(beliefs.iter().skip(24).all(|belief| *belief == Belief::Misconfigured));
        for n in 0..KEPT {
            window.good(&format!("later{n}"));
        }
        assert!(!window.is_suspect());
        assert_eq!(window.bad("x"), Belief::Dead);
    }
}
