//! A session on a link that notes what is done to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicI64, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::wire_live::Message;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::{desk::Missed, session::SessionKey, topic::Topic};

/// What was done to a link.
#[derive(Default)]
struct Noted {
    now: u64,
    heard: u64,
    frames: VecDeque<String>,
    closed: Option<Close>,
    wake: Option<Duration>,
    topics: Vec<Topic>,
    user: Option<Arc<str>>,
    direct: bool,
    held: bool,
    lives: Vec<Vec<(Stream, Position)>>,
    asks: VecDeque<Ask>,
    pings: u32,
}

impl Link for Noted {
    fn key(&self) -> SessionKey {
        SessionKey { shard: 1, slot: 2, generation: 3 }
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn write(&mut self, socket: Socket, payload: &Payload) {
        assert_eq!((socket, &self.closed), (Socket::Main, &None));
        let Payload::Text(text) = payload else { panic!("no text") };
        self.frames.push_back(String::from_utf8(text.to_vec()).unwrap());
    }

    fn send(&mut self, parcel: &Arc<Parcel>) -> bool {
        let frames = super::super::Frames::default().encode(&parcel.source);
        frames.iter().flatten().for_each(|frame| self.write(Socket::Main, frame));
        frames.is_some()
    }

    fn ping(&mut self) -> u32 {
        self.pings += 1;
        self.pings
    }

    fn has(&self, socket: Socket) -> bool {
        socket == Socket::Main
    }

    fn heard(&self) -> u64 {
        self.heard
    }

    fn promote(&mut self) {}

    fn drop_candidate(&mut self, _: &Close) {}

    fn close(&mut self, close: Close) {
        assert_eq!(self.closed, None, "closed once");
        self.closed = Some(close);
    }

    fn wake_after(&mut self, time: Option<Duration>) {
        self.wake = time;
    }

    fn join(&mut self, topic: Topic) {
        assert!(self.held, "held back before it is joined");
        self.topics.push(topic);
    }

    fn leave(&mut self, topic: &Topic) {
        self.topics.retain(|own| own != topic);
    }

    fn rooms(&self) -> Vec<Topic> {
        Vec::new()
    }

    fn identify(&mut self, user: Option<Arc<str>>) {
        self.user = user;
    }

    fn direct(&mut self, yes: bool) {
        self.direct = yes;
    }

    fn hold(&mut self) {
        self.held = true;
    }

    fn live(&mut self, shown: &[(Stream, Position)]) {
        assert!(self.held);
        self.held = false;
        self.lives.push(shown.to_vec());
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }
}

/// `42` and `42 a,b` and `42@TIME` are users, with groups and an end; `later` must be looked up.
struct Simple;

fn judge(text: &str) -> Verdict {
    match text {
        "bad" => Verdict::Refused("this is no token".into()),
        "away" => Verdict::Unavailable("not now".into()),
        text => {
            let (text, end) = text.split_once('@').unwrap_or((text, ""));
            let (user, groups) = text.split_once(' ').unwrap_or((text, ""));
            let groups = groups.split(',').filter(|group| !group.is_empty()).map(Into::into).collect();
            Verdict::Known(Identity { user: Some(user.into()), groups, expires_at: end.parse().ok() })
        }
    }
}

impl Authenticate for Simple {
    fn check(&self, credentials: &Credentials) -> Option<Verdict> {
        match credentials.message.as_deref().or(credentials.query.as_deref()) {
            None => Some(Verdict::Missing),
            Some("later") => None,
            Some("nobody") => Some(Verdict::Known(Identity::default())),
            Some(text) => Some(judge(text)),
        }
    }

    fn look_up<'a>(&'a self, _: &'a Credentials) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Missing })
    }
}

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

struct Bench {
    session: PlainSession,
    link: Noted,
    clock: Arc<Hands>,
}

impl Bench {
    fn with(settings: Value, query: Option<&str>, resume: &[(&str, u32, u64)]) -> Self {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        settings.check().unwrap();
        let clock = Arc::new(Hands(AtomicI64::new(1_000_000)));
        let shared = Shared { settings, auth: Arc::new(Simple), clock: Arc::clone(&clock) as Arc<dyn Clock> };
        let credentials = Credentials { query: query.map(str::to_owned), ..Credentials::default() };
        let resume = resume.iter().map(|(stream, epoch, offset)| {
            (Stream::parse(stream).unwrap(), Position { epoch: *epoch, offset: *offset })
        });
        let opening = Opening { credentials, verdict: None, resume: resume.collect() };
        let session = PlainSession::new(Arc::new(shared), opening);
        let mut bench = Self { session, link: Noted { now: 5_000, heard: 5_000, ..Noted::default() }, clock };
        bench.session.open(&mut bench.link);
        bench
    }

    /// A session of user 42 with messages flowing.
    fn live(settings: Value) -> Self {
        let mut bench = Self::with(settings, Some("42 a,b"), &[]);
        bench.attended();
        bench.link.frames.clear();
        bench
    }

    fn say(&mut self, text: &str) {
        self.link.heard = self.link.now;
        self.session.message(&mut self.link, Socket::Main, Payload::Text(Bytes::copy_from_slice(text.as_bytes())));
    }

    fn reply(&mut self, reply: Reply) {
        self.session.reply(&mut self.link, reply);
    }

    /// Answers the question for what was missed: nothing, in epoch 7.
    fn attended(&mut self) {
        let Some(Ask::Attend { streams, .. }) = self.link.asks.pop_front() else { panic!("no question") };
        let missed = streams.into_iter().map(|(stream, _)| missed(&stream.to_string(), 7, false, &[])).collect();
        self.reply(Reply::Attending(Ok(missed)));
    }

    fn pass(&mut self, ms: u64) {
        self.link.now += ms;
        self.clock.0.fetch_add(i64::try_from(ms).unwrap(), Ordering::Relaxed);
    }

    /// Lets time pass until the next wake-up.
    fn doze(&mut self) {
        let wake = self.link.wake.take().expect("asked to be woken");
        self.pass(u64::try_from(wake.as_millis()).unwrap());
        self.session.wake(&mut self.link);
    }

    /// The next frame.
    fn heard(&mut self) -> String {
        self.link.frames.pop_front().unwrap_or_default()
    }

    fn heard_json(&mut self) -> Value {
        serde_json::from_str(&self.heard()).unwrap()
    }

    fn closed(&self) -> Option<(u16, &str)> {
        self.link.closed.as_ref().map(|close| (close.code, close.reason.as_str()))
    }

    fn topics(&self) -> Vec<String> {
        let name = |topic: &Topic| match topic {
            Topic::Stream(stream) => stream.to_string(),
            other => format!("{other:?}"),
        };
        self.link.topics.iter().map(name).collect()
    }

    #[track_caller]
    fn error(&mut self, field: &str, message: &str) {
        let expected = json!({"msg_type": "error", "data": {"field": field, "message": message}});
        assert_eq!(self.heard_json(), expected);
    }

    /// The ids and streams of the question about reading that is under way.
    fn marks(&mut self) -> Marks {
        let Some(Ask::Mark { user, marks, .. }) = self.link.asks.pop_front() else { panic!("no marks") };
        assert_eq!(&*user, "42");
        marks
    }
}

fn parcel(stream: &str, epoch: u32, offset: u64) -> Arc<Parcel> {
    let data = RawValue::from_string(offset.to_string()).unwrap().into();
    let id = format!("m{offset}").into();
    let message = Message { id, kind: "notify".into(), data, at: 0, to: None, emit: None };
    let at = Some(Position { epoch, offset });
    Arc::new(Parcel::new(Source::Message { stream: Stream::parse(stream).unwrap(), at, message }))
}

fn missed(stream: &str, epoch: u32, recovered: bool, offsets: &[u64]) -> Missed {
    Missed {
        stream: Stream::parse(stream).unwrap(),
        recovered,
        truncated: false,
        top: Position { epoch, offset: offsets.last().copied().unwrap_or(0) },
        messages: offsets.iter().map(|offset| parcel(stream, epoch, *offset)).collect(),
    }
}

fn place(stream: &str, epoch: u32, offset: u64) -> (Stream, Position) {
    (Stream::parse(stream).unwrap(), Position { epoch, offset })
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<PlainSession>() <= 160, "{}", size_of::<PlainSession>());
}

#[test]
fn who_is_known_attends_at_once() {
    let mut bench = Bench::with(json!({}), Some("42 a,b"), &[("u:42", 7, 3), ("u:43", 7, 1), ("g:b", 9, 1)]);
    assert_eq!(bench.link.user.as_deref(), Some("42"));
    assert_eq!(bench.topics(), ["u:42", "all", "g:a", "g:b"]);
    let Some(Ask::Attend { user, streams }) = bench.link.asks.pop_front() else { panic!("no question") };
    assert_eq!(user.as_deref(), Some("42"));
    let shown: Vec<_> = streams.iter().map(|(stream, at)| (stream.to_string(), at.map(|at| at.offset))).collect();
    let expected = [("u:42", Some(3)), ("all", None), ("g:a", None), ("g:b", Some(1))];
    assert_eq!(shown, expected.map(|(stream, at)| (stream.to_owned(), at)));
    assert!(bench.link.frames.is_empty() && !bench.link.direct && bench.link.held);
    let missed = vec![
        missed("u:42", 7, true, &[4, 5]),
        missed("all", 8, false, &[1]),
        missed("g:a", 9, false, &[]),
        missed("g:b", 9, true, &[]),
    ];
    bench.reply(Reply::Attending(Ok(missed)));
    let place_of = |epoch, offset, recovered| json!({"epoch": epoch, "offset": offset, "recovered": recovered, "truncated": false});
    assert_eq!(
        bench.heard_json(),
        json!({"msg_type": "connected", "data": {
            "user": "42", "session": "1-2-3", "heartbeat_ms": 25_000,
            "streams": {"u:42": place_of(7, 5, true), "all": place_of(8, 1, false), "g:a": place_of(9, 0, false),
                        "g:b": place_of(9, 0, true)},
        }})
    );
    for (stream, offset) in [("u:42", 4), ("u:42", 5), ("all", 1)] {
        let frame = bench.heard_json();
        assert_eq!((&frame["stream"], &frame["offset"]), (&json!(stream), &json!(offset)));
    }
    let shown = [place("u:42", 7, 5), place("all", 8, 1), place("g:a", 9, 0), place("g:b", 9, 0)];
    assert_eq!(bench.link.lives, [shown]);
    assert!(bench.link.direct);
}

#[test]
fn a_session_may_be_bare_or_follow_less() {
    let bare = json!({"bare": true, "everyone": false, "join_groups": false});
    let mut bench = Bench::with(bare, Some("42 a,b"), &[]);
    assert_eq!(bench.topics(), ["u:42"]);
    bench.attended();
    assert_eq!(bench.heard(), "", "no word of greeting");
    let mut bench = Bench::with(json!({}), Some("nobody"), &[]);
    assert_eq!((bench.topics(), &bench.link.user), (vec!["all".to_owned()], &None));
    bench.attended();
    assert_eq!(bench.heard_json()["data"]["user"], Value::Null);
    bench.say(r#"{"msg_type":"read","id":"a"}"#);
    bench.error("msg_type", "only users can have read something");
}

#[test]
fn who_is_refused_is_told_why() {
    for (query, closed) in [
        ("bad", (4101, "this is no token")),
        ("away", (1013, "not now")),
        ("42@1000000", (4102, "the token has ended")),
    ] {
        let mut bench = Bench::with(json!({}), Some(query), &[]);
        assert_eq!(bench.closed(), Some(closed));
        assert!(bench.link.asks.is_empty() && bench.link.topics.is_empty());
        bench.say("ping");
        assert_eq!(bench.heard(), "");
    }
}

#[test]
fn what_must_be_looked_up_is_waited_for() {
    let mut bench = Bench::with(json!({}), Some("later"), &[("u:42", 7, 3)]);
    assert!(matches!(bench.link.asks.pop_front(), Some(Ask::Identify(credentials)) if credentials.query.is_some()));
    // The client of old says so at once; it is answered when it is known.
    bench.say(r#"{"msg_type":"login"}"#);
    assert_eq!(bench.heard(), "");
    bench.say(r#"{"msg_type":"read","id":"a"}"#);
    bench.error("msg_type", "a login is needed first");
    bench.say("ping");
    assert_eq!(bench.heard(), "pong");
    bench.reply(Reply::Verdict(judge("42")));
    assert_eq!(bench.heard(), r#"{"msg_type":"login","data":{"user":"42"}}"#);
    let Some(Ask::Attend { streams, .. }) = bench.link.asks.pop_front() else { panic!("no question") };
    assert_eq!(streams[0], (Stream::User("42".into()), Some(Position { epoch: 7, offset: 3 })));
    for (verdict, closed) in [
        (Verdict::Refused("the session is not known".into()), (4101, "the session is not known")),
        (Verdict::Unavailable("not now".into()), (1013, "not now")),
    ] {
        let mut bench = Bench::with(json!({}), Some("later"), &[]);
        bench.reply(Reply::Verdict(verdict));
        assert_eq!(bench.closed(), Some(closed));
    }
}

#[test]
fn the_first_message_may_bring_the_token() {
    for frame in [
        r#"{"msg_type":"login","token":"42","resume":{"u:42":[7,3]}}"#,
        r#"{"type":"auth","data":{"token":"42","resume":{"u:42":[7,3]}}}"#,
    ] {
        let mut bench = Bench::with(json!({}), None, &[]);
        assert!(bench.link.asks.is_empty() && bench.closed().is_none());
        bench.say(r#"{"type":"ping"}"#);
        assert_eq!(bench.heard(), r#"{"type":"pong"}"#);
        bench.say(frame);
        assert_eq!(bench.heard(), r#"{"msg_type":"login","data":{"user":"42"}}"#);
        let Some(Ask::Attend { streams, .. }) = bench.link.asks.pop_front() else { panic!("no question") };
        assert_eq!(streams[0].1, Some(Position { epoch: 7, offset: 3 }));
    }
    for (frame, closed) in [
        (r#"{"msg_type":"login"}"#, (4101, "a token is needed")),
        (r#"{"msg_type":"login","token":"bad"}"#, (4101, "this is no token")),
    ] {
        let mut bench = Bench::with(json!({}), None, &[]);
        bench.say(frame);
        assert_eq!(bench.closed(), Some(closed));
    }
    let mut bench = Bench::with(json!({"login_timeout": "10s"}), None, &[]);
    bench.doze();
    assert_eq!((bench.closed(), bench.link.now), (Some((4101, "no login came")), 15_000));
}

#[test]
fn a_login_frame_may_be_required() {
    let mut bench = Bench::with(json!({"login": "required"}), Some("42"), &[("u:42", 7, 3)]);
    assert!(bench.link.asks.is_empty());
    bench.say(r#"{"msg_type":"login"}"#);
    assert_eq!(bench.heard(), r#"{"msg_type":"login","data":{"user":"42"}}"#);
    let Some(Ask::Attend { streams, .. }) = bench.link.asks.pop_front() else { panic!("no question") };
    assert_eq!(streams[0].1, Some(Position { epoch: 7, offset: 3 }));
    // Where it is not, it is answered, too.
    let mut bench = Bench::live(json!({}));
    bench.say(r#"{"msg_type":"login"}"#);
    assert_eq!(bench.heard(), r#"{"msg_type":"login","data":{"user":"42"}}"#);
    assert!(bench.link.asks.is_empty());
}

#[test]
fn a_store_that_is_away_is_come_back_for() {
    let mut bench = Bench::with(json!({}), Some("42"), &[]);
    bench.reply(Reply::Attending(Err("try again".into())));
    assert_eq!(bench.closed(), Some((1013, "try again")));
}

#[test]
fn what_was_read_is_asked_one_thing_at_a_time() {
    let mut bench = Bench::live(json!({}));
    bench.say(r#"{"msg_type":"read","ids":["a","b"]}"#);
    bench.say(r#"{"msg_type":"ack","id":"c"}"#);
    bench.say(r#"{"msg_type":"open","id":"d"}"#);
    assert_eq!(bench.marks(), Marks::Ids(vec!["a".into(), "b".into()]));
    assert!(bench.link.asks.is_empty());
    bench.reply(Reply::Marked(Ok(vec!["b".into()])));
    assert_eq!(bench.heard(), r#"{"msg_type":"acked","ids":["a","b"]}"#, "whether they were unread or not");
    assert_eq!(bench.marks(), Marks::Ids(vec!["c".into(), "d".into()]));
    bench.reply(Reply::Marked(Err("try again".into())));
    bench.error("ids", "try again");
    assert!(bench.link.asks.is_empty() && bench.session.rare.is_none());
    let many: Vec<usize> = (0..1_000).collect();
    for _ in 0..5 {
        bench.say(&json!({"msg_type": "read", "ids": many}).to_string());
    }
    assert_eq!(bench.heard(), "", "one is under way, four wait");
    bench.say(r#"{"msg_type":"read","id":"e"}"#);
    bench.error("ids", "too many wait for their answer");
    bench.reply(Reply::Marked(Ok(Vec::new())));
    assert_eq!(bench.heard_json()["ids"].as_array().unwrap().len(), 1_000);
}

#[test]
fn everything_may_be_read() {
    let mut bench = Bench::live(json!({"join_groups": false}));
    bench.say(r#"{"msg_type":"read_all"}"#);
    let all = Position { epoch: 7, offset: (1 << 53) - 1 };
    assert_eq!(bench.marks(), Marks::UpTo(Stream::User("42".into()), all));
    bench.reply(Reply::Marked(Ok(vec!["a".into()])));
    assert_eq!(bench.heard(), r#"{"msg_type":"acked","ids":["a"],"stream":"u:42"}"#);
    assert_eq!(bench.marks(), Marks::UpTo(Stream::Everyone, all));
    bench.reply(Reply::Marked(Ok(Vec::new())));
    assert_eq!(bench.heard(), r#"{"msg_type":"acked","ids":[],"stream":"all"}"#);
    bench.say(r#"{"msg_type":"read_all","up_to":{"u:42":[7,3],"u:43":[7,3]}}"#);
    assert_eq!(bench.marks(), Marks::UpTo(Stream::User("42".into()), Position { epoch: 7, offset: 3 }));
    bench.reply(Reply::Marked(Ok(Vec::new())));
    assert!(bench.link.asks.is_empty());
}

#[test]
fn a_stream_that_was_empty_is_learnt_by_its_first_message() {
    let mut bench = Bench::with(json!({"everyone": false}), Some("42"), &[]);
    bench.reply(Reply::Attending(Ok(vec![missed("u:42", 0, false, &[])])));
    assert!(!bench.link.direct);
    // There may be a history from before it.
    bench.link.asks.clear();
    bench.say(r#"{"msg_type":"read_all"}"#);
    assert!(matches!(bench.marks(), Marks::UpTo(Stream::User(_), Position { epoch: 0, .. })));
    bench.reply(Reply::Marked(Ok(Vec::new())));
    bench.link.frames.clear();
    bench.session.deliver(&mut bench.link, &parcel("u:42", 7, 1), None);
    assert_eq!(bench.heard_json()["offset"], 1);
    assert!(bench.link.direct);
    bench.link.asks.clear();
    bench.say(r#"{"msg_type":"read_all"}"#);
    assert!(matches!(bench.marks(), Marks::UpTo(_, Position { epoch: 7, .. })));
}

#[test]
fn groups_are_followed_where_that_is_allowed() {
    let mut bench = Bench::live(json!({}));
    bench.say(r#"{"msg_type":"subscribe","group":"a"}"#);
    bench.error("group", "may not be followed");
    let mut bench = Bench::live(json!({"subscribe": "claimed", "join_groups": false}));
    bench.say(r#"{"msg_type":"subscribe","group":"c"}"#);
    bench.error("group", "may not be followed");
    bench.say(r#"{"msg_type":"subscribe","group":"a"}"#);
    bench.attended();
    assert_eq!(bench.heard_json()["data"]["streams"]["g:a"]["epoch"], 7);
    let mut bench = Bench::live(json!({"subscribe": "any", "max_groups": 4}));
    bench.say(r#"{"msg_type":"subscribe","group":"c","resume":{"g:c":[7,3]}}"#);
    bench.say(r#"{"msg_type":"subscribe","group":"d"}"#);
    bench.say(r#"{"msg_type":"subscribe","group":"d"}"#);
    bench.error("group", "is followed already");
    bench.say(r#"{"msg_type":"subscribe","group":"e"}"#);
    bench.error("group", "too many are followed");
    let Some(Ask::Attend { streams, .. }) = bench.link.asks.pop_front() else { panic!("no question") };
    assert_eq!(streams, [(Stream::Group("c".into()), Some(Position { epoch: 7, offset: 3 }))]);
    assert!(bench.link.held);
    bench.reply(Reply::Attending(Ok(vec![missed("g:c", 7, true, &[4])])));
    assert_eq!(bench.heard_json()["msg_type"], "subscribed");
    assert_eq!(bench.heard_json()["offset"], 4);
    // The second is asked for now, and what is held back is released once, with both places.
    assert!(bench.link.held);
    bench.attended();
    assert_eq!(bench.link.lives[1], [place("g:d", 7, 0), place("g:c", 7, 4)]);
    assert_eq!(bench.heard_json()["data"]["streams"]["g:d"]["recovered"], false);
    bench.say(r#"{"msg_type":"unsubscribe","group":"a"}"#);
    assert_eq!(bench.heard(), r#"{"msg_type":"unsubscribed","data":{"group":"a"}}"#);
    assert_eq!(bench.topics(), ["u:42", "all", "g:b", "g:c", "g:d"]);
    // The store is away: those that were to come do not, the others stay.
    bench.say(r#"{"msg_type":"subscribe","group":"e"}"#);
    bench.link.asks.clear();
    bench.say(r#"{"msg_type":"unsubscribe","group":"b"}"#);
    bench.heard();
    bench.reply(Reply::Attending(Err("try again".into())));
    bench.error("group", "try again");
    assert_eq!(bench.topics(), ["u:42", "all", "g:c", "g:d"]);
    assert!(!bench.link.held && bench.link.direct);
}

#[test]
fn calls_are_handed_on_where_that_is_allowed() {
    let call = r#"{"jsonrpc":"2.0","method":"presence.get","id":1}"#;
    let mut bench = Bench::live(json!({}));
    bench.say(call);
    bench.error("jsonrpc", "is not answered here");
    let mut bench = Bench::live(json!({"rpc": true}));
    for _ in 0..8 {
        bench.say(call);
    }
    bench.say(call);
    bench.error("jsonrpc", "too many requests wait for their answer");
    assert_eq!(bench.link.asks.len(), 8);
    assert!(matches!(&bench.link.asks[0], Ask::Rpc { user: Some(user), text } if &**user == "42" && text == call));
    bench.reply(Reply::Rpc(RawValue::from_string("{\"id\":1}".to_owned()).ok()));
    assert_eq!(bench.heard(), "{\"id\":1}");
    bench.reply(Reply::Rpc(None));
    assert_eq!(bench.heard(), "");
    bench.say(call);
    assert_eq!((bench.heard().as_str(), bench.link.asks.len()), ("", 9));
}

#[test]
fn who_is_silent_is_pinged_and_then_closed() {
    let mut bench = Bench::live(json!({"ping_interval": "25s", "ping_timeout": "10s"}));
    bench.doze();
    assert_eq!((bench.link.pings, bench.link.now), (1, 30_000));
    // The pong came.
    bench.pass(50);
    bench.link.heard = bench.link.now;
    while bench.link.pings == 1 {
        bench.doze();
    }
    assert_eq!(bench.link.now, 55_050, "an interval after it was heard");
    bench.pass(1);
    bench.say("ping");
    bench.doze();
    assert_eq!(bench.closed(), None, "a word is as good as a pong");
    while bench.closed().is_none() {
        bench.doze();
    }
    assert_eq!((bench.closed(), bench.link.pings), (Some((4003, "no answer to a ping")), 3));
    assert_eq!(bench.link.now, bench.link.heard + 35_000);
}

#[test]
fn a_session_ends_with_its_token_unless_it_is_renewed() {
    let mut bench = Bench::with(json!({}), Some("42@1004000"), &[]);
    bench.attended();
    bench.doze();
    assert_eq!((bench.closed(), bench.link.now), (Some((4102, "the token has ended")), 9_000));
    let mut bench = Bench::with(json!({}), Some("42@1004000"), &[]);
    bench.attended();
    bench.link.frames.clear();
    bench.say(r#"{"type":"auth","token":"42@1020000"}"#);
    assert_eq!(bench.heard(), r#"{"msg_type":"login","data":{"user":"42"}}"#);
    bench.say(r#"{"type":"auth","token":"43"}"#);
    bench.error("token", "is another user's: open another connection for it");
    bench.say(r#"{"type":"auth","token":"bad"}"#);
    bench.error("token", "this is no token");
    bench.say(r#"{"type":"auth","token":"later"}"#);
    bench.say(r#"{"type":"auth","token":"later"}"#);
    bench.error("token", "another one is being looked at");
    bench.reply(Reply::Verdict(judge("42@1010000")));
    bench.doze();
    assert_eq!((bench.closed(), bench.link.now), (Some((4102, "the token has ended")), 15_000));
    let mut bench = Bench::with(json!({"close_on_expiry": false}), Some("42@1004000"), &[]);
    bench.attended();
    bench.doze();
    assert_eq!((bench.closed(), bench.link.pings), (None, 1));
}

#[test]
fn nobody_in_particular_may_become_somebody() {
    let mut bench = Bench::with(json!({}), Some("nobody"), &[]);
    bench.attended();
    bench.link.frames.clear();
    bench.say(r#"{"msg_type":"login","token":"42 a"}"#);
    assert_eq!(bench.heard(), r#"{"msg_type":"login","data":{"user":"42"}}"#);
    assert_eq!(
        (bench.link.user.as_deref(), bench.topics()),
        (Some("42"), ["all", "u:42", "g:a"].map(str::to_owned).to_vec())
    );
    bench.attended();
    assert_eq!(bench.heard_json()["data"]["streams"].as_object().unwrap().len(), 2);
    bench.say(r#"{"msg_type":"read","id":"a"}"#);
    assert_eq!(bench.marks(), Marks::Ids(vec!["a".into()]));
}

#[test]
fn who_talks_nonsense_or_too_much_is_closed() {
    let mut bench = Bench::live(json!({"max_faults": 3}));
    bench.say("hello");
    assert_eq!(bench.heard_json()["data"]["field"], "frame");
    bench.say(r#"{"msg_type":"dance"}"#);
    bench.error("msg_type", "is not known");
    let binary = Payload::Binary(Bytes::from_static(b"\0"));
    bench.session.message(&mut bench.link, Socket::Main, binary.clone());
    bench.error("frame", "expected text, not binary");
    bench.session.message(&mut bench.link, Socket::Main, binary);
    assert_eq!(bench.closed(), Some((1008, "too many frames that cannot be understood")));
    bench.say("ping");
    assert_eq!(bench.heard(), "");
    let mut bench = Bench::live(json!({"rate": 5}));
    for _ in 0..5 {
        bench.say("ping");
    }
    bench.pass(1_000);
    for _ in 0..5 {
        bench.say("ping");
    }
    assert_eq!((bench.link.frames.len(), bench.closed()), (10, None));
    bench.say("ping");
    assert_eq!(bench.closed(), Some((1008, "too many frames in a second")));
    let mut bench = Bench::live(json!({"max_frame": 10}));
    bench.say("12345678901");
    assert_eq!(bench.closed(), Some((1009, "the frame is too long")));
    let mut bench = Bench::live(json!({}));
    bench.session.message(&mut bench.link, Socket::Main, Payload::Text(Bytes::from_static(b"\xff")));
    assert_eq!(bench.closed(), Some((1007, "the frame is no UTF-8")));
}

#[test]
fn answers_that_come_too_late_are_let_go() {
    let mut bench = Bench::live(json!({"rpc": true}));
    bench.say(r#"{"msg_type":"read","id":"a"}"#);
    assert!(!bench.session.lost(&mut bench.link, Socket::Main));
    for reply in [
        Reply::Marked(Ok(Vec::new())),
        Reply::Rpc(RawValue::from_string("1".to_owned()).ok()),
        Reply::Attending(Ok(Vec::new())),
        Reply::Verdict(Verdict::Missing),
    ] {
        bench.reply(reply);
    }
    bench.session.deliver(&mut bench.link, &parcel("u:42", 7, 1), None);
    bench.session.wake(&mut bench.link);
    assert!(bench.link.frames.is_empty() && bench.closed().is_none());
}
