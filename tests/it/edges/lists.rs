//! What stands in the lists.

use super::*;

/// Bytes that follow from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut x = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn notification(id: &str, user: u64) -> Notification {
    let android = user % 4 < 2;
    Notification {
        id: id.to_owned(),
        kind: 7,
        app: if user % 2 == 1 { "higo" } else { "higirl" }.to_owned(),
        platform: if android { Platform::Android } else { Platform::Ios },
        title: "t".to_owned(),
        body: "b".to_owned(),
        custom: serde_json::Map::new(),
        created_at: 1,
        expires_at: 32_503_680_000_000,
        at_most_once: false,
        targets: vec![Target::new(user.to_string(), Company::token(user))],
        ..Notification::default()
    }
}

/// A notification whose custom field is a list in a list, so deep.
fn deep_notification(user: u64, depth: usize) -> Vec<u8> {
    let mut notification = notification("too-deep", user);
    notification.custom.insert("deep".to_owned(), "@@@@".into());
    let item = notification.encode();
    let at = item.windows(5).position(|w| w == b"\xa4@@@@").unwrap();
    [&item[..at], &vec![0x91; depth], b"\xc0", &item[at + 5..]].concat()
}

fn hostile_events() -> Vec<Vec<u8>> {
    let json = |text: &str| text.as_bytes().to_vec();
    let deep =
        |n: usize| [br#"{"type":7,"to":{"user":1002},"data":"#.to_vec(), b"[".repeat(n), b"]".repeat(n), b"}".to_vec()];
    let mut items = vec![
        Vec::new(),
        json("[").repeat(200_000),
        deep(70).concat(),
        deep(5_000).concat(),
        [b"s:1572000:\"".to_vec(), vec![b'x'; 1_572_000], b"\";".to_vec()].concat(),
        vec![b'{'; 1_572_864],
        // A circle, a reference to nothing, and one that multiplies.
        json("a:1:{i:0;R:1;}"),
        json(r#"a:2:{s:4:"type";i:7;s:2:"to";R:99;}"#),
        [
            b"a:40:{i:0;a:1:{i:0;s:4000:\"".to_vec(),
            vec![b'x'; 4_000],
            b"\";}i:1;a:2:{i:0;R:2;i:1;R:2;}".to_vec(),
            (2..40).flat_map(|i| format!("i:{i};a:2:{{i:0;R:{n};i:1;R:{n};}}", n = i + 2).into_bytes()).collect(),
            b"}".to_vec(),
        ]
        .concat(),
        json(r#"O:8:"stdClass":1:{s:4:"type";i:7;}"#),
        // Counts that promise more than there is.
        b"\xdd\xff\xff\xff\xff".to_vec(),
        b"\xdf\xff\xff\xff\xff\xa4type".to_vec(),
        json("a:999999999:{}"),
        json(r#"{"type":7,"to":{"user":[]}}"#),
        json(r#"{"type":7,"to":{"user":"1002"},"send_at":9223372036854775807}"#),
        b"{\"type\":7,\"to\":{\"user\":\"\xff\"}".to_vec(),
        json(r#"{"type":1e400,"to":{"user":"1002"}}"#),
    ];
    items.extend((0..40).map(|seed| noise(seed, 1 + seed as usize * 5)));
    items
}

fn hostile_notifications() -> Vec<Vec<u8>> {
    let good = notification("cut", 1002).encode().to_vec();
    let mut empty = notification("nobody", 1002);
    empty.targets.clear();
    let mut items = vec![
        Vec::new(),
        good[..good.len() / 2].to_vec(),
        [good.clone(), b"trailing".to_vec()].concat(),
        empty.encode().to_vec(),
        deep_notification(1002, 5_000),
        deep_notification(1002, 900),
        vec![b'x'; 1_572_864],
        event("an-event", 1002, Value::Null),
        b"\x81\xa2n1\xdf\xff\xff\xff\xff".to_vec(),
        b"\x81\xa2n2\x80".to_vec(),
    ];
    items.extend((100..140).map(|seed| noise(seed, 1 + seed as usize * 5)));
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_items_are_buried_with_a_reason_and_stop_nobody() {
    let world = World::start("").await;
    let mut daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let users: Vec<u64> = told().take(30).collect();

    // A reference that is in order, as PHP writes one: the body is the user's id once more.
    let php = br#"a:4:{s:2:"id";s:5:"ref-1";s:4:"type";i:7;s:2:"to";a:1:{s:4:"user";s:4:"1002";}s:4:"body";R:5;}"#;
    // As deep as an item may be: the event, its data, and 62 lists.
    let mut deep = Value::Null;
    for _ in 0..62 {
        deep = json!([deep]);
    }
    let mut items = vec![php.to_vec(), event("deep", 1002, json!({"data": {"deep": deep}}))];
    let mut expected: Arrivals = ["ref-1", "deep"].map(|id| (id.to_owned(), Company::token(1002))).into();
    let hostile = hostile_events();
    for (i, item) in hostile.iter().enumerate() {
        items.push(item.clone());
        let user = users[i % users.len()];
        items.push(event(&format!("good-{i}"), user, Value::Null));
        expected.insert((format!("good-{i}"), Company::token(user)));
    }
    let mut redis = world.redis().await;
    for item in &items {
        redis.rpush::<_, _, ()>(ENTRY, item).await.unwrap();
    }
    let ledger = world.settled(&[("system", items.len() as u64)], PATIENCE).await;
    balanced(&ledger);
    exactly(&world, &expected).await;
    assert_eq!(fate(&ledger, "entry", "invalid"), hostile.len() as i64, "{ledger:#}");
    let letters = dead(&world, ENTRY).await;
    let bodies: Vec<&Vec<u8>> = letters.iter().map(|l| &l.body).collect();
    assert_eq!(bodies, hostile.iter().collect::<Vec<_>>(), "untouched, in their order");
    assert!(letters.iter().all(|l| l.reason == "invalid" && !l.error.is_empty() && l.queue == ENTRY));

    // The same in the delivery queue, which only Homing should write.
    let hostile = hostile_notifications();
    let done = items.len();
    for (i, item) in hostile.iter().enumerate() {
        let user = users[i % users.len()];
        let good = notification(&format!("sent-{i}"), user).encode().to_vec();
        redis.rpush::<_, _, ()>(DELIVERY, &[item, &good]).await.unwrap();
        expected.insert((format!("sent-{i}"), Company::token(user)));
    }
    let ledger = world.settled(&[("system", done as u64)], PATIENCE).await;
    balanced(&ledger);
    exactly(&world, &expected).await;
    let letters = dead(&world, DELIVERY).await;
    assert_eq!(letters.len(), hostile.len());
    assert!(letters.iter().all(|l| !l.error.is_empty() && l.queue == DELIVERY));
    assert!(letters.iter().filter(|l| l.reason == "invalid").all(|l| hostile.contains(&l.body)), "untouched");
    for daemon in &mut daemons {
        assert!(daemon.is_running() && !daemon.log().contains("panicked"), "{}", daemon.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_kills_its_workers_is_buried_and_those_behind_it_are_not() {
    let world = World::start("").await;
    let (items, mut expected) = events("m", told().take(1_000));
    let ids: Vec<String> = told().take(3).map(|u| format!("m-{u}")).collect();
    world.rpush(ENTRY, &items).await;
    let mut daemons = Vec::new();
    for (daemon, queue, head) in [("distributor", ENTRY, &ids[0]), ("sender", DELIVERY, &ids[1])] {
        // Whoever reads the head dies, six times in a row; the seventh does not try it again.
        for _ in 0..6 {
            let status = world.spawn(daemon, &[("HOMING_DIE_AT", "peeked:1")]).ended().await;
            assert!(!status.success());
        }
        daemons.push(world.daemon(daemon).await);
        until("it is through", async || length(&world, queue).await == 0).await;
        let letters = dead(&world, queue).await;
        let [letter] = letters.as_slice() else { panic!("{} buried", letters.len()) };
        assert!(letter.reason == "suspect" && letter.error.starts_with("6 workers in a row died"), "{letter:?}");
        assert!(letter.body.windows(head.len()).any(|w| w == head.as_bytes()), "{letter:?}");
        expected.retain(|(id, _)| id != head);
    }
    balanced(&world.settled(&[("system", 1_000)], PATIENCE).await);
    exactly(&world, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_kills_its_workers_is_buried_and_the_books_agree() {
    let world = World::start("[sender]\nbackoff = '50ms'\nbackoff_cap = '50ms'\n").await;
    let _distributor = world.daemon("distributor").await;
    world.faults(json!({"answer": 15})).await;
    let sender = world.daemon("sender").await;
    let (items, mut expected) = events("m", told().take(3));
    world.rpush(ENTRY, &items).await;
    until("all were tried", async || world.stats().await["by_code"]["15"].as_u64().unwrap_or(0) >= 3).await;
    assert!(sender.stop().await.success());
    balanced(&world.ledger());
    for _ in 0..7 {
        let mut dying = world.spawn("sender", &[("HOMING_DIE_AT", "peeked:1")]);
        assert!(!dying.ended().await.success());
    }
    world.faults(json!({})).await;
    let _sender = world.daemon("sender").await;
    let ledger = world.settled(&[("system", 3)], PATIENCE).await;
    let letters = dead(&world, DELIVERY).await;
    let [letter] = letters.as_slice() else { panic!("{} buried", letters.len()) };
    assert_eq!(letter.reason, "suspect", "{letter:?}");
    expected.retain(|(id, _)| !letter.body.windows(id.len()).any(|w| w == id.as_bytes()));
    assert_eq!(expected.len(), 2);
    exactly(&world, &expected).await;
    balanced(&ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_before_they_read_anything_say_nothing_about_the_items() {
    let world = World::start("").await;
    let (items, expected) = events("m", told().take(100));
    world.rpush(ENTRY, &items).await;
    let programs = [env!("CARGO_BIN_EXE_homing-distributor"), env!("CARGO_BIN_EXE_homing-sender")];
    let mut daemons = Vec::new();
    for (daemon, program) in ["distributor", "sender"].into_iter().zip(programs) {
        for _ in 0..8 {
            let args = world.config().into_iter().chain(["--lane", "system"].map(str::to_owned));
            let env = [("HOMING_DIE_AT", "taken:1")];
            let status = Process::start(world.dir.path(), daemon, program, args, &env).ended().await;
            assert!(!status.success());
        }
        daemons.push(world.daemon(daemon).await);
        let queue = if daemon == "sender" { DELIVERY } else { ENTRY };
        until("it is through", async || length(&world, queue).await == 0).await;
    }
    balanced(&world.settled(&[("system", 100)], PATIENCE).await);
    exactly(&world, &expected).await;
    assert_eq!(dead(&world, ENTRY).await.len() + dead(&world, DELIVERY).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_predecessor_finished_at_the_head_is_trimmed_whatever_stands_behind_it() {
    let world = World::start("").await;
    let mut redis = world.redis().await;
    let users: Vec<u64> = told().take(10).collect();
    let ids =
        |from: usize, to: usize| (from..to).map(|i| (format!("n-{i}"), Company::token(users[i]))).collect::<Arrivals>();
    let items: Vec<Vec<u8>> = (0..10).map(|i| notification(&format!("n-{i}"), users[i]).encode().to_vec()).collect();
    // A checkpoint that marks so many of the ten, from the head on; three owners died since.
    let checkpoint = |done: u16| [b"\x93\xc4\x02".as_slice(), &done.to_le_bytes(), b"\x80\xc0"].concat();
    for (done, finished, suspicion) in [(0b11, 2, 3), (0b11_1111_1111, 10, 0)] {
        redis.del::<_, ()>(&[DELIVERY.to_owned(), key(DELIVERY, "state")]).await.unwrap();
        redis.rpush::<_, _, ()>(DELIVERY, &items).await.unwrap();
        let state = key(DELIVERY, "state");
        redis.hset::<_, _, _, ()>(&state, "done:main", checkpoint(done)).await.unwrap();
        let place = format!("0:{finished}:0:0");
        let fields = [("head:main", "0"), ("clean", "0"), ("suspect", &place)];
        redis.hset_multiple::<_, _, _, ()>(&state, &fields).await.unwrap();
        redis.hset_multiple::<_, _, _, ()>(&state, &[("fin:main", finished), ("suspicion", suspicion)]).await.unwrap();
        let sender = world.daemon("sender").await;
        until("all of it is trimmed", async || length(&world, DELIVERY).await == 0).await;
        exactly(&world, &ids(2, 10)).await;
        assert!(sender.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_our_own_lists_is_buried_with_a_reason_and_stops_nobody() {
    let world = World::start("").await;
    let mut redis = world.redis().await;
    for queue in [ENTRY, DELIVERY] {
        let items = [b"garbage".to_vec(), Vec::new(), event("an-event", 1002, Value::Null), noise(7, 400)];
        redis.rpush::<_, _, ()>(key(queue, "retry"), &items).await.unwrap();
        // A member of the delayed set is a unique id, a colon and an envelope.
        redis.zadd::<_, _, _, ()>(key(queue, "delayed"), "1:", 1).await.unwrap();
    }
    let mut daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let (items, expected) = events("good", told().take(50));
    world.rpush(ENTRY, &items).await;
    until("the good ones arrive", async || arrived(&world).await == 50).await;
    exactly(&world, &expected).await;
    for queue in [ENTRY, DELIVERY] {
        until("the garbage is buried", async || dead(&world, queue).await.len() == 5).await;
        for letter in dead(&world, queue).await {
            assert!(letter.reason == "invalid" && !letter.error.is_empty(), "{letter:?}");
        }
        assert_eq!(length(&world, &key(queue, "retry")).await, 0);
    }
    for daemon in &mut daemons {
        assert!(daemon.is_running() && !daemon.log().contains("panicked"), "{}", daemon.log());
    }
    balanced(&world.ledger());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_delayed_set_takes_no_message_with_it() {
    let world = World::start("[sender]\nbackoff = '300ms'\nbackoff_cap = '300ms'\n").await;
    world.faults(json!({"answer": 15})).await;
    let sender = world.daemon("sender").await;
    let distributor = world.daemon("distributor").await;
    let (items, expected) = events("good", told().take(10));
    world.rpush(ENTRY, &items).await;
    let delayed = key(DELIVERY, "delayed");
    let mut redis = world.redis().await;
    until("all were tried", async || world.stats().await["by_code"]["15"].as_u64().unwrap_or(0) >= 10).await;
    assert!(sender.stop().await.success());
    until("they wait", async || waiting(&world.ledger(), "send") == 10).await;
    redis.zadd::<_, _, _, ()>(&delayed, "no colon", 1).await.unwrap();
    // All of it is promoted in one step.
    until("all are due", async || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
        redis.zcount::<_, _, _, u64>(&delayed, "-inf", now).await.unwrap() == 11
    })
    .await;
    world.faults(json!({})).await;
    let _sender = world.daemon("sender").await;
    until("they arrive", async || arrived(&world).await == 10).await;
    exactly(&world, &expected).await;
    until("the garbage is buried", async || dead(&world, DELIVERY).await.len() == 1).await;
    drop(distributor);
}
