//! What the provider answers.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn dead_tokens_are_taken_out_and_no_others() {
    let world = World::start("").await;
    let _distributor = world.daemon("distributor").await;
    let users: Vec<u64> = told().take(5).collect();
    let [gone, also_gone, live, again, _] = users[..] else { panic!() };
    let (items, _) = events("first", users.iter().copied());
    world.rpush(ENTRY, &items).await;
    until("all stand in the delivery queue", async || length(&world, DELIVERY).await == 5).await;
    // One user registers another token while the message to the old one is on its way.
    let new = "e".repeat(Company::token(again).len());
    world.sql(&format!("UPDATE t_device SET xinge_token = '{new}' WHERE account_id = {again}"));
    world
        .faults(json!({"dead_tokens": [Company::token(gone), Company::token(again)], "dead_prefix": Company::token(also_gone)}))
        .await;
    let _sender = world.daemon("sender").await;
    let ledger = world.settled(&[("system", 5)], PATIENCE).await;
    balanced(&ledger);
    assert_eq!((fate(&ledger, "send", "bad_token"), fate(&ledger, "send", "delivered")), (3, 2), "{ledger:#}");
    assert_eq!(
        world.sql("SELECT account_id FROM t_device WHERE is_del = 1 ORDER BY 1"),
        format!("{gone}\n{also_gone}\n")
    );
    let row = format!("SELECT xinge_token, is_del FROM t_device WHERE account_id = {again}");
    assert_eq!(world.sql(&row), format!("{new}\t0\n"), "a token that was registered meanwhile stays");
    let end = |user: u64| trace(&world, &format!("first-{user}")).pop().unwrap();
    assert!(end(gone)["fate"] == "bad_token" && end(gone)["removed"] == true, "{}", end(gone));
    assert!(end(again)["fate"] == "bad_token" && end(again)["removed"] == false, "{}", end(again));
    assert_eq!(end(live)["fate"], "delivered");

    let (items, mut expected) = events("second", users.iter().copied());
    world.rpush(ENTRY, &items).await;
    let ledger = world.settled(&[("system", 10)], PATIENCE).await;
    balanced(&ledger);
    assert_eq!((fate(&ledger, "send", "bad_token"), fate(&ledger, "send", "no_device")), (3, 2), "{ledger:#}");
    expected.retain(|(_, token)| ![gone, also_gone, again].iter().any(|u| *token == Company::token(*u)));
    expected.insert((format!("second-{again}"), new));
    expected.extend(events("first", users[2..].iter().copied().filter(|u| *u != again)).1);
    exactly(&world, &expected).await;
    assert_eq!(trace(&world, &format!("second-{gone}")).pop().unwrap()["fate"], "no_device");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_busy_provider_refuses_is_tried_until_it_is_taken() {
    const N: usize = 300;
    let quick = "[sender]\nbackoff = '100ms'\nbackoff_cap = '500ms'\npause = '200ms'\npause_cap = '500ms'\n";
    let world = World::start(quick).await;
    world.faults(json!({"answer": 15, "answer_text": "busy"})).await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let (items, expected) = events("busy", told().take(N));
    world.rpush(ENTRY, &items).await;
    let delayed = async || world.redis().await.zcard::<_, u64>(key(DELIVERY, "delayed")).await.unwrap();
    until("retries wait in the delayed set", async || delayed().await > 0).await;
    until("all of them were taken off the entry queue", async || length(&world, ENTRY).await == 0).await;
    let since = Instant::now();
    let mut looks = 0;
    while since.elapsed() < Duration::from_millis(1_500) {
        let ledger = world.ledger();
        balanced(&ledger);
        assert_eq!(waiting(&ledger, "send"), N as i64, "{ledger:#}");
        looks += 1;
    }
    let tries = world.stats().await["by_code"]["15"].as_u64().unwrap();
    // Each once or twice until the breaker opens; from then on one probe per pause, app and platform.
    assert!(tries < 400, "{tries} calls during the outage");
    assert_eq!(arrived(&world).await, 0);
    world.faults(json!({})).await;
    let ledger = world.settled(&[("system", N as u64)], PATIENCE).await;
    balanced(&ledger);
    assert_eq!(fate(&ledger, "send", "delivered"), N as i64, "{ledger:#}");
    assert_eq!(waiting(&ledger, "own lists"), 0);
    exactly(&world, &expected).await;
    println!(
        "busy: {N} messages, {tries} refusals, ledger balanced in {looks} looks during the outage, lost 0, repeats 0"
    );
    let records = trace(&world, &expected.first().unwrap().0);
    let retried: Vec<&Value> = records.iter().filter(|r| r["fate"] == "retried").collect();
    assert!(!retried.is_empty() && records.last().unwrap()["fate"] == "delivered", "{records:#?}");
    assert!(
        retried.iter().any(|r| r["why"].as_str().unwrap().contains("15") || r["reason"].is_string()),
        "{records:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_buried_with_its_one_target() {
    let world = World::start("").await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let users: Vec<u64> = told().take(8).collect();
    for (round, code) in [-1, 75].into_iter().enumerate() {
        world.faults(json!({"answer": code, "answer_text": "not like this"})).await;
        let (items, _) = events(&format!("code{code}"), users.iter().copied());
        world.rpush(ENTRY, &items).await;
        let ledger = world.settled(&[("system", 8 * (round as u64 + 1))], PATIENCE).await;
        balanced(&ledger);
        assert_eq!(fate(&ledger, "send", "dead.payload"), 8 * (round as i64 + 1), "{ledger:#}");
    }
    let letters = dead(&world, DELIVERY).await;
    assert_eq!(letters.len(), 16);
    let mut buried = Arrivals::new();
    for letter in &letters {
        assert_eq!((letter.reason.as_str(), letter.tries, letter.queue.as_str()), ("payload", 1, DELIVERY));
        assert!(letter.error.starts_with("ret_code ") && letter.error.contains("not like this"), "{}", letter.error);
        let rest = Notification::decode(&letter.body).unwrap();
        let [target] = rest.targets.as_slice() else { panic!("{rest:?}") };
        assert_eq!(rest.id, letter.id);
        assert_eq!(target.token, Company::token(target.user.parse().unwrap()));
        buried.insert((rest.id, target.token.clone()));
    }
    let all = |code| events(&format!("code{code}"), users.iter().copied()).1;
    assert_eq!(buried, all(-1).union(&all(75)).cloned().collect());
    // Nothing of it stops what is in order.
    world.faults(json!({})).await;
    let (items, expected) = events("fine", users.iter().copied());
    world.rpush(ENTRY, &items).await;
    balanced(&world.settled(&[("system", 24)], PATIENCE).await);
    exactly(&world, &expected).await;
}

/// A sender that has one account's secret wrong; `pause` is how long it leaves that app alone.
async fn blocked(pause: &str) -> (World, Process, Process, Arrivals, Arrivals, String) {
    let wrong = format!("{pause}[account.android_higo]\nsecret = 'not the secret'\n");
    let world = World::start(&wrong).await;
    let (distributor, sender) = (world.daemon("distributor").await, world.daemon("sender").await);
    let (items, all) = events("m", told().take(400));
    world.rpush(ENTRY, &items).await;
    let is_blocked: Arrivals = events("m", told().take(400).filter(|u| route(*u) == "higo-android")).1;
    let healthy: Arrivals = all.difference(&is_blocked).cloned().collect();
    let list = key(DELIVERY, "wait:higo-android");
    let since = Instant::now();
    until("the other apps' messages arrive", async || arrived(&world).await == healthy.len() as u64).await;
    println!("{} messages of healthy apps arrived after {:?}", healthy.len(), since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(5));
    let waits = async || length(&world, &list).await == is_blocked.len() as u64;
    until("the app's messages stand in its waiting list", waits).await;
    (world, distributor, sender, healthy, is_blocked, list)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_refused_credentials_waits_and_holds_up_nobody() {
    let (world, _distributor, sender, healthy, is_blocked, list) =
        blocked("[sender]\npause = '300ms'\npause_cap = '1s'\n").await;
    let probes = async || world.stats().await["by_code"]["-103"].as_u64().unwrap();
    let first = probes().await;
    until("some probes were refused as well", async || probes().await >= first + 3).await;
    let ledger = world.ledger();
    balanced(&ledger);
    assert_eq!(waiting(&ledger, "send"), is_blocked.len() as i64, "{ledger:#}");
    assert_eq!(length(&world, &list).await, is_blocked.len() as u64);
    exactly(&world, &healthy).await;
    // 64 calls may have been under way when the first was refused; after that one probe per pause.
    assert!(probes().await <= 64 + 20, "{} calls with refused credentials", probes().await);

    assert!(sender.stop().await.success());
    balanced(&world.ledger());
    reconfigure(&world, "");
    let _sender = world.daemon("sender").await;
    let ledger = world.settled(&[("system", 400)], PATIENCE).await;
    balanced(&ledger);
    assert_eq!(fate(&ledger, "send", "delivered"), 400, "{ledger:#}");
    exactly(&world, &healthy.union(&is_blocked).cloned().collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_app_is_on_the_books_before_the_first_probe_and_survives_the_sender() {
    let (world, _distributor, sender, healthy, is_blocked, list) = blocked("[sender]\npause = '5m'\n").await;
    let ledger = world.ledger();
    balanced(&ledger);
    assert_eq!(waiting(&ledger, "send"), is_blocked.len() as i64, "{ledger:#}");
    assert_eq!(waiting(&ledger, "own lists"), is_blocked.len() as i64, "{ledger:#}");
    sender.kill();
    reconfigure(&world, "");
    let _sender = world.daemon("sender").await;
    until("nothing waits any more", async || length(&world, &list).await == 0).await;
    let ledger = world.settled(&[("system", 400)], PATIENCE).await;
    balanced(&ledger);
    exactly(&world, &healthy.union(&is_blocked).cloned().collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_provider_hangs_holds_up_the_others_for_one_timeout_at_most() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let hanging = format!("127.0.0.1:{}", free_port());
    let more = format!(
        "[account.android_higo]\nbase_url = 'http://{hanging}'\n[xinge]\nrequest_timeout_ms = 2000\n\
         [sender]\npause = '200ms'\npause_cap = '200ms'\n"
    );
    let world = World::start(&more).await;
    let args = ["simulate", "xinge", "--listen", &hanging].map(str::to_owned).into_iter().chain(world.config());
    let _second = Process::start(world.dir.path(), "hanging", env!("CARGO_BIN_EXE_homing"), args, &[]);
    let hang = json!({"latency_ms": 600_000});
    let answers = async |url: String, body: &Value| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.post(url).json(body).send().await.is_ok_and(|a| a.status().is_success())
    };
    until("the second simulator answers", async || answers(format!("http://{hanging}/_sim/faults"), &hang).await).await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let mut expected = Arrivals::new();
    // Fewer than the 4,096 that a window holds: calls that began before the pause may stand at its head.
    for round in 0..3 {
        let (items, all) = events(&format!("round{round}"), told());
        let blocked = events(&format!("round{round}"), told_on("higo-android")).1;
        expected.extend(all.difference(&blocked).cloned());
        world.rpush(ENTRY, &items).await;
        let since = Instant::now();
        until("the others' messages arrive", async || arrived(&world).await == expected.len() as u64).await;
        println!("round {round}: {} messages of other apps took {:?}", all.len() - blocked.len(), since.elapsed());
        let bound = if round == 0 { TIMEOUT + Duration::from_secs(2) } else { TIMEOUT };
        assert!(since.elapsed() < bound, "round {round}: {:?}", since.elapsed());
    }
    exactly(&world, &expected).await;
    balanced(&world.ledger());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_is_asked_for_five_times() {
    let world =
        World::start("[sender]\nbackoff = '50ms'\nbackoff_cap = '100ms'\npause = '100ms'\npause_cap = '200ms'\n").await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    // As long as it lasts: the provider takes every message and its answer is lost.
    world.faults(json!({"drop_after": 1.0})).await;
    let (items, expected) = events("never", told().take(12));
    world.rpush(ENTRY, &items).await;
    let ledger = world.settled(&[("system", 12)], PATIENCE).await;
    balanced(&ledger);
    assert_eq!(fate(&ledger, "send", "dead.ambiguous"), 12, "{ledger:#}");
    let simulated = world.simulated().await;
    assert_eq!(simulated.arrived, expected.iter().map(|key| (key.clone(), 5)).collect());
    let letters = dead(&world, DELIVERY).await;
    assert!(letters.iter().all(|l| (l.reason.as_str(), l.tries) == ("ambiguous", 5)), "{letters:?}");
    assert_eq!(
        letters.iter().map(|l| l.id.clone()).collect::<BTreeSet<_>>(),
        expected.iter().map(|e| e.0.clone()).collect()
    );

    // Briefly: nothing is lost, and nothing is tried more often than that.
    let (items, expected) = events("brief", told().take(200));
    world.rpush(ENTRY, &items).await;
    until("answers are lost", async || world.stats().await["dropped_after"].as_u64().unwrap() > 60 + 150).await;
    world.faults(json!({})).await;
    let ledger = world.settled(&[("system", 212)], PATIENCE).await;
    balanced(&ledger);
    let brief = world.simulated().await.arrived.into_iter().filter(|((id, _), _)| id.starts_with("brief"));
    let brief: BTreeMap<(String, String), u64> = brief.collect();
    assert_eq!(brief.keys().cloned().collect::<Arrivals>(), expected, "lost 0");
    let given_up = dead(&world, DELIVERY).await.len() - 12;
    assert_eq!(fate(&ledger, "send", "delivered"), 200 - given_up as i64, "{ledger:#}");
    assert!(brief.values().all(|n| *n <= 5), "{brief:?}");
    let repeats: u64 = brief.values().map(|n| n - 1).sum();
    println!("answers lost for a while: 200 messages, lost 0, repeats {repeats}, given up {given_up}");
    assert!(repeats > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_less_gets_less() {
    let world = World::start("[sender]\npause = '300ms'\npause_cap = '1s'\n").await;
    world.faults(json!({"http_status": 429, "retry_after": 1, "call": "single_device"})).await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    let (items, expected) = events("limited", told_on("higo-android").take(150));
    world.rpush(ENTRY, &items).await;
    until("the provider said 429", async || world.stats().await["http_faults"].as_u64().unwrap() > 0).await;
    let since = Instant::now();
    let list = key(DELIVERY, "wait:higo-android");
    until("all wait", async || length(&world, &list).await == 150).await;
    let ledger = world.ledger();
    balanced(&ledger);
    assert_eq!(waiting(&ledger, "send"), 150, "{ledger:#}");
    let asked = world.stats().await["http_faults"].as_u64().unwrap();
    assert!(asked <= 64 + 2, "{asked} calls after the first 429");
    world.faults(json!({})).await;
    until("the first arrives", async || arrived(&world).await > 0).await;
    let paused = since.elapsed();
    let ledger = world.settled(&[("system", 150)], PATIENCE).await;
    balanced(&ledger);
    println!("429 with Retry-After 1: {asked} calls met it, the next came after {paused:?}");
    assert!(paused > Duration::from_millis(800), "Retry-After was not respected");
    exactly(&world, &expected).await;
}
