//! Lookups and enumerators in SQL, whatever the server.
//!
//! ```text
//! text      the one place where statements are made: pieces of text and binds; scan reads raw ones
//! dialect   how a server quotes a name, writes a bind, and turns a column into text
//! ask       a statement and its server: learns the types that PostgreSQL wants to know, asks, shows
//! server    what the rest sees of a server: a statement in, a table of texts out
//! pool      connections, times, read-only sessions, for any driver; mysql, postgres and sqlite are thin
//! transaction  several statements that happen all or not at all, for the registry
//! lookup    [lookup.NAME]       rows of many ids, five hundred a statement
//! members   [members.NAME]      pages of members by their keys
//! ```

mod ask;
mod dialect;
mod lookup;
mod members;
mod mysql;
mod mysql_row;
mod pool;
mod postgres;
mod scan;
mod server;
mod sqlite;
mod text;
mod transaction;
mod watched;

pub(crate) use dialect::Dialect;
pub(crate) use lookup::SqlLookup;
pub(crate) use members::SqlMembers;
pub(crate) use server::{Session, SqlServer, Table, open};
