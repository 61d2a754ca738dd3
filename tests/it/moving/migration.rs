//! Ten thousand users from Xinge to FCM: with a credential that is refused, step by step once it is repaired, and back.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::town::{Arrived, Row, Town};
use crate::support::{Process, until};

const NAME: &str = "leave_xinge";
const USERS: u64 = 10_000;

/// The senders and their shards: two processes that both work.
const SENDERS: [(&str, &str); 2] = [("sender 1", "1-3"), ("sender 2", "4-6")];

/// Where a user stands in the migration's order of all users, as docs/migrate.md has it.
fn place(user: u64) -> u32 {
    let mut crc = u32::MAX;
    for byte in format!("{NAME}:{user}").bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc % 10_000
}

fn by_xinge(user: u64) -> String {
    format!("{user:0>40x}")
}

fn by_fcm(user: u64) -> String {
    format!("fcm-{user}")
}

/// Users 1.., as many as are wanted. The least step must have enough of them for a verdict: whoever is in the way of
/// that is left out.
fn users() -> Vec<u64> {
    let moved = |user: &u64| place(*user) < 100;
    let first: Vec<u64> = (1..).filter(moved).take(120).collect();
    let others = (1..).filter(|user| !moved(user)).take(usize::try_from(USERS).unwrap() - first.len());
    let mut users: Vec<u64> = others.chain(first.iter().copied()).collect();
    users.sort_unstable();
    users
}

/// Somebody beside the users whose place is in this range: who is told how shows that a step has begun.
fn prober(places: Range<u32>) -> u64 {
    (1_000_000..).find(|user| places.contains(&place(*user))).unwrap()
}

/// What became of one event per user.
struct Round {
    what: &'static str,
    old: usize,
    new: usize,
    wrong: usize,
    lost: usize,
    repeats: u64,
    took: Duration,
}

struct Move {
    town: Town,
    users: Vec<u64>,
    daemons: BTreeMap<&'static str, Process>,
    probes: u64,
    rounds: Vec<Round>,
}

impl Move {
    async fn status(&self) -> (i32, Value) {
        let (code, mut all) = self.town.homing_json(&["migrate", "status", NAME, "--json"]);
        (code, all[0].take())
    }

    fn advance(&self, more: &[&str]) -> (i32, String) {
        self.town.homing(&[&["migrate", "advance", NAME], more].concat())
    }

    async fn senders(&mut self) {
        for (name, _) in SENDERS {
            if let Some(old) = self.daemons.remove(name) {
                assert!(old.stop().await.success());
            }
        }
        for (name, shards) in SENDERS {
            let sender = self.town.spawn_with("sender", &["--shards", shards]);
            self.daemons.insert(name, sender.ready().await);
        }
    }

    /// Tells somebody again and again until it is by `provider`; answers how often it was not.
    async fn until_told(&mut self, user: u64, provider: &str) -> u64 {
        let mut other = 0;
        loop {
            self.probes += 1;
            let prefix = format!("probe-{}", self.probes);
            self.town.push(&prefix, "DEFAULT", [user]).await;
            let id = format!("{prefix}-{user}");
            let mut found = "";
            until("a probe arrives", async || {
                for (provider, token) in [("xinge", by_xinge(user)), ("fcm", by_fcm(user))] {
                    if self.town.got(provider, &token, &id).await > 0 {
                        found = if provider == "xinge" { "xinge" } else { "fcm" };
                    }
                }
                !found.is_empty()
            })
            .await;
            if found == provider {
                return other;
            }
            other += 1;
        }
    }

    /// An event to every user; `meanwhile` is done while they are under way.
    async fn round(&mut self, what: &'static str, percent: u32, meanwhile: impl AsyncFnOnce(&mut Self)) {
        let began = Instant::now();
        let prefix = format!("r{}", self.rounds.len());
        self.town.push(&prefix, "DEFAULT", self.users.clone()).await;
        meanwhile(self).await;
        self.town.settled(0).await;
        let took = began.elapsed();
        let [old, new]: [Arrived; 2] =
            [self.town.arrived("xinge", &prefix).await, self.town.arrived("fcm", &prefix).await];
        let (mut wrong, mut lost) = (0, 0);
        for user in &self.users {
            let id = format!("{prefix}-{user}");
            let got = [old.get(&(id.clone(), by_xinge(*user))), new.get(&(id, by_fcm(*user)))];
            let expected = usize::from(place(*user) < percent * 100);
            lost += usize::from(got == [None, None]);
            wrong += usize::from(got[1 - expected].is_some());
        }
        let repeats = old.values().chain(new.values()).map(|n| n - 1).sum();
        self.rounds.push(Round { what, old: old.len(), new: new.len(), wrong, lost, repeats, took });
        assert_eq!((wrong, lost), (0, 0), "{what}: told by the wrong side, and not at all");
        assert_eq!(old.len() + new.len(), self.users.len(), "{what}: nobody else, and nobody twice");
    }

    fn table(&self) {
        println!(
            "{:<34} {:>7} {:>6} {:>6} {:>5} {:>8} {:>8}",
            "step", "xinge", "fcm", "wrong", "lost", "repeats", "took"
        );
        for Round { what, old, new, wrong, lost, repeats, took } in &self.rounds {
            println!("{what:<34} {old:>7} {new:>6} {wrong:>6} {lost:>5} {repeats:>8} {:>6} ms", took.as_millis());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_ten_thousand_users() {
    let town = Town::start(
        &["xinge", "fcm"],
        "[channel.fcm]\nrate = 600000\nramp_ms = 1000\n[[route]]\nchannel = 'xinge'\n\
         [migration.leave_xinge]\nfrom = 'xinge'\nto = 'fcm'\n",
    )
    .await;
    let users = users();
    let probers = [0..100, 100..1_000, 1_000..10_000].map(prober);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for user in users.iter().chain(&probers) {
        rows.push((*user, "phone", "", by_xinge(*user), "higo", "prod"));
        rows.push((*user, "phone", "fcm", by_fcm(*user), "higo", "prod"));
    }
    town.register(&rows, "android");
    town.credentials("higo", false);
    let moved = |percent: u32| users.iter().filter(|user| place(**user) < percent * 100).count();
    let cohorts = [moved(1), moved(10), moved(100)];
    let mut all = Move { town, users, daemons: BTreeMap::new(), probes: 0, rounds: Vec::new() };
    all.senders().await;
    all.daemons.insert("distributor", all.town.daemon("distributor").await);

    // A key that Google does not know.
    let (code, plan) = all.town.homing(&["migrate", "plan", NAME]);
    println!("{plan}");
    assert!(code == 1 && plan.contains("is refused") && plan.contains("Invalid JWT Signature"), "{code}: {plan}");
    let (code, text) = all.advance(&[]);
    assert!(code == 0 && text.contains("off -> shadow"), "{code}: {text}");
    shadow_begins(&mut all, probers[0]).await;
    all.round("shadow, credential refused", 0, async |_| {}).await;
    let (code, status) = all.status().await;
    let shadow = &status["shadow"];
    println!("bad credential: {} {}\n  {}", shadow["ends"], status["errors"], status["verdict"]["text"]);
    let text = status["verdict"]["text"].as_str().unwrap();
    assert!(
        code == 1 && text.starts_with("do not advance: ") && text.contains("credentials that are refused"),
        "{text}"
    );
    assert!(shadow["config"].as_i64().unwrap() > 0 && shadow["delivered"] == 0, "{shadow}");
    let ends: i64 = shadow["ends"].as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum();
    assert!(ends >= 10_000 && status["old"]["delivered"] == ends, "every message had its rehearsal: {status:#}");
    let error = &status["errors"]["shadow"];
    assert!(error.as_str().unwrap().contains("Invalid JWT Signature"), "{error}");
    let seen = all.town.stats("fcm").await;
    assert!(seen["deliveries"] == 0 && seen["assertions_refused"].as_u64().unwrap() > 0, "{seen}");
    let (code, text) = all.advance(&[]);
    assert!(code == 1 && text.contains("--force"), "{code}: {text}");

    // Repaired.
    all.town.credentials("higo", true);
    all.senders().await;
    let (code, plan) = all.town.homing(&["migrate", "plan", NAME]);
    assert!(code == 0 && plan.contains("works"), "{code}: {plan}");
    let (code, text) = all.advance(&["--to", "shadow"]);
    assert!(code == 0, "to rehearse again needs no force: {text}");
    all.round("shadow, credential repaired", 0, async |_| {}).await;
    let (code, status) = all.status().await;
    assert_eq!((code, &status["verdict"]["text"]), (0, &json!("safe to advance")), "{status:#}");
    assert_eq!(status["old"]["ends"], json!({ "delivered": USERS }), "{status:#}");
    assert_eq!(status["shadow"]["ends"], status["old"]["ends"], "the sides have the same figures");
    let seen = all.town.stats("fcm").await;
    assert!(seen["deliveries"] == 0 && seen["validated"] == USERS, "{seen}");

    // 1 %.
    let (code, text) = all.advance(&[]);
    assert!(code == 0 && text.contains("-> live, 1 %"), "{code}: {text}");
    all.until_told(probers[0], "fcm").await;
    all.round("live, 1 %", 1, async |_| {}).await;
    let (code, text) = all.town.homing(&["explain", "--user", &probers[0].to_string()]);
    let way = "fcm as [channel.fcm.account.higo], else xinge; migration leave_xinge: new";
    assert!(code == 0 && text.contains(way), "{text}");
    let (_, text) = all.town.homing(&["explain", "--user", &probers[1].to_string()]);
    assert!(text.contains("xinge as [account.android_higo]; migration leave_xinge: old"), "{text}");

    // 10 %, and a distributor and a sender die of it.
    let (code, text) = all.advance(&[]);
    assert!(code == 0 && text.contains("-> live, 10 %"), "{code}: {text}");
    all.until_told(probers[1], "fcm").await;
    all.town.faults("xinge", json!({ "latency_ms": 40, "jitter_ms": 40 })).await;
    all.town.faults("fcm", json!({ "latency_ms": 40, "jitter_ms": 40 })).await;
    all.round("live, 10 %, kill -9", 10, killing).await;
    all.town.faults("xinge", json!({})).await;
    all.town.faults("fcm", json!({})).await;

    // 100 %.
    let (code, text) = all.advance(&["--to", "100"]);
    assert!(code == 0 && text.contains("-> live, 100 %"), "{code}: {text}");
    all.until_told(probers[2], "fcm").await;
    all.round("live, 100 %", 100, async |_| {}).await;
    let (code, status) = all.status().await;
    assert_eq!((code, &status["verdict"]["text"]), (0, &json!("safe to advance")), "{status:#}");
    let (code, text) = all.advance(&[]);
    assert!(code == 0 && text.contains("that is the last step"), "{code}: {text}");

    // Back.
    let (code, text) = all.town.homing(&["migrate", "rollback", NAME]);
    assert!(code == 0 && text.contains("everybody is told by xinge"), "{code}: {text}");
    let late = all.until_told(probers[0], "xinge").await;
    all.round("back", 0, async |_| {}).await;

    all.table();
    println!("cohorts of 1, 10 and 100 %: {cohorts:?}; still told by FCM after the rollback: {late}");
    let by_fcm: Vec<usize> = all.rounds.iter().map(|round| round.new).collect();
    assert_eq!(by_fcm, [0, 0, cohorts[0], cohorts[1], cohorts[2], 0]);
    let calm = all.rounds.iter().filter(|round| !round.what.contains("kill"));
    assert_eq!(calm.map(|round| round.repeats).sum::<u64>(), 0, "only a kill repeats");
}

/// Waits until the distributor rehearses.
async fn shadow_begins(all: &mut Move, user: u64) {
    let mut probes = 0;
    until("a rehearsal", async || {
        probes += 1;
        all.town.push(&format!("shadow-{probes}"), "DEFAULT", [user]).await;
        all.town.settled(0).await;
        let (_, status) = all.status().await;
        !status["shadow"]["ends"].as_object().unwrap().is_empty()
    })
    .await;
    // Its counts begin with the first message that every process knows it of.
    let (code, text) = all.advance(&["--to", "shadow"]);
    assert_eq!(code, 0, "{text}");
}

/// kill -9 of a distributor and a sender in the middle of it; others take their places.
async fn killing(all: &mut Move) {
    let began = all.town.counter("xinge", "send.delivered").await;
    until("some are told", async || all.town.counter("xinge", "send.delivered").await > began + 300).await;
    all.daemons.remove("distributor").unwrap().kill();
    until("more are told", async || all.town.counter("xinge", "send.delivered").await > began + 600).await;
    all.daemons.remove("sender 1").unwrap().kill();
    all.daemons.insert("sender 1", all.town.spawn_with("sender", &["--shards", SENDERS[0].1]));
    all.daemons.insert("distributor", all.town.spawn("distributor"));
}
