//! Copies of publications, and due members.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use homing_core::live::{Once, Post, Posted, Stream};
use homing_stores::live::Ports;
use tokio::time::{sleep, timeout};

use crate::support::{World, both, now, post, unread, until, user};

both! {
    equal_publications_are_as_many_messages_as_were_published;
    a_node_that_dies_changes_nothing;
    a_repeated_call_counts_no_copy_twice;
    copies_are_forgotten_after_their_window with |s| s.copy_window = Duration::from_millis(150);
    a_due_member_is_taken_once_by_racing_callers;
    callers_that_are_dropped_lose_no_member;
    a_member_that_is_not_due_stays;
}

/// The `n`-th copy of a publication that a node heard.
fn copy(hash: u64, node: &str, n: u32) -> Post {
    let once = Once::Copy { hash, node: node.into() };
    Post { once, ..post(&Stream::Everyone, &format!("{hash}-{node}-{n}")) }
}

async fn hears(ports: &Ports, node: &str, hash: u64, n: u32) -> Posted {
    ports.inbox.post(&[copy(hash, node, n)]).await.unwrap()[0]
}

async fn kept(ports: &Ports) -> usize {
    unread(ports, "42", &Stream::Everyone, 1_000).await.0.len()
}

async fn equal_publications_are_as_many_messages_as_were_published(world: World) {
    let names = ["a", "b", "c"];
    let nodes: Vec<_> = names.iter().map(|name| world.node(name)).collect();
    // Two publications, one of them said five times; every node hears all six, at its own pace.
    let tasks: Vec<_> = names
        .iter()
        .zip(&nodes)
        .map(|(name, ports)| {
            let (name, ports) = (*name, ports.clone());
            tokio::spawn(async move {
                let mut fresh = 0;
                for n in 1..=5 {
                    fresh += u32::from(hears(&ports, name, 77, n).await.fresh);
                }
                fresh + u32::from(hears(&ports, name, 78, 1).await.fresh)
            })
        })
        .collect();
    let mut fresh = 0;
    for task in tasks {
        fresh += task.await.unwrap();
    }
    assert_eq!((fresh, kept(&nodes[0]).await), (6, 6));
}

async fn a_node_that_dies_changes_nothing(world: World) {
    let ports = world.node("a");
    assert!(hears(&ports, "a", 1, 1).await.fresh);
    // `b` dies before it hears anything, `c` is late.
    assert!(hears(&ports, "a", 1, 2).await.fresh);
    let late = hears(&ports, "c", 1, 1).await;
    assert!(!late.fresh && late.at.offset == 1, "{late:?}");
    assert_eq!(hears(&ports, "c", 1, 2).await.at.offset, 2);
    // `a` dies, `c` goes on.
    assert!(hears(&ports, "c", 1, 3).await.fresh);
    assert_eq!(kept(&ports).await, 3);
}

async fn a_repeated_call_counts_no_copy_twice(world: World) {
    let ports = world.node("a");
    let heard = [copy(1, "a", 1), copy(1, "a", 2)];
    let first = ports.inbox.post(&heard).await.unwrap();
    assert!(first.iter().all(|posted| posted.fresh));
    let again = ports.inbox.post(&heard).await.unwrap();
    assert!(again.iter().zip(&first).all(|(again, first)| !again.fresh && again.at == first.at));
    // The node that came second repeats its call, too.
    for _ in 0..3 {
        assert!(!hears(&ports, "b", 1, 1).await.fresh);
    }
    assert!(!hears(&ports, "b", 1, 2).await.fresh);
    assert_eq!(kept(&ports).await, 2);
}

async fn copies_are_forgotten_after_their_window(world: World) {
    let ports = world.node("a");
    assert!(hears(&ports, "a", 1, 1).await.fresh);
    sleep(Duration::from_millis(300)).await;
    assert!(hears(&ports, "b", 1, 1).await.fresh, "it is another publication of the same bytes");
}

fn due(member: &str) -> Post {
    Post { once: Once::Due { member: Bytes::copy_from_slice(member.as_bytes()) }, ..post(&user("42"), member) }
}

async fn a_due_member_is_taken_once_by_racing_callers(world: World) {
    let nodes: Vec<_> = (0..5).map(|n| world.node(&format!("n{n}"))).collect();
    for n in 0..40 {
        nodes[0].schedule.put(&format!("m{n}"), format!("m{n}").as_bytes(), now() - 1_000).await.unwrap();
    }
    let tasks: Vec<_> = nodes
        .iter()
        .map(|ports| {
            let ports = ports.clone();
            tokio::spawn(async move {
                let mut fresh = Vec::new();
                loop {
                    let agenda = ports.schedule.look(7).await.unwrap();
                    if agenda.due.is_empty() {
                        return fresh;
                    }
                    let posts: Vec<_> =
                        agenda.due.iter().map(|due_| due(std::str::from_utf8(&due_.member).unwrap())).collect();
                    let posted = ports.inbox.post(&posts).await.unwrap();
                    fresh.extend(posts.iter().zip(posted).filter(|(_, p)| p.fresh).map(|(post, _)| post.id.clone()));
                }
            })
        })
        .collect();
    let mut times: BTreeMap<_, u32> = BTreeMap::new();
    for task in tasks {
        for id in timeout(crate::support::SOON, task).await.unwrap().unwrap() {
            *times.entry(id).or_default() += 1;
        }
    }
    assert!(times.len() == 40 && times.values().all(|n| *n == 1), "{times:?}");
    assert_eq!(unread(&nodes[0], "42", &user("42"), 1_000).await.0.len(), 40);
    // Its id is free again: nothing is there to be cancelled.
    assert!(!nodes[0].schedule.cancel("m7").await.unwrap());
}

async fn callers_that_are_dropped_lose_no_member(world: World) {
    let ports = world.node("a");
    for n in 0..50 {
        ports.schedule.put(&format!("m{n}"), format!("m{n}").as_bytes(), now() - 1).await.unwrap();
    }
    for n in 0..50 {
        let posts = [due(&format!("m{n}"))];
        // Dropped at some moment of its way.
        let call = ports.inbox.post(&posts);
        drop(timeout(Duration::from_micros(n * 20), call).await);
    }
    // Whatever happened to each of them, it is in one place: stored, or still due.
    until(|| async {
        let waiting = ports.schedule.look(100).await.unwrap().due.len();
        waiting + unread(&ports, "42", &user("42"), 1_000).await.0.len() == 50
    })
    .await;
    let left = ports.schedule.look(100).await.unwrap().due;
    let posts: Vec<_> = left.iter().map(|left| due(std::str::from_utf8(&left.member).unwrap())).collect();
    ports.inbox.post(&posts).await.unwrap();
    let mut ids = unread(&ports, "42", &user("42"), 1_000).await.0;
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

async fn a_member_that_is_not_due_stays(world: World) {
    let ports = world.node("a");
    ports.schedule.put("later", b"later", now() + 60_000).await.unwrap();
    assert!(!ports.inbox.post(&[due("later"), due("nothing")]).await.unwrap().iter().any(|posted| posted.fresh));
    assert_eq!(unread(&ports, "42", &user("42"), 10).await.0.len(), 0);
    assert!(ports.schedule.cancel("later").await.unwrap());
}
