//! What every backend of live delivery does, checked over Redis and over SQLite and memory:
//! `eval "$(scripts/services env)"` names the server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "live/bus.rs"]
mod bus;
#[path = "live/embedded_alone.rs"]
mod embedded_alone;
#[path = "live/inbox.rs"]
mod inbox;
#[path = "live/marks.rs"]
mod marks;
#[path = "live/old.rs"]
mod old;
#[path = "live/once.rs"]
mod once;
#[path = "live/presence.rs"]
mod presence;
#[path = "live/redis_alone.rs"]
mod redis_alone;
#[path = "live/schedule.rs"]
mod schedule;
#[path = "live/support.rs"]
mod support;
