//! On Redis.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{
        Agenda, Announcement, Attendance, Backlog, Bus, Heard, Inbox, LiveDown, Marks, Position, Post, Posted,
        Presence, Schedule, Seen, Stream, Unread,
    },
};

use super::{Settings, failure::down};

/// The ports.
pub struct RedisLive {
    settings: Settings,
    node: String,
}

impl RedisLive {
    /// Prepares to use the server at `url` (`redis://[user:password@]host:port[/db]`) as the node of this name; connects
    /// at the first call.
    ///
    /// # Errors
    /// The URL cannot be read, or the settings are wrong.
    pub fn new(url: &str, settings: &Settings, node: &str) -> Result<Arc<Self>, LiveDown> {
        let _ = url;
        Ok(Arc::new(Self { settings: settings.clone(), node: node.to_owned() }))
    }

    fn later<T: Send + 'static>(&self) -> BoxFuture<'static, Result<T, LiveDown>> {
        let error = down(&self.node, format!("not there yet {}", self.settings.prefix));
        Box::pin(std::future::ready(Err(error)))
    }
}

impl Inbox for RedisLive {
    fn post<'a>(&'a self, _: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        self.later()
    }
    fn after<'a>(&'a self, _: &'a [(Stream, Position)], _: usize) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        self.later()
    }
    fn unread<'a>(&'a self, _: &'a str, _: &'a [Stream], _: usize) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        self.later()
    }
    fn mark<'a>(&'a self, _: &'a str, _: &'a [Stream], _: &'a Marks) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        self.later()
    }
    fn were_read<'a>(&'a self, _: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        self.later()
    }
}
impl Bus for RedisLive {
    fn follow<'a>(&'a self, _: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>> {
        self.later()
    }
    fn unfollow<'a>(&'a self, _: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>> {
        self.later()
    }
    fn announce<'a>(&'a self, _: &'a [Announcement]) -> BoxFuture<'a, Result<(), LiveDown>> {
        self.later()
    }
    fn hear(&self) -> BoxFuture<'_, Heard> {
        Box::pin(std::future::pending())
    }
}
impl Presence for RedisLive {
    fn attend<'a>(&'a self, _: &'a [Attendance]) -> BoxFuture<'a, Result<(), LiveDown>> {
        self.later()
    }
    fn beat(&self) -> BoxFuture<'_, Result<Vec<String>, LiveDown>> {
        self.later()
    }
    fn leave(&self) -> BoxFuture<'_, Result<(), LiveDown>> {
        self.later()
    }
    fn seen<'a>(&'a self, _: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Seen>, LiveDown>> {
        self.later()
    }
}
impl Schedule for RedisLive {
    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: Millis) -> BoxFuture<'a, Result<(), LiveDown>> {
        self.later()
    }
    fn cancel<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, LiveDown>> {
        self.later()
    }
    fn look(&self, _: usize) -> BoxFuture<'_, Result<Agenda, LiveDown>> {
        self.later()
    }
    fn bury<'a>(&'a self, _: &'a [u8], _: &'a str) -> BoxFuture<'a, Result<(), LiveDown>> {
        self.later()
    }
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
