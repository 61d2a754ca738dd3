//! Messages that a client was sent and has not yet been proven to have. See [`Read`](super::Read) for what is a proof.

use std::sync::Arc;

use super::NEVER;

/// So many messages are followed; more stay unread.
const MAX: usize = 1_000;
/// A pong that did not come is looked for again after this, then after twice as long, and so on, in milliseconds.
const LOOK: u64 = 1_000;
const LOOK_MAX: u64 = 30_000;

/// Ids of messages in two heaps: those that the question under way will prove, and those that came after it.
#[derive(Debug)]
pub(crate) struct Proof {
    fresh: Vec<Arc<str>>,
    asked: Vec<Arc<str>>,
    /// The WebSocket ping that was sent behind `asked`; 0 = the question is of another kind.
    ping: u32,
    pause: u64,
    /// When to ask, or to look for the answer.
    pub(crate) at: u64,
}

impl Default for Proof {
    fn default() -> Self {
        Self { fresh: Vec::new(), asked: Vec::new(), ping: 0, pause: LOOK, at: NEVER }
    }
}

impl Proof {
    /// A message was written; false = it is one too many to be followed. Its proof is asked for at `at`, unless another
    /// one's is due before.
    pub(crate) fn wrote(&mut self, id: Arc<str>, at: u64) -> bool {
        if self.fresh.len() + self.asked.len() >= MAX {
            return false;
        }
        self.fresh.push(id);
        if self.asked.is_empty() {
            self.at = self.at.min(at);
        }
        true
    }

    /// Nothing is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.asked.is_empty()
    }

    /// The question was written, behind all that was. With a WebSocket ping (its number) the answer must be looked for.
    pub(crate) fn ask(&mut self, now: u64, ping: Option<u32>) {
        self.asked.append(&mut self.fresh);
        self.ping = ping.unwrap_or(0);
        self.pause = LOOK;
        self.at = ping.map_or(NEVER, |_| now + LOOK);
    }

    /// Is there something that was not asked for, and no question under way?
    pub(crate) fn can_ask(&self) -> bool {
        self.asked.is_empty() && !self.fresh.is_empty()
    }

    /// The answer came: what it proves. What came since is asked for at `at`.
    pub(crate) fn proven(&mut self, at: u64) -> Vec<Arc<str>> {
        self.ping = 0;
        self.at = if self.fresh.is_empty() { NEVER } else { at };
        std::mem::take(&mut self.asked)
    }

    /// WebSocket pings up to this number were answered: does it prove something? If not, it is looked for later.
    pub(crate) fn answered(&mut self, number: u32, now: u64) -> bool {
        if self.ping == 0 || number >= self.ping {
            return self.ping != 0;
        }
        if self.at <= now {
            self.pause = (self.pause * 2).min(LOOK_MAX);
            self.at = now + self.pause;
        }
        false
    }

    /// The question got lost with what carried it: all is asked for again at `at`.
    pub(crate) fn again(&mut self, at: u64) {
        self.asked.append(&mut self.fresh);
        std::mem::swap(&mut self.asked, &mut self.fresh);
        self.ping = 0;
        self.at = if self.fresh.is_empty() { NEVER } else { at };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<Arc<str>> {
        ids.iter().map(|id| Arc::from(*id)).collect()
    }

    #[test]
    fn an_answer_proves_what_was_written_before_the_question() {
        let mut proof = Proof::default();
        assert!(proof.wrote("a".into(), 1_000) && proof.wrote("b".into(), 1_500));
        assert_eq!(proof.at, 1_000);
        assert!(proof.can_ask());
        proof.ask(1_000, None);
        assert!(proof.wrote("c".into(), 2_000));
        assert!(!proof.can_ask());
        assert_eq!(proof.at, NEVER);
        assert_eq!(proof.proven(2_500), ids(&["a", "b"]));
        assert_eq!(proof.at, 2_500);
        proof.ask(2_500, None);
        assert_eq!(proof.proven(0), ids(&["c"]));
        assert!(proof.is_empty());
    }

    #[test]
    fn a_pong_is_looked_for_less_and_less_often() {
        let mut proof = Proof::default();
        assert!(!proof.answered(7, 0), "nothing was asked");
        proof.wrote("a".into(), 0);
        proof.ask(0, Some(3));
        assert_eq!(proof.at, 1_000);
        assert!(!proof.answered(2, 1_000));
        assert_eq!(proof.at, 3_000);
        assert!(!proof.answered(2, 2_000), "too early to count");
        assert_eq!(proof.at, 3_000);
        assert!(proof.answered(3, 2_500));
        assert_eq!(proof.proven(0), ids(&["a"]));
        assert!(!proof.answered(3, 2_600));
    }

    #[test]
    fn a_lost_question_is_asked_again_in_order_and_the_number_is_bounded() {
        let mut proof = Proof::default();
        proof.wrote("a".into(), 0);
        proof.ask(0, Some(1));
        proof.wrote("b".into(), 0);
        proof.again(50);
        assert_eq!(proof.at, 50);
        proof.ask(50, None);
        assert_eq!(proof.proven(0), ids(&["a", "b"]));
        assert_eq!((0..2_000).filter(|n| proof.wrote(n.to_string().into(), 0)).count(), MAX);
    }
}
