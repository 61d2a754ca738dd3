//! What is ordered of a shard.

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

impl Order {
    /// The same for another shard; `None` for what is meant for one session or one asker.
    pub(crate) fn copy(&self) -> Option<Self> {
        Some(match self {
            Self::Deliver { to, except, parcel, callback } => Self::Deliver {
                to: Arc::clone(to),
                except: Arc::clone(except),
                parcel: Arc::clone(parcel),
                callback: callback.clone(),
            },
            Self::CaughtUp { stream, whole, top, messages } => {
                Self::CaughtUp { stream: stream.clone(), whole: *whole, top: *top, messages: messages.clone() }
            }
            Self::Move(topic, step) => Self::Move(topic.clone(), step.clone()),
            Self::CloseRoom(namespace, room) => Self::CloseRoom(Arc::clone(namespace), room.clone()),
            Self::End(topic, close) => Self::End(topic.clone(), close.clone()),
            Self::Reply(..) | Self::Poll(..) | Self::Places(_) => return None,
        })
    }

    /// The shard that it names itself.
    pub(crate) fn shard(&self) -> Option<u16> {
        match self {
            Self::Reply(key, _) | Self::Poll(key, _) => Some(key.shard),
            _ => None,
        }
    }
}
