//! Acknowledgements that a session waits for: its own counter, and for each number what is to be done.
//!
//! The number in the packet is the receiving server's, not the emitter's; the way back to the emitter is kept here. Clients
//! need not answer, so the list is bounded in length and time.

use std::{collections::VecDeque, sync::Arc};

use crate::desk::Callback;

/// So many a session waits for; the oldest is forgotten.
const MAX: usize = 1_024;
/// So long, in milliseconds.
const LIFE: u64 = 600_000;

/// What an acknowledgement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// In the namespace where it was asked for.
    pub(crate) namespace: Arc<str>,
    /// It goes back to an emitter.
    pub(crate) callback: Option<Arc<Callback>>,
    /// It says that this message was read.
    pub(crate) read: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Acks {
    last: u64,
    waiting: VecDeque<(u64, u64, Due)>,
}

impl Acks {
    /// The number for the next packet, and how many older ones were forgotten for it.
    pub(crate) fn expect(&mut self, now: u64, due: Due) -> (u64, usize) {
        let before = self.waiting.len();
        while self.waiting.front().is_some_and(|(_, until, _)| *until <= now) || self.waiting.len() >= MAX {
            self.waiting.pop_front();
        }
        let forgotten = before - self.waiting.len();
        self.last += 1;
        self.waiting.push_back((self.last, now.saturating_add(LIFE), due));
        (self.last, forgotten)
    }

    /// The client acknowledges this number in this namespace; once.
    pub(crate) fn take(&mut self, now: u64, namespace: &str, id: u64) -> Option<Due> {
        let index = self.waiting.binary_search_by_key(&id, |(id, ..)| *id).ok()?;
        let (_, until, due) = self.waiting.get(index)?;
        if *until <= now || &*due.namespace != namespace {
            return None;
        }
        self.waiting.remove(index).map(|(_, _, due)| due)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn due(read: &str) -> Due {
        Due { namespace: "/".into(), callback: None, read: Some(read.into()) }
    }

    #[test]
    fn each_number_counts_once_and_for_its_namespace() {
        let mut acks = Acks::default();
        assert_eq!(acks.expect(0, due("a")), (1, 0));
        assert_eq!(acks.expect(0, due("b")), (2, 0));
        assert_eq!(acks.take(0, "/chat", 2), None);
        assert_eq!(acks.take(0, "/", 2), Some(due("b")));
        assert_eq!(acks.take(0, "/", 2), None);
        assert_eq!(acks.take(0, "/", 99), None);
        assert_eq!(acks.take(LIFE, "/", 1), None, "it is too late");
        assert_eq!(acks.expect(LIFE, due("c")), (3, 1));
    }

    #[test]
    fn a_client_that_never_answers_costs_a_bounded_amount() {
        let mut acks = Acks::default();
        let forgotten: usize = (0..5_000).map(|_| acks.expect(0, due("x")).1).sum();
        assert_eq!((acks.waiting.len(), forgotten), (MAX, 5_000 - MAX));
        assert_eq!(acks.take(1, "/", 5_000 - MAX as u64), None);
        assert!(acks.take(1, "/", 5_000).is_some());
    }
}
