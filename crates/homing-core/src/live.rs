//! The ports of live delivery: what is unread, who is online, the bus between nodes, and what is scheduled.
//!
//! A message to a user is stored first, in the user's *stream*, and then announced to the nodes. A stream counts its
//! messages by an *offset* that grows by one, within an *epoch* that changes when the stream was lost: whoever knows a
//! [`Position`] can ask for all that came after it, and is told honestly when that is not known any more. Whether a message
//! was read is another matter than whether it was sent: it is read when the user says so, on any tab, and then never shown
//! again. What goes to a group or to everyone is stored once, with a mark for each user who read it.
//!
//! Every method may be cancelled: what it was to write may then have been written or not. What it is repeated for is said
//! at each.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// The longest name of a user, group or room, in bytes.
pub const MAX_NAME: usize = 256;
/// The longest id of a message, in bytes.
pub const MAX_ID: usize = 128;
/// The largest body of a message, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Over so many channels the bus spreads users and groups.
pub const BUS_SHARDS: u32 = 64;

/// Whose messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// One user's.
    User(Arc<str>),
    /// A group's, stored once for all who are in it.
    Group(Arc<str>),
    /// For everyone, stored once.
    Everyone,
}

impl Stream {
    /// The shard of the bus where it is announced: CRC-32 of the name, modulo [`BUS_SHARDS`]; `None` = the channel that
    /// every node hears.
    pub fn shard(&self) -> Option<u32> {
        match self {
            Self::User(name) | Self::Group(name) => Some(crc32fast::hash(name.as_bytes()) % BUS_SHARDS),
            Self::Everyone => None,
        }
    }

    /// Reads what its `Display` writes: `u:42`, `g:news`, `all`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("u", name)) if !name.is_empty() => Some(Self::User(name.into())),
            Some(("g", name)) if !name.is_empty() => Some(Self::Group(name.into())),
            None if text == "all" => Some(Self::Everyone),
            _ => None,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "u:{name}"),
            Self::Group(name) => write!(f, "g:{name}"),
            Self::Everyone => f.write_str("all"),
        }
    }
}

/// A place in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Of this life of the stream; never 0 where there is one.
    pub epoch: u32,
    /// The message's number in it, from 1; 0 = before the first.
    pub offset: u64,
}

/// A message to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Where.
    pub stream: Stream,
    /// The message's id: what an acknowledgement names. Within the store's memory the same id is stored once per stream.
    pub id: Arc<str>,
    /// What [`crate::wire_live::Message`] writes. The store does not read it.
    pub body: Bytes,
    /// When nobody wants it any more; the store's own limit of age holds, too.
    pub expires_at: Option<Millis>,
    /// How it is known that it was stored already.
    pub once: Once,
}

/// What makes a [`Post`] happen once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Once {
    /// Its id.
    #[default]
    Id,
    /// Every node heard the same publication, and the n-th copy that any of them heard is one message. The hash is of the
    /// publication's bytes, the node is the one that asks. (Publications have no id.)
    Copy {
        /// Of the bytes.
        hash: u64,
        /// Who heard it.
        node: Arc<str>,
    },
    /// It is a due member of a schedule: it is taken out in the same step, and whoever finds it gone stores nothing.
    Due {
        /// The member, byte for byte.
        member: Bytes,
    },
}

/// What became of a [`Post`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Where it stands; of a repeat, where the first one stands as far as that is known.
    pub at: Position,
    /// It was stored now; false = it had been stored or taken before.
    pub fresh: bool,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub offset: u64,
    /// Its id.
    pub id: Arc<str>,
    /// Its body.
    pub body: Bytes,
}

/// What a reader who was at a position has missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// `messages` is all of it. False: the stream was lost, or is shorter than that, or it would be too much; then
    /// `messages` is empty, and the reader starts from `top` after a look at what is unread.
    pub recovered: bool,
    /// The newest message's place; epoch 0 where the stream has never held one.
    pub top: Position,
    /// In order.
    pub messages: Vec<Stored>,
}

/// What a user has not read in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// There are more, older ones, than were asked for, or some have left the stream unread.
    pub truncated: bool,
    /// The newest message's place.
    pub top: Position,
    /// In order; with a limit the newest ones.
    pub messages: Vec<Stored>,
}

/// What a user has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marks {
    /// These messages, in whatever stream of theirs.
    Ids(Vec<Arc<str>>),
    /// Everything in this stream up to and including this offset.
    UpTo(Stream, Position),
}

/// Streams of messages.
pub trait Inbox: Send + Sync {
    /// Stores and announces, each in one step, in order. Answers in their order. Repeating it with the same ids, copies or
    /// members stores nothing twice.
    fn post<'a>(&'a self, posts: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>>;

    /// What came after each position, at most `limit` messages per stream. Only reads.
    fn after<'a>(
        &'a self,
        asks: &'a [(Stream, Position)],
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>>;

    /// What `user` has not read in each of these streams, at most `limit` messages per stream. Only reads.
    fn unread<'a>(
        &'a self,
        user: &'a str,
        streams: &'a [Stream],
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>>;

    /// Marks messages as read and tells the user's other tabs ([`Announcement::Read`]). `streams` are those that the user
    /// follows, where the ids are looked for. Answers the ids that were unread until now. May be repeated freely.
    fn mark<'a>(
        &'a self,
        user: &'a str,
        streams: &'a [Stream],
        marks: &'a Marks,
    ) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>>;

    /// Has the user read the message with that id, for each pair, in any stream? Unknown ids are unread. Only reads.
    fn were_read<'a>(&'a self, pairs: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>>;
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// A message for everybody who follows the stream.
    Message {
        /// The stream.
        stream: Stream,
        /// Where it stands there; `None` = it was not stored.
        at: Option<Position>,
        /// Its body.
        body: Bytes,
    },
    /// A user has read these messages.
    Read {
        /// Who.
        user: Arc<str>,
        /// Which.
        ids: Vec<Arc<str>>,
    },
    /// A user's sessions are to end, with this reason.
    Leave {
        /// Who.
        user: Arc<str>,
        /// In words, for the client.
        why: String,
    },
}

impl Announcement {
    /// The shard of the bus where it belongs, as [`Stream::shard`].
    pub fn shard(&self) -> Option<u32> {
        match self {
            Self::Message { stream, .. } => stream.shard(),
            Self::Read { user, .. } | Self::Leave { user, .. } => Stream::User(Arc::clone(user)).shard(),
        }
    }
}

/// What a node hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody announced something.
    Said(Announcement),
    /// The bus was away and is back: what was said meanwhile is to be looked up.
    Gap,
}

/// The bus between nodes.
pub trait Bus: Send + Sync {
    /// Hears these shards from now on; returns when that is so. What everybody hears is heard always. Repeating it
    /// changes nothing.
    fn follow<'a>(&'a self, shards: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// Hears them no more.
    fn unfollow<'a>(&'a self, shards: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// Tells the nodes; whoever is away does not hear it.
    fn announce<'a>(&'a self, announcements: &'a [Announcement]) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// What is heard next, in the order of each channel; for one listener.
    fn hear(&self) -> BoxFuture<'_, Heard>;
}

/// A user's sessions on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// Who.
    pub user: Arc<str>,
    /// How many; 0 = the last one has gone.
    pub sessions: u32,
}

/// What is known of a user's presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Sessions on nodes that are alive.
    pub sessions: u32,
    /// On how many nodes.
    pub nodes: u32,
    /// When the last session ended, in milliseconds since 1970, as long as that is remembered.
    pub gone_at: Option<Millis>,
}

/// Who is online.
///
/// A node's word counts while the node is alive: it says so every few seconds, and after its death or restart what it said
/// is void when its last word is older than the store's limit.
pub trait Presence: Send + Sync {
    /// This node's sessions of these users. May be repeated freely; the last word counts.
    fn attend<'a>(&'a self, changes: &'a [Attendance]) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// This node is alive. Answers the nodes that are, this one among them.
    fn beat(&self) -> BoxFuture<'_, Result<Vec<String>, LiveDown>>;

    /// This node ends: all that it said is void now.
    fn leave(&self) -> BoxFuture<'_, Result<(), LiveDown>>;

    /// What is known of each user. Only reads.
    fn seen<'a>(&'a self, users: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Seen>, LiveDown>>;
}

/// A scheduled message that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The member, byte for byte: what [`Once::Due`] names.
    pub member: Bytes,
    /// When it was to be published, in milliseconds since 1970.
    pub at: Millis,
}

/// What a look at a schedule showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agenda {
    /// Due now, oldest first.
    pub due: Vec<Due>,
    /// In so many milliseconds the next one is; `None` = there is none. 0 where more are due than were asked for.
    pub next: Option<Millis>,
}

/// Messages that wait for their time. Others write to it, too: members are JSON with `msg_type`, `to_user_id`, `data`.
pub trait Schedule: Send + Sync {
    /// Files a member under an id that [`cancel`](Self::cancel) takes; in place of what had that id. The id is forgotten
    /// when a post with that id and [`Once::Due`] takes the member out.
    fn put<'a>(&'a self, id: &'a str, member: &'a [u8], at: Millis) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// Takes the member with that id back. Answers whether it was there.
    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, LiveDown>>;

    /// What is due by the store's clock, at most `limit`, and when the next one is. Only reads: members leave by
    /// [`Once::Due`].
    fn look(&self, limit: usize) -> BoxFuture<'_, Result<Agenda, LiveDown>>;

    /// Moves members that nobody can read to the dead list beside the schedule, with the reason; bounded, the oldest go.
    fn bury<'a>(&'a self, member: &'a [u8], why: &'a str) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// Returns when somebody changed the schedule since the last look; it may return for nothing.
    fn changed(&self) -> BoxFuture<'_, ()>;
}

/// A backend by its ports.
#[derive(Clone)]
pub struct Ports {
    /// Streams.
    pub inbox: Arc<dyn Inbox>,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Who is online.
    pub presence: Arc<dyn Presence>,
    /// Messages that wait for their time.
    pub schedule: Arc<dyn Schedule>,
}

impl Ports {
    /// One object that is all of them.
    pub fn of<T: Inbox + Bus + Presence + Schedule + 'static>(backend: &Arc<T>) -> Self {
        Self {
            inbox: Arc::clone(backend) as _,
            bus: Arc::clone(backend) as _,
            presence: Arc::clone(backend) as _,
            schedule: Arc::clone(backend) as _,
        }
    }
}

/// The store of live delivery could not answer.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct LiveDown {
    /// What was asked of which store: `inbox of redis 127.0.0.1:6379`.
    pub what: String,
    /// The store is well, and refuses: it is full, or the message is too large. The same again gets the same answer.
    pub refused: bool,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_read_what_they_write() {
        for stream in [Stream::User("42".into()), Stream::Group("a:b".into()), Stream::Everyone] {
            assert_eq!(Stream::parse(&stream.to_string()), Some(stream));
        }
        for text in ["", "u:", "g:", "x:1", "everyone", "all:"] {
            assert_eq!(Stream::parse(text), None, "{text}");
        }
        assert_eq!(Stream::User("42".into()).shard(), Some(crc32fast::hash(b"42") % BUS_SHARDS));
        assert_eq!(Stream::Everyone.shard(), None);
    }
}
