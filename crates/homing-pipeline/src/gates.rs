//! Pauses and paces that the senders of a process share, one gate for each channel and route (app, platform, network).
//!
//! | what shuts it | for how long | who obeys |
//! |---|---|---|
//! | the provider asks the app for less | as long as it says, else a minute; a later wish extends, never shortens | all processes, by the notice board |
//! | credentials are refused | 5 s, doubling up to 5 min | this process |
//! | many calls in a row failed | the same | this process |
//!
//! When the time is over one call per process probes, of whichever shard comes first; the others wait for its answer. If
//! the provider served it the gate opens for all, and the pace begins at the bottom. Refused credentials and failures stay
//! with the process: another one may have other credentials by now, or another way to the provider.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use homing_core::{
    channel::{Answer, Outcome, Scope},
    clock::{Clock, Millis},
    notification::{Cohort, Environment, Platform},
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    board::{Board, Notices, PAUSE, pause},
    meter,
    pace::Bucket,
};

/// How long an app is left alone that the provider asked for less without saying how long.
const UNSAID: Millis = 60_000;

/// Longest pause that is believed, whoever says it.
const LONGEST: Millis = 3_600_000;

/// Tried so often while rehearsals fail or the app is paused: enough to tell why, too little to disturb.
const REHEARSE: Duration = Duration::from_millis(250);

/// How often the gauge of paused routes is set.
const SHOWN: Duration = Duration::from_secs(1);

/// Above so many gates those that say nothing are dropped: an app's name may come from a foreign item.
const MANY: usize = 1_024;

/// Longest error that is put on the board, in characters.
const ERROR: usize = 300;

/// See the module; one per process.
pub struct Gates {
    others: Option<(Arc<Board>, Arc<dyn Clock>)>,
    /// By channel.
    gates: Mutex<HashMap<Box<str>, Routes>>,
    /// By channel and app.
    buckets: Mutex<HashMap<Account, Arc<Bucket>>>,
    changed: watch::Sender<()>,
}

/// The gates of a channel.
type Routes = HashMap<Arc<str>, Arc<Gate>>;

/// Channel and app.
type Account = (Box<str>, Box<str>);

impl Default for Gates {
    /// Of a process that is alone: nobody else is told, and nobody else is heard.
    fn default() -> Self {
        Self { others: None, gates: Mutex::default(), buckets: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Gates {
    /// Gates that hear of other processes' pauses by `board`, and tell them of theirs, until `stop`.
    pub fn start(board: Arc<Board>, clock: Arc<dyn Clock>, stop: CancellationToken) -> Arc<Self> {
        let mut seen = board.subscribe();
        let gates = Arc::new(Self { others: Some((board, Arc::clone(&clock))), ..Self::default() });
        let hears = Arc::clone(&gates);
        tokio::spawn(async move {
            let mut shown = tokio::time::interval(SHOWN);
            shown.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = seen.changed() => match changed {
                        Ok(()) => {
                            let notices = Arc::clone(&seen.borrow_and_update());
                            hears.each(|gate| gate.hear(&notices, clock.now(), Instant::now()));
                        }
                        Err(_) => return,
                    },
                    _ = shown.tick() => hears.each(|gate| gate.show(Instant::now())),
                }
            }
        });
        gates
    }

    /// The gate of a route.
    pub(crate) fn of(&self, channel: &str, route: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(channel).and_then(|gates| gates.get(route)) {
            return Arc::clone(gate);
        }
        let of = gates.entry(channel.into()).or_default();
        if of.len() >= MANY {
            of.retain(|_, gate| Arc::strong_count(gate) > 1 || !gate.is_quiet());
        }
        let gate = Arc::new(Gate::new(channel, route, self.changed.clone()));
        if let Some((board, clock)) = &self.others {
            gate.hear(&board.now(), clock.now(), Instant::now());
        }
        of.insert(route.into(), Arc::clone(&gate));
        gate
    }

    /// The bucket of an app.
    pub(crate) fn bucket(&self, channel: &str, app: &str) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1);
        }
        Arc::clone(buckets.entry((channel.into(), app.into())).or_default())
    }

    /// Is signalled when a gate opened or shut, or a probe ended.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What the calls of a route answered; a provider's wish is passed on to other processes.
    pub(crate) fn ended<'a>(
        &self,
        gate: &Gate,
        outcomes: impl Iterator<Item = &'a Outcome> + Clone,
        rule: Breaker,
        now: Millis,
        instant: Instant,
    ) {
        if let Some(until) = gate.ended(outcomes, rule, now, instant)
            && let Some((board, _)) = &self.others
        {
            board.pause(gate.notice.clone(), until);
        }
    }

    /// Keeps an answer that is no end a migration wants, for its report.
    pub(crate) fn note(&self, cohort: &Cohort, answer: &Answer) {
        let Some((board, _)) = &self.others else { return };
        if !is_trouble(&answer.outcome) && !matches!(answer.outcome, Outcome::Payload | Outcome::Unknown) {
            return;
        }
        let text = format!("{}: {}", answer.outcome.name(), answer.detail);
        let text = text.chars().take(ERROR).collect();
        board.post_later(format!("migration-error:{}:{}", cohort.migration, cohort.arm.name()), text);
    }

    fn each(&self, tell: impl Fn(&Gate)) {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.values().flat_map(HashMap::values).for_each(|gate| tell(gate));
    }
}

/// The app as a whole cannot be served now.
fn is_trouble(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::RateLimited { scope, .. } => *scope == Scope::App,
        Outcome::Config | Outcome::Retry { .. } | Outcome::Ambiguous => true,
        _ => false,
    }
}

/// When a process shuts a gate by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaker {
    /// So many failures in a row.
    pub(crate) failures: u32,
    /// The first pause; it doubles up to `cap`.
    pub(crate) pause: Duration,
    pub(crate) cap: Duration,
}

/// What a gate says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Go on.
    Open,
    /// Nothing is called before this.
    Shut(Instant),
    /// The pause is over, and one call may show whether it works again.
    Probe,
    /// That call is under way.
    Probed,
}

/// One channel's gate for an app on a platform.
pub(crate) struct Gate {
    channel: Box<str>,
    route: Arc<str>,
    /// The key of its notice.
    notice: String,
    /// Is there anything in `state` that a call must know before it begins?
    shut: AtomicBool,
    /// Has a call failed since the last that did not?
    failing: AtomicBool,
    state: Mutex<State>,
    shadow: Mutex<Shadow>,
    changed: watch::Sender<()>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Why {
    /// The provider asked for less.
    Wish,
    /// It refuses the credentials.
    Refused,
    /// Calls failed.
    #[default]
    Failures,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    why: Why,
    /// Length of the next pause; set from the first pause until a call succeeds.
    pause: Option<Duration>,
    /// A probe is under way.
    probed: bool,
    /// The latest end that the board is known to say, as far as it is believed.
    noticed: Millis,
    /// As it stood there.
    heard: Millis,
}

/// What rehearsals have found, apart from the real traffic.
#[derive(Debug, Default)]
struct Shadow {
    trouble: Option<String>,
    next: Option<Instant>,
}

// === impl Gate ===

impl Gate {
    fn new(channel: &str, route: &str, changed: watch::Sender<()>) -> Self {
        Self {
            channel: channel.into(),
            route: route.into(),
            notice: format!("{PAUSE}{channel}:{route}"),
            shut: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            state: Mutex::default(),
            shadow: Mutex::default(),
            changed,
        }
    }

    /// May a call begin?
    pub(crate) fn look(&self, now: Instant) -> Pass {
        if !self.shut.load(Ordering::Acquire) {
            return Pass::Open;
        }
        let state = self.state();
        match state.until {
            Some(until) if until > now => Pass::Shut(until),
            _ if state.pause.is_none() => Pass::Open,
            _ if state.probed => Pass::Probed,
            _ => Pass::Probe,
        }
    }

    /// Is it shut because the provider refuses the credentials? Then it is not known to work before a probe.
    pub(crate) fn is_refused(&self) -> bool {
        self.shut.load(Ordering::Acquire) && self.state().why == Why::Refused
    }

    /// Takes the right to probe, if it is there now. Whoever has it gives it back by dropping it.
    pub(crate) fn probe(self: &Arc<Self>, now: Instant) -> Option<Probe> {
        let mut state = self.state();
        let free = !state.probed && state.pause.is_some() && state.until.is_none_or(|until| until <= now);
        if free {
            state.probed = true;
        }
        free.then(|| Probe(Arc::clone(self)))
    }

    /// Nothing is known of it that a new one would not know?
    pub(crate) fn is_quiet(&self) -> bool {
        !self.shut.load(Ordering::Acquire)
            && !self.failing.load(Ordering::Acquire)
            && self.shadow.lock().unwrap_or_else(PoisonError::into_inner).trouble.is_none()
    }

    /// A call ended. Answers until when (milliseconds since 1970) the provider wants less, where that is news.
    fn ended<'a>(
        &self,
        outcomes: impl Iterator<Item = &'a Outcome> + Clone,
        rule: Breaker,
        now: Millis,
        instant: Instant,
    ) -> Option<Millis> {
        let calm = !self.shut.load(Ordering::Acquire) && !self.failing.load(Ordering::Acquire);
        if calm && !outcomes.clone().any(is_trouble) {
            return None;
        }
        let mut state = self.state();
        let paused = state.until.is_some_and(|until| until > instant);
        let mut ask: Option<(Duration, Why)> = None;
        let mut failed = false;
        for outcome in outcomes {
            match outcome {
                Outcome::Config => ask = Some((Duration::ZERO, Why::Refused)),
                // One device that gets too much says nothing of the others.
                Outcome::RateLimited { scope: Scope::Token, .. } => {}
                Outcome::RateLimited { after, .. } => {
                    let after = after.unwrap_or(UNSAID).clamp(1_000, LONGEST);
                    ask = Some((Duration::from_millis(after.unsigned_abs()), Why::Wish));
                }
                Outcome::Retry { .. } | Outcome::Ambiguous => {
                    // However many targets it had, it was one call.
                    state.failures += u32::from(!failed);
                    failed = true;
                    // A probe that fails shows at once that nothing is better.
                    if state.pause.is_some() || state.failures >= rule.failures {
                        ask = ask.or(Some((Duration::ZERO, Why::Failures)));
                    }
                }
                Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } | Outcome::NoDevice | Outcome::Payload => {
                    state.failures = 0;
                    // What began before the provider asked for less says nothing of that.
                    if !(paused && state.why == Why::Wish) {
                        (state.pause, state.until) = (None, None);
                    }
                }
                Outcome::Corrected | Outcome::Unknown => {}
            }
        }
        let mut news = None;
        if let Some((least, why)) = ask {
            state.failures = 0;
            let until = if !paused && why == Why::Wish {
                // The provider knows best how long; `pause` only says that there is one.
                state.pause.get_or_insert_default();
                state.why = why;
                instant + least
            } else if !paused {
                let length = state.pause.unwrap_or_default().max(rule.pause);
                state.pause = Some((length * 2).min(rule.cap));
                state.why = why;
                instant + length
            } else if why == Why::Wish {
                // Only a wish makes a pause longer: the other answers are of calls that began before it.
                state.why = why;
                state.until.map_or(instant + least, |until| until.max(instant + least))
            } else {
                state.until.unwrap_or(instant)
            };
            state.until = Some(until);
            if state.why == Why::Wish {
                let left = until.saturating_duration_since(instant);
                let until = now.saturating_add(i64::try_from(left.as_millis()).unwrap_or(LONGEST));
                // A wish that is heard of from every call under way is told once.
                if until > state.noticed + 500 {
                    state.noticed = until;
                    news = Some(until);
                }
            }
        }
        self.settled(&state);
        news
    }

    /// Was another process asked for less?
    fn hear(&self, notices: &Notices, now: Millis, instant: Instant) {
        let until = notices.get(&self.notice).and_then(|text| pause(&self.notice, text));
        let Some(until) = until.filter(|until| *until > now) else { return };
        let mut state = self.state();
        if until <= state.noticed || until == state.heard {
            return;
        }
        state.heard = until;
        // Of a clock that is far off no more is remembered than is believed: it would hide what is said later.
        state.noticed = until.min(now.saturating_add(LONGEST));
        let left = Duration::from_millis((state.noticed - now).unsigned_abs());
        let heard = instant + left;
        if state.until.is_none_or(|until| until < heard) {
            (state.until, state.why) = (Some(heard), Why::Wish);
            state.pause.get_or_insert_default();
            self.settled(&state);
        }
    }

    fn settled(&self, state: &State) {
        let shut = state.pause.is_some();
        self.failing.store(state.failures > 0, Ordering::Release);
        if self.shut.swap(shut, Ordering::AcqRel) != shut {
            let (app, platform) = parts(&self.route);
            meter::paused(&self.channel, app, platform, shut);
            self.changed.send_replace(());
        }
    }

    /// Sets the gauge of a gate that is shut: a pause that nobody probes after must not show for ever.
    fn show(&self, now: Instant) {
        if self.shut.load(Ordering::Acquire) {
            let (app, platform) = parts(&self.route);
            meter::paused(&self.channel, app, platform, self.state().until.is_some_and(|until| until > now));
        }
    }

    // === rehearsals ===

    /// May a rehearsal be tried now? Where not, why.
    pub(crate) fn rehearse(&self, now: Instant) -> Result<(), String> {
        let wished = {
            let state = self.state();
            let paused = state.until.is_some_and(|until| until > now);
            paused.then_some(state.why == Why::Wish)
        };
        if wished == Some(true) {
            return Err("not tried: the provider asked the app for less".to_owned());
        }
        let mut shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        if shadow.trouble.is_none() && wished.is_none() {
            return Ok(());
        }
        if shadow.next.is_some_and(|next| next > now) {
            let why = shadow.trouble.as_deref().unwrap_or("the app is paused");
            return Err(format!("not tried: {why}"));
        }
        shadow.next = Some(now + REHEARSE);
        Ok(())
    }

    /// What rehearsals were answered.
    pub(crate) fn rehearsed<'a>(&self, answers: impl Iterator<Item = &'a Answer>, now: Instant) {
        let mut shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in answers {
            let after = match answer.outcome {
                Outcome::RateLimited { scope: Scope::App, after } => {
                    Duration::from_millis(after.unwrap_or(UNSAID).clamp(1_000, LONGEST).unsigned_abs())
                }
                Outcome::Delivered { .. } | Outcome::TokenInvalid { .. } | Outcome::NoDevice | Outcome::Payload => {
                    *shadow = Shadow::default();
                    continue;
                }
                _ => REHEARSE,
            };
            if is_trouble(&answer.outcome) {
                shadow.trouble = Some(format!("{}: {}", answer.outcome.name(), answer.detail));
                let next = now + after;
                shadow.next = Some(shadow.next.map_or(next, |known| known.max(next)));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to probe; dropping it gives it back.
pub(crate) struct Probe(Arc<Gate>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.state().probed = false;
        self.0.changed.send_replace(());
    }
}

/// The route of an app's devices: `higo-ios`, `higo-ios-dev`.
pub(crate) fn route(app: &str, platform: Platform, environment: Environment) -> Arc<str> {
    let route = match environment {
        Environment::Production => format!("{app}-{}", platform.name()),
        other => format!("{app}-{}-{}", platform.name(), other.name()),
    };
    route.into()
}

/// App and platform (with the network where it is not the usual one) of a route.
fn parts(route: &str) -> (&str, &str) {
    let whole = route.strip_suffix("-dev").unwrap_or(route);
    let at = whole.rfind('-').unwrap_or(whole.len());
    let (app, platform) = route.split_at(at);
    (app, platform.strip_prefix('-').unwrap_or(platform))
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
