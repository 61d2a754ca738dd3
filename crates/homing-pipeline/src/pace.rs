//! How fast an app may be served: a bucket of tokens that the shards of a process share, one token per target.
//!
//! ```text
//!  rate                                    ┌───────────── per_second
//!   │                            ┌─────────┘
//!   │                  ┌─────────┘     linear, over `ramp`, while there is something to send
//!   └──────────────────┴──────────────────────────────── time
//! ```
//!
//! Providers want traffic to grow slowly. From a standstill, and after a pause, the rate climbs from one target a second
//! to the whole; while nothing is sent it sinks again as slowly. There is no saving up: what was not used within a tenth
//! of a second is gone, so that no burst follows a lull. Time is handed in.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use homing_core::channel::Pace;

/// The least rate, in targets per second: a lone message is never held up.
const LEAST: f64 = 1.0;

/// Whoever has something to send asks more often than this. A longer silence is a lull.
const LULL: f64 = 1_000.0;

/// Longest wait that is named, half of a lull.
const LONGEST: Duration = Duration::from_millis(500);

/// See the module. It is asked with the pace each time: a configuration may change it.
#[derive(Debug, Default)]
pub(crate) struct Bucket(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When it was last asked; `None` = never, or it rests.
    at: Option<Instant>,
    /// How far the rate has climbed, in milliseconds of the ramp.
    climbed: f64,
    /// Below zero after a page that was larger than what was there.
    tokens: f64,
}

impl Bucket {
    /// How long nothing may begin; `None` when something may.
    pub(crate) fn wait(&self, pace: Pace, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        let rate = state.advance(pace, now);
        let missing = 1.0 - state.tokens;
        (missing > 0.0).then(|| {
            let longest = LONGEST.as_secs_f64();
            Duration::from_secs_f64((missing / rate).clamp(0.001, longest))
        })
    }

    /// Takes so many tokens if something may begin now. A page may be larger than what is there: what follows waits for
    /// the difference.
    pub(crate) fn take(&self, pace: Pace, targets: usize, now: Instant) -> bool {
        let mut state = self.state();
        state.advance(pace, now);
        let there = state.tokens >= 1.0;
        if there {
            state.spend(targets);
        }
        there
    }

    /// After a pause: from the bottom, with this call as the first.
    pub(crate) fn restart(&self, pace: Pace, targets: usize, now: Instant) {
        let mut state = self.state();
        *state = State::default();
        state.advance(pace, now);
        state.spend(targets);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Answers the rate in targets per second.
    fn advance(&mut self, pace: Pace, now: Instant) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds, below 2^53")]
        let ramp = pace.ramp.max(0) as f64;
        // `max` also makes a number of what is none.
        let full = pace.per_second.max(0.01);
        let passed = self.at.map(|at| now.saturating_duration_since(at).as_secs_f64() * 1_000.0);
        match passed {
            Some(passed) if passed > LULL => self.climbed = (self.climbed - passed).max(0.0),
            Some(passed) => self.climbed = (self.climbed + passed).min(ramp),
            None => (self.climbed, self.tokens) = (0.0, 1.0),
        }
        let share = if ramp > 0.0 { (self.climbed / ramp).min(1.0) } else { 1.0 };
        let rate = (full * share).max(LEAST.min(full));
        let most = (rate / 10.0).max(1.0);
        self.tokens = (self.tokens + rate * passed.unwrap_or(0.0) / 1_000.0).min(most);
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        rate
    }

    fn spend(&mut self, targets: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a page has at most some thousand")]
        let targets = targets as f64;
        self.tokens -= targets;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { per_second: 100.0, ramp: 60_000 };

    /// Sends as much as it may for so many milliseconds, asking every five; answers how much in each second.
    fn send(bucket: &Bucket, pace: Pace, start: Instant, from: u64, until: u64, page: usize) -> Vec<usize> {
        let mut seconds = vec![0; usize::try_from((until - from).div_ceil(1_000)).unwrap_or(0)];
        for ms in (from..until).step_by(5) {
            let now = start + Duration::from_millis(ms);
            while bucket.take(pace, page, now) {
                if let Some(second) = seconds.get_mut(usize::try_from((ms - from) / 1_000).unwrap_or(0)) {
                    *second += page;
                }
            }
        }
        seconds
    }

    #[test]
    fn from_a_standstill_the_rate_climbs_to_the_whole_and_has_no_spikes() {
        let (bucket, start) = (Bucket::default(), Instant::now());
        let seconds = send(&bucket, PACE, start, 0, 70_000, 1);
        for (i, sent) in seconds.iter().enumerate() {
            // Linear: 100 a second after 60 seconds; a second's middle is half a second on.
            let ideal = (100 * (2 * i + 1)).div_ceil(120).clamp(1, 100);
            assert!(sent.abs_diff(ideal) <= 2, "second {i}: {sent}, not {ideal}");
        }
        let total: usize = seconds.iter().take(60).sum();
        assert!((2_950..=3_060).contains(&total), "{total}: half of 60 seconds at the whole rate");
        assert_eq!(seconds.get(65), Some(&100));
    }

    #[test]
    fn a_lull_sinks_the_rate_and_saves_nothing_up() {
        let (bucket, start) = (Bucket::default(), Instant::now());
        send(&bucket, PACE, start, 0, 60_000, 1);
        let after_a_while = send(&bucket, PACE, start, 90_000, 91_000, 1);
        assert!((50..=61).contains(&after_a_while[0]), "half way down after half of the ramp: {after_a_while:?}");
        let after_long = send(&bucket, PACE, start, 300_000, 302_000, 1);
        assert!(after_long[0] <= 3 && after_long[1] <= 4, "from the bottom: {after_long:?}");
    }

    #[test]
    fn a_lone_message_is_not_held_up() {
        let (bucket, start) = (Bucket::default(), Instant::now());
        for second in [0, 2, 4, 7, 1_000] {
            assert!(bucket.take(PACE, 1, start + Duration::from_secs(second)), "second {second}");
        }
    }

    #[test]
    fn a_page_is_paid_for_afterwards() {
        let pace = Pace { per_second: 100.0, ramp: 0 };
        let (bucket, start) = (Bucket::default(), Instant::now());
        let seconds = send(&bucket, pace, start, 0, 100_000, 500);
        let total: usize = seconds.iter().sum();
        assert!((9_900..=10_500).contains(&total), "{total}");
        assert!(seconds.iter().all(|sent| *sent <= 500), "one page at a time");
        // However long it takes, whoever waits asks twice a second.
        bucket.take(pace, 500, start + Duration::from_secs(101));
        assert_eq!(bucket.wait(pace, start + Duration::from_secs(101)), Some(LONGEST));
    }

    #[test]
    fn after_a_pause_it_begins_again() {
        let (bucket, start) = (Bucket::default(), Instant::now());
        send(&bucket, PACE, start, 0, 60_000, 1);
        bucket.restart(PACE, 1, start + Duration::from_secs(60));
        let seconds = send(&bucket, PACE, start, 60_000, 63_000, 1);
        assert!(seconds[0] <= 2 && seconds[2] <= 6, "{seconds:?}");
    }

    #[test]
    fn whoever_waits_is_told_how_long() {
        let pace = Pace { per_second: 100.0, ramp: 0 };
        let (bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.wait(pace, now), None);
        assert!(bucket.take(pace, 1, now));
        let wait = bucket.wait(pace, now).unwrap_or_default();
        assert_eq!(wait, Duration::from_millis(10));
        assert_eq!(bucket.wait(pace, now + wait), None);
        let nonsense = Pace { per_second: f64::NAN, ramp: -5 };
        bucket.restart(nonsense, 1, now);
        assert!(bucket.wait(nonsense, now).is_some_and(|wait| wait <= LONGEST));
    }
}
