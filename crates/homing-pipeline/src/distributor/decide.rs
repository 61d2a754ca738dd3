//! Audience, rules and addresses of a batch: lookups for all of it at once, then pure decisions, then one commit.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::future::{try_join, try_join_all};
use homing_core::{
    catalogue::{PushType, QuietPolicy},
    clock::Millis,
    event::{Audience, Device, Invalid},
    lookup::{Row, StoreDown},
    notification::Target,
    queue::{Commit, Mark},
    rules::{Facts, Refusal, first_refusal, passes_live, quiet_hours},
};

use super::{
    Lane,
    address::{Address, Reach},
    audience::{resolve, unique},
    choose::Chooser,
    draft::{Draft, label},
    intake::Batch,
    plan::{Plan, plan},
    presence::{Again, Judges, QUIET, again, were_read},
};

/// A batch of which everything is known that others know.
pub(super) struct Gathered<'a> {
    draft: Draft<'a>,
    plans: Vec<Plan<'a>>,
    /// In the order of [`recipients`].
    facts: Vec<Facts>,
    judged: Vec<Judged>,
    again: Again,
    /// Of those that may be told, in the same order.
    devices: Vec<Vec<Row>>,
}

/// What the rules say of a user.
#[derive(Clone)]
pub(super) struct Judged {
    refusal: Option<Refusal>,
    /// What they say where quiet hours do not count, if it is those that hold the user back.
    loud: Option<Refusal>,
    /// Refused, but only as far as waking goes: live ways are open. Always false where the lane has none.
    live: bool,
}

impl Judged {
    pub(super) fn new(lane: &Lane, judges: &Judges, facts: &Facts, now: Millis) -> Self {
        let refusal = first_refusal(&lane.rules, facts, now);
        let asleep = refusal.as_ref().is_some_and(|refusal| refusal.rule == QUIET);
        let loud = if asleep { first_refusal(&judges.loud, facts, now) } else { None };
        let live = refusal.is_some() && lane.has_live() && passes_live(&lane.rules, facts, now);
        Self { refusal, loud, live }
    }

    /// May one of the user's devices be told? Who is only asleep may, by some types.
    fn wants_devices(&self) -> bool {
        self.live || self.refusal.as_ref().is_none_or(|refusal| refusal.until.is_some())
    }
}

/// Asks everybody who must be asked about a batch; `marks` are what is known of its entries' ids. It may be dropped and
/// repeated.
pub(super) async fn gather<'a>(
    lane: &'a Lane,
    batch: &'a Batch,
    marks: &[Mark],
    now: Millis,
) -> Result<Gathered<'a>, StoreDown> {
    let mut draft = Draft::open(batch, now);
    let mut plans = plan(lane, batch, marks, &mut draft);
    resolve(lane, &mut plans).await?;
    plans.retain(|plan| match &plan.refused {
        Some(why) => {
            draft.invalid(plan.entry, &Invalid::new("to", why.clone()));
            false
        }
        None => true,
    });
    let users = recipients(&plans);
    let (facts, read) = try_join(facts_of(lane, &users), were_read(lane, &plans)).await?;
    let judges = Judges::new(lane);
    let judged: Vec<Judged> = facts.iter().map(|facts| Judged::new(lane, &judges, facts, now)).collect();
    let again = again(lane, &judges, &plans, &users, &facts, &read, now);
    let told = may_be_told(&plans, &users, &judged, &again);
    let devices = if told.is_empty() { Vec::new() } else { lane.tokens.rows(&told).await? };
    Ok(Gathered { draft, plans, facts, judged, again, devices })
}

impl Gathered<'_> {
    /// What becomes of the batch.
    pub(super) fn decide(self, lane: &Lane) -> Commit {
        let Self { mut draft, plans, facts, judged, again, devices } = self;
        let users = recipients(&plans);
        let told = may_be_told(&plans, &users, &judged, &again);
        let known = Known {
            judged: users.into_iter().zip(facts.iter().zip(&judged)).collect(),
            again: &again,
            devices: told.into_iter().zip(devices.iter().map(Vec::as_slice)).collect(),
        };
        // One look at the board for the whole batch: it is told by one state of each migration.
        let chooser = Chooser::new(lane);
        for (i, plan) in plans.iter().enumerate() {
            judge(lane, i, plan, &chooser, &known, &mut draft);
        }
        draft.close()
    }
}

/// What is known of the users of a batch.
struct Known<'a> {
    judged: HashMap<&'a str, (&'a Facts, &'a Judged)>,
    again: &'a Again,
    devices: HashMap<&'a str, &'a [Row]>,
}

/// Everybody whom a batch means, each once.
fn recipients<'a>(plans: &'a [Plan<'_>]) -> Vec<&'a str> {
    unique(plans.iter().flat_map(|plan| plan.recipients.iter().map(String::as_str)))
}

/// Those whose devices are to be known.
fn may_be_told<'a>(plans: &'a [Plan<'_>], users: &[&'a str], judged: &[Judged], again: &Again) -> Vec<&'a str> {
    let of_all = users.iter().zip(judged);
    if again.is_empty() {
        return of_all.filter(|(_, judged)| judged.wants_devices()).map(|(user, _)| *user).collect();
    }
    let of_all: HashMap<&str, &Judged> = of_all.map(|(user, judged)| (*user, judged)).collect();
    let wants = |i: usize, user: &str| match again.of(i, user) {
        Some(again) => !again.read && again.judged.wants_devices(),
        None => of_all.get(user).is_some_and(|judged| judged.wants_devices()),
    };
    let each =
        plans.iter().enumerate().flat_map(|(i, plan)| plan.recipients.iter().map(move |user| (i, user.as_str())));
    unique(each.filter(|(i, user)| wants(*i, user)).map(|(_, user)| user))
}

/// Tells, skips or defers each recipient of an event.
fn judge<'a>(
    lane: &'a Lane,
    place: usize,
    plan: &'a Plan<'a>,
    chooser: &'a Chooser<'a>,
    known: &Known<'a>,
    draft: &mut Draft<'_>,
) {
    let mut address = Address::new(lane, plan, chooser);
    let to = &plan.entry.event.to;
    if let Audience::Tokens(named) = to {
        // Devices without a user: there is nobody to ask a rule about.
        tokens(plan, named, &mut address, draft);
        address.hand_over(draft);
        return;
    }
    draft.expanded(plan, plan.recipients.len());
    if let Some((live, token)) = lane.whole(to).filter(|_| plan.entry.is_whole()) {
        address.whole(live, token);
    }
    // Live ways are told when a recipient is first judged: who was deferred for a night has had it there.
    let first = plan.entry.deferred().is_none();
    let reach = if first || !lane.has_live() { Reach::All } else { Reach::Waking };
    let sockets = lane.live(&lane.sockets).filter(|_| first && lane.broadcast(to).is_none());
    let otherwise = lane.live(&lane.otherwise).filter(|_| first && matches!(to, Audience::Users(_)));
    let paged = plan.is_paged();
    let mut held = Held::new(draft.now());
    let mut homeless: Vec<(&str, Option<String>)> = Vec::new();
    let mut live: Vec<(&str, String)> = Vec::new();
    let mut passed = 0;
    for user in plan.recipients.iter().map(String::as_str) {
        if plan.entry.event.author.as_deref() == Some(user) {
            held.skip(user, "author", "the author of the message".into());
            continue;
        }
        let (facts, judged) = known.judged.get(user).copied().unzip();
        let again = known.again.of(place, user);
        if again.is_some_and(|again| again.read) {
            held.skip(user, "read", "read on a socket".into());
            continue;
        }
        let judged = again.map(|again| &again.judged).or(judged);
        if let Some(muted) = muted(rows_of(facts, lane.preferences.as_ref()), plan.kind) {
            held.skip(user, "preference", format!("muted={muted}").into());
            continue;
        }
        let profile = rows_of(facts, lane.profile.as_ref());
        let locale = profile.first().and_then(|row| row.get("locale")).map_or(&*lane.defaults.locale, String::as_str);
        let rows = known.devices.get(user).copied().unwrap_or_default();
        let Some(Refusal { rule, seen, until }) = judged.and_then(|judged| stopped(judged, plan)) else {
            let quiet = if lane.has_quiet { quiet_hours(profile, &lane.defaults) } else { None };
            let mut told = address.user(user, locale, quiet.as_ref(), rows, reach);
            if told == 0 {
                let why = if paged { None } else { address.why_none(rows) };
                let ways = [sockets, otherwise];
                for way in ways.into_iter().flatten() {
                    address.without_device(way, user, locale);
                    told += 1;
                }
                if told == 0 {
                    homeless.push((user, why));
                    continue;
                }
                live.push((user, why.unwrap_or_else(|| "no device".to_owned())));
            } else if let Some(way) = sockets {
                address.without_device(way, user, locale);
            }
            passed += 1;
            continue;
        };
        let mut told = 0;
        if first && judged.is_some_and(|judged| judged.live) {
            told = address.user(user, locale, None, rows, Reach::Live);
            for way in otherwise.filter(|_| told == 0).into_iter().chain(sockets) {
                address.without_device(way, user, locale);
                told += 1;
            }
        }
        match defers(plan, rule, *until) {
            // A phone is there, and is told when the night is over.
            Some(until) if told == 0 || address.reaches(user, rows, Reach::Waking) => {
                held.defer(user, rule, seen, until);
            }
            _ if told > 0 => {
                live.push((user, format!("{rule}: {seen}")));
                passed += 1;
            }
            _ => held.skip(user, rule, seen.as_str().into()),
        }
    }
    draft.passed(passed);
    held.write(lane, plan, draft);
    without_device(plan, &homeless, draft);
    only_live(plan, &live, draft);
    address.hand_over(draft);
}

/// Tells devices of no user.
fn tokens<'a>(plan: &'a Plan<'a>, named: &'a [Device], address: &mut Address<'a>, draft: &mut Draft<'_>) {
    draft.expanded(plan, named.len());
    let mut lost = Vec::new();
    for device in named {
        if !address.device(device) {
            lost.push((Target::new("", &device.token).label(), address.why_not(device)));
        }
    }
    draft.passed(named.len() - lost.len());
    let lost: Vec<(&str, Option<String>)> =
        lost.iter().map(|(label, why)| (label.as_str(), Some(why.clone()))).collect();
    without_device(plan, &lost, draft);
}

fn rows_of<'a>(facts: Option<&'a Facts>, name: Option<&Arc<str>>) -> &'a [Row] {
    name.and_then(|name| facts?.get(name)).map_or(&[][..], Vec::as_slice)
}

/// The types that a user does not want, if this one is among them.
fn muted<'a>(rows: &'a [Row], kind: &PushType) -> Option<&'a str> {
    let muted = rows.first()?.get("muted")?;
    let is_it = |entry: &str| entry == kind.name || entry.parse() == Ok(kind.code);
    muted.split(',').any(|entry| is_it(entry.trim())).then_some(muted)
}

/// The rule that stops this message. Who is only asleep is told of some types all the same; and nobody is waited for until
/// the message has no time left to be told.
fn stopped<'a>(judged: &'a Judged, plan: &Plan<'_>) -> Option<&'a Refusal> {
    let quiet_counts = plan.kind.quiet != QuietPolicy::Ignore;
    let refusal = judged.refusal.as_ref().filter(|refusal| quiet_counts || refusal.rule != QUIET);
    let refusal = refusal.or(judged.loud.as_ref().filter(|_| !quiet_counts))?;
    let in_time = |until: Millis| refusal.rule == QUIET || until.saturating_add(LEAST) < plan.expires_at;
    refusal.until.is_none_or(in_time).then_some(refusal)
}

/// A message that would be released later than this before its end is not held back by a short wait: it would not be told
/// at all.
const LEAST: Millis = 1_000;

/// When it is judged again, if ever. A type may not want to wait for the end of a night; a short wait is no night.
fn defers(plan: &Plan<'_>, rule: &str, until: Option<Millis>) -> Option<Millis> {
    until.filter(|until| (rule != QUIET || plan.kind.quiet != QuietPolicy::Drop) && *until < plan.expires_at)
}

/// Notes who is told by live ways only, and why.
fn only_live(plan: &Plan<'_>, live: &[(&str, String)], draft: &mut Draft<'_>) {
    if plan.is_paged() {
        let users: Vec<&str> = live.iter().map(|(user, _)| *user).collect();
        if !users.is_empty() {
            draft.only_live(&plan.entry.id, &users, "not to be woken, or without a device");
        }
        return;
    }
    for (user, why) in live {
        draft.only_live(&plan.entry.id, &[user], why);
    }
}

fn without_device(plan: &Plan<'_>, homeless: &[(&str, Option<String>)], draft: &mut Draft<'_>) {
    if plan.is_paged() {
        let users: Vec<&str> = homeless.iter().map(|(user, _)| *user).collect();
        if !users.is_empty() {
            draft.no_device(&plan.entry.id, &users, homeless.first().and_then(|(_, why)| why.clone()));
        }
        return;
    }
    for (user, why) in homeless {
        draft.no_device(&plan.entry.id, &[user], why.clone());
    }
}
/// Recipients that a rule held back.
struct Held<'a> {
    now: Millis,
    skipped: BTreeMap<&'a str, Vec<(&'a str, Cow<'a, str>)>>,
    deferred: BTreeMap<(Millis, &'a str), (Vec<&'a str>, &'a str)>,
}

impl<'a> Held<'a> {
    fn new(now: Millis) -> Self {
        Self { now, skipped: BTreeMap::new(), deferred: BTreeMap::new() }
    }

    fn skip(&mut self, user: &'a str, rule: &'a str, seen: Cow<'a, str>) {
        self.skipped.entry(rule).or_default().push((user, seen));
    }

    /// One envelope per time of release, which is a whole minute; of short waits, less.
    fn defer(&mut self, user: &'a str, rule: &'a str, seen: &'a str, until: Millis) {
        let step = match until - self.now {
            wait if rule == QUIET || wait > 60_000 => 60_000,
            wait if wait > 10_000 => 1_000,
            _ => 100,
        };
        let due = until.div_euclid(step) * step + if until.rem_euclid(step) > 0 { step } else { 0 };
        self.deferred.entry((due, rule)).or_insert_with(|| (Vec::new(), seen)).0.push(user);
    }

    fn write(self, lane: &Lane, plan: &Plan<'_>, draft: &mut Draft<'_>) {
        let id = &plan.entry.id;
        for (rule, users) in self.skipped {
            if plan.is_paged() {
                let names: Vec<&str> = users.iter().map(|(user, _)| *user).collect();
                let sample = users.iter().take(3).map(|(user, seen)| format!("{user} ({seen})"));
                let sample = format!("such as {}", sample.collect::<Vec<_>>().join(", "));
                draft.skipped(id, rule, users.len(), &label(&names), sample);
                continue;
            }
            for (user, seen) in users {
                draft.skipped(id, rule, 1, user, seen.into_owned());
            }
        }
        for ((due, rule), (users, seen)) in self.deferred {
            // Released over a span, so that the end of the night is no thunder of calls; the same for one event always.
            let spread = i64::try_from(lane.release.as_millis()).unwrap_or(0);
            let jitter =
                if spread > 0 && rule == QUIET { i64::from(crc32fast::hash(id.as_bytes())) % spread } else { 0 };
            let due = (due + jitter).min(plan.expires_at - 1).max(due);
            draft.deferred(plan.entry, &users, due, rule, seen);
        }
    }
}

/// The facts of every user, in their order: one round trip per lookup, all lookups at once.
async fn facts_of(lane: &Lane, users: &[&str]) -> Result<Vec<Facts>, StoreDown> {
    let mut facts = vec![Facts::new(); users.len()];
    if users.is_empty() {
        return Ok(facts);
    }
    let answers = try_join_all(lane.facts.iter().map(|lookup| lookup.rows(users))).await?;
    for (lookup, rows) in lane.facts.iter().zip(answers) {
        let name: std::sync::Arc<str> = lookup.name().into();
        for (facts, rows) in facts.iter_mut().zip(rows) {
            facts.insert(name.clone(), rows);
        }
    }
    Ok(facts)
}
