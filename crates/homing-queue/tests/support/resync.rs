//! More of the contract: the books after a resync.

use bytes::Bytes;
use homing_core::{
    ledger::{Role, balance},
    notification::{Notification, Target},
    queue::{Append, Commit, Delayed, Destination, Error, Log, Queue, QueueName, Snapshot},
    wire::Envelope,
};

use super::support::{Backend, Held, LONG, fresh, items};

#[track_caller]
pub fn balanced(snapshot: &Snapshot, role: Role) {
    for line in balance(snapshot, role) {
        assert!(line.balanced, "{line:?}\n{snapshot:?}");
    }
}

/// Finishes these positions of an entry shard as a distributor does.
async fn expand(held: &mut Held, seqs: &[u64]) {
    for seq in seqs {
        held.window.finish(*seq);
    }
    let mut commit = Commit { advance: held.window.advance().into_iter().collect(), ..Commit::default() };
    commit.counts.add("items.done", seqs.len() as i64);
    commit.counts.add("entry.expanded", seqs.len() as i64);
    held.commit(&commit).await;
}

/// An entry shard of `n` items, of which `done` are finished.
pub async fn entry(b: &dyn Backend, queue: &dyn Queue, q: &QueueName, n: usize, done: &[u64]) -> Held {
    b.foreign_push(q, &items(0, n)).await;
    let mut held = Held::take(queue, q).await;
    held.peek().await;
    expand(&mut held, done).await;
    balanced(&queue.inspect(q).await.unwrap(), Role::Entry);
    held
}

/// Takes the shard anew, resyncs, checks the books, works off what is there, and checks the books again.
async fn resync(b: &dyn Backend, queue: &dyn Queue, q: &QueueName, left: &[Bytes]) -> (u64, i64) {
    let mut held = Held::take(queue, q).await;
    let taken = held.shard.resync().await.unwrap();
    balanced(&queue.inspect(q).await.unwrap(), Role::Entry);
    assert_eq!(held.shard.resync().await.unwrap(), 0, "nothing is left to do");
    held.shard.release().await.unwrap();
    let mut held = Held::take(queue, q).await;
    let seqs = held.peek().await;
    let bodies: Vec<Bytes> = seqs.iter().map(|s| held.window.body(*s).unwrap().clone()).collect();
    assert_eq!(bodies, left, "everything that is there is worked");
    if !seqs.is_empty() {
        expand(&mut held, &seqs).await;
    }
    let snapshot = queue.inspect(q).await.unwrap();
    balanced(&snapshot, Role::Entry);
    b.foreign_push(q, &items(90, 2)).await;
    let seqs = held.peek().await;
    assert_eq!(seqs.len(), 2);
    expand(&mut held, &seqs).await;
    balanced(&queue.inspect(q).await.unwrap(), Role::Entry);
    (taken, snapshot.counts.get("entry.dead.foreign"))
}

pub async fn an_untouched_shard_stays_as_it_is(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("untouched"));
    let mut held = entry(b, &*queue, &q, 10, &[0, 1, 2]).await;
    let before = queue.inspect(&q).await.unwrap();
    assert_eq!(held.shard.resync().await.unwrap(), 0);
    assert_eq!(queue.inspect(&q).await.unwrap(), before);
    drop(held);
    assert_eq!(resync(b, &*queue, &q, &items(3, 7)).await, (0, 0));
}

pub async fn items_that_were_popped(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("popped"));
    let mut held = entry(b, &*queue, &q, 10, &[0, 1]).await;
    for _ in 0..3 {
        b.foreign_pop(&q).await;
    }
    held.window.finish(2);
    let late = Commit { advance: held.window.advance().into_iter().collect(), ..Commit::default() };
    assert!(matches!(held.shard.commit(&late).await, Err(Error::Foreign { .. })));
    drop(held);
    assert_eq!(resync(b, &*queue, &q, &items(5, 5)).await, (3, 3));
}

pub async fn items_that_were_popped_in_front_of_finished_ones(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("behind"));
    // 0 and 1 left; 3, 6 and 7 are finished behind 2.
    drop(entry(b, &*queue, &q, 10, &[0, 1, 3, 6, 7]).await);
    for _ in 0..2 {
        b.foreign_pop(&q).await;
    }
    // 2 and 3 were taken, 6 and 7 are worked again: set off against each other.
    assert_eq!(resync(b, &*queue, &q, &items(4, 6)).await, (2, 0));
}

pub async fn a_list_that_was_deleted(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("deleted"));
    drop(entry(b, &*queue, &q, 10, &[0, 4]).await);
    b.foreign_delete(&q, &Log::MAIN).await;
    assert_eq!(resync(b, &*queue, &q, &[]).await, (9, 8));
}

pub async fn an_item_that_was_pushed_to_the_front(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("unshift"));
    let mut held = entry(b, &*queue, &q, 4, &[0, 2]).await;
    let item = Bytes::from_static(b"in front");
    b.foreign_unshift(&q, &item).await;
    held.window.finish(1);
    let late = Commit { advance: held.window.advance().into_iter().collect(), ..Commit::default() };
    assert!(matches!(held.shard.commit(&late).await, Err(Error::Foreign { .. })));
    drop(held);
    let left = [vec![item], items(1, 3)].concat();
    assert_eq!(resync(b, &*queue, &q, &left).await, (0, 0), "what was finished is worked again");
}

fn page(n: usize) -> Bytes {
    let target = |i| Target::new(format!("{i}"), format!("token-{i}"));
    Notification {
        id: "m".into(),
        app: "higo".into(),
        targets: (0..n).map(target).collect(),
        ..Notification::default()
    }
    .encode()
}

fn envelope(body: Bytes) -> Bytes {
    Envelope { id: "m".into(), body: body.to_vec(), ..Envelope::default() }.encode()
}

pub async fn retries_that_were_deleted(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("retries"));
    b.foreign_push(&q, &items(0, 5)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    for seq in &seqs[..4] {
        held.window.finish(*seq);
    }
    // Two are filed in a list, two are delayed; one letter besides.
    let file = Append {
        to: Destination::Own(Log::FANOUT),
        items: vec![envelope(items(0, 1)[0].clone()), envelope(items(1, 1)[0].clone())],
        high_water: 0,
        counts: Default::default(),
    };
    let mut commit = Commit {
        advance: held.window.advance().into_iter().collect(),
        append: vec![file],
        bury: items(0, 1),
        ..Commit::default()
    };
    commit.counts.add("items.buried", 1);
    for seq in 2..4 {
        commit.delay.push(Delayed { due: 9, body: envelope(items(seq, 1)[0].clone()) });
    }
    for field in ["items.done", "items.filed", "entry.filed"] {
        commit.counts.add(field, 4);
    }
    held.commit(&commit).await;
    balanced(&queue.inspect(&q).await.unwrap(), Role::Entry);
    b.foreign_delete(&q, &Log::FANOUT).await;
    assert!(balance(&queue.inspect(&q).await.unwrap(), Role::Entry).iter().any(|l| !l.balanced));
    drop(held);
    assert_eq!(resync(b, &*queue, &q, &items(4, 1)).await, (0, 2));
    let snapshot = queue.inspect(&q).await.unwrap();
    assert_eq!((snapshot.counts.get("items.returned"), snapshot.delayed), (2, 2));
}

pub async fn pages_that_were_popped(b: &dyn Backend) {
    let (queue, from, q) = (b.queue(LONG), fresh("from"), fresh("pages"));
    let mut source = Held::take(&*queue, &from).await;
    let hand = Append {
        to: Destination::Queue(q.clone()),
        items: (1..=6).map(|i| page(i * 10)).collect(),
        high_water: 0,
        counts: [("send.in".to_owned(), 210), ("send.items".to_owned(), 6)].into_iter().collect(),
    };
    source.commit(&Commit { append: vec![hand], ..Commit::default() }).await;
    // One more from a producer of its own.
    b.foreign_push(&q, &items(0, 1)).await;
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.peek().await.len(), 7);
    held.window.finish(0);
    held.window.finish(3);
    let mut commit = Commit { advance: held.window.advance().into_iter().collect(), ..Commit::default() };
    for (field, n) in [("items.done", 2), ("send.taken", 50), ("send.delivered", 50)] {
        commit.counts.add(field, n);
    }
    held.commit(&commit).await;
    balanced(&queue.inspect(&q).await.unwrap(), Role::Delivery);
    b.foreign_pop(&q).await;
    b.foreign_pop(&q).await;
    drop(held);
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.resync().await.unwrap(), 2);
    let snapshot = queue.inspect(&q).await.unwrap();
    balanced(&snapshot, Role::Delivery);
    // Pages of 20 and 30 are gone, the one of 40 is sent again: 10 is the difference.
    assert_eq!(snapshot.counts.get("send.dead.foreign"), 10);
    let send = balance(&snapshot, Role::Delivery).pop().unwrap();
    assert_eq!((send.came_in, send.waiting), (211, 40 + 50 + 60 + 1));
    held.shard.release().await.unwrap();
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    assert_eq!(seqs.len(), 4);
    for seq in seqs {
        held.window.finish(seq);
    }
    let mut commit = Commit { advance: held.window.advance().into_iter().collect(), ..Commit::default() };
    for (field, n) in [("items.done", 4), ("send.taken", 151), ("send.delivered", 151)] {
        commit.counts.add(field, n);
    }
    held.commit(&commit).await;
    balanced(&queue.inspect(&q).await.unwrap(), Role::Delivery);
}

pub async fn a_resync_of_a_lost_lease_is_refused(b: &dyn Backend) {
    let short = std::time::Duration::from_millis(100);
    let (one, two, q) = (b.queue(short), b.queue(LONG), fresh("late_resync"));
    let mut old = entry(b, &*one, &q, 4, &[0]).await;
    tokio::time::sleep(short * 2).await;
    let held = Held::take(&*two, &q).await;
    b.foreign_pop(&q).await;
    let before = two.inspect(&q).await.unwrap();
    assert!(matches!(old.shard.resync().await, Err(Error::Fenced(_))));
    assert!(matches!(old.shard.marks(&["a"]).await, Err(Error::Fenced(_))));
    assert_eq!(two.inspect(&q).await.unwrap(), before);
    drop(held);
}
