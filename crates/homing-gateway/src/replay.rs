//! A backlog on its way to a client, no faster than the client takes it: what it missed may be more than may wait for a
//! socket, and a client that was closed as slow would never get through it.

use std::{collections::VecDeque, sync::Arc};

use homing_core::live::{Position, Stream};

use crate::{desk::Missed, parcel::Parcel};

/// While so many bytes wait for the client, nothing more of the backlog is sent.
const ENOUGH: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Replay {
    parcels: VecDeque<Arc<Parcel>>,
    shown: Vec<(Stream, Position)>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// This one, now.
    Send(Arc<Parcel>),
    /// Nothing before the client has taken what waits.
    Wait,
    /// All was sent; up to these places it was shown.
    Done(Vec<(Stream, Position)>),
}

impl Replay {
    /// Of these streams, one after another.
    pub(crate) fn new(missed: Vec<Missed>) -> Self {
        let mut replay =
            Self { parcels: VecDeque::new(), shown: missed.iter().map(|one| (one.stream.clone(), one.top)).collect() };
        for one in missed {
            replay.parcels.extend(one.messages);
        }
        replay
    }

    /// What comes next, while `waiting` bytes wait for the client.
    pub(crate) fn next(&mut self, waiting: usize) -> Next {
        if self.parcels.is_empty() {
            return Next::Done(std::mem::take(&mut self.shown));
        }
        if waiting >= ENOUGH {
            return Next::Wait;
        }
        match self.parcels.pop_front() {
            Some(parcel) => Next::Send(parcel),
            None => Next::Wait,
        }
    }
}
