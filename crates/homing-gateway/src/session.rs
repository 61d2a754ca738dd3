//! The port of protocols: what a session does with what its client sends, and what it may do to its socket.

use std::{sync::Arc, time::Duration};

use homing_core::live::{Position, Stream};
use tokio::sync::oneshot;

use crate::{
    desk::{Ask, Callback, Reply},
    identity::Credentials,
    parcel::{Dialect, Parcel, Payload},
    topic::Topic,
};

/// Names a session while it lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Its shard.
    pub shard: u16,
    /// Its place there.
    pub slot: u32,
    /// Which session of that place.
    pub generation: u32,
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code.
    pub code: u16,
    /// In words, for the client; at most 123 bytes are sent.
    pub reason: String,
}

impl Close {
    /// With this code and reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Close codes. From 4000 on they are Homing's own; of those, clients come back after 4000 to 4099 and do not after 4100 to
/// 4199.
pub mod code {
    /// The work is done.
    pub const NORMAL: u16 = 1000;
    /// The client broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// Text that is no UTF-8.
    pub const NOT_TEXT: u16 = 1007;
    /// Against a rule of the configuration.
    pub const POLICY: u16 = 1008;
    /// A message too big.
    pub const TOO_BIG: u16 = 1009;
    /// Something failed here.
    pub const FAILED: u16 = 1011;
    /// The node restarts: come back, to any node.
    pub const RESTART: u16 = 1012;
    /// The node has no room: come back later.
    pub const FULL: u16 = 1013;
    /// The client reads too slowly: come back and resume.
    pub const SLOW: u16 = 4001;
    /// Something was lost on the way: come back and resume.
    pub const RESUME: u16 = 4002;
    /// No answer to a ping: come back and resume.
    pub const SILENT: u16 = 4003;
    /// The token is missing or refused: a new one is needed.
    pub const UNAUTHORIZED: u16 = 4101;
    /// The token has ended: a new one is needed.
    pub const EXPIRED: u16 = 4102;
    /// Somebody ended the user's sessions.
    pub const DISMISSED: u16 = 4103;
}

/// Which of a session's sockets. Only an Engine.IO session that is being upgraded has two things at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// The one that carries the session.
    Main,
    /// A second one that offers to carry it.
    Candidate,
}

/// A request of a client without a socket (Engine.IO polling).
#[derive(Debug)]
pub struct Poll {
    /// The session that the client named; the session compares all of it with its own. Empty = whoever has just opened
    /// it, and cannot know.
    pub sid: String,
    /// What it is.
    pub what: PollRequest,
    /// Where the answer goes. Dropped = the session is gone: 400.
    pub reply: oneshot::Sender<PollReply>,
}

/// See [`Poll`].
#[derive(Debug)]
pub enum PollRequest {
    /// GET: what is there for the client? The answer may take until there is something.
    Get {
        /// Whether packets with binary must be text (`b64=1`).
        base64: bool,
    },
    /// POST: packets of the client.
    Post {
        /// The body.
        body: bytes::Bytes,
        /// Its content type is binary (`application/octet-stream`).
        binary: bool,
    },
}

/// The answer to a [`Poll`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollReply {
    /// HTTP status.
    pub status: u16,
    /// The body: text or binary.
    pub body: Payload,
}

/// What a session may do. A shard hands it to each method of [`Session`]; tests hand in one of their own.
pub trait Link {
    /// The session's key.
    fn key(&self) -> SessionKey;

    /// Milliseconds of a clock that never goes back; for deadlines, not for dates.
    fn now(&self) -> u64;

    /// Writes one message to a socket: at once, or behind what waits there. A socket that takes too much memory is closed
    /// with [`code::SLOW`]. To a socket that is not there nothing happens.
    fn write(&mut self, socket: Socket, payload: &Payload);

    /// Writes a parcel to the main socket as the shard itself would: its form in the session's dialect, encoded once for
    /// all. False = there is no main socket, or no such form; then nothing was written.
    fn send(&mut self, parcel: &Arc<Parcel>) -> bool {
        let _ = parcel;
        false
    }

    /// Bytes that wait for the main socket to take them.
    fn waiting(&self) -> usize {
        0
    }

    /// Calls [`Session::drained`] once nothing waits for the main socket any more.
    fn when_drained(&mut self) {}

    /// Sends a WebSocket ping over the main socket, behind what waits there, and answers its number; they grow from 1.
    /// 0 = there is no main socket.
    fn ping(&mut self) -> u32 {
        0
    }

    /// The number of the newest of these pings that the client has answered by a pong. It has read all that was written
    /// before that ping.
    fn answered(&self) -> u32 {
        0
    }

    /// Has it this socket?
    fn has(&self, socket: Socket) -> bool;

    /// When the last byte came over the main socket, on the clock of [`now`](Self::now); without one: when it was lost, or
    /// when the session began.
    fn heard(&self) -> u64;

    /// The candidate carries the session from now on. A former main socket is closed.
    fn promote(&mut self);

    /// Closes the candidate only.
    fn drop_candidate(&mut self, close: &Close);

    /// Ends the session once what waits was written.
    fn close(&mut self, close: Close);

    /// Calls [`Session::wake`] after this time, in place of what was asked before; `None` = not at all. To the tenth of
    /// a second.
    fn wake_after(&mut self, time: Option<Duration>);

    /// The session hears this topic.
    fn join(&mut self, topic: Topic);

    /// It hears it no more.
    fn leave(&mut self, topic: &Topic);

    /// The topics that it hears, but for its streams.
    fn rooms(&self) -> Vec<Topic>;

    /// Whose session it is; presence follows from it.
    fn identify(&mut self, user: Option<Arc<str>>);

    /// From now on the shard may write parcels straight to the main socket, without [`Session::deliver`], where they have
    /// a form in the session's dialect; or not any more.
    fn direct(&mut self, yes: bool);

    /// Until [`live`](Self::live) what its streams bring is held back, in order: the session has asked what it missed
    /// ([`Ask::Attend`]) and must not show new messages before that. Called before the topics are joined.
    fn hold(&mut self);

    /// What was missed has been shown up to these places; what was held back and is newer follows, then everything as it
    /// comes.
    fn live(&mut self, shown: &[(Stream, Position)]);

    /// Asks the node; the answer comes to [`Session::reply`].
    fn ask(&mut self, ask: Ask);
}

/// A client's session: a protocol's state. Its methods are called one after another, on its shard's thread; none of them
/// may block.
pub trait Session: Send {
    /// What it speaks.
    fn dialect(&self) -> Dialect;

    /// It begins: its socket, if it has one, is open.
    fn open(&mut self, link: &mut dyn Link);

    /// A message came over a socket.
    fn message(&mut self, link: &mut dyn Link, socket: Socket, payload: Payload);

    /// A socket is there as a candidate, by a request that named the session `sid`. By default none is taken.
    fn offered(&mut self, link: &mut dyn Link, sid: &str) {
        let _ = sid;
        link.drop_candidate(&Close::new(code::POLICY, "this session takes no other socket"));
    }

    /// A socket was lost or closed by the client. With [`Socket::Main`] the session ends after this, unless it says that
    /// it goes on without (true).
    fn lost(&mut self, link: &mut dyn Link, socket: Socket) -> bool;

    /// A parcel for the session, where the shard does not write itself. `callback` = its emitter wants to know when the
    /// client acknowledges it.
    fn deliver(&mut self, link: &mut dyn Link, parcel: &Arc<Parcel>, callback: Option<&Arc<Callback>>);

    /// A request of a polling client.
    fn poll(&mut self, link: &mut dyn Link, poll: Poll) {
        let _ = (link, poll);
    }

    /// The time asked for by [`Link::wake_after`] has come.
    fn wake(&mut self, link: &mut dyn Link);

    /// Nothing waits for the main socket any more, as [`Link::when_drained`] wanted to know.
    fn drained(&mut self, link: &mut dyn Link) {
        let _ = link;
    }

    /// The answer to something that it asked.
    fn reply(&mut self, link: &mut dyn Link, reply: Reply);

    /// A stream cannot be followed without a gap any more: the client is to come back.
    fn broken(&mut self, link: &mut dyn Link, stream: &Stream) {
        let _ = stream;
        link.close(Close::new(code::RESUME, "messages were lost on the way"));
    }

    /// Somebody else moves it: Socket.IO's enter, leave and disconnect of an emitter.
    fn moved(&mut self, link: &mut dyn Link, step: &Move) {
        let _ = (link, step);
    }

    /// Somebody wants it to end. By default it does, at once; a protocol may have something to say before.
    fn end(&mut self, link: &mut dyn Link, close: &Close) {
        link.close(close.clone());
    }

    /// The session has ended; nothing more can be written.
    fn ended(&mut self, close: &Close) {
        let _ = close;
    }
}

/// What an emitter does to a session of Socket.IO. The session was found as a member of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It enters a room.
    Enter {
        /// The namespace.
        namespace: Arc<str>,
        /// The room.
        room: crate::topic::Room,
    },
    /// It leaves a room.
    Leave {
        /// The namespace.
        namespace: Arc<str>,
        /// The room.
        room: crate::topic::Room,
    },
    /// It leaves the namespace; with `close` its connection ends, too.
    Disconnect {
        /// The namespace.
        namespace: Arc<str>,
        /// End the connection.
        close: bool,
    },
}

/// A request for a WebSocket, or for HTTP, as far as sessions care.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Its path, undecoded, without the query.
    pub path: String,
    /// The query's pairs, decoded.
    pub query: Vec<(String, String)>,
    /// What it showed.
    pub credentials: Credentials,
    /// `Host`, as it came: a name, perhaps with a port. Compared with `origin` where a browser's cookie is what counts.
    pub host: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Sec-WebSocket-Protocol`.
    pub protocols: Option<String>,
}

impl Request {
    /// A parameter of the query, the first of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What becomes of a request for a WebSocket.
pub enum Admission {
    /// A session begins.
    Session(Box<dyn Session>),
    /// The socket is offered to a session that there is ([`Session::offered`]), on whatever shard; without it the request
    /// is refused.
    Offer(SessionKey, String),
    /// Refused before the handshake.
    Refuse {
        /// HTTP status.
        status: u16,
        /// In words.
        why: String,
    },
}

/// Decides about requests for WebSockets; called on shard threads, quick.
pub trait Doorman: Send + Sync {
    /// What becomes of this one; `None` = there is no such path: HTTP answers it.
    fn websocket(&self, request: &Request) -> Option<Admission>;
}
