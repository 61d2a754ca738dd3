//! The desk without any queue: items in, answers in, commits out.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use homing_core::{
    channel::{Answer, Outcome},
    clock::Millis,
    notification::{Notification, Platform, Target},
    queue::{Commit, Destination, Item, Log, LogState, Opened, QueueName, Seq},
    window::Window,
    wire::{DeadLetter, Envelope},
};

use super::{
    Options,
    call::{Finished, Settled},
    desk::{Desk, Job},
};

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

struct Sender {
    desk: Desk,
    now: Instant,
    next: Seq,
}

impl Sender {
    fn open(opened: &Opened) -> Self {
        Self { desk: Desk::open(&QueueName::new("q"), opened, Options::default(), None), now: Instant::now(), next: 0 }
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
