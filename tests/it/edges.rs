//! What a provider, an operator, a producer or a server can do to the way of a message. Each test has an installation of
//! its own and says exactly what must arrive, what becomes of the rest, and that the books agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use homing_core::{
    notification::{Notification, Platform, Target},
    wire::DeadLetter,
};
use redis::AsyncCommands as _;
use serde_json::{Value, json};

use crate::{
    main_path::{chat_ids, chats_expected, php_expected, wait_for_cursor},
    support::{Company, Fate, Process, World, free_port, until},
};

const ENTRY: &str = "hg_message_queue";
const DELIVERY: &str = "hg_xinge_queue";
const PATIENCE: Duration = Duration::from_secs(30);

type Arrivals = BTreeSet<(String, String)>;

/// The route of a user's device, as the sender calls it.
fn route(user: u64) -> String {
    format!("{}-{}", if user % 2 == 1 { "higo" } else { "higirl" }, if user % 4 < 2 { "android" } else { "ios" })
}

/// Users whom no rule holds back.
fn told() -> impl Iterator<Item = u64> + Clone {
    (1000..3000).filter(|u| Company::fate(*u) == Fate::Told)
}

fn told_on(wanted: &str) -> impl Iterator<Item = u64> {
    told().filter(move |u| route(*u) == wanted)
}

/// An event for one user; `more` is laid over it.
fn event(id: &str, user: u64, more: Value) -> Vec<u8> {
    let mut event = json!({"id": id, "type": "GOODS_SENT", "to": {"user": user}});
    event.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    serde_json::to_vec(&event).unwrap()
}

/// An event `PREFIX-USER` for each user, and what must arrive of them.
fn events(prefix: &str, users: impl Iterator<Item = u64>) -> (Vec<Vec<u8>>, Arrivals) {
    let id = |u: u64| format!("{prefix}-{u}");
    users.map(|u| (event(&id(u), u, Value::Null), (id(u), Company::token(u)))).unzip()
}

fn fate(ledger: &Value, stage: &str, fate: &str) -> i64 {
    ledger["lanes"]["system"][stage]["fates"][fate].as_i64().unwrap_or(0)
}

fn waiting(ledger: &Value, stage: &str) -> i64 {
    ledger["lanes"]["system"][stage]["waiting"].as_i64().unwrap()
}

#[track_caller]
fn balanced(ledger: &Value) {
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
}

/// These arrived, once each, and nothing else did.
async fn exactly(world: &World, expected: &Arrivals) {
    let simulated = world.simulated().await;
    let arrived: Arrivals = simulated.arrived.keys().cloned().collect();
    assert_eq!(
        arrived.difference(expected).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "nobody else was told"
    );
    assert_eq!(expected.difference(&arrived).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "lost");
    assert_eq!(simulated.repeats(), 0);
}

async fn arrived(world: &World) -> u64 {
    world.stats().await["deliveries"].as_u64().unwrap()
}

async fn length(world: &World, list: &str) -> u64 {
    world.redis().await.llen(list).await.unwrap()
}

fn key(queue: &str, suffix: &str) -> String {
    ["{", queue, "}:", suffix].concat()
}

/// The dead letters of a queue.
async fn dead(world: &World, queue: &str) -> Vec<DeadLetter> {
    let letters: Vec<Vec<u8>> = world.redis().await.lrange(key(queue, "dead"), 0, -1).await.unwrap();
    letters.iter().map(|l| DeadLetter::decode(l).unwrap()).collect()
}

/// What is on record about a message.
fn trace(world: &World, id: &str) -> Vec<Value> {
    let (code, text) = world.homing(&["trace", id, "--json"]);
    assert_eq!(code, 0, "{text}");
    let trace: Value = serde_json::from_str(&text).unwrap();
    trace["records"].as_array().unwrap().clone()
}

/// The pid in the token of a shard's owner.
async fn owner(world: &World, queue: &str) -> Option<u32> {
    let token: Option<String> = world.redis().await.get(key(queue, "own")).await.unwrap();
    token?.split('|').nth(5)?.parse().ok()
}

/// Lays another text over the configuration of daemons that start from now on.
fn reconfigure(world: &World, more: &str) {
    std::fs::write(world.dir.path().join("more.toml"), more).unwrap();
}

// === what the provider answers ===

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
    world.faults(json!({"http_status": 429, "retry_after": 1})).await;
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

// === time ===

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

// === who works ===

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

// === the server ===

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_twice_costs_nothing() {
    let mut world = World::start("").await;
    world.faults(json!({"latency_ms": 5, "jitter_ms": 10})).await;
    world.insert_chats(1, 1, 60);
    let daemons = [world.daemon("scanner").await, world.daemon("distributor").await, world.daemon("sender").await];
    wait_for_cursor(&world).await;
    let before: BTreeSet<String> = chat_ids(&world).await.into_iter().map(|(id, _)| id).collect();

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
    expected.extend(chats_expected(&world, &before).await);
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

// === what stands in the lists ===

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
        targets: vec![Target { user: user.to_string(), token: Company::token(user) }],
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
