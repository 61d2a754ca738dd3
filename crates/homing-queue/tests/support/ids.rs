//! More of the contract: ids, marks, the fan-out list, many queues at once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::{
    queue::{Append, Commit, Destination, Error, Log, LogState, Mark, NewItem, QueueName, REMEMBERED},
    window::Window,
};

use super::support::{ALL, Backend, Held, LONG, fresh, items, plain};

fn named(ids: &[&str]) -> Vec<NewItem> {
    ids.iter().map(|id| NewItem { id: Some((*id).to_owned()), body: Bytes::from(format!("body of {id}")) }).collect()
}

pub async fn an_id_is_accepted_once(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("once"));
    assert_eq!(queue.append(&q, &[], 0, 1_000).await.unwrap(), [] as [bool; 0]);
    assert_eq!(queue.append(&q, &named(&["a", "b", "a"]), 0, 1_000).await.unwrap(), [true, true, false]);
    let mut mixed = named(&["b", "c"]);
    mixed.extend(plain(&items(0, 2)));
    assert_eq!(queue.append(&q, &mixed, 0, 2_000).await.unwrap(), [false, true, true, true]);
    assert_eq!(queue.append(&q, &plain(&items(0, 1)), 10, 2_000).await.unwrap(), [true], "no id, no memory");
    let expected: [&[u8]; 6] = [b"body of a", b"body of b", b"body of c", b"item 0", b"item 1", b"item 0"];
    assert_eq!(b.contents(&q).await, expected);
    let other = fresh("other");
    assert_eq!(queue.append(&other, &named(&["a"]), 0, 2_000).await.unwrap(), [true], "each queue for itself");
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.peek().await, [0, 1, 2, 3, 4, 5]);
}

pub async fn ids_are_forgotten_after_an_hour(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("hour"));
    let start = 1_700_000_000_000;
    assert_eq!(queue.append(&q, &named(&["a"]), 0, start).await.unwrap(), [true]);
    assert_eq!(queue.append(&q, &named(&["a"]), 0, start + REMEMBERED).await.unwrap(), [false]);
    assert_eq!(queue.append(&q, &named(&["a"]), 0, start + REMEMBERED + 1).await.unwrap(), [true]);
    assert_eq!(queue.append(&q, &named(&["a"]), 0, start + REMEMBERED + 2).await.unwrap(), [false]);
}

pub async fn an_append_over_the_bound_is_refused_whole(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("bound"));
    queue.append(&q, &named(&["a", "b", "c"]), 4, 1_000).await.unwrap();
    let refused = queue.append(&q, &named(&["d", "e"]), 4, 1_000).await;
    assert!(matches!(&refused, Err(Error::Full(full)) if *full == q), "{refused:?}");
    let refused = queue.append(&q, &plain(&items(0, 2)), 4, 1_000).await;
    assert!(matches!(&refused, Err(Error::Full(full)) if *full == q), "{refused:?}");
    assert_eq!(b.contents(&q).await.len(), 3);
    assert_eq!(queue.append(&q, &named(&["a", "d", "b"]), 4, 1_000).await.unwrap(), [false, true, false]);
    assert_eq!(
        queue.append(&q, &named(&["a", "d", "b"]), 4, 1_000).await.unwrap(),
        [false; 3],
        "full, and nothing new"
    );
    b.foreign_pop(&q).await;
    b.foreign_pop(&q).await;
    assert_eq!(queue.append(&q, &named(&["e"]), 4, 1_000).await.unwrap(), [true], "a refused id is not remembered");
}

pub async fn appends_from_many_tasks_keep_the_bound(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("tasks"));
    let offer = |task: usize| {
        let (queue, q) = (Arc::clone(&queue), q.clone());
        tokio::spawn(async move {
            let mut accepted = 0;
            for round in 0..20 {
                // The same ids from two tasks each.
                let ids: Vec<String> = (0..10).map(|i| format!("{}-{round}-{i}", task / 2)).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                match queue.append(&q, &named(&ids), 1_005, 1_000).await {
                    Ok(new) => accepted += new.iter().filter(|n| **n).count(),
                    Err(Error::Full(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            accepted
        })
    };
    let mut accepted = 0;
    for task in futures_util::future::join_all((0..16).map(offer)).await {
        accepted += task.unwrap();
    }
    let mut there = b.contents(&q).await;
    assert_eq!((accepted, there.len()), (1_000, 1_000), "tens fit up to there");
    there.sort();
    there.dedup();
    assert_eq!(there.len(), 1_000, "no id twice");
}

pub async fn seen_and_cancelled_ids_are_marked(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("marks"));
    let mut held = Held::take(&*queue, &q).await;
    let mark = |seen, cancelled| Mark { seen, cancelled };
    assert_eq!(held.shard.marks(&[]).await.unwrap(), []);
    assert_eq!(held.shard.marks(&["a", "b"]).await.unwrap(), [mark(false, false); 2]);
    let seen = vec![("a".to_owned(), 100), ("b".to_owned(), 200), ("c".to_owned(), 300)];
    held.commit(&Commit { seen, ..Commit::default() }).await;
    queue.cancel(&q, "b", 1_000, 2_000).await.unwrap();
    queue.cancel(&q, "b", 1_000, 2_000).await.unwrap();
    queue.cancel(&q, "x", 1_000, 9_000).await.unwrap();
    queue.cancel(&q, "late", 1_000, 1_000).await.unwrap();
    assert_eq!(
        held.shard.marks(&["x", "a", "b", "none", "late"]).await.unwrap(),
        [mark(false, true), mark(true, false), mark(true, true), mark(false, false), mark(false, false)]
    );
    queue.cancel(&q, "y", 5_000, 9_000).await.unwrap();
    let forget = Commit { forget_seen: Some(200), seen: vec![("d".to_owned(), 400)], ..Commit::default() };
    held.commit(&forget).await;
    assert_eq!(
        held.shard.marks(&["a", "b", "c", "d", "x", "y"]).await.unwrap(),
        [
            mark(false, false),
            mark(true, false),
            mark(true, false),
            mark(true, false),
            mark(false, true),
            mark(false, true)
        ],
        "what is older is forgotten, what has expired is gone"
    );
    held.commit(&Commit { forget_seen: Some(1_000), ..Commit::default() }).await;
    assert_eq!(held.shard.marks(&["c", "d"]).await.unwrap(), [mark(false, false); 2]);
    assert_eq!(held.shard.marks(&["x"]).await.unwrap(), [mark(false, true)]);
    assert_eq!(
        queue.marks(&q, &["x", "c"]).await.unwrap(),
        [mark(false, true), mark(false, false)],
        "without the lease"
    );
    assert_eq!(queue.marks(&fresh("unknown"), &["x"]).await.unwrap(), [mark(false, false)]);
    held.shard.release().await.unwrap();
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.marks(&["y"]).await.unwrap(), [mark(false, true)], "a successor knows it");
}

pub async fn a_thousand_ids_in_one_call(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("thousand"));
    let ids: Vec<String> = (0..5_000).map(|i| format!("id-{i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(queue.append(&q, &named(&ids[..1_000]), 1_000, 1_000).await.unwrap(), [true; 1_000]);
    assert_eq!(queue.append(&q, &named(&ids[..1_000]), 1_000, 1_000).await.unwrap(), [false; 1_000]);
    let mut held = Held::take(&*queue, &q).await;
    let seen = ids.iter().map(|id| ((*id).to_owned(), 7)).collect();
    held.commit(&Commit { seen, ..Commit::default() }).await;
    let marks = held.shard.marks(&ids).await.unwrap();
    assert!(marks.len() == 5_000 && marks.iter().all(|m| m.seen && !m.cancelled));
    assert_eq!(held.peek().await.len(), 1_000);
}

pub async fn the_fan_out_list_is_a_log_and_is_suspected_too(b: &dyn Backend) {
    let q = fresh("fanout");
    let short = Duration::from_millis(150);
    let queue = b.queue(short);
    let mut held = Held::take(&*queue, &q).await;
    let park =
        Append { to: Destination::Own(Log::FANOUT), items: items(0, 2), high_water: 0, counts: Default::default() };
    held.commit(&Commit { append: vec![park], ..Commit::default() }).await;
    held.shard.release().await.unwrap();

    let mut held = Held::take(&*queue, &q).await;
    assert!(held.shard.opened().logs.iter().any(|l| l.log == Log::FANOUT));
    assert_eq!(held.shard.peek(&Log::FANOUT, 0, ALL).await.unwrap().len(), 2);
    tokio::time::sleep(short * 2).await;
    let queue = b.queue(LONG);
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.opened().suspicion, 1, "its owner died over a large audience");
    // A chunk: the item in front makes way for the same with its cursor moved, at the end.
    let mut window = Window::open(&LogState { log: Log::FANOUT, head: 0, checkpoint: Bytes::new() });
    window.accept(held.shard.peek(&Log::FANOUT, 0, ALL).await.unwrap());
    window.finish(0);
    let rest =
        Append { to: Destination::Own(Log::FANOUT), items: items(2, 1), high_water: 0, counts: Default::default() };
    let chunk = Commit { advance: window.advance().into_iter().collect(), append: vec![rest], ..Commit::default() };
    held.commit(&chunk).await;
    let left = held.shard.peek(&Log::FANOUT, 1, ALL).await.unwrap();
    assert_eq!(
        left.iter().map(|i| (i.seq, i.body.clone())).collect::<Vec<_>>(),
        [(1, items(1, 1)[0].clone()), (2, items(2, 1)[0].clone())]
    );
}

/// Sixteen chains of two hops in tasks of their own, each with its own items.
pub async fn many_queues_at_once(b: &dyn Backend) {
    let queue = b.queue(LONG);
    let chain = |n: usize| {
        let queue = Arc::clone(&queue);
        let (first, second, last) = (fresh("many_a"), fresh("many_b"), fresh("many_c"));
        let out = last.clone();
        let work = tokio::spawn(async move {
            let offered = items(n * 1_000, 300);
            let feed = async {
                for some in offered.chunks(37) {
                    queue.append(&first, &plain(some), 0, 0).await.unwrap();
                }
            };
            let hop = async |from: &QueueName, to: &QueueName| {
                let mut held = Held::take(&*queue, from).await;
                let mut done = 0;
                while done < 300 {
                    let seqs = held.peek().await;
                    if seqs.is_empty() {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    done += seqs.len();
                    let commit = held.hand_over(&seqs, to);
                    held.commit(&commit).await;
                }
            };
            tokio::join!(feed, hop(&first, &second), hop(&second, &last));
        });
        (work, n, out)
    };
    for (work, n, last) in (0..16).map(chain).collect::<Vec<_>>() {
        work.await.unwrap();
        assert_eq!(b.contents(&last).await, items(n * 1_000, 300), "each once, in order");
    }
}

/// A worker in a task of its own sleeps until it is woken; items come from another handle, and from another shard.
pub async fn wake_ups_cross_tasks(b: &dyn Backend) {
    let (queue, q, out) = (b.queue(LONG), fresh("sleeper"), fresh("out"));
    let mut held = Held::take(&*queue, &q).await;
    let to = out.clone();
    let worker = tokio::spawn(async move {
        let wake = held.shard.wake();
        let mut done = 0;
        while done < 20 {
            let seqs = held.peek().await;
            if seqs.is_empty() {
                tokio::time::timeout(Duration::from_secs(20), wake.notified()).await.expect("woken");
                continue;
            }
            done += seqs.len();
            let commit = held.hand_over(&seqs, &to);
            held.commit(&commit).await;
        }
    });
    let other = b.queue(LONG);
    for i in 0..20 {
        let handle = if i % 2 == 0 { &queue } else { &other };
        handle.append(&q, &plain(&items(i, 1)), 0, 0).await.unwrap();
        if i % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    worker.await.unwrap();
    assert_eq!(b.contents(&out).await, items(0, 20));
}
