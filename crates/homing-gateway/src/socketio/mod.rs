//! Socket.IO, protocols 4 and 5, over [`crate::engine`].
//!
//! A client connects to namespaces, shows who it is, and hears what emitters say to the namespace, to rooms or to it alone;
//! a client with a user hears its streams, too, and first of all what is unread. What clients say is counted and dropped:
//! business code lives behind emitters, not here. Homing answers a few events of its own: `ack` and `read` (`{id}` or
//! `{ids}`: these messages are read), `rpc`, and `join` and `leave` for rooms that the configuration lets clients choose.

mod acks;
mod ask;
mod client;
mod encode;
mod hear;
pub(crate) mod json;
pub mod packet;
mod proof;
mod session;
mod settings;
mod site;

pub use client::{Event, Events, Say};
pub use encode::encode;
pub(crate) use session::Socketio;
pub use settings::{Invalid, Read, Settings, Transport};
pub(crate) use site::Part;

/// A deadline that there is not.
pub(crate) const NEVER: u64 = u64::MAX;
