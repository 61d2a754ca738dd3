//! The crate as a daemon uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod child;
mod config;
mod daemon;
mod secrets;
