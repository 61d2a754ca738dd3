//! What the gateway's bench is made of: the client that holds thousands of sockets (`bin/load`), servers to compare with
//! (`bin/epoll`, `bin/tungstenite`, `bin/oxide`, `ws.cjs`), and the conductor that starts and measures them (`main`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench may panic")]

pub mod client;
pub mod following;
pub mod mark;
pub mod poller;
pub mod speech;
pub mod talk;
pub mod token;
pub mod wire;
