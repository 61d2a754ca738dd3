//! Who works, and the server that may go away.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_stands_by_and_takes_over_at_once() {
    let world = World::start("").await;
    world.faults(json!({"latency_ms": 40})).await;
    let mut first = [world.daemon("distributor").await, world.daemon("sender").await];
    let second = [world.daemon("distributor").await, world.daemon("sender").await];
    let mut pushed = 0;
    for (i, queue) in [ENTRY, DELIVERY].into_iter().enumerate() {
        assert_eq!(owner(&world, queue).await, Some(first[i].pid()), "the second stands by");
        let before = arrived(&world).await;
        world.php_push(ENTRY, 3_000, pushed);
        pushed += 3_000;
        until("work goes on", async || arrived(&world).await > before + 100).await;
        first[i].signal("TERM");
        let since = Instant::now();
        until("the second owns it", async || owner(&world, queue).await == Some(second[i].pid())).await;
        println!("{queue}: the second took over {:?} after SIGTERM", since.elapsed());
        assert!(since.elapsed() < Duration::from_secs(3));
        assert!(first[i].ended().await.success());
    }
    balanced(&world.settled(&[("system", pushed)], PATIENCE).await);
    exactly(&world, &php_expected(0..pushed)).await;
}

/// Takes items off the front of a list until the daemon has noticed; answers them.
async fn steal(world: &World, list: &str, daemon: &Process) -> Vec<Vec<u8>> {
    let url = format!("{}/readyz", daemon.admin());
    let mut redis = world.redis().await;
    let mut stolen = Vec::new();
    let since = Instant::now();
    loop {
        let (status, why) = world.get(&url).await;
        if status == 503 {
            assert!(why.contains("foreign consumer") && why.contains(list), "{why}");
            println!("{list}: noticed after {} stolen items: {why}", stolen.len());
            return stolen;
        }
        assert!(since.elapsed() < PATIENCE, "it was not noticed:\n{}", daemon.log());
        stolen.extend(redis.lpop::<_, Option<Vec<u8>>>(list, None).await.unwrap());
    }
}

fn php_ids(items: &[Vec<u8>]) -> BTreeSet<String> {
    let id = |item: &Vec<u8>| {
        let text = String::from_utf8_lossy(item);
        text.split('"').find(|part| part.starts_with("php-")).unwrap().to_owned()
    };
    items.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_consumer_of_an_entry_queue_is_noticed_and_nothing_else_is_lost() {
    const N: u64 = 20_000;
    let world = World::start("").await;
    let _sender = world.daemon("sender").await;
    let mut distributor = world.daemon("distributor").await;
    world.php_push(ENTRY, N, 0);
    until("it works", async || length(&world, ENTRY).await < N).await;
    let stolen = php_ids(&steal(&world, ENTRY, &distributor).await);
    assert!(distributor.is_running() && !distributor.log().contains("panicked"), "{}", distributor.log());
    let left = length(&world, ENTRY).await;
    assert!(left > 0, "it came too late to show anything");
    assert_eq!(world.get(&format!("{}/healthz", distributor.admin())).await.0, 200);
    let state = world.shard_state().await[0].clone();
    until("what was handed over is sent", async || length(&world, DELIVERY).await == 0).await;
    assert_eq!(world.shard_state().await[0], state, "it stands still until somebody looked");
    assert!(distributor.stop().await.success());

    let _distributor = world.daemon("distributor").await;
    balanced(&world.settled(&[("system", N - stolen.len() as u64)], PATIENCE).await);
    let expected = php_expected(0..N).into_iter().filter(|(id, _)| !stolen.contains(id)).collect();
    exactly(&world, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_consumer_of_a_delivery_queue_is_noticed_and_shows_in_the_ledger() {
    const N: u64 = 6_000;
    let world = World::start("").await;
    let distributor = world.daemon("distributor").await;
    world.php_push(ENTRY, N, 0);
    let expected = php_expected(0..N);
    until("all is handed over", async || length(&world, DELIVERY).await == expected.len() as u64).await;
    // Answers come out of order, so that checkpoints note what is finished behind the head.
    world.faults(json!({"latency_ms": 20, "jitter_ms": 60})).await;
    let mut sender = world.daemon("sender").await;
    until("it works", async || length(&world, DELIVERY).await < expected.len() as u64).await;
    let stolen = steal(&world, DELIVERY, &sender).await;
    let stolen: BTreeSet<String> = stolen.iter().map(|item| Notification::decode(item).unwrap().id).collect();
    assert!(sender.is_running() && !sender.log().contains("panicked"), "{}", sender.log());
    assert!(length(&world, DELIVERY).await > 0, "it came too late to show anything");
    let ledger = world.ledger();
    assert_eq!(ledger["unbalanced"], json!([format!("{DELIVERY}: send")]), "{ledger:#}");
    let (in_hand, noticed) = (arrived(&world).await, world.simulated().await.arrived);
    assert!(sender.stop().await.success());

    let _sender = world.daemon("sender").await;
    until("the rest is sent", async || length(&world, DELIVERY).await == 0).await;
    let simulated = world.simulated().await;
    let arrived: Arrivals = simulated.arrived.keys().cloned().collect();
    assert_eq!(arrived.difference(&expected).count(), 0);
    let lost: Vec<_> = expected.difference(&arrived).filter(|(id, _)| !stolen.contains(id)).collect();
    assert_eq!(lost, Vec::<&(String, String)>::new(), "only what was stolen may be missing");
    println!(
        "{DELIVERY}: {in_hand} sent ({} different) when it was noticed, repeats {}",
        noticed.len(),
        simulated.repeats()
    );
    assert!(simulated.repeats() <= 2 * 4 * 64, "{} repeats", simulated.repeats());
    drop(distributor);
}

#[tokio::test(flavor = "multi_thread")]
async fn resync_after_a_foreign_consumer_makes_the_books_whole_and_work_goes_on() {
    const N: u64 = 6_000;
    let world = World::start("").await;
    let distributor = world.daemon("distributor").await;
    world.php_push(ENTRY, N, 0);
    let expected = php_expected(0..N);
    until("all is handed over", async || length(&world, DELIVERY).await == expected.len() as u64).await;
    world.faults(json!({"latency_ms": 20, "jitter_ms": 60})).await;
    let sender = world.daemon("sender").await;
    until("it works", async || length(&world, DELIVERY).await < expected.len() as u64).await;
    let stolen = steal(&world, DELIVERY, &sender).await;
    let stolen: BTreeSet<String> = stolen.iter().map(|item| Notification::decode(item).unwrap().id).collect();
    assert_eq!(world.ledger()["balanced"], false);
    // As long as somebody holds it nobody can say how it stands.
    let (code, text) = world.homing(&["queue", "resync", DELIVERY]);
    assert!(code != 0 && text.contains("is held by the worker"), "{text}");
    let (code, text) = world.homing(&["queue", "resync", "no_such_list"]);
    assert!(code != 0 && text.contains("no_such_list is no list of this configuration"), "{text}");
    assert!(sender.stop().await.success());
    let (code, text) = world.homing(&["queue", "resync", DELIVERY]);
    assert!(code == 0 && text.contains("behind Homing's back"), "{text}");
    println!("{} items stolen; {}", stolen.len(), text.trim());
    balanced(&world.ledger());

    let sender = world.daemon("sender").await;
    let ledger = world.settled(&[("system", N)], PATIENCE).await;
    balanced(&ledger);
    let simulated = world.simulated().await;
    let arrived: Arrivals = simulated.arrived.keys().cloned().collect();
    assert_eq!(arrived.difference(&expected).count(), 0);
    let lost: Vec<_> = expected.difference(&arrived).filter(|(id, _)| !stolen.contains(id)).collect();
    assert_eq!(lost, Vec::<&(String, String)>::new(), "only what was stolen may be missing");
    // It goes on with what comes.
    world.php_push(ENTRY, 100, N);
    balanced(&world.settled(&[("system", N + 100)], PATIENCE).await);
    let more = php_expected(N..N + 100);
    assert!(world.simulated().await.arrived.keys().cloned().collect::<Arrivals>().is_superset(&more));
    assert!(sender.stop().await.success() && distributor.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_twice_costs_nothing() {
    let mut world = World::start("").await;
    world.faults(json!({"latency_ms": 5, "jitter_ms": 10})).await;
    world.insert_chats(1, 1, 60);
    let daemons = [world.daemon("scanner").await, world.daemon("distributor").await, world.daemon("sender").await];
    wait_for_cursor(&world, "group").await;
    let before = Chats::stored(&world, "group").await;

    // A producer that pushes one at a time and remembers which were acknowledged.
    let url = world.redis_url.clone();
    let producer = tokio::spawn(async move {
        let (mut acknowledged, mut uncertain) = (Vec::new(), Vec::new());
        let mut connection = None;
        for (i, user) in told().cycle().take(4_000).enumerate() {
            let id = format!("push-{i}");
            loop {
                if connection.is_none() {
                    connection =
                        redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.ok();
                }
                let Some(open) = &mut connection else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let pushed: Result<i64, redis::RedisError> = open.rpush(ENTRY, event(&id, user, Value::Null)).await;
                match pushed {
                    Ok(_) => acknowledged.push((id, Company::token(user))),
                    // It is loading its files and did nothing.
                    Err(error) if error.code().is_some() => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        continue;
                    }
                    Err(_) => {
                        uncertain.push((id, Company::token(user)));
                        connection = None;
                    }
                }
                break;
            }
        }
        (acknowledged, uncertain)
    });
    for (round, wanted) in [500, 1_500].into_iter().enumerate() {
        until("messages flow", async || arrived(&world).await > wanted).await;
        world.kill_redis();
        if round == 0 {
            world.insert_chats(300, 300, 0);
        }
        // They notice, and say so.
        for daemon in &daemons[1..] {
            let url = format!("{}/readyz", daemon.admin());
            until("the daemon is not ready", async || world.get(&url).await.0 == 503).await;
        }
        world.start_redis().await;
        let since = Instant::now();
        for daemon in &daemons {
            let url = format!("{}/readyz", daemon.admin());
            until("the daemon is ready again", async || world.get(&url).await.0 == 200).await;
        }
        println!("redis is back: all daemons ready after {:?}", since.elapsed());
    }
    let (acknowledged, uncertain) = producer.await.unwrap();
    let ledger = world.ledger();
    let came_in = ledger["lanes"]["system"]["entry"]["in"].as_u64().unwrap();
    assert!(came_in >= acknowledged.len() as u64, "{came_in} < {}", acknowledged.len());
    balanced(&world.settled(&[("system", came_in), ("group", 300)], PATIENCE).await);

    let mut expected: Arrivals = acknowledged.into_iter().collect();
    expected.extend(Chats::stored(&world, "group").await.since(&before).expected());
    let simulated = world.simulated().await;
    let arrived: Arrivals = simulated.arrived.keys().cloned().collect();
    let lost = expected.difference(&arrived).count();
    println!(
        "redis killed twice: {} acknowledged pushes and chats, {} without an answer, lost {lost}, repeats {}",
        expected.len(),
        uncertain.len(),
        simulated.repeats()
    );
    assert_eq!(lost, 0);
    expected.extend(uncertain);
    assert_eq!(arrived.difference(&expected).count(), 0);
    assert_eq!(simulated.repeats(), 0, "no daemon died, so every answer was kept");
    for daemon in daemons {
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deaths_while_a_store_stalls_are_not_held_against_the_events() {
    let world = World::start("").await;
    let sender = world.daemon("sender").await;
    world.php_push("hg_message_queue", 40, 0);
    let locked = world.lock_table("t_account", 6);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut deaths = 0;
    while !locked.is_finished() && deaths < 12 {
        let distributor = world.spawn("distributor", &[]);
        tokio::time::sleep(Duration::from_millis(400)).await;
        distributor.kill();
        deaths += 1;
    }
    assert!(deaths > 7, "only {deaths} deaths: an item is buried from 6 on");
    tokio::task::spawn_blocking(move || locked.join().unwrap()).await.unwrap();
    let distributor = world.daemon("distributor").await;
    let ledger = world.settled(&[("system", 40)], Duration::from_secs(30)).await;
    let lane = &ledger["lanes"]["system"];
    assert_eq!((&lane["entry"]["fates"]["expanded"], &ledger["balanced"]), (&40.into(), &true.into()), "{ledger:#}");
    assert_eq!(lane["dead list"]["in"], 0, "{ledger:#}");
    println!("{deaths} deaths while MariaDB stalled: 40 of 40 events worked, none taken for the cause");
    assert!(distributor.stop().await.success() && sender.stop().await.success());
}
