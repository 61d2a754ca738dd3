//! What a shard knows: its sessions, sockets and topics. All of it is synchronous; tasks borrow it for a moment.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compress, Decompress};
use homing_core::live::{Position, Stream};
use slab::Slab;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    Settings,
    handle::{Full, Ports},
    lines::{Admitted, Ahead, Broken, Joined, admits},
    link::Cord,
    meter::{Counters, Room, Tally},
    queue::Queue,
    shard::Mail,
    slots::{Body, Follow, NONE, Slots, Waiting},
    socket::Sock,
    topics::Topics,
    wheel::{TICK, Wheel},
};
use crate::{
    desk::Callback,
    net::{deflate, frame, handshake::Rules},
    parcel::{Dialect, Encode, Encoded, Parcel, Source},
    session::{Close, Session, SessionKey, Socket, code},
    topic::Topic,
};

/// Bytes that are read at once, by all sockets of a shard.
const READ: usize = 64 * 1024;

/// What the wheel brings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alarm {
    /// A session wanted to be woken.
    Session(u32, u32),
    /// A socket, by its number and serial, has had time enough.
    Socket(u32, u32),
}

pub(super) struct State {
    pub(super) number: u16,
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Arc<Rules>,
    pub(super) ports: Ports,
    pub(super) counters: Arc<Counters>,
    pub(super) room: Arc<Room>,
    pub(super) others: Arc<[mpsc::WeakSender<Mail>]>,
    pub(super) slots: Slots,
    pub(super) socks: Slab<Sock>,
    pub(super) topics: Topics,
    pub(super) wheel: Wheel<Alarm>,
    pub(super) tally: Tally,
    /// Its number, for metrics.
    label: Arc<str>,
    started: Instant,
    /// Milliseconds since it started, as of the last look.
    pub(super) now: u64,
    pub(super) read: Vec<u8>,
    /// Queues that are not in use: most writes need one for a moment.
    #[allow(clippy::vec_box, reason = "a socket has it boxed: most have none")]
    pub(super) spare: Vec<Box<Queue>>,
    pub(super) inflate: Option<Box<Decompress>>,
    pub(super) deflate: Option<Box<Compress>>,
    pub(super) draining: bool,
    /// What sessions write now are their own words, and not a message that goes to many.
    pub(super) own: bool,
    pub(super) serial: u32,
    /// A connection is through with its handshake: another may be accepted.
    pub(super) accept: Arc<Notify>,
}

impl State {
    #[allow(clippy::too_many_arguments, reason = "called once")]
    pub(super) fn new(
        number: u16,
        settings: Arc<Settings>,
        rules: Arc<Rules>,
        ports: Ports,
        counters: Arc<Counters>,
        room: Arc<Room>,
        others: Arc<[mpsc::WeakSender<Mail>]>,
    ) -> Self {
        Self {
            number,
            settings,
            rules,
            ports,
            counters,
            room,
            others,
            slots: Slots::default(),
            socks: Slab::new(),
            topics: Topics::default(),
            wheel: Wheel::new(),
            tally: Tally::default(),
            label: number.to_string().into(),
            started: Instant::now(),
            now: 0,
            read: vec![0; READ],
            spare: Vec::new(),
            inflate: None,
            deflate: None,
            draining: false,
            own: true,
            serial: 0,
            accept: Arc::new(Notify::new()),
        }
    }

    /// Looks at the clock.
    pub(super) fn refresh(&mut self) {
        self.now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    }

    /// Tells the metrics what has happened since the last time.
    pub(super) fn tell_meter(&mut self) {
        self.tally.flush(&self.label, &self.counters);
    }

    pub(super) fn key(&self, slot: u32) -> SessionKey {
        SessionKey { shard: self.number, slot, generation: self.slots.generation(slot).unwrap_or_default() }
    }

    /// Begins a session without a socket.
    pub(super) fn open(&mut self, session: Box<dyn Session>) -> Result<SessionKey, Full> {
        if self.draining || !self.room.take() {
            return Err(Full);
        }
        let slot = self.insert(session);
        let key = self.key(slot);
        self.call(slot, |session, link| session.open(link));
        Ok(key)
    }

    /// A session that has its place in the [`Room`]; it was not opened yet.
    pub(super) fn insert(&mut self, session: Box<dyn Session>) -> u32 {
        self.counters.sessions.up(1);
        let (slot, _) = self.slots.insert(Body::new(session, self.now));
        slot
    }

    /// Calls a session's method, and does what it asked for. `None` = there is no such session, or it panicked.
    pub(super) fn call<R>(
        &mut self,
        slot: u32,
        method: impl FnOnce(&mut dyn Session, &mut Cord<'_>) -> R,
    ) -> Option<R> {
        let mut session = self.slots.get_mut(slot)?.session.take()?;
        let answer = catch_unwind(AssertUnwindSafe(|| method(&mut *session, &mut Cord { state: self, slot })));
        let body = self.slots.get_mut(slot)?;
        let answer = match answer {
            Ok(answer) => {
                body.session = Some(session);
                Some(answer)
            }
            Err(_) => {
                // It may be in any state: it is not asked again, not even for its goodbye.
                body.closing = Some(Box::new(Close::new(code::FAILED, "the session failed")));
                self.tally.panics += 1;
                tracing::error!(shard = self.number, "A session panicked and was closed.");
                catch_unwind(AssertUnwindSafe(|| drop(session))).ok();
                None
            }
        };
        self.after(slot);
        answer
    }

    /// What a session's method asked for and could not be done within it.
    fn after(&mut self, slot: u32) {
        let Some(body) = self.slots.get_mut(slot) else { return };
        let (main, candidate, live) = (body.main, body.candidate, body.live.take());
        if let Some(close) = body.closing.take() {
            return self.end(slot, &close);
        }
        let starved = body.starved;
        self.flush(main);
        self.flush(candidate);
        if starved {
            // Its socket may have taken everything at once.
            self.wake(main);
        }
        if let Some(shown) = live {
            self.release(slot, &shown);
        }
    }

    /// What was held back for a session follows, as far as it is newer than what it has shown.
    fn release(&mut self, slot: u32, shown: &[(Stream, Position)]) {
        let Some(body) = self.slots.get_mut(slot) else { return };
        let Some(Follow::Held { held, .. }) = body.follow.take().map(|follow| *follow) else { return };
        let lasts: Vec<_> =
            shown.iter().map(|(stream, _)| (stream, self.topics.line(stream).and_then(|line| line.last()))).collect();
        let last = |stream: &Stream| lasts.iter().find(|(known, _)| *known == stream).and_then(|(_, last)| *last);
        match held.release(shown, last) {
            Err(Broken(stream)) => {
                self.tally.gaps += 1;
                self.call(slot, |session, link| session.broken(link, &stream));
            }
            Ok((show, places)) => {
                let mut ahead = Ahead::new();
                for (stream, at) in places {
                    let alone = self.topics.members(&Topic::Stream(stream.clone())).len() == 1;
                    let Some(line) = self.topics.line(&stream) else { continue };
                    match line.joined(at, alone) {
                        Joined::Level => {}
                        Joined::Ahead => ahead.push((stream, at)),
                        Joined::Ask(last) => {
                            self.ports.desk.behind(self.number, &stream, last);
                            ahead.push((stream, at));
                        }
                    }
                }
                if !ahead.is_empty()
                    && let Some(body) = self.slots.get_mut(slot)
                {
                    body.follow = Some(Box::new(Follow::Ahead(ahead)));
                }
                for (parcel, callback) in show {
                    self.show(slot, &parcel, callback.as_ref(), true);
                }
            }
        }
    }

    /// Shows a parcel to a session, by its socket or by its method. `own` = it counts as the session's own words.
    pub(super) fn show(&mut self, slot: u32, parcel: &Arc<Parcel>, callback: Option<&Arc<Callback>>, own: bool) {
        let Some(body) = self.slots.get(slot) else { return };
        self.tally.deliveries += 1;
        if !body.direct || callback.is_some() || body.main == NONE {
            self.own = own;
            self.call(slot, |session, link| session.deliver(link, parcel, callback));
            self.own = true;
            return;
        }
        let main = body.main;
        if let Some(wire) = self.wire(main, body.dialect, parcel)
            && !self.send(main, wire, own)
        {
            self.end(slot, &Close::new(code::SLOW, "too slow: come back and resume"));
        }
    }

    /// A parcel as this socket wants it.
    pub(super) fn wire(&mut self, sock: u32, dialect: Dialect, parcel: &Parcel) -> Option<Bytes> {
        let encode = &self.ports.encode;
        let encoded = parcel.encoded(dialect, |source| encode_safely(&**encode, source, dialect))?;
        if !self.socks.get(sock as usize)?.deflate {
            return Some(encoded.wire.clone());
        }
        let (compress, from) = (&mut self.deflate, self.settings.deflate_from);
        let deflated = encoded.deflated.get_or_init(|| {
            let compress = compress.get_or_insert_with(|| Box::new(deflate::compressor()));
            frame::deflated(compress, &encoded.payloads, from)
        });
        Some(deflated.clone())
    }

    /// Ends a session: its sockets are closed once what waits there was written.
    pub(super) fn end(&mut self, slot: u32, close: &Close) {
        let Some(mut body) = self.slots.remove(slot) else { return };
        for membership in body.topics.drain(..) {
            if let Some(Topic::Stream(stream)) = self.topics.leave(membership, &mut self.slots) {
                self.ports.desk.follows(self.number, &stream, false);
            }
        }
        if let Some(user) = body.user.take() {
            self.counters.identified.down(1);
            self.ports.desk.went(&user);
        }
        for which in [Socket::Main, Socket::Candidate] {
            self.close_socket(body.socket(which), close);
        }
        self.counters.sessions.down(1);
        self.room.give();
        self.tally.closed(close.code);
        if let Some(mut session) = body.session {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                session.ended(close);
                drop(session);
            }));
            self.tally.panics += u64::from(ended.is_err());
        }
    }

    /// Follows, or holds back, or neither: what becomes of a parcel for one session.
    pub(super) fn give(&mut self, slot: u32, parcel: &Arc<Parcel>, callback: Option<&Arc<Callback>>) {
        let limit = self.settings.max_held;
        let Some(body) = self.slots.get_mut(slot) else { return };
        let place = match &parcel.source {
            Source::Message { stream, at: Some(at), .. } => Some((stream, *at)),
            Source::Message { .. } | Source::Emit(_) | Source::Ready(..) => None,
        };
        match body.follow.as_deref_mut() {
            None => {}
            Some(Follow::Ahead(ahead)) => {
                if let Some((stream, at)) = place {
                    let admitted = admits(ahead, stream, at);
                    if ahead.is_empty() {
                        body.follow = None;
                    }
                    match admitted {
                        Admitted::Yes => {}
                        Admitted::No => return,
                        Admitted::Gap => {
                            self.tally.gaps += 1;
                            self.call(slot, |session, link| session.broken(link, stream));
                            return;
                        }
                    }
                }
            }
            // Emits to rooms have nothing to do with streams.
            Some(Follow::Held { .. }) if matches!(parcel.source, Source::Emit(_)) => {}
            Some(Follow::Held { held, bytes }) => {
                *bytes += weight(&parcel.source);
                if *bytes > limit {
                    return self.end(slot, &Close::new(code::RESUME, "too much came meanwhile: come back and resume"));
                }
                let waiting: Waiting = (Arc::clone(parcel), callback.cloned());
                return held.show(waiting, place.map(|(stream, at)| (stream.clone(), at)));
            }
        }
        self.show(slot, parcel, callback, false);
    }

    /// The wheel has come to something.
    pub(super) fn alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Session(slot, generation) => {
                let tick = self.now / TICK;
                if !self.slots.is(slot, generation) {
                    return;
                }
                let Some(body) = self.slots.get_mut(slot) else { return };
                if body.wheel_at == 0 || body.wheel_at > tick {
                    return;
                }
                body.wheel_at = 0;
                if body.wake_at == 0 {
                    return;
                }
                if body.wake_at > tick {
                    body.wheel_at = body.wake_at;
                    let at = body.wake_at;
                    return self.wheel.add(at, Alarm::Session(slot, generation));
                }
                body.wake_at = 0;
                self.call(slot, |session, link| session.wake(link));
            }
            Alarm::Socket(sock, serial) => self.expire(sock, serial),
        }
    }
}

fn encode_safely(encode: &dyn Encode, source: &Source, dialect: Dialect) -> Option<Encoded> {
    let payloads = catch_unwind(AssertUnwindSafe(|| encode.encode(source, dialect))).ok().flatten()?;
    Some(Encoded::new(payloads))
}

/// Bytes that a held parcel keeps alive, about.
fn weight(source: &Source) -> usize {
    use crate::parcel::Payload;
    256 + match source {
        Source::Message { message, .. } => {
            message.data.get().len() + message.emit.as_ref().map_or(0, |emit| emit.args.get().len())
        }
        Source::Emit(emit) => emit.array.len() + emit.binary.iter().map(Bytes::len).sum::<usize>(),
        Source::Ready(_, payloads) => {
            payloads.iter().map(|(Payload::Text(bytes) | Payload::Binary(bytes))| bytes.len()).sum()
        }
    }
}
