//! The workers between the queues: scanner, distributor, sender. Each owns a shard at a time and does all its work
//! through the ports of `homing-core`.

#![warn(missing_docs)]

mod ages;
pub mod board;
pub mod context;
pub mod distributor;
pub mod gates;
mod keeper;
pub mod lane;
mod meter;
pub mod migration;
pub mod notebook;
mod pace;
pub mod routes;
pub mod scanner;
pub mod sender;

pub use keeper::{Worker, keep};
