//! Long-lived connections: WebSocket, Engine.IO and Socket.IO, from one fan-out core.
//!
//! A *session* is one client: a plain WebSocket, or an Engine.IO session with whatever carries it. Sessions live in *shards*,
//! threads that own their sockets; a shard knows which sessions follow which [`Topic`] and writes a message straight to
//! their sockets, encoded once ([`Parcel`]). What needs the network (who is this, what is unread, tell the other nodes) is
//! asked of the node's [`Desk`], and the answer comes back as an [`Order`] to the shard.

#![warn(missing_docs)]

pub mod auth;
pub mod desk;
mod echo;
pub mod emit;
pub mod engine;
mod gateway;
mod http;
pub mod hub;
pub mod identity;
pub mod net;
pub mod node;
pub mod parcel;
pub mod plain;
mod replay;
pub mod rpc;
pub mod session;
pub mod socketio;
pub mod topic;

pub use gateway::{Gateway, Parts, Settings};
