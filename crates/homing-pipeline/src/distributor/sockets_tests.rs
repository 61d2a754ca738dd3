//! Sockets beside devices, presence and its grace, and what was read on a socket; the books balance after every step.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use homing_core::{
    clock::Millis,
    live::{Backlog, Inbox, LiveDown, Marks, Position, Post, Posted, Stream, Unread},
    lookup::{Death, Explained, Lookup, Row, StoreDown, Verdict},
    notification::Platform,
    queue::{Commit, Delayed, Destination, Item, Log, LogState, QueueName},
    record::Fate,
    rules::{Presence, Rule},
    window::Window,
    wire::Envelope,
};
use serde_json::json;

use super::{
    Lane,
    decide::gather,
    decide_tests::{self, Books, DAY, MIDNIGHT, MORNING, delivery, notifications},
    intake,
    ways_tests::{ANDROID, Rows, Table, lane, route, rules, tell, told, why},
};
use crate::routes::Routes;

/// What users have read, and how often it was asked.
#[derive(Default)]
struct Readers {
    read: Mutex<HashSet<(String, String)>>,
    asked: Mutex<Vec<usize>>,
    down: Mutex<bool>,
}

impl Readers {
    fn reads(&self, user: &str, id: &str) {
        self.read.lock().unwrap().insert((user.to_owned(), id.to_owned()));
    }
}

impl Inbox for Readers {
    fn post<'a>(&'a self, _: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        unreachable!("a distributor posts nothing")
    }

    fn after<'a>(&'a self, _: &'a [(Stream, Position)], _: usize) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        unreachable!("a distributor reads no stream")
    }

    fn unread<'a>(&'a self, _: &'a str, _: &'a [Stream], _: usize) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        unreachable!("a distributor reads no stream")
    }

    fn mark<'a>(&'a self, _: &'a str, _: &'a [Stream], _: &'a Marks) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        unreachable!("a distributor marks nothing")
    }

    fn were_read<'a>(&'a self, pairs: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        async move {
            if *self.down.lock().unwrap() {
                return Err(LiveDown { what: "inbox of nowhere".into(), refused: false, source: "it is down".into() });
            }
            self.asked.lock().unwrap().push(pairs.len());
            let read = self.read.lock().unwrap();
            let was_read = |(user, id): &(&str, &str)| read.contains(&((*user).to_owned(), (*id).to_owned()));
            Ok(pairs.iter().map(was_read).collect())
        }
        .boxed()
    }
}

/// Who is on a socket, or when the last one ended.
#[derive(Clone, Copy)]
enum Is {
    There,
    Gone(Millis),
}

#[derive(Default)]
struct Attended(Mutex<HashMap<String, Is>>);

impl Attended {
    fn set(&self, user: &str, is: Is) {
        self.0.lock().unwrap().insert(user.to_owned(), is);
    }
}

impl Lookup for Attended {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        let known = self.0.lock().unwrap();
        let row = |fields: &[(&str, String)]| -> Row {
            fields.iter().map(|(column, value)| ((*column).to_owned(), value.clone())).collect()
        };
        let of = |id: &&str| match known.get(*id) {
            Some(Is::There) => vec![row(&[("online", "1".into()), ("sessions", "1".into()), ("nodes", "1".into())])],
            Some(Is::Gone(at)) => vec![row(&[("sessions", "0".into()), ("gone_at", at.to_string())])],
            None => vec![row(&[("online", "0".into()), ("sessions", "0".into()), ("nodes", "0".into())])],
        };
        let rows = ids.iter().map(of).collect();
        async move { Ok(rows) }.boxed()
    }

    fn explain<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        async { Ok(Explained::default()) }.boxed()
    }

    fn judge(&self, _: &[Row], _: Millis) -> Verdict {
        Verdict { pass: true, seen: String::new() }
    }

    fn forget<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        async { Ok(false) }.boxed()
    }
}

/// A lane with phones by fcm and sockets beside, its presence and its inbox.
struct Bench {
    lane: Lane,
    presence: Arc<Attended>,
    inbox: Arc<Readers>,
    books: Mutex<Books>,
}

const GRACE: Millis = 5_000;

impl Bench {
    fn new(devices: Rows, confirm: Option<Millis>, change: impl FnOnce(&mut Lane)) -> Self {
        let (presence, inbox) = (Arc::new(Attended::default()), Arc::new(Readers::default()));
        let lane = lane(devices, |lane| {
            lane.routes = Routes::new(vec![route("fcm", &[], Some(Platform::Android))]);
            lane.deliveries.insert("websocket".into(), delivery("websocket_{n}", &[Platform::Socket]));
            lane.sockets = Some("websocket".into());
            lane.rules.push(Arc::new(Presence::new("presence", GRACE, confirm)) as Arc<dyn Rule>);
            lane.facts.push(Arc::clone(&presence) as Arc<dyn Lookup>);
            lane.presence = Some("presence".into());
            lane.inbox = Some(Arc::clone(&inbox) as Arc<dyn Inbox>);
            change(lane);
        });
        Self { lane, presence, inbox, books: Mutex::default() }
    }

    /// Works bodies of a list together, and checks the books.
    async fn work(&self, log: Log, bodies: &[Bytes], now: Millis) -> Commit {
        let (batch, commit) = decide_tests::work(&self.lane, log, bodies, &[], now).await;
        let mut books = self.books.lock().unwrap();
        books.apply(&batch, &commit);
        books.balanced();
        commit
    }

    async fn tell(&self, event: serde_json::Value, now: Millis) -> Commit {
        self.work(Log::MAIN, &[event.to_string().into()], now).await
    }

    async fn release(&self, later: &Delayed) -> Commit {
        self.work(Log::RETRY, std::slice::from_ref(&later.body), later.due).await
    }
}

fn to(users: &[&str]) -> serde_json::Value {
    json!({"id": "m", "type": 7, "to": {"users": users}})
}

fn skipped<'a>(commit: &'a Commit, rule: &str) -> Vec<(&'a str, &'a str)> {
    let of_rule = commit.records.iter().filter(|r| r.fate == Fate::Skipped { rule: rule.to_owned() });
    of_rule.map(|r| (r.target.as_deref().unwrap(), r.reason.as_deref().unwrap())).collect()
}

fn only(commit: &Commit) -> &Delayed {
    let [later] = &commit.delay[..] else { panic!("{} envelopes", commit.delay.len()) };
    later
}

#[tokio::test]
async fn a_socket_is_told_beside_the_devices() {
    let bench = Bench::new(vec![("phone", ANDROID), ("on", ANDROID)], None, |_| {});
    bench.presence.set("on", Is::There);
    let commit = bench.tell(to(&["phone", "none", "on"]), DAY).await;
    let expected = BTreeSet::from([
        "fcm: phone/a-phone",
        "websocket: phone/user/phone",
        "websocket: none/user/none",
        "websocket: on/user/on",
    ]);
    assert_eq!(told(&commit).iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert_eq!(told(&commit).len(), 4, "each once");
    let sent = notifications(&commit);
    assert!(sent.iter().filter(|n| n.platform == Platform::Socket).all(|n| n.id == "m" && n.title == "t"));
    let count = |field| commit.counts.get(field);
    assert_eq!((count("rules.in"), count("rules.passed"), count("send.no_device")), (3, 3, 0));
    let live: Vec<&str> =
        commit.records.iter().filter(|r| r.fate == Fate::Passed).filter_map(|r| r.reason.as_deref()).collect();
    assert_eq!(live, ["only by a live way: no device", "only by a live way: online: 1 session(s) on 1 node(s)"]);
    assert!(bench.inbox.asked.lock().unwrap().is_empty(), "nobody can have read it yet");
}

#[tokio::test]
async fn a_rule_that_holds_for_live_ways_holds_for_sockets() {
    const NO: &[(&str, &str)] = &[("value", "no")];
    let with =
        |name| Bench::new(vec![("*", ANDROID)], None, |lane| rules(lane, vec![Table(name, vec![("1", NO)])], false));
    assert_eq!(told(&with("login").tell(to(&["1"]), DAY).await), [""; 0]);
    assert_eq!(told(&with("dnd").tell(to(&["1"]), DAY).await), ["websocket: 1/user/1"]);
}

#[tokio::test]
async fn who_has_just_gone_and_reads_it_on_a_socket_is_not_woken() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |_| {});
    for user in ["reads", "stays away", "is back"] {
        bench.presence.set(user, Is::Gone(DAY - 1_000));
    }
    let first = bench.tell(to(&["stays away", "reads", "is back"]), DAY).await;
    assert!(told(&first).iter().all(|told| told.starts_with("websocket: ")) && told(&first).len() == 3);
    let later = only(&first);
    assert_eq!(later.due, DAY + 4_000, "to the tenth of a second, for all of them");
    let deferred = first.records.iter().find(|r| matches!(r.fate, Fate::Deferred { .. })).unwrap();
    assert_eq!(deferred.reason.as_deref(), Some("online: no session, the last one ended 1000 ms ago"));

    bench.inbox.reads("reads", "m");
    bench.inbox.reads("stays away", "another");
    bench.presence.set("is back", Is::There);
    let second = bench.release(later).await;
    assert_eq!(told(&second), ["fcm: stays away/a-stays away"], "and no socket once more");
    assert_eq!(skipped(&second, "read"), [("reads", "read on a socket")]);
    assert_eq!(skipped(&second, "online"), [("is back", "1 session(s) on 1 node(s)")]);
    assert_eq!((second.counts.get("rules.passed"), second.delay.len()), (1, 0));
    assert_eq!(*bench.inbox.asked.lock().unwrap(), [3], "one question for all of them");
}

#[tokio::test]
async fn a_name_that_no_stream_has_is_not_asked_for() {
    let long: &'static str = "x".repeat(300).leak();
    let bench = Bench::new(vec![("*", ANDROID)], None, |_| {});
    let body = json!({"type": 7, "to": {"group": "9", "members": true}}).to_string().into_bytes();
    let only = vec![long.to_owned(), "2".to_owned()];
    let held = Envelope { id: "m".into(), why: "online".into(), first_at: DAY, only, body, ..Envelope::default() };
    bench.inbox.reads("2", "m");
    let commit = decide_tests::work(&bench.lane, Log::RETRY, &[held.encode()], &[], DAY).await.1;
    assert_eq!((told(&commit), skipped(&commit, "read").len()), (vec![format!("fcm: {long}/a-{long}")], 1));
    assert_eq!(*bench.inbox.asked.lock().unwrap(), [1]);
}

#[tokio::test]
async fn who_comes_and_goes_is_waited_for_once() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |_| {});
    bench.presence.set("1", Is::Gone(DAY - 1_050));
    let first = bench.tell(to(&["1"]), DAY).await;
    assert_eq!(only(&first).due, DAY + 4_000, "3950 ms, in whole tenths of a second");
    bench.presence.set("1", Is::Gone(DAY + 3_900));
    let second = bench.release(only(&first)).await;
    assert_eq!((only(&second).due, told(&second).len()), (DAY + 8_900, 0));
    assert_eq!(Envelope::decode(&only(&second).body).unwrap().judged_at, Some(DAY), "of the first time");
    bench.presence.set("1", Is::Gone(DAY + 8_800));
    assert_eq!(told(&bench.release(only(&second)).await), ["fcm: 1/a-1"]);
}

#[tokio::test]
async fn what_nobody_confirms_wakes_the_phone() {
    let bench = Bench::new(vec![("a", ANDROID), ("b", ANDROID)], Some(10_000), |_| {});
    for user in ["a", "b", "no phone"] {
        bench.presence.set(user, Is::There);
    }
    let first = bench.tell(to(&["a", "b", "no phone"]), DAY).await;
    assert_eq!(told(&first).len(), 3, "the sockets");
    assert_eq!(only(&first).due, DAY + 10_000);
    assert_eq!(
        Envelope::decode(&only(&first).body).unwrap().only,
        ["a", "b"],
        "nobody waits for a phone that is not there"
    );
    bench.inbox.reads("a", "m");
    let second = bench.release(only(&first)).await;
    assert_eq!((told(&second), skipped(&second, "read").len()), (vec!["fcm: b/a-b".to_owned()], 1));
    assert!(second.delay.is_empty(), "once");
}

#[tokio::test]
async fn a_return_within_the_grace_has_what_is_left_of_the_time_to_confirm() {
    let bench = Bench::new(vec![("*", ANDROID)], Some(10_000), |_| {});
    bench.presence.set("1", Is::Gone(DAY));
    let first = bench.tell(to(&["1"]), DAY).await;
    bench.presence.set("1", Is::There);
    let second = bench.release(only(&first)).await;
    assert_eq!((only(&first).due, only(&second).due), (DAY + 5_000, DAY + 10_000));
    assert_eq!(told(&bench.release(only(&second)).await), ["fcm: 1/a-1"]);
}

#[tokio::test]
async fn a_message_without_time_to_wait_goes_at_once() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |_| {});
    bench.presence.set("1", Is::Gone(DAY));
    let mut event = to(&["1"]);
    event["expires_in"] = json!(5);
    let commit = bench.tell(event, DAY).await;
    assert_eq!((told(&commit), commit.delay.len()), (vec!["fcm: 1/a-1".to_owned(), "websocket: 1/user/1".into()], 0));
}

#[tokio::test]
async fn a_night_and_a_grace_are_two_waits() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |lane| rules(lane, Vec::new(), true));
    bench.presence.set("1", Is::Gone(MIDNIGHT));
    let event = |kind: u64| json!({"id": "m", "type": kind, "to": {"user": "1"}});
    // The usual type waits for the morning, and was told on a socket.
    let first = bench.tell(event(7), MIDNIGHT).await;
    assert_eq!((told(&first), only(&first).due), (vec!["websocket: 1/user/1".to_owned()], MORNING));
    bench.inbox.reads("1", "m");
    assert_eq!(skipped(&bench.release(only(&first)).await, "read").len(), 1, "it was read at night");
    // One that does not care for the night has the grace all the same; one that is dropped at night goes then.
    for (kind, phone) in [(11, true), (10, false)] {
        let bench = Bench::new(vec![("*", ANDROID)], None, |lane| rules(lane, Vec::new(), true));
        bench.presence.set("1", Is::Gone(MIDNIGHT));
        let first = bench.tell(event(kind), MIDNIGHT).await;
        assert_eq!(told(&first), ["websocket: 1/user/1"]);
        assert_eq!(
            first.delay.iter().map(|d| d.due).collect::<Vec<_>>(),
            if phone { vec![MIDNIGHT + GRACE] } else { vec![] }
        );
        if phone {
            assert_eq!(told(&bench.release(only(&first)).await), ["fcm: 1/a-1"]);
        }
    }
    // By day a type that is dropped at night has its grace.
    bench.presence.set("1", Is::Gone(DAY));
    assert_eq!(only(&bench.tell(event(10), DAY).await).due, DAY + GRACE);
}

#[tokio::test]
async fn a_store_that_is_down_is_waited_for() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |_| {});
    bench.presence.set("1", Is::Gone(DAY));
    let first = bench.tell(to(&["1"]), DAY).await;
    *bench.inbox.down.lock().unwrap() = true;
    let body = only(&first).body.clone();
    let queue = QueueName::new("q");
    let foreseen = super::foresee(&bench.lane, DAY, &queue, vec![to(&["1"]).to_string().into()]).await;
    assert!(foreseen.is_ok(), "what is new asks nobody what was read");
    let mut window = Window::open(&LogState { log: Log::RETRY, head: 0, checkpoint: Bytes::new() });
    let places: Vec<_> = window.accept(vec![Item { seq: 0, body }]).into_iter().map(|seq| (0, seq)).collect();
    let batch = intake::read(&bench.lane, &decide_tests::opened(), &queue, &[window], &places, false, DAY + GRACE);
    let error = gather(&bench.lane, &batch, &[], DAY + GRACE).await.err().unwrap();
    assert_eq!(
        crate::context::describe(&error),
        "lookup of what was read on sockets could not be answered: inbox of nowhere: it is down"
    );
    assert!(!error.refused);
}

#[tokio::test]
async fn a_group_and_everyone_are_one_message_to_the_sockets() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |lane| lane.announce = Some("websocket".into()));
    bench.presence.set("2", Is::Gone(DAY));
    let group = json!({"id": "g", "type": 7, "to": {"group": "12000", "members": true}});
    let (mut log, mut body) = (Log::MAIN, Bytes::from(group.to_string()));
    let (mut sockets, mut phones, mut released) = (Vec::new(), 0, Vec::new());
    loop {
        let commit = bench.work(log, &[body.clone()], DAY).await;
        sockets.extend(told(&commit).into_iter().filter(|told| told.starts_with("websocket")));
        phones += told(&commit).iter().filter(|told| told.starts_with("fcm")).count();
        released.extend(commit.delay.iter().cloned());
        let Some(next) = commit.append.iter().find(|a| a.to == Destination::Own(Log::FANOUT)) else { break };
        (log, body) = (Log::FANOUT, next.items[0].clone());
    }
    assert_eq!(sockets, ["websocket: /group/12000"]);
    assert_eq!((phones, released.len()), (11_999, 1));
    bench.inbox.reads("2", "g");
    let last = bench.release(&released[0]).await;
    assert_eq!((told(&last).len(), skipped(&last, "read").len()), (0, 1), "read in the group's stream");

    // Nobody lists everyone here, and nobody needs to.
    let commit = bench.tell(json!({"id": "e", "type": 7, "to": {"all": true}}), DAY).await;
    assert_eq!(told(&commit), ["websocket: /everyone"]);
    let expanded = commit.records.iter().find(|r| r.fate == Fate::Expanded).unwrap();
    assert_eq!(expanded.reason.as_deref(), Some("SENT to everyone as a whole"));
    assert!(why(&commit).is_empty());
    let without = Bench::new(vec![("*", ANDROID)], None, |_| {});
    let commit = without.tell(json!({"id": "e", "type": 7, "to": {"all": true}}), DAY).await;
    assert_eq!(commit.counts.get("entry.invalid"), 1);
    let commit = without.tell(json!({"id": "g", "type": 7, "to": {"group": "3", "members": true}}), DAY).await;
    assert_eq!(told(&commit).len(), 6, "without `announce` each member's own");
}

#[tokio::test]
async fn users_sockets_are_paged_for_a_large_audience() {
    let bench = Bench::new(vec![("*", ANDROID)], None, |_| {});
    let commit = bench.tell(json!({"id": "g", "type": 7, "to": {"group": "3000", "members": true}}), DAY).await;
    let pages: Vec<usize> =
        notifications(&commit).iter().filter(|n| n.platform == Platform::Socket).map(|n| n.targets.len()).collect();
    assert_eq!((pages.len(), pages.iter().sum::<usize>()), (3, 3_000), "{pages:?}");
    assert!(commit.records.len() < 50);
}

#[tokio::test]
async fn sockets_do_not_take_the_place_of_other_live_ways() {
    let bench = Bench::new(vec![("1", ANDROID)], None, |lane| lane.otherwise = Some("mqtt".into()));
    let mut all = told(&bench.tell(to(&["1", "2"]), DAY).await);
    all.sort_unstable();
    assert_eq!(all, ["fcm: 1/a-1", "mqtt: 2/user/2", "websocket: 1/user/1", "websocket: 2/user/2"]);
    // And sockets may be that other way themselves.
    let own = lane(vec![("1", ANDROID)], |lane| {
        lane.routes = Routes::new(vec![route("fcm", &[], None)]);
        lane.deliveries.insert("websocket".into(), delivery("websocket_{n}", &[Platform::Socket]));
        lane.otherwise = Some("websocket".into());
    });
    assert_eq!(told(&tell(&own, to(&["1", "2"]), DAY).await), ["fcm: 1/a-1", "websocket: 2/user/2"]);
}
