//! A source, a seat and entry queues of one test, and scanners that can be killed.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use homing_core::{
    clock::{Clock, SystemClock},
    queue::Queue,
    steps::{Step, Steps},
};
use homing_pipeline::{
    context::{Brake, Cellar, Context, Status},
    keep,
    lane::Shards,
    notebook::Notebook,
    scanner::{Feed, From, Recipients, Scanner},
};
use homing_queue::redis::{Options, RedisQueue};
use homing_stores::StoresConfig;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{free_port, random, variable};

/// A generator whose seed is printed, so that a failure can be run again.
pub(crate) struct Dice {
    pub(crate) seed: u64,
    state: u64,
}

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("HOMING_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(random) | 1;
        Self { seed, state: seed }
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// What a test's source looks like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) what: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) collection: &'static str,
    pub(crate) overlap_seconds: i64,
    pub(crate) history: i64,
    pub(crate) recipients: Recipients,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            what: "replica set",
            kind: "date",
            collection: "chats",
            overlap_seconds: 4,
            history: 50,
            recipients: Recipients::GroupOwner,
        }
    }
}

pub(crate) struct Field {
    pub(crate) what: &'static str,
    pub(crate) feed: Feed,
    pub(crate) queue: Arc<RedisQueue>,
    /// The newest time of the history.
    pub(crate) time: i64,
    pub(crate) overlap: i64,
    shape: Shape,
    clock: Arc<SystemClock>,
    database: mongodb::Database,
    ids: AtomicU64,
    smaller: AtomicU64,
    key: String,
}

impl Field {
    pub(crate) async fn new(mongo_url: &str, shape: Shape) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let key = format!("homing_scan_{:016x}", random());
        let toml = format!(
            "[stores.im]\nkind = 'mongo'\nurl = '{mongo_url}'\n\
             [source.group]\nkind = 'mongo'\nstore = 'im'\ndatabase = '{key}'\ncollection = '{}'\n\
             cursor = {{ field = '{}', type = '{}', overlap = '{}s' }}\n\
             fields = {{ group = 'group_id', sender = 'user.user_id', to = 'to', seq = 'seq', body = 'data' }}",
            shape.collection,
            if shape.kind == "objectid" { "_id" } else { "createAt" },
            shape.kind,
            shape.overlap_seconds,
        );
        let loaded = homing_runtime::config::load::<StoresConfig>(
            homing_runtime::config::Sources::new().defaults("a test", toml.leak()),
        );
        let stores = homing_stores::build(&loaded.unwrap().value).unwrap();
        let options = Options { lease: Duration::from_secs(10), ..Options::default() };
        let queue = Arc::new(RedisQueue::new(&variable("HOMING_TEST_REDIS_URL"), options).unwrap());
        let database = mongodb::Client::with_uri_str(mongo_url).await.unwrap().database(&key);
        let overlap = shape.overlap_seconds * 1_000;
        let feed = Feed {
            source_name: "group".into(),
            seat: homing_core::queue::QueueName::new(format!("{key}:seat")),
            source: stores.source("group").unwrap(),
            entry: Shards::new(&format!("{key}:entry{{n}}"), 1, 3).unwrap(),
            high_water: 1_000_000,
            kind: "GROUP_CHAT".into(),
            recipients: shape.recipients,
            overlap,
            audit: 3_600_000,
        };
        // Whole seconds, some time ago: a source is not of today.
        let time = 1_790_000_000_000;
        let field = Self {
            what: shape.what,
            feed,
            queue,
            time,
            overlap,
            shape,
            clock: Arc::default(),
            database,
            ids: AtomicU64::new(1 << 40),
            smaller: AtomicU64::new(1 << 39),
            key,
        };
        if shape.kind == "objectid" {
            field.ids.store(0, Ordering::Relaxed);
        } else {
            let index = mongodb::IndexModel::builder().keys(doc! { "createAt": 1, "_id": 1 }).build();
            field.database.collection::<Document>("chats").create_index(index).await.unwrap();
        }
        if shape.history > 0 {
            let history = (1 - shape.history..=0).map(|n| field.chat(field.next_id(), time + n * 100)).collect();
            field.insert(history).await;
        }
        field
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Ids that grow.
    pub(crate) fn next_id(&self) -> ObjectId {
        numbered(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Ids that fall.
    pub(crate) fn smaller_id(&self) -> ObjectId {
        if self.shape.kind == "objectid" {
            return self.next_id();
        }
        numbered(self.smaller.fetch_sub(1, Ordering::Relaxed))
    }

    /// Where the order is the id itself, the id takes the time into itself.
    pub(crate) fn chat(&self, id: ObjectId, at: i64) -> Document {
        let id = self.id_at(id, at);
        let number = u64::from_be_bytes(id.bytes()[4..].try_into().unwrap());
        let mut chat = doc! {
            "_id": id, "group_id": i64::try_from(number % 17).unwrap(), "user": { "user_id": 42 }, "to": 43, "seq": 1,
            "data": "hello",
        };
        let seconds = at as f64 / 1_000.0;
        let at = match self.shape.kind {
            "date" => Bson::DateTime(DateTime::from_millis(at)),
            "millis" => Bson::Int64(at),
            "seconds" => Bson::Double(seconds),
            "string-seconds" => Bson::String(format!("{seconds:.3}")),
            _ => Bson::Null,
        };
        chat.insert("createAt", at);
        chat
    }

    fn id_at(&self, id: ObjectId, at: i64) -> ObjectId {
        if self.shape.kind != "objectid" {
            return id;
        }
        let mut bytes = id.bytes();
        bytes[..4].copy_from_slice(&u32::try_from(at / 1_000).unwrap().to_be_bytes());
        ObjectId::from_bytes(bytes)
    }

    pub(crate) async fn insert(&self, chats: Vec<Document>) {
        self.insert_into("chats", chats).await;
    }

    pub(crate) async fn insert_into(&self, collection: &str, chats: Vec<Document>) {
        self.database.collection(collection).insert_many(chats).await.unwrap();
    }

    /// The ids in the entry queues.
    pub(crate) async fn taken(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Event {
            id: String,
        }
        let mut ids = Vec::new();
        for queue in self.feed.entry.all() {
            for item in self.queue.sample(&queue, 10_000_000).await.unwrap() {
                ids.push(rmp_serde::from_slice::<Event>(&item).unwrap().id);
            }
        }
        ids
    }

    pub(crate) async fn until_taken(&self, n: usize) {
        crate::support::until(&format!("{n} chats are taken in"), async || self.taken().await.len() >= n).await;
        assert_eq!(self.taken().await.len(), n);
    }

    pub(crate) fn scanner(&self, from: From) -> Running {
        let (stop, steps) = (CancellationToken::new(), Arc::new(Death::default()));
        let cx = Context {
            queue: self.queue.clone(),
            clock: self.clock.clone(),
            steps: steps.clone(),
            status: Arc::new(Silent),
            stop: stop.clone(),
            grace: Duration::from_secs(1),
            renew: Duration::from_secs(2),
            brake: Arc::new(Brake::new(0.9)),
            cellar: Cellar { folder: None, bound: 0 },
            notebook: Notebook { folder: None },
        };
        let poll = Duration::from_millis(100);
        let mut scanner = Scanner { feed: self.feed.clone(), page: 100, poll, from, cx: cx.clone() };
        let task = tokio::spawn(async move { keep(&cx, &mut scanner).await });
        Running { task, stop, steps }
    }

    /// As an operator does it.
    pub(crate) async fn set_cursor(&self, cursor: &str) {
        let state = format!("{{{}}}:state", self.feed.seat);
        let mut redis = redis().await;
        let new: i64 =
            redis::cmd("HSET").arg(state).arg("put:cursor").arg(cursor).query_async(&mut redis).await.unwrap();
        assert_eq!(new, 0, "there was one");
    }

    pub(crate) async fn clear(&self) {
        self.database.drop().await.unwrap();
        let mut redis = redis().await;
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("*{}*", self.key)).query_async(&mut redis).await.unwrap();
        assert!(!keys.is_empty());
        let _: i64 = redis::cmd("DEL").arg(keys).query_async(&mut redis).await.unwrap();
    }
}

async fn redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(variable("HOMING_TEST_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

fn numbered(number: u64) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

/// A scanner at work.
pub(crate) struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
    steps: Arc<Death>,
}

impl Running {
    /// Waits until it has written down where it begins.
    pub(crate) async fn begun(&self, field: &Field) {
        let begun = async || {
            let values = field.queue.inspect(&field.feed.seat).await.unwrap().values;
            values.iter().any(|(name, _)| name == "cursor")
        };
        crate::support::until("the scanner begins", begun).await;
    }

    /// Ends it wherever it is.
    pub(crate) async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
    }

    /// Ends it at the n-th step from now on, or soon.
    pub(crate) async fn die_within(self, steps: u64) {
        self.steps.0.store(i64::try_from(steps).unwrap(), Ordering::Relaxed);
        for _ in 0..50 {
            if self.task.is_finished() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.kill().await;
    }

    /// Asks it to end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Ends the task at a step, with everything that it held.
struct Death(AtomicI64);

impl Default for Death {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

impl Steps for Death {
    fn at(&self, step: Step) {
        if self.0.load(Ordering::Relaxed) >= 0 && self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            // A panic without a message on the test's output.
            std::panic::resume_unwind(Box::new(step));
        }
    }
}

struct Silent;

impl Status for Silent {
    fn ready(&self, _: &str) {}
    fn not_ready(&self, _: &str, _: &str) {}
}

/// A mongod that is no replica set. Killed when dropped.
pub(crate) struct Mongod {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Mongod {
    pub(crate) async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = Command::new(variable("HOMING_TEST_MONGOD"))
            .arg("--dbpath")
            .arg(dir.path())
            .arg("--logpath")
            .arg(dir.path().join("mongod.log"))
            .args(["--port", &port.to_string(), "--bind_ip", "127.0.0.1", "--nounixsocket"])
            .args(["--wiredTigerCacheSizeGB", "0.25", "--networkMessageCompressors", "snappy,zstd"])
            .args(["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=8MB)"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
