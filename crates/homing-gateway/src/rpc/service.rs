//! The port that calls end at; the node implements it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{LiveDown, Position, Seen, Stream, Unread},
};
use serde_json::value::RawValue;

/// For whom a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// One user.
    User(Arc<str>),
    /// Each of these, in a stream of their own; no name stands there twice.
    Users(Vec<Arc<str>>),
    /// A group: stored once.
    Group(Arc<str>),
    /// Everyone: stored once.
    Everyone,
}

/// A message to be stored and shown.
#[derive(Clone, Debug)]
pub struct Push {
    /// For whom.
    pub to: To,
    /// `msg_type` of plain frames, the event's name in Socket.IO.
    pub kind: Arc<str>,
    /// Any JSON.
    pub data: Arc<RawValue>,
    /// The caller's id for it: the same id is stored once per stream. Without one the node makes it.
    pub id: Option<Arc<str>>,
    /// After this time nobody wants it any more.
    pub ttl: Option<Duration>,
}

/// What became of a message in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The stream.
    pub stream: Stream,
    /// The message's id.
    pub id: Arc<str>,
    /// Where it stands.
    pub at: Position,
    /// It was stored now; false = its id was known.
    pub fresh: bool,
    /// Sessions of its user that are online, on all nodes; `None` where that is not known, or it is no user's.
    pub sessions: Option<u32>,
}

/// What a user has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// These messages.
    Ids(Vec<Arc<str>>),
    /// Everything that is there now.
    All,
}

/// When a scheduled message is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this time, in milliseconds since 1970.
    At(Millis),
    /// After this time.
    After(Duration),
}

/// A scheduled message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// What [`Service::cancel`] takes.
    pub id: String,
    /// When it is due, in milliseconds since 1970.
    pub at: Millis,
}

/// Why the service did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A store did not answer, or refused.
    #[error(transparent)]
    Down(#[from] LiveDown),
    /// The caller asked for something that cannot be; the words are for it.
    #[error("{field}: {why}")]
    Refused {
        /// The parameter at fault.
        field: &'static str,
        /// In words.
        why: String,
    },
    /// Too much is under way; the words are for the caller.
    #[error("{why}")]
    Busy {
        /// In words.
        why: String,
        /// Seconds after which another try makes sense.
        retry_after: u64,
    },
}

/// What calls end at. Names were checked by then: 1 to [`MAX_NAME`](homing_core::live::MAX_NAME) bytes, ids up to
/// [`MAX_ID`](homing_core::live::MAX_ID). A call that takes too long is cancelled; what it was to write may then have been
/// written or not, and the same call with the same id does it once.
pub trait Service: Send + Sync {
    /// Stores and announces. Answers one entry per stream, for [`To::Users`] in their order.
    fn push(&self, push: Push) -> BoxFuture<'_, Result<Vec<Pushed>, Failure>>;

    /// What is known of each user, in their order. Only reads.
    fn presence<'a>(&'a self, users: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Seen>, Failure>>;

    /// What a user has not read, stream by stream, at most `limit` messages of each. Only reads.
    fn unread<'a>(&'a self, user: &'a Arc<str>, limit: usize) -> BoxFuture<'a, Result<Vec<(Stream, Unread)>, Failure>>;

    /// Marks as read, and answers the ids that were unread until now. May be repeated freely.
    fn read<'a>(&'a self, user: &'a Arc<str>, what: Read) -> BoxFuture<'a, Result<Vec<Arc<str>>, Failure>>;

    /// Files a message for later; its `to` is one user. With the same id again it may move.
    fn schedule(&self, when: When, push: Push) -> BoxFuture<'_, Result<Scheduled, Failure>>;

    /// Takes a scheduled message back. Answers whether it was there.
    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Ends all sessions of a user, on all nodes; `why` is for the client.
    fn end<'a>(&'a self, user: &'a Arc<str>, why: &'a str) -> BoxFuture<'a, Result<(), Failure>>;
}
