//! The readers and writers of emitters against real servers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod amqp;
mod broker;
mod costly;
mod python;
mod redis;
mod restart;
mod support;
