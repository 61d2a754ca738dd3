//! The desk without any queue: items in, answers in, commits out.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    channel::{Answer, Channel, Outcome, Pace},
    clock::Millis,
    notification::{Alternate, Arm, Cohort, Notification, Platform, Target},
    queue::{Append, Commit, Destination, Item, Log, LogState, Opened, QueueName, Seq},
    record::Fate,
    window::Window,
    wire::{DeadLetter, Envelope},
};

use super::{
    Options,
    call::{Finished, Settled},
    desk::{Desk, Job, Outside},
    rehearsal::Rehearsals,
};
use crate::{gates::Gates, lane::Shards};

const NOW: Millis = 1_000_000;

fn notification(id: &str, app: &str, users: &[&str]) -> Notification {
    Notification {
        id: id.to_owned(),
        kind: 7,
        app: app.to_owned(),
        platform: Platform::Android,
        title: String::new(),
        body: String::new(),
        custom: serde_json::Map::new(),
        created_at: NOW,
        expires_at: NOW + 86_400_000,
        at_most_once: false,
        targets: users.iter().map(|u| Target::new((*u).to_owned(), format!("token-of-{u}"))).collect(),
        ..Notification::default()
    }
}

fn opened(suspicion: u32, checkpoint: Bytes) -> Opened {
    let log = |log, checkpoint| LogState { log, head: 0, checkpoint };
    Opened {
        epoch: 7,
        first_epoch: 1,
        birth: String::new(),
        suspicion,
        logs: vec![log(Log::MAIN, checkpoint), log(Log::RETRY, Bytes::new())],
        next_due: None,
        values: Vec::new(),
    }
}

/// It is never called here; it has a pace.
struct Way(Option<Pace>);

impl Channel for Way {
    fn name(&self) -> &'static str {
        "xinge"
    }

    fn page(&self) -> usize {
        1
    }

    fn send<'a>(&'a self, _: &'a Notification, _: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        unreachable!("the desk calls nobody")
    }

    fn pace(&self, _: &Notification) -> Option<Pace> {
        self.0
    }
}

fn outside(gates: &Arc<Gates>, pace: Option<Pace>) -> Outside {
    let shards = |name: &str| Shards::new(&format!("{name}_{{n}}"), 1, 4).expect("a family");
    let ways = ["xinge", "fcm", "mqtt"].map(|name| (name.to_owned(), shards(name)));
    Outside { channel: Arc::new(Way(pace)), gates: Arc::clone(gates), ways: Arc::new(ways.into()) }
}

struct Sender {
    desk: Desk,
    now: Instant,
    next: Seq,
}

impl Sender {
    fn open(opened: &Opened) -> Self {
        Self::with(opened, outside(&Arc::default(), None))
    }

    fn with(opened: &Opened, outside: Outside) -> Self {
        let desk = Desk::open(&QueueName::new("q"), opened, Options::default(), None, outside);
        Self { desk, now: Instant::now(), next: 0 }
    }

    /// Reads the next items of a waiting list, as far as the desk wants them.
    fn read(&mut self, log: &Log, items: &[Bytes]) -> usize {
        let place = self.desk.places(self.now).into_iter().find(|(of, ..)| of == log);
        let Some((_, from, budget)) = place else { return 0 };
        let rest = items.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
        let item = |(i, body): (usize, &Bytes)| Item { seq: from + i as Seq, body: body.clone() };
        let read: Vec<Item> = rest.iter().take(budget.items).enumerate().map(item).collect();
        let count = read.len();
        self.desk.accept(log, read, &HashSet::new(), NOW);
        count
    }

    fn accept(&mut self, notifications: &[Notification]) {
        let item = |(i, n): (usize, &Notification)| Item { seq: self.next + i as Seq, body: n.encode() };
        let items: Vec<Item> = notifications.iter().enumerate().map(item).collect();
        self.next += items.len() as Seq;
        self.desk.accept(&Log::MAIN, items, &HashSet::new(), NOW);
    }

    fn start_all(&mut self) -> Vec<Job> {
        std::iter::from_fn(|| self.desk.start(NOW, self.now)).collect()
    }

    fn answer(&mut self, job: Job, outcomes: &[Outcome]) {
        let settled = |outcome: &Outcome| Settled {
            answer: Answer { outcome: outcome.clone(), detail: "said so".to_owned() },
            removed: false,
        };
        let answers = outcomes.iter().map(settled).collect();
        self.desk.settle(Finished { job, answers }, NOW, self.now);
    }

    fn commit(&mut self) -> Commit {
        let commit = self.desk.take_commit().expect("something to commit");
        self.desk.committed(&commit);
        commit
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { provider_id: None }
}

#[test]
fn partial_success_is_one_commit_with_one_envelope_of_the_unfinished_targets() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    sender.accept(&[notification("m", "higo", &["a", "b", "c", "d"])]);
    let job = sender.start_all().remove(0);
    let outcomes = [delivered(), Outcome::Retry { after: None }, Outcome::Payload, Outcome::Ambiguous];
    sender.answer(job, &outcomes);
    let commit = sender.commit();
    assert_eq!((commit.advance.len(), commit.advance[0].trim), (1, 1));
    let count = |field| commit.counts.get(field);
    assert_eq!((count("send.taken"), count("send.delivered"), count("send.dead.payload")), (4, 1, 1));
    assert_eq!((count("send.filed"), count("items.filed"), count("items.done"), count("items.buried")), (2, 1, 1, 1));
    assert_eq!(commit.delay.len(), 1);
    let envelope = Envelope::decode(&commit.delay[0].body).expect("an envelope");
    assert_eq!((envelope.id.as_str(), envelope.tries, envelope.attempts), ("m", 1, 1));
    let rest = Notification::decode(&envelope.body).expect("a notification");
    assert_eq!(rest.targets.iter().map(|t| t.user.as_str()).collect::<Vec<_>>(), ["b", "d"]);
    let letter = DeadLetter::decode(&commit.bury[0]).expect("a letter");
    let dead = Notification::decode(&letter.body).expect("a notification");
    assert_eq!((letter.reason.as_str(), dead.targets[0].user.as_str()), ("payload", "c"));
}

#[test]
fn targets_that_a_predecessor_finished_are_not_called_again() {
    let mut before = Window::open(&opened(0, Bytes::new()).logs[0]);
    let body = notification("m", "higo", &["a", "b", "c"]).encode();
    before.accept(vec![Item { seq: 0, body }]);
    before.finish_target(0, 1);
    let checkpoint = before.advance().expect("a note").checkpoint;
    let mut sender = Sender::open(&opened(0, checkpoint));
    sender.accept(&[notification("m", "higo", &["a", "b", "c"])]);
    let users: Vec<String> = sender.start_all()[0].notification.targets.iter().map(|t| t.user.clone()).collect();
    assert_eq!(users, ["a", "c"]);
}

#[test]
fn items_that_a_predecessor_finished_are_trimmed_even_by_a_careful_owner() {
    let mut before = Window::open(&opened(0, Bytes::new()).logs[0]);
    let items = ["0", "1", "2"].map(|id| notification(id, "higo", &["a"]).encode());
    before.accept(items.into_iter().zip(0..).map(|(body, seq)| Item { seq, body }).collect());
    before.finish(1);
    // A note whose first item is finished: its predecessor knew more of the list than it had in hand.
    let mut noted = Window::open(&opened(0, before.advance().expect("a note").checkpoint).logs[0]);
    noted.accept(vec![Item { seq: 0, body: notification("0", "higo", &["a"]).encode() }]);
    noted.finish(0);
    let checkpoint = noted.advance().expect("a note").checkpoint;
    let mut careful = Sender::open(&opened(3, checkpoint));
    careful.accept(&[notification("1", "higo", &["a"])]);
    assert!(careful.start_all().is_empty(), "it was sent already");
    assert_eq!(careful.commit().advance[0].trim, 1);
}

#[test]
fn one_user_is_called_once_at_a_time_and_in_order() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let ids = ["1", "2", "3"];
    sender.accept(&ids.map(|id| notification(id, "higo", &["u"])));
    sender.accept(&[notification("other", "higo", &["v"])]);
    let mut began = Vec::new();
    let mut jobs = sender.start_all();
    assert_eq!(jobs.iter().map(|j| j.notification.id.as_str()).collect::<Vec<_>>(), ["1", "other"]);
    while let Some(at) = jobs.iter().position(|j| j.notification.targets[0].user == "u") {
        let job = jobs.remove(at);
        began.push(job.notification.id.clone());
        sender.answer(job, &[delivered()]);
        jobs.extend(sender.start_all());
    }
    assert_eq!(began, ids);
}

#[test]
fn a_groups_own_messages_are_called_one_at_a_time_and_in_order() {
    in_order(Platform::Mqtt);
    in_order(Platform::Socket);
}

fn in_order(platform: Platform) {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let to_group = |id: &str, group: &str| Notification {
        platform,
        targets: vec![Target::new("", format!("group/{group}"))],
        ..notification(id, "", &[])
    };
    sender.accept(&[to_group("1", "g"), to_group("2", "g"), to_group("other", "h"), to_group("3", "g")]);
    let ids = |jobs: &[Job]| jobs.iter().map(|job| job.notification.id.clone()).collect::<Vec<_>>();
    let mut jobs = sender.start_all();
    assert_eq!(ids(&jobs), ["1", "other"]);
    for next in ["2", "3"] {
        sender.answer(jobs.remove(0), &[delivered()]);
        let more = sender.start_all();
        assert_eq!(ids(&more), [next]);
        jobs.splice(..0, more);
    }
    // A hook has no order of its own: its messages go out together.
    let to_hook = |id: &str| Notification {
        platform: Platform::Webhook,
        targets: vec![Target::new("", "hook")],
        ..to_group(id, "")
    };
    sender.accept(&[to_hook("a"), to_hook("b")]);
    assert_eq!(ids(&sender.start_all()), ["a", "b"]);
}

#[test]
fn a_blocked_apps_messages_leave_the_way_of_the_others() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    sender.accept(&[notification("1", "bad", &["a"])]);
    let job = sender.start_all().remove(0);
    sender.answer(job, &[Outcome::Config]);
    sender.accept(&[notification("2", "bad", &["b"]), notification("3", "good", &["c"])]);
    let jobs = sender.start_all();
    assert_eq!(jobs.iter().map(|j| j.notification.id.as_str()).collect::<Vec<_>>(), ["3"]);
    let commit = sender.commit();
    let parked =
        commit.append.iter().find(|a| a.to == Destination::Own(Log::wait("bad-android"))).expect("a waiting list");
    assert_eq!(parked.items.len(), 2);
    assert_eq!((commit.counts.get("items.filed"), commit.counts.get("send.filed")), (2, 2));
    let waiting =
        |sender: &Sender, now| sender.desk.places(now).iter().any(|(log, ..)| log.name() == "wait:bad-android");
    assert!(!waiting(&sender, sender.now), "left alone while the app is paused");
    sender.now += Duration::from_secs(6);
    let place = sender.desk.places(sender.now).into_iter().find(|(log, ..)| log.name() == "wait:bad-android");
    assert_eq!(place.map(|(_, from, budget)| (from, budget.items)), Some((0, 1)), "one item probes");
}

#[test]
fn what_kills_its_owners_is_worked_alone_and_then_buried() {
    let careful = Sender::open(&opened(3, Bytes::new()));
    assert_eq!(careful.desk.places(careful.now)[0].2.items, 1);
    let mut guilty = Sender::open(&opened(6, Bytes::new()));
    guilty.accept(&[notification("1", "higo", &["a"])]);
    assert!(guilty.start_all().is_empty());
    let letter = DeadLetter::decode(&guilty.commit().bury[0]).expect("a letter");
    assert_eq!(
        (letter.reason.as_str(), letter.error.as_str()),
        ("suspect", "6 workers in a row died with this item at the head")
    );
}

#[test]
fn a_page_that_is_buried_is_counted_with_all_its_targets() {
    let page = notification("1", "higo", &["a", "b", "c"]);
    let mut guilty = Sender::open(&opened(6, Bytes::new()));
    guilty.accept(std::slice::from_ref(&page));
    let commit = guilty.commit();
    assert_eq!((commit.counts.get("send.taken"), commit.counts.get("send.dead.suspect")), (3, 3));
    let envelope = Envelope { id: "1".to_owned(), body: page.encode().to_vec(), ..Envelope::default() };
    let mut guilty = Sender::open(&opened(6, Bytes::new()));
    guilty.desk.accept(&Log::RETRY, vec![Item { seq: 0, body: envelope.encode() }], &HashSet::new(), NOW);
    let commit = guilty.commit();
    let count = |field| commit.counts.get(field);
    assert_eq!((count("items.returned"), count("send.returned"), count("send.dead.suspect")), (1, 3, 3));
}

#[test]
fn what_is_no_notification_is_buried_with_its_bytes() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    sender.desk.accept(&Log::MAIN, vec![Item { seq: 0, body: Bytes::from_static(b"garbage") }], &HashSet::new(), NOW);
    let commit = sender.commit();
    let letter = DeadLetter::decode(&commit.bury[0]).expect("a letter");
    assert_eq!((letter.reason.as_str(), letter.body.as_slice(), letter.seq), ("invalid", b"garbage".as_slice(), 0));
    assert!(letter.error.starts_with("not a notification"), "{}", letter.error);
    assert_eq!((commit.counts.get("send.taken"), commit.counts.get("send.dead.invalid")), (1, 1));
}

/// A target that has other ways, too.
fn with_ways(mut notification: Notification, ways: &[&str]) -> Notification {
    for target in &mut notification.targets {
        let user = target.user.clone();
        let alternate = |way: &&str| Alternate { channel: (*way).into(), token: format!("{way}-token-of-{user}") };
        target.alternates = ways.iter().map(alternate).collect();
    }
    notification
}

fn parked<'a>(commit: &'a Commit, route: &str) -> &'a [Bytes] {
    let to = Destination::Own(Log::wait(route));
    commit.append.iter().find(|append| append.to == to).map_or(&[], |append| &append.items)
}

fn handed_over(commit: &Commit) -> Vec<(&QueueName, &Append, Vec<Notification>)> {
    let mut all = Vec::new();
    for append in &commit.append {
        if let Destination::Queue(queue) = &append.to {
            let items = append.items.iter().map(|item| Notification::decode(item).expect("ours")).collect();
            all.push((queue, append, items));
        }
    }
    all
}

fn fates(commit: &Commit) -> Vec<&'static str> {
    commit.records.iter().map(|record| record.fate.name()).collect()
}

#[test]
fn a_dead_token_ends_here_and_goes_on_by_the_next_way_in_the_same_commit() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let mut message = with_ways(notification("m", "higo", &["a"]), &["gone", "fcm", "mqtt"]);
    message.cohort = Some(Cohort { migration: "x2f".into(), arm: Arm::New });
    message.targets[0].clean = true;
    sender.accept(&[message.clone(), with_ways(notification("n", "higo", &["b"]), &["gone"])]);
    for job in sender.start_all() {
        sender.answer(job, &[Outcome::DEAD]);
    }
    let commit = sender.commit();
    assert_eq!((commit.counts.get("send.taken"), commit.counts.get("send.bad_token")), (2, 2));
    assert_eq!((commit.counts.get("send.filed"), commit.counts.get("cohort.x2f.new.bad_token")), (0, 1));
    let onward = handed_over(&commit);
    let [(list, append, items)] = onward.as_slice() else { panic!("{onward:?}") };
    assert_eq!(**list, Shards::new("fcm_{n}", 1, 4).expect("a family").of("a"));
    assert_eq!((append.counts.get("send.in"), append.counts.get("send.items"), append.high_water), (1, 1, 0));
    let mut expected = message;
    expected.cohort = None;
    expected.targets[0].token = "fcm-token-of-a".to_owned();
    expected.targets[0].alternates.drain(..2);
    assert_eq!(items, &[expected]);
    assert_eq!(fates(&commit), ["bad_token", "queued", "bad_token"]);
    assert_eq!(commit.records[1].fate, Fate::Queued { channel: "fcm".into() });
}

#[test]
fn refused_credentials_park_only_what_has_no_other_way() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let both = |id: &str| {
        let mut page = with_ways(notification(id, "higo", &["a", "b", "c"]), &["fcm"]);
        page.targets[1].alternates.clear();
        page
    };
    sender.accept(&[both("1")]);
    let job = sender.start_all().remove(0);
    sender.answer(job, &[Outcome::Config, Outcome::Config, Outcome::Config]);
    // While the route is paused nobody is called, and the same holds.
    sender.accept(&[
        both("2"),
        with_ways(notification("3", "higo", &["d"]), &["mqtt"]),
        notification("4", "higo", &["e"]),
    ]);
    assert!(sender.start_all().is_empty());
    let commit = sender.commit();
    let count = |field| commit.counts.get(field);
    assert_eq!((count("send.taken"), count("send.rerouted"), count("send.filed")), (8, 5, 3));
    let waiting: Vec<Notification> = parked(&commit, "higo-android")
        .iter()
        .map(|item| Notification::decode(&Envelope::decode(item).expect("an envelope").body).expect("ours"))
        .collect();
    let users: Vec<&str> = waiting.iter().flat_map(|n| &n.targets).map(|target| target.user.as_str()).collect();
    assert_eq!(users, ["b", "b", "e"]);
    let mut onward: Vec<String> = handed_over(&commit)
        .iter()
        .flat_map(|(_, append, items)| {
            let targets: usize = items.iter().map(|item| item.targets.len()).sum();
            assert_eq!(append.counts.get("send.in"), targets as i64);
            assert_eq!(append.counts.get("send.items"), items.len() as i64);
            items.iter().flat_map(|item| item.targets.iter().map(|target| format!("{}:{}", item.id, target.token)))
        })
        .collect();
    onward.sort();
    let expected =
        ["1:fcm-token-of-a", "1:fcm-token-of-c", "2:fcm-token-of-a", "2:fcm-token-of-c", "3:mqtt-token-of-d"];
    assert_eq!(onward, expected);
}

#[test]
fn refused_credentials_empty_the_waiting_list_of_what_has_another_way() {
    let pace = Pace { per_second: 10.0, ramp: 0 };
    let mut sender = Sender::with(&opened(0, Bytes::new()), outside(&Arc::default(), Some(pace)));
    let ids: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let message = |id: &String| {
        let alone = id.ends_with('9');
        with_ways(notification(id, "higo", &[id]), if alone { &[] } else { &["fcm"] })
    };
    sender.accept(&ids.iter().map(message).collect::<Vec<_>>());
    let first = sender.start_all().remove(0);
    let commit = sender.commit();
    let waiting = parked(&commit, "higo-android");
    assert_eq!(waiting.len(), 45, "too many at once for their pace");
    sender.answer(first, &[Outcome::Config]);
    assert!(sender.desk.own_lists_wait(sender.now));
    assert_eq!(sender.read(&Log::wait("higo-android"), waiting), 45);
    assert!(sender.start_all().is_empty());
    let commit = sender.commit();
    let counts = ["send.rerouted", "send.filed", "send.returned"].map(|field| commit.counts.get(field));
    assert_eq!(counts, [45, 0, 40], "the other five stay in hand, and are not filed anew");
    sender.now += Duration::from_secs(6);
    let probe = sender.start_all();
    assert_eq!(probe.iter().map(|job| job.notification.id.as_str()).collect::<Vec<_>>(), ["9"]);
}

#[test]
fn a_message_that_goes_on_in_any_case_may_be_the_probe() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let message = |id: &str, user: &str| with_ways(notification(id, "higo", &[user]), &["fcm"]);
    sender.accept(&[message("1", "a")]);
    let job = sender.start_all().remove(0);
    sender.answer(job, &[Outcome::Config]);
    sender.accept(&[message("2", "b")]);
    assert!(sender.start_all().is_empty());
    sender.now += Duration::from_secs(6);
    sender.accept(&[message("3", "c"), message("4", "d"), notification("5", "higo", &["e"])]);
    let mut jobs = sender.start_all();
    assert_eq!(jobs.iter().map(|job| job.notification.id.as_str()).collect::<Vec<_>>(), ["3"], "one");
    sender.answer(jobs.remove(0), &[delivered()]);
    let commit = sender.commit();
    assert_eq!((commit.counts.get("send.rerouted"), commit.counts.get("send.delivered")), (3, 1));
    assert_eq!(parked(&commit, "higo-android").len(), 1);
    sender.accept(&[message("6", "f")]);
    assert_eq!(sender.start_all().len(), 1, "it works again");
}

#[test]
fn what_may_have_arrived_takes_no_other_way() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let outcomes = [Outcome::limited(None), Outcome::Retry { after: None }, Outcome::Ambiguous, Outcome::Payload];
    let user = |i: usize| ["a", "b", "c", "d"][i];
    let message = |i: usize| with_ways(notification(&i.to_string(), &format!("app{i}"), &[user(i)]), &["fcm"]);
    sender.accept(&[0, 1, 2, 3].map(message));
    for job in sender.start_all() {
        let outcome = outcomes[job.notification.id.parse::<usize>().expect("a number")].clone();
        sender.answer(job, &[outcome]);
    }
    let commit = sender.commit();
    assert!(handed_over(&commit).is_empty());
    assert_eq!((commit.counts.get("send.filed"), commit.counts.get("send.dead.payload")), (3, 1));
    // Nor while the app is paused because of a wish.
    sender.accept(&[with_ways(notification("5", "app0", &["e"]), &["fcm"])]);
    assert!(sender.start_all().is_empty());
    let commit = sender.commit();
    assert_eq!((parked(&commit, "app0-android").len(), handed_over(&commit).len()), (1, 0));
}

#[test]
fn all_shards_of_a_process_pause_together_and_one_call_probes() {
    let gates = Arc::new(Gates::default());
    let shard = || Sender::with(&opened(0, Bytes::new()), outside(&gates, None));
    let (mut one, mut two) = (shard(), shard());
    let begin = one.now;
    two.now = begin;
    one.accept(&[notification("1", "higo", &["a"])]);
    two.accept(&[notification("2", "higo", &["b"])]);
    let (first, late) = (one.start_all().remove(0), two.start_all().remove(0));
    one.answer(first, &[Outcome::limited(Some(30_000))]);
    two.accept(&[notification("3", "higo", &["c"])]);
    assert!(two.start_all().is_empty(), "before its next call");
    two.answer(late, &[delivered()]);
    two.accept(&[notification("4", "higo", &["d"])]);
    assert!(two.start_all().is_empty(), "what began before says nothing");
    let wait = Log::wait("higo-android");
    let (here, there) = (one.commit(), two.commit());
    let (here, there) = (parked(&here, "higo-android"), parked(&there, "higo-android"));
    assert_eq!((here.len(), there.len()), (1, 2));
    assert_eq!((one.read(&wait, here), two.read(&wait, there)), (0, 0), "left alone");
    let pause = two.desk.pause(NOW, begin + Duration::from_millis(29_900), Duration::from_secs(9));
    assert_eq!(pause, Duration::from_millis(100), "both wake when it is over");
    (one.now, two.now) = (begin + Duration::from_secs(30), begin + Duration::from_secs(30));
    assert_eq!((one.read(&wait, here), two.read(&wait, there)), (1, 1));
    let probe = two.start_all().remove(0);
    assert!(one.start_all().is_empty(), "one probe per process");
    one.accept(&[notification("5", "higo", &["e"])]);
    assert!(one.start_all().is_empty());
    assert_eq!(parked(&one.commit(), "higo-android").len(), 1, "what came from the main list makes way");
    two.answer(probe, &[delivered()]);
    assert_eq!(one.start_all().len(), 1, "the one that was in hand");
    assert_eq!(two.read(&wait, there), 1);
    assert_eq!(two.start_all().len(), 1);
}

#[test]
fn a_probe_that_is_lost_with_its_shard_is_made_by_another() {
    let gates = Arc::new(Gates::default());
    let shard = || Sender::with(&opened(0, Bytes::new()), outside(&gates, None));
    let mut one = shard();
    one.accept(&[notification("1", "higo", &["a"])]);
    let job = one.start_all().remove(0);
    one.answer(job, &[Outcome::Config]);
    let commit = one.commit();
    let waiting = parked(&commit, "higo-android");
    let wait = Log::wait("higo-android");
    one.now += Duration::from_secs(5);
    assert_eq!((one.read(&wait, waiting), one.start_all().len()), (1, 1));
    let mut two = shard();
    two.now = one.now;
    two.desk.committed(&commit);
    assert_eq!(two.read(&wait, waiting), 0, "the probe is under way");
    drop(one);
    assert_eq!((two.read(&wait, waiting), two.start_all().len()), (1, 1));
}

#[test]
fn a_paced_app_makes_way_and_is_served_from_its_waiting_list() {
    let gates = Arc::new(Gates::default());
    let pace = Pace { per_second: 10.0, ramp: 0 };
    let mut sender = Sender::with(&opened(0, Bytes::new()), outside(&gates, Some(pace)));
    let ids: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let many: Vec<Notification> = ids.iter().map(|id| notification(id, "higo", &[id])).collect();
    sender.accept(&many);
    let first = sender.start_all();
    assert_eq!(first.iter().map(|job| job.notification.id.as_str()).collect::<Vec<_>>(), ["0"]);
    let commit = sender.commit();
    let waiting = parked(&commit, "higo-android");
    assert_eq!(waiting.len(), 45, "four stay in hand");
    assert!(sender.desk.pause(NOW, sender.now, Duration::from_secs(9)) <= Duration::from_millis(100));
    // Another shard of the process shares the bucket.
    let mut other = Sender::with(&opened(0, Bytes::new()), outside(&gates, Some(pace)));
    other.now = sender.now;
    other.accept(&[notification("x", "higo", &["x"])]);
    assert!(other.start_all().is_empty());
    for job in first {
        sender.answer(job, &[delivered()]);
    }
    let (mut sent, mut read) = (0, 0);
    for _ in 0..40 {
        sender.now += Duration::from_millis(100);
        read += sender.read(&Log::wait("higo-android"), waiting);
        for job in sender.start_all() {
            sent += 1;
            sender.answer(job, &[delivered()]);
        }
        sender.desk.take_commit().iter().for_each(|commit| {
            assert!(parked(commit, "higo-android").is_empty(), "what came from there stays in hand");
            sender.desk.committed(commit);
        });
    }
    assert_eq!((sent, read), (40, 45));
}

fn rehearsal(id: &str, user: &str) -> Notification {
    let cohort = Some(Cohort { migration: "x2f".into(), arm: Arm::Shadow });
    Notification { cohort, ..with_ways(notification(id, "higo", &[user]), &["fcm"]) }
}

#[test]
fn a_rehearsal_ends_in_one_try_and_disturbs_nobody() {
    let gates = Arc::new(Gates::default());
    let mut sender = Sender::with(&opened(0, Bytes::new()), outside(&gates, None));
    let outcomes = [
        delivered(),
        Outcome::DEAD,
        Outcome::Payload,
        Outcome::Unknown,
        Outcome::Ambiguous,
        Outcome::Retry { after: None },
        Outcome::limited(None),
        Outcome::Config,
    ];
    // One user, who has a call under way: they wait behind nobody.
    let mut all = vec![notification("real", "higo", &["u"])];
    all.extend((0..outcomes.len()).map(|i| Notification { expires_at: NOW - 1, ..rehearsal(&i.to_string(), "u") }));
    sender.accept(&all);
    let jobs = sender.start_all();
    assert_eq!(jobs.len(), 9);
    assert!(!jobs[0].rehearsal && jobs[1..].iter().all(|job| job.rehearsal), "the real one first");
    for job in jobs.into_iter().rev() {
        let at = job.notification.id.parse::<usize>();
        let outcome = at.map_or_else(|_| delivered(), |at| outcomes[at].clone());
        sender.answer(job, &[outcome]);
    }
    let commit = sender.commit();
    assert_eq!((commit.append.len(), commit.delay.len(), commit.bury.len()), (0, 0, 0));
    for outcome in &outcomes {
        let count = |prefix: &str| commit.counts.get(&format!("{prefix}{}", outcome.name()));
        assert_eq!((count("send.rehearsed."), count("cohort.x2f.shadow.")), (1, 1), "{outcome:?}");
    }
    assert_eq!((commit.counts.get("send.taken"), commit.counts.get("send.delivered")), (9, 1));
    let told = commit.records.iter().find(|record| record.fate == Fate::Rehearsed { outcome: "config".into() });
    assert_eq!(told.and_then(|record| record.reason.as_deref()), Some("said so"));
    sender.accept(&[notification("next", "higo", &["v"])]);
    assert_eq!(sender.start_all().len(), 1, "the app is not paused");
}

#[test]
fn rehearsals_of_an_app_in_trouble_end_untried_but_for_a_few() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let (mut tried, mut n) = (0, 0);
    for _ in 0..100 {
        let batch: Vec<Notification> = (0..10).map(|i| rehearsal(&(n + i).to_string(), "u")).collect();
        n += 10;
        sender.accept(&batch);
        for job in sender.start_all() {
            tried += 1;
            sender.answer(job, &[Outcome::Config]);
        }
        sender.now += Duration::from_millis(10);
    }
    let commit = sender.commit();
    let (config, paused) = (commit.counts.get("send.rehearsed.config"), commit.counts.get("send.rehearsed.paused"));
    assert_eq!((config, config + paused, commit.counts.get("send.taken")), (tried, 1_000, 1_000));
    assert!((12..=16).contains(&tried), "{tried} calls: ten before the first answer, then four a second");
    let untried = commit.records.iter().find(|record| record.fate == Fate::Rehearsed { outcome: "paused".into() });
    assert_eq!(untried.and_then(|record| record.reason.as_deref()), Some("not tried: config: said so"));
}

#[test]
fn many_rehearsals_leave_the_way_of_real_messages() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let mut all: Vec<Notification> = (0..100).map(|i| rehearsal(&i.to_string(), "u")).collect();
    all.push(notification("real", "higo", &["u"]));
    sender.accept(&all);
    let jobs = sender.start_all();
    assert_eq!((jobs.len(), jobs[0].notification.id.as_str()), (33, "real"));
    let commit = sender.commit();
    let aside = commit.append.iter().find(|append| append.to == Destination::Own(Rehearsals::LIST)).expect("a list");
    assert_eq!((aside.items.len(), commit.counts.get("send.filed")), (36, 36));
    for job in jobs {
        sender.answer(job, &[delivered()]);
    }
    assert_eq!(sender.read(&Rehearsals::LIST, &aside.items), 36);
    for _ in 0..3 {
        for job in sender.start_all() {
            sender.answer(job, &[delivered()]);
        }
    }
    let commit = sender.commit();
    assert_eq!(commit.counts.get("send.rehearsed.delivered"), 100);
    assert_eq!((commit.counts.get("send.returned"), commit.counts.get("items.returned")), (36, 36));
    assert!(commit.append.is_empty(), "never twice");
    // One that waited too long is let go.
    let late = Envelope { body: rehearsal("late", "u").encode().to_vec(), ..Envelope::default() };
    let late = vec![Item { seq: 36, body: late.encode() }];
    sender.desk.accept(&Rehearsals::LIST, late, &HashSet::new(), NOW);
    assert!(sender.desk.start(NOW + 700_000, sender.now).is_none());
    assert_eq!(sender.commit().counts.get("send.rehearsed.untried"), 1);
}

#[test]
fn ends_of_a_migrations_sides_are_counted_apart() {
    let mut sender = Sender::open(&opened(0, Bytes::new()));
    let cohort = |arm| Some(Cohort { migration: "x2f".into(), arm });
    let old = Notification { cohort: cohort(Arm::Old), ..notification("1", "higo", &["a", "b", "c"]) };
    let new = Notification { cohort: cohort(Arm::New), ..notification("2", "higo", &["d"]) };
    sender.accept(&[old, new, notification("3", "higo", &["e"])]);
    let [old, new, none]: [Job; 3] = sender.start_all().try_into().unwrap_or_else(|_| panic!("three"));
    sender.answer(old, &[delivered(), delivered(), Outcome::Retry { after: None }]);
    sender.answer(new, &[Outcome::Payload]);
    sender.answer(none, &[delivered()]);
    let commit = sender.commit();
    let counts: Vec<(&str, i64)> = commit.counts.iter().filter(|(field, _)| field.starts_with("cohort.")).collect();
    assert_eq!(counts, [("cohort.x2f.new.dead", 1), ("cohort.x2f.old.delivered", 2)], "what is tried again is no end");
}
