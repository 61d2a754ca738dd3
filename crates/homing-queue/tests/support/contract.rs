//! What every backend of the queue port keeps: one function per promise. `contract!` makes them tests of a backend.

use std::time::Duration;

use bytes::Bytes;
use homing_core::{
    queue::{Append, Budget, Commit, Delayed, Destination, Error, Log, MAX_ITEM, QueueName},
    record::{Fate, Record, Stage},
};

use super::support::{ALL, Backend, Held, LONG, fresh, items, plain};

#[macro_export]
macro_rules! contract {
    ($backend:expr) => {
        contract!($backend; contract:
            a_plain_producers_items_are_peeked_in_order_and_leave_only_by_a_commit,
            a_commit_does_all_or_nothing_and_the_ledgers_count_it,
            only_one_owner_at_a_time_and_release_is_immediate,
            an_owner_whose_lease_ran_out_commits_nothing,
            a_dropped_shard_can_be_taken_again_by_the_same_process,
            the_fencing_token_grows,
            a_successor_skips_what_was_finished_out_of_order,
            a_foreign_consumer_is_noticed_before_anything_is_trimmed,
            a_full_destination_refuses_the_whole_commit,
            delayed_work_comes_back_when_due_and_equal_bodies_do_not_merge,
            many_due_items_come_back_in_bounded_steps,
            own_lists_are_logs_of_their_own,
            ten_thousand_items_fit_one_commit,
            dead_letters_and_values_stay,
            a_producers_push_wakes_the_owner,
            a_commit_by_another_shard_wakes_the_owner,
            a_trace_answers_by_id,
            an_owner_that_dies_at_the_same_item_raises_suspicion,
            a_peek_is_bounded_in_items_and_bytes,
            a_too_large_item_is_refused,
            a_renewed_lease_does_not_run_out,
        );
        contract!($backend; ids:
            an_id_is_accepted_once,
            ids_are_forgotten_after_an_hour,
            an_append_over_the_bound_is_refused_whole,
            appends_from_many_tasks_keep_the_bound,
            seen_and_cancelled_ids_are_marked,
            a_thousand_ids_in_one_call,
            the_fan_out_list_is_a_log_and_is_suspected_too,
            many_queues_at_once,
            wake_ups_cross_tasks,
        );
        contract!($backend; board:
            a_notice_is_read_by_every_handle_until_it_is_taken_down,
            whoever_waits_is_told_of_each_change,
            a_notice_is_bounded_in_bytes,
            a_receipt_is_counted_and_traced_once_without_a_lease,
            a_receipt_is_forgotten_after_an_hour,
            two_thousand_receipts_in_one_call,
        );
        contract!($backend; resync:
            an_untouched_shard_stays_as_it_is,
            items_that_were_popped,
            items_that_were_popped_in_front_of_finished_ones,
            a_list_that_was_deleted,
            an_item_that_was_pushed_to_the_front,
            retries_that_were_deleted,
            pages_that_were_popped,
            a_resync_of_a_lost_lease_is_refused,
        );
    };
    ($backend:expr; $suite:ident: $($check:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $check() {
            let backend = $backend;
            $crate::$suite::$check(&backend).await;
        })*
    };
}

pub async fn a_plain_producers_items_are_peeked_in_order_and_leave_only_by_a_commit(b: &dyn Backend) {
    let (queue, q, next) = (b.queue(LONG), fresh("plain"), fresh("next"));
    b.foreign_push(&q, &items(0, 5)).await;
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.peek().await, [0, 1, 2, 3, 4]);
    let sample = |n| queue.sample(&q, n);
    assert_eq!((sample(3).await.unwrap(), sample(0).await.unwrap()), (items(0, 3), Vec::new()));
    assert_eq!(b.contents(&q).await, items(0, 5), "a peek or a sample changes nothing");
    let commit = held.hand_over(&[0, 1], &next);
    held.commit(&commit).await;
    assert_eq!(b.contents(&q).await, items(2, 3));
    assert_eq!(b.contents(&next).await, items(0, 2));
    b.foreign_push(&q, &items(5, 1)).await;
    assert_eq!(held.peek().await, [5]);
}

pub async fn a_commit_does_all_or_nothing_and_the_ledgers_count_it(b: &dyn Backend) {
    let (queue, q, next) = (b.queue(LONG), fresh("atomic"), fresh("next"));
    b.foreign_push(&q, &items(0, 3)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    let mut commit = held.hand_over(&seqs, &next);
    commit.delay.push(Delayed { due: 5, body: Bytes::from_static(b"later") });
    commit.bury.push(Bytes::from_static(b"dead"));
    held.commit(&commit).await;
    let (here, there) = (queue.inspect(&q).await.unwrap(), queue.inspect(&next).await.unwrap());
    assert_eq!((here.counts.get("entry.expanded"), there.counts.get("send.in")), (3, 3));
    assert_eq!((here.delayed, here.next_due, here.dead), (1, Some(5), 1));
    assert_eq!((here.logs[0].head, here.logs[0].length, there.logs[0].length), (3, 0, 3));
    assert!(here.owner.is_some() && there.owner.is_none());
}

pub async fn only_one_owner_at_a_time_and_release_is_immediate(b: &dyn Backend) {
    let (one, two, q) = (b.queue(LONG), b.queue(LONG), fresh("owner"));
    let held = one.acquire(&q).await.unwrap();
    for queue in [&one, &two] {
        match queue.acquire(&q).await {
            Err(Error::Held { queue, left_ms, .. }) => assert!(queue == q && left_ms > 20_000),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("two owners"),
        }
    }
    held.release().await.unwrap();
    two.acquire(&q).await.unwrap();
}

pub async fn an_owner_whose_lease_ran_out_commits_nothing(b: &dyn Backend) {
    let (one, two, q, next) = (b.queue(Duration::from_millis(150)), b.queue(LONG), fresh("fence"), fresh("next"));
    b.foreign_push(&q, &items(0, 2)).await;
    let mut old = Held::take(&*one, &q).await;
    let seqs = old.peek().await;
    let late = old.hand_over(&seqs, &next);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let mut new = Held::take(&*two, &q).await;
    assert!(matches!(old.shard.commit(&late).await, Err(Error::Fenced(_))));
    assert!(matches!(old.shard.renew().await, Err(Error::Fenced(_))));
    assert!(matches!(old.shard.promote(i64::MAX).await, Err(Error::Fenced(_))));
    assert!(matches!(old.shard.peek(&Log::MAIN, 0, ALL).await, Err(Error::Fenced(_))));
    assert!(matches!(old.shard.release().await, Err(Error::Fenced(_))));
    assert_eq!(b.contents(&next).await, Vec::<Bytes>::new());
    assert_eq!(queue_counts(b, &q).await, 0);
    let seqs = new.peek().await;
    let commit = new.hand_over(&seqs, &next);
    new.commit(&commit).await;
    assert_eq!(b.contents(&next).await, items(0, 2));
}

async fn queue_counts(b: &dyn Backend, q: &QueueName) -> i64 {
    b.queue(LONG).inspect(q).await.unwrap().counts.sum("")
}

pub async fn a_dropped_shard_can_be_taken_again_by_the_same_process(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("dropped"));
    drop(queue.acquire(&q).await.unwrap());
    drop(queue.acquire(&q).await.unwrap());
}

pub async fn the_fencing_token_grows(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("epoch"));
    let mut last = 0;
    let mut first = None;
    for _ in 0..3 {
        let shard = queue.acquire(&q).await.unwrap();
        assert!(shard.opened().epoch > last);
        last = shard.opened().epoch;
        assert_eq!(*first.get_or_insert(shard.opened().first_epoch), shard.opened().first_epoch);
        shard.release().await.unwrap();
    }
}

pub async fn a_successor_skips_what_was_finished_out_of_order(b: &dyn Backend) {
    let (queue, q, next) = (b.queue(LONG), fresh("skip"), fresh("next"));
    b.foreign_push(&q, &items(0, 70)).await;
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.peek().await.len(), 70);
    let commit = held.hand_over(&[0, 3, 69], &next);
    held.commit(&commit).await;
    let snapshot = queue.inspect(&q).await.unwrap();
    assert_eq!((snapshot.logs[0].head, snapshot.logs[0].length, snapshot.logs[0].finished), (1, 69, 2));
    drop(held);
    let mut held = Held::take(&*queue, &q).await;
    let open = held.peek().await;
    assert_eq!(open.len(), 67);
    assert!(!open.contains(&3) && !open.contains(&69) && !open.contains(&0));
    let commit = held.hand_over(&open, &next);
    held.commit(&commit).await;
    let mut delivered = b.contents(&next).await;
    delivered.sort();
    let mut all = items(0, 70);
    all.sort();
    assert_eq!(delivered, all, "each once");
    assert_eq!(b.contents(&q).await, Vec::<Bytes>::new());
}

pub async fn a_foreign_consumer_is_noticed_before_anything_is_trimmed(b: &dyn Backend) {
    let (queue, q, next) = (b.queue(LONG), fresh("foreign"), fresh("next"));
    b.foreign_push(&q, &items(0, 3)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    b.foreign_pop(&q).await;
    let commit = held.hand_over(&seqs, &next);
    match held.shard.commit(&commit).await {
        Err(Error::Foreign { queue, log, expected }) => assert!(queue == q && log == "main" && expected == 0),
        other => panic!("{other:?}"),
    }
    assert_eq!(b.contents(&q).await, items(1, 2));
    assert_eq!(b.contents(&next).await, Vec::<Bytes>::new());
}

pub async fn a_full_destination_refuses_the_whole_commit(b: &dyn Backend) {
    let (queue, q, next) = (b.queue(LONG), fresh("source"), fresh("full"));
    b.foreign_push(&q, &items(0, 3)).await;
    b.foreign_push(&next, &items(10, 8)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    let mut commit = held.hand_over(&seqs, &next);
    commit.append[0].high_water = 10;
    assert!(matches!(held.shard.commit(&commit).await, Err(Error::Full(full)) if full == next));
    assert_eq!(b.contents(&q).await.len(), 3);
    b.foreign_pop(&next).await;
    held.commit(&commit).await;
    assert_eq!((b.contents(&q).await.len(), b.contents(&next).await.len()), (0, 10));
}

pub async fn delayed_work_comes_back_when_due_and_equal_bodies_do_not_merge(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("delayed"));
    let mut held = Held::take(&*queue, &q).await;
    let same = Delayed { due: 1_000, body: Bytes::from_static(b"same:body") };
    let commit = Commit { delay: vec![same.clone(), same.clone()], ..Commit::default() };
    held.commit(&commit).await;
    let commit =
        Commit { delay: vec![same, Delayed { due: 2_000, body: Bytes::from_static(b"other") }], ..Commit::default() };
    held.commit(&commit).await;
    let early = held.shard.promote(999).await.unwrap();
    assert_eq!((early.moved, early.next_due), (0, Some(1_000)));
    let due = held.shard.promote(1_000).await.unwrap();
    assert_eq!((due.moved, due.next_due), (3, Some(2_000)));
    let back = held.shard.peek(&Log::RETRY, 0, ALL).await.unwrap();
    assert_eq!(back.iter().map(|i| &*i.body).collect::<Vec<_>>(), [b"same:body"; 3]);
    drop(held);
    let held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.opened().next_due, Some(2_000));
}

pub async fn many_due_items_come_back_in_bounded_steps(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("many_due"));
    let mut held = Held::take(&*queue, &q).await;
    let delay = (0..2_500).map(|i| Delayed { due: i, body: Bytes::from(format!("{i}")) }).collect();
    held.commit(&Commit { delay, ..Commit::default() }).await;
    let mut moved = Vec::new();
    loop {
        let promoted = held.shard.promote(10_000).await.unwrap();
        moved.push(promoted.moved);
        if promoted.next_due.is_none() {
            break;
        }
    }
    assert_eq!(moved, [1_000, 1_000, 500]);
    let back = held.shard.peek(&Log::RETRY, 0, ALL).await.unwrap();
    assert_eq!(back.len(), 2_500);
    assert_eq!(&*back[2_499].body, b"2499", "in the order in which they were due");
}

pub async fn own_lists_are_logs_of_their_own(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("own"));
    let mut held = Held::take(&*queue, &q).await;
    let wait = Log::wait("higo");
    let park =
        Append { to: Destination::Own(wait.clone()), items: items(0, 3), high_water: 0, counts: Default::default() };
    held.commit(&Commit { append: vec![park], ..Commit::default() }).await;
    let known = queue.inspect(&q).await.unwrap();
    assert!(known.logs.iter().any(|l| l.log == wait && l.length == 3), "it is on the books from the first item on");
    drop(held);
    let mut held = Held::take(&*queue, &q).await;
    assert!(held.shard.opened().logs.iter().any(|l| l.log == wait), "the successor knows it");
    let parked = held.shard.peek(&wait, 0, ALL).await.unwrap();
    assert_eq!(parked.len(), 3);
    let state = homing_core::queue::LogState { log: wait.clone(), head: 0, checkpoint: Bytes::new() };
    let mut window = homing_core::window::Window::open(&state);
    window.accept(parked);
    window.finish(0);
    window.finish(2);
    let commit = Commit { advance: window.advance().into_iter().collect(), ..Commit::default() };
    held.commit(&commit).await;
    drop(held);
    let held = Held::take(&*queue, &q).await;
    let found = held.shard.opened().logs.iter().find(|l| l.log == wait).expect("the successor knows the list");
    assert_eq!(found.head, 1);
    let snapshot = queue.inspect(&q).await.unwrap();
    let depth = snapshot.logs.iter().find(|l| l.log == wait).unwrap();
    assert_eq!((depth.length, depth.finished), (2, 1));
}

pub async fn ten_thousand_items_fit_one_commit(b: &dyn Backend) {
    let (queue, q, next) = (b.queue(LONG), fresh("big"), fresh("next"));
    b.foreign_push(&q, &items(0, 10_000)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    assert_eq!(seqs.len(), 10_000);
    let commit = held.hand_over(&seqs, &next);
    held.commit(&commit).await;
    assert_eq!(b.contents(&next).await, items(0, 10_000));
}

pub async fn dead_letters_and_values_stay(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("values"));
    let mut held = Held::take(&*queue, &q).await;
    let put = vec![("cursor".to_owned(), Bytes::from_static(b"\x00\xffbinary"))];
    held.commit(&Commit { put, bury: items(0, 2), ..Commit::default() }).await;
    held.shard.release().await.unwrap();
    let held = Held::take(&*queue, &q).await;
    let values = held.shard.opened().values.clone();
    assert_eq!(values, [("cursor".to_owned(), Bytes::from_static(b"\x00\xffbinary"))]);
    let snapshot = queue.inspect(&q).await.unwrap();
    assert_eq!((snapshot.dead, snapshot.values), (2, values));
    let mut held = held;
    assert_eq!(held.shard.dead(10).await.unwrap(), items(0, 2));
    held.commit(&Commit { unbury: 1, ..Commit::default() }).await;
    assert_eq!(held.shard.dead(10).await.unwrap(), items(1, 1));
}

pub async fn a_producers_push_wakes_the_owner(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("wake"));
    let mut held = Held::take(&*queue, &q).await;
    let wake = held.shard.wake();
    for round in 0..3 {
        // A peek at the end asks to be told of what comes; an earlier wake-up may still be noted.
        held.peek().await;
        while tokio::time::timeout(Duration::from_millis(50), wake.notified()).await.is_ok() {}
        b.foreign_push(&q, &items(round, 1)).await;
        tokio::time::timeout(Duration::from_secs(2), wake.notified()).await.expect("woken by a push");
        assert_eq!(held.peek().await, [round as u64]);
    }
}

pub async fn a_commit_by_another_shard_wakes_the_owner(b: &dyn Backend) {
    let (queue, from, to) = (b.queue(LONG), fresh("from"), fresh("to"));
    b.foreign_push(&from, &items(0, 1)).await;
    let mut source = Held::take(&*queue, &from).await;
    let mut sink = Held::take(&*queue, &to).await;
    let wake = sink.shard.wake();
    sink.peek().await;
    while tokio::time::timeout(Duration::from_millis(50), wake.notified()).await.is_ok() {}
    let seqs = source.peek().await;
    let commit = source.hand_over(&seqs, &to);
    source.commit(&commit).await;
    tokio::time::timeout(Duration::from_secs(2), wake.notified()).await.expect("woken by a hand-over");
    assert_eq!(sink.peek().await, [0]);
}

pub async fn a_trace_answers_by_id(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("trace"));
    let mut held = Held::take(&*queue, &q).await;
    for i in 0..450 {
        let mut commit = Commit::default();
        for id in [format!("m-{i}"), "always".to_owned()] {
            let record = Record { at: i, id, stage: Stage::Entry, fate: Fate::Expanded, target: None, reason: None };
            commit.record(record, 1);
        }
        held.commit(&commit).await;
    }
    let found = queue.trace(&q, "m-123").await.unwrap();
    assert_eq!(found.iter().map(|r| r.at).collect::<Vec<_>>(), [123]);
    let always: Vec<i64> = queue.trace(&q, "always").await.unwrap().iter().map(|r| r.at).collect();
    assert_eq!(always, (0..450).collect::<Vec<_>>(), "oldest first");
    assert_eq!(queue.inspect(&q).await.unwrap().counts.get("entry.expanded"), 900);
}

pub async fn an_owner_that_dies_at_the_same_item_raises_suspicion(b: &dyn Backend) {
    let (q, next) = (fresh("suspect"), fresh("next"));
    b.foreign_push(&q, &items(0, 3)).await;
    let short = Duration::from_millis(150);
    // Another handle each time stands for another process; the lease of the dead one runs out.
    let die = async || tokio::time::sleep(short + Duration::from_millis(40)).await;
    for expected in [0, 1, 2, 3] {
        let queue = b.queue(short);
        let mut held = Held::take(&*queue, &q).await;
        assert_eq!(held.shard.opened().suspicion, expected);
        held.peek().await;
        die().await;
        let queue = b.queue(short);
        let held = Held::take(&*queue, &q).await;
        assert_eq!(held.shard.opened().suspicion, expected + 1, "the one that had read is counted");
        drop(held);
        die().await;
    }
    // Who waits for somebody else does not die of the item.
    for (blamed, expected) in [(false, 4), (false, 4), (true, 5)] {
        let queue = b.queue(short);
        let mut held = Held::take(&*queue, &q).await;
        held.peek().await;
        held.shard.blame(false).await.unwrap();
        if blamed {
            held.shard.blame(true).await.unwrap();
        }
        die().await;
        let held = Held::take(&*b.queue(short), &q).await;
        assert_eq!(held.shard.opened().suspicion, expected, "blamed: {blamed}");
        drop(held);
        die().await;
    }
    let queue = b.queue(short);
    let mut held = Held::take(&*queue, &q).await;
    held.peek().await;
    let commit = held.hand_over(&[1], &next);
    held.commit(&commit).await;
    die().await;
    let queue = b.queue(LONG);
    let held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.opened().suspicion, 1, "there was progress");
    drop(held);
    let held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.opened().suspicion, 1, "an owner that lives and gave up adds nothing");
    held.shard.release().await.unwrap();
    let held = Held::take(&*b.queue(LONG), &q).await;
    assert_eq!(held.shard.opened().suspicion, 0, "a release is no death");
}

pub async fn a_peek_is_bounded_in_items_and_bytes(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("bounds"));
    b.foreign_push(&q, &vec![Bytes::from(vec![b'x'; 1_000]); 600]).await;
    let mut held = Held::take(&*queue, &q).await;
    let peek = |items, bytes| Budget { items, bytes };
    assert_eq!(held.shard.peek(&Log::MAIN, 0, peek(300, 1 << 20)).await.unwrap().len(), 300);
    let some = held.shard.peek(&Log::MAIN, 10, peek(600, 100_000)).await.unwrap();
    assert!((100..=101).contains(&some.len()), "{}", some.len());
    assert_eq!(some[0].seq, 10);
    assert_eq!(held.shard.peek(&Log::MAIN, 599, peek(600, 1)).await.unwrap().len(), 1, "one at least");
    assert_eq!(held.shard.peek(&Log::MAIN, 600, ALL).await.unwrap(), []);
}

pub async fn a_too_large_item_is_refused(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("large"));
    let large = |more| plain(&[Bytes::from_static(b"small"), Bytes::from(vec![0; MAX_ITEM + more])]);
    let refused = queue.append(&q, &large(1), 0, 0).await;
    assert!(matches!(refused, Err(Error::TooLarge { size, .. }) if size == MAX_ITEM + 1), "{refused:?}");
    assert_eq!(b.contents(&q).await.len(), 0, "none of them");
    queue.append(&q, &large(0), 0, 0).await.unwrap();
    assert_eq!(b.contents(&q).await.len(), 2);
}

pub async fn a_renewed_lease_does_not_run_out(b: &dyn Backend) {
    let (one, two, q) = (b.queue(Duration::from_millis(300)), b.queue(LONG), fresh("renew"));
    let mut held = Held::take(&*one, &q).await;
    let before = held.shard.deadline();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        held.shard.renew().await.unwrap();
    }
    assert!(held.shard.deadline() > before);
    assert!(matches!(two.acquire(&q).await, Err(Error::Held { .. })));
}
