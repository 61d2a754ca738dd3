//! Lookups and sources against real servers: `eval "$(scripts/services env)"` names them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mongo;
mod mongo_faults;
mod mysql;
mod mysql_faults;
mod redis_faults;
mod redis_types;
mod stores;
mod support;
