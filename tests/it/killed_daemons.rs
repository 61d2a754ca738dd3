//! kill -9 and SIGSTOP: nothing is lost, repeats are counted, and an owner that overslept its lease commits nothing.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    main_path::{chat_ids, chats_expected, php_expected, wait_for_cursor},
    support::{Process, World},
};

/// Calls that a sender of one shard may have under way: `sender.concurrency` for each of the four apps and platforms.
const IN_FLIGHT: u64 = 4 * 64;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_over_twenty_thousand_events_lose_nothing() {
    let world = World::start("").await;
    world.faults(serde_json::json!({"latency_ms": 10, "jitter_ms": 10})).await;
    world.insert_chats(1, 1, 60);
    let names = ["scanner", "distributor", "sender"];
    let mut daemons: Vec<Option<Process>> = Vec::new();
    for name in names {
        daemons.push(Some(world.daemon(name).await));
    }
    wait_for_cursor(&world).await;
    let before: BTreeSet<String> = chat_ids(&world).await.into_iter().map(|(id, _)| id).collect();
    world.php_push("hg_message_queue", 15_000, 0);
    let (mut kills, mut kills_of_senders) = (0, 0);
    let mut random = 88_172_645_463_325_252_u64;
    while kills < 20 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(30 + random % 120)).await;
        if kills == 3 {
            // Chats come while daemons die: their cursor must move with them or not at all.
            world.insert_chats(5_000, 500, 0);
        }
        let victim = usize::try_from(random >> 33).unwrap() % names.len();
        daemons[victim].take().unwrap().kill();
        kills += 1;
        kills_of_senders += u64::from(names[victim] == "sender");
        daemons[victim] = Some(world.spawn(names[victim], &[]));
    }
    let ledger = world.settled(&[("system", 15_000), ("group", 5_000)], Duration::from_secs(120)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let mut expected = php_expected(0..15_000);
    expected.extend(chats_expected(&world, &before).await);
    let simulated = world.simulated().await;
    let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
    let lost = expected.difference(&arrived).count();
    let uninvited = arrived.difference(&expected).count();
    println!(
        "kills {kills} (senders {kills_of_senders}), events 20000, told {}, lost {lost}, repeats {} (at most {} in flight per kill)",
        expected.len(),
        simulated.repeats(),
        IN_FLIGHT,
    );
    assert_eq!(lost, 0);
    assert_eq!(uninvited, 0);
    // Under way, plus what was answered since the last checkpoint, in each of the six shards.
    assert!(simulated.repeats() <= kills_of_senders * 2 * IN_FLIGHT, "{} repeats", simulated.repeats());
}

/// A worker that is stopped past its lease and continued finds it gone and commits nothing.
async fn overslept(daemon: &str, events: u64) {
    let world = World::start("[redis]\nlease = '2s'\nmargin = '500ms'\ntimeout = '500ms'\n").await;
    world.faults(serde_json::json!({"latency_ms": 40})).await;
    let other = if daemon == "sender" { "distributor" } else { "sender" };
    let _other = world.daemon(other).await;
    let sleeper = world.daemon(daemon).await;
    world.php_push("hg_message_queue", events, 0);
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
    overslept("sender", 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributor_stopped_past_its_lease_commits_nothing() {
    overslept("distributor", 20_000).await;
}
