//! Audience, rules and addresses of a batch: lookups for all of it at once, then pure decisions, then one commit.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::future::try_join_all;
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
    intake::{Batch, Task},
    plan::{Plan, plan},
};

/// A batch of which everything is known that others know.
pub(super) struct Gathered<'a> {
    draft: Draft<'a>,
    plans: Vec<Plan<'a>>,
    /// In the order of [`recipients`].
    facts: Vec<Facts>,
    judged: Vec<Judged>,
    /// Of those that may be told, in the same order.
    devices: Vec<Vec<Row>>,
}

/// What the rules say of a user.
struct Judged {
    refusal: Option<Refusal>,
    /// Refused, but only as far as waking goes: live ways are open. Always false where the lane has none.
    live: bool,
}

impl Judged {
    fn new(lane: &Lane, facts: &Facts, now: Millis) -> Self {
        let refusal = first_refusal(&lane.rules, facts, now);
        let live = refusal.is_some() && lane.has_live() && passes_live(&lane.rules, facts, now);
        Self { refusal, live }
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
    let facts = facts_of(lane, &users).await?;
    let judged: Vec<Judged> = facts.iter().map(|facts| Judged::new(lane, facts, now)).collect();
    let told = may_be_told(&users, &judged);
    let devices = if told.is_empty() { Vec::new() } else { lane.tokens.rows(&told).await? };
    Ok(Gathered { draft, plans, facts, judged, devices })
}

impl Gathered<'_> {
    /// What becomes of the batch.
    pub(super) fn decide(self, lane: &Lane) -> Commit {
        let Self { mut draft, plans, facts, judged, devices } = self;
        let users = recipients(&plans);
        let told = may_be_told(&users, &judged);
        let known = Known {
            judged: users.into_iter().zip(facts.iter().zip(&judged)).collect(),
            devices: told.into_iter().zip(devices.iter().map(Vec::as_slice)).collect(),
        };
        // One look at the board for the whole batch: it is told by one state of each migration.
        let chooser = Chooser::new(lane);
        for plan in &plans {
            judge(lane, plan, &chooser, &known, &mut draft);
        }
        draft.close()
    }
}

/// What is known of the users of a batch.
struct Known<'a> {
    judged: HashMap<&'a str, (&'a Facts, &'a Judged)>,
    devices: HashMap<&'a str, &'a [Row]>,
}

/// Everybody whom a batch means, each once.
fn recipients<'a>(plans: &'a [Plan<'_>]) -> Vec<&'a str> {
    unique(plans.iter().flat_map(|plan| plan.recipients.iter().map(String::as_str)))
}

/// Those whose devices are to be known.
fn may_be_told<'a>(users: &[&'a str], judged: &[Judged]) -> Vec<&'a str> {
    users.iter().zip(judged).filter(|(_, judged)| judged.wants_devices()).map(|(user, _)| *user).collect()
}

/// Tells, skips or defers each recipient of an event.
fn judge<'a>(lane: &'a Lane, plan: &'a Plan<'a>, chooser: &'a Chooser<'a>, known: &Known<'a>, draft: &mut Draft<'_>) {
    let mut address = Address::new(lane, plan, chooser);
    if let Audience::Tokens(named) = &plan.entry.event.to {
        // Devices without a user: there is nobody to ask a rule about.
        tokens(plan, named, &mut address, draft);
        address.hand_over(draft);
        return;
    }
    draft.expanded(plan, plan.recipients.len());
    if let Audience::GroupMembers(group) = &plan.entry.event.to
        && let Some((channel, lists)) = lane.live(&lane.announce).filter(|_| plan.entry.is_whole())
    {
        address.group(channel, lists, group);
    }
    // Live ways are told when a recipient is first judged: who was deferred for a night has had it there.
    let first = !matches!(plan.entry.task, Task::Deferred(_));
    let reach = if first || !lane.has_live() { Reach::All } else { Reach::Waking };
    let otherwise = lane.live(&lane.otherwise).filter(|_| first && matches!(plan.entry.event.to, Audience::Users(_)));
    let paged = plan.is_paged();
    let mut held = Held::default();
    let mut homeless: Vec<(&str, Option<String>)> = Vec::new();
    let mut live: Vec<(&str, String)> = Vec::new();
    let mut passed = 0;
    for user in plan.recipients.iter().map(String::as_str) {
        if plan.entry.event.author.as_deref() == Some(user) {
            held.skip(user, "author", "the author of the message".into());
            continue;
        }
        let (facts, judged) = known.judged.get(user).copied().unzip();
        if let Some(muted) = muted(rows_of(facts, lane.preferences.as_ref()), plan.kind) {
            held.skip(user, "preference", format!("muted={muted}").into());
            continue;
        }
        let profile = rows_of(facts, lane.profile.as_ref());
        let locale = profile.first().and_then(|row| row.get("locale")).map_or(&*lane.defaults.locale, String::as_str);
        let rows = known.devices.get(user).copied().unwrap_or_default();
        let Some(Refusal { rule, seen, until }) = judged.and_then(|judged| stopped(judged, plan)) else {
            let quiet = if lane.has_quiet { quiet_hours(profile, &lane.defaults) } else { None };
            if address.user(user, locale, quiet.as_ref(), rows, reach) > 0 {
                passed += 1;
                continue;
            }
            let why = if paged { None } else { address.why_none(rows) };
            match otherwise {
                Some((channel, lists)) => {
                    address.otherwise(channel, lists, user, locale);
                    live.push((user, why.unwrap_or_else(|| "no device".to_owned())));
                    passed += 1;
                }
                None => homeless.push((user, why)),
            }
            continue;
        };
        let mut told = 0;
        if first && judged.is_some_and(|judged| judged.live) {
            told = address.user(user, locale, None, rows, Reach::Live);
            if let Some((channel, lists)) = otherwise.filter(|_| told == 0) {
                address.otherwise(channel, lists, user, locale);
                told = 1;
            }
        }
        match defers(plan, *until) {
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

/// The rule that stops this message. Who is only asleep is told of some types all the same.
fn stopped<'a>(judged: &'a Judged, plan: &Plan<'_>) -> Option<&'a Refusal> {
    judged.refusal.as_ref().filter(|refusal| refusal.until.is_none() || plan.kind.quiet != QuietPolicy::Ignore)
}

/// When it is judged again, if ever.
fn defers(plan: &Plan<'_>, until: Option<Millis>) -> Option<Millis> {
    until.filter(|until| plan.kind.quiet != QuietPolicy::Drop && *until < plan.expires_at)
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
#[derive(Default)]
struct Held<'a> {
    skipped: BTreeMap<&'a str, Vec<(&'a str, Cow<'a, str>)>>,
    deferred: BTreeMap<(Millis, &'a str), (Vec<&'a str>, &'a str)>,
}

impl<'a> Held<'a> {
    fn skip(&mut self, user: &'a str, rule: &'a str, seen: Cow<'a, str>) {
        self.skipped.entry(rule).or_default().push((user, seen));
    }

    /// One envelope per minute of release.
    fn defer(&mut self, user: &'a str, rule: &'a str, seen: &'a str, until: Millis) {
        let minute = until.div_euclid(60_000) * 60_000 + if until.rem_euclid(60_000) > 0 { 60_000 } else { 0 };
        self.deferred.entry((minute, rule)).or_insert_with(|| (Vec::new(), seen)).0.push(user);
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
        for ((minute, rule), (users, seen)) in self.deferred {
            // Released over a span, so that the end of the night is no thunder of calls; the same for one event always.
            let spread = i64::try_from(lane.release.as_millis()).unwrap_or(0);
            let jitter = if spread > 0 { i64::from(crc32fast::hash(id.as_bytes())) % spread } else { 0 };
            let due = (minute + jitter).min(plan.expires_at - 1).max(minute);
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
