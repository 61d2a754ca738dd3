//! Orders, as a shard carries them out. A broadcast finds its sessions first and then writes to them, some hundred at a
//! time, so that pings and new connections have their turn in between.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use homing_core::live::{Position, Stream};

use super::{
    Order,
    lines::{Turn, goes_on},
    shard::Mail,
    slots::Follow,
    state::State,
};
use crate::{
    desk::Callback,
    parcel::{Parcel, Source},
    session::{SessionKey, code},
    topic::Topic,
};

/// So many sessions are written to before others have their turn.
const TURN: usize = 256;

/// Carries out orders, one after another.
pub(super) struct Foreman {
    pub(super) state: Rc<RefCell<State>>,
    /// Of the order at hand; kept for its memory.
    targets: Vec<(u32, u32)>,
}

impl Foreman {
    pub(super) fn new(state: Rc<RefCell<State>>) -> Self {
        Self { state, targets: Vec::new() }
    }

    pub(super) async fn carry_out(&mut self, order: Order) {
        match order {
            Order::Deliver { to, except, parcel, callback } => {
                self.deliver(&to, &except, &parcel, callback.as_ref()).await;
            }
            Order::CaughtUp { stream, whole, top, messages } => self.catch_up(&stream, whole, top, &messages).await,
            Order::Reply(key, reply) => self.one(key, |state| {
                state.call(key.slot, |session, link| session.reply(link, reply));
            }),
            Order::Poll(key, poll) => self.one(key, |state| {
                state.call(key.slot, |session, link| session.poll(link, poll));
            }),
            Order::Move(topic, step) => {
                self.each(&topic, |state, slot| {
                    state.call(slot, |session, link| session.moved(link, &step));
                })
                .await;
            }
            Order::CloseRoom(namespace, room) => {
                let topic = Topic::Room(namespace, room);
                self.each(&topic, |state, slot| state.leave(slot, &topic)).await;
            }
            Order::End(topic, close) => {
                let end = |state: &mut State, slot| {
                    state.call(slot, |session, link| session.end(link, &close));
                };
                self.each(&topic, end).await;
            }
            Order::Places(reply) => {
                let state = self.state.borrow();
                let places = state.topics.lines().filter_map(|(stream, line)| Some((stream.clone(), line.place()?)));
                // Whoever asked may have gone.
                reply.send(places.collect()).ok();
            }
        }
        // After a crowd its list is not kept.
        if self.targets.capacity() > 1_024 {
            self.targets = Vec::new();
        }
    }

    fn one(&self, key: SessionKey, what: impl FnOnce(&mut State)) {
        let state = &mut *self.state.borrow_mut();
        if key.shard == state.number && state.slots.is(key.slot, key.generation) {
            state.refresh();
            what(state);
        }
    }

    async fn each(&mut self, topic: &Topic, what: impl FnMut(&mut State, u32)) {
        self.state.borrow_mut().find(std::slice::from_ref(topic), &[], &mut self.targets);
        self.visit(what).await;
    }

    /// Does something to the sessions that were found and are still there.
    async fn visit(&mut self, mut what: impl FnMut(&mut State, u32)) {
        let mut rest = self.targets.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(TURN));
            {
                let state = &mut *self.state.borrow_mut();
                state.refresh();
                for (slot, generation) in now {
                    if state.slots.is(*slot, *generation) {
                        what(state, *slot);
                    }
                }
            }
            rest = later;
            if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn deliver(
        &mut self,
        to: &[Topic],
        except: &[Topic],
        parcel: &Arc<Parcel>,
        callback: Option<&Arc<Callback>>,
    ) {
        let mut shown = None;
        {
            let state = &mut *self.state.borrow_mut();
            if let Source::Message { stream, at: Some(at), .. } = &parcel.source
                && let Some(line) = state.topics.line(stream)
            {
                match line.offer(*at) {
                    Turn::Show => shown = Some((stream, *at)),
                    Turn::Drop => return,
                    Turn::Ask(last) => {
                        state.tally.gaps += 1;
                        return state.ports.desk.behind(state.number, stream, last);
                    }
                }
            }
            state.find(to, except, &mut self.targets);
        }
        self.visit(|state, slot| state.give(slot, parcel, callback)).await;
        if let Some((stream, at)) = shown
            && let Some(line) = self.state.borrow_mut().topics.line(stream)
        {
            line.shown(at);
        }
    }

    async fn catch_up(&mut self, stream: &Stream, whole: bool, top: Position, messages: &[(u64, Arc<Parcel>)]) {
        let caught = match self.state.borrow_mut().topics.line(stream) {
            Some(line) => line.caught_up(whole, top),
            None => return,
        };
        let topic = Topic::Stream(stream.clone());
        if caught.broken || caught.anew {
            self.each(&topic, |state, slot| state.gap(slot, stream, top, caught.broken)).await;
        }
        if let Some(after) = caught.after {
            for (offset, parcel) in messages.iter().filter(|(offset, _)| *offset > after && *offset <= top.offset) {
                self.state.borrow_mut().find(std::slice::from_ref(&topic), &[], &mut self.targets);
                self.visit(|state, slot| state.give(slot, parcel, None)).await;
                if let Some(line) = self.state.borrow_mut().topics.line(stream) {
                    line.stepped(Position { epoch: top.epoch, offset: *offset });
                }
            }
        }
        let state = &mut *self.state.borrow_mut();
        if let Some(last) = state.topics.line(stream).and_then(|line| line.caught(top)) {
            state.ports.desk.behind(state.number, stream, last);
        }
    }
}

impl State {
    /// The sessions in any of `to` and none of `except`, once each.
    fn find(&mut self, to: &[Topic], except: &[Topic], targets: &mut Vec<(u32, u32)>) {
        targets.clear();
        self.slots.round();
        for topic in except {
            for slot in self.topics.members(topic) {
                self.slots.mark(*slot);
            }
        }
        for topic in to {
            for slot in self.topics.members(topic) {
                if let Some(generation) = self.slots.mark(*slot) {
                    targets.push((*slot, generation));
                }
            }
        }
    }

    /// The shard has lost its place in a stream and is at `top` now; a session that was not there by itself has missed
    /// something, if the shard has (`broken`).
    fn gap(&mut self, slot: u32, stream: &Stream, top: Position, broken: bool) {
        let Some(body) = self.slots.get_mut(slot) else { return };
        let goes_on = match body.follow.as_deref_mut() {
            Some(Follow::Held { held, .. }) => return held.gap(stream, top),
            Some(Follow::Ahead(ahead)) => goes_on(ahead, stream, top, broken),
            None => !broken,
        };
        if goes_on {
            return;
        }
        self.tally.gaps += 1;
        self.call(slot, |session, link| session.broken(link, stream));
    }

    /// A socket from another thread; its task is for the caller to start.
    pub(super) fn arrive(&mut self, arrival: super::shard::Arrival) -> Option<u32> {
        let super::shard::Arrival { io, read, upgrade, deflate, admission } = arrival;
        let id = self.add_socket(io.wake().ok()?);
        let mut read = read.to_vec();
        self.admit(id, upgrade, deflate, admission, &mut read);
        Some(id)
    }

    /// Carries out what came by mail and is done at once; answers an order, which may take several turns.
    pub(super) fn open_mail(&mut self, mail: Mail) -> Post {
        match mail {
            Mail::Order(order) => Post::Order(order),
            Mail::Open(session, reply) => {
                self.refresh();
                let key = self.open(session);
                // Nobody waits any more: nobody will ever ask for it.
                if let Err(Ok(key)) = reply.send(key) {
                    self.end(key.slot, &crate::session::Close::new(code::NORMAL, "nobody wanted it"));
                }
                Post::Done
            }
            Mail::Socket(arrival) => self.arrive(*arrival).map_or(Post::Done, Post::Socket),
            Mail::Drain(window, done) => Post::Drain(window, done),
        }
    }
}

/// What is left of a mail.
pub(super) enum Post {
    Done,
    Order(Order),
    /// A socket whose task is to be started.
    Socket(u32),
    Drain(std::time::Duration, tokio::sync::oneshot::Sender<()>),
}
