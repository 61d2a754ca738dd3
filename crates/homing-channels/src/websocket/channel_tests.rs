//! A store in memory that forgets nothing, loses answers, and has no room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Mutex;

use homing_core::{
    clock::SystemClock,
    live::{Backlog, Marks, Position, Stream, Unread},
    wire_live::Message,
};

use super::*;

/// What the store does with a call.
#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Well,
    /// Stores, and the answer is lost.
    Mute,
    Down,
    Full,
}

#[derive(Default)]
struct Streams {
    stored: Mutex<Vec<Post>>,
    calls: Mutex<usize>,
    mood: Mutex<Mood>,
}

impl Streams {
    fn failure(refused: bool, why: &str) -> LiveDown {
        LiveDown { what: "inbox of a test".into(), refused, source: why.into() }
    }

    fn check(&self) -> Result<(), LiveDown> {
        match *self.mood.lock().unwrap() {
            Mood::Well | Mood::Mute => Ok(()),
            Mood::Down => Err(Self::failure(false, "connection refused")),
            Mood::Full => Err(Self::failure(true, "OOM command not allowed")),
        }
    }
}

impl Inbox for Streams {
    fn post<'a>(&'a self, posts: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        Box::pin(async move {
            *self.calls.lock().unwrap() += 1;
            self.check()?;
            let mut stored = self.stored.lock().unwrap();
            let mut store = |post: &Post| {
                let mut known = stored.iter().filter(|known| known.stream == post.stream);
                let fresh = !known.clone().any(|known| known.id == post.id);
                let offset = known.by_ref().count() as u64 + u64::from(fresh);
                if fresh {
                    stored.push(post.clone());
                }
                Posted { at: Position { epoch: 9, offset }, fresh }
            };
            let posted = posts.iter().map(&mut store).collect();
            match *self.mood.lock().unwrap() {
                Mood::Mute => Err(Self::failure(false, "the connection was lost")),
                _ => Ok(posted),
            }
        })
    }

    fn after<'a>(&'a self, _: &'a [(Stream, Position)], _: usize) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        unreachable!("a channel reads no stream")
    }

    fn unread<'a>(&'a self, _: &'a str, _: &'a [Stream], _: usize) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        unreachable!("a channel reads no stream")
    }

    fn mark<'a>(&'a self, _: &'a str, _: &'a [Stream], _: &'a Marks) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        unreachable!("a channel marks nothing")
    }

    fn were_read<'a>(&'a self, pairs: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        Box::pin(async move { self.check().map(|()| vec![false; pairs.len()]) })
    }
}

fn channel(section: &str) -> (Arc<Streams>, Result<Websocket>) {
    let streams = Arc::new(Streams::default());
    let inbox = Some(Arc::clone(&streams) as Arc<dyn Inbox>);
    let tools = Tools { clock: Arc::new(SystemClock::default()), inbox, types: None };
    let built = Websocket::new(&toml::from_str(section).unwrap(), &tools);
    (streams, built)
}

fn notification(id: &str) -> Notification {
    Notification { id: id.into(), kind: 7, title: "t".into(), expires_at: 900, ..Notification::default() }
}

fn names(answers: &[Answer]) -> Vec<&'static str> {
    answers.iter().map(|answer| answer.outcome.name()).collect()
}

#[tokio::test]
async fn a_page_is_one_call_and_each_target_has_its_stream() {
    let (streams, built) = channel("");
    let targets = ["user/1", "odd", "group/g", "everyone", "user/"].map(|token| Target::new("", token));
    let answers = built.unwrap().send(&notification("m"), &targets).await;
    assert_eq!(names(&answers), ["delivered", "payload", "delivered", "delivered", "payload"]);
    assert_eq!(answers[0].outcome, Outcome::Delivered { provider_id: Some("9:1".into()) });
    assert_eq!(answers[1].detail, "not sent: the token is neither user/ID, group/ID nor everyone");
    assert_eq!(*streams.calls.lock().unwrap(), 1);
    let stored = streams.stored.lock().unwrap();
    let places: Vec<String> = stored.iter().map(|post| post.stream.to_string()).collect();
    assert_eq!(places, ["u:1", "g:g", "all"]);
    assert!(stored.iter().all(|post| &*post.id == "m" && post.expires_at == Some(900) && post.once == Once::Id));
    let message = Message::decode(&stored[0].body).unwrap();
    assert_eq!((&*message.id, &*message.kind), ("m", "7"));
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_is_stored_once() {
    let (streams, built) = channel("");
    let (channel, targets) = (built.unwrap(), [Target::new("1", "user/1"), Target::new("2", "user/2")]);
    *streams.mood.lock().unwrap() = Mood::Mute;
    let answers = channel.send(&notification("m"), &targets).await;
    assert_eq!(names(&answers), ["retry", "retry"]);
    assert_eq!(answers[0].detail, "not stored, or not heard of: inbox of a test: the connection was lost");
    *streams.mood.lock().unwrap() = Mood::Well;
    // Another process, after a crash, knows nothing of the first try.
    let answers = channel.send(&notification("m"), &targets).await;
    assert_eq!(names(&answers), ["delivered", "delivered"]);
    assert_eq!(answers[1].detail, "stored before");
    assert_eq!(streams.stored.lock().unwrap().len(), 2, "once for each");
    channel.send(&notification("n"), &targets[..1]).await;
    assert_eq!(streams.stored.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_store_that_is_down_or_full_is_tried_again() {
    let (streams, built) = channel("payload_max = 200");
    let (channel, targets) = (built.unwrap(), [Target::new("1", "user/1")]);
    for (mood, why) in [
        (Mood::Down, "not stored, or not heard of: inbox of a test: connection refused"),
        (Mood::Full, "not stored now: inbox of a test: OOM command not allowed"),
    ] {
        *streams.mood.lock().unwrap() = mood;
        let answers = channel.send(&notification("m"), &targets).await;
        assert_eq!(answers, [Answer::new(Outcome::Retry { after: None }, why)]);
    }
    let mut long = notification("m");
    long.body = "x".repeat(200);
    let calls = *streams.calls.lock().unwrap();
    assert_eq!(names(&channel.send(&long, &targets).await), ["payload"]);
    assert_eq!(*streams.calls.lock().unwrap(), calls, "the store was not asked");
}

#[tokio::test]
async fn a_rehearsal_stores_nothing_and_an_examination_reads() {
    let (streams, built) = channel("payload = 'data'");
    let channel = built.unwrap();
    let targets = [Target::new("1", "user/1"), Target::new("1", "phone")];
    assert_eq!(names(&channel.rehearse(&notification("m"), &targets).await), ["delivered", "payload"]);
    assert_eq!((streams.stored.lock().unwrap().len(), *streams.calls.lock().unwrap()), (0, 0));
    assert_eq!(channel.examine().await[0].health, Health::Good);
    *streams.mood.lock().unwrap() = Mood::Down;
    let credential = channel.examine().await.remove(0);
    assert_eq!((credential.account.as_str(), credential.health), ("channel.websocket", Health::Unknown));
    assert_eq!(credential.detail, "inbox of a test: connection refused");
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |section: &str| channel(section).1.err().unwrap().to_string();
    assert_eq!(refused("payload_max = 0"), "channel.websocket.payload_max: must be 1 to 1048576");
    assert!(refused("msg_type = 'kind'").starts_with("channel.websocket.msg_type: unknown variant `kind`"));
    assert!(refused("payloads = 1").contains("unknown field `payloads`"));
    let tools = Tools { clock: Arc::new(SystemClock::default()), inbox: None, types: None };
    let none = Websocket::new(&Table::new(), &tools).err().unwrap().to_string();
    assert_eq!(none, "channel.websocket: there is no store of live delivery");
}
