//! The intake as producers meet it: over a socket, onto a real redis-server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "shared by the parts")]

#[path = "http/answers.rs"]
mod answers;
#[path = "http/books.rs"]
mod books;
#[path = "http/hostile.rs"]
mod hostile;
#[path = "support/mod.rs"]
mod support;
#[path = "http/trouble.rs"]
mod trouble;
