//! What a session may do, done to the shard's state.

use std::{sync::Arc, time::Duration};

use homing_core::live::{Position, Stream};

use super::{
    lines::Held,
    slots::{Body, Follow, NONE},
    state::{Alarm, State},
    wheel::Wheel,
};
use crate::{
    desk::Ask,
    net::frame::{self, opcode},
    parcel::{Parcel, Payload},
    session::{Close, Link, SessionKey, Socket, code},
    topic::Topic,
};

/// A session's hold on its shard, while one of its methods runs.
pub(super) struct Cord<'a> {
    pub(super) state: &'a mut State,
    pub(super) slot: u32,
}

impl Cord<'_> {
    fn body(&self) -> Option<&Body> {
        self.state.slots.get(self.slot)
    }

    fn body_mut(&mut self) -> Option<&mut Body> {
        self.state.slots.get_mut(self.slot)
    }

    fn socket(&self, which: Socket) -> u32 {
        self.body().map_or(NONE, |body| body.socket(which))
    }

    fn end_after(&mut self, close: Close) {
        if let Some(body) = self.body_mut()
            && body.closing.is_none()
        {
            body.closing = Some(Box::new(close));
        }
    }

    fn put(&mut self, socket: u32, bytes: bytes::Bytes) {
        if self.body().is_some_and(|body| body.closing.is_none()) && !self.state.cork(socket, bytes) {
            self.end_after(Close::new(code::SLOW, "too slow: come back and resume"));
        }
    }
}

impl Link for Cord<'_> {
    fn key(&self) -> SessionKey {
        self.state.key(self.slot)
    }

    fn now(&self) -> u64 {
        self.state.now
    }

    fn write(&mut self, socket: Socket, payload: &Payload) {
        let socket = self.socket(socket);
        if let Some(bytes) = self.state.framed(socket, payload) {
            self.put(socket, bytes);
        }
    }

    fn send(&mut self, parcel: &Arc<Parcel>) -> bool {
        let Some((main, dialect)) = self.body().map(|body| (body.main, body.dialect)) else { return false };
        if main == NONE {
            return false;
        }
        let Some(wire) = self.state.wire(main, dialect, parcel) else { return false };
        self.put(main, wire);
        true
    }

    fn waiting(&self) -> usize {
        let sock = self.state.socks.get(self.socket(Socket::Main) as usize);
        sock.and_then(|sock| sock.queue.as_ref()).map_or(0, |queue| queue.bytes())
    }

    fn when_drained(&mut self) {
        if let Some(body) = self.body_mut() {
            body.starved = true;
        }
    }

    fn ping(&mut self) -> u32 {
        let main = self.socket(Socket::Main);
        let Some(sock) = self.state.socks.get_mut(main as usize) else { return 0 };
        sock.pinged = sock.pinged.wrapping_add(1).max(1);
        let number = sock.pinged;
        self.put(main, frame::control(opcode::PING, &number.to_be_bytes()));
        number
    }

    fn answered(&self) -> u32 {
        self.state.socks.get(self.socket(Socket::Main) as usize).map_or(0, |sock| sock.answered)
    }

    fn has(&self, socket: Socket) -> bool {
        self.socket(socket) != NONE
    }

    fn heard(&self) -> u64 {
        let Some(body) = self.body() else { return 0 };
        self.state.socks.get(body.main as usize).map_or(body.heard, |sock| sock.heard)
    }

    fn promote(&mut self) {
        let Some(body) = self.body_mut() else { return };
        if body.candidate == NONE {
            return;
        }
        let former = std::mem::replace(&mut body.main, std::mem::replace(&mut body.candidate, NONE));
        let main = body.main;
        self.state.is_main(main);
        self.state.close_socket(former, &Close::new(code::NORMAL, "another socket carries the session"));
    }

    fn drop_candidate(&mut self, close: &Close) {
        let Some(body) = self.body_mut() else { return };
        let candidate = std::mem::replace(&mut body.candidate, NONE);
        self.state.close_socket(candidate, close);
    }

    fn close(&mut self, close: Close) {
        self.end_after(close);
    }

    fn wake_after(&mut self, time: Option<Duration>) {
        let now = self.state.now;
        let generation = self.key().generation;
        let slot = self.slot;
        let Some(body) = self.body_mut() else { return };
        let Some(time) = time else {
            body.wake_at = 0;
            return;
        };
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        let tick = Wheel::<Alarm>::tick(now + millis).max(1);
        body.wake_at = tick;
        // One entry is enough as long as it is not too late: it moves on when it is looked at.
        if body.wheel_at == 0 || body.wheel_at > tick {
            body.wheel_at = tick;
            self.state.wheel.add(tick, Alarm::Session(slot, generation));
        }
    }

    fn join(&mut self, topic: Topic) {
        let limit = self.state.settings.max_topics;
        let State { slots, topics, ports, number, .. } = &mut *self.state;
        let Some(body) = slots.get_mut(self.slot) else { return };
        if body.topics.len() >= limit && topics.find(&body.topics, &topic).is_none() {
            return self.end_after(Close::new(code::POLICY, "too many rooms"));
        }
        let stream = match &topic {
            Topic::Stream(stream) => Some(stream.clone()),
            Topic::Namespace(_) | Topic::Room(..) => None,
        };
        if topics.join(self.slot, &mut body.topics, topic) == Some(true)
            && let Some(stream) = stream
        {
            ports.desk.follows(*number, &stream, true);
        }
    }

    fn leave(&mut self, topic: &Topic) {
        self.state.leave(self.slot, topic);
    }

    fn rooms(&self) -> Vec<Topic> {
        let own = self.body().map(|body| body.topics.as_slice()).unwrap_or_default();
        let names = own.iter().filter_map(|membership| self.state.topics.name(*membership));
        names.filter(|topic| !matches!(topic, Topic::Stream(_))).cloned().collect()
    }

    fn identify(&mut self, user: Option<Arc<str>>) {
        let Some(body) = self.body_mut() else { return };
        if body.user == user {
            return;
        }
        let former = std::mem::replace(&mut body.user, user.clone());
        let State { ports, counters, .. } = &mut *self.state;
        if let Some(user) = &user {
            counters.identified.up(1);
            ports.desk.came(user);
        }
        if let Some(former) = &former {
            counters.identified.down(1);
            ports.desk.went(former);
        }
    }

    fn direct(&mut self, yes: bool) {
        if let Some(body) = self.body_mut() {
            body.direct = yes;
        }
    }

    fn hold(&mut self) {
        let Some(body) = self.body_mut() else { return };
        body.live = None;
        if !matches!(body.follow.as_deref(), Some(Follow::Held { .. })) {
            body.follow = Some(Box::new(Follow::Held { held: Held::default(), bytes: 0 }));
        }
    }

    fn live(&mut self, shown: &[(Stream, Position)]) {
        if let Some(body) = self.body_mut()
            && matches!(body.follow.as_deref(), Some(Follow::Held { .. }))
        {
            body.live = Some(Box::new(shown.to_vec()));
        }
    }

    fn ask(&mut self, ask: Ask) {
        let key = self.key();
        self.state.ports.desk.ask(key, ask);
    }
}

impl State {
    /// A session hears a topic no more.
    pub(super) fn leave(&mut self, slot: u32, topic: &Topic) {
        let Some(body) = self.slots.get_mut(slot) else { return };
        let Some(place) = self.topics.find(&body.topics, topic) else { return };
        let membership = body.topics.swap_remove(place);
        if let Topic::Stream(stream) = topic
            && let Some(Follow::Ahead(ahead)) = body.follow.as_deref_mut()
        {
            ahead.retain(|(known, _)| known != stream);
        }
        if let Some(Topic::Stream(stream)) = self.topics.leave(membership, &mut self.slots) {
            self.ports.desk.follows(self.number, &stream, false);
        }
    }
}
