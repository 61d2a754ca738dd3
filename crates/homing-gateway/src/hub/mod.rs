//! The fan-out core: shards, threads that own sockets and sessions, and what may be ordered of them from outside.

use std::sync::Arc;

use homing_core::live::{Position, Stream};

use crate::{
    desk::{Callback, Reply},
    parcel::Parcel,
    session::{Close, Move, Poll, SessionKey},
    topic::{Room, Topic},
};

/// What is ordered of a shard.
#[derive(Debug)]
pub enum Order {
    /// A parcel for everybody in one of the topics, once each, but for those in one of `except`.
    Deliver {
        /// For whom.
        to: Arc<[Topic]>,
        /// But not for these.
        except: Arc<[Topic]>,
        /// What. If it has a place in a stream, it is shown only in its turn.
        parcel: Arc<Parcel>,
        /// Its emitter waits for an acknowledgement.
        callback: Option<Arc<Callback>>,
    },
    /// What a shard missed of a stream.
    CaughtUp {
        /// The stream.
        stream: Stream,
        /// This is all of it; false: the sessions are broken off.
        whole: bool,
        /// The newest place.
        top: Position,
        /// With their offsets, in order.
        messages: Vec<(u64, Arc<Parcel>)>,
    },
    /// An answer to a session.
    Reply(SessionKey, Reply),
    /// A request of a polling client to its session.
    Poll(SessionKey, Poll),
    /// An emitter moves the sessions in a topic.
    Move(Topic, Move),
    /// A room of a namespace is no more: everybody leaves it.
    CloseRoom(Arc<str>, Room),
    /// The sessions in a topic end.
    End(Topic, Close),
    /// The shard's streams and how far it is in each, for a check.
    Places(tokio::sync::oneshot::Sender<Vec<(Stream, Position)>>),
}
