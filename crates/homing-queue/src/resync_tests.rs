//! The books after a resync, for all kinds of damage.

use homing_core::queue::LogDepth;

use super::*;

/// A shard: main (head, length, finished), length and finished of the retry list, delayed, dead.
fn snapshot(counts: &[(&str, i64)], main: (u64, u64, u64), retry: (u64, u64), delayed: u64, dead: u64) -> Snapshot {
    let depth = |log, (head, length, finished)| LogDepth { log, head, length, finished };
    Snapshot {
        logs: vec![depth(Log::MAIN, main), depth(Log::RETRY, (9, retry.0, retry.1))],
        delayed,
        dead,
        counts: counts.iter().map(|(f, n)| ((*f).to_owned(), *n)).collect(),
        ..Snapshot::default()
    }
}

/// Plans, applies, checks that every line of the role balances; answers how many were taken and the dead ones.
#[track_caller]
fn check(role: Role, before: &Snapshot, known: u64, main_targets: i64, own: Found) -> (u64, i64) {
    let main = reads_main(before).then_some(Found { targets: main_targets, ..Found::default() });
    let own_found = reads_own(before).then_some(own);
    let plan = plan(before, known, main, own_found);
    let mut after = before.clone();
    for log in &mut after.logs {
        log.finished = 0;
        if log.log == Log::MAIN {
            log.head = plan.head;
        }
    }
    after.counts.merge(&plan.counts);
    for line in balance(&after, role) {
        assert!(line.balanced, "{line:?}\n{plan:?}\n{after:?}");
    }
    for (field, n) in plan.counts.iter() {
        assert!(n > 0, "counters only grow: {field} {n}");
    }
    if let Some(line) = balance(&after, role).iter().find(|l| l.stage == "send" && role == Role::Delivery) {
        let own = if reads_own(before) {
            own.targets
        } else {
            before.counts.get("send.filed") - before.counts.get("send.returned")
        };
        assert_eq!(line.waiting, main_targets + own, "exactly what is there");
    }
    let again = super::plan(&after, plan.head, main, reads_own(&after).then_some(own));
    assert_eq!(
        (again.taken, again.counts.is_empty(), again.head),
        (0, true, plan.head),
        "a second one changes nothing"
    );
    let dead = if role == Role::Entry { "entry.dead.foreign" } else { "send.dead.foreign" };
    (plan.taken, plan.counts.get(dead))
}

fn envelopes(n: i64) -> Found {
    Found { items: n, targets: n, events: n }
}

/// 10 came in: 6 trimmed and `behind` finished behind the head; of those 2 were filed and 1 came back.
fn entry(length: u64, behind: u64) -> Snapshot {
    let done = 6 + number(behind);
    let counts = [
        ("entry.expanded", done - 1),
        ("entry.filed", 2),
        ("entry.returned", 1),
        ("items.done", done),
        ("items.filed", 2),
        ("items.returned", 1),
    ];
    snapshot(&counts, (6, length, behind), (0, 0), 1, 0)
}

#[test]
fn entry_shards() {
    let e = Role::Entry;
    assert_eq!(check(e, &entry(4, 0), 10, 0, envelopes(1)), (0, 0), "nothing was touched");
    assert_eq!(check(e, &entry(4, 2), 10, 0, envelopes(1)), (0, 0), "two are worked again");
    assert_eq!(check(e, &entry(1, 0), 10, 0, envelopes(1)), (3, 3));
    assert_eq!(check(e, &entry(1, 2), 10, 0, envelopes(1)), (3, 1), "three taken, two of four were finished");
    assert_eq!(check(e, &entry(0, 0), 10, 0, envelopes(1)), (4, 4), "the list is gone");
    assert_eq!(check(e, &entry(0, 3), 10, 0, envelopes(1)), (4, 1), "the list is gone");
    assert_eq!(check(e, &entry(5, 0), 10, 0, envelopes(1)), (0, 0), "one was pushed to the front");
    assert_eq!(check(e, &entry(1, 0), 7, 0, envelopes(1)), (0, 0), "nobody had counted them");
    let mut damaged = entry(4, 0);
    damaged.delayed = 0;
    assert_eq!(check(e, &damaged, 10, 0, envelopes(0)), (0, 1), "delayed work is gone");
    damaged.delayed = 3;
    assert_eq!(check(e, &damaged, 10, 0, envelopes(3)), (0, 0), "somebody filed two more");
    let deferred = Found { items: 3, targets: 3, events: 1 };
    assert_eq!(check(e, &damaged, 10, 0, deferred), (0, 0), "two of them are recipients, not events");
    damaged.dead = 4;
    assert_eq!(check(e, &damaged, 10, 0, envelopes(3)), (0, 0), "letters came");
    let bare = snapshot(&[], (0, 5, 0), (0, 0), 0, 0);
    assert_eq!(check(e, &bare, 8, 0, envelopes(0)), (3, 0), "never worked: it is on no line of events");
}

/// Items of `pages` targets: 10 were handed over by us; 6 trimmed, `behind` finished behind the head; one target was filed.
fn delivery(pages: i64, length: u64, behind: u64) -> Snapshot {
    let done = 6 + number(behind);
    let taken = done * pages;
    let counts = [
        ("send.in", 10 * pages),
        ("send.items", 10),
        ("send.taken", taken),
        ("send.delivered", taken - 1),
        ("send.filed", 1),
        ("items.done", done),
        ("items.filed", 1),
    ];
    snapshot(&counts, (6, length, behind), (0, 0), 1, 0)
}

#[test]
fn delivery_shards() {
    let d = Role::Delivery;
    for pages in [1, 100] {
        let t = |n: i64| n * pages;
        assert_eq!(check(d, &delivery(pages, 4, 0), 10, t(4), envelopes(1)), (0, 0));
        assert_eq!(check(d, &delivery(pages, 4, 2), 10, t(4), envelopes(1)), (0, 0), "two are sent again");
        assert_eq!(check(d, &delivery(pages, 1, 0), 0, t(1), envelopes(1)), (3, t(3)), "known by what was handed over");
        assert_eq!(check(d, &delivery(pages, 1, 2), 10, t(1), envelopes(1)), (3, t(1)));
        assert_eq!(check(d, &delivery(pages, 0, 0), 10, 0, envelopes(1)), (4, t(4)));
        assert_eq!(check(d, &delivery(pages, 0, 3), 10, 0, envelopes(1)), (4, t(1)));
        assert_eq!(check(d, &delivery(pages, 5, 0), 10, t(4) + 1, envelopes(1)), (0, 0), "pushed to the front");
        assert_eq!(check(d, &delivery(pages, 6, 0), 12, t(4) + 2, envelopes(1)), (0, 0), "foreign producers");
        assert_eq!(check(d, &delivery(pages, 3, 0), 12, t(1) + 2, envelopes(1)), (3, t(3)));
    }
    let mut damaged = delivery(1, 4, 0);
    damaged.delayed = 0;
    assert_eq!(check(d, &damaged, 10, 4, envelopes(0)), (0, 1), "a retry is gone");
    damaged.logs[1].length = 5;
    damaged.logs[1].finished = 2;
    assert_eq!(check(d, &damaged, 10, 4, envelopes(5)), (0, 0), "retries are worked again");
    let only_foreign =
        snapshot(&[("send.taken", 2), ("send.delivered", 2), ("items.done", 2)], (2, 1, 0), (0, 0), 0, 0);
    assert_eq!(check(d, &only_foreign, 5, 1, envelopes(0)), (2, 2), "a list that others fill");
}
