//! The commit as it grows: ends, retries, dead letters, each with its record and its counts.

use std::{sync::Arc, time::Instant};

use homing_core::{
    clock::Millis,
    notification::{Notification, Target},
    queue::{Append, Commit, Delayed, Destination, Log, QueueName, Seq},
    record::{Fate, Record, Stage},
    wire::{DeadLetter, Envelope},
};

use super::{
    call::Settled,
    desk::Job,
    fallback::{Bundle, Onward},
};
use crate::meter;

/// See the module.
pub(super) struct Book {
    queue: QueueName,
    /// Part of the identity of items that carry none.
    first_epoch: u64,
    commit: Commit,
    items: usize,
    since: Option<Instant>,
}

/// Targets of a job that have no end yet.
#[derive(Default)]
pub(super) struct Open {
    again: Vec<Target>,
    due: Millis,
    counts: bool,
    corrected: bool,
    why: String,
    parked: Vec<Target>,
    park_why: String,
}

impl Open {
    pub(super) fn again(&mut self, target: &Target, due: Millis, counts: bool, corrected: bool, settled: &Settled) {
        self.again.push(target.clone());
        self.due = self.due.max(due);
        self.counts |= counts;
        self.corrected |= corrected;
        self.why.clone_from(&settled.answer.detail);
    }

    pub(super) fn park(&mut self, target: &Target, settled: &Settled) {
        self.parked.push(target.clone());
        self.park_why.clone_from(&settled.answer.detail);
    }
}

impl Book {
    pub(super) fn open(queue: &QueueName, first_epoch: u64) -> Self {
        Self { queue: queue.clone(), first_epoch, commit: Commit::default(), items: 0, since: None }
    }

    /// Finished items that are not committed.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Since when there are any.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// All of it; the book is empty then.
    pub(super) fn take(&mut self) -> Commit {
        self.items = 0;
        self.since = None;
        std::mem::take(&mut self.commit)
    }

    /// There is something to commit though nothing was settled here: items that a predecessor finished.
    pub(super) fn touch(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// An item has left its list for good: all its targets have an end or are filed.
    pub(super) fn item(&mut self, log: &Log, targets: usize) {
        let targets = i64::try_from(targets).unwrap_or(i64::MAX);
        let main = *log == Log::MAIN;
        self.commit.counts.add(if main { "items.done" } else { "items.returned" }, 1);
        self.commit.counts.add(if main { "send.taken" } else { "send.returned" }, targets);
        self.items += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    /// The same end of some of a job's targets. One record, and one dead letter where it is one, stands for all of them.
    pub(super) fn end(&mut self, job: &Job, targets: &[Target], fate: Fate, detail: Option<&str>, now: Millis) {
        if let Fate::Dead { why } = &fate {
            let rest = Notification { targets: targets.to_vec(), ..(*job.notification).clone() };
            let letter = DeadLetter {
                id: job.notification.id.clone(),
                reason: why.clone(),
                error: detail.unwrap_or_default().to_owned(),
                at: now,
                tries: job.tries + 1,
                queue: self.queue.to_string(),
                seq: job.seq,
                body: rest.encode().to_vec(),
            };
            self.commit.bury.push(letter.encode());
            self.commit.counts.add("items.buried", 1);
        }
        if matches!(fate, Fate::Delivered { .. }) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            meter::end_to_end((now - job.notification.created_at).max(0) as f64 / 1_000.0, targets.len());
        }
        // Beside the books that must balance: what became of each side of a migration.
        if let Some(cohort) = &job.notification.cohort {
            let end = match &fate {
                Fate::Rehearsed { outcome } => outcome,
                other => other.name(),
            };
            let field = format!("cohort.{}.{}.{end}", cohort.migration, cohort.arm.name());
            self.commit.counts.add(field, i64::try_from(targets.len()).unwrap_or(i64::MAX));
        }
        self.record(job, fate, targets, detail, now);
    }

    /// Targets that have an end here go on to other lists, in the commit that writes that end. What follows there is
    /// not its migration's any more.
    pub(super) fn hand_over(&mut self, job: &Job, onward: Onward, now: Millis) {
        for Bundle { channel, list, targets } in onward.0 {
            let fate = Fate::Queued { channel };
            let reason = Some("by its next way");
            self.trace(job, fate, &targets, reason, now);
            let count = i64::try_from(targets.len()).unwrap_or(i64::MAX);
            let item = Notification { targets, cohort: None, ..(*job.notification).clone() }.encode();
            let append = self.append(Destination::Queue(list));
            append.items.push(item);
            append.counts.add("send.in", count);
            append.counts.add("send.items", 1);
        }
    }

    fn append(&mut self, to: Destination) -> &mut Append {
        let at = self.commit.append.iter().position(|append| append.to == to).unwrap_or_else(|| {
            let append = Append { to, items: Vec::new(), high_water: 0, counts: Default::default() };
            self.commit.append.push(append);
            self.commit.append.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the place was found or made above")]
        let append = &mut self.commit.append[at];
        append
    }

    fn record(&mut self, job: &Job, fate: Fate, targets: &[Target], detail: Option<&str>, now: Millis) {
        if !targets.is_empty() {
            let field = Stage::Send.field(&fate);
            self.commit.counts.add(field, i64::try_from(targets.len()).unwrap_or(i64::MAX));
            self.trace(job, fate, targets, detail, now);
        }
    }

    /// What is no end is only traced: another try, a hand-over.
    fn trace(&mut self, job: &Job, fate: Fate, targets: &[Target], detail: Option<&str>, now: Millis) {
        let reason = detail.filter(|d| !d.is_empty()).map(str::to_owned);
        let target = match targets {
            [] => return,
            [one] => one.label(),
            [first, ..] => format!("{} targets, {} first", targets.len(), first.label()),
        };
        let id = job.notification.id.clone();
        self.commit.records.push(Record { at: now, id, stage: Stage::Send, fate, target: Some(target), reason });
    }

    /// Files a job until the quiet hours of its receivers end.
    pub(super) fn defer(&mut self, job: &Job, until: Millis, now: Millis) {
        self.trace(job, Fate::Deferred { until }, &job.notification.targets, Some("quiet hours"), now);
        let body = envelope(job, "quiet hours").encode();
        self.commit.delay.push(Delayed { due: until, body });
        self.filed(job.notification.targets.len());
    }

    /// Files what has no end yet: one envelope for another try, one for the app's waiting list.
    pub(super) fn refile(&mut self, job: &Job, open: Open, now: Millis) {
        let envelope = |targets: Vec<Target>, counted: bool, corrected: bool, why: &str| Envelope {
            id: job.notification.id.clone(),
            attempts: job.attempts + u32::from(counted),
            tries: job.tries + 1,
            corrected,
            first_at: job.first_at,
            why: why.to_owned(),
            body: Notification { targets, ..(*job.notification).clone() }.encode().to_vec(),
            ..Envelope::default()
        };
        if !open.again.is_empty() {
            let count = open.again.len();
            let fate = Fate::Retried { at: open.due, why: open.why.clone() };
            self.trace(job, fate, &open.again, None, now);
            let body = envelope(open.again, open.counts, open.corrected, &open.why).encode();
            self.commit.delay.push(Delayed { due: open.due, body });
            self.filed(count);
        }
        if !open.parked.is_empty() {
            let rest = Notification { targets: open.parked, ..(*job.notification).clone() };
            let rest = Job { notification: Arc::new(rest), ..job.clone() };
            self.park(&rest, Log::wait(&job.route), &open.park_why, now);
        }
    }

    /// Puts a job into a waiting list.
    pub(super) fn park(&mut self, job: &Job, log: Log, why: &str, now: Millis) {
        // A job that was parked before and is parked again has its record already.
        if job.log != log {
            let fate = Fate::Retried { at: now, why: why.to_owned() };
            self.trace(job, fate, &job.notification.targets, Some("waits until its app is served again"), now);
        }
        self.append(Destination::Own(log)).items.push(envelope(job, why).encode());
        self.filed(job.notification.targets.len());
    }

    fn filed(&mut self, targets: usize) {
        self.commit.counts.add("items.filed", 1);
        self.commit.counts.add("send.filed", i64::try_from(targets).unwrap_or(i64::MAX));
    }

    /// The identity of an item that carries none.
    pub(super) fn anonymous(&self, seq: Seq, body: &[u8]) -> String {
        format!("{}:{}:{seq}:{:08x}", self.queue, self.first_epoch, crc32fast::hash(body))
    }

    /// Buries an item that is not to be worked: all its targets, or one where it is no notification of ours, as a foreign
    /// item is counted.
    pub(super) fn bury_unread(&mut self, log: &Log, seq: Seq, body: &[u8], reason: &str, error: String, now: Millis) {
        let id = self.anonymous(seq, body);
        let letter = DeadLetter {
            id: id.clone(),
            reason: reason.to_owned(),
            error: error.clone(),
            at: now,
            tries: 0,
            queue: self.queue.to_string(),
            seq,
            body: body.to_vec(),
        };
        self.commit.bury.push(letter.encode());
        self.commit.counts.add("items.buried", 1);
        let fate = Fate::Dead { why: reason.to_owned() };
        let record = Record { at: now, id, stage: Stage::Send, fate, target: None, reason: Some(error) };
        let envelope = if *log == Log::MAIN { None } else { Envelope::decode(body).ok() };
        let item = envelope.as_ref().map_or(body, |envelope| envelope.body.as_slice());
        let targets = Notification::decode(item).map_or(1, |notification| notification.targets.len().max(1));
        self.commit.record(record, i64::try_from(targets).unwrap_or(i64::MAX));
        if *log == Log::MAIN || envelope.is_some() {
            self.item(log, targets);
        } else {
            // Somebody else put it into a list of ours: it comes onto the books as it leaves them.
            for field in ["items.filed", "items.returned", "send.in", "send.taken"] {
                self.commit.counts.add(field, 1);
            }
            self.items += 1;
            self.touch();
        }
    }
}

/// A job as it stands, to be worked again: nothing was tried.
fn envelope(job: &Job, why: &str) -> Envelope {
    Envelope {
        id: job.notification.id.clone(),
        attempts: job.attempts,
        tries: job.tries,
        corrected: job.corrected,
        first_at: job.first_at,
        why: why.to_owned(),
        body: job.notification.encode().to_vec(),
        ..Envelope::default()
    }
}
