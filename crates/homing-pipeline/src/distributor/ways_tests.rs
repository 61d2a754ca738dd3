//! Which way every device is told, over whole batches: routes, dual registration, live ways, preferences, migrations.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use homing_core::{
    catalogue::Catalogue,
    clock::Millis,
    lookup::{Death, Explained, Lookup, Row, StoreDown, Verdict},
    notification::{Arm, Notification, Platform},
    queue::{Commit, Destination, Log, QueueName},
    receipt::Prover,
    record::Fate,
    rules::{Accepts, ProfileDefaults, Quiet, Rule},
    wire::Envelope,
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    DeliveryCodec, Devices, Lane,
    decide_tests::{self, Books, DAY, MIDNIGHT, MORNING, delivery, notifications},
    ways,
};
use crate::{
    migration::{Migration, Migrations, State, notice_of},
    routes::{Route, Routes},
};

/// Rows by the user's id; of all others the rows of `*`, with `{id}` in place of the id.
pub(super) struct Table(
    pub(super) &'static str,
    pub(super) Vec<(&'static str, &'static [(&'static str, &'static str)])>,
);

impl Lookup for Table {
    fn name(&self) -> &str {
        self.0
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        let of = |id: &str, known: &str| -> Vec<Row> {
            let rows = self.1.iter().filter(|(user, _)| *user == known);
            rows.map(|(_, row)| row.iter().map(|(k, v)| ((*k).to_owned(), v.replace("{id}", id))).collect()).collect()
        };
        let rows = ids.iter().map(|id| {
            let known = self.1.iter().any(|(user, _)| user == id);
            of(id, if known { id } else { "*" })
        });
        let rows = rows.collect();
        async move { Ok(rows) }.boxed()
    }

    fn explain<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        async { Ok(Explained::default()) }.boxed()
    }

    /// Refuses only what says so.
    fn judge(&self, rows: &[Row], _: Millis) -> Verdict {
        let seen = rows.first().and_then(|row| row.get("value")).cloned().unwrap_or_default();
        Verdict { pass: seen != "no", seen: format!("value={seen}") }
    }

    fn forget<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        async { Ok(false) }.boxed()
    }
}

pub(super) type Rows = Vec<(&'static str, &'static [(&'static str, &'static str)])>;

const TYPES: &str = "[SENT]\ncode = 7\ntitle = 't'\nbody = 'b'\n[SILENT]\ncode = 8\nsilent = true\n\
                     [BOTH]\ncode = 9\ntitle = 't'\nbody = 'b'\nsilent_copy = true\ncollapse = 'k'\n\
                     [DROP]\ncode = 10\nbody = 'b'\nquiet = 'drop'\n[LOUD]\ncode = 11\nbody = 'b'\nquiet = 'ignore'";

const KEY: [u8; 16] = [7; 16];

pub(super) const PHONES: [Platform; 2] = [Platform::Android, Platform::Ios];

/// A lane that delivers by apns (iPhones), fcm and xinge (both), and mqtt.
pub(super) fn lane(devices: Rows, change: impl FnOnce(&mut Lane)) -> Lane {
    decide_tests::lane(|lane| {
        lane.catalogue = Arc::new(Catalogue::parse("types.toml", TYPES).unwrap());
        (lane.rules, lane.facts, lane.profile, lane.has_quiet) = (Vec::new(), Vec::new(), None, false);
        lane.devices = Devices::All;
        lane.tokens = Arc::new(Table("tokens", devices));
        lane.deliveries = BTreeMap::from([
            ("apns".to_owned(), delivery("apns_{n}", &[Platform::Ios])),
            ("fcm".to_owned(), delivery("fcm_{n}", &PHONES)),
            ("xinge".to_owned(), delivery("xinge_{n}", &PHONES)),
            ("mqtt".to_owned(), delivery("mqtt_{n}", &[Platform::Mqtt])),
        ]);
        change(lane);
    })
}

/// Rules over tables, and the lane's night.
pub(super) fn rules(lane: &mut Lane, tables: Vec<Table>, quiet: bool) {
    for table in tables {
        let table: Arc<dyn Lookup> = Arc::new(table);
        lane.rules.push(Arc::new(Accepts::new(table.name(), Arc::clone(&table))) as Arc<dyn Rule>);
        lane.facts.push(table);
    }
    if quiet {
        let night = Some(("23:00".to_owned(), "08:00".to_owned()));
        lane.defaults = ProfileDefaults { locale: "zh".into(), zone: "Asia/Shanghai".into(), quiet: night };
        lane.rules.push(Arc::new(Quiet::new(None, lane.defaults.clone())));
        lane.has_quiet = true;
    }
}

pub(super) fn route(channel: &str, fallback: &[&str], platform: Option<Platform>) -> Route {
    let fallback = fallback.iter().map(|name| (*name).to_owned()).collect();
    Route { channel: channel.into(), fallback, platform, ..Route::default() }
}

/// Works one event and checks the books.
pub(super) async fn tell(lane: &Lane, event: serde_json::Value, now: Millis) -> Commit {
    let (batch, commit) = decide_tests::work(lane, Log::MAIN, &[event.to_string().into()], &[], now).await;
    let mut books = Books::default();
    books.apply(&batch, &commit);
    books.balanced();
    let targets: i64 = notifications(&commit).iter().map(|n| i64::try_from(n.targets.len()).unwrap()).sum();
    let handed: i64 = commit.append.iter().map(|append| append.counts.get("send.in")).sum();
    assert_eq!(handed, targets, "every target is counted where it goes");
    commit
}

pub(super) fn to(user: &str, kind: u64) -> serde_json::Value {
    json!({"id": "m", "type": kind, "to": {"user": user}})
}

/// The list's channel and the notification, in the order of the lists.
fn sent(commit: &Commit) -> Vec<(String, Notification)> {
    let main = commit.append.iter().filter_map(|append| match &append.to {
        Destination::Queue(queue) => Some((queue.to_string(), &append.items)),
        Destination::Own(_) => None,
    });
    let item = |(queue, item): (String, &Bytes)| {
        (queue.split('_').next().unwrap().to_owned(), Notification::decode(item).unwrap())
    };
    main.flat_map(|(queue, items)| items.iter().map(move |i| (queue.clone(), i))).map(item).collect()
}

/// `channel: user/token (alternates)` of every target.
pub(super) fn told(commit: &Commit) -> Vec<String> {
    let mut told = Vec::new();
    for (channel, notification) in sent(commit) {
        for target in notification.targets {
            let mut text = format!("{channel}: {}/{}", target.user, target.token);
            for other in target.alternates {
                text += &format!(" or {} {}", other.channel, other.token);
            }
            told.push(text);
        }
    }
    told
}

pub(super) fn why(commit: &Commit) -> Vec<String> {
    let ends = commit.records.iter().filter(|record| record.fate == Fate::NoDevice);
    ends.map(|record| format!("{}: {}", record.target.clone().unwrap(), record.reason.clone().unwrap_or_default()))
        .collect()
}

pub(super) const ANDROID: &[(&str, &str)] = &[("token", "a-{id}"), ("platform", "android"), ("app", "higo")];
pub(super) const IPHONE: &[(&str, &str)] = &[("token", "i-{id}"), ("platform", "ios"), ("app", "higo")];

#[tokio::test]
async fn the_first_route_that_matches_has_the_device() {
    let both = vec![("*", ANDROID), ("*", IPHONE)];
    let lane = lane(both, |lane| {
        let only_type = Route { types: vec![9], ..route("fcm", &[], None) };
        lane.routes = Routes::new(vec![
            only_type,
            route("apns", &["fcm"], Some(Platform::Ios)),
            route("xinge", &["fcm", "xinge"], None),
        ]);
    });
    let commit = tell(&lane, to("1", 7), DAY).await;
    assert_eq!(told(&commit), ["xinge: 1/a-1 or fcm a-1", "apns: 1/i-1 or fcm i-1"]);
    let queued = commit.records.iter().filter_map(|r| match &r.fate {
        Fate::Queued { channel } => Some(channel.as_str()),
        _ => None,
    });
    assert_eq!(queued.collect::<Vec<_>>(), ["xinge", "apns"]);
    let commit = tell(&lane, to("1", 10), DAY).await;
    assert_eq!(told(&commit).len(), 2);
    let commit = tell(&lane, to("1", 9), DAY).await;
    let channels: BTreeSet<String> = sent(&commit).into_iter().map(|(channel, _)| channel).collect();
    assert_eq!(channels, BTreeSet::from(["fcm".to_owned()]), "a route for a type");
}

#[tokio::test]
async fn without_a_route_the_only_channel_for_a_platform_is_meant() {
    let few = |devices: Rows| lane(devices, |lane| drop(lane.deliveries.remove("xinge")));
    let lane = few(vec![("1", ANDROID), ("2", IPHONE)]);
    assert_eq!(told(&tell(&lane, to("1", 7), DAY).await), ["fcm: 1/a-1"]);
    let commit = tell(&lane, to("2", 7), DAY).await;
    assert_eq!(
        why(&commit),
        ["2: no route for ios devices of app higo: the lane delivers by apns, fcm, mqtt"],
        "apns or fcm"
    );
    assert_eq!(commit.counts.get("send.no_device"), 1);
}

#[tokio::test]
async fn tokens_of_one_device_are_one_target() {
    let dual: Rows = vec![
        ("*", &[("token", "x"), ("platform", "android"), ("app", "higo"), ("channel", "xinge"), ("device", "d1")]),
        ("*", &[("token", "other"), ("platform", "android"), ("app", "higo"), ("channel", "fcm"), ("device", "d2")]),
        ("*", &[("token", "f"), ("platform", "android"), ("app", "higo"), ("channel", "fcm"), ("device", "d1")]),
        ("*", &[("token", "g"), ("platform", "android"), ("app", "higirl"), ("channel", "fcm"), ("device", "d1")]),
    ];
    let own = lane(dual.clone(), |_| {});
    let commit = tell(&own, to("1", 7), DAY).await;
    assert_eq!(told(&commit), ["xinge: 1/x or fcm f", "fcm: 1/other", "fcm: 1/g"], "in the order of the rows");
    assert_eq!(commit.counts.get("rules.passed"), 1);
    let routed = lane(dual.clone(), |lane| lane.routes = Routes::new(vec![route("fcm", &["xinge"], None)]));
    assert_eq!(told(&tell(&routed, to("1", 7), DAY).await), ["fcm: 1/f or xinge x", "fcm: 1/other", "fcm: 1/g"]);
    let first = lane(dual.clone(), |lane| lane.devices = Devices::First);
    assert_eq!(told(&tell(&first, to("1", 7), DAY).await), ["xinge: 1/x or fcm f"]);
    // HIGO's own sender knows one token, and its items no other sender reads.
    let php = lane(dual.clone(), |lane| lane.deliveries.get_mut("fcm").unwrap().codec = DeliveryCodec::Php);
    let commit = tell_php(&php, to("1", 7)).await;
    assert!(commit.iter().all(|n| n.targets.iter().all(|t| t.alternates.is_empty())), "not from xinge to fcm");
    let none = lane(dual, |lane| lane.routes = Routes::new(vec![route("hms", &["apns"], None)]));
    let commit = tell(&none, to("1", 7), DAY).await;
    assert_eq!(why(&commit), ["1: the lane has no lists for android devices by hms, apns"]);

    let listed: Vec<_> = ways(&routed, None, "1", None, &routed.tokens.rows(&["1"]).await.unwrap()[0])
        .into_iter()
        .map(|told| (told.token, told.channel, told.fallback))
        .collect();
    let entry = |token: &str, fallback: &[&str]| {
        (token.to_owned(), Ok("fcm".to_owned()), fallback.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(listed, [entry("..f", &["xinge"]), entry("..ther", &[]), entry("..g", &[])]);
}

/// Only the items that Homing's own senders read.
async fn tell_php(lane: &Lane, event: serde_json::Value) -> Vec<Notification> {
    let commit = decide_tests::events(lane, &[event], DAY).await;
    let items: Vec<Bytes> = commit.append.iter().flat_map(|append| append.items.clone()).collect();
    items.iter().filter_map(|item| Notification::decode(item).ok()).collect()
}

#[tokio::test]
async fn a_token_may_name_its_channel() {
    let lane = lane(Vec::new(), |_| {});
    let tokens = json!([
        {"token": "t1", "platform": "ios", "app": "higo", "channel": "apns"},
        {"token": "t2", "platform": "ios", "app": "higo"},
        {"token": "user/7", "platform": "mqtt", "app": "higo"},
    ]);
    let commit = tell(&lane, json!({"id": "m", "type": 7, "to": {"tokens": tokens}}), DAY).await;
    assert_eq!(told(&commit), ["apns: /t1", "mqtt: /user/7"]);
    assert_eq!(
        why(&commit),
        ["/..t2: no route for ios devices of app higo: the lane delivers by apns, fcm, mqtt, xinge"]
    );
    assert_eq!((commit.counts.get("rules.in"), commit.counts.get("rules.passed")), (3, 3));
}

#[tokio::test]
async fn an_app_in_use_is_not_woken_for_nothing() {
    let focus: Rows = vec![
        (
            "1",
            &[
                ("token", "i"),
                ("platform", "ios"),
                ("app", "higo"),
                ("channel", "apns"),
                ("focus", "1"),
                ("clean", "1"),
            ],
        ),
        ("2", &[("token", "i"), ("platform", "ios"), ("app", "higo"), ("channel", "apns"), ("focus", "0")]),
    ];
    let plain = lane(focus.clone(), |_| {});
    let commit = tell(&plain, to("1", 7), DAY).await;
    assert!(sent(&commit)[0].1.targets[0].clean, "a shown one goes, and the user's data with it");
    let commit = tell(&plain, to("1", 8), DAY).await;
    assert_eq!(why(&commit), ["1: the app is in use, and the message shows nothing"]);
    assert!(sent(&tell(&plain, to("2", 8), DAY).await)[0].1.silent);

    let otherwise = lane(focus, |lane| lane.otherwise = Some("mqtt".into()));
    let commit = tell(&otherwise, to("1", 8), DAY).await;
    assert_eq!(told(&commit), ["mqtt: 1/user/1"]);
    assert_eq!(commit.counts.get("send.no_device"), 0);
    let passed = commit.records.iter().find(|record| record.fate == Fate::Passed).unwrap();
    let reason = "only by a live way: the app is in use, and the message shows nothing";
    assert_eq!(passed.reason.as_deref(), Some(reason));
}

#[tokio::test]
async fn a_silent_copy_follows_on_iphones() {
    let lane = lane(vec![("1", IPHONE), ("2", ANDROID)], |lane| {
        lane.routes = Routes::new(vec![route("fcm", &[], Some(Platform::Android)), route("apns", &[], None)]);
        lane.prover = Prover::new(&KEY).map(Arc::new);
    });
    let event = json!({"id": "m", "type": 9, "to": {"user": "1"}, "data": {"order": 5}});
    let commit = tell(&lane, event, DAY).await;
    let [(_, shown), (_, copy)] = &sent(&commit)[..] else { panic!("{:?}", told(&commit)) };
    assert_eq!((shown.title.as_str(), shown.silent, shown.key()), ("t", false, "k"));
    assert_eq!((copy.title.as_str(), copy.body.as_str(), copy.silent, copy.key()), ("", "", true, "k:silent"));
    assert_eq!((&copy.custom, copy.id.as_str()), (&shown.custom, "m"));
    assert_eq!(shown.custom["order"], 5);
    assert_eq!(shown.custom["homing"], json!({"id": "m", "proof": Prover::new(&KEY).unwrap().prove("m")}));
    assert_eq!(commit.append.len(), 1, "in the same list, right behind");
    assert_eq!(told(&tell(&lane, to("2", 9), DAY).await), ["fcm: 2/a-2"], "only iPhones");
}

#[tokio::test]
async fn an_old_sender_gets_neither_copies_nor_proofs() {
    let php = lane(vec![("*", IPHONE)], |lane| {
        lane.deliveries = [("xinge".to_owned(), delivery("xinge_{n}", &[]))].into();
        lane.deliveries.get_mut("xinge").unwrap().codec = DeliveryCodec::Php;
        lane.prover = Prover::new(&KEY).map(Arc::new);
    });
    let commit = decide_tests::events(&php, &[to("1", 9)], DAY).await;
    let items: Vec<&Bytes> = commit.append.iter().flat_map(|append| &append.items).collect();
    let [item] = items[..] else { panic!("{} items", items.len()) };
    assert!(!String::from_utf8_lossy(item).contains("homing"));
}

#[tokio::test]
async fn a_group_itself_is_told_once() {
    let announced = lane(vec![("*", ANDROID)], |lane| {
        lane.announce = Some("mqtt".into());
        lane.routes = Routes::new(vec![route("fcm", &[], None)]);
        lane.deliveries.get_mut("fcm").unwrap().page = 64;
    });
    let group = |size: &str| json!({"id": "m", "type": 7, "to": {"group": size, "members": true}});
    let of_group =
        |commit: &Commit| told(commit).into_iter().filter(|told| told.starts_with("mqtt")).collect::<Vec<_>>();
    let commit = tell(&announced, group("0"), DAY).await;
    assert_eq!(told(&commit), ["mqtt: /group/0"], "also without a member");
    assert_eq!(told(&tell(&announced, group("2"), DAY).await), ["mqtt: /group/2", "fcm: 1/a-1", "fcm: 2/a-2"]);
    let to_owner = tell(&announced, json!({"type": 7, "to": {"user": "1"}}), DAY).await;
    assert!(of_group(&to_owner).is_empty());

    let mut books = Books::default();
    let (mut log, mut body) = (Log::MAIN, Bytes::from(group("12000").to_string()));
    let (mut rounds, mut members) = (0, 0);
    loop {
        let (batch, commit) = decide_tests::work(&announced, log, &[body.clone()], &[], DAY).await;
        books.apply(&batch, &commit);
        books.balanced();
        let expected: &[&str] = if rounds == 0 { &["mqtt: /group/12000"] } else { &[] };
        assert_eq!(of_group(&commit), expected, "on the first page only");
        assert!(notifications(&commit).iter().all(|n| n.targets.len() <= 64), "the channel's own page");
        members += told(&commit).len() - expected.len();
        rounds += 1;
        let Some(next) = commit.append.iter().find(|a| a.to == Destination::Own(Log::FANOUT)) else { break };
        (log, body) = (Log::FANOUT, next.items[0].clone());
    }
    assert_eq!((rounds, members), (3, 12_000));
}

#[tokio::test]
async fn who_has_no_device_is_told_otherwise() {
    let lane = |key: Option<&str>| {
        lane(vec![("1", ANDROID), ("x", ANDROID)], |lane| {
            lane.otherwise = key.map(str::to_owned);
            lane.routes = Routes::new(vec![route("fcm", &[], None)]);
        })
    };
    let event = json!({"id": "m", "type": 7, "to": {"users": ["1", "2"]}});
    let commit = tell(&lane(Some("mqtt")), event.clone(), DAY).await;
    assert_eq!(told(&commit), ["fcm: 1/a-1", "mqtt: 2/user/2"]);
    assert_eq!((commit.counts.get("rules.passed"), commit.counts.get("send.no_device")), (2, 0));
    let commit = tell(&lane(None), event, DAY).await;
    assert_eq!((told(&commit), why(&commit)), (vec!["fcm: 1/a-1".to_owned()], vec!["2: ".to_owned()]));
    let wanted = json!({"type": 7, "to": {"user": "1"}, "app": "higirl"});
    let commit = tell(&lane(None), wanted, DAY).await;
    assert_eq!(why(&commit), ["1: 1 devices, none of app higirl"]);
    let of_group = json!({"type": 7, "to": {"group": "2", "members": true}});
    assert_eq!(told(&tell(&lane(Some("mqtt")), of_group, DAY).await), ["fcm: 1/a-1"], "a group has its own topic");
}

#[tokio::test]
async fn live_ways_pass_what_only_keeps_from_waking() {
    const NO: &[(&str, &str)] = &[("value", "no")];
    let topic: &[(&str, &str)] = &[("token", "own/{id}"), ("platform", "mqtt"), ("app", "higo")];
    let devices = vec![("*", ANDROID), ("own", ANDROID), ("own", topic)];
    let with = |otherwise: Option<&str>| {
        lane(devices.clone(), |lane| {
            lane.otherwise = otherwise.map(str::to_owned);
            lane.routes = Routes::new(vec![route("mqtt", &[], Some(Platform::Mqtt)), route("fcm", &[], None)]);
            let online = Table("online", vec![("on", NO), ("out", NO), ("own", NO)]);
            rules(lane, vec![Table("login", vec![("out", NO)]), online], false);
        })
    };
    let event = json!({"id": "m", "type": 7, "to": {"users": ["a", "on", "out", "own"]}});
    let commit = tell(&with(Some("mqtt")), event.clone(), DAY).await;
    assert_eq!(told(&commit), ["fcm: a/a-a", "mqtt: on/user/on", "mqtt: own/own/own"]);
    let count = |commit: &Commit, field| commit.counts.get(field);
    assert_eq!((count(&commit, "rules.passed"), count(&commit, "rules.skipped.login")), (3, 1));
    let passed = commit.records.iter().find(|record| record.fate == Fate::Passed).unwrap();
    assert_eq!(passed.reason.as_deref(), Some("only by a live way: online: value=no"));
    let commit = tell(&with(None), event, DAY).await;
    assert_eq!(told(&commit), ["fcm: a/a-a", "mqtt: own/own/own"]);
    assert_eq!(count(&commit, "rules.skipped.online"), 1);
}

#[tokio::test]
async fn at_night_live_ways_are_told_at_once_and_phones_in_the_morning() {
    let topic: &[(&str, &str)] = &[("token", "own/{id}"), ("platform", "mqtt"), ("app", "higo")];
    let lane = lane(vec![("phone", ANDROID), ("own", topic), ("none", &[])], |lane| {
        lane.otherwise = Some("mqtt".into());
        lane.routes = Routes::new(vec![route("mqtt", &[], Some(Platform::Mqtt)), route("fcm", &[], None)]);
        rules(lane, Vec::new(), true);
    });
    let event = |kind: u64| json!({"id": "m", "type": kind, "to": {"users": ["phone", "own", "none"]}});
    let commit = tell(&lane, event(7), MIDNIGHT).await;
    let mut live = told(&commit);
    live.sort_unstable();
    assert_eq!(live, ["mqtt: none/user/none", "mqtt: own/own/own", "mqtt: phone/user/phone"]);
    assert!(notifications(&commit).iter().all(|n| n.quiet.is_none()), "and a retry need not wait either");
    assert_eq!((commit.counts.get("rules.passed"), commit.counts.get("rules.deferred")), (2, 1));
    let [later] = &commit.delay[..] else { panic!("{} envelopes", commit.delay.len()) };
    assert_eq!(Envelope::decode(&later.body).unwrap().only, ["phone"]);
    let (_, commit) = decide_tests::work(&lane, Log::RETRY, std::slice::from_ref(&later.body), &[], MORNING).await;
    assert_eq!(told(&commit), ["fcm: phone/a-phone"], "not once more by mqtt");
    assert!(notifications(&commit)[0].quiet.is_some());

    let commit = tell(&lane, event(10), MIDNIGHT).await;
    assert_eq!((told(&commit).len(), commit.delay.len(), commit.counts.get("rules.passed")), (3, 0, 3), "dropped");
    let loud = tell(&lane, event(11), MIDNIGHT).await;
    assert!(told(&loud).contains(&"fcm: phone/a-phone".to_owned()));
}

#[tokio::test]
async fn a_user_may_not_want_a_type() {
    let lane = lane(vec![("*", ANDROID)], |lane| {
        lane.otherwise = Some("mqtt".into());
        lane.routes = Routes::new(vec![route("fcm", &[], None)]);
        lane.facts.push(Arc::new(Table(
            "preferences",
            vec![("1", &[("muted", "DROP, SENT")]), ("2", &[("muted", "10,7")]), ("3", &[("muted", "70,SENTX")])],
        )));
        lane.preferences = Some("preferences".into());
    });
    let users = |kind: u64| json!({"id": "m", "type": kind, "to": {"users": ["1", "2", "3", "4"]}});
    let commit = tell(&lane, users(7), DAY).await;
    assert_eq!(told(&commit), ["fcm: 3/a-3", "fcm: 4/a-4"]);
    assert_eq!(commit.counts.get("rules.skipped.preference"), 2);
    let skipped = commit.records.iter().find(|record| record.target.as_deref() == Some("1")).unwrap();
    assert_eq!(skipped.reason.as_deref(), Some("muted=DROP, SENT"));
    assert_eq!(told(&tell(&lane, users(11), DAY).await).len(), 4);
}

#[tokio::test]
async fn a_preview_shows_what_a_distributor_would_do() {
    let lane = lane(vec![("*", ANDROID), ("5", IPHONE)], |lane| {
        lane.announce = Some("mqtt".into());
        lane.routes = Routes::new(vec![route("fcm", &[], Some(Platform::Android))]);
    });
    let group = json!({"id": "g", "type": 7, "to": {"group": "12000", "members": true}});
    let one = |id: &str, user: &str| json!({"id": id, "type": 7, "to": {"user": user}}).to_string().into();
    let bodies = vec![group.to_string().into(), one("five", "5"), one("six", "6")];
    let whole = super::foresee(&lane, DAY, &QueueName::new("q"), bodies).await.unwrap();
    let all = told(&whole);
    assert_eq!(all.iter().filter(|told| told.starts_with("mqtt")).collect::<Vec<_>>(), ["mqtt: /group/12000"]);
    assert_eq!(all.len(), 1 + 4_999 + 1, "the first page");
    let reason = "no route for ios devices of app higo: the lane delivers by apns, fcm, mqtt, xinge";
    assert!(why(&whole).contains(&format!("5: {reason}")), "{:?}", why(&whole));
    assert_eq!(sent(&whole).iter().filter(|(channel, n)| channel == "fcm" && n.id == "six").count(), 1);
}

// === migrations ===

const OLD: &[(&str, &str)] = &[("token", "x-{id}"), ("platform", "android"), ("app", "higo"), ("device", "d")];
const NEW: &[(&str, &str)] =
    &[("token", "f-{id}"), ("platform", "android"), ("app", "higo"), ("device", "d"), ("channel", "fcm")];

/// A lane on its way from xinge to fcm, and the board.
fn moving(devices: Rows) -> (Lane, watch::Sender<Arc<BTreeMap<String, String>>>) {
    let (tell, notices) = watch::channel(Arc::new(BTreeMap::new()));
    let migration = Migration { name: "x2f".into(), from: "xinge".into(), to: "fcm".into(), ..Migration::default() };
    let lane = lane(devices, |lane| {
        lane.routes = Routes::new(vec![route("xinge", &[], None)]);
        lane.migrations = Migrations::new("system", [migration], notices);
        lane.batch = 1_000;
    });
    (lane, tell)
}

fn post(board: &watch::Sender<Arc<BTreeMap<String, String>>>, state: &State) {
    board.send_modify(|board| drop(Arc::make_mut(board).insert(notice_of("x2f"), state.format())));
}

/// How many targets by channel and side.
fn sides(commit: &Commit) -> BTreeMap<(String, Option<Arm>), usize> {
    let mut sides = BTreeMap::new();
    for (channel, notification) in sent(commit) {
        *sides.entry((channel, notification.cohort.map(|cohort| cohort.arm))).or_default() +=
            notification.targets.len();
    }
    sides
}

#[tokio::test]
async fn a_cohort_moves_goes_on_and_back() {
    let (lane, board) = moving(vec![("*", OLD), ("*", NEW)]);
    let mut moved_before: HashMap<String, ()> = HashMap::new();
    for percent in [0.0, 1.0, 12.5, 50.0, 100.0] {
        post(&board, &State::live(percent));
        let (mut moved, mut others) = (HashMap::new(), 0);
        for thousand in 0..10 {
            let users: Vec<String> = (0..1_000).map(|n| (thousand * 1_000 + n).to_string()).collect();
            let commit = tell(&lane, json!({"id": "m", "type": 7, "to": {"users": users}}), DAY).await;
            assert_eq!(commit.counts.get("rules.passed"), 1_000);
            for (channel, notification) in sent(&commit) {
                let arm = notification.cohort.unwrap().arm;
                for target in notification.targets {
                    let alternates: Vec<&str> = target.alternates.iter().map(|a| a.channel.as_str()).collect();
                    match (channel.as_str(), arm) {
                        ("fcm", Arm::New) => {
                            assert_eq!(alternates, ["xinge"], "with the way back");
                            assert_eq!(target.token, format!("f-{}", target.user));
                            moved.insert(target.user, ());
                        }
                        ("xinge", Arm::Old) => {
                            assert!(alternates.is_empty(), "nothing that the route does not say");
                            others += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        assert_eq!(moved.len() + others, 10_000, "each by one way");
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let share = moved.len() as f64 / 100.0;
        assert!((share - percent).abs() <= 1.0, "{share} of {percent} %");
        assert!(moved_before.keys().all(|user| moved.contains_key(user)), "who moved stays");
        moved_before = moved;
    }
    post(&board, &State::default());
    let users: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let commit = tell(&lane, json!({"id": "m", "type": 7, "to": {"users": users}}), DAY).await;
    assert_eq!(sides(&commit), [(("xinge".to_owned(), None), 200)].into(), "all back with the next batch");
    board.send_modify(|board| drop(Arc::make_mut(board).insert(notice_of("x2f"), "{garbled".into())));
    assert_eq!(told(&tell(&lane, to("1", 7), DAY).await), ["xinge: 1/x-1"]);
}

#[tokio::test]
async fn a_rehearsal_takes_nothing_away() {
    let (lane, board) = moving(vec![("*", OLD), ("*", NEW), ("single", OLD), ("late", NEW)]);
    post(&board, &State::shadow(100.0));
    let commit = tell(&lane, json!({"id": "m", "type": 7, "to": {"users": ["1", "single"]}}), DAY).await;
    let mut got = told(&commit);
    got.sort_unstable();
    assert_eq!(got, ["fcm: 1/f-1", "xinge: 1/x-1", "xinge: single/x-single"]);
    let count = |sides: &BTreeMap<_, usize>, channel: &str, arm| sides.get(&(channel.to_owned(), arm)).copied();
    let by = sides(&commit);
    assert_eq!(count(&by, "xinge", Some(Arm::Old)), Some(2), "who cannot move is counted, too");
    assert_eq!(count(&by, "fcm", Some(Arm::Shadow)), Some(1));
    assert!(sent(&commit).iter().all(|(_, n)| n.id == "m" && n.is_rehearsal() == (n.targets[0].token == "f-1")));
    assert_eq!(commit.counts.get("rules.passed"), 2);
    let why = commit.records.iter().filter_map(|record| record.reason.as_deref());
    assert_eq!(why.filter(|why| *why == "migration x2f: shadow").count(), 1);

    let users: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let event = json!({"id": "m", "type": 7, "to": {"users": users}});
    post(&board, &State::shadow(10.0));
    let by = sides(&tell(&lane, event, DAY).await);
    assert_eq!(count(&by, "xinge", Some(Arm::Old)), Some(2_000));
    assert!((150..=250).contains(&count(&by, "fcm", Some(Arm::Shadow)).unwrap()), "{by:?}");
    // A device of the new channel only has no part in it: the route decides.
    let commit = tell(&lane, to("late", 7), DAY).await;
    assert_eq!(self::why(&commit), ["late: the device (android, higo) has no token for xinge"]);
    assert_eq!(
        ways(&lane, None, "1", None, &lane.tokens.rows(&["1"]).await.unwrap()[0])[0].channel,
        Ok("xinge".into())
    );
}
