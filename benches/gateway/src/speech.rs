//! What servers want to hear at the beginning, and how their greeting and their heartbeat look.

use serde::{Deserialize, Serialize};

use crate::{following::Following, token, wire};

/// A protocol on top of WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speech {
    /// None: what a bare server sends. The user stands in the path.
    Bare,
    /// Homing's `/ws`, with a token. The greeting says that what was missed follows or has come.
    Plain,
    /// Socket.IO 5 on Engine.IO 4, with a token.
    SocketIo,
}

/// What a message of a server is, while a connection begins.
pub enum Greeting {
    /// The connection is ready.
    Ready,
    /// This is to be said first.
    Say(Vec<u8>),
    /// Nothing of this.
    Other,
    /// Refused.
    Refused(String),
}

impl Speech {
    /// Is the connection ready with the answer to the handshake?
    pub fn silent(self) -> bool {
        self == Self::Bare
    }

    /// Path and query of a user; of one who comes back, with the places where it was.
    pub fn path(self, user: u32, token: &str, following: Option<&Following>) -> String {
        match self {
            Self::Bare => format!("/ws?u={user}"),
            Self::Plain => format!("/ws?token={token}{}", following.map(Following::query).unwrap_or_default()),
            Self::SocketIo => format!("/socket.io/?EIO=4&transport=websocket&u={}&token={token}", token::user(user)),
        }
    }

    /// Reads a message of a server before the connection is ready.
    pub fn greeting(self, payload: &[u8]) -> Greeting {
        match (self, payload) {
            (Self::SocketIo, [b'0', ..]) => Greeting::Say(wire::client_frame(wire::TEXT, b"40")),
            (Self::SocketIo, [b'4', b'0', ..]) => Greeting::Ready,
            (Self::SocketIo, [b'4', b'4', ..]) => Greeting::Refused(String::from_utf8_lossy(payload).into_owned()),
            (Self::Plain, payload) if crate::following::greets(payload) => Greeting::Ready,
            _ => Greeting::Other,
        }
    }

    /// The answer to a heartbeat of the protocol's own.
    pub fn beat(self, payload: &[u8]) -> Option<Vec<u8>> {
        (self == Self::SocketIo && payload == b"2").then(|| wire::client_frame(wire::TEXT, b"3"))
    }
}
