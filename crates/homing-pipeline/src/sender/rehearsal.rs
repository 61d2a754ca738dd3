//! Rehearsals of a migration: messages that are built and validated by the channel that takes over, and shown to nobody.
//!
//! Each ends with its first answer as `rehearsed`, whatever that was. Real messages go first: a rehearsal is started only
//! when nothing real can be, at most [`MOST`] are under way in a shard, and more than twice as many at the head of a list
//! make way into a list of their own (`{q}:wait:rehearsals`). While the channel's trouble lasts most of them end untried
//! as `paused`, with the last error as their reason.

use std::collections::VecDeque;

use homing_core::{clock::Millis, queue::Log};

use super::desk::Job;

/// Most that are under way in a shard.
const MOST: usize = 32;

/// One that made way is not worth its call any more after so long, in milliseconds: so their list is bounded by time.
const LATE: Millis = 600_000;

/// See the module.
#[derive(Default)]
pub(super) struct Rehearsals {
    ready: VecDeque<Job>,
    in_flight: usize,
}

impl Rehearsals {
    /// Where they wait. No app has this name: a route has a platform.
    pub(super) const LIST: Log = Log::REHEARSALS;

    /// Takes a job in; gives it back if it is to make way.
    pub(super) fn add(&mut self, job: Job) -> Option<Job> {
        if job.log != Self::LIST && self.ready.len() >= 2 * MOST {
            return Some(job);
        }
        self.ready.push_back(job);
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next, if there is room for one.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.in_flight < MOST { self.ready.pop_front() } else { None }
    }

    /// Why a job comes too late to be tried.
    pub(super) fn late(job: &Job, now: Millis) -> Option<String> {
        let late = now.saturating_sub(job.notification.created_at);
        (job.log == Self::LIST && late > LATE).then(|| format!("not tried: {} s late", late / 1_000))
    }

    pub(super) fn began(&mut self) {
        self.in_flight += 1;
    }

    pub(super) fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}
