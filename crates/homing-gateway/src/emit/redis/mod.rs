//! Readers of Redis. They need a server that speaks RESP3 (6.0 and later).

mod link;
mod pubsub;
mod streams;

pub(super) use link::Client;
pub(super) use pubsub::listen;
pub(super) use streams::streams;
