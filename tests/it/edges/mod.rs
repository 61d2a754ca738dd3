//! What a provider, an operator, a producer or a server can do to the way of a message. Each test has an installation of
//! its own and says exactly what must arrive, what becomes of the rest, and that the books agree.

mod lists;
mod provider;
mod time;
mod workers;

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
    main_path::php_expected,
    support::{Chats, Company, Fate, Process, World, free_port, until, wait_for_cursor},
};

pub(super) const ENTRY: &str = "hg_message_queue";
pub(super) const DELIVERY: &str = "hg_xinge_queue";
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type Arrivals = BTreeSet<(String, String)>;

/// The route of a user's device, as the sender calls it.
pub(super) fn route(user: u64) -> String {
    format!("{}-{}", if user % 2 == 1 { "higo" } else { "higirl" }, if user % 4 < 2 { "android" } else { "ios" })
}

/// Users whom no rule holds back.
pub(super) fn told() -> impl Iterator<Item = u64> + Clone {
    (1000..3000).filter(|u| Company::fate(*u) == Fate::Told)
}

pub(super) fn told_on(wanted: &str) -> impl Iterator<Item = u64> {
    told().filter(move |u| route(*u) == wanted)
}

/// An event for one user; `more` is laid over it.
pub(super) fn event(id: &str, user: u64, more: Value) -> Vec<u8> {
    let mut event = json!({"id": id, "type": "GOODS_SENT", "to": {"user": user}});
    event.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    serde_json::to_vec(&event).unwrap()
}

/// An event `PREFIX-USER` for each user, and what must arrive of them.
pub(super) fn events(prefix: &str, users: impl Iterator<Item = u64>) -> (Vec<Vec<u8>>, Arrivals) {
    let id = |u: u64| format!("{prefix}-{u}");
    users.map(|u| (event(&id(u), u, Value::Null), (id(u), Company::token(u)))).unzip()
}

pub(super) fn fate(ledger: &Value, stage: &str, fate: &str) -> i64 {
    ledger["lanes"]["system"][stage]["fates"][fate].as_i64().unwrap_or(0)
}

pub(super) fn waiting(ledger: &Value, stage: &str) -> i64 {
    ledger["lanes"]["system"][stage]["waiting"].as_i64().unwrap()
}

#[track_caller]
pub(super) fn balanced(ledger: &Value) {
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
}

/// These arrived, once each, and nothing else did.
pub(super) async fn exactly(world: &World, expected: &Arrivals) {
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

pub(super) async fn arrived(world: &World) -> u64 {
    world.stats().await["deliveries"].as_u64().unwrap()
}

pub(super) async fn length(world: &World, list: &str) -> u64 {
    world.redis().await.llen(list).await.unwrap()
}

pub(super) fn key(queue: &str, suffix: &str) -> String {
    ["{", queue, "}:", suffix].concat()
}

/// The dead letters of a queue.
pub(super) async fn dead(world: &World, queue: &str) -> Vec<DeadLetter> {
    let letters: Vec<Vec<u8>> = world.redis().await.lrange(key(queue, "dead"), 0, -1).await.unwrap();
    letters.iter().map(|l| DeadLetter::decode(l).unwrap()).collect()
}

/// What is on record about a message.
pub(super) fn trace(world: &World, id: &str) -> Vec<Value> {
    let (code, text) = world.homing(&["trace", id, "--json"]);
    assert_eq!(code, 0, "{text}");
    let trace: Value = serde_json::from_str(&text).unwrap();
    trace["records"].as_array().unwrap().clone()
}

/// The pid in the token of a shard's owner.
pub(super) async fn owner(world: &World, queue: &str) -> Option<u32> {
    let token: Option<String> = world.redis().await.get(key(queue, "own")).await.unwrap();
    token?.split('|').nth(5)?.parse().ok()
}

/// Lays another text over the configuration of daemons that start from now on.
pub(super) fn reconfigure(world: &World, more: &str) {
    std::fs::write(world.dir.path().join("more.toml"), more).unwrap();
}
