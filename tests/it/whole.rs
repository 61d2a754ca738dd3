//! The whole of the main job, as a company would run it: HIGO's own configuration and names, its producers in PHP and
//! Python, `scripts/homing`, and a restart in mid-flow.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    main_path::{php_expected, php_user},
    support::{Chats, Company, Fate, GROUP_CHATS, Installation, PRIVATE_CHATS, World, until, wait_for_cursor},
};

const EVENTS: u64 = 10_000;
/// Group chats, and as many private ones.
const CHATS: u64 = 5_000;

/// The codes of `config/push_types.toml`, but for the two that only chats have.
fn codes() -> BTreeSet<i64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/push_types.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let codes: BTreeSet<i64> = text.lines().filter_map(|line| line.strip_prefix("code = ")?.parse().ok()).collect();
    assert!(codes.contains(&2), "{codes:?}");
    // From 900 on they are Homing's own: no shop pushes them.
    codes.into_iter().filter(|code| *code != 2 && *code < 900).collect()
}

/// What a lane's ledger must say of its rules, by the users' numbers.
#[track_caller]
fn check_rules(ledger: &Value, lane: &str, fates: &BTreeMap<Fate, u64>) {
    let lines = &ledger["lanes"][lane];
    let of = |fate: Fate| fates.get(&fate).copied().unwrap_or(0);
    for (fate, field) in [
        (Fate::Author, "skipped.author"),
        (Fate::NotLoggedIn, "skipped.login"),
        (Fate::Online, "skipped.online"),
        (Fate::NoAccount, "skipped.account"),
        (Fate::DoNotDisturb, "skipped.dnd"),
    ] {
        assert_eq!(lines["rules"]["fates"][field].as_u64().unwrap_or(0), of(fate), "{lane} {field}: {lines:#}");
    }
    assert_eq!(lines["send"]["fates"]["no_device"].as_u64().unwrap_or(0), of(Fate::NoDevice), "{lane}: {lines:#}");
    assert_eq!(lines["send"]["fates"]["delivered"], of(Fate::Told), "{lane}: {lines:#}");
    assert_eq!(lines["rules"]["in"], fates.values().sum::<u64>(), "{lane}: {lines:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn higo_runs_on_homing_and_a_restart_in_mid_flow_changes_nothing() {
    let world = World::start("").await;
    world.faults(json!({"latency_ms": 40})).await;
    // History, as late and as equal as all the rest: none of it is pushed.
    world.inserting(GROUP_CHATS, 200, 500, &["--late"]).finish();
    world.inserting(PRIVATE_CHATS, 200, 1, &["--late", "--private"]).finish();
    let before = [Chats::stored(&world, "group").await, Chats::stored(&world, "private").await];

    let installation = Installation::new(&world);
    let (code, text) = installation.run("start");
    assert_eq!(code, 0, "{text}");
    let first = installation.pids();
    wait_for_cursor(&world, "group").await;
    wait_for_cursor(&world, "private").await;
    let began = Instant::now();
    // Half of the chats at once, the rest page by page while daemons stop and start.
    let events = world.php_pushing("rpush_events.php", "hg_message_queue", EVENTS, 0);
    let half = (CHATS / 2).to_string();
    world.inserting(GROUP_CHATS, CHATS / 2, 500, &["--late"]).finish();
    world.inserting(PRIVATE_CHATS, CHATS / 2, 1, &["--late", "--private"]).finish();
    let slowly = ["--first", &half, "--late", "--page", "100", "--pause", "250"];
    let mut rest = [
        world.inserting(GROUP_CHATS, CHATS / 2, 500, &slowly),
        world.inserting(PRIVATE_CHATS, CHATS / 2, 1, &[&slowly[..], &["--private"]].concat()),
    ];
    let arrived = async || world.stats().await["deliveries"].as_u64().unwrap();
    until("messages flow", async || arrived().await > 1_000).await;
    let (code, text) = installation.run("restart");
    assert_eq!(code, 0, "{text}");
    let second = installation.pids();
    assert!(first.len() == 3 && first.keys().eq(second.keys()), "{first:?} {second:?}");
    assert!(first.values().all(|pid| !second.values().any(|other| other == pid)), "{first:?} {second:?}");
    let (at_restart, slow) = (arrived().await, rest.iter_mut().filter_map(|p| p.is_running().then_some(())).count());
    events.finish();
    for producer in rest {
        producer.finish();
    }

    let lanes = [("system", EVENTS), ("group", CHATS), ("private", CHATS)];
    let ledger = world.settled(&lanes, Duration::from_secs(60)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let mut expected = php_expected(0..EVENTS);
    let mut fates = vec![("system", Company::count((0..EVENTS).map(|i| Company::fate(php_user(i)))))];
    for (source, before) in ["group", "private"].into_iter().zip(&before) {
        let chats = Chats::stored(&world, source).await.since(before);
        assert_eq!(chats.len() as u64, CHATS);
        expected.extend(chats.expected());
        fates.push((source, chats.fates()));
    }
    assert!(at_restart < expected.len() as u64 * 3 / 4 && slow > 0, "the restart came too late to show anything");
    for (lane, fates) in &fates {
        check_rules(&ledger, lane, fates);
    }
    let simulated = world.deliveries().await;
    let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
    let (lost, uninvited) = (expected.difference(&arrived).count(), arrived.difference(&expected).count());
    let skipped: u64 = fates.iter().flat_map(|(_, f)| f).filter(|(f, _)| **f != Fate::Told).map(|(_, n)| n).sum();
    println!(
        "events {EVENTS}, chats {}: told {}, not told {skipped}, lost {lost}, uninvited {uninvited}, repeats {}, ledger \
         balanced, {at_restart} delivered before the restart ended, all within {:?}",
        2 * CHATS,
        expected.len(),
        simulated.repeats(),
        began.elapsed(),
    );
    assert_eq!((lost, uninvited, simulated.repeats()), (0, 0, 0));

    // Every type came with its own texts, and the client gets its code.
    let code = |d: &Value| match &d["custom"]["push_type"] {
        Value::String(text) => text.parse::<i64>().unwrap(),
        number => number.as_i64().unwrap(),
    };
    let kinds: BTreeSet<i64> =
        simulated.deliveries.iter().filter(|d| d["id"].as_str().unwrap().starts_with("php-")).map(code).collect();
    assert_eq!(kinds, codes());
    let (code, text) = installation.run("stop");
    assert_eq!(code, 0, "{text}");
}
