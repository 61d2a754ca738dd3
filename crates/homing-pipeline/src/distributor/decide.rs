//! Audience, rules and addresses of a batch: lookups for all of it at once, then pure decisions, then one commit.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use homing_core::{
    catalogue::{Ambiguous, PushType},
    clock::Millis,
    event::{Audience, Invalid},
    ledger::Counts,
    lookup::{Lookup, Row, StoreDown},
    notification::{Notification, Platform, Target},
    queue::{Append, Commit, Delayed, Destination, MAX_ITEM, QueueName},
    record::{Fate, Record, Stage},
    rules::{Facts, Refusal, first_refusal},
    wire::{DeadLetter, Envelope},
};

use super::{
    Lane,
    intake::{Batch, Entry, Origin},
};
use crate::{context::Context, meter};

/// An event of which all is known but who gets it.
struct Ready<'a> {
    entry: &'a Entry,
    kind: &'a PushType,
    title: String,
    body: String,
    expires_at: Millis,
    recipients: Vec<String>,
}

/// Decides what becomes of a batch. Only lookups are awaited; it may be dropped and repeated.
pub(super) async fn decide(lane: &Lane, cx: &Context, batch: &Batch, now: Millis) -> Result<Commit, StoreDown> {
    let mut sorted = Sorted { now, queue: &batch.queue, commit: Commit::default(), queue_of: HashMap::new() };
    sorted.commit.counts.add("items.done", batch.main);
    sorted.commit.counts.add("items.returned", batch.own);
    for (letter, origin) in &batch.invalid {
        sorted.bury(letter, *origin);
    }
    let mut ready = prepare(lane, batch, &mut sorted);
    resolve(lane, &mut ready).await?;

    let users = unique(ready.iter().flat_map(|r| r.recipients.iter().map(String::as_str)));
    let facts = facts_of(&lane.facts, &users).await?;
    let index: HashMap<&str, usize> = users.iter().enumerate().map(|(i, u)| (*u, i)).collect();
    let none = Facts::new();
    let verdicts: Vec<Option<Refusal>> = users
        .iter()
        .map(|user| {
            let facts = index.get(user).and_then(|i| facts.get(*i)).unwrap_or(&none);
            first_refusal(&lane.rules, facts, now)
        })
        .collect();
    let refusal = |user: &str| index.get(user).and_then(|i| verdicts.get(*i)).and_then(Option::as_ref);

    cx.steps.at(homing_core::steps::Step::LookedUp);
    let passed: Vec<&str> = users.iter().copied().filter(|user| refusal(user).is_none()).collect();
    let devices = if passed.is_empty() { Vec::new() } else { lane.tokens.rows(&passed).await? };
    let devices: HashMap<&str, &[Row]> = passed.iter().copied().zip(devices.iter().map(Vec::as_slice)).collect();

    for ready in &ready {
        sorted.expanded(ready);
        for user in &ready.recipients {
            if ready.entry.event.author.as_deref() == Some(user) {
                sorted.skipped(ready, user, "author", "the author of the message");
            } else if let Some(refusal) = refusal(user) {
                sorted.skipped(ready, user, &refusal.rule, &refusal.seen);
            } else {
                sorted.passed(lane, ready, user, devices.get(user.as_str()).copied().unwrap_or_default());
            }
        }
    }
    Ok(sorted.commit)
}

/// Sorts out what needs no lookup: unknown types, unfillable templates, the expired, and what is for later.
fn prepare<'a>(lane: &'a Lane, batch: &'a Batch, sorted: &mut Sorted<'_>) -> Vec<Ready<'a>> {
    let mut ready = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        let composed: Result<_, Invalid> = lane.catalogue.find(&entry.event.kind).and_then(|kind| {
            let (title, body) = lane.catalogue.compose(kind, &entry.event)?;
            Ok((kind, title, body))
        });
        let (kind, title, body) = match composed {
            Ok(composed) => composed,
            Err(invalid) => {
                sorted.invalid(entry, &invalid);
                continue;
            }
        };
        let starts = entry.event.send_at.unwrap_or(entry.first_at).max(entry.first_at);
        let expires_at = starts.saturating_add(entry.event.expires_in.unwrap_or(kind.ttl));
        if expires_at <= sorted.now {
            sorted.entry_fate(entry, Fate::Expired);
        } else if entry.event.send_at.is_some_and(|at| at > sorted.now) {
            sorted.later(entry, starts);
        } else {
            ready.push(Ready { entry, kind, title, body, expires_at, recipients: Vec::new() });
        }
    }
    ready
}

/// Fills in the recipients: users as named, owners by one lookup for all groups of the batch.
async fn resolve(lane: &Lane, ready: &mut [Ready<'_>]) -> Result<(), StoreDown> {
    let group = |r: &Ready<'_>| match &r.entry.event.to {
        Audience::GroupOwner(group) => Some(group.clone()),
        Audience::Users(_) => None,
    };
    let groups: Vec<String> = ready.iter().filter_map(group).collect();
    let groups = unique(groups.iter().map(String::as_str));
    let owners: HashMap<&str, String> = match &lane.owners {
        Some(lookup) if !groups.is_empty() => {
            let rows = lookup.rows(&groups).await?;
            let owner = |row: &Row| row.get("user_id").or_else(|| row.get("value")).cloned();
            groups.iter().zip(rows).filter_map(|(g, rows)| Some((*g, rows.first().and_then(owner)?))).collect()
        }
        _ => HashMap::new(),
    };
    for ready in ready {
        ready.recipients = match &ready.entry.event.to {
            Audience::Users(users) => unique(users.iter().map(String::as_str)).into_iter().map(str::to_owned).collect(),
            Audience::GroupOwner(group) => owners.get(group.as_str()).cloned().into_iter().collect(),
        };
    }
    Ok(())
}

/// The facts of every user, in their order: one round trip per lookup, all lookups at once.
async fn facts_of(lookups: &[std::sync::Arc<dyn Lookup>], users: &[&str]) -> Result<Vec<Facts>, StoreDown> {
    let mut facts = vec![Facts::new(); users.len()];
    if users.is_empty() {
        return Ok(facts);
    }
    let answers = try_join_all(lookups.iter().map(|lookup| lookup.rows(users))).await?;
    for (lookup, rows) in lookups.iter().zip(answers) {
        let name: std::sync::Arc<str> = lookup.name().into();
        for (facts, rows) in facts.iter_mut().zip(rows) {
            facts.insert(name.clone(), rows);
        }
    }
    Ok(facts)
}

fn unique<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}

/// The commit as it grows.
struct Sorted<'a> {
    now: Millis,
    queue: &'a str,
    commit: Commit,
    /// Place of a delivery queue in `commit.append`.
    queue_of: HashMap<QueueName, usize>,
}

impl Sorted<'_> {
    fn record(&mut self, id: &str, stage: Stage, fate: Fate, target: Option<&str>, reason: Option<String>) {
        let target = target.map(str::to_owned);
        self.commit.records.push(Record { at: self.now, id: id.to_owned(), stage, fate, target, reason });
    }

    /// An end of an event at the entry stage.
    fn entry_fate(&mut self, entry: &Entry, fate: Fate) {
        self.commit.counts.add(Stage::Entry.field(&fate), 1);
        self.came_back(entry.returned);
        self.record(&entry.id, Stage::Entry, fate, None, None);
    }

    fn came_back(&mut self, returned: bool) {
        if returned {
            self.commit.counts.add("entry.returned", 1);
        }
    }

    fn bury(&mut self, letter: &DeadLetter, origin: Origin) {
        self.commit.bury.push(letter.encode());
        self.commit.counts.add("items.buried", 1);
        let fate = Fate::Invalid { error: letter.error.clone() };
        if origin == Origin::Foreign {
            // It left a list that we had not put it into, and it was no event.
            self.commit.counts.add("items.filed", 1);
        } else {
            self.commit.counts.add(Stage::Entry.field(&fate), 1);
            self.came_back(origin == Origin::Returned);
        }
        self.record(&letter.id, Stage::Entry, fate, None, None);
    }

    fn invalid(&mut self, entry: &Entry, invalid: &Invalid) {
        let letter = DeadLetter {
            id: entry.id.clone(),
            reason: "invalid".to_owned(),
            error: invalid.to_string(),
            at: self.now,
            tries: 0,
            queue: self.queue.to_owned(),
            seq: entry.seq,
            body: entry.body.to_vec(),
        };
        self.bury(&letter, if entry.returned { Origin::Returned } else { Origin::Main });
    }

    fn later(&mut self, entry: &Entry, due: Millis) {
        let envelope = Envelope {
            id: entry.id.clone(),
            attempts: 0,
            tries: 0,
            corrected: false,
            first_at: entry.first_at,
            why: "send_at".to_owned(),
            body: entry.body.to_vec(),
        };
        self.commit.delay.push(Delayed { due, body: envelope.encode() });
        self.commit.counts.add("items.filed", 1);
        self.commit.counts.add("entry.filed", 1);
        self.came_back(entry.returned);
        self.record(&entry.id, Stage::Entry, Fate::Deferred { until: due }, None, Some("send_at".to_owned()));
    }

    fn expanded(&mut self, ready: &Ready<'_>) {
        self.commit.counts.add("entry.expanded", 1);
        self.came_back(ready.entry.returned);
        self.commit.counts.add("rules.in", i64::try_from(ready.recipients.len()).unwrap_or(i64::MAX));
        let reason = match (&ready.entry.event.to, ready.recipients.len()) {
            (Audience::GroupOwner(group), 0) => Some(format!("group {group} has no owner")),
            (Audience::GroupOwner(group), _) => Some(format!("{} to the owner of group {group}", ready.kind.name)),
            (Audience::Users(_), n) => Some(format!("{} to {n} recipients", ready.kind.name)),
        };
        self.record(&ready.entry.id, Stage::Entry, Fate::Expanded, None, reason);
    }

    fn skipped(&mut self, ready: &Ready<'_>, user: &str, rule: &str, seen: &str) {
        let fate = Fate::Skipped { rule: rule.to_owned() };
        self.commit.counts.add(Stage::Rules.field(&fate), 1);
        meter::skipped(rule);
        self.record(&ready.entry.id, Stage::Rules, fate, Some(user), Some(seen.to_owned()));
    }

    /// A recipient who may be told: the first device that fits gets the notification.
    fn passed(&mut self, lane: &Lane, ready: &Ready<'_>, user: &str, rows: &[Row]) {
        self.commit.counts.add("rules.passed", 1);
        let wanted = ready.entry.event.app.as_deref();
        let device = rows.iter().find_map(|row| Device::read(row).filter(|d| wanted.is_none_or(|app| app == d.app)));
        let Some(device) = device else {
            // Counted where it ends, in the unit of the sending stage: one target that does not exist.
            self.commit.counts.add("send.in", 1);
            self.commit.counts.add(Stage::Send.field(&Fate::NoDevice), 1);
            self.commit.counts.add("send.taken", 1);
            let reason = wanted.map(|app| format!("{} devices, none of app {app}", rows.len()));
            self.record(&ready.entry.id, Stage::Rules, Fate::NoDevice, Some(user), reason);
            return;
        };
        let notification = Notification {
            id: ready.entry.id.clone(),
            kind: ready.kind.code,
            app: device.app.to_owned(),
            platform: device.platform,
            title: ready.title.clone(),
            body: ready.body.clone(),
            custom: ready.entry.event.data.clone(),
            created_at: ready.entry.first_at,
            expires_at: ready.expires_at,
            at_most_once: ready.kind.ambiguous == Ambiguous::Drop,
            targets: vec![Target { user: user.to_owned(), token: device.token.to_owned() }],
        };
        let item = notification.encode();
        if item.len() > MAX_ITEM {
            self.too_large(ready, user, &item);
            return;
        }
        let queue = lane.delivery.of(user);
        let append = *self.queue_of.entry(queue.clone()).or_insert_with(|| {
            let to = Destination::Queue(queue);
            let append = Append { to, items: Vec::new(), high_water: lane.high_water, counts: Counts::default() };
            self.commit.append.push(append);
            self.commit.append.len() - 1
        });
        if let Some(append) = self.commit.append.get_mut(append) {
            append.items.push(item);
            append.counts.add("send.in", 1);
            append.counts.add("send.items", 1);
        }
        let fate = Fate::Queued { channel: lane.channel.clone() };
        self.record(&ready.entry.id, Stage::Rules, fate, Some(user), None);
    }

    fn too_large(&mut self, ready: &Ready<'_>, user: &str, item: &[u8]) {
        let fate = Fate::Dead { why: "too_large".to_owned() };
        let error = format!("the notification has {} bytes, the limit is {MAX_ITEM}", item.len());
        let letter = DeadLetter {
            id: ready.entry.id.clone(),
            reason: "too_large".to_owned(),
            error: error.clone(),
            at: self.now,
            tries: 0,
            queue: self.queue.to_owned(),
            seq: ready.entry.seq,
            body: ready.entry.body.to_vec(),
        };
        self.commit.bury.push(letter.encode());
        self.commit.counts.add("items.buried", 1);
        self.commit.counts.add("send.in", 1);
        self.commit.counts.add("send.taken", 1);
        self.commit.counts.add(Stage::Send.field(&fate), 1);
        self.record(&ready.entry.id, Stage::Rules, fate, Some(user), Some(error));
    }
}

/// A row of the devices' lookup.
struct Device<'a> {
    token: &'a str,
    platform: Platform,
    app: &'a str,
}

impl<'a> Device<'a> {
    /// `None` for a row without token or app, or of a platform that is not known.
    fn read(row: &'a BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            token: row.get("token").filter(|t| !t.is_empty())?,
            platform: Platform::parse(row.get("platform")?)?,
            app: row.get("app").filter(|app| !app.is_empty())?,
        })
    }
}
