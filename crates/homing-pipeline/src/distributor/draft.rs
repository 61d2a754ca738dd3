//! The commit of a batch as it grows: ends of events and recipients, each with its record and its counts.

use std::collections::HashMap;

use bytes::Bytes;
use homing_core::{
    clock::Millis,
    event::Invalid,
    ledger::Counts,
    queue::{Append, Commit, Delayed, Destination, Log, QueueName, REMEMBERED},
    record::{Fate, Record, Stage},
    wire::{DeadLetter, Envelope},
};

use super::{
    audience::Rest,
    intake::{Batch, Entry, Origin, Task},
    plan::Plan,
};
use crate::meter;

/// See the module.
pub(super) struct Draft<'a> {
    now: Millis,
    queue: &'a str,
    commit: Commit,
    /// Place of a list in `commit.append`.
    places: HashMap<Destination, usize>,
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl<'a> Draft<'a> {
    /// The commit of `batch`, with what could not be read in its dead list.
    pub(super) fn open(batch: &'a Batch, now: Millis) -> Self {
        let mut draft = Self { now, queue: &batch.queue, commit: Commit::default(), places: HashMap::new() };
        draft.commit.counts.add("items.done", batch.main);
        draft.commit.counts.add("items.returned", batch.own);
        for (letter, origin) in &batch.invalid {
            draft.bury(letter, *origin);
        }
        draft
    }

    pub(super) fn close(self) -> Commit {
        self.commit
    }

    pub(super) fn now(&self) -> Millis {
        self.now
    }

    fn count(&mut self, field: impl Into<std::borrow::Cow<'static, str>>, n: usize) {
        self.commit.counts.add(field, number(n));
    }

    pub(super) fn record(&mut self, id: &str, stage: Stage, fate: Fate, target: Option<&str>, reason: Option<String>) {
        let target = target.map(str::to_owned);
        self.commit.records.push(Record { at: self.now, id: id.to_owned(), stage, fate, target, reason });
    }

    // === events ===

    /// The id was dealt with: an item with the same one is a duplicate.
    pub(super) fn remember(&mut self, id: &str) {
        self.commit.seen.push((id.to_owned(), self.now));
        self.commit.forget_seen = Some(self.now - REMEMBERED);
    }

    /// An end before anybody was told (of what is left: the recipients that were deferred).
    pub(super) fn event_ends(&mut self, entry: &Entry, fate: Fate, reason: Option<&str>) {
        let stage = self.count_end(entry.origin(), &fate);
        self.record(&entry.id, stage, fate, None, reason.map(str::to_owned));
    }

    fn count_end(&mut self, origin: Origin, fate: &Fate) -> Stage {
        match origin {
            Origin::Deferred(recipients) => {
                self.count("rules.in", recipients);
                self.count(Stage::Rules.field(fate), recipients);
                return Stage::Rules;
            }
            Origin::Returned => self.count("entry.returned", 1),
            Origin::Main => {}
            // It left a list that we had not put it into, and it was no event.
            Origin::Foreign => {
                self.count("items.filed", 1);
                return Stage::Entry;
            }
        }
        self.count(Stage::Entry.field(fate), 1);
        Stage::Entry
    }

    fn bury(&mut self, letter: &DeadLetter, origin: Origin) {
        self.commit.bury.push(letter.encode());
        self.count("items.buried", 1);
        let fate = Fate::Invalid { error: letter.error.clone() };
        let stage = self.count_end(origin, &fate);
        self.record(&letter.id, stage, fate, None, None);
    }

    pub(super) fn invalid(&mut self, entry: &Entry, invalid: &Invalid) {
        let letter = self.letter(entry, "invalid", invalid.to_string());
        self.bury(&letter, entry.origin());
    }

    fn letter(&self, entry: &Entry, reason: &str, error: String) -> DeadLetter {
        DeadLetter {
            id: entry.id.clone(),
            reason: reason.to_owned(),
            error,
            at: self.now,
            tries: 0,
            queue: self.queue.to_owned(),
            seq: entry.seq,
            body: entry.body.to_vec(),
        }
    }

    fn envelope(&self, entry: &Entry, why: &str) -> Envelope {
        Envelope {
            id: entry.id.clone(),
            first_at: entry.first_at,
            why: why.to_owned(),
            body: entry.body.to_vec(),
            ..Envelope::default()
        }
    }

    /// The whole event waits for its time.
    pub(super) fn later(&mut self, entry: &Entry, due: Millis) {
        let body = self.envelope(entry, "send_at").encode();
        self.commit.delay.push(Delayed { due, body });
        self.count("items.filed", 1);
        if !matches!(entry.task, Task::Deferred(_)) {
            self.count("entry.filed", 1);
        }
        if entry.origin() == Origin::Returned {
            self.count("entry.returned", 1);
        }
        self.record(&entry.id, Stage::Entry, Fate::Deferred { until: due }, None, Some("send_at".to_owned()));
    }

    /// These recipients come to the rules. If there are more, the event is filed again for the next page.
    pub(super) fn expanded(&mut self, plan: &Plan<'_>, recipients: usize) {
        self.count("rules.in", recipients);
        let entry = plan.entry;
        if matches!(entry.task, Task::Deferred(_)) {
            return;
        }
        if entry.origin() == Origin::Returned && !matches!(entry.task, Task::Further { .. }) {
            self.count("entry.returned", 1);
        }
        let first = !matches!(entry.task, Task::Further { .. });
        match &plan.rest {
            Some(Rest { after, worked }) => {
                let envelope =
                    Envelope { after: Some(after.clone()), worked: *worked, ..self.envelope(entry, "audience") };
                self.append(Destination::Own(Log::FANOUT), envelope.encode(), 0);
                self.count("items.filed", 1);
                if first {
                    self.count("entry.filed", 1);
                }
            }
            None => {
                self.count("entry.expanded", 1);
                if !first {
                    self.count("entry.returned", 1);
                }
                let worked = match &entry.task {
                    Task::Further { worked, .. } => usize::try_from(*worked).unwrap_or(usize::MAX),
                    _ => 0,
                };
                let who = entry.event.to.describe();
                let reason = match worked + recipients {
                    0 if plan.unlisted => format!("{} to {who} as a whole", plan.kind.name),
                    0 => format!("{} to {who}: nobody is found there", plan.kind.name),
                    1 => format!("{} to {who}", plan.kind.name),
                    n => format!("{} to {who}: {n} recipients", plan.kind.name),
                };
                self.record(&entry.id, Stage::Entry, Fate::Expanded, None, Some(reason));
            }
        }
    }

    // === recipients ===

    /// `recipients` were held back by a rule. One record stands for all of them.
    pub(super) fn skipped(&mut self, id: &str, rule: &str, recipients: usize, target: &str, seen: String) {
        let fate = Fate::Skipped { rule: rule.to_owned() };
        self.count(Stage::Rules.field(&fate), recipients);
        meter::skipped(rule, recipients);
        self.record(id, Stage::Rules, fate, Some(target), Some(seen));
    }

    /// These recipients are judged again at `due`.
    pub(super) fn deferred(&mut self, entry: &Entry, users: &[&str], due: Millis, rule: &str, seen: &str) {
        // So many ids stay far below the largest item.
        const ENVELOPE: usize = 1_000;
        for users in users.chunks(ENVELOPE) {
            let only = users.iter().map(|user| (*user).to_owned()).collect();
            let judged_at = Some(entry.deferred().map_or(self.now, |held| held.judged_at));
            let body = Envelope { only, judged_at, ..self.envelope(entry, rule) }.encode();
            self.commit.delay.push(Delayed { due, body });
            self.count("items.filed", 1);
            let fate = Fate::Deferred { until: due };
            self.count(Stage::Rules.field(&fate), users.len());
            self.record(&entry.id, Stage::Rules, fate, Some(&label(users)), Some(format!("{rule}: {seen}")));
        }
    }

    /// Recipients without a device that fits, who had passed the rules.
    pub(super) fn no_device(&mut self, id: &str, users: &[&str], reason: Option<String>) {
        // Counted where they end, in the unit of the sending stage: targets that do not exist.
        self.count("rules.passed", users.len());
        self.count("send.in", users.len());
        self.count("send.taken", users.len());
        self.count(Stage::Send.field(&Fate::NoDevice), users.len());
        self.record(id, Stage::Rules, Fate::NoDevice, Some(&label(users)), reason);
    }

    pub(super) fn passed(&mut self, recipients: usize) {
        self.count("rules.passed", recipients);
    }

    // === delivery ===

    /// An item for a delivery queue, for so many targets.
    pub(super) fn hand_over(&mut self, queue: &QueueName, item: Bytes, targets: usize, high_water: u64) {
        let append = self.append(Destination::Queue(queue.clone()), item, high_water);
        append.counts.add("send.in", number(targets));
        append.counts.add("send.items", 1);
    }

    pub(super) fn queued(&mut self, id: &str, channel: &str, target: &str, why: Option<String>) {
        self.record(id, Stage::Rules, Fate::Queued { channel: channel.to_owned() }, Some(target), why);
    }

    /// Recipients are told by a live way only; `why` is what kept them from being woken. They are counted elsewhere.
    pub(super) fn only_live(&mut self, id: &str, users: &[&str], why: &str) {
        let why = format!("only by a live way: {why}");
        self.record(id, Stage::Rules, Fate::Passed, Some(&label(users)), Some(why));
    }

    /// Notifications of an event that no list takes.
    pub(super) fn too_large(&mut self, entry: &Entry, target: &str, targets: usize, error: String) {
        let fate = Fate::Dead { why: "too_large".to_owned() };
        let letter = self.letter(entry, "too_large", error.clone());
        self.commit.bury.push(letter.encode());
        self.count("items.buried", 1);
        self.count("send.in", targets);
        self.count("send.taken", targets);
        self.count(Stage::Send.field(&fate), targets);
        self.record(&entry.id, Stage::Rules, fate, Some(target), Some(error));
    }

    fn append(&mut self, to: Destination, item: Bytes, high_water: u64) -> &mut Append {
        let place = match self.places.get(&to) {
            Some(place) => *place,
            None => {
                self.places.insert(to.clone(), self.commit.append.len());
                let append = Append { to, items: Vec::new(), high_water, counts: Counts::default() };
                self.commit.append.push(append);
                self.commit.append.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the place was found or made above")]
        let append = &mut self.commit.append[place];
        append.items.push(item);
        append
    }
}

/// One recipient by name, several by their number and the first of them.
pub(super) fn label(users: &[&str]) -> String {
    match users {
        [user] => (*user).to_owned(),
        [first, ..] => format!("{} recipients, {first} first", users.len()),
        [] => "nobody".to_owned(),
    }
}
