//! Decisions over facts that are handed in, and books that must balance after every one of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use homing_core::{
    catalogue::Catalogue,
    clock::Millis,
    event::Map,
    ledger::{Role, balance},
    lookup::{Death, Explained, Lookup, Members, Page, Row, StoreDown, Verdict},
    notification::{Environment, Notification, Platform},
    queue::{Commit, Destination, Item, Log, LogDepth, LogState, Mark, Opened, QueueName, Snapshot},
    rules::{Accepts, ProfileDefaults, Quiet, Rule},
    window::Window,
    wire::Envelope,
};
use serde_json::json;

use super::{
    Delivery, DeliveryCodec, Devices, Lane,
    decide::gather,
    intake::{self, Batch},
};
use crate::{lane::Shards, migration::Migrations, routes::Routes};

/// Midnight in Shanghai, and the morning after.
pub(super) const MIDNIGHT: Millis = 1_795_190_400_000;
pub(super) const MORNING: Millis = MIDNIGHT + 8 * 3_600_000;
/// Day in Shanghai and in London.
pub(super) const DAY: Millis = MIDNIGHT + 20 * 3_600_000;

/// Facts by the user's number: `ok` refuses those that 5 divides, `tokens` has two devices for each but 7's multiples.
pub(super) struct Facts(pub(super) &'static str);

impl Lookup for Facts {
    fn name(&self) -> &str {
        self.0
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        let row = |fields: &[(&str, String)]| fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect::<Row>();
        let rows = ids.iter().map(|id| {
            let number: u64 = id.parse().unwrap();
            match self.0 {
                "ok" => vec![row(&[("value", u64::from(!number.is_multiple_of(5)).to_string())])],
                "profile" if number.is_multiple_of(2) => {
                    vec![row(&[("time_zone", "UTC".into()), ("locale", "en-GB".into())])]
                }
                "profile" => Vec::new(),
                _ if number.is_multiple_of(7) => Vec::new(),
                _ => ["higo", "higirl"]
                    .map(|app| {
                        let (token, platform) = (format!("{app}-{id}"), "android".to_owned());
                        row(&[("token", token), ("platform", platform), ("app", app.to_owned())])
                    })
                    .into(),
            }
        });
        let rows = rows.collect();
        async move { Ok(rows) }.boxed()
    }

    fn explain<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        async { Ok(Explained::default()) }.boxed()
    }

    fn judge(&self, rows: &[Row], _: Millis) -> Verdict {
        let seen = rows.first().and_then(|row| row.get("value")).cloned().unwrap_or_default();
        Verdict { pass: seen == "1", seen }
    }

    fn forget<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        async { Ok(false) }.boxed()
    }
}

/// A group whose members are 1, 2, ..., as many as its id says.
struct Numbers;

impl Members for Numbers {
    fn name(&self) -> &str {
        "numbers"
    }

    fn page<'a>(&'a self, of: &'a str, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Page, StoreDown>> {
        let size: usize = of.parse().unwrap();
        let from = after.map_or(1, |after| after.parse::<usize>().unwrap() + 1);
        let to = size.min(from + limit - 1);
        let members: Vec<String> = (from..=to).map(|n| n.to_string()).collect();
        let next = (to < size).then(|| to.to_string());
        async move { Ok(Page { members, next }) }.boxed()
    }
}

/// Three lists of a channel.
pub(super) fn delivery(name: &str, platforms: &[Platform]) -> Delivery {
    let (lists, platforms) = (Shards::new(name, 1, 3).unwrap(), platforms.to_vec());
    Delivery { lists, codec: DeliveryCodec::Own, page: 1_000, platforms }
}

pub(super) fn lane(change: impl FnOnce(&mut Lane)) -> Lane {
    let types = "[SENT]\ncode = 7\ntitle = '已发货'\nbody = 'b'\nttl_seconds = 86400\nlocale.en = { title = 'Shipped' }\n\
                 [LOUD]\ncode = 8\nbody = 'b'\nquiet = 'ignore'\n[SHY]\ncode = 9\nbody = 'b'\nquiet = 'drop'";
    let ok: Arc<dyn Lookup> = Arc::new(Facts("ok"));
    let profile: Arc<dyn Lookup> = Arc::new(Facts("profile"));
    let night = Some(("23:00".to_owned(), "08:00".to_owned()));
    let defaults = ProfileDefaults { locale: "zh".into(), zone: "Asia/Shanghai".into(), quiet: night };
    let quiet = Quiet::new(Some("profile".into()), defaults.clone());
    let mut lane = Lane {
        name: "system".into(),
        codec: homing_codec::Codec::Auto,
        map: Map::default(),
        catalogue: Arc::new(Catalogue::parse("types.toml", types).unwrap()),
        rules: vec![Arc::new(Accepts::new("ok", Arc::clone(&ok))) as Arc<dyn Rule>, Arc::new(quiet)],
        facts: vec![ok, profile],
        owners: None,
        enumerators: HashMap::from([("members", Arc::new(Numbers) as Arc<dyn Members>)]),
        tokens: Arc::new(Facts("tokens")),
        devices: Devices::First,
        profile: Some("profile".into()),
        defaults,
        has_quiet: true,
        release: Duration::ZERO,
        deliveries: [("xinge".to_owned(), delivery("x{n}", &[]))].into(),
        routes: Routes::default(),
        announce: None,
        otherwise: None,
        sockets: None,
        presence: None,
        inbox: None,
        preferences: None,
        migrations: Migrations::default(),
        prover: None,
        page: 1_000,
        high_water: 0,
        batch: 256,
    };
    change(&mut lane);
    lane
}

pub(super) fn opened() -> Opened {
    super::unowned()
}

/// Works `bodies` of a list at a time.
pub(super) async fn work(lane: &Lane, log: Log, bodies: &[Bytes], marks: &[Mark], now: Millis) -> (Batch, Commit) {
    let items = bodies.iter().cloned().zip(0..).map(|(body, seq)| Item { seq, body }).collect();
    let mut window = Window::open(&LogState { log, head: 0, checkpoint: Bytes::new() });
    let places: Vec<_> = window.accept(items).into_iter().map(|seq| (0, seq)).collect();
    let batch = intake::read(lane, &opened(), &QueueName::new("q"), &[window], &places, false, now);
    let commit = gather(lane, &batch, marks, now).await.unwrap().decide(lane);
    (batch, commit)
}

pub(super) async fn events(lane: &Lane, events: &[serde_json::Value], now: Millis) -> Commit {
    let bodies: Vec<Bytes> = events.iter().map(|e| e.to_string().into()).collect();
    work(lane, Log::MAIN, &bodies, &[], now).await.1
}

pub(super) fn notifications(commit: &Commit) -> Vec<Notification> {
    let main = commit.append.iter().filter(|a| matches!(a.to, Destination::Queue(_)));
    main.flat_map(|a| a.items.iter().map(|item| Notification::decode(item).unwrap())).collect()
}

pub(super) fn told(commit: &Commit) -> Vec<String> {
    notifications(commit).into_iter().flat_map(|n| n.targets).map(|t| t.token).collect()
}

/// Books over several commits, as the scripts would keep them.
#[derive(Default)]
pub(super) struct Books {
    pub(super) snapshot: Snapshot,
    taken: u64,
}

impl Books {
    pub(super) fn apply(&mut self, batch: &Batch, commit: &Commit) {
        self.taken += u64::try_from(batch.main).unwrap();
        self.snapshot.counts.merge(&commit.counts);
        for append in &commit.append {
            self.snapshot.counts.merge(&append.counts);
        }
        self.snapshot.dead += commit.bury.len() as u64;
        let filed = commit.append.iter().filter(|a| matches!(a.to, Destination::Own(_))).map(|a| a.items.len());
        self.snapshot.delayed += (commit.delay.len() + filed.sum::<usize>()) as u64;
        self.snapshot.delayed -= u64::try_from(batch.own).unwrap();
        self.snapshot.logs = vec![LogDepth { log: Log::MAIN, head: self.taken, length: 0, finished: 0 }];
    }

    #[track_caller]
    pub(super) fn balanced(&self) {
        // The delivery lists' own line is theirs; here it stands for the hand-over: in, and still waiting.
        for line in balance(&self.snapshot, Role::Entry).iter().filter(|line| line.stage != "send") {
            assert!(line.balanced, "{line:#?}");
        }
    }
}

#[tokio::test]
async fn users_are_told_on_a_device_in_their_language_and_their_night() {
    let lane = lane(|_| {});
    let commit = events(&lane, &[json!({"id": "m", "type": 7, "to": {"users": ["1", "2", "5", "14"]}})], DAY).await;
    let sent = notifications(&commit);
    assert_eq!(told(&commit), ["higo-1", "higo-2"], "5 is refused, 14 has no device");
    assert_eq!((sent[0].title.as_str(), sent[1].title.as_str()), ("已发货", "Shipped"));
    let zones: Vec<&str> = sent.iter().map(|n| n.quiet.as_ref().unwrap().zone.as_str()).collect();
    assert_eq!(zones, ["Asia/Shanghai", "UTC"]);
    assert_eq!(sent[0].environment, Environment::Production);
    assert_eq!(commit.seen, [("m".to_owned(), DAY)]);
    let count = |field| commit.counts.get(field);
    assert_eq!((count("rules.in"), count("rules.passed"), count("rules.skipped.ok")), (4, 3, 1));
    assert_eq!((count("send.no_device"), count("entry.expanded")), (1, 1));
}

#[tokio::test]
async fn every_device_or_the_first() {
    let all = lane(|lane| lane.devices = Devices::All);
    let event = |app: Option<&str>| json!({"type": 7, "to": {"user": "1"}, "app": app});
    assert_eq!(told(&events(&all, &[event(None)], MORNING).await), ["higo-1", "higirl-1"]);
    assert_eq!(told(&events(&all, &[event(Some("higirl"))], MORNING).await), ["higirl-1"]);
}

#[tokio::test]
async fn a_night_is_waited_out_dropped_or_ignored() {
    let lane = lane(|_| {});
    let mut books = Books::default();
    let body = |kind: u64, to: &str| Bytes::from(json!({"type": kind, "to": {"user": to}}).to_string());
    let bodies = [body(7, "1"), body(8, "1"), body(9, "1"), body(7, "2")];
    let (batch, commit) = work(&lane, Log::MAIN, &bodies, &[], MIDNIGHT).await;
    books.apply(&batch, &commit);
    books.balanced();
    let kinds: Vec<i64> = notifications(&commit).iter().map(|n| n.kind).collect();
    assert_eq!(kinds, [8, 7], "the loud one, and who lives where it is afternoon");
    assert!(notifications(&commit)[0].quiet.is_none(), "a loud one may be late at night, too");
    assert_eq!(commit.counts.get("rules.skipped.quiet"), 1);
    let [later] = &commit.delay[..] else { panic!("{:?}", commit.delay) };
    assert_eq!(later.due, MORNING);
    let envelope = Envelope::decode(&later.body).unwrap();
    assert_eq!(envelope.only, ["1"]);

    let (batch, commit) = work(&lane, Log::RETRY, std::slice::from_ref(&later.body), &[], MORNING).await;
    books.apply(&batch, &commit);
    books.balanced();
    assert_eq!(told(&commit), ["higo-1"]);
    assert_eq!(commit.counts.get("entry.expanded"), 0, "the event was counted when it came in");

    let (batch, commit) = work(&lane, Log::RETRY, std::slice::from_ref(&later.body), &[], MORNING + 86_400_000).await;
    assert_eq!((batch.items(), told(&commit).len()), (1, 0));
    assert_eq!(commit.counts.get("rules.skipped.quiet"), 1, "released after its end");
}

#[tokio::test]
async fn a_large_group_is_worked_page_by_page() {
    let lane = lane(|lane| lane.page = 700);
    let mut books = Books::default();
    let event = Bytes::from(json!({"id": "m", "type": 7, "to": {"group": "12345", "members": true}}).to_string());
    let mut told_all = Vec::new();
    let (mut log, mut body) = (Log::MAIN, event);
    let mut rounds = 0;
    loop {
        let (batch, commit) = work(&lane, log, &[body.clone()], &[], DAY).await;
        books.apply(&batch, &commit);
        books.balanced();
        for notification in notifications(&commit) {
            assert!((1..=700).contains(&notification.targets.len()));
        }
        assert!(commit.records.len() < 50, "a page is a record, not a thousand");
        told_all.extend(told(&commit));
        rounds += 1;
        let Some(next) = commit.append.iter().find(|a| a.to == Destination::Own(Log::FANOUT)) else { break };
        (log, body) = (Log::FANOUT, next.items[0].clone());
    }
    let expected: Vec<String> =
        (1..=12_345).filter(|n| n % 5 != 0 && n % 7 != 0).map(|n| format!("higo-{n}")).collect();
    told_all.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert!(told_all == sorted, "each once: {} of {}", told_all.len(), sorted.len());
    assert_eq!(rounds, 3, "5,000 at a time");
    let counts = &books.snapshot.counts;
    assert_eq!((counts.get("rules.in"), counts.get("entry.expanded")), (12_345, 1));
    assert_eq!(counts.get("send.no_device"), (1..=12_345).filter(|n| n % 5 != 0 && n % 7 == 0).count() as i64);
}

#[tokio::test]
async fn an_audience_that_cannot_be_listed_is_buried_and_one_that_is_down_is_waited_for() {
    struct Broken(bool);
    impl Members for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn page<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: usize) -> BoxFuture<'a, Result<Page, StoreDown>> {
            let down = StoreDown { lookup: "broken".into(), refused: self.0, source: "101000 members".into() };
            async move { Err(down) }.boxed()
        }
    }
    let with = |refused| lane(|lane| drop(lane.enumerators.insert("members", Arc::new(Broken(refused)))));
    let event = Bytes::from(json!({"type": 7, "to": {"group": "9", "members": true}}).to_string());
    let (batch, commit) = work(&with(true), Log::MAIN, std::slice::from_ref(&event), &[], DAY).await;
    let mut books = Books::default();
    books.apply(&batch, &commit);
    books.balanced();
    let letter = homing_core::wire::DeadLetter::decode(&commit.bury[0]).unwrap();
    assert_eq!(letter.error, "to: lookup broken could not be answered: 101000 members");

    let mut window = Window::open(&LogState { log: Log::MAIN, head: 0, checkpoint: Bytes::new() });
    let places: Vec<_> = window.accept(vec![Item { seq: 0, body: event }]).into_iter().map(|seq| (0, seq)).collect();
    let waiting = with(false);
    let batch = intake::read(&waiting, &opened(), &QueueName::new("q"), &[window], &places, false, DAY);
    assert!(gather(&waiting, &batch, &[], DAY).await.is_err(), "it is asked again");
}

#[tokio::test]
async fn known_and_cancelled_ids_end_at_the_door() {
    let lane = lane(|_| {});
    let body = |id: &str| Bytes::from(json!({"id": id, "type": 7, "to": {"user": "1"}}).to_string());
    let marks = [Mark { seen: true, cancelled: false }, Mark { seen: false, cancelled: true }, Mark::default()];
    let bodies = [body("seen"), body("cancelled"), body("new"), body("new")];
    let (batch, commit) = work(&lane, Log::MAIN, &bodies, &marks, MORNING).await;
    let mut books = Books::default();
    books.apply(&batch, &commit);
    books.balanced();
    assert_eq!(notifications(&commit).iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(commit.counts.get("entry.skipped.duplicate"), 2);
    assert_eq!(commit.counts.get("entry.cancelled"), 1);
}

#[tokio::test]
async fn an_item_that_cannot_be_used_does_not_count_as_the_first_with_its_id() {
    let lane = lane(|_| {});
    let body = |kind: u64| Bytes::from(json!({"id": "m", "type": kind, "to": {"user": "1"}}).to_string());
    let (batch, commit) = work(&lane, Log::MAIN, &[body(99), body(7), body(7)], &[], MORNING).await;
    let mut books = Books::default();
    books.apply(&batch, &commit);
    books.balanced();
    assert_eq!(told(&commit), ["higo-1"]);
    let count = |field| commit.counts.get(field);
    assert_eq!((count("entry.invalid"), count("entry.expanded"), count("entry.skipped.duplicate")), (1, 1, 1));
}

#[tokio::test]
async fn what_has_begun_goes_on_where_it_was_when_the_clock_is_set_back() {
    let lane = lane(|_| {});
    let to = json!({"group": "12345", "members": true});
    let event = Bytes::from(json!({"id": "m", "type": 7, "to": to, "send_at": DAY / 1000}).to_string());
    let (_, first) = work(&lane, Log::MAIN, &[event], &[], DAY).await;
    let rest = first.append.iter().find(|a| a.to == Destination::Own(Log::FANOUT)).unwrap().items[0].clone();
    let (_, second) = work(&lane, Log::FANOUT, &[rest], &[], DAY - 5).await;
    assert!(second.delay.is_empty(), "not all of it once more");
    let (first, second) = (told(&first), told(&second));
    assert!(!second.is_empty() && second.iter().all(|token| !first.contains(token)));
}

/// `devices` tokens, and `bytes` of data.
fn broadcast(devices: usize, bytes: usize) -> serde_json::Value {
    let token = |n| json!({"token": format!("t{n}"), "platform": "android", "app": "higo"});
    let tokens: Vec<serde_json::Value> = (0..devices).map(token).collect();
    json!({"id": "m", "type": 7, "to": {"tokens": tokens}, "data": {"text": "x".repeat(bytes)}})
}

#[tokio::test]
async fn many_tokens_share_notifications() {
    let lane = lane(|_| {});
    let commit = events(&lane, &[broadcast(2_500, 600_000)], DAY).await;
    let sizes: Vec<usize> = notifications(&commit).iter().map(|n| n.targets.len()).collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (3, 2_500), "{sizes:?}");
    assert_eq!(commit.counts.get("rules.passed"), 2_500);
}

#[tokio::test]
async fn what_one_event_hands_over_is_bounded() {
    let php = lane(|lane| lane.deliveries.get_mut("xinge").unwrap().codec = DeliveryCodec::Php);
    let body = Bytes::from(broadcast(5_000, 40_000).to_string());
    let (batch, commit) = work(&php, Log::MAIN, &[body], &[], DAY).await;
    let mut books = Books::default();
    books.apply(&batch, &commit);
    books.balanced();
    let items = || commit.append.iter().flat_map(|append| &append.items);
    let (number, bytes) = (items().count(), items().map(Bytes::len).sum::<usize>());
    assert!((128 << 20..130 << 20).contains(&bytes), "{bytes}");
    let [letter] = &commit.bury[..] else { panic!("{} letters", commit.bury.len()) };
    let letter = homing_core::wire::DeadLetter::decode(letter).unwrap();
    assert_eq!(
        (letter.reason.as_str(), letter.error.as_str()),
        ("too_large", "its notifications have more than 134217728 bytes together")
    );
    let left = commit.counts.get("send.dead.too_large");
    assert_eq!((left, commit.counts.get("items.buried")), (i64::try_from(5_000 - number).unwrap(), 1));

    // One letter has the event for all pages that no list takes.
    let commit = events(&lane(|_| {}), &[broadcast(3_000, 1_000_000 - 300_000)], DAY).await;
    assert!(commit.bury.is_empty());
    let wide = lane(|lane| lane.page = 100);
    let commit = events(
        &wide,
        &[json!({"type": 7, "to": {"group": "1000", "members": true}, "data": {"x": "y".repeat(1_048_400)}})],
        DAY,
    )
    .await;
    assert_eq!((commit.bury.len(), commit.append.len()), (1, 0));
    assert_eq!(
        commit.counts.get("send.dead.too_large"),
        (1..=1_000).filter(|n| n % 5 != 0 && n % 7 != 0).count() as i64
    );
}

#[tokio::test]
async fn a_batch_ends_where_its_notifications_would_be_too_much() {
    let lane = lane(|_| {});
    let users: Vec<String> = (1..=60).map(|n| n.to_string()).collect();
    let body = Bytes::from(json!({"type": 7, "to": {"users": users}, "data": {"x": "y".repeat(200_000)}}).to_string());
    let (batch, _) = work(&lane, Log::MAIN, &vec![body; 10], &[], DAY).await;
    assert_eq!(batch.items(), 3, "60 times 200 kB each");
}

#[tokio::test]
async fn tokens_are_told_without_a_rule_and_an_old_sender_gets_its_own_items() {
    let php = lane(|lane| lane.deliveries.get_mut("xinge").unwrap().codec = DeliveryCodec::Php);
    let tokens = json!([{"token": "t1", "platform": "ios", "app": "higo"}, {"token": "t2", "platform": "android", "app": "higo"}]);
    let event = json!({"id": "m", "type": 7, "to": {"tokens": tokens}, "data": {"order": 5}});
    let own = lane(|_| {});
    assert_eq!(told(&events(&own, std::slice::from_ref(&event), MIDNIGHT).await), ["t1", "t2"]);
    let commit = events(&php, &[event], MIDNIGHT).await;
    let items: Vec<&Bytes> = commit.append.iter().flat_map(|a| &a.items).collect();
    let via: Vec<String> = items
        .iter()
        .map(|item| homing_codec::decode(item, homing_codec::Codec::Php).unwrap())
        .map(|item| {
            format!("{} {}", item.get("xinge_token").unwrap().text().unwrap(), item.get("via").unwrap().text().unwrap())
        })
        .collect();
    assert!(via.iter().all(|v| v == "t1 iphone" || v == "t2 android") && via.len() == 2, "{via:?}");
}

#[tokio::test]
async fn what_no_lane_can_do_is_invalid() {
    let lane = lane(|_| {});
    let commit =
        events(&lane, &[json!({"type": 7, "to": {"group": "9"}}), json!({"type": 7, "to": {"topic": "sale"}})], DAY)
            .await;
    let errors: Vec<String> =
        commit.bury.iter().map(|l| homing_core::wire::DeadLetter::decode(l).unwrap().error).collect();
    assert_eq!(
        errors,
        [
            "to.group: lane system cannot find the owner of group 9: it has no `owners`",
            "to: lane system cannot find topic sale: it has no `topic`",
        ]
    );
}
