//! Wake-ups: a change stream on the source's collections, read by a task of its own while somebody asks.
//!
//! It tells that something was inserted, nothing more; what it is, is read as ever. So it may miss or repeat at will: a
//! stream that breaks is opened again, and says "something may have come" once. A server that is no replica set has no
//! change streams; that is said once in the log, and nobody is woken.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use futures_util::StreamExt;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::change_stream::ChangeStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::failure::Failure;
use crate::mongo_source_names::Names;
use crate::mongo_store::MongoStore;

/// A stream that nobody has asked for this long is closed.
const UNASKED: Duration = Duration::from_secs(60);
/// How often a stream that says nothing is looked at.
const CHECK: Duration = Duration::from_secs(15);
/// The longest wait before a broken stream is opened again.
const LONGEST: Duration = Duration::from_secs(60);
/// "The $changeStream stage is only supported on replica sets".
const NO_REPLICA_SET: i32 = 40573;

/// What is watched.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) store: Arc<MongoStore>,
    pub(crate) database: String,
    pub(crate) names: Names,
}

/// The wake-ups of one source.
#[derive(Default)]
pub(crate) struct Changes {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Inserts that nobody was told of yet.
    untold: AtomicU64,
    /// Inserts since the stream was last looked at.
    told: AtomicU64,
    /// Messages that were read since then.
    read: AtomicU64,
    notify: Notify,
    asked: Mutex<Option<Instant>>,
}

enum Ended {
    Unasked,
    /// Messages came and it told of none.
    Silent,
    Broken(String),
}

// === impl Changes ===

impl Changes {
    /// See [`ChatSource::changed`](homing_core::chat::ChatSource::changed).
    pub(crate) async fn next(&self, watched: &Watched) -> u64 {
        self.shared.ask();
        self.follow(watched);
        loop {
            let news = self.shared.untold.swap(0, Ordering::Relaxed);
            if news > 0 {
                return news;
            }
            self.shared.notify.notified().await;
        }
    }

    /// So many messages were read. A stream that stays silent meanwhile is dead.
    pub(crate) fn read(&self, messages: usize) {
        self.shared.read.fetch_add(messages as u64, Ordering::Relaxed);
    }

    fn follow(&self, watched: &Watched) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(run(watched.clone(), Arc::downgrade(&self.shared))));
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_asked(&self) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < UNASKED)
    }

    fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.notify.notify_one();
    }
}

async fn run(watched: Watched, shared: Weak<Shared>) {
    let mut wait = Duration::from_millis(500);
    let mut trouble = String::new();
    let mut again = false;
    loop {
        let why = match open(&watched).await {
            Ok(stream) => {
                info!(source = %watched.name, "Woken by a change stream.");
                let Some(shared) = shared.upgrade() else { return };
                if again {
                    shared.tell();
                }
                (wait, again) = (Duration::from_millis(500), true);
                trouble.clear();
                match follow(stream, &shared).await {
                    Ended::Unasked => return,
                    Ended::Silent => continue,
                    Ended::Broken(why) => why,
                }
            }
            Err(failure) if is_no_replica_set(&failure) => {
                info!(source = %watched.name, "The server is no replica set, so it wakes nobody: the source is polled.");
                // Nobody may ask in vain for another task: this one stays as long as the source.
                std::future::pending().await
            }
            Err(failure) => failure.to_string(),
        };
        if why != trouble {
            warn!(source = %watched.name, why, "There is no change stream; the source is polled.");
            trouble = why;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
        if shared.upgrade().is_none_or(|shared| !shared.is_asked()) {
            return;
        }
    }
}

async fn follow(mut stream: ChangeStream<RawDocumentBuf>, shared: &Shared) -> Ended {
    let mut check = Instant::now() + CHECK;
    let mut silent = 0;
    loop {
        match timeout(check.saturating_duration_since(Instant::now()), stream.next()).await {
            Ok(Some(Ok(_))) => shared.tell(),
            Ok(Some(Err(error))) => return Ended::Broken(error.to_string()),
            Ok(None) => return Ended::Broken("the stream ended".to_owned()),
            Err(_) => {}
        }
        if Instant::now() >= check {
            check = Instant::now() + CHECK;
            let (told, read) = (shared.told.swap(0, Ordering::Relaxed), shared.read.swap(0, Ordering::Relaxed));
            // Once may be a backlog, or a message that was told of just before.
            silent = if told == 0 && read > 0 { silent + 1 } else { 0 };
            if silent > 1 {
                debug!("The change stream is silent while messages come: it is opened again.");
                return Ended::Silent;
            }
            if !shared.is_asked() {
                return Ended::Unasked;
            }
        }
    }
}

async fn open(watched: &Watched) -> Result<ChangeStream<RawDocumentBuf>, Failure> {
    let mut condition = doc! { "operationType": "insert" };
    // The driver needs these three.
    let projection = doc! { "$project": { "_id": 1, "operationType": 1, "ns": 1 } };
    let stream = match &watched.names {
        Names::One(name) => {
            let pipeline: [Document; 2] = [doc! { "$match": condition }, projection];
            watched.store.on(&watched.database, name, async |c| c.watch().pipeline(pipeline).await).await?
        }
        Names::Dated(template) => {
            condition.insert("ns.coll", doc! { "$regex": template.pattern() });
            let pipeline: [Document; 2] = [doc! { "$match": condition }, projection];
            return watched
                .store
                .within(&watched.database, async |d| Ok(d.watch().pipeline(pipeline).await?.with_type()))
                .await;
        }
    };
    Ok(stream.with_type())
}

fn is_no_replica_set(failure: &Failure) -> bool {
    let Failure::Driver { source, .. } = failure else { return false };
    let error = source.downcast_ref::<mongodb::error::Error>().map(|error| &*error.kind);
    matches!(error, Some(mongodb::error::ErrorKind::Command(command)) if command.code == NO_REPLICA_SET)
}
