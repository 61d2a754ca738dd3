//! Live delivery as the lanes and channels of a process ask it; in a process that does not have it (a tool, beside the one
//! process that does) it is down, and says why.

use std::sync::Arc;

use futures_util::future::{BoxFuture, ready};
use homing_core::live::{
    Attendance, Backlog, Inbox, LiveDown, Marks, Position, Post, Posted, Presence, Seen, Stream, Unread,
};
use homing_stores::live::Ports;

/// The streams.
pub(super) fn inbox(live: Option<&Ports>) -> Arc<dyn Inbox> {
    live.map_or_else(|| Arc::new(Elsewhere) as _, |live| Arc::clone(&live.inbox))
}

/// Who is online.
pub(super) fn presence(live: Option<&Ports>) -> Arc<dyn Presence> {
    live.map_or_else(|| Arc::new(Elsewhere) as _, |live| Arc::clone(&live.presence))
}

/// Has nothing.
struct Elsewhere;

fn none<T: Send + 'static>() -> BoxFuture<'static, Result<T, LiveDown>> {
    let source = "without a Redis it lives in the one process that `homing up` runs".into();
    Box::pin(ready(Err(LiveDown { what: "live delivery".to_owned(), refused: false, source })))
}

impl Inbox for Elsewhere {
    fn post<'a>(&'a self, _: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        none()
    }

    fn after<'a>(&'a self, _: &'a [(Stream, Position)], _: usize) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        none()
    }

    fn unread<'a>(&'a self, _: &'a str, _: &'a [Stream], _: usize) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        none()
    }

    fn mark<'a>(&'a self, _: &'a str, _: &'a [Stream], _: &'a Marks) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        none()
    }

    fn were_read<'a>(&'a self, _: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        none()
    }
}

impl Presence for Elsewhere {
    fn attend<'a>(&'a self, _: &'a [Attendance]) -> BoxFuture<'a, Result<(), LiveDown>> {
        none()
    }

    fn beat(&self) -> BoxFuture<'_, Result<Vec<String>, LiveDown>> {
        none()
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), LiveDown>> {
        none()
    }

    fn seen<'a>(&'a self, _: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Seen>, LiveDown>> {
        none()
    }
}
