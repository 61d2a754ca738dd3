//! One app on one platform: what is ready for it, its limit of calls, and its breaker.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use homing_core::{
    channel::{Outcome, Scope},
    queue::Log,
};

use super::{Options, call::Settled, desk::Job};

/// See the module.
#[derive(Default)]
pub(super) struct Route {
    pub(super) ready: VecDeque<Job>,
    in_flight: usize,
    failures: u32,
    /// Nothing is called before this.
    paused_until: Option<Instant>,
    /// Length of the next pause; set from the first pause until a call succeeds.
    pause: Option<Duration>,
}

impl Route {
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// Paused, or its probe is still under way: what is ready goes to the waiting list.
    pub(super) fn is_blocked(&self, now: Instant) -> bool {
        self.is_paused(now) || (self.is_probing() && self.in_flight > 0)
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// After a pause one call shows whether the app works again.
    pub(super) fn is_probing(&self) -> bool {
        self.pause.is_some()
    }

    /// Is this job to be parked? From the first pause until a call succeeds only the waiting list is probed: what hangs
    /// at the head of a list that other apps use would hold them up.
    pub(super) fn parks(&self, job: &Job, now: Instant) -> bool {
        self.is_blocked(now) || (self.is_probing() && job.log != Log::wait(&job.route))
    }

    /// May a ready job be taken: to be called, or to be parked?
    pub(super) fn has_room(&self, concurrency: usize, now: Instant) -> bool {
        !self.ready.is_empty() && (self.is_blocked(now) || self.in_flight < concurrency)
    }

    pub(super) fn began(&mut self) {
        self.in_flight += 1;
    }

    /// Nothing is known of it that a new one would not know?
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.in_flight == 0 && self.failures == 0 && self.pause.is_none()
    }

    /// A call ended: refused credentials, a wish for less, or many failures in a row pause the app; an answer that the
    /// app itself was served ends the pause.
    pub(super) fn ended(&mut self, answers: &[Settled], options: &Options, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let mut at_least = None;
        let mut failed = false;
        for settled in answers {
            match &settled.answer.outcome {
                Outcome::Config => at_least = Some(Duration::ZERO),
                // One device that gets too much says nothing of the others.
                Outcome::RateLimited { scope: Scope::Token, .. } => {}
                Outcome::RateLimited { after, .. } => {
                    let after = after.unwrap_or(60_000).clamp(1_000, 3_600_000);
                    at_least = Some(Duration::from_millis(u64::try_from(after).unwrap_or(60_000)));
                }
                Outcome::Retry { .. } | Outcome::Ambiguous => {
                    // However many targets it had, it was one call.
                    self.failures += u32::from(!failed);
                    failed = true;
                    // A probe that fails shows at once that nothing is better.
                    if self.is_probing() || self.failures >= options.breaker {
                        at_least = Some(Duration::ZERO);
                    }
                }
                Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } | Outcome::NoDevice | Outcome::Payload => {
                    self.failures = 0;
                    self.pause = None;
                    self.paused_until = None;
                }
                Outcome::Corrected | Outcome::Unknown => {}
            }
        }
        let Some(least) = at_least else { return };
        self.failures = 0;
        // Answers of calls that began before the pause do not make it longer.
        if !self.is_paused(now) {
            let length = self.pause.unwrap_or(options.pause).max(least);
            self.paused_until = Some(now + length);
            self.pause = Some((length * 2).min(options.pause_cap.max(least)));
        }
    }
}

#[cfg(test)]
mod tests {
    use homing_core::channel::Answer;

    use super::*;

    fn answer(outcome: Outcome) -> [Settled; 1] {
        [Settled { answer: Answer { outcome, detail: String::new() }, removed: false }]
    }

    #[test]
    fn a_refusal_pauses_and_the_pause_doubles_until_a_call_succeeds() {
        let options =
            Options { pause: Duration::from_secs(5), pause_cap: Duration::from_secs(12), ..Options::default() };
        let mut route = Route::default();
        let mut now = Instant::now();
        for expected in [5, 10, 12, 12] {
            route.ended(&answer(Outcome::Config), &options, now);
            assert_eq!(route.paused_until(), Some(now + Duration::from_secs(expected)));
            route.ended(&answer(Outcome::Config), &options, now);
            assert_eq!(route.paused_until(), Some(now + Duration::from_secs(expected)), "a late answer adds nothing");
            now += Duration::from_secs(expected);
            assert!(!route.is_paused(now) && route.is_probing());
        }
        route.ended(&answer(Outcome::Delivered { provider_id: None }), &options, now);
        assert!(!route.is_probing() && route.is_idle());
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_dead_tokens_do_not() {
        let options = Options { breaker: 3, ..Options::default() };
        let (mut route, now) = (Route::default(), Instant::now());
        for _ in 0..2 {
            route.ended(&answer(Outcome::Retry { after: None }), &options, now);
        }
        for _ in 0..9 {
            route.ended(&answer(Outcome::DEAD), &options, now);
        }
        assert!(!route.is_paused(now));
        for _ in 0..3 {
            assert!(!route.is_paused(now));
            route.ended(&answer(Outcome::Ambiguous), &options, now);
        }
        assert!(route.is_paused(now));
    }

    #[test]
    fn one_failed_probe_pauses_again() {
        let options = Options { breaker: 3, pause: Duration::from_secs(5), ..Options::default() };
        let (mut route, mut now) = (Route::default(), Instant::now());
        for _ in 0..3 {
            route.ended(&answer(Outcome::Ambiguous), &options, now);
        }
        now += Duration::from_secs(5);
        assert!(!route.is_paused(now) && !route.is_blocked(now));
        route.began();
        assert!(route.is_blocked(now), "one probe at a time");
        route.ended(&answer(Outcome::Ambiguous), &options, now);
        assert_eq!(route.paused_until(), Some(now + Duration::from_secs(10)));
    }

    #[test]
    fn a_providers_wish_is_obeyed() {
        let (mut route, now) = (Route::default(), Instant::now());
        route.ended(&answer(Outcome::limited(Some(90_000))), &Options::default(), now);
        assert_eq!(route.paused_until(), Some(now + Duration::from_secs(90)));
    }
}
