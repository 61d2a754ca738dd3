//! Due, expired, in order.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_in_the_queue_is_not_sent() {
    let world = World::start("").await;
    let _distributor = world.daemon("distributor").await;
    let users: Vec<u64> = told().take(6).collect();
    let short = users.iter().map(|u| event(&format!("short-{u}"), *u, json!({"expires_in": 1})));
    let (long, expected) = events("long", users.iter().copied());
    let items: Vec<Vec<u8>> = short.zip(long).flat_map(|(a, b)| [a, b]).collect();
    world.rpush(ENTRY, &items).await;
    until("they stand in the delivery queue", async || length(&world, DELIVERY).await == 12).await;
    // Nothing can be asked: time itself is what passes.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let _sender = world.daemon("sender").await;
    let ledger = world.settled(&[("system", 12)], PATIENCE).await;
    balanced(&ledger);
    assert_eq!((fate(&ledger, "send", "expired"), fate(&ledger, "send", "delivered")), (6, 6), "{ledger:#}");
    exactly(&world, &expected).await;
    assert_eq!(trace(&world, &format!("short-{}", users[0])).pop().unwrap()["fate"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_at_is_not_before_its_time_whoever_dies_meanwhile() {
    let world = World::start("").await;
    let _sender = world.daemon("sender").await;
    let distributor = world.daemon("distributor").await;
    let user = told().next().unwrap();
    let now = || i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let at = now() + 2_000;
    let text = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    world.rpush(ENTRY, &[event("later", user, json!({"send_at": text})), event("now", user, Value::Null)]).await;
    until("the other arrives", async || arrived(&world).await == 1).await;
    let ledger = world.ledger();
    balanced(&ledger);
    assert_eq!((waiting(&ledger, "entry"), waiting(&ledger, "own lists")), (1, 1), "{ledger:#}");
    distributor.kill();
    let _distributor = world.daemon("distributor").await;
    assert!(now() < at, "too slow to show anything");
    balanced(&world.settled(&[("system", 2)], PATIENCE).await);
    exactly(&world, &["later", "now"].map(|id| (id.to_owned(), Company::token(user))).into()).await;
    let page = world.get(&format!("{}/_sim/deliveries?limit=10", world.simulator_url)).await.1;
    let page: Value = serde_json::from_str(&page).unwrap();
    let later = page["deliveries"].as_array().unwrap().iter().find(|d| d["id"] == "later").unwrap();
    let late = later["received_at_ms"].as_i64().unwrap() - at;
    println!("send_at: {late} ms late");
    assert!((0..1_000).contains(&late), "{late} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_not_kept_behind_a_backlog() {
    let world = World::start("").await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let user = told().next().unwrap();
    let at = std::time::UNIX_EPOCH.elapsed().unwrap() + Duration::from_millis(500);
    let at = jiff::Timestamp::from_millisecond(at.as_millis() as i64).unwrap().to_string();
    world.rpush(ENTRY, &[event("due", user, json!({"send_at": at}))]).await;
    // More and more events of somebody who is not logged in: the entry queue is never empty.
    let busy = vec![br#"{"type":7,"to":{"user":"1001"}}"#.to_vec(); 2_000];
    assert_eq!(Company::fate(1001), Fate::NotLoggedIn);
    let since = Instant::now();
    while arrived(&world).await == 0 {
        assert!(since.elapsed() < Duration::from_secs(5), "it was due 4.5 s ago and is still behind the backlog");
        if length(&world, ENTRY).await < 4_000 {
            world.rpush(ENTRY, &busy).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "due after 0.5 s, arrived after {:?} with {} events waiting",
        since.elapsed(),
        length(&world, ENTRY).await
    );
    exactly(&world, &[("due".to_owned(), Company::token(user))].into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_messages_arrive_in_their_order() {
    const N: usize = 200;
    let world = World::start("").await;
    world.faults(json!({"latency_ms": 1, "jitter_ms": 15, "seed": 12})).await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let users: Vec<u64> = told().take(8).collect();
    let (one, others) = users.split_first().unwrap();
    // Others in between, on the same and on other routes.
    let items: Vec<Vec<u8>> = (0..N)
        .flat_map(|i| {
            let other = others[i % others.len()];
            [event(&format!("one-{i:03}"), *one, Value::Null), event(&format!("other-{i:03}"), other, Value::Null)]
        })
        .collect();
    world.rpush(ENTRY, &items).await;
    balanced(&world.settled(&[("system", 2 * N as u64)], PATIENCE).await);
    let page = world.get(&format!("{}/_sim/deliveries?limit=5000", world.simulator_url)).await.1;
    let page: Value = serde_json::from_str(&page).unwrap();
    let mut by_token: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for d in page["deliveries"].as_array().unwrap() {
        by_token.entry(d["token"].as_str().unwrap()).or_default().push(d["id"].as_str().unwrap());
    }
    assert_eq!(by_token[Company::token(*one).as_str()].len(), N);
    for (token, ids) in by_token {
        assert!(ids.is_sorted() && ids.windows(2).all(|w| w[0] < w[1]), "{token}: {ids:?}");
    }
}
