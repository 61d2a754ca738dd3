//! What waits for its time: quiet hours, `send_at`, and what is taken back meanwhile.

use std::{collections::BTreeSet, time::Duration};

use homing_core::queue::{Queue as _, QueueName};
use homing_queue::redis::{Options, RedisQueue};
use redis::AsyncCommands as _;
use serde_json::{Value, json};

use crate::{
    edges::{ENTRY, PATIENCE, balanced, dead, event, exactly, fate, key, length, told, trace, waiting},
    support::{Company, Fate, World, until},
};

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

/// A time of day in UTC, so many minutes from now.
fn time_of_day(minutes: i64) -> String {
    let minute = (now() / 60_000 + minutes).rem_euclid(1_440);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_back_until_they_end_and_facts_are_fresh_then() {
    // It is the middle of the night, whenever this runs.
    let world = World::start(&format!(
        "[lane.system]\nrules = ['login', 'online', 'account', 'dnd', 'quiet']\nprofile = 'night'\ntime_zone = 'UTC'\n\
         release = '0s'\nquiet = {{ from = '{}', to = '{}' }}\n\
         [lookup.night]\nstore = 'account_db'\ntable = 't_night'\nid = 'account_id'\n\
         columns = {{ quiet_from = 'quiet_from', quiet_to = 'quiet_to', time_zone = 'time_zone' }}\n",
        time_of_day(-60),
        time_of_day(60),
    ))
    .await;
    let users: Vec<u64> = told().take(5).collect();
    let [asleep, dozing, exempt, abroad, brief] = users[..] else { panic!("{users:?}") };
    let refuses = (1000..3000).find(|u| Company::fate(*u) == Fate::DoNotDisturb).unwrap();
    // Equal ends: never quiet. And somewhere it is noon.
    world.sql(&format!(
        "CREATE TABLE t_night (account_id BIGINT UNSIGNED PRIMARY KEY, quiet_from VARCHAR(5), quiet_to VARCHAR(5), \
         time_zone VARCHAR(40)); INSERT INTO t_night VALUES ({exempt}, '08:00', '08:00', NULL), \
         ({abroad}, NULL, NULL, 'Etc/GMT-12')"
    ));
    let daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let mut items: Vec<Vec<u8>> =
        [asleep, dozing, exempt, abroad, refuses].map(|u| event(&format!("q-{u}"), u, Value::Null)).into();
    // What would end before the night does is skipped.
    items.push(event("brief", brief, json!({"expires_in": 600})));
    world.rpush(ENTRY, &items).await;
    until("all were judged", async || length(&world, ENTRY).await == 0).await;
    let awake: BTreeSet<(String, String)> = [exempt, abroad].map(|u| (format!("q-{u}"), Company::token(u))).into();
    until("the others are told", async || world.stats().await["deliveries"] == 2).await;
    exactly(&world, &awake).await;
    let ledger = world.ledger();
    balanced(&ledger);
    assert_eq!((fate(&ledger, "rules", "deferred"), waiting(&ledger, "own lists")), (2, 2), "{ledger:#}");
    assert_eq!((fate(&ledger, "rules", "skipped.quiet"), fate(&ledger, "rules", "skipped.dnd")), (1, 1), "{ledger:#}");
    let deferred = trace(&world, &format!("q-{asleep}")).pop().unwrap();
    assert_eq!((&deferred["stage"], &deferred["fate"]), (&json!("rules"), &json!("deferred")), "{deferred:#}");
    let until_when = deferred["until"].as_i64().unwrap();
    assert!((now() + 3_400_000..=now() + 3_660_000).contains(&until_when), "{deferred:#}");
    let (code, text) = world.homing(&["explain", "--user", &asleep.to_string(), "--lane", "system"]);
    assert!(code == 0 && text.contains("not now: the rule quiet defers until"), "{text}");
    let (code, text) = world.homing(&["explain", "--user", &exempt.to_string(), "--lane", "system"]);
    assert!(code == 0 && text.contains("told on 1 device"), "{text}");
    println!("quiet hours: deferred 2 of 6 for an hour, told 2, skipped 2; ledger balanced");

    // The hour is over for one of them: his profile says so, and the distributor looks again. The other sleeps on.
    let [distributor, sender] = daemons;
    assert!(distributor.stop().await.success());
    world.sql(&format!("INSERT INTO t_night VALUES ({asleep}, '08:00', '08:00', NULL)"));
    let (mut redis, delayed) = (world.redis().await, key(ENTRY, "delayed"));
    let members: Vec<Vec<u8>> = redis.zrange(&delayed, 0, -1).await.unwrap();
    assert_eq!(members.len(), 2);
    for member in &members {
        redis.zadd::<_, _, _, ()>(&delayed, member, now() - 1).await.unwrap();
    }
    let distributor = world.daemon("distributor").await;
    let mut expected = awake;
    expected.insert((format!("q-{asleep}"), Company::token(asleep)));
    until("he is told", async || world.stats().await["deliveries"] == 3).await;
    exactly(&world, &expected).await;
    until("the other waits again", async || redis.zcard::<_, u64>(&delayed).await.unwrap() == 1).await;
    let ledger = world.ledger();
    balanced(&ledger);
    assert_eq!((fate(&ledger, "rules", "deferred"), waiting(&ledger, "own lists")), (3, 1), "{ledger:#}");
    assert!(distributor.stop().await.success() && sender.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_before_its_time_is_never_sent() {
    let world = World::start("").await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let user = told().next().unwrap();
    let at = now() + 2_000;
    let text = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let items = ["kept", "taken-back"].map(|id| event(id, user, json!({"send_at": text})));
    world.rpush(ENTRY, &items).await;
    let delayed = key(ENTRY, "delayed");
    until("both wait", async || world.redis().await.zcard::<_, u64>(&delayed).await.unwrap() == 2).await;
    let queue = RedisQueue::new(&world.redis_url, Options::default()).unwrap();
    queue.cancel(&QueueName::new(ENTRY), "taken-back", now(), now() + 3_600_000).await.unwrap();
    balanced(&world.settled(&[("system", 2)], PATIENCE).await);
    exactly(&world, &[("kept".to_owned(), Company::token(user))].into()).await;
    let delivery = world.deliveries().await.deliveries.pop().unwrap();
    let late = delivery["received_at_ms"].as_i64().unwrap() - at;
    assert!(late >= 0, "{late} ms");
    let records = trace(&world, "taken-back");
    assert_eq!(records.last().unwrap()["fate"], "cancelled", "{records:#?}");
    assert_eq!(fate(&world.ledger(), "entry", "cancelled"), 1);
    assert!(dead(&world, ENTRY).await.is_empty());
    println!("send_at: {late} ms late; cancelled: never sent");
}

/// Retries: what was taken back while it waited for another try is not tried again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_while_it_waits_for_another_try_is_not_tried_again() {
    let world = World::start("[sender]\nbackoff = '1500ms'\nbackoff_cap = '1500ms'\n").await;
    world.faults(json!({"answer": 15})).await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let users: Vec<u64> = told().take(2).collect();
    world.rpush(ENTRY, &[event("kept", users[0], Value::Null), event("taken-back", users[1], Value::Null)]).await;
    let delivery = "hg_xinge_queue";
    let delayed = key(delivery, "delayed");
    until("both wait", async || world.redis().await.zcard::<_, u64>(&delayed).await.unwrap() == 2).await;
    let queue = RedisQueue::new(&world.redis_url, Options::default()).unwrap();
    queue.cancel(&QueueName::new(delivery), "taken-back", now(), now() + 3_600_000).await.unwrap();
    world.faults(json!({})).await;
    let ledger = world.settled(&[("system", 2)], Duration::from_secs(20)).await;
    balanced(&ledger);
    let cancelled = fate(&ledger, "send", "cancelled");
    exactly(&world, &[("kept".to_owned(), Company::token(users[0]))].into()).await;
    assert_eq!(cancelled, 1, "{ledger:#}");
    assert_eq!(trace(&world, "taken-back").last().unwrap()["fate"], "cancelled");
}
