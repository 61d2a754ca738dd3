//! The one model of what emitters want.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    desk::Callback,
    parcel::{Emit, Rooms},
    topic::Room,
};

/// What a message of an emitter asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// An event for the clients in some rooms of a namespace.
    Emit {
        /// The event and its namespace.
        emit: Emit,
        /// For whom.
        rooms: Rooms,
        /// How the emitter wants to know of acknowledgements.
        callback: Option<Route>,
        /// The emitter.
        host: Option<Arc<str>>,
        /// It need not reach a client that cannot take it at once.
        volatile: bool,
    },
    /// A session enters a room.
    Enter {
        /// The namespace.
        namespace: Arc<str>,
        /// The session's id, which is a room of its own.
        sid: Arc<str>,
        /// The room.
        room: Room,
    },
    /// A session leaves a room.
    Leave {
        /// The namespace.
        namespace: Arc<str>,
        /// The session's id.
        sid: Arc<str>,
        /// The room.
        room: Room,
    },
    /// A room is no more: everybody leaves it.
    CloseRoom {
        /// The namespace.
        namespace: Arc<str>,
        /// The room.
        room: Room,
    },
    /// A session leaves the namespace.
    Disconnect {
        /// The namespace.
        namespace: Arc<str>,
        /// The session's id.
        sid: Arc<str>,
        /// End the connection, too.
        close: bool,
    },
    /// Sessions enter rooms (Node's `socketsJoin`).
    EnterAll {
        /// The namespace.
        namespace: Arc<str>,
        /// Which sessions.
        whom: Rooms,
        /// The rooms.
        rooms: Vec<Room>,
    },
    /// Sessions leave rooms (Node's `socketsLeave`).
    LeaveAll {
        /// The namespace.
        namespace: Arc<str>,
        /// Which sessions.
        whom: Rooms,
        /// The rooms.
        rooms: Vec<Room>,
    },
    /// Sessions leave the namespace (Node's `disconnectSockets`).
    DisconnectAll {
        /// The namespace.
        namespace: Arc<str>,
        /// Which sessions.
        whom: Rooms,
        /// End the connections, too.
        close: bool,
    },
    /// An answer to a callback that this gateway had asked for.
    Answer {
        /// The namespace.
        namespace: Arc<str>,
        /// What the callback was filed under, as JSON.
        sid: String,
        /// Its number, as JSON.
        id: String,
        /// The array of arguments.
        args: Box<RawValue>,
    },
    /// It is well-formed, and there is nothing to do.
    Ignored {
        /// The namespace, as far as it was read.
        namespace: Arc<str>,
        /// Why.
        why: Ignored,
    },
}

impl Command {
    /// The namespace that it is about.
    pub fn namespace(&self) -> &Arc<str> {
        match self {
            Self::Emit { emit, .. } => &emit.namespace,
            Self::Enter { namespace, .. }
            | Self::Leave { namespace, .. }
            | Self::CloseRoom { namespace, .. }
            | Self::Disconnect { namespace, .. }
            | Self::EnterAll { namespace, .. }
            | Self::LeaveAll { namespace, .. }
            | Self::DisconnectAll { namespace, .. }
            | Self::Answer { namespace, .. }
            | Self::Ignored { namespace, .. } => namespace,
        }
    }

    /// What it is, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Emit { .. } => "emit",
            Self::Enter { .. } => "enter_room",
            Self::Leave { .. } => "leave_room",
            Self::CloseRoom { .. } => "close_room",
            Self::Disconnect { .. } => "disconnect",
            Self::EnterAll { .. } => "enter_all",
            Self::LeaveAll { .. } => "leave_all",
            Self::DisconnectAll { .. } => "disconnect_all",
            Self::Answer { .. } => "answer",
            Self::Ignored { .. } => "ignored",
        }
    }

    /// The way back to the emitter that waits for an acknowledgement, if one does; `source` is where the emit came from.
    pub fn callback(&self, source: usize) -> Option<Callback> {
        let Self::Emit { callback: Some(route), host: Some(host), .. } = self else { return None };
        Some(Callback {
            host: Arc::clone(host),
            room: route.room.clone(),
            namespace: Arc::clone(&route.namespace),
            id: route.id.clone(),
            source,
        })
    }
}

/// Where an emitter filed a callback, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Under this room, as JSON: it may be a number.
    pub room: String,
    /// In this namespace.
    pub namespace: Arc<str>,
    /// With this number, as JSON.
    pub id: String,
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// A method or type of message that is not known.
    Unknown,
    /// This gateway said it itself.
    Own,
    /// A callback for another host.
    OtherHost,
    /// No room that it names can have anybody in it (an empty list, a room that is a dict).
    Nobody,
    /// Another namespace than the source is for.
    Namespace,
    /// A message to servers and not to clients (`serverSideEmit`).
    ServerSide,
    /// A question to servers (`fetchSockets`): a gateway is none of those that are asked.
    Question,
    /// A message between servers of a cluster, about themselves.
    Cluster,
}

impl Ignored {
    /// For metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Own => "own",
            Self::OtherHost => "other_host",
            Self::Nobody => "nobody",
            Self::Namespace => "namespace",
            Self::ServerSide => "server_side",
            Self::Question => "question",
            Self::Cluster => "cluster",
        }
    }
}

/// An event's array and its attachments.
pub(super) type Arguments = (Bytes, Vec<Bytes>);
