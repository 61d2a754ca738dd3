//! The agent as its clients meet it: over a socket, from Python, onto a real redis-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and show its figures"
)]
#![allow(unreachable_pub, dead_code, reason = "shared by the parts")]

#[path = "agent/cases.rs"]
mod cases;
#[path = "agent/flow.rs"]
mod flow;
#[path = "agent/focus.rs"]
mod focus;
#[path = "agent/rig.rs"]
mod rig;
#[path = "support/mod.rs"]
mod support;
#[path = "agent/trouble.rs"]
mod trouble;
