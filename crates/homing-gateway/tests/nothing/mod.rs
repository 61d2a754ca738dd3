//! Stores that hold nothing, for a gateway that needs none.

use std::sync::Arc;

use futures_util::future::{self, BoxFuture};
use homing_core::live::Ports;
use homing_core::{
    clock::Millis,
    live::{
        Agenda, Announcement, Attendance, Backlog, Bus, Heard, Inbox, LiveDown, Marks, Position, Post, Posted,
        Presence, Schedule, Seen, Stream, Unread,
    },
};
use homing_gateway::node::Status;

/// All of them.
pub(crate) struct Nothing;

pub(crate) fn stores() -> Ports {
    Ports { inbox: Arc::new(Nothing), bus: Arc::new(Nothing), presence: Arc::new(Nothing), schedule: Arc::new(Nothing) }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, LiveDown>>;

fn ready<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(future::ready(Ok(value)))
}

impl Status for Nothing {
    fn up(&self, _: &str) {}
    fn down(&self, _: &str, _: &str) {}
}

impl Inbox for Nothing {
    fn post<'a>(&'a self, posts: &'a [Post]) -> Answer<'a, Vec<Posted>> {
        ready(vec![Posted { at: Position::default(), fresh: true }; posts.len()])
    }
    fn after<'a>(&'a self, asks: &'a [(Stream, Position)], _: usize) -> Answer<'a, Vec<Backlog>> {
        ready(vec![Backlog::default(); asks.len()])
    }
    fn unread<'a>(&'a self, _: &'a str, streams: &'a [Stream], _: usize) -> Answer<'a, Vec<Unread>> {
        ready(vec![Unread::default(); streams.len()])
    }
    fn mark<'a>(&'a self, _: &'a str, _: &'a [Stream], _: &'a Marks) -> Answer<'a, Vec<Arc<str>>> {
        ready(Vec::new())
    }
    fn were_read<'a>(&'a self, pairs: &'a [(&'a str, &'a str)]) -> Answer<'a, Vec<bool>> {
        ready(vec![false; pairs.len()])
    }
}

impl Bus for Nothing {
    fn follow<'a>(&'a self, _: &'a [u32]) -> Answer<'a, ()> {
        ready(())
    }
    fn unfollow<'a>(&'a self, _: &'a [u32]) -> Answer<'a, ()> {
        ready(())
    }
    fn announce<'a>(&'a self, _: &'a [Announcement]) -> Answer<'a, ()> {
        ready(())
    }
    fn hear(&self) -> BoxFuture<'_, Heard> {
        Box::pin(future::pending())
    }
}

impl Presence for Nothing {
    fn attend<'a>(&'a self, _: &'a [Attendance]) -> Answer<'a, ()> {
        ready(())
    }
    fn beat(&self) -> Answer<'_, Vec<String>> {
        ready(Vec::new())
    }
    fn leave(&self) -> Answer<'_, ()> {
        ready(())
    }
    fn seen<'a>(&'a self, users: &'a [&'a str]) -> Answer<'a, Vec<Seen>> {
        ready(vec![Seen::default(); users.len()])
    }
}

impl Schedule for Nothing {
    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: Millis) -> Answer<'a, ()> {
        ready(())
    }
    fn cancel<'a>(&'a self, _: &'a str) -> Answer<'a, bool> {
        ready(false)
    }
    fn look(&self, _: usize) -> Answer<'_, Agenda> {
        ready(Agenda::default())
    }
    fn bury<'a>(&'a self, _: &'a [u8], _: &'a str) -> Answer<'a, ()> {
        ready(())
    }
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(future::pending())
    }
}
