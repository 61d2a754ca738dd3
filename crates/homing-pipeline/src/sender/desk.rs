//! What a sender has in hand: the windows of its lists, jobs that are ready, under way or waiting for one another, and
//! the commit that grows out of what was settled. No IO.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use homing_core::{
    channel::Outcome,
    clock::Millis,
    notification::{Notification, Target},
    queue::{Append, Budget, Commit, Delayed, Destination, Item, Log, MAX_ITEM, Opened, Promoted, QueueName, Seq},
    record::{Fate, Record, Stage},
    window::Window,
    wire::{DeadLetter, Envelope},
};

use super::{
    Options,
    call::{Finished, Settled},
    settle::{Verdict, settle},
};
use crate::meter;

/// From so many owners in a row that died at the same item on, items are worked one at a time; from twice as many on
/// the first item is taken for the cause.
const CAREFUL: u32 = 3;

/// One item on its way through the channel: its open targets only.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) log: Log,
    pub(super) seq: Seq,
    /// App and platform: what has credentials, a limit and a breaker of its own.
    pub(super) route: Arc<str>,
    pub(super) notification: Arc<Notification>,
    pub(super) attempts: u32,
    pub(super) tries: u32,
    pub(super) corrected: bool,
    pub(super) first_at: Millis,
}

/// State of an app and platform.
#[derive(Default)]
struct Route {
    ready: VecDeque<Job>,
    in_flight: usize,
    failures: u32,
    /// Nothing is started before this.
    paused_until: Option<Instant>,
    /// Length of the next pause.
    pause: Option<Duration>,
}

/// See the module.
pub(super) struct Desk {
    queue: QueueName,
    options: Options,
    windows: Vec<Window>,
    /// Lists that may hold something behind their window.
    unread: HashSet<Log>,
    routes: HashMap<Arc<str>, Route>,
    /// Users with a call under way, and what waits behind it: order is kept per user.
    busy: HashMap<String, VecDeque<Job>>,
    in_flight: usize,
    commit: Commit,
    settled: usize,
    since: Option<Instant>,
    next_due: Option<Millis>,
    suspicion: u32,
    seed: u64,
    first_epoch: u64,
}

impl Desk {
    pub(super) fn open(queue: &QueueName, opened: &Opened, options: Options) -> Self {
        Self {
            queue: queue.clone(),
            options,
            windows: opened.logs.iter().map(Window::open).collect(),
            unread: opened.logs.iter().map(|l| l.log.clone()).collect(),
            routes: HashMap::new(),
            busy: HashMap::new(),
            in_flight: 0,
            commit: Commit::default(),
            settled: 0,
            since: None,
            next_due: opened.next_due,
            suspicion: opened.suspicion,
            seed: opened.epoch | 1,
            first_epoch: opened.first_epoch,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    // === reading ===

    /// Is there room for more items?
    pub(super) fn hungry(&self) -> bool {
        self.windows.iter().any(|w| w.open_items() < self.low_water())
    }

    /// Peeks bring many items at once instead of one for each that was finished.
    fn low_water(&self) -> usize {
        self.options.concurrency * 2
    }

    /// Lists to peek at: where from and how much. A list of a paused app is left alone.
    pub(super) fn places(&self, now: Instant) -> Vec<(Log, Seq, Budget)> {
        let careful = self.suspicion >= CAREFUL;
        let mut limits = self.options.limits;
        if careful {
            limits.items = 1;
        }
        let mut places = Vec::new();
        for window in &self.windows {
            let log = window.log();
            let quiet = *log != Log::MAIN && !self.unread.contains(log);
            if quiet || self.is_paused(log, now) || (!careful && window.open_items() >= self.low_water()) {
                continue;
            }
            let probing = self.is_probing(log);
            if probing && window.open_items() > 0 {
                continue;
            }
            if let Some(budget) = window.room(limits) {
                let items = budget.items.min(if probing { 1 } else { 256 });
                places.push((log.clone(), window.next(), Budget { items, ..budget }));
            }
            if careful && window.open_items() > 0 {
                break;
            }
        }
        places
    }

    /// Does a list of our own have items that could be read now?
    pub(super) fn own_lists_wait(&self, now: Instant) -> bool {
        let readable = |w: &&Window| {
            let room = if self.is_probing(w.log()) { 1 } else { self.low_water() };
            w.open_items() < room && !self.is_paused(w.log(), now)
        };
        self.windows.iter().filter(|w| *w.log() != Log::MAIN && self.unread.contains(w.log())).any(|w| readable(&w))
    }

    fn is_paused(&self, log: &Log, now: Instant) -> bool {
        let Some(route) = log.name().strip_prefix("wait:") else { return false };
        self.routes.get(route).and_then(|r| r.paused_until).is_some_and(|until| until > now)
    }

    /// After a pause one item shows whether the app works again; the others stay where they are.
    fn is_probing(&self, log: &Log) -> bool {
        let Some(route) = log.name().strip_prefix("wait:") else { return false };
        self.routes.get(route).is_some_and(|r| r.pause.is_some())
    }

    /// Takes in what a peek brought.
    pub(super) fn accept(&mut self, log: &Log, items: Vec<Item>, now: Millis) {
        if items.is_empty() {
            self.unread.remove(log);
        }
        let Some(window) = self.windows.iter_mut().find(|w| w.log() == log) else { return };
        for seq in window.accept(items) {
            let Some(window) = self.windows.iter().find(|w| w.log() == log) else { return };
            let Some(body) = window.body(seq).cloned() else { continue };
            if self.suspicion >= 2 * CAREFUL {
                let error = format!("{} workers in a row died with this item at the head", self.suspicion);
                self.suspicion = 0;
                self.bury_unread(log, seq, &body, "suspect", error, now);
                continue;
            }
            match self.read(log, seq, &body) {
                Ok(job) => self.enqueue(job),
                Err(error) => self.bury_unread(log, seq, &body, "invalid", error, now),
            }
        }
    }

    fn read(&self, log: &Log, seq: Seq, body: &[u8]) -> Result<Job, String> {
        let envelope = if *log == Log::MAIN { None } else { Some(Envelope::decode(body).map_err(|e| e.to_string())?) };
        let item = envelope.as_ref().map_or(body, |e| e.body.as_slice());
        if item.len() > MAX_ITEM {
            return Err(format!("the item has {} bytes, the limit is {MAX_ITEM}", item.len()));
        }
        let mut notification = Notification::decode(item).map_err(|e| e.to_string())?;
        if let Some(window) = self.windows.iter().find(|w| w.log() == log) {
            // A predecessor may have finished some of the targets.
            let mut i = 0;
            notification.targets.retain(|_| {
                i += 1;
                !window.target_done(seq, i - 1)
            });
        }
        if notification.targets.is_empty() {
            return Err("the notification has no target".to_owned());
        }
        let route = format!("{}-{}", notification.app, notification.platform.name()).into();
        let (attempts, tries, corrected, first_at) = match &envelope {
            Some(e) => (e.attempts, e.tries, e.corrected, e.first_at),
            None => (0, 0, false, notification.created_at),
        };
        let notification = Arc::new(notification);
        Ok(Job { log: log.clone(), seq, route, notification, attempts, tries, corrected, first_at })
    }

    fn enqueue(&mut self, job: Job) {
        self.routes.entry(Arc::clone(&job.route)).or_default().ready.push_back(job);
    }

    // === starting ===

    /// The next job that may be called now; what is over or blocked is settled on the way.
    pub(super) fn start(&mut self, now: Millis, instant: Instant) -> Option<Job> {
        loop {
            let route = self.routes.iter_mut().find_map(|(_, route)| {
                let paused = route.paused_until.is_some_and(|until| until > instant);
                // After a pause one call probes; a paused route's jobs are only taken to be parked.
                let room = if route.pause.is_some() && !paused { 1 } else { self.options.concurrency };
                (!route.ready.is_empty() && (paused || route.in_flight < room)).then_some((route, paused))
            });
            let (route, paused) = route?;
            let job = route.ready.pop_front()?;
            if paused {
                self.park(&job, "its app is paused", now);
                continue;
            }
            if job.notification.expires_at <= now {
                self.end_all(&job, &Fate::Expired, None, now);
                continue;
            }
            if let Some(user) = order_key(&job.notification) {
                if let Some(waiting) = self.busy.get_mut(user) {
                    waiting.push_back(job);
                    continue;
                }
                self.busy.insert(user.to_owned(), VecDeque::new());
            }
            route.in_flight += 1;
            self.in_flight += 1;
            return Some(job);
        }
    }

    // === settling ===

    /// Settles a finished call: every target has an end, or is filed for another try.
    pub(super) fn settle(&mut self, finished: Finished, now: Millis, instant: Instant) {
        let Finished { job, answers } = finished;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.note_health(&job, &answers, instant);
        if let Some(user) = order_key(&job.notification)
            && let Some(waiting) = self.busy.remove(user)
        {
            // They go to the front, in their order: nothing of the same user may pass them.
            for next in waiting.into_iter().rev() {
                self.routes.entry(Arc::clone(&next.route)).or_default().ready.push_front(next);
            }
        }
        let mut open = Open::default();
        for (settled, target) in answers.iter().zip(&job.notification.targets) {
            let random = self.random();
            match settle(&job, settled, &self.options, now, random) {
                Verdict::End(fate) => self.end(&job, target, fate, Some(&settled.answer.detail), now),
                Verdict::Again { due, counts, corrected } => open.again(target, due, counts, corrected, settled),
                Verdict::Park => open.park(target, settled),
            }
        }
        self.refile(&job, open, now);
        self.item_done(&job);
    }

    /// Keeps the breaker of the job's route.
    fn note_health(&mut self, job: &Job, answers: &[Settled], now: Instant) {
        let route = self.routes.entry(Arc::clone(&job.route)).or_default();
        route.in_flight = route.in_flight.saturating_sub(1);
        let mut pause_at_least = None;
        for settled in answers {
            match &settled.answer.outcome {
                Outcome::Config => pause_at_least = Some(Duration::ZERO),
                Outcome::RateLimited { after } => {
                    let after = after.unwrap_or(60_000).clamp(1_000, 3_600_000);
                    pause_at_least = Some(Duration::from_millis(u64::try_from(after).unwrap_or(60_000)));
                }
                Outcome::Retry { .. } | Outcome::Ambiguous => {
                    route.failures += 1;
                    if route.failures >= self.options.breaker {
                        pause_at_least = Some(Duration::ZERO);
                    }
                }
                Outcome::Delivered { .. } | Outcome::TokenInvalid | Outcome::NoDevice | Outcome::Payload => {
                    route.failures = 0;
                    route.pause = None;
                    route.paused_until = None;
                }
                Outcome::Corrected | Outcome::Unknown => {}
            }
        }
        if let Some(least) = pause_at_least {
            // Answers of calls that began before the pause do not make it longer.
            if route.paused_until.is_none_or(|until| until <= now) {
                let length = route.pause.unwrap_or(self.options.pause).max(least);
                route.paused_until = Some(now + length);
                route.pause = Some((length * 2).min(self.options.pause_cap.max(least)));
            }
            route.failures = 0;
        }
    }

    fn end(&mut self, job: &Job, target: &Target, fate: Fate, detail: Option<&str>, now: Millis) {
        if let Fate::Dead { why } = &fate {
            let rest = Notification { targets: vec![target.clone()], ..(*job.notification).clone() };
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
            meter::end_to_end((now - job.notification.created_at).max(0) as f64 / 1_000.0);
        }
        self.record(job, fate, target, detail, now);
    }

    fn end_all(&mut self, job: &Job, fate: &Fate, detail: Option<&str>, now: Millis) {
        for target in &job.notification.targets {
            self.end(job, target, fate.clone(), detail, now);
        }
        self.item_done(job);
    }

    fn record(&mut self, job: &Job, fate: Fate, target: &Target, detail: Option<&str>, now: Millis) {
        let retried = matches!(fate, Fate::Retried { .. });
        let reason = detail.filter(|d| !d.is_empty()).map(str::to_owned);
        let target = Some(target.label());
        let record = Record { at: now, id: job.notification.id.clone(), stage: Stage::Send, fate, target, reason };
        // A retry is no end: it is traced, and counted as filed.
        if retried {
            self.commit.records.push(record);
        } else {
            self.commit.record(record, 1);
        }
    }

    /// Files what has no end yet: one envelope for another try, one for the app's waiting list.
    fn refile(&mut self, job: &Job, open: Open, now: Millis) {
        let envelope = |targets: Vec<Target>, counted: bool, corrected: bool, why: &str| Envelope {
            id: job.notification.id.clone(),
            attempts: job.attempts + u32::from(counted),
            tries: job.tries + 1,
            corrected,
            first_at: job.first_at,
            why: why.to_owned(),
            body: Notification { targets, ..(*job.notification).clone() }.encode().to_vec(),
        };
        if !open.again.is_empty() {
            let count = open.again.len();
            for target in &open.again {
                let fate = Fate::Retried { at: open.due, why: open.why.clone() };
                self.record(job, fate, target, None, now);
            }
            let body = envelope(open.again, open.counts, open.corrected, &open.why).encode();
            self.commit.delay.push(Delayed { due: open.due, body });
            self.filed(count);
        }
        if !open.parked.is_empty() {
            let rest = Notification { targets: open.parked, ..(*job.notification).clone() };
            let rest = Job { notification: Arc::new(rest), ..job.clone() };
            self.file_in_waiting_list(&rest, &open.park_why, now);
        }
    }

    /// Moves a job that was not called to the waiting list of its app.
    fn park(&mut self, job: &Job, why: &str, now: Millis) {
        self.file_in_waiting_list(job, why, now);
        self.item_done(job);
    }

    fn file_in_waiting_list(&mut self, job: &Job, why: &str, now: Millis) {
        let log = Log::wait(&job.route);
        let envelope = Envelope {
            id: job.notification.id.clone(),
            attempts: job.attempts,
            tries: job.tries,
            corrected: job.corrected,
            first_at: job.first_at,
            why: why.to_owned(),
            body: job.notification.encode().to_vec(),
        };
        let item = envelope.encode();
        let to = Destination::Own(log.clone());
        match self.commit.append.iter_mut().find(|a| a.to == to) {
            Some(append) => append.items.push(item),
            None => {
                self.commit.append.push(Append { to, items: vec![item], high_water: 0, counts: Default::default() });
            }
        }
        // A job that was parked before and is parked again has its record already.
        if job.log != log {
            for target in &job.notification.targets {
                let fate = Fate::Retried { at: now, why: why.to_owned() };
                self.record(job, fate, target, Some("waits until its app works again"), now);
            }
        }
        self.filed(job.notification.targets.len());
    }

    fn filed(&mut self, targets: usize) {
        self.commit.counts.add("items.filed", 1);
        self.commit.counts.add("send.filed", i64::try_from(targets).unwrap_or(i64::MAX));
    }

    fn item_done(&mut self, job: &Job) {
        self.finish(&job.log, job.seq, job.notification.targets.len());
    }

    fn finish(&mut self, log: &Log, seq: Seq, targets: usize) {
        let targets = i64::try_from(targets).unwrap_or(i64::MAX);
        let main = *log == Log::MAIN;
        self.commit.counts.add(if main { "items.done" } else { "items.returned" }, 1);
        self.commit.counts.add(if main { "send.taken" } else { "send.returned" }, targets);
        if let Some(window) = self.windows.iter_mut().find(|w| w.log() == log) {
            window.finish(seq);
        }
        self.settled += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    /// Buries an item that is not a notification: one target, as a foreign item is counted.
    fn bury_unread(&mut self, log: &Log, seq: Seq, body: &[u8], reason: &str, error: String, now: Millis) {
        let id = format!("{}:{}:{seq}:{:08x}", self.queue, self.first_epoch, crc32fast::hash(body));
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
        self.commit.record(record, 1);
        self.finish(log, seq, 1);
    }

    // === committing ===

    /// Should what was settled be committed now? At once when nothing else is under way.
    pub(super) fn checkpoint_due(&self, now: Instant) -> bool {
        let Some(since) = self.since else { return false };
        self.settled >= self.options.checkpoint_items
            || now.duration_since(since) >= self.options.checkpoint
            || (self.in_flight == 0 && self.routes.values().all(|r| r.ready.is_empty()))
    }

    /// The commit of everything settled so far; `None` when there is nothing.
    pub(super) fn take_commit(&mut self) -> Option<Commit> {
        self.since?;
        let mut commit = std::mem::take(&mut self.commit);
        commit.advance = self.windows.iter().filter_map(Window::advance).collect();
        self.since = None;
        self.settled = 0;
        Some(commit)
    }

    /// The commit was confirmed.
    pub(super) fn committed(&mut self, commit: &Commit) {
        for advance in &commit.advance {
            if let Some(window) = self.windows.iter_mut().find(|w| *w.log() == advance.log) {
                window.applied(advance);
            }
        }
        for append in &commit.append {
            if let Destination::Own(log) = &append.to {
                if !self.windows.iter().any(|w| w.log() == log) {
                    let state =
                        homing_core::queue::LogState { log: log.clone(), head: 0, checkpoint: Default::default() };
                    self.windows.push(Window::open(&state));
                }
                self.unread.insert(log.clone());
            }
        }
        if let Some(due) = commit.delay.iter().map(|d| d.due).min() {
            self.next_due = Some(self.next_due.map_or(due, |known| known.min(due)));
        }
        if commit.advance.iter().any(|a| a.trim > 0) {
            self.suspicion = 0;
        }
    }

    // === time ===

    pub(super) fn promotion_due(&self, now: Millis) -> bool {
        self.next_due.is_some_and(|due| due <= now)
    }

    pub(super) fn promoted(&mut self, promoted: Promoted) {
        self.next_due = promoted.next_due;
        if promoted.moved > 0 {
            self.unread.insert(Log::RETRY);
        }
    }

    /// How long nothing needs to be done unless something happens; a second at most, in case a wake-up was lost.
    pub(super) fn pause(&self, now: Millis, instant: Instant, renew: Duration) -> Duration {
        let mut pause = Duration::from_secs(1).min(renew);
        if let Some(due) = self.next_due {
            pause = pause.min(Duration::from_millis(u64::try_from(due - now).unwrap_or(0)));
        }
        if let Some(since) = self.since {
            pause = pause.min((since + self.options.checkpoint).saturating_duration_since(instant));
        }
        for route in self.routes.values() {
            if let Some(until) = route.paused_until.filter(|until| *until > instant) {
                pause = pause.min(until.saturating_duration_since(instant));
            }
        }
        pause.max(Duration::from_millis(1))
    }

    /// A number in 0..1 for jitter: xorshift, seeded with the epoch.
    fn random(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
        let random = (self.seed >> 11) as f64 / (1_u64 << 53) as f64;
        random
    }
}

/// Targets of a job that have no end yet.
#[derive(Default)]
struct Open {
    again: Vec<Target>,
    due: Millis,
    counts: bool,
    corrected: bool,
    why: String,
    parked: Vec<Target>,
    park_why: String,
}

impl Open {
    fn again(&mut self, target: &Target, due: Millis, counts: bool, corrected: bool, settled: &Settled) {
        self.again.push(target.clone());
        self.due = self.due.max(due);
        self.counts |= counts;
        self.corrected |= corrected;
        self.why.clone_from(&settled.answer.detail);
    }

    fn park(&mut self, target: &Target, settled: &Settled) {
        self.parked.push(target.clone());
        self.park_why.clone_from(&settled.answer.detail);
    }
}

/// One call per user at a time keeps a user's messages in order. A page of many users has no such order.
fn order_key(notification: &Notification) -> Option<&str> {
    match notification.targets.as_slice() {
        [one] if !one.user.is_empty() => Some(&one.user),
        _ => None,
    }
}
