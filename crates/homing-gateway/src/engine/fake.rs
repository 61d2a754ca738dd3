//! A link without a shard, and a session on it, for tests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::{Clock, Millis},
    live::{Position, Stream},
};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{Engine, Site, packet::Version};
use crate::{
    desk::{Ask, Reply},
    identity::{Authenticate, Credentials, Identity, Verdict},
    parcel::{Parcel, Payload},
    session::{Close, Link, Poll, PollReply, PollRequest, Session, SessionKey, Socket},
    socketio::{Events, Settings},
    topic::Topic,
};

/// What a session did to its link.
#[derive(Default)]
pub(crate) struct FakeLink {
    pub(crate) now: u64,
    pub(crate) main: bool,
    pub(crate) candidate: bool,
    pub(crate) written: VecDeque<(Socket, Payload)>,
    pub(crate) closed: Option<Close>,
    pub(crate) dropped: Option<Close>,
    pub(crate) wake: Option<u64>,
    pub(crate) topics: Vec<Topic>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) direct: bool,
    pub(crate) held: bool,
    pub(crate) shown: Vec<(Stream, Position)>,
    pub(crate) asked: VecDeque<Ask>,
    pub(crate) pings: u32,
    pub(crate) pongs: u32,
}

impl Link for FakeLink {
    fn key(&self) -> SessionKey {
        SessionKey { shard: 1, slot: 0, generation: 3 }
    }
    fn now(&self) -> u64 {
        self.now
    }
    fn write(&mut self, socket: Socket, payload: &Payload) {
        if self.has(socket) {
            self.written.push_back((socket, payload.clone()));
        }
    }
    fn ping(&mut self) -> u32 {
        self.pings += u32::from(self.main);
        self.pings
    }
    fn answered(&self) -> u32 {
        self.pongs
    }
    fn has(&self, socket: Socket) -> bool {
        match socket {
            Socket::Main => self.main,
            Socket::Candidate => self.candidate,
        }
    }
    fn heard(&self) -> u64 {
        self.now
    }
    fn promote(&mut self) {
        assert!(self.candidate);
        (self.main, self.candidate) = (true, false);
    }
    fn drop_candidate(&mut self, close: &Close) {
        self.candidate = false;
        self.dropped = Some(close.clone());
    }
    fn close(&mut self, close: Close) {
        assert!(self.closed.is_none(), "closed twice");
        self.closed = Some(close);
    }
    fn wake_after(&mut self, time: Option<Duration>) {
        self.wake = time.map(|time| self.now + u64::try_from(time.as_millis()).unwrap());
    }
    fn join(&mut self, topic: Topic) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }
    fn leave(&mut self, topic: &Topic) {
        self.topics.retain(|own| own != topic);
    }
    fn rooms(&self) -> Vec<Topic> {
        self.topics.iter().filter(|topic| !matches!(topic, Topic::Stream(_))).cloned().collect()
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
        self.held = false;
        self.shown = shown.to_vec();
    }
    fn ask(&mut self, ask: Ask) {
        self.asked.push_back(ask);
    }
}

/// Says what a test wants: tokens are `user:<name>` (with groups `a`), `ask` (the network is needed), anything else is bad.
pub(crate) struct Gate;

impl Authenticate for Gate {
    fn check(&self, credentials: &Credentials) -> Option<Verdict> {
        let token = credentials.message.as_ref().or(credentials.query.as_ref());
        Some(match token.map(String::as_str) {
            None => Verdict::Missing,
            Some("ask") => return None,
            Some("nobody") => Verdict::Known(Identity::default()),
            Some("away") => Verdict::Unavailable("later".to_owned()),
            Some(token) => match token.strip_prefix("user:") {
                Some(name) => Verdict::Known(known(name)),
                None => Verdict::Refused("a bad token".to_owned()),
            },
        })
    }

    fn look_up<'a>(&'a self, _: &'a Credentials) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Missing })
    }
}

pub(crate) fn known(name: &str) -> Identity {
    Identity { user: Some(name.into()), groups: vec!["a".into()], expires_at: Some(1_000_000 + 3_600_000) }
}

pub(crate) struct At(pub(crate) Millis);

impl Clock for At {
    fn now(&self) -> Millis {
        self.0
    }
}

/// A session on a link.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) link: FakeLink,
    pub(crate) sid: String,
}

pub(crate) fn site(settings: Settings, events: Option<Arc<dyn Events>>) -> Arc<Site> {
    Site::socketio(settings, Arc::new(Gate), Arc::new(At(1_000_000)), events).unwrap()
}

impl Rig {
    /// Opened over a WebSocket, with the token in the query; the handshake has been read.
    pub(crate) fn websocket(site: &Arc<Site>, version: Version, token: Option<&str>) -> Self {
        let mut rig = Self::new(site, version, token, FakeLink { main: true, ..FakeLink::default() });
        let open = rig.said();
        rig.read_sid(&open);
        rig
    }

    /// Opened by polling; the first GET is answered with the handshake.
    pub(crate) fn polling(site: &Arc<Site>, version: Version, token: Option<&str>) -> (Self, String) {
        let mut rig = Self::new(site, version, token, FakeLink::default());
        let open = match rig.get("").try_recv().unwrap().body {
            Payload::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            Payload::Binary(_) => panic!("binary"),
        };
        rig.read_sid(&open);
        (rig, open)
    }

    fn new(site: &Arc<Site>, version: Version, token: Option<&str>, mut link: FakeLink) -> Self {
        let credentials = Credentials { query: token.map(str::to_owned), ..Credentials::default() };
        let mut engine = Engine::new(Arc::clone(site), version, false, credentials);
        link.now = 10_000;
        engine.open(&mut link);
        Self { engine, link, sid: String::new() }
    }

    fn read_sid(&mut self, open: &str) {
        let (_, rest) = open.split_once(r#""sid":""#).unwrap();
        rest.split_once('"').unwrap().0.clone_into(&mut self.sid);
    }

    /// The next text that was written.
    #[track_caller]
    pub(crate) fn said(&mut self) -> String {
        match self.link.written.pop_front().expect("nothing was written") {
            (_, Payload::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            (_, Payload::Binary(bytes)) => format!("{:?}", bytes.to_vec()),
        }
    }

    #[track_caller]
    pub(crate) fn silent(&self) {
        assert!(self.link.written.is_empty(), "{:?}", self.link.written);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.send(Socket::Main, Payload::Text(Bytes::copy_from_slice(text.as_bytes())));
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        self.send(Socket::Main, Payload::Binary(Bytes::copy_from_slice(bytes)));
    }

    pub(crate) fn probe(&mut self, text: &str) {
        self.send(Socket::Candidate, Payload::Text(Bytes::copy_from_slice(text.as_bytes())));
    }

    fn send(&mut self, socket: Socket, payload: Payload) {
        self.engine.message(&mut self.link, socket, payload);
    }

    pub(crate) fn offer(&mut self, sid: &str) {
        self.link.candidate = true;
        self.engine.offered(&mut self.link, sid);
    }

    pub(crate) fn get(&mut self, sid: &str) -> oneshot::Receiver<PollReply> {
        let (reply, answer) = oneshot::channel();
        let what = PollRequest::Get { base64: false };
        self.engine.poll(&mut self.link, Poll { sid: sid.to_owned(), what, reply });
        answer
    }

    /// A GET that is answered at once.
    #[track_caller]
    pub(crate) fn got(&mut self) -> String {
        let mut answer = self.get(&self.sid.clone());
        body(&mut answer)
    }

    pub(crate) fn post(&mut self, body: &str) -> Result<PollReply, TryRecvError> {
        let (reply, mut answer) = oneshot::channel();
        let what = PollRequest::Post { body: Bytes::copy_from_slice(body.as_bytes()), binary: false };
        self.engine.poll(&mut self.link, Poll { sid: self.sid.clone(), what, reply });
        answer.try_recv()
    }

    pub(crate) fn reply(&mut self, reply: Reply) {
        self.engine.reply(&mut self.link, reply);
    }

    pub(crate) fn deliver(&mut self, parcel: &Arc<Parcel>) {
        self.engine.deliver(&mut self.link, parcel, None);
    }

    /// The clock goes on, and the timer fires where it was set.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.link.now + millis;
        while let Some(at) = self.link.wake.filter(|at| *at <= end) {
            self.link.now = self.link.now.max(at);
            self.link.wake = None;
            self.engine.wake(&mut self.link);
        }
        self.link.now = end;
    }

    #[track_caller]
    pub(crate) fn code(&self) -> u16 {
        self.link.closed.as_ref().expect("it is open").code
    }
}

/// What a GET was answered with.
#[track_caller]
pub(crate) fn body(answer: &mut oneshot::Receiver<PollReply>) -> String {
    let reply = answer.try_recv().expect("no answer yet");
    assert_eq!(reply.status, 200);
    match reply.body {
        Payload::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        Payload::Binary(bytes) => format!("{:?}", bytes.to_vec()),
    }
}
