//! Numbered lists that do not lose messages: the port [`homing_core::queue`] over Redis and over a SQLite file.
//!
//! A worker owns a shard by a lease, *peeks* at the head of its list, works, and *commits* what came of it in one
//! atomic step. Items stay in the list until that commit, so a crash needs no recovery: the next owner peeks the same
//! head. Keys and scripts: [`redis`]; tables and threads: [`sqlite`]. Both keep one contract, `tests/support`.

#![warn(missing_docs)]

pub mod owner;
pub mod redis;
mod resync;
pub mod sqlite;
