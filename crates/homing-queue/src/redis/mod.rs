//! The Redis backend. Needs a server of 6.2 or later that speaks RESP3.
//!
//! - [`queue`] opens shards, appends, and shows operators what stands where.
//! - [`shard`] is an owned shard: one connection, on which the server also announces changes of the shard's lists.
//! - `board.rs` is what all processes share beside the shards.
//! - `scripts/*.lua` are the atomic steps; `keys.rs` lists every key.
//!
//! **Wake-up.** A shard's connection has `CLIENT TRACKING ON NOLOOP`: every list that was peeked at, empty or not, is
//! remembered by the server, and the next change by anybody else is announced on the connection. It costs one message
//! per peek, however many items are pushed, blocks nothing and needs no second connection.

mod advice;
mod board;
mod inspect;
mod keys;
mod link;
pub mod queue;
mod resync;
mod script;
pub mod shard;

pub use advice::advice;
pub use queue::{Options, RedisQueue};
