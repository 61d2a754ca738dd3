//! The main job on real input: events pushed by PHP, chats inserted by Python, facts from Redis and MariaDB.

use std::{collections::BTreeSet, time::Duration};

use crate::support::{Chats, Company, Fate, World, wait_for_cursor};

/// User of the PHP script's event `i`.
pub(crate) fn php_user(i: u64) -> u64 {
    1000 + i % 2000
}

/// What should arrive of the PHP script's events.
pub(crate) fn php_expected(range: std::ops::Range<u64>) -> BTreeSet<(String, String)> {
    range
        .filter(|i| Company::fate(php_user(*i)) == Fate::Told)
        .map(|i| (format!("php-{i}"), Company::token(php_user(i))))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_gets_exactly_what_the_rules_allow() {
    let world = World::start("").await;
    // History: the scanner begins behind it.
    world.insert_chats(20, 500, 60);
    let before = Chats::stored(&world, "group").await;
    assert_eq!(before.len(), 20);

    let (code, text) = world.homing(&["check"]);
    assert_eq!(code, 0, "{text}");
    let daemons = [world.daemon("scanner").await, world.daemon("distributor").await, world.daemon("sender").await];
    wait_for_cursor(&world, "group").await;
    world.php_push("hg_message_queue", 5_000, 0);
    world.insert_chats(5_000, 500, 0);

    let ledger = world.settled(&[("system", 5_000), ("group", 5_000)], Duration::from_secs(120)).await;
    let mut expected = php_expected(0..5_000);
    expected.extend(Chats::stored(&world, "group").await.since(&before).expected());
    let simulated = world.simulated().await;
    let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
    assert_eq!(arrived.difference(&expected).count(), 0, "nobody else was told");
    assert_eq!(expected.difference(&arrived).count(), 0, "everybody was told");
    assert_eq!(simulated.repeats(), 0);
    assert_eq!(ledger["balanced"], true, "{ledger:#}");

    // Every skip has the reason that the numbers say.
    let rules = &ledger["lanes"]["system"]["rules"]["fates"];
    let count = |fate: Fate| (0..5_000).filter(|i| Company::fate(php_user(*i)) == fate).count();
    assert_eq!(rules["skipped.login"], count(Fate::NotLoggedIn));
    assert_eq!(rules["skipped.online"], count(Fate::Online));
    assert_eq!(rules["skipped.account"], count(Fate::NoAccount));
    assert_eq!(rules["skipped.dnd"], count(Fate::DoNotDisturb));
    assert_eq!(ledger["lanes"]["system"]["send"]["fates"]["no_device"], count(Fate::NoDevice));
    println!("events 5000, chats 5000, told {}, repeats 0, lost 0, ledger balanced", expected.len());

    // A message's history, from intake to the provider.
    let (id, _) = expected.iter().find(|(id, _)| id.starts_with("group:")).unwrap();
    let (code, trace) = world.homing(&["trace", id]);
    assert_eq!(code, 0, "{trace}");
    for fate in ["received", "expanded", "queued", "delivered"] {
        assert!(trace.contains(fate), "{trace}");
    }
    for daemon in daemons {
        let (status, metrics) = world.get(&format!("{}/metrics", daemon.admin())).await;
        assert!(status == 200 && metrics.contains("homing_commits_total"), "{metrics}");
        assert_eq!(world.get(&format!("{}/readyz", daemon.admin())).await.0, 200);
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_msgpack_and_php_items_say_the_same() {
    let world = World::start("").await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let json = br#"{"id":"json-1","type":"GOODS_SENT","to":{"user":1002},"data":{"order_id":"A1"}}"#.to_vec();
    let msgpack = rmp_serde::to_vec_named(&serde_json::json!({
        "id": "msgpack-1", "type": 7, "to": {"users": ["1002", 1004]}, "data": {"order_id": "A1"},
    }))
    .unwrap();
    let php =
        br#"a:4:{s:2:"id";s:5:"php-x";s:4:"type";s:1:"7";s:2:"to";a:1:{s:4:"user";i:1002;}s:4:"data";a:0:{}}"#.to_vec();
    let anonymous = br#"{"type":7,"to":{"user":"1002"}}"#.to_vec();
    let broken = [
        b"not an item".to_vec(),
        b"a:1:{s:4:\"type\"".to_vec(),
        br#"{"type":7777,"to":{"user":"1002"}}"#.to_vec(),
        br#"{"type":7,"to":{}}"#.to_vec(),
    ];
    world.rpush("hg_message_queue", &[json, msgpack, php, anonymous]).await;
    world.rpush("hg_message_queue", &broken).await;
    let ledger = world.settled(&[("system", 8)], Duration::from_secs(30)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    assert_eq!(ledger["lanes"]["system"]["entry"]["fates"]["invalid"], 4);
    let arrived: Vec<String> = world.simulated().await.arrived.into_keys().map(|(id, _)| id).collect();
    assert_eq!(arrived.len(), 5, "{arrived:?}");
    assert!(arrived.iter().any(|id| id.starts_with("hg_message_queue:")), "an item without id gets one: {arrived:?}");

    // The dead list holds the bytes, the reason, and where it went wrong.
    let mut redis = world.redis().await;
    let dead: Vec<Vec<u8>> =
        redis::cmd("LRANGE").arg("{hg_message_queue}:dead").arg(0).arg(-1).query_async(&mut redis).await.unwrap();
    let letters: Vec<homing_core::wire::DeadLetter> =
        dead.iter().map(|d| homing_core::wire::DeadLetter::decode(d).unwrap()).collect();
    let error_of = |body: &[u8]| letters.iter().find(|l| l.body == body).map_or("", |l| &l.error);
    assert!(letters.len() == 4 && letters.iter().all(|l| l.queue == "hg_message_queue"));
    assert!(error_of(&broken[0]).contains("at byte 0"), "{}", error_of(&broken[0]));
    assert!(error_of(&broken[1]).contains("at byte"), "{}", error_of(&broken[1]));
    assert_eq!(error_of(&broken[2]), "type: 7777 is not in the catalogue of push types");
    assert_eq!(error_of(&broken[3]), "to: expected one of user, users, group, topic, tokens, all");
}
