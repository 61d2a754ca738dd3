//! Lookups and sources against real servers: `eval "$(scripts/services env)"` names them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod http;
mod mongo;
mod mongo_faults;
mod mongo_lookups;
mod mongo_overlap;
mod mysql;
mod mysql_faults;
mod redis_faults;
mod redis_members;
mod redis_types;
mod redis_writes;
mod registry;
mod registry_lookups;
mod registry_trouble;
mod shapes;
mod sql;
mod sql_faults;
mod sql_members;
mod stores;
mod support;
