//! kill -9 and SIGSTOP: nothing is lost, repeats are counted, and an owner that overslept its lease commits nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    main_path::php_expected,
    support::{Chats, GROUP_CHATS, PRIVATE_CHATS, Process, World, wait_for_cursor},
};

/// Calls that a sender of one shard may have under way: `sender.concurrency` for each of the four apps and platforms.
const IN_FLIGHT: u64 = 4 * 64;

/// Most that one kill of a sender may repeat in a shard: the calls under way, and as many that were answered since the
/// last checkpoint (64 of them make one due; while it is committed, those under way may be answered too).
const BOUND: u64 = 2 * IN_FLIGHT;

/// The lanes, what their messages' ids begin with, and their delivery lists.
const LANES: [(&str, &str, &str, u64); 3] = [
    ("system", "php-", "hg_xinge_queue", 1),
    ("group", "group:", "higo_group_xinge_queue", 5),
    ("private", "private:", "higo_private_xinge_queue", 5),
];

/// What the simulator got, looked at again and again: deliveries by lane.
#[derive(Default)]
struct Watch {
    after: u64,
    deliveries: BTreeMap<&'static str, u64>,
    /// Per lane, deliveries that no checkpoint knew when their sender was killed: they are repeated.
    unsettled: BTreeMap<&'static str, u64>,
}

impl Watch {
    async fn look(&mut self, world: &World) {
        loop {
            let (found, last) = world.deliveries_after(self.after).await;
            if found.is_empty() {
                return;
            }
            for delivery in found {
                let id = delivery["id"].as_str().unwrap();
                let (lane, ..) = LANES.iter().find(|(_, prefix, ..)| id.starts_with(prefix)).unwrap();
                *self.deliveries.entry(lane).or_default() += 1;
            }
            self.after = last;
        }
    }

    /// After a sender was killed: how many of its deliveries its shards do not know of.
    async fn killed(&mut self, world: &World, lane: &'static str) -> u64 {
        // What it had written to its sockets arrives a little later.
        let mut before = u64::MAX;
        while before != self.after {
            before = self.after;
            tokio::time::sleep(Duration::from_millis(30)).await;
            self.look(world).await;
        }
        let mut redis = world.redis().await;
        let (_, _, list, shards) = LANES.iter().find(|(name, ..)| *name == lane).unwrap();
        let mut settled = 0;
        for n in 1..=*shards {
            let list = if *shards == 1 { (*list).to_owned() } else { format!("{list}{n}") };
            let mut ask = redis::cmd("HGET");
            ask.arg(format!("{{{list}}}:ledger")).arg("send.delivered");
            settled += ask.query_async::<Option<u64>>(&mut redis).await.unwrap().unwrap_or(0);
        }
        let known = settled + self.unsettled.get(lane).copied().unwrap_or(0);
        let unsettled = self.deliveries.get(lane).copied().unwrap_or(0) - known;
        *self.unsettled.entry(lane).or_default() += unsettled;
        unsettled
    }
}

/// A daemon that may be killed: what it is called, and its lane if it has only one.
type Seat = (&'static str, Option<&'static str>);

fn employ(world: &World, (daemon, lane): Seat) -> Process {
    let more: Vec<&str> = lane.iter().flat_map(|lane| ["--lane", *lane]).collect();
    world.spawn_with(daemon, &more, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_over_fifty_thousand_events_lose_nothing() {
    const EVENTS: u64 = 40_000;
    const CHATS: u64 = 5_000;
    let world = World::start("").await;
    world.faults(json!({"latency_ms": 80, "jitter_ms": 60})).await;
    for collection in [GROUP_CHATS, PRIVATE_CHATS] {
        let more = if collection == PRIVATE_CHATS { &["--late", "--private"][..] } else { &["--late"] };
        world.inserting(collection, 10, 10, more).finish();
    }
    let before = [Chats::stored(&world, "group").await, Chats::stored(&world, "private").await];
    // Scanners and distributors stand by for each other; each lane has a sender of its own.
    let seats: [Seat; 7] = [
        ("scanner", None),
        ("scanner", None),
        ("distributor", None),
        ("distributor", None),
        ("sender", Some("system")),
        ("sender", Some("group")),
        ("sender", Some("private")),
    ];
    let mut daemons: Vec<Option<Process>> = Vec::new();
    for seat in seats {
        daemons.push(Some(employ(&world, seat).ready().await));
    }
    wait_for_cursor(&world, "group").await;
    wait_for_cursor(&world, "private").await;
    let began = Instant::now();
    let mut producers = vec![world.php_pushing("rpush_events.php", "hg_message_queue", EVENTS, 0)];
    let (mut kills, mut watch) = (BTreeMap::<&str, u64>::new(), Watch::default());
    let mut per_kill: Vec<(&str, u64)> = Vec::new();
    let mut random = 88_172_645_463_325_252_u64;
    for kill in 0..30 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(50 + random % 300)).await;
        if kill == 3 {
            // Chats come while daemons die: their cursor must move with them or not at all.
            let slowly = ["--late", "--page", "50", "--pause", "50"];
            producers.push(world.inserting(GROUP_CHATS, CHATS, 500, &slowly));
            producers.push(world.inserting(PRIVATE_CHATS, CHATS, 1, &[&slowly[..], &["--private"]].concat()));
        }
        // Senders more often than the others together: they alone may repeat.
        let victims = [0, 1, 2, 3, 4, 4, 4, 5, 6];
        let victim = victims[usize::try_from(random >> 33).unwrap() % victims.len()];
        let (daemon, lane) = seats[victim];
        daemons[victim].take().unwrap().kill();
        *kills.entry(daemon).or_default() += 1;
        if let Some(lane) = lane {
            per_kill.push((lane, watch.killed(&world, lane).await));
        }
        daemons[victim] = Some(employ(&world, seats[victim]));
    }
    let busy = watch.deliveries.values().sum::<u64>();
    for producer in producers {
        producer.finish();
    }
    let lanes = [("system", EVENTS), ("group", CHATS), ("private", CHATS)];
    let ledger = world.settled(&lanes, Duration::from_secs(120)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let mut expected = php_expected(0..EVENTS);
    for (source, before) in ["group", "private"].into_iter().zip(&before) {
        let chats = Chats::stored(&world, source).await.since(before);
        assert_eq!(chats.len() as u64, CHATS);
        expected.extend(chats.expected());
    }
    assert!(busy < expected.len() as u64, "the kills came too late to show anything");
    let simulated = world.simulated().await;
    let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
    let lost = expected.difference(&arrived).count();
    let uninvited = arrived.difference(&expected).count();
    let unsettled: u64 = watch.unsettled.values().sum();
    println!(
        "kills {kills:?} over {} events in {:?}: told {}, lost {lost}, repeats {}; under way or not yet in a \
         checkpoint when a sender was killed {per_kill:?}, together {unsettled}, each at most {BOUND} a shard",
        EVENTS + 2 * CHATS,
        began.elapsed(),
        expected.len(),
        simulated.repeats(),
    );
    assert_eq!(lost, 0);
    assert_eq!(uninvited, 0);
    assert_eq!(kills.values().sum::<u64>(), 30);
    assert_eq!(simulated.repeats(), unsettled, "repeats follow from kills of senders and from nothing else");
    let shards = |lane| LANES.iter().find(|(name, ..)| *name == lane).unwrap().3;
    assert!(per_kill.iter().all(|(lane, n)| *n <= BOUND * shards(*lane)), "{per_kill:?}");
}

/// A worker that is stopped past its lease and continued finds it gone and commits nothing.
async fn overslept(daemon: &str, events: u64) {
    let world = World::start("[redis]\nlease = '2s'\nmargin = '500ms'\ntimeout = '500ms'\n").await;
    world.faults(json!({"latency_ms": 100})).await;
    let other = if daemon == "sender" { "distributor" } else { "sender" };
    let _other = world.daemon(other).await;
    let sleeper = world.daemon(daemon).await;
    let producer = world.php_pushing("rpush_events.php", "hg_message_queue", events, 0);
    // In the middle of its work.
    let mut redis = world.redis().await;
    let list = if daemon == "sender" { "hg_xinge_queue" } else { "hg_message_queue" };
    let since = Instant::now();
    loop {
        let field = ["{", list, "}:state"].concat();
        let head: Option<u64> = redis::cmd("HGET").arg(field).arg("head:main").query_async(&mut redis).await.unwrap();
        if head.is_some_and(|head| head > 100) {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{}", sleeper.log());
    }
    sleeper.signal("STOP");
    producer.finish();
    let left: u64 = redis::cmd("LLEN").arg(list).query_async(&mut redis).await.unwrap();
    assert!(left > 0, "it was stopped too late to show anything");
    let successor = world.spawn(daemon, &[]);
    let ledger = world.settled(&[("system", events)], Duration::from_secs(60)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let before = world.shard_state().await;
    sleeper.signal("CONT");
    let since = Instant::now();
    while !sleeper.log().contains("was lost to another owner") {
        assert!(since.elapsed() < Duration::from_secs(10), "{}", sleeper.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.shard_state().await, before, "the sleeper committed something");
    let simulated = world.simulated().await;
    let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
    assert_eq!(arrived, php_expected(0..events), "nothing is lost, and nobody else was told");
    println!("{daemon} stopped past its lease: commits after it 0, lost 0, repeats {}", simulated.repeats());
    let bound = if daemon == "sender" { 2 * IN_FLIGHT } else { 0 };
    assert!(simulated.repeats() <= bound, "{} repeats", simulated.repeats());
    assert!(successor.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_stopped_past_its_lease_commits_nothing() {
    overslept("sender", 5_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributor_stopped_past_its_lease_commits_nothing() {
    overslept("distributor", 20_000).await;
}
