//! The workers between the queues: scanner, distributor, sender. Each owns a shard at a time and does all its work
//! through the ports of `homing-core`.

#![warn(missing_docs)]

mod ages;
pub mod context;
pub mod distributor;
mod keeper;
pub mod lane;
mod meter;
pub mod migration;
pub mod notebook;
pub mod routes;
pub mod scanner;
pub mod sender;

pub use keeper::{Worker, keep};
