//! Who hears a message: sets of sessions.

use std::{fmt, sync::Arc};

use homing_core::live::Stream;

/// A name of a room as an emitter wrote it. In Python a room that is a number is another one than its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Room {
    /// By name; every Socket.IO session id is a room of its namespace, too.
    Name(Arc<str>),
    /// By number.
    Number(i64),
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A set of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Those that follow a stream: a user's, a group's, everyone.
    Stream(Stream),
    /// Those connected to a Socket.IO namespace.
    Namespace(Arc<str>),
    /// Those in a room of a namespace.
    Room(Arc<str>, Room),
}
