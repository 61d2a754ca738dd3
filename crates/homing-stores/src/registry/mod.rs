//! The device registry in SQL: SQLite, MySQL (and MariaDB), PostgreSQL.
//!
//! ```text
//! config     [registry]
//! schema     its tables
//! tables     the one way to them: statements, transactions that are tried again
//! devices    put, list, delete, restore        people     preferences, topics, erase
//! outbox     changes and their acknowledgement sweep      what is not seen for long, what is kept long enough
//! lookups    registry.devices, registry.profile; registry.topic, registry.everyone
//! ```
//!
//! Whoever changes something of a user locks the user's row first, so one user's changes are made one after another. A
//! token is found by its hash, which is unique: two who register it at the same time meet there, the second of them is
//! told of a conflict, and does it all again.

pub(crate) mod config;
mod devices;
mod lookups;
mod outbox;
mod people;
mod schema;
mod sweep;
mod tables;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::clock::{Clock, Millis};
use homing_core::registry::{Change, Device, Error, Held, Preferences, Put, Registry, Result, Swept};
use tokio::sync::Notify;

use crate::error::ConfigError;
use crate::failure::Failure;
use crate::sql::{Session, SqlServer};
use config::RegistryConfig;
pub(crate) use lookups::{Devices, Everyone, Profile, Topic, is_of_the_registry};
use tables::Tables;

/// The registry of an installation.
pub(crate) struct SqlRegistry {
    pub(crate) tables: Tables,
    pub(crate) clock: Arc<dyn Clock>,
    inactive_after: Millis,
    undo: Millis,
    keep: Millis,
    max_devices: usize,
    max_topics: usize,
    /// Are changes told?
    told: bool,
    wake: Arc<Notify>,
}

/// What ends a transaction early.
enum Stop {
    Store(Failure),
    Refused(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Store(failure) => Self::Down(Box::new(failure)),
            Stop::Refused(error) => error,
        }
    }
}

/// Does it again when another transaction was in the way. What it evaluates to is tried from the beginning each time.
macro_rules! again {
    ($once:expr) => {{
        let mut tries = 0;
        loop {
            match $once.await {
                Err($crate::registry::Stop::Store($crate::failure::Failure::Conflict { .. }))
                    if tries < $crate::registry::tables::TRIES =>
                {
                    tries += 1;
                    tokio::time::sleep($crate::registry::tables::pause(tries)).await;
                }
                end => break end,
            }
        }
    }};
}
use again;

// === impl SqlRegistry ===

impl SqlRegistry {
    pub(crate) fn new(
        config: &RegistryConfig,
        server: &Arc<dyn SqlServer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| Err(ConfigError::registry(key, reason));
        if !server.allow_write() {
            let reason = format!("needs allow_write = true in [stores.{}]", server.name());
            return Err(ConfigError::registry("store", reason));
        }
        let prefix = config.prefix.as_str();
        if prefix.len() > 40 || !prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return wrong("prefix", "is at most 40 small letters, digits and _");
        }
        if config.keep < config.undo {
            return wrong("keep", "is shorter than `undo`");
        }
        if config.inactive_after.is_zero() {
            return wrong("inactive_after", "must be above 0");
        }
        if config.max_devices == 0 || config.max_devices > 1_000 {
            return wrong("max_devices", "is 1 to 1000");
        }
        if config.max_topics > 10_000 {
            return wrong("max_topics", "is at most 10000");
        }
        if config.hooks.is_empty() != config.events_lane.is_none() {
            return wrong("hooks", "and events_lane belong together: who is told, and in which lane");
        }
        let millis = |span: std::time::Duration| Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX);
        Ok(Self {
            tables: Tables::new(Arc::clone(server), prefix),
            clock,
            inactive_after: millis(config.inactive_after),
            undo: millis(config.undo),
            keep: millis(config.keep),
            max_devices: config.max_devices,
            max_topics: config.max_topics,
            told: config.events_lane.is_some(),
            wake: Arc::default(),
        })
    }

    /// Ends a transaction as its work ended.
    async fn ended<T>(&self, mut session: Box<dyn Session + '_>, end: Result<T, Stop>) -> Result<T, Stop> {
        match end {
            Ok(done) => {
                session.end(true).await?;
                Ok(done)
            }
            // A connection in trouble is closed, which takes all back as well.
            Err(Stop::Store(failure)) => Err(Stop::Store(failure)),
            Err(refused) => {
                session.end(false).await?;
                Err(refused)
            }
        }
    }
}

impl Registry for SqlRegistry {
    fn put<'a>(&'a self, user: &'a str, device: &'a Device, now: Millis) -> BoxFuture<'a, Result<Put>> {
        Box::pin(async move { Ok(again!(self.put_once(user, device, now))?) })
    }

    fn list<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Vec<Held>>> {
        Box::pin(async move { Ok(self.held(user).await?) })
    }

    fn delete<'a>(&'a self, user: &'a str, device: Option<&'a str>, now: Millis) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { Ok(again!(self.delete_once(user, device, now))?) })
    }

    fn restore<'a>(&'a self, user: &'a str, device: &'a str, now: Millis) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { Ok(again!(self.restore_once(user, device, now))?) })
    }

    fn preferences<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Preferences>> {
        Box::pin(async move { Ok(self.wanted(user).await?) })
    }

    fn prefer<'a>(&'a self, user: &'a str, wanted: &'a Preferences, now: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { Ok(again!(self.prefer_once(user, wanted, now))?) })
    }

    fn topics<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { Ok(self.followed(user).await?) })
    }

    fn follow<'a>(&'a self, user: &'a str, topic: &'a str, now: Millis) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(again!(self.follow_once(user, topic, now))?) })
    }

    fn unfollow<'a>(&'a self, user: &'a str, topic: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(again!(self.unfollow_once(user, topic))?) })
    }

    fn erase<'a>(&'a self, user: &'a str, now: Millis) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(again!(self.erase_once(user, now))?) })
    }

    fn expire(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(async move { Ok(again!(self.expire_once(now, limit))?) })
    }

    fn changes(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Change>>> {
        Box::pin(async move { Ok(self.pending(after, limit).await?) })
    }

    fn acknowledge<'a>(&'a self, seqs: &'a [u64], now: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { Ok(again!(self.acknowledge_once(seqs, now))?) })
    }

    fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}
