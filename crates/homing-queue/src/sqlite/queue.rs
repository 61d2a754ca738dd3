//! [`SqliteQueue`]: opens shards, appends to lists, and shows what stands where.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    queue::{BOARD, Error, Log, MAX_ITEM, Mark, Memory, NewItem, Queue, QueueName, Receipt, Result, Shard, Snapshot},
    record::Record,
    wire,
};
use rusqlite::Connection;

use super::{
    board,
    commit::int,
    error::OpenError,
    inspect,
    lease::{self, Claim},
    list::List,
    marks,
    reader::Reader,
    schema,
    shard::SqliteShard,
    trace,
    wake::Wakes,
    writer::Writer,
};
use crate::owner::Owner;

/// Settings of the backend.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a lease runs without renewal.
    pub lease: Duration,
    /// No work is started this long before the lease's end.
    pub margin: Duration,
    /// Bound of a shard's trace in entries (one per commit).
    pub trace_entries: u64,
    /// Bound of a shard's trace in bytes.
    pub trace_bytes: u64,
    /// Bound of the file in bytes; 0 = none. Producers are refused at it; owners may pass it by an eighth, so that a
    /// full file drains. Only this process's writes are bounded.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            margin: Duration::from_secs(3),
            trace_entries: 20_000,
            trace_bytes: 64 << 20,
            max_bytes: 0,
        }
    }
}

/// Signatures of ours whose lease may still run though nobody holds it: a shard that was dropped without release, or
/// an acquire that nobody waited for. The next acquire of this handle signs alike and may replace such a lease.
pub(super) type Abandoned = Arc<Mutex<HashMap<QueueName, String>>>;

/// The file's threads and what belongs to them.
pub(super) struct Store {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) wakes: Arc<Wakes>,
    pub(super) options: Options,
    pub(super) abandoned: Abandoned,
}

/// The queues of one SQLite file.
pub struct SqliteQueue {
    store: Arc<Store>,
    owner: Owner,
    nonce: AtomicU64,
}

impl SqliteQueue {
    /// Opens the file at `path`, or makes it (its folder must be there), and starts one thread that writes and one that
    /// reads. They end when the handle and all its shards are dropped.
    ///
    /// # Errors
    /// The file cannot be opened, is something else, or was written by a newer version of Homing.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let opened = schema::open(path, options.max_bytes)?;
        let wakes = Arc::new(Wakes::default());
        // What is put up before anybody waits is not missed either.
        wakes.of(&QueueName::new(BOARD));
        let thread = |source| OpenError::Thread { path: path.to_owned(), source };
        let writer = Writer::start(opened.writer, options.max_bytes, Arc::clone(&wakes)).map_err(thread)?;
        let reader = Reader::start(opened.reader).map_err(thread)?;
        let store = Arc::new(Store { writer, reader, wakes, options, abandoned: Abandoned::default() });
        Ok(Self { store, owner: Owner::this_process(), nonce: AtomicU64::new(random()) })
    }

    async fn take(&self, shard: &QueueName) -> Result<Box<dyn Shard>> {
        let abandoned = || self.store.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || self.owner.suffix(self.nonce.fetch_add(1, Ordering::Relaxed));
        let suffix = abandoned().get(shard).cloned().unwrap_or_else(fresh);
        let mut pending = Pending { store: &self.store, shard, suffix: suffix.clone(), answered: false };
        let claim = Claim {
            shard: shard.clone(),
            owner: self.owner.clone(),
            suffix,
            lease_ms: millis(self.store.options.lease),
            birth: format!("{:016x}", random()),
        };
        let asked = Instant::now();
        let answer = self.store.writer.run(move |tx| lease::acquire(tx, &claim)).await;
        if !matches!(answer, Err(Error::Unavailable(_))) {
            pending.answered = true;
            abandoned().remove(shard);
        }
        Ok(Box::new(SqliteShard::new(Arc::clone(&self.store), shard.clone(), answer?, asked)))
    }

    async fn push(&self, queue: &QueueName, items: &[NewItem], high_water: u64, now: Millis) -> Result<Vec<bool>> {
        if let Some(large) = items.iter().find(|i| i.body.len() > MAX_ITEM) {
            return Err(Error::TooLarge { queue: queue.clone(), size: large.body.len() });
        }
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (queue, items) = (queue.clone(), items.to_vec());
        self.store.writer.run(move |tx| marks::append(tx, &queue, &items, high_water, now)).await
    }

    async fn take_back(&self, shard: &QueueName, id: &str, now: Millis, until: Millis) -> Result<()> {
        let (shard, id) = (shard.clone(), id.to_owned());
        self.store.writer.run(move |tx| marks::cancel(tx, &shard, &id, now, until)).await
    }

    async fn marks_of(&self, shard: &QueueName, ids: &[&str]) -> Result<Vec<Mark>> {
        let (shard, ids) = (shard.clone(), ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        let look = move |db: &Connection| match List::find(db, shard.as_str(), Log::MAIN.name())? {
            Some(main) => marks::of(db, main.id, &ids),
            None => Ok(vec![Mark::default(); ids.len()]),
        };
        self.store.reader.run(look).await
    }

    async fn put_up(&self, key: &str, notice: Option<&str>) -> Result<()> {
        let (key, notice) = (key.to_owned(), notice.map(str::to_owned));
        self.store.writer.run(move |tx| board::post(tx, &key, notice.as_deref())).await
    }

    async fn count_receipts(&self, shard: &QueueName, receipts: &[Receipt], now: Millis) -> Result<Vec<bool>> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let (shard, receipts) = (shard.clone(), receipts.to_vec());
        let options = &self.store.options;
        let bounds = trace::Bounds { entries: options.trace_entries, bytes: options.trace_bytes };
        self.store.writer.run(move |tx| board::tally(tx, &shard, &receipts, now, bounds)).await
    }

    async fn look_at_head(&self, queue: &QueueName, n: usize) -> Result<Vec<Bytes>> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let queue = queue.clone();
        let look = move |db: &Connection| {
            let Some(main) = List::find(db, queue.as_str(), Log::MAIN.name())? else { return Ok(Vec::new()) };
            Ok(main.read(db, 0, n, usize::MAX)?.into_iter().map(|item| item.body).collect())
        };
        self.store.reader.run(look).await
    }

    async fn look(&self, shard: &QueueName) -> Result<Snapshot> {
        let shard = shard.clone();
        self.store.reader.run(move |db| inspect::shard(db, shard.as_str())).await
    }

    async fn ask_memory(&self) -> Result<Memory> {
        let used = self.store.reader.run(|db| Ok(schema::used(db)?)).await?;
        Ok(Memory { used, limit: self.store.options.max_bytes })
    }

    async fn search(&self, shard: &QueueName, id: &str) -> Result<Vec<Record>> {
        let (mut found, mut number) = (Vec::new(), Some(0));
        // Page by page, so that peeks are not held up.
        while let Some(from) = number {
            let shard = shard.clone();
            let (blobs, next) = self.store.reader.run(move |db| trace::page(db, shard.as_str(), from)).await?;
            found.extend(blobs.iter().flat_map(|blob| wire::records_of(blob, id)));
            number = next;
        }
        Ok(found)
    }
}

impl Queue for SqliteQueue {
    fn acquire<'a>(&'a self, shard: &'a QueueName) -> BoxFuture<'a, Result<Box<dyn Shard>>> {
        Box::pin(self.take(shard))
    }

    fn append<'a>(
        &'a self,
        queue: &'a QueueName,
        items: &'a [NewItem],
        high_water: u64,
        now: Millis,
    ) -> BoxFuture<'a, Result<Vec<bool>>> {
        Box::pin(self.push(queue, items, high_water, now))
    }

    fn cancel<'a>(
        &'a self,
        shard: &'a QueueName,
        id: &'a str,
        now: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.take_back(shard, id, now, until))
    }

    fn marks<'a>(&'a self, shard: &'a QueueName, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Mark>>> {
        Box::pin(self.marks_of(shard, ids))
    }

    fn sample<'a>(&'a self, queue: &'a QueueName, n: usize) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        Box::pin(self.look_at_head(queue, n))
    }

    fn inspect<'a>(&'a self, shard: &'a QueueName) -> BoxFuture<'a, Result<Snapshot>> {
        Box::pin(self.look(shard))
    }

    fn memory(&self) -> BoxFuture<'_, Result<Memory>> {
        Box::pin(self.ask_memory())
    }

    fn notices(&self) -> BoxFuture<'_, Result<BTreeMap<String, String>>> {
        Box::pin(self.store.reader.run(board::read))
    }

    fn post<'a>(&'a self, key: &'a str, notice: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.put_up(key, notice))
    }

    fn noticed(&self) -> BoxFuture<'_, ()> {
        let wake = self.store.wakes.of(&QueueName::new(BOARD));
        Box::pin(async move { wake.notified().await })
    }

    fn tally<'a>(
        &'a self,
        shard: &'a QueueName,
        receipts: &'a [Receipt],
        now: Millis,
    ) -> BoxFuture<'a, Result<Vec<bool>>> {
        Box::pin(self.count_receipts(shard, receipts, now))
    }

    fn trace<'a>(&'a self, shard: &'a QueueName, id: &'a str) -> BoxFuture<'a, Result<Vec<Record>>> {
        Box::pin(self.search(shard, id))
    }
}

/// An acquire without an answer: if nobody waits for it any more, it may leave a lease that nobody holds.
struct Pending<'a> {
    store: &'a Store,
    shard: &'a QueueName,
    suffix: String,
    answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let mut abandoned = self.store.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
            abandoned.insert(self.shard.clone(), std::mem::take(&mut self.suffix));
        }
    }
}

/// A duration as SQLite counts it.
pub(super) fn millis(duration: Duration) -> i64 {
    int(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A number that no other process has: the standard library's hasher keys are random per process and per call.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
