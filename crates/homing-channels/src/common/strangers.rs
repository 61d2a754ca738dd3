//! Tokens that a provider says are another app's. A few of them are just that: dead for us. When most of what is sent is
//! answered so, it is our account that is wrong, and the tokens are good.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many answers are remembered.
const WINDOW: usize = 200;

/// With fewer strangers than this the account is not blamed.
const ENOUGH: usize = 10;

/// What such an answer means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Others are accepted: the token is another app's.
    Token,
    /// Nothing was accepted yet: it is too early to say.
    Open,
    /// Most of what is sent is answered so: the account is wrong.
    Account,
}

/// The latest answers of an account. Each stranger counts once, however often it is tried.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<VecDeque<Option<u32>>>);

impl Strangers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Option<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider took a message: the account works.
    pub(crate) fn accepted(&self) {
        push(&mut self.lock(), None);
    }

    /// The provider says that `token` is another app's.
    pub(crate) fn stranger(&self, token: &str) {
        let (mut seen, token) = (self.lock(), Some(crc32fast::hash(token.as_bytes())));
        if !seen.contains(&token) {
            push(&mut seen, token);
        }
    }

    /// What it means that a token is called another app's.
    pub(crate) fn verdict(&self) -> Verdict {
        let seen = self.lock();
        let strangers = seen.iter().filter(|token| token.is_some()).count();
        let accepted = seen.len() - strangers;
        if accepted > 0 && accepted >= strangers {
            Verdict::Token
        } else if strangers >= ENOUGH {
            Verdict::Account
        } else {
            Verdict::Open
        }
    }
}

fn push(seen: &mut VecDeque<Option<u32>>, token: Option<u32>) {
    if seen.len() >= WINDOW {
        seen.pop_front();
    }
    seen.push_back(token);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_strangers_are_dead_and_many_are_a_wrong_account() {
        let seen = Strangers::default();
        for _ in 0..99 {
            seen.stranger("the same");
        }
        assert_eq!(seen.verdict(), Verdict::Open, "one token proves nothing");
        seen.accepted();
        assert_eq!(seen.verdict(), Verdict::Token);
        (0..9).for_each(|n| seen.stranger(&n.to_string()));
        assert_eq!(seen.verdict(), Verdict::Account);
        (0..9).for_each(|_| seen.accepted());
        assert_eq!(seen.verdict(), Verdict::Token, "half and half");
        (0..WINDOW).for_each(|n| seen.stranger(&format!("x{n}")));
        assert_eq!(seen.verdict(), Verdict::Account, "what was long ago does not count");
        (0..WINDOW).for_each(|_| seen.accepted());
        assert_eq!(seen.verdict(), Verdict::Token, "and it recovers");
        assert_eq!(seen.lock().len(), WINDOW);
    }
}
