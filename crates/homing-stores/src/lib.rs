//! Where an installation's own data comes from: lookups (who is logged in, which devices, do-not-disturb) and enumerators
//! (who belongs to a group) in Redis, SQL, MongoDB and behind HTTP, and chat sources in MongoDB. All of it is configuration;
//! nothing here knows a table by name.
//!
//! ```text
//! config      the shapes of [stores], [lookup], [members] and [source]
//! stores      build(): checks all of it, names every mistake; opens nothing
//! lookup      cache, one question for many who miss (flight), value map and verdict, around a provider:
//!               redis_lookup  → redis_store   one round trip for many ids; decode = JSON and PHP
//!               sql::SqlLookup → sql          SELECT ... IN (...) in MySQL, PostgreSQL, SQLite
//!               mongo_lookup  → mongo_store   { id: { $in: [...] } }; mongo_value = ids and values as text
//!               http_lookup   → http_store    POST, JSON back
//! members     pages of members, around redis_members, sql::SqlMembers, mongo_members
//! judge       accept expressions
//! mongo_source → mongo_store   pages of documents; mongo_cursor = where it stands, mongo_document = fields of a chat
//! registry    users' devices in tables of Homing's own, in SQL; also as lookups and enumerators
//! check       for `homing check`; shorten = what explain may show
//! ```
//!
//! A store that is down is an error after its own timeout, never a guess; it is found again without a restart. Everything
//! but `forget` only reads and may be cancelled and repeated.

#![warn(missing_docs)]

mod cache;
mod check;
pub mod config;
mod decode;
mod error;
mod failure;
mod flight;
mod http_lookup;
mod http_store;
mod judge;
pub mod live;
mod lookup;
mod members;
mod members_config;
mod mongo_cursor;
mod mongo_document;
mod mongo_lookup;
mod mongo_members;
mod mongo_source;
mod mongo_source_changes;
mod mongo_source_names;
mod mongo_store;
mod mongo_value;
mod redis_lookup;
mod redis_members;
mod redis_store;
mod registry;
mod shorten;
mod sql;
mod stores;
mod template;
mod times;

pub use check::{CheckLine, Level};
pub use config::StoresConfig;
pub use error::ConfigError;
pub use stores::{Stores, build, build_with};
