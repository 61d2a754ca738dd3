//! Sessions by number. A number is used again, with another generation.

use std::sync::Arc;

use super::{
    lines::{Ahead, Held},
    topics::{Membership, Memberships},
};
use crate::{
    desk::Callback,
    parcel::{Dialect, Parcel},
    session::{Close, Session, Socket},
};

/// No socket, no session.
pub(super) const NONE: u32 = u32::MAX;

/// What is held back for a session: the parcel, and who waits for its acknowledgement.
pub(super) type Waiting = (Arc<Parcel>, Option<Arc<Callback>>);

/// How a session follows its streams, where that is not simply as they come.
#[derive(Debug)]
pub(super) enum Follow {
    /// It waits for its backlog.
    Held {
        /// What came meanwhile.
        held: Held<Waiting>,
        /// How much that is.
        bytes: usize,
    },
    /// It has shown more than the shard has heard.
    Ahead(Ahead),
}

pub(super) struct Body {
    /// Out of its place while one of its methods runs.
    pub(super) session: Option<Box<dyn Session>>,
    pub(super) topics: Vec<Membership>,
    pub(super) user: Option<Arc<str>>,
    pub(super) follow: Option<Box<Follow>>,
    /// [`Link::live`](crate::session::Link::live) was called: what is held follows when the session's method has returned.
    pub(super) live: Option<Box<Ahead>>,
    /// It ends when the session's method has returned.
    pub(super) closing: Option<Box<Close>>,
    pub(super) main: u32,
    pub(super) candidate: u32,
    pub(super) dialect: Dialect,
    pub(super) direct: bool,
    /// It wants to know when nothing waits for its main socket.
    pub(super) starved: bool,
    /// The tick when it is woken; 0 = not.
    pub(super) wake_at: u64,
    /// The first tick for which it stands in the wheel; 0 = none.
    pub(super) wheel_at: u64,
    /// When it was last heard, while it has no main socket.
    pub(super) heard: u64,
}

impl Body {
    pub(super) fn new(session: Box<dyn Session>, now: u64) -> Self {
        Self {
            dialect: session.dialect(),
            session: Some(session),
            topics: Vec::new(),
            user: None,
            follow: None,
            live: None,
            closing: None,
            main: NONE,
            candidate: NONE,
            direct: false,
            starved: false,
            wake_at: 0,
            wheel_at: 0,
            heard: now,
        }
    }

    pub(super) fn socket(&self, which: Socket) -> u32 {
        match which {
            Socket::Main => self.main,
            Socket::Candidate => self.candidate,
        }
    }
}

struct Slot {
    generation: u32,
    /// The last delivery that has found this session: so one in several rooms is found once.
    stamp: u32,
    body: Option<Body>,
}

#[derive(Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
    stamp: u32,
}

impl Slots {
    /// Its number and generation.
    pub(super) fn insert(&mut self, body: Body) -> (u32, u32) {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.all.get_mut(number as usize)
        {
            slot.body = Some(body);
            return (number, slot.generation);
        }
        let number = u32::try_from(self.all.len()).unwrap_or(NONE);
        self.all.push(Slot { generation: 0, stamp: 0, body: Some(body) });
        (number, 0)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Body> {
        let slot = self.all.get_mut(number as usize)?;
        let body = slot.body.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(number);
        Some(body)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Body> {
        self.all.get(number as usize)?.body.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Body> {
        self.all.get_mut(number as usize)?.body.as_mut()
    }

    pub(super) fn generation(&self, number: u32) -> Option<u32> {
        self.all.get(number as usize).filter(|slot| slot.body.is_some()).map(|slot| slot.generation)
    }

    /// Is it still this one?
    pub(super) fn is(&self, number: u32, generation: u32) -> bool {
        self.generation(number) == Some(generation)
    }

    /// A new round of [`mark`](Self::mark).
    pub(super) fn round(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            for slot in &mut self.all {
                slot.stamp = 0;
            }
            self.stamp = 1;
        }
    }

    /// Marks a session; its generation if it was not marked in this round.
    pub(super) fn mark(&mut self, number: u32) -> Option<u32> {
        let stamp = self.stamp;
        let slot = self.all.get_mut(number as usize).filter(|slot| slot.stamp != stamp)?;
        slot.stamp = stamp;
        Some(slot.generation)
    }

    /// Every session.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u32, u32)> {
        (0u32..).zip(&self.all).filter(|(_, slot)| slot.body.is_some()).map(|(number, slot)| (number, slot.generation))
    }
}

impl Memberships for Slots {
    fn of(&mut self, slot: u32) -> Option<&mut Vec<Membership>> {
        self.get_mut(slot).map(|body| &mut body.topics)
    }
}
