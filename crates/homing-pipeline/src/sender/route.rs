//! One app on one platform: what is ready for it, its calls under way, and what its gate and its pace say.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use homing_core::{
    channel::Pace,
    queue::{Log, Seq},
};

use super::desk::Job;
use crate::{
    gates::{Gate, Pass, Probe},
    pace::Bucket,
};

/// See the module.
pub(super) struct Route {
    gate: Arc<Gate>,
    pace: Option<(Pace, Arc<Bucket>)>,
    pub(super) ready: VecDeque<Job>,
    in_flight: usize,
    /// The call that shows whether the app works again, if it is one of these.
    probe: Option<(Log, Seq, Probe)>,
}

/// What becomes of a job that was ready.
pub(super) enum Next {
    /// It may be called.
    Call(Job),
    /// It makes way for other apps, for this reason.
    Aside(Job, &'static str),
}

const PAUSED: &str = "its app is paused";
const PACED: &str = "its app is served at a pace";

impl Route {
    pub(super) fn new(gate: Arc<Gate>, pace: Option<(Pace, Arc<Bucket>)>) -> Self {
        Self { gate, pace, ready: VecDeque::new(), in_flight: 0, probe: None }
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Takes the next job that something can be done with now. `goes_on` says of a job whether all its targets have
    /// another way.
    ///
    /// From a pause until a call succeeds only the waiting list is probed: what hangs at the head of a list that other
    /// apps use would hold them up. A job that goes on another way in any case may probe, too. While the credentials are
    /// refused the waiting list is read for those that have another way; the rest of it stays in hand.
    pub(super) fn next(&mut self, concurrency: usize, now: Instant, goes_on: impl Fn(&Job) -> bool) -> Option<Next> {
        let first = self.ready.front()?;
        match self.gate.look(now) {
            Pass::Open if self.in_flight >= concurrency => return None,
            Pass::Open => {}
            Pass::Shut(_) if !self.gate.is_refused() => return self.aside(0, PAUSED),
            Pass::Probe if waits(first) || (self.gate.is_refused() && goes_on(first)) => {
                return self.ready.pop_front().map(Next::Call);
            }
            // What was read from the waiting list stays in hand until the probe is answered.
            Pass::Shut(_) | Pass::Probe | Pass::Probed => {
                let refused = self.gate.is_refused();
                let at = self.ready.iter().position(|job| !waits(job) || (refused && goes_on(job)))?;
                return self.aside(at, PAUSED);
            }
        }
        if let Some((pace, bucket)) = &self.pace
            && bucket.wait(*pace, now).is_some()
        {
            // The rest makes way, in its order: other apps of this list need not wait.
            let keep = (concurrency / 16).max(1);
            let (at, _) = self.ready.iter().enumerate().skip(keep).find(|(_, job)| !waits(job))?;
            return self.aside(at, PACED);
        }
        self.ready.pop_front().map(Next::Call)
    }

    fn aside(&mut self, at: usize, why: &'static str) -> Option<Next> {
        self.ready.remove(at).map(|job| Next::Aside(job, why))
    }

    /// Counts a call as begun, if gate and pace still let it: another shard may have been faster.
    pub(super) fn begin(&mut self, job: &Job, now: Instant) -> bool {
        let targets = job.notification.targets.len();
        match self.gate.look(now) {
            Pass::Open => {
                if let Some((pace, bucket)) = &self.pace
                    && !bucket.take(*pace, targets, now)
                {
                    return false;
                }
            }
            Pass::Shut(_) | Pass::Probed => return false,
            Pass::Probe => {
                let Some(probe) = self.gate.probe(now) else { return false };
                self.probe = Some((job.log.clone(), job.seq, probe));
                if let Some((pace, bucket)) = &self.pace {
                    bucket.restart(*pace, targets, now);
                }
            }
        }
        self.in_flight += 1;
        true
    }

    /// A call ended; what it was answered is on the gate already.
    pub(super) fn ended(&mut self, job: &Job) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.probe.as_ref().is_some_and(|(log, seq, _)| *log == job.log && *seq == job.seq) {
            self.probe = None;
        }
    }

    /// How long what is ready has to wait for its pace, where it is that.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let (pace, bucket) = self.pace.as_ref().filter(|_| !self.ready.is_empty())?;
        bucket.wait(*pace, now)
    }

    /// Is there nothing in hand?
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.in_flight == 0
    }
}

/// Does it come from its app's waiting list?
fn waits(job: &Job) -> bool {
    job.log.name().strip_prefix("wait:").is_some_and(|route| *route == *job.route)
}
