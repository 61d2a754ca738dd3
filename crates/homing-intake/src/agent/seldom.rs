//! Log lines that a stranger can cause are bounded: some at once, and then one a second.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Lines at once.
const BURST: f64 = 20.0;

/// A bucket of log lines.
pub(super) struct Seldom(Mutex<State>);

struct State {
    tokens: f64,
    at: Instant,
    hidden: u64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self(Mutex::new(State { tokens: BURST, at: Instant::now(), hidden: 0 }))
    }
}

impl Seldom {
    /// May a line be written now? Then: how many were not, since the last.
    pub(super) fn may(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.tokens = (state.tokens + (now - state.at).as_secs_f64()).min(BURST);
        state.at = now;
        if state.tokens < 1.0 {
            state.hidden += 1;
            return None;
        }
        state.tokens -= 1.0;
        Some(std::mem::take(&mut state.hidden))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_and_counted() {
        let seldom = Seldom::default();
        let lines = (0..120).filter(|_| seldom.may().is_some()).count();
        assert_eq!(lines, 20);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(seldom.may(), Some(100));
        assert_eq!(seldom.may(), None);
    }
}
