//! Live delivery in one process, for the embedded mode and for tests: streams, marks and the schedule in one SQLite
//! file, the bus and presence in memory.
//!
//! - `schema.rs` has the tables, `threads.rs` the thread that writes (group commit) and the one that reads.
//! - `streams.rs` stores and reads streams, `once.rs` knows copies and due members, `marks.rs` what was read,
//!   `sweep.rs` forgets.
//! - `hub.rs` is the bus, `presence.rs` who is online, `schedule.rs` what waits.
//!
//! The file is in WAL mode with `synchronous=FULL`: an answer follows the sync of the disk, an announcement follows it,
//! too, and posts that wait while a transaction is written share the next one. Only one process may have the file open,
//! and a lock on `PATH.lock` sees to it: what another wrote would be announced to nobody here. Time is the clock that
//! was handed in.

mod hub;
mod inbox;
mod marks;
mod once;
mod presence;
mod schedule;
mod schema;
mod streams;
mod sweep;
mod threads;

use std::{fs::File, path::Path, sync::Arc};

use homing_core::{clock::Clock, live::LiveDown};

use self::{
    hub::{Hub, Listener},
    presence::Present,
    threads::{Reader, Writer},
};
use super::{
    Settings,
    failure::{down, refused},
};

/// What the nodes of a process share.
struct Store {
    settings: Settings,
    /// `sqlite PATH`, for errors.
    file: String,
    clock: Arc<dyn Clock>,
    writer: Writer,
    reader: Reader,
    hub: Arc<Hub>,
    present: Present,
    /// Held as long as this lives.
    _lock: File,
}

/// All ports of live delivery in one process, for one node.
pub struct EmbeddedLive {
    store: Arc<Store>,
    node: Arc<str>,
    /// This life of the node.
    instance: u64,
    listener: Arc<Listener>,
}

impl EmbeddedLive {
    /// Opens the file at `path`, or makes it (its folder must be there), for the node of this name, and starts one
    /// thread that writes and one that reads. They end when this and its [`another`](Self::another)s are dropped.
    ///
    /// # Errors
    /// The file cannot be opened, is something else or is in use, or the settings are wrong.
    pub fn open(path: &Path, settings: &Settings, node: &str, clock: Arc<dyn Clock>) -> Result<Arc<Self>, LiveDown> {
        let file = format!("sqlite {}", path.display());
        let what = format!("live store of {file}");
        settings.check().map_err(|why| refused(&what, why))?;
        if settings.old_history.is_some() {
            return Err(refused(&what, "live.old_history: is read from Redis, and this is a file".to_owned()));
        }
        let lock = schema::lock(path).map_err(|why| down(&what, why))?;
        let (writes, reads) = schema::open(path).map_err(|why| down(&what, why))?;
        let hub = Arc::new(Hub::default());
        let writer = Writer::start(writes, settings.clone(), Arc::clone(&clock), Arc::clone(&hub))
            .map_err(|error| down(&what, error))?;
        let reader = Reader::start(reads, Arc::clone(&clock)).map_err(|error| down(&what, error))?;
        let (settings, present) = (settings.clone(), Present::default());
        let store = Arc::new(Store { settings, file, clock, writer, reader, hub, present, _lock: lock });
        Ok(Self::of(&store, node))
    }

    /// A further node of the same process, with ears and a life of its own.
    #[must_use]
    pub fn another(&self, node: &str) -> Arc<Self> {
        Self::of(&self.store, node)
    }

    fn of(store: &Arc<Store>, node: &str) -> Arc<Self> {
        let listener = store.hub.listener(store.settings.bus_bytes);
        Arc::new(Self { store: Arc::clone(store), node: node.into(), instance: store.present.instance(), listener })
    }

    fn what(&self, part: &str) -> String {
        format!("{part} of {}", self.store.file)
    }
}

impl std::fmt::Debug for EmbeddedLive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("EmbeddedLive");
        shown.field("file", &self.store.file).field("node", &self.node).finish_non_exhaustive()
    }
}

/// SQLite's integers have a sign.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// What [`int`] made of it.
fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// Milliseconds as SQLite counts them.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
