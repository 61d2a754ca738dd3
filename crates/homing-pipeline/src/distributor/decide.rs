//! Audience, rules and addresses of a batch: lookups for all of it at once, then pure decisions, then one commit.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use homing_core::{
    catalogue::QuietPolicy,
    clock::Millis,
    event::{Audience, Invalid},
    lookup::{Row, StoreDown},
    queue::{Commit, Mark},
    rules::{Facts, Refusal, first_refusal, quiet_hours},
};

use super::{
    Lane,
    address::Address,
    audience::{resolve, unique},
    draft::{Draft, label},
    intake::Batch,
    plan::{Plan, plan},
};

/// A batch of which everything is known that others know.
pub(super) struct Gathered<'a> {
    draft: Draft<'a>,
    plans: Vec<Plan<'a>>,
    /// In the order of [`recipients`].
    facts: Vec<Facts>,
    refusals: Vec<Option<Refusal>>,
    /// Of those that may be told, in the same order.
    devices: Vec<Vec<Row>>,
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
    let refusals: Vec<Option<Refusal>> = facts.iter().map(|facts| first_refusal(&lane.rules, facts, now)).collect();
    let told = may_be_told(&users, &refusals);
    let devices = if told.is_empty() { Vec::new() } else { lane.tokens.rows(&told).await? };
    Ok(Gathered { draft, plans, facts, refusals, devices })
}

impl Gathered<'_> {
    /// What becomes of the batch.
    pub(super) fn decide(mut self, lane: &Lane) -> Commit {
        let users = recipients(&self.plans);
        let told = may_be_told(&users, &self.refusals);
        let devices: HashMap<&str, &[Row]> = told.into_iter().zip(self.devices.iter().map(Vec::as_slice)).collect();
        let judged = self.facts.iter().zip(&self.refusals);
        let known: HashMap<&str, (&Facts, Option<&Refusal>)> =
            users.into_iter().zip(judged).map(|(user, (facts, refusal))| (user, (facts, refusal.as_ref()))).collect();
        for plan in &self.plans {
            judge(lane, plan, &known, &devices, &mut self.draft);
        }
        self.draft.close()
    }
}

/// Everybody whom a batch means, each once.
fn recipients<'a>(plans: &'a [Plan<'_>]) -> Vec<&'a str> {
    unique(plans.iter().flat_map(|plan| plan.recipients.iter().map(String::as_str)))
}

/// Who passes the rules, or is only asleep: a type may be told all the same.
fn may_be_told<'a>(users: &[&'a str], refusals: &[Option<Refusal>]) -> Vec<&'a str> {
    let wanted = |refusal: &Option<Refusal>| refusal.as_ref().is_none_or(|r| r.until.is_some());
    users.iter().zip(refusals).filter(|(_, refusal)| wanted(refusal)).map(|(user, _)| *user).collect()
}

/// Tells, skips or defers each recipient of an event.
fn judge(
    lane: &Lane,
    plan: &Plan<'_>,
    known: &HashMap<&str, (&Facts, Option<&Refusal>)>,
    devices: &HashMap<&str, &[Row]>,
    draft: &mut Draft<'_>,
) {
    let mut address = Address::new(lane, plan);
    if let Audience::Tokens(named) = &plan.entry.event.to {
        // Devices without a user: there is nobody to ask a rule about.
        draft.expanded(plan, named.len());
        draft.passed(named.len());
        named.iter().for_each(|device| address.device(device));
        address.hand_over(draft);
        return;
    }
    draft.expanded(plan, plan.recipients.len());
    let mut held = Held::default();
    let mut homeless: Vec<(&str, usize)> = Vec::new();
    let mut passed = 0;
    for user in plan.recipients.iter().map(String::as_str) {
        let (facts, refusal) = known.get(user).copied().map_or((None, None), |(f, r)| (Some(f), r));
        match refusal {
            _ if plan.entry.event.author.as_deref() == Some(user) => {
                held.skip(user, "author", "the author of the message");
                continue;
            }
            Some(Refusal { rule, seen, until: None }) => {
                held.skip(user, rule, seen);
                continue;
            }
            Some(Refusal { rule, seen, until: Some(until) }) if plan.kind.quiet != QuietPolicy::Ignore => {
                if plan.kind.quiet == QuietPolicy::Drop || *until >= plan.expires_at {
                    held.skip(user, rule, seen);
                } else {
                    held.defer(user, rule, seen, *until);
                }
                continue;
            }
            Some(_) | None => {}
        }
        let profile = lane.profile.as_ref().and_then(|name| facts?.get(name)).map_or(&[][..], Vec::as_slice);
        let locale = profile.first().and_then(|row| row.get("locale")).map_or(&*lane.defaults.locale, String::as_str);
        let quiet = if lane.has_quiet { quiet_hours(profile, &lane.defaults) } else { None };
        let rows = devices.get(user).copied().unwrap_or_default();
        if address.user(user, locale, quiet, rows) == 0 {
            homeless.push((user, rows.len()));
        } else {
            passed += 1;
        }
    }
    draft.passed(passed);
    held.write(lane, plan, draft);
    without_device(plan, &homeless, draft);
    address.hand_over(draft);
}

fn without_device(plan: &Plan<'_>, homeless: &[(&str, usize)], draft: &mut Draft<'_>) {
    let reason = |rows: usize| {
        let app = plan.entry.event.app.as_deref().filter(|_| rows > 0);
        app.map(|app| format!("{rows} devices, none of app {app}"))
    };
    if plan.is_paged() {
        let users: Vec<&str> = homeless.iter().map(|(user, _)| *user).collect();
        if !users.is_empty() {
            draft.no_device(&plan.entry.id, &users, None);
        }
        return;
    }
    for (user, rows) in homeless {
        draft.no_device(&plan.entry.id, &[user], reason(*rows));
    }
}

/// Recipients that a rule held back.
#[derive(Default)]
struct Held<'a> {
    skipped: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    deferred: BTreeMap<(Millis, &'a str), (Vec<&'a str>, &'a str)>,
}

impl<'a> Held<'a> {
    fn skip(&mut self, user: &'a str, rule: &'a str, seen: &'a str) {
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
                draft.skipped(id, rule, 1, user, seen.to_owned());
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
