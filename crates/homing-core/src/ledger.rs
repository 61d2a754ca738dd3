//! Counters per shard, and the balances that must hold between them at every instant.
//!
//! The commit scripts move items and counters in one step, so each line below holds in every snapshot. The left sides
//! are counters; the right sides are lengths of the lists themselves, so a lost or doubled item shows.
//!
//! | line | balance |
//! |---|---|
//! | items | `items.done` = head + finished of the main list |
//! | own lists | `items.filed` - `items.returned` = delayed + open items of the own lists |
//! | dead | `items.buried` - `items.unburied` = length of the dead list |
//! | entry (events) | head + length = expanded + invalid + expired + cancelled + dead + waiting |
//! | rules (recipients) | in = passed + skipped + deferred |
//! | send (targets) | in = delivered + bad token + no device + expired + cancelled + dead + waiting |

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::queue::{Log, Snapshot};

/// A set of named counters, or of changes to them. Fields are made by
/// [`Stage::field`](crate::record::Stage::field) and the constants in [`field`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Cow<'static, str>, i64>);

impl Counts {
    /// Adds `n` to `field`.
    pub fn add(&mut self, field: impl Into<Cow<'static, str>>, n: i64) {
        if n != 0 {
            *self.0.entry(field.into()).or_default() += n;
        }
    }

    /// Adds every counter of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (field, n) in &other.0 {
            self.add(field.clone(), *n);
        }
    }

    /// The counter's value; 0 if it was never counted.
    pub fn get(&self, field: &str) -> i64 {
        self.0.get(field).copied().unwrap_or(0)
    }

    /// Sum of the counters whose names begin with `prefix`.
    pub fn sum(&self, prefix: &str) -> i64 {
        self.0.iter().filter(|(f, _)| f.starts_with(prefix)).map(|(_, n)| n).sum()
    }

    /// All counters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(f, n)| (f.as_ref(), *n))
    }

    /// No counter at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, i64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(f, n)| (Cow::Owned(f), n)).collect())
    }
}

/// What a shard is in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An entry queue.
    Entry,
    /// A delivery queue.
    Delivery,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `entry`, `rules`, `send`, or the bookkeeping of lists: `items`, `own lists`, `dead list`.
    pub stage: &'static str,
    /// What came in.
    #[serde(rename = "in")]
    pub came_in: i64,
    /// Every fate and its count.
    pub fates: BTreeMap<String, i64>,
    /// In the lists and without an end yet.
    pub waiting: i64,
    /// Is the sum right?
    pub balanced: bool,
}

impl Line {
    fn new(stage: &'static str, came_in: i64, fates: BTreeMap<String, i64>, waiting: i64) -> Self {
        let balanced = came_in == fates.values().sum::<i64>() + waiting && waiting >= 0;
        Self { stage, came_in, fates, waiting, balanced }
    }

    /// Adds the line of another shard.
    pub fn merge(&mut self, other: &Self) {
        self.came_in += other.came_in;
        self.waiting += other.waiting;
        self.balanced &= other.balanced;
        for (fate, n) in &other.fates {
            *self.fates.entry(fate.clone()).or_default() += n;
        }
    }
}

/// The lines of one shard.
pub fn balance(snapshot: &Snapshot, role: Role) -> Vec<Line> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let counts = &snapshot.counts;
    let main = snapshot.logs.iter().find(|l| l.log == Log::MAIN);
    let (head, length, finished) = main.map_or((0, 0, 0), |l| (number(l.head), number(l.length), number(l.finished)));
    let own = snapshot.logs.iter().filter(|l| l.log != Log::MAIN);
    let own: i64 = own.map(|l| number(l.length) - number(l.finished)).sum::<i64>() + number(snapshot.delayed);
    let fate = |name: &str, n: i64| [(name.to_owned(), n)].into_iter().collect::<BTreeMap<_, _>>();
    let mut lines = vec![
        Line::new("items", head + length, fate("done", counts.get("items.done")), length - finished),
        Line::new("own lists", counts.get("items.filed"), fate("returned", counts.get("items.returned")), own),
        Line::new(
            "dead list",
            counts.get("items.buried"),
            fate("unburied", counts.get("items.unburied")),
            number(snapshot.dead),
        ),
    ];
    if role == Role::Entry {
        let back = counts.get("entry.filed") - counts.get("entry.returned");
        lines.push(Line::new("entry", head + length, fates(counts, "entry."), length - finished + back));
        lines.push(Line::new("rules", counts.get("rules.in"), fates(counts, "rules."), 0));
    }
    // What somebody else pushed into the delivery queue was not handed over by us: one target each.
    let foreign = if role == Role::Delivery { head + length - counts.get("send.items") } else { 0 };
    let came_in = counts.get("send.in") + foreign;
    let in_main = came_in - counts.get("send.taken");
    let in_own = counts.get("send.filed") - counts.get("send.returned");
    let mut send = Line::new("send", came_in, fates(counts, "send."), in_main + in_own);
    // Fewer items than we handed over ourselves: somebody took them away.
    send.balanced &= foreign >= 0;
    lines.push(send);
    lines
}

/// The fates of a stage; its other counters are not fates.
fn fates(counts: &Counts, stage: &str) -> BTreeMap<String, i64> {
    const BOOKS: [&str; 5] = ["in", "items", "taken", "filed", "returned"];
    let name = |(field, n): (&str, i64)| Some((field.strip_prefix(stage)?.to_owned(), n));
    counts.iter().filter_map(name).filter(|(fate, _)| !BOOKS.contains(&fate.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::LogDepth;

    fn snapshot(counts: &[(&str, i64)], main: (u64, u64, u64), retry: u64, delayed: u64, dead: u64) -> Snapshot {
        let depth = |log, (head, length, finished)| LogDepth { log, head, length, finished };
        Snapshot {
            logs: vec![depth(Log::MAIN, main), depth(Log::RETRY, (9, retry, 0))],
            delayed,
            dead,
            counts: counts.iter().map(|(f, n)| ((*f).to_owned(), *n)).collect(),
            ..Snapshot::default()
        }
    }

    #[track_caller]
    fn unbalanced(snapshot: &Snapshot, role: Role) -> Vec<&'static str> {
        balance(snapshot, role).iter().filter(|l| !l.balanced).map(|l| l.stage).collect()
    }

    #[test]
    fn a_sender_in_full_work_balances() {
        // 10 came in: 6 trimmed, 1 finished behind, 3 open. Of the 7: 4 delivered, 1 dead, 2 filed; 1 of those came back
        // and was delivered.
        let counts = [
            ("send.in", 10),
            ("send.items", 10),
            ("send.taken", 7),
            ("send.delivered", 5),
            ("send.dead.payload", 1),
            ("send.filed", 2),
            ("send.returned", 1),
            ("items.done", 7),
            ("items.filed", 2),
            ("items.returned", 1),
            ("items.buried", 1),
        ];
        let sound = snapshot(&counts, (6, 4, 1), 0, 1, 1);
        assert_eq!(unbalanced(&sound, Role::Delivery), Vec::<&str>::new());
        let send = balance(&sound, Role::Delivery).pop();
        assert_eq!(send.map(|l| (l.came_in, l.waiting)), Some((10, 4)));
        assert_eq!(unbalanced(&snapshot(&counts, (6, 3, 1), 0, 1, 1), Role::Delivery), ["send"], "an item is gone");
        assert_eq!(
            unbalanced(&snapshot(&counts, (6, 4, 1), 0, 0, 1), Role::Delivery),
            ["own lists"],
            "a retry is gone"
        );
        assert_eq!(unbalanced(&snapshot(&counts, (6, 4, 1), 0, 1, 0), Role::Delivery), ["dead list"]);
    }

    #[test]
    fn an_entry_shard_balances_in_events_and_recipients() {
        let counts = [
            ("entry.expanded", 4),
            ("entry.invalid", 1),
            ("entry.filed", 1),
            ("rules.in", 5),
            ("rules.passed", 2),
            ("rules.skipped.online", 3),
            ("items.done", 6),
            ("items.filed", 1),
            ("items.buried", 1),
        ];
        let sound = snapshot(&counts, (6, 2, 0), 0, 1, 1);
        assert_eq!(unbalanced(&sound, Role::Entry), Vec::<&str>::new());
        let lost = snapshot(&counts[1..], (6, 2, 0), 0, 1, 1);
        assert_eq!(unbalanced(&lost, Role::Entry), ["entry"], "a fate was not counted");
    }
}
