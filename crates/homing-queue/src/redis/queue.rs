//! [`RedisQueue`]: opens shards, appends to lists, and shows what stands where.

use std::{
    collections::{BTreeMap, HashMap},
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
    queue::{
        Error, Log, MAX_ITEM, MAX_REMEMBERED, Mark, Memory, NewItem, Opened, Queue, QueueName, REMEMBERED, Receipt,
        Result, Shard, Snapshot,
    },
    record::Record,
    wire,
};
use redis::{
    Client, IntoConnectionInfo, ProtocolVersion, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
use tokio::sync::OnceCell;

use super::{
    board::{self, Board},
    inspect::{self, Seen},
    keys::Keys,
    link::Link,
    script::{Scripts, array, number, pairs, text, unavailable, unexpected},
    shard::{RedisShard, logs_of, marks_call, read_marks, values_of},
};
use crate::owner::Owner;

/// Settings of the backend.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a lease runs without renewal. A dead machine's shards stand still for this long.
    pub lease: Duration,
    /// No work is started this long before the lease's end: longer than a provider call may take to be *written*.
    pub margin: Duration,
    /// How long to wait for an answer of the server.
    pub timeout: Duration,
    /// Bound of a shard's trace in entries (one per commit).
    pub trace_entries: u64,
    /// Bound of a shard's trace in bytes, about: entries are trimmed by the mean size of the latest ones.
    pub trace_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            margin: Duration::from_secs(3),
            timeout: Duration::from_secs(2),
            trace_entries: 20_000,
            trace_bytes: 64 << 20,
        }
    }
}

/// Signatures of ours whose lease may still run though nobody holds it: an acquire without an answer, or a shard that
/// was dropped without release. The next acquire of this process signs alike and may replace such a lease.
pub(super) type Abandoned = Arc<Mutex<HashMap<QueueName, String>>>;

/// The queues of one Redis server.
pub struct RedisQueue {
    client: Client,
    options: Options,
    owner: Owner,
    scripts: Arc<Scripts>,
    abandoned: Abandoned,
    nonce: AtomicU64,
    shared: OnceCell<ConnectionManager>,
    board: Board,
}

impl RedisQueue {
    /// Prepares to use the server at `url` (`redis://[user:password@]host:port[/db]`); connects at the first call.
    ///
    /// # Errors
    /// The URL cannot be read; its text is not repeated, since it may hold a password.
    pub fn new(url: &str, options: Options) -> Result<Self> {
        let info = url.into_connection_info().map_err(unavailable)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(unavailable)?;
        Ok(Self {
            board: Board::new(client.clone(), options.timeout),
            client,
            options,
            owner: Owner::this_process(),
            scripts: Arc::new(Scripts::new()),
            abandoned: Abandoned::default(),
            nonce: AtomicU64::new(random()),
            shared: OnceCell::new(),
        })
    }

    /// The connection for short calls from any task; heals by itself.
    async fn shared(&self) -> Result<ConnectionManager> {
        let open = || async {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(self.options.timeout))
                .set_response_timeout(Some(self.options.timeout))
                .set_number_of_retries(1);
            self.client.get_connection_manager_with_config(config).await
        };
        self.shared.get_or_try_init(open).await.cloned().map_err(unavailable)
    }

    async fn take(&self, shard: &QueueName) -> Result<Box<dyn Shard>> {
        let keys = Keys::new(shard);
        let fresh = || self.owner.suffix(self.nonce.fetch_add(1, Ordering::Relaxed));
        let suffix = self.lock_abandoned().get(shard).cloned().unwrap_or_else(fresh);
        let mut replace = String::new();
        let mut alive = false;
        let mut link = Link::new(self.client.clone(), self.options.timeout);
        // Twice at most: the first answer may name a token that we may replace.
        loop {
            let mut cmd = self.scripts.acquire.call(6);
            cmd.arg(keys.own()).arg(keys.state()).arg(keys.delayed());
            for log in [Log::MAIN, Log::RETRY, Log::FANOUT] {
                cmd.arg(keys.log(&log));
            }
            cmd.arg(&suffix).arg(self.options.lease.as_millis()).arg(&replace).arg(format!("{:016x}", random()));
            cmd.arg(if alive { "1" } else { "0" });
            let asked = Instant::now();
            let answer = match link.run(&self.scripts.acquire, &cmd).await {
                Ok(answer) => array("acquire", answer)?,
                Err(error) => {
                    self.lock_abandoned().insert(shard.clone(), suffix);
                    return Err(unavailable(error));
                }
            };
            let [Value::Int(taken), token, third, rest @ ..] = answer.as_slice() else {
                return Err(unexpected("acquire", &Value::Array(answer)));
            };
            let token = text(token);
            if *taken == 0 {
                let ours = token.split_once('|').is_some_and(|(_, signature)| signature == suffix);
                if replace.is_empty() && (ours || self.owner.is_dead(&token)) {
                    replace = token;
                    alive = ours;
                    continue;
                }
                let left_ms = u64::try_from(number(third).unwrap_or(0)).unwrap_or(0);
                return Err(Error::Held { queue: shard.clone(), owner: token, left_ms });
            }
            let [next_due, suspicion, state @ ..] = rest else {
                return Err(unexpected("acquire", &Value::Array(answer)));
            };
            let state: HashMap<String, Vec<u8>> = pairs(state.to_vec()).into_iter().collect();
            let named =
                |field: &str| state.get(field).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
            let opened = Opened {
                epoch: u64::try_from(number(third).unwrap_or(0)).unwrap_or(0),
                first_epoch: named("first_epoch").parse().unwrap_or(0),
                birth: named("birth"),
                suspicion: u32::try_from(number(suspicion).unwrap_or(0)).unwrap_or(0),
                logs: logs_of(&state),
                next_due: number(next_due),
                values: values_of(&state),
            };
            self.lock_abandoned().remove(shard);
            let shard = RedisShard::new(
                shard.clone(),
                keys,
                link,
                Arc::clone(&self.scripts),
                self.options.clone(),
                Arc::clone(&self.abandoned),
                token,
                opened,
                asked,
            );
            return Ok(Box::new(shard));
        }
    }

    fn lock_abandoned(&self) -> std::sync::MutexGuard<'_, HashMap<QueueName, String>> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn push(&self, queue: &QueueName, items: &[NewItem], high_water: u64, now: Millis) -> Result<Vec<bool>> {
        if let Some(large) = items.iter().find(|i| i.body.len() > MAX_ITEM) {
            return Err(Error::TooLarge { queue: queue.clone(), size: large.body.len() });
        }
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let keys = Keys::new(queue);
        let mut connection = self.shared().await?;
        if high_water == 0 && items.iter().all(|i| i.id.is_none()) {
            let mut cmd = redis::cmd("RPUSH");
            cmd.arg(keys.log(&Log::MAIN));
            for item in items {
                cmd.arg(item.body.as_ref());
            }
            connection.req_packed_command(&cmd).await.and_then(Value::extract_error).map_err(unavailable)?;
            return Ok(vec![true; items.len()]);
        }
        let mut cmd = self.scripts.append.call(2);
        cmd.arg(keys.log(&Log::MAIN)).arg(keys.ids());
        cmd.arg(high_water).arg(now).arg(now.saturating_sub(REMEMBERED)).arg(MAX_REMEMBERED);
        for item in items {
            cmd.arg(item.id.as_deref().unwrap_or_default()).arg(item.body.as_ref());
        }
        let answer = self.scripts.append.run(&cmd, &mut connection).await.map_err(unavailable)?;
        let answer = array("append", answer)?;
        match (answer.first().and_then(number), answer.get(1)) {
            (Some(0), Some(Value::BulkString(news))) if news.len() == items.len() => {
                Ok(news.iter().map(|new| *new == b'1').collect())
            }
            (Some(-3), _) => Err(Error::Full(queue.clone())),
            _ => Err(unexpected("append", &Value::Array(answer))),
        }
    }

    async fn take_back(&self, shard: &QueueName, id: &str, now: Millis, until: Millis) -> Result<()> {
        let mut cmd = self.scripts.cancel.call(1);
        cmd.arg(Keys::new(shard).cancelled()).arg(id).arg(now).arg(until).arg(MAX_REMEMBERED);
        let mut connection = self.shared().await?;
        self.scripts.cancel.run(&cmd, &mut connection).await.map_err(unavailable)?;
        Ok(())
    }

    async fn marks_of(&self, shard: &QueueName, ids: &[&str]) -> Result<Vec<Mark>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let cmd = marks_call(&self.scripts, &Keys::new(shard), "", ids);
        let mut connection = self.shared().await?;
        let answer = self.scripts.marks.run(&cmd, &mut connection).await.map_err(unavailable)?;
        read_marks(answer, ids.len())?.ok_or_else(|| unavailable("unexpected answer to marks"))
    }

    async fn count_receipts(&self, shard: &QueueName, receipts: &[Receipt], now: Millis) -> Result<Vec<bool>> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let keys = Keys::new(shard);
        let mut cmd = self.scripts.tally.call(3);
        cmd.arg(keys.receipts()).arg(keys.ledger()).arg(keys.trace());
        cmd.arg(now).arg(now.saturating_sub(REMEMBERED)).arg(MAX_REMEMBERED).arg(self.options.trace_entries.max(1));
        for Receipt { key, record } in receipts {
            cmd.arg(key)
                .arg(&*record.stage.field(&record.fate))
                .arg(wire::encode_records(std::slice::from_ref(record)));
        }
        let mut connection = self.shared().await?;
        let answer = self.scripts.tally.run(&cmd, &mut connection).await.map_err(unavailable)?;
        match &answer {
            Value::BulkString(news) if news.len() == receipts.len() => {
                Ok(news.iter().map(|new| *new == b'1').collect())
            }
            other => Err(unexpected("tally", other)),
        }
    }

    async fn look(&self, shard: &QueueName) -> Result<Snapshot> {
        let keys = Keys::new(shard);
        let mut connection = self.shared().await?;
        let mut fields = redis::cmd("HKEYS");
        fields.arg(keys.state());
        let fields =
            connection.req_packed_command(&fields).await.and_then(Value::extract_error).map_err(unavailable)?;
        let fields = array("HKEYS", fields)?;
        let mut logs = inspect::logs_in(fields.iter().map(text));
        loop {
            let cmd = inspect::call(&self.scripts, &keys, &logs);
            let answer = self.scripts.inspect.run(&cmd, &mut connection).await.map_err(unavailable)?;
            match inspect::read(answer, &logs)? {
                Seen::Whole(picture) => return Ok(picture.snapshot),
                Seen::Again(known) => logs = known,
            }
        }
    }

    async fn look_at_head(&self, queue: &QueueName, n: usize) -> Result<Vec<Bytes>> {
        let Some(last) = n.checked_sub(1) else { return Ok(Vec::new()) };
        let mut cmd = redis::cmd("LRANGE");
        cmd.arg(Keys::new(queue).log(&Log::MAIN)).arg(0).arg(last);
        let mut connection = self.shared().await?;
        let answer = connection.req_packed_command(&cmd).await.and_then(Value::extract_error).map_err(unavailable)?;
        let body = |item| match item {
            Value::BulkString(body) => Ok(Bytes::from(body)),
            other => Err(unexpected("LRANGE", &other)),
        };
        array("LRANGE", answer)?.into_iter().map(body).collect()
    }

    async fn ask_memory(&self) -> Result<Memory> {
        let mut connection = self.shared().await?;
        let mut cmd = redis::cmd("INFO");
        cmd.arg("memory");
        let answer = connection.req_packed_command(&cmd).await.and_then(Value::extract_error).map_err(unavailable)?;
        let info = match &answer {
            Value::VerbatimString { text, .. } => text.clone(),
            other => text(other),
        };
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Memory { used: field("used_memory"), limit: field("maxmemory") })
    }

    async fn search(&self, shard: &QueueName, id: &str) -> Result<Vec<Record>> {
        /// Entries per read.
        const PAGE: usize = 200;
        let key = Keys::new(shard).trace();
        let mut connection = self.shared().await?;
        let mut found = Vec::new();
        let mut until = "+".to_owned();
        loop {
            let mut cmd = redis::cmd("XREVRANGE");
            cmd.arg(&key).arg(&until).arg("-").arg("COUNT").arg(PAGE);
            let page = connection.req_packed_command(&cmd).await.and_then(Value::extract_error).map_err(unavailable)?;
            let page = array("XREVRANGE", page)?;
            let full = page.len() == PAGE;
            for entry in page {
                let Value::Array(entry) = entry else { continue };
                let [entry_id, Value::Array(fields)] = entry.as_slice() else { continue };
                until = format!("({}", text(entry_id));
                if let Some(Value::BulkString(blob)) = fields.get(1) {
                    let mut records = wire::records_of(blob, id);
                    records.reverse();
                    found.extend(records);
                }
            }
            if !full {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }
}

impl Queue for RedisQueue {
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

    fn inspect<'a>(&'a self, shard: &'a QueueName) -> BoxFuture<'a, Result<Snapshot>> {
        Box::pin(self.look(shard))
    }

    fn sample<'a>(&'a self, queue: &'a QueueName, n: usize) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        Box::pin(self.look_at_head(queue, n))
    }

    fn memory(&self) -> BoxFuture<'_, Result<Memory>> {
        Box::pin(self.ask_memory())
    }

    fn notices(&self) -> BoxFuture<'_, Result<BTreeMap<String, String>>> {
        Box::pin(self.board.read())
    }

    fn post<'a>(&'a self, key: &'a str, notice: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { board::post(&self.scripts, self.shared().await?, key, notice).await })
    }

    fn noticed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.board.changed())
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

/// A number that no other process has: the standard library's hasher keys are random per process and per call.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
