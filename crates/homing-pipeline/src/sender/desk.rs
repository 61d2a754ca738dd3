//! What a sender has in hand: the windows of its lists, and jobs that are ready, under way or waiting for one another.
//! No IO.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use homing_core::{
    channel::{Channel, Outcome},
    clock::Millis,
    notification::{Notification, Platform, Target},
    queue::{Budget, Commit, Destination, Item, Log, LogState, MAX_ITEM, Opened, Promoted, QueueName, Seq},
    record::Fate,
    window::Window,
    wire::Envelope,
};

use super::{
    Options,
    book::{Book, Open},
    call::Finished,
    fallback::{Onward, Ways, onward},
    foreign::Foreign,
    rehearsal::Rehearsals,
    route::{Next, Route},
    settle::{Verdict, settle},
};
use crate::{
    gates::{self, Gate, Gates, Pass},
    meter,
};

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
    /// It is only to be tried, and shown to nobody.
    pub(super) rehearsal: bool,
    pub(super) notification: Arc<Notification>,
    pub(super) attempts: u32,
    pub(super) tries: u32,
    pub(super) corrected: bool,
    pub(super) first_at: Millis,
}

/// What a desk knows of the world outside.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) gates: Arc<Gates>,
    pub(super) ways: Arc<Ways>,
}

/// The ends of a job's targets, equal ones together, and those that go on from there.
#[derive(Default)]
struct Settling<'a> {
    ends: Vec<(Fate, &'a str, Vec<Target>)>,
    onward: Onward,
}

impl<'a> Settling<'a> {
    fn end(&mut self, fate: Fate, detail: &'a str, target: &Target) {
        match self.ends.iter_mut().find(|(f, d, _)| *f == fate && *d == detail) {
            Some((_, _, targets)) => targets.push(target.clone()),
            None => self.ends.push((fate, detail, vec![target.clone()])),
        }
    }
}

/// See the module.
pub(super) struct Desk {
    options: Options,
    outside: Outside,
    /// Reads the items that somebody else's distributor writes.
    foreign: Option<Arc<Foreign>>,
    windows: Vec<Window>,
    /// Lists that may hold something behind their window.
    unread: HashSet<Log>,
    /// Waiting lists that may hold what has another way.
    mixed: HashSet<Log>,
    routes: HashMap<Arc<str>, Route>,
    rehearsals: Rehearsals,
    /// Users with a call under way, and what waits behind it: order is kept per user.
    busy: HashMap<String, VecDeque<Job>>,
    in_flight: usize,
    book: Book,
    next_due: Option<Millis>,
    suspicion: u32,
    seed: u64,
}

impl Desk {
    pub(super) fn open(
        queue: &QueueName,
        opened: &Opened,
        options: Options,
        foreign: Option<Arc<Foreign>>,
        outside: Outside,
    ) -> Self {
        Self {
            options,
            outside,
            foreign,
            windows: opened.logs.iter().map(Window::open).collect(),
            unread: opened.logs.iter().map(|l| l.log.clone()).collect(),
            mixed: opened.logs.iter().map(|l| l.log.clone()).collect(),
            routes: HashMap::new(),
            rehearsals: Rehearsals::default(),
            busy: HashMap::new(),
            in_flight: 0,
            book: Book::open(queue, opened.first_epoch),
            next_due: opened.next_due,
            suspicion: opened.suspicion,
            seed: opened.epoch | 1,
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

    /// Lists to peek at: where from and how much. A list of a paused app is left alone, but for what may leave it.
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
            if quiet || (!careful && window.open_items() >= self.low_water()) {
                continue;
            }
            let probing = match self.gate(log, now) {
                Pass::Open => false,
                _ if self.may_leave(log) => false,
                Pass::Shut(_) | Pass::Probed => continue,
                Pass::Probe if window.open_items() > 0 => continue,
                Pass::Probe => true,
            };
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
            let room = match self.gate(w.log(), now) {
                Pass::Open => self.low_water(),
                _ if self.may_leave(w.log()) => self.low_water(),
                Pass::Probe => 1,
                Pass::Shut(_) | Pass::Probed => 0,
            };
            w.open_items() < room
        };
        self.windows.iter().filter(|w| *w.log() != Log::MAIN && self.unread.contains(w.log())).any(|w| readable(&w))
    }

    /// What the gate of a waiting list's app says; other lists have none.
    fn gate(&self, log: &Log, now: Instant) -> Pass {
        self.gate_of(log).map_or(Pass::Open, |gate| gate.look(now))
    }

    /// Are a waiting list's app's credentials refused, and may it hold what has another way? That came there before,
    /// because of the app's pace.
    fn may_leave(&self, log: &Log) -> bool {
        self.mixed.contains(log) && self.gate_of(log).is_some_and(|gate| gate.is_refused())
    }

    fn park(&mut self, job: &Job, log: Log, why: &str, now: Millis) {
        self.book.park(job, log.clone(), why, now);
        if job.notification.targets.iter().any(|target| !target.alternates.is_empty()) {
            self.mixed.insert(log);
        }
    }

    fn gate_of(&self, log: &Log) -> Option<Arc<Gate>> {
        let route = log.name().strip_prefix("wait:").filter(|_| *log != Rehearsals::LIST)?;
        let known = self.routes.get(route).map(|route| Arc::clone(route.gate()));
        Some(known.unwrap_or_else(|| self.outside.gates.of(self.outside.channel.name(), route)))
    }

    /// Takes in what a peek brought.
    /// Those of `cancelled` end here.
    pub(super) fn accept(&mut self, log: &Log, items: Vec<Item>, cancelled: &HashSet<Seq>, now: Millis) {
        if items.is_empty() {
            self.unread.remove(log);
            // Unless it is not there yet.
            if self.book.since().is_none() {
                self.mixed.remove(log);
            }
        }
        let Some(window) = self.windows.iter_mut().find(|w| w.log() == log) else { return };
        let peeked = items.len();
        let open = window.accept(items);
        if open.len() < peeked {
            // They are trimmed even if nothing else is ever settled here: the window must not fill up with them.
            self.book.touch();
        }
        for seq in open {
            let Some(window) = self.windows.iter().find(|w| w.log() == log) else { return };
            let Some(body) = window.body(seq).cloned() else { continue };
            if self.suspicion >= 2 * CAREFUL {
                let error = format!("{} workers in a row died with this item at the head", self.suspicion);
                self.suspicion = 0;
                self.bury_unread(log, seq, &body, "suspect", error, now);
                continue;
            }
            match self.read(log, seq, &body, now) {
                Ok(job) if cancelled.contains(&seq) && !job.rehearsal => {
                    self.book.end(&job, &job.notification.targets, Fate::Cancelled, None, now);
                    self.finish(&job);
                }
                Ok(job) => self.enqueue(job, now),
                Err(error) => self.bury_unread(log, seq, &body, "invalid", error, now),
            }
        }
    }

    fn read(&self, log: &Log, seq: Seq, body: &[u8], now: Millis) -> Result<Job, String> {
        let envelope = if *log == Log::MAIN { None } else { Some(Envelope::decode(body).map_err(|e| e.to_string())?) };
        let item = envelope.as_ref().map_or(body, |e| e.body.as_slice());
        if item.len() > MAX_ITEM {
            return Err(format!("the item has {} bytes, the limit is {MAX_ITEM}", item.len()));
        }
        let mut notification = match &self.foreign {
            Some(foreign) if envelope.is_none() && Foreign::is(item) => {
                foreign.read(item, now, || self.book.anonymous(seq, item))?
            }
            _ => Notification::decode(item).map_err(|e| e.to_string())?,
        };
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
        let route = gates::route(&notification.app, notification.platform, notification.environment);
        let rehearsal = notification.is_rehearsal();
        let (attempts, tries, corrected, first_at) = match &envelope {
            Some(e) => (e.attempts, e.tries, e.corrected, e.first_at),
            None => (0, 0, false, notification.created_at),
        };
        let notification = Arc::new(notification);
        Ok(Job { log: log.clone(), seq, route, rehearsal, notification, attempts, tries, corrected, first_at })
    }

    fn enqueue(&mut self, job: Job, now: Millis) {
        if !job.rehearsal {
            self.route(&job).ready.push_back(job);
        } else if let Some(job) = self.rehearsals.add(job) {
            self.book.park(&job, Rehearsals::LIST, "rehearsals wait behind real messages", now);
            self.finish(&job);
        }
    }

    fn route(&mut self, job: &Job) -> &mut Route {
        let Outside { channel, gates, .. } = &self.outside;
        self.routes.entry(Arc::clone(&job.route)).or_insert_with(|| {
            let bucket = || gates.bucket(channel.name(), &job.notification.app);
            let pace = channel.pace(&job.notification).map(|pace| (pace, bucket()));
            Route::new(gates.of(channel.name(), &job.route), pace)
        })
    }

    // === starting ===

    /// The next job that may be called now; what is over or blocked is settled on the way. Rehearsals come last.
    pub(super) fn start(&mut self, now: Millis, instant: Instant) -> Option<Job> {
        self.start_real(now, instant).or_else(|| self.start_rehearsal(now, instant))
    }

    fn start_real(&mut self, now: Millis, instant: Instant) -> Option<Job> {
        loop {
            let concurrency = self.options.concurrency;
            let Outside { channel, ways, .. } = &self.outside;
            let goes_on = |job: &Job| {
                job.notification.targets.iter().all(|target| onward(target, channel.name(), ways).is_some())
            };
            let next = self.routes.values_mut().find_map(|route| route.next(concurrency, instant, goes_on))?;
            let job = match next {
                Next::Call(job) => job,
                Next::Aside(job, why) => {
                    self.put_aside(job, why, now);
                    continue;
                }
            };
            if job.notification.expires_at <= now {
                self.book.end(&job, &job.notification.targets, Fate::Expired, None, now);
                self.finish(&job);
                continue;
            }
            // However it came to be late: nobody is woken at night.
            if let Some(until) = job.notification.quiet.as_ref().and_then(|quiet| quiet.ends(now)) {
                if until >= job.notification.expires_at {
                    let why = Some("quiet hours until its end");
                    self.book.end(&job, &job.notification.targets, Fate::Expired, why, now);
                } else {
                    self.book.defer(&job, until, now);
                }
                self.finish(&job);
                continue;
            }
            let user = order_key(&job.notification);
            if let Some(user) = user
                && let Some(waiting) = self.busy.get_mut(user)
            {
                waiting.push_back(job);
                continue;
            }
            let route = self.routes.get_mut(&job.route)?;
            if !route.begin(&job, instant) {
                route.ready.push_front(job);
                continue;
            }
            if let Some(user) = user {
                self.busy.insert(user.to_owned(), VecDeque::new());
            }
            self.in_flight += 1;
            return Some(job);
        }
    }

    /// A job of an app that is not served now leaves the way of the others. Where the app's credentials are refused,
    /// targets that have another way take it.
    fn put_aside(&mut self, job: Job, why: &str, now: Millis) {
        let log = Log::wait(&job.route);
        let refused = self.routes.get(&job.route).is_some_and(|route| route.gate().is_refused());
        if !refused || job.notification.targets.iter().all(|target| target.alternates.is_empty()) {
            self.park(&job, log, why, now);
            self.finish(&job);
            return;
        }
        let (mut settling, mut rest) = (Settling::default(), Vec::new());
        let channel = Arc::clone(&self.outside.channel);
        for target in &job.notification.targets {
            match onward(target, channel.name(), &self.outside.ways) {
                Some((way, next)) => {
                    settling.end(
                        Fate::Rerouted { channel: way.to_owned() },
                        "its app's credentials are refused",
                        target,
                    );
                    settling.onward.add(way, next, &self.outside.ways);
                }
                None => rest.push(target.clone()),
            }
        }
        self.write(&job, settling, now);
        if !rest.is_empty() {
            let rest = Notification { targets: rest, ..(*job.notification).clone() };
            self.book.park(&Job { notification: Arc::new(rest), ..job.clone() }, log, why, now);
        }
        self.finish(&job);
    }

    fn start_rehearsal(&mut self, now: Millis, instant: Instant) -> Option<Job> {
        while let Some(job) = self.rehearsals.next() {
            let gate = self.outside.gates.of(self.outside.channel.name(), &job.route);
            let untried = match Rehearsals::late(&job, now) {
                Some(why) => Err(("untried", why)),
                None => gate.rehearse(instant).map_err(|why| ("paused", why)),
            };
            match untried {
                Ok(()) => {
                    self.rehearsals.began();
                    self.in_flight += 1;
                    return Some(job);
                }
                Err((outcome, why)) => {
                    let fate = Fate::Rehearsed { outcome: outcome.to_owned() };
                    self.end_rehearsed(&job, outcome, job.notification.targets.len());
                    self.book.end(&job, &job.notification.targets, fate, Some(&why), now);
                    self.finish(&job);
                }
            }
        }
        None
    }

    fn end_rehearsed(&self, job: &Job, outcome: &str, targets: usize) {
        meter::rehearsed(self.outside.channel.name(), &job.notification.app, outcome, targets);
    }

    // === settling ===

    /// Settles a finished call: every target has an end, or is filed for another try.
    pub(super) fn settle(&mut self, finished: Finished, now: Millis, instant: Instant) {
        let Finished { job, answers } = finished;
        self.in_flight = self.in_flight.saturating_sub(1);
        if job.rehearsal {
            self.rehearsals.ended();
            let gate = self.outside.gates.of(self.outside.channel.name(), &job.route);
            gate.rehearsed(answers.iter().map(|settled| &settled.answer), instant);
        } else {
            self.served(&job, answers.iter().map(|settled| &settled.answer.outcome), now, instant);
        }
        if let Some(cohort) = &job.notification.cohort {
            for settled in &answers {
                self.outside.gates.note(cohort, &settled.answer);
            }
        }
        let (mut open, mut settling) = (Open::default(), Settling::default());
        let random = self.random();
        for (settled, target) in answers.iter().zip(&job.notification.targets) {
            let next = onward(target, self.outside.channel.name(), &self.outside.ways);
            let way = next.as_ref().map(|(channel, _)| *channel);
            match settle(&job, settled, way, &self.options, now, random) {
                Verdict::End(fate) => {
                    if let Some((channel, next)) = next
                        && matches!(fate, Fate::BadToken { .. } | Fate::Rerouted { .. })
                    {
                        settling.onward.add(channel, next, &self.outside.ways);
                    }
                    settling.end(fate, &settled.answer.detail, target);
                }
                Verdict::Again { due, counts, corrected } => open.again(target, due, counts, corrected, settled),
                Verdict::Park => {
                    if !target.alternates.is_empty() {
                        self.mixed.insert(Log::wait(&job.route));
                    }
                    open.park(target, settled);
                }
            }
        }
        self.write(&job, settling, now);
        self.book.refile(&job, open, now);
        self.finish(&job);
        if self.routes.get(&job.route).is_some_and(Route::is_idle) {
            self.routes.remove(&job.route);
        }
    }

    /// A real call was answered: its gate hears of it, its user's next message may be called.
    fn served<'a>(
        &mut self,
        job: &Job,
        outcomes: impl Iterator<Item = &'a Outcome> + Clone,
        now: Millis,
        instant: Instant,
    ) {
        let rule = self.options.breaker();
        let gates = Arc::clone(&self.outside.gates);
        let route = self.route(job);
        gates.ended(route.gate(), outcomes, rule, now, instant);
        route.ended(job);
        if let Some(user) = order_key(&job.notification)
            && let Some(waiting) = self.busy.remove(user)
        {
            // They go to the front, in their order: nothing of the same user may pass them.
            for next in waiting.into_iter().rev() {
                self.route(&next).ready.push_front(next);
            }
        }
    }

    fn write(&mut self, job: &Job, settling: Settling<'_>, now: Millis) {
        for (fate, detail, targets) in settling.ends {
            match &fate {
                Fate::Rerouted { channel } => {
                    meter::rerouted(self.outside.channel.name(), channel, &job.notification.app, targets.len());
                }
                Fate::Rehearsed { outcome } => self.end_rehearsed(job, outcome, targets.len()),
                _ => {}
            }
            self.book.end(job, &targets, fate, Some(detail), now);
        }
        self.book.hand_over(job, settling.onward, now);
    }

    fn finish(&mut self, job: &Job) {
        self.book.item(&job.log, job.notification.targets.len());
        self.finish_at(&job.log, job.seq);
    }

    fn finish_at(&mut self, log: &Log, seq: Seq) {
        if let Some(window) = self.windows.iter_mut().find(|w| w.log() == log) {
            window.finish(seq);
        }
    }

    fn bury_unread(&mut self, log: &Log, seq: Seq, body: &[u8], reason: &str, error: String, now: Millis) {
        self.book.bury_unread(log, seq, body, reason, error, now);
        self.finish_at(log, seq);
    }

    // === committing ===

    /// Should what was settled be committed now? At once when nothing else is under way.
    pub(super) fn checkpoint_due(&self, now: Instant) -> bool {
        let Some(since) = self.book.since() else { return false };
        self.book.items() >= self.options.checkpoint_items
            || now.duration_since(since) >= self.options.checkpoint
            || (self.in_flight == 0 && self.rehearsals.is_empty() && self.routes.values().all(|r| r.ready.is_empty()))
    }

    /// The commit of everything settled so far; `None` when there is nothing.
    pub(super) fn take_commit(&mut self) -> Option<Commit> {
        self.book.since()?;
        let mut commit = self.book.take();
        commit.advance = self.windows.iter().filter_map(Window::advance).collect();
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
                    let state = LogState { log: log.clone(), head: 0, checkpoint: Default::default() };
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
        if let Some(since) = self.book.since() {
            pause = pause.min((since + self.options.checkpoint).saturating_duration_since(instant));
        }
        for wait in self.routes.values().filter_map(|route| route.wait(instant)) {
            pause = pause.min(wait);
        }
        for window in self.windows.iter().filter(|window| self.unread.contains(window.log())) {
            if let Pass::Shut(until) = self.gate(window.log(), instant) {
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

/// One call per user at a time keeps a user's messages in order, and one per topic a group's. A page of many users has no
/// such order.
fn order_key(notification: &Notification) -> Option<&str> {
    match notification.targets.as_slice() {
        [one] if !one.user.is_empty() => Some(&one.user),
        [one] if matches!(notification.platform, Platform::Mqtt | Platform::Socket) => Some(&one.token),
        _ => None,
    }
}
