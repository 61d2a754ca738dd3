//! A client of Socket.IO: who it is, where it is connected, what it follows.
//!
//! ```text
//!  CONNECT -> is there such a namespace? -> who is it? --known--> 40{sid}, topics, the user's streams
//!                       |                      |'--asked of the node, one question at a time
//!                      44                      '--refused: 44, or let in without a user
//! ```
//!
//! A connection has at most one user. Namespaces may each show a token; a second one must be the same user's.

use std::{collections::VecDeque, sync::Arc};

use homing_core::live::Stream;
use metrics::counter;

use super::{
    Invalid, NEVER,
    acks::Acks,
    ask::{Call, Marking},
    packet::{self, Assembly},
    proof::Proof,
};
use crate::{
    desk::{Ask, Reply},
    engine::{Out, meter, packet::Version, sid},
    identity::{Credentials, Identity, Verdict},
    replay::Replay,
    session::{Close, Move, Socket, code},
    topic::{Room, Topic},
};

/// Namespaces that one connection may be in.
const MAX_NAMESPACES: usize = 64;
/// Timers are coarse: nobody is cut off a little too early, in milliseconds.
const GRACE: u64 = 100;
/// When the store was away, what was missed is asked for again after this, in milliseconds.
pub(super) const RETRY: u64 = 5_000;

/// The upper half of an [`Engine`](crate::engine::Engine).
pub(crate) struct Socketio {
    pub(super) user: Option<Arc<str>>,
    pub(super) groups: Box<[Arc<str>]>,
    pub(super) spaces: Vec<Space>,
    /// What the request showed; not kept once the user is known.
    credentials: Option<Box<Credentials>>,
    pub(super) busy: Option<Box<Busy>>,
    pub(super) acks: Option<Box<Acks>>,
    pub(super) proof: Option<Box<Proof>>,
    /// What was missed, as far as it was not sent yet.
    pub(super) replay: Option<Box<Replay>>,
    pub(super) assembly: Option<Box<Assembly>>,
    connect_at: u64,
    expires_at: u64,
    pub(super) retry_at: u64,
    /// Answers to [`Ask::Attend`] that are still to come; only the last one counts.
    pub(super) attends: u8,
    pub(super) follows: Follows,
}

/// Which streams the session follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    Everyone,
    User,
}

/// A namespace that the client is connected to.
pub(super) struct Space {
    pub(super) name: Arc<str>,
    pub(super) sid: Arc<str>,
}

/// A connect that waits for its verdict.
pub(super) struct Connect {
    name: Arc<str>,
    token: Option<String>,
    /// For the hook.
    auth: Option<String>,
}

/// What was asked of the node, and what waits for its turn.
#[derive(Default)]
pub(super) struct Busy {
    /// `Some(None)`: the client has left before the answer came.
    identifying: Option<Option<Connect>>,
    connects: VecDeque<Connect>,
    pub(super) marking: Option<Marking>,
    pub(super) marks: VecDeque<Marking>,
    pub(super) calling: Option<Call>,
    pub(super) calls: VecDeque<Call>,
}

impl Busy {
    fn is_idle(&self) -> bool {
        self.identifying.is_none() && self.connects.is_empty() && self.marking.is_none() && self.calling.is_none()
    }
}

impl Socketio {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self {
            user: None,
            groups: Box::default(),
            spaces: Vec::new(),
            credentials: Some(Box::new(credentials)),
            busy: None,
            acks: None,
            proof: None,
            replay: None,
            assembly: None,
            connect_at: NEVER,
            expires_at: NEVER,
            retry_at: NEVER,
            attends: 0,
            follows: Follows::Nothing,
        }
    }

    /// The connection is there. In protocol 4 that is a connect to the main namespace.
    pub(crate) fn open(&mut self, out: &mut Out<'_>) {
        let wait = u64::try_from(out.site.settings.connect_timeout.as_millis()).unwrap_or(NEVER / 4);
        self.connect_at = out.link.now() + wait + GRACE;
        if out.wire.version == Version::V3 {
            self.connect(out, "/", None, None);
        }
    }

    /// A WebSocket carries it from now on.
    pub(crate) fn upgraded(&mut self, out: &mut Out<'_>) {
        if out.wire.version == Version::V3
            && let Some(proof) = &mut self.proof
        {
            proof.again(out.link.now());
        }
        self.go_direct(out);
    }

    /// What the shard may write without us: everything, where nothing must be looked at.
    fn go_direct(&self, out: &mut Out<'_>) {
        let direct = !out.site.settings.inbox && !self.spaces.is_empty() && out.link.has(Socket::Main);
        out.link.direct(direct);
    }

    /// When something is due. `pinging`: a heartbeat is under way, so that nothing can be asked to be proven.
    pub(crate) fn next(&self, pinging: bool) -> u64 {
        let proof = self.proof.as_ref().filter(|_| !pinging).map_or(NEVER, |proof| proof.at);
        self.connect_at.min(self.expires_at).min(self.retry_at).min(proof)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, out: &mut Out<'_>, now: u64) {
        if now >= self.connect_at {
            counter!(meter::BROKEN, "why" => "no connect").increment(1);
            return out.close(Close::new(code::UNAUTHORIZED, "no connect to a namespace"));
        }
        if now >= self.expires_at {
            return self.end(out, Close::new(code::EXPIRED, "the token has ended"));
        }
        if now >= self.retry_at {
            self.retry_at = NEVER;
            self.attend(out);
        }
        self.look(out);
    }

    /// Ends it. A client that is told so does not come back by itself; one that only loses its connection does.
    pub(crate) fn end(&mut self, out: &mut Out<'_>, close: Close) {
        for space in &self.spaces {
            out.send(packet::disconnected(&space.name));
        }
        out.close(close);
    }

    fn space(&self, name: &str) -> Option<&Space> {
        self.spaces.iter().find(|space| &*space.name == name)
    }

    /// Is the client connected there? Its name, shared.
    pub(super) fn connected(&self, name: &str) -> Option<Arc<str>> {
        self.space(name).map(|space| Arc::clone(&space.name))
    }

    // === To a namespace ===

    /// The client wants to connect. `token`: of its payload, or of the namespace's query; `auth`: the payload.
    pub(super) fn connect(&mut self, out: &mut Out<'_>, name: &str, token: Option<String>, auth: Option<&str>) {
        let Some(part) = &out.site.part else { return };
        let Some(name) = part.namespace(name) else {
            return refuse(out, name, "invalid namespace", "Invalid namespace", None);
        };
        let waits = |busy: &Busy| {
            let front = busy.identifying.as_ref().and_then(Option::as_ref);
            front.into_iter().chain(&busy.connects).any(|connect| connect.name == name)
        };
        if self.space(&name).is_some() || self.busy.as_deref().is_some_and(waits) {
            // Clients of protocol 4 do so when they name the main namespace, and it is harmless in 5.
            return;
        }
        let waiting = self.busy.as_ref().map_or(0, |busy| busy.connects.len());
        if self.spaces.len() + waiting >= MAX_NAMESPACES {
            return refuse(out, &name, "too many", "too many namespaces", None);
        }
        let hooked = part.events.is_some();
        let connect = Connect { name, token, auth: auth.filter(|_| hooked).map(str::to_owned) };
        match &mut self.busy {
            Some(busy) if busy.identifying.is_some() => busy.connects.push_back(connect),
            _ => self.identify(out, connect),
        }
    }

    fn identify(&mut self, out: &mut Out<'_>, connect: Connect) {
        let Some(part) = &out.site.part else { return };
        if self.user.is_some() && connect.token.is_none() {
            return self.enter(out, &connect);
        }
        let mut credentials = self.credentials.as_deref().cloned().unwrap_or_default();
        credentials.message.clone_from(&connect.token);
        match part.auth.check(&credentials) {
            Some(verdict) => self.judge(out, &connect, verdict),
            None => {
                self.busy.get_or_insert_default().identifying = Some(Some(connect));
                out.link.ask(Ask::Identify(credentials));
            }
        }
    }

    fn verdict(&mut self, out: &mut Out<'_>, verdict: Verdict) {
        let Some(asked) = self.busy.as_mut().and_then(|busy| busy.identifying.take()) else { return };
        if let Some(connect) = asked {
            self.judge(out, &connect, verdict);
        }
        while !out.wire.gone
            && let Some(busy) = &mut self.busy
            && busy.identifying.is_none()
            && let Some(connect) = busy.connects.pop_front()
        {
            self.identify(out, connect);
        }
        self.tidy();
    }

    fn judge(&mut self, out: &mut Out<'_>, connect: &Connect, verdict: Verdict) {
        let anonymous = out.site.settings.invalid == Invalid::Anonymous && self.user.is_none();
        match verdict {
            Verdict::Known(identity) => {
                if self.user.is_some() && self.user != identity.user {
                    return unauthorized(out, &connect.name, "this connection is another user's");
                }
                self.adopt(out, identity);
                if !out.wire.gone {
                    self.enter(out, connect);
                }
            }
            Verdict::Missing | Verdict::Refused(_) if anonymous => self.enter(out, connect),
            Verdict::Missing => unauthorized(out, &connect.name, "a token is needed"),
            Verdict::Refused(why) => unauthorized(out, &connect.name, &why),
            // A client whose connection is lost comes back by itself, one that was refused does not.
            Verdict::Unavailable(why) => out.close(Close::new(code::FULL, why)),
        }
    }

    /// From now on it is known whose connection this is.
    fn adopt(&mut self, out: &mut Out<'_>, identity: Identity) {
        let Some(user) = identity.user else { return };
        let now = out.link.now();
        if let (Some(date), Some(part)) = (identity.expires_at, &out.site.part) {
            let left = u64::try_from(date.saturating_sub(part.clock.now())).unwrap_or(0);
            self.expires_at = now.saturating_add(left);
        }
        if self.user.is_some() {
            return;
        }
        self.groups = identity.groups.into();
        self.credentials = None;
        if out.site.settings.user_room {
            for space in &self.spaces {
                out.link.join(Topic::Room(Arc::clone(&space.name), Room::Name(Arc::clone(&user))));
            }
        }
        self.user = Some(user);
    }

    fn enter(&mut self, out: &mut Out<'_>, connect: &Connect) {
        let name = &connect.name;
        // In protocol 4 the connection's id is the client's in each namespace, in 5 there is one for each.
        let sid = match out.wire.version {
            Version::V3 => Some(Arc::clone(&out.wire.sid)),
            Version::V4 => sid::plain().map(Arc::from),
        };
        let Some(sid) = sid else { return out.close(Close::new(code::FAILED, "no random numbers")) };
        counter!(meter::CONNECTS, "result" => if self.user.is_some() { "user" } else { "anonymous" }).increment(1);
        self.connect_at = NEVER;
        out.send(packet::connected(out.wire.version, name, &sid));
        out.link.join(Topic::Namespace(Arc::clone(name)));
        out.link.join(Topic::Room(Arc::clone(name), Room::Name(Arc::clone(&sid))));
        if out.site.settings.user_room
            && let Some(user) = &self.user
        {
            out.link.join(Topic::Room(Arc::clone(name), Room::Name(Arc::clone(user))));
        }
        // Nearly always it is the only one.
        self.spaces.reserve_exact(1);
        self.spaces.push(Space { name: Arc::clone(name), sid });
        self.say(out, name, None, |events, say| events.connected(name, connect.auth.as_deref(), say));
        self.follow(out);
        self.go_direct(out);
    }

    // === From a namespace ===

    /// The client leaves, or is made to.
    pub(super) fn leave(&mut self, out: &mut Out<'_>, name: &str) {
        if let Some(busy) = &mut self.busy {
            busy.connects.retain(|connect| &*connect.name != name);
            if let Some(front) = &mut busy.identifying
                && front.as_ref().is_some_and(|connect| &*connect.name == name)
            {
                *front = None;
            }
        }
        let Some(index) = self.spaces.iter().position(|space| &*space.name == name) else { return };
        self.spaces.remove(index);
        for topic in out.link.rooms() {
            if let Topic::Namespace(of) | Topic::Room(of, _) = &topic
                && &**of == name
            {
                out.link.leave(&topic);
            }
        }
        if self.spaces.is_empty() {
            self.unfollow(out);
            self.go_direct(out);
        }
    }

    /// An emitter moves it.
    pub(crate) fn moved(&mut self, out: &mut Out<'_>, step: &Move) {
        match step {
            Move::Enter { namespace, room } if self.space(namespace).is_some() => {
                out.link.join(Topic::Room(Arc::clone(namespace), room.clone()));
            }
            Move::Leave { namespace, room } => {
                // Its own room is its address.
                let own =
                    self.space(namespace).is_some_and(|space| matches!(room, Room::Name(name) if *name == space.sid));
                if !own {
                    out.link.leave(&Topic::Room(Arc::clone(namespace), room.clone()));
                }
            }
            Move::Disconnect { namespace, close } => {
                if self.space(namespace).is_some() {
                    out.send(packet::disconnected(namespace));
                    self.leave(out, namespace);
                    if *close {
                        out.close(Close::new(code::NORMAL, "disconnected by the server"));
                    }
                }
            }
            Move::Enter { .. } => {}
        }
    }

    // === Streams ===

    /// The streams that it follows.
    pub(super) fn streams(&self) -> Vec<Stream> {
        let user = self.user.iter().map(|user| Stream::User(Arc::clone(user)));
        let groups = self.groups.iter().map(|group| Stream::Group(Arc::clone(group)));
        user.chain(groups).chain([Stream::Everyone]).collect()
    }

    fn follow(&mut self, out: &mut Out<'_>) {
        if self.user.is_some() && self.follows != Follows::User {
            out.link.identify(self.user.clone());
        }
        match (&self.user, self.follows) {
            (Some(_), Follows::User) => {}
            (Some(_), _) => {
                self.follows = Follows::User;
                if out.site.settings.inbox {
                    out.link.hold();
                    for stream in self.streams() {
                        out.link.join(Topic::Stream(stream));
                    }
                    self.attend(out);
                }
            }
            (None, Follows::Nothing) => {
                self.follows = Follows::Everyone;
                if out.site.settings.inbox {
                    // Nothing is unread for somebody who is nobody.
                    out.link.join(Topic::Stream(Stream::Everyone));
                }
            }
            (None, _) => {}
        }
    }

    fn attend(&mut self, out: &mut Out<'_>) {
        self.attends = self.attends.saturating_add(1);
        let streams = self.streams().into_iter().map(|stream| (stream, None)).collect();
        out.link.ask(Ask::Attend { user: self.user.clone(), streams });
    }

    /// It is in no namespace any more.
    fn unfollow(&mut self, out: &mut Out<'_>) {
        if self.follows == Follows::User {
            out.link.identify(None);
        }
        if out.site.settings.inbox {
            for stream in self.streams() {
                out.link.leave(&Topic::Stream(stream));
            }
            if self.attends > 0 || self.retry_at != NEVER {
                out.link.live(&[]);
            }
        }
        self.retry_at = NEVER;
        self.follows = Follows::Nothing;
        self.proof = None;
    }

    // === Answers ===

    /// The node answers a question.
    pub(crate) fn reply(&mut self, out: &mut Out<'_>, reply: Reply) {
        match reply {
            Reply::Verdict(verdict) => self.verdict(out, verdict),
            Reply::Attending(missed) => {
                self.attends = self.attends.saturating_sub(1);
                if self.attends == 0 && self.follows == Follows::User {
                    self.attending(out, missed);
                }
            }
            Reply::Marked(marked) => self.marked(out, marked),
            Reply::Rpc(answer) => self.called(out, answer),
        }
    }

    /// Nothing is kept of questions when there are none.
    pub(super) fn tidy(&mut self) {
        if self.busy.as_deref().is_some_and(Busy::is_idle) {
            self.busy = None;
        }
    }
}

fn unauthorized(out: &mut Out<'_>, name: &str, why: &str) {
    refuse(out, name, "unauthorized", why, Some(r#"{"code":"unauthorized"}"#));
}

fn refuse(out: &mut Out<'_>, name: &str, result: &'static str, why: &str, data: Option<&str>) {
    counter!(meter::CONNECTS, "result" => result).increment(1);
    out.send(packet::refused(out.wire.version, name, why, data));
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
