//! The one global brake: a queue server that is short of memory takes nothing new, while everything that frees memory
//! goes on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use homing_core::queue::{Memory, Queue};
use tokio::time::Instant;

/// How old a figure may be.
const FRESH: Duration = Duration::from_secs(1);

/// Asks the server about its memory, at most once a second.
pub(crate) struct Brake {
    queue: Arc<dyn Queue>,
    share: f64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    asked: Option<Instant>,
    closed: bool,
}

impl Brake {
    pub(crate) fn new(queue: Arc<dyn Queue>, share: f64) -> Self {
        Self { queue, share, seen: Mutex::default() }
    }

    /// Is nothing to be taken now? A server that does not answer is not the brake's affair: the append will say so.
    pub(crate) async fn is_closed(&self) -> bool {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.asked.is_some_and(|at| at.elapsed() < FRESH) {
                return seen.closed;
            }
            // Whoever comes meanwhile goes by the last figure.
            seen.asked = Some(Instant::now());
        }
        let asked = self.queue.memory().await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(memory) = asked {
            seen.closed = is_over(memory, self.share);
        }
        seen.closed
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of some gigabytes")]
fn is_over(memory: Memory, share: f64) -> bool {
    memory.limit > 0 && memory.used as f64 >= memory.limit as f64 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_a_share_of_the_limit() {
        let over = |used, limit| is_over(Memory { used, limit }, 0.9);
        assert!(!over(899, 1_000));
        assert!(over(900, 1_000));
        assert!(!over(u64::MAX, 0), "without a limit there is no mark");
    }
}
