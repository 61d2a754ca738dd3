//! The real daemons against real servers: redis-server, mongod, MariaDB, PHP and Python producers, and the provider's
//! simulator as a process of its own. Started by `scripts/test`, which brings the servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test may panic and print figures")]

mod adding;
mod agent;
mod channels;
mod crash_points;
mod demo;
mod edges;
mod fan_out;
mod gateway;
mod killed_daemons;
mod main_path;
mod moving;
mod operator;
mod running;
mod scanning;
mod sockets;
mod stage_swap;
mod support;
mod waiting;
mod whole;
