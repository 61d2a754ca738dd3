//! A log line that is written seldom, however often there is reason for it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<(Option<Instant>, u64)>);

impl Quiet {
    /// May it be written now? With how many were left out since the last one.
    pub(super) fn speak(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.0.is_some_and(|last| now.duration_since(last) < PAUSE) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_stands_for_many() {
        let quiet = Quiet::default();
        assert_eq!(quiet.speak(), Some(0));
        assert_eq!((quiet.speak(), quiet.speak()), (None, None));
        tokio::time::advance(PAUSE).await;
        assert_eq!(quiet.speak(), Some(2));
        assert_eq!(quiet.speak(), None);
    }
}
