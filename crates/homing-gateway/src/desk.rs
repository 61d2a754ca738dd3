//! What a session may ask of its node, and what it hears back.

use std::sync::Arc;

use homing_core::live::{Marks, Position, Stream};
use serde_json::value::RawValue;

use crate::{
    identity::{Credentials, Verdict},
    parcel::Parcel,
    session::SessionKey,
};

/// A question of a session. It is answered once, by [`Reply`] to [`Session::reply`](crate::session::Session::reply).
#[derive(Debug)]
pub enum Ask {
    /// Who is this? → [`Reply::Verdict`].
    Identify(Credentials),
    /// The session follows these streams from now on (it has joined their topics): what has its user missed?
    /// → [`Reply::Attending`].
    Attend {
        /// The user, if there is one.
        user: Option<Arc<str>>,
        /// The streams, with the place where the client says it is.
        streams: Vec<(Stream, Option<Position>)>,
    },
    /// The user has read something → [`Reply::Marked`].
    Mark {
        /// Who.
        user: Arc<str>,
        /// The streams that the session follows.
        streams: Vec<Stream>,
        /// What.
        marks: Marks,
    },
    /// A JSON-RPC request, or a batch, over the socket → [`Reply::Rpc`].
    Rpc {
        /// Who asks.
        user: Option<Arc<str>>,
        /// The request as it came.
        text: String,
    },
    /// A client acknowledged an emit whose emitter wants to know. There is no reply.
    Callback {
        /// Where it goes.
        route: Arc<Callback>,
        /// The array of arguments, with placeholders where there is binary.
        args: String,
        /// The attachments.
        binary: Vec<bytes::Bytes>,
    },
}

/// The way back to an emitter that waits for an acknowledgement. The first three are the emitter's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The emitter.
    pub host: Arc<str>,
    /// The room under which it filed its callback, as JSON: a room may be a number.
    pub room: String,
    /// The namespace under which it filed it.
    pub namespace: Arc<str>,
    /// Its number there, as JSON.
    pub id: String,
    /// Which source the emit came from: an index into the configured ones.
    pub source: usize,
}

/// What a stream brings to a session that has just come.
#[derive(Debug)]
pub struct Missed {
    /// The stream.
    pub stream: Stream,
    /// The client said where it was, and this is all that it missed. False: it is what is unread, and may be less.
    pub recovered: bool,
    /// There is more, unread and older.
    pub truncated: bool,
    /// The newest message's place.
    pub top: Position,
    /// In order.
    pub messages: Vec<Arc<Parcel>>,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Reply {
    /// Who it is.
    Verdict(Verdict),
    /// What was missed, stream by stream, in the order asked; or the store is away, in words for the client.
    Attending(Result<Vec<Missed>, String>),
    /// The ids that were unread until now; or the store is away.
    Marked(Result<Vec<Arc<str>>, String>),
    /// The answer, if there is one (notifications have none).
    Rpc(Option<Box<RawValue>>),
}

/// The node, as shards see it. Every method returns at once; what takes time happens elsewhere.
pub trait Desk: Send + Sync {
    /// Answers `ask` by and by with an order to that session. When too much is asked at once, sessions are answered with
    /// an error, never forgotten.
    fn ask(&self, key: SessionKey, ask: Ask);

    /// A session of `user` has come to a shard.
    fn came(&self, user: &Arc<str>);

    /// A session of `user` has gone.
    fn went(&self, user: &Arc<str>);

    /// Somebody on this shard follows `stream` now, nobody did before; or nobody does any more.
    fn follows(&self, shard: u16, stream: &Stream, yes: bool);

    /// This shard missed something behind `last`; the answer is [`Order::CaughtUp`](crate::hub::Order::CaughtUp).
    fn behind(&self, shard: u16, stream: &Stream, last: Position);
}
