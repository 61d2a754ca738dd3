//! The arithmetic of [`Shard::resync`](homing_core::queue::Shard::resync): lists as they stand, and books that fit.
//!
//! Every checkpoint is dropped, so what was finished behind a head is worked again and counts as come in again. What is
//! missing gets an end of its own, `entry.dead.foreign` or `send.dead.foreign`. Where items were taken *and* others are
//! worked again, the two are set off against each other: the books then hold the difference, and balance.

use homing_core::{
    ledger::{Counts, Role, balance},
    notification::Notification,
    queue::{Log, Seq, Snapshot},
    wire::Envelope,
};

/// What stands in lists, as far as it had to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Envelopes. Items of own lists that are none are not on the books; their worker buries them.
    pub(crate) items: i64,
    /// Targets of all of them, in the unit of the send line.
    pub(crate) targets: i64,
    /// Envelopes of whole events (not of some recipients that were deferred).
    pub(crate) events: i64,
}

impl Found {
    /// Counts an item of the main list.
    pub(crate) fn main(&mut self, body: &[u8]) {
        self.items += 1;
        self.targets += targets(body);
    }

    /// Counts an item of an own list or of the delayed set.
    pub(crate) fn own(&mut self, body: &[u8]) {
        if let Ok(envelope) = Envelope::decode(body) {
            self.items += 1;
            self.targets += targets(&envelope.body);
            self.events += i64::from(envelope.only.is_empty());
        }
    }
}

/// The targets of an item as a sender counts them: one for what is no notification of ours.
fn targets(body: &[u8]) -> i64 {
    Notification::decode(body).map_or(1, |n| i64::try_from(n.targets.len()).unwrap_or(i64::MAX))
}

/// Must the main list be read? Its targets are on the books of a delivery shard only.
pub(crate) fn reads_main(snapshot: &Snapshot) -> bool {
    role(&snapshot.counts) == Some(Role::Delivery)
}

/// Must the own lists be read? Not as long as their lengths are what the books say.
pub(crate) fn reads_own(snapshot: &Snapshot) -> bool {
    let there: i64 = snapshot.logs.iter().filter(|l| l.log != Log::MAIN).map(|l| number(l.length)).sum();
    let books = snapshot.counts.get("items.filed") - snapshot.counts.get("items.returned");
    there + number(snapshot.delayed) != books
}

/// What to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The main list's head.
    pub(crate) head: Seq,
    /// Items of the main list that were taken away.
    pub(crate) taken: u64,
    /// What to add to the ledger's counters.
    pub(crate) counts: Counts,
}

/// Sets the books right. `known` is how many items of the main list have come in at least; `main` and `own` are given
/// where [`reads_main`] and [`reads_own`] ask for them.
pub(crate) fn plan(snapshot: &Snapshot, known: u64, main: Option<Found>, own: Option<Found>) -> Plan {
    let mut books = Books { now: snapshot.counts.clone(), add: Counts::default() };
    let list = snapshot.logs.iter().find(|l| l.log == Log::MAIN);
    let (head, length) = list.map_or((0, 0), |l| (number(l.head), number(l.length)));
    let role = role(&snapshot.counts);
    let handed = if role == Some(Role::Delivery) { books.now.get("send.items") } else { 0 };
    let came = number(known).max(handed).max(head + length);
    let taken = came - (head + length);

    // items.done = head, as nothing is finished behind it now. A shard that was never worked has no line to count on.
    if role.is_some() {
        books.add("items.done", (came - books.now.get("items.done") - length).max(0));
    }
    if let Some(own) = own {
        books.even("items.filed", "items.returned", own.items);
    }
    books.even("items.buried", "items.unburied", number(snapshot.dead));
    let fates = |stage| {
        let lines = balance(snapshot, role.unwrap_or(Role::Delivery));
        lines.into_iter().find(|l| l.stage == stage).map_or(0, |l| l.fates.values().sum::<i64>())
    };
    match role {
        Some(Role::Entry) => books.entry(fates("entry"), own),
        Some(Role::Delivery) => {
            books.send(fates("send"), came - handed, main.unwrap_or_default().targets, own);
            let items = books.now.get("items.done") + length - handed;
            books.add("send.items", items);
        }
        None => {}
    }
    let head = u64::try_from(books.now.get("items.done")).unwrap_or(0);
    Plan { head, taken: u64::try_from(taken).unwrap_or(0), counts: books.add }
}

/// The counters as they will be, and what is added to them.
struct Books {
    now: Counts,
    add: Counts,
}

impl Books {
    fn add(&mut self, field: &'static str, n: i64) {
        self.now.add(field, n);
        self.add.add(field, n);
    }

    /// Makes `more` - `less` = `there`. Counters only grow.
    fn even(&mut self, more: &'static str, less: &'static str, there: i64) {
        let surplus = self.now.get(more) - self.now.get(less) - there;
        if surplus > 0 {
            self.add(less, surplus);
        } else {
            self.add(more, -surplus);
        }
    }

    /// head = fates + filed - returned.
    fn entry(&mut self, mut fates: i64, own: Option<Found>) {
        let waiting = |books: &Self| books.now.get("entry.filed") - books.now.get("entry.returned");
        if let Some(own) = own {
            let gone = waiting(self) - own.events;
            if gone > 0 {
                self.add("entry.returned", gone);
                self.add("entry.dead.foreign", gone);
                fates += gone;
            } else {
                // As if they had come in through the main list and been filed.
                self.add("entry.filed", -gone);
                self.add("items.done", -gone);
            }
        }
        let missing = self.now.get("items.done") - fates - waiting(self);
        if missing > 0 {
            self.add("entry.dead.foreign", missing);
        } else {
            self.add("items.done", -missing);
        }
    }

    /// fates = taken - filed + returned, and in - taken = targets in the main list.
    fn send(&mut self, mut fates: i64, foreign: i64, there: i64, own: Option<Found>) {
        // What foreign producers pushed so far was counted by length; from now on it is on the books.
        self.add("send.in", foreign);
        let waiting = |books: &Self| books.now.get("send.filed") - books.now.get("send.returned");
        if let Some(own) = own {
            let gone = waiting(self) - own.targets;
            if gone > 0 {
                self.add("send.returned", gone);
                self.add("send.dead.foreign", gone);
                fates += gone;
            } else {
                for field in ["send.in", "send.taken", "send.filed"] {
                    self.add(field, -gone);
                }
            }
        }
        let missing = self.now.get("send.taken") - waiting(self) - fates;
        if missing > 0 {
            self.add("send.dead.foreign", missing);
        } else {
            self.add("send.in", -missing);
            self.add("send.taken", -missing);
        }
        let lost = self.now.get("send.in") - self.now.get("send.taken") - there;
        if lost > 0 {
            self.add("send.taken", lost);
            self.add("send.dead.foreign", lost);
        } else {
            self.add("send.in", -lost);
        }
    }
}

/// What the shard is, as far as its counters tell.
fn role(counts: &Counts) -> Option<Role> {
    let any = |prefix: &str| counts.iter().any(|(field, _)| field.starts_with(prefix));
    match () {
        () if any("entry.") => Some(Role::Entry),
        () if any("send.") => Some(Role::Delivery),
        () => None,
    }
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "resync_tests.rs"]
mod tests;
