//! Backends with any number of nodes, and short ways to ask.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use homing_core::clock::{Clock, SystemClock};
use homing_core::live::{Announcement, Heard, Once, Position, Post, Posted, Stream};
use homing_core::wire_live::Message;
use homing_stores::live::embedded::EmbeddedLive;
use homing_stores::live::redis::RedisLive;
use homing_stores::live::{Ports, ScheduleSettings, Settings};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Hang guard of everything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A store of one test alone.
pub(crate) enum World {
    Redis { url: String, settings: Box<Settings> },
    Embedded { first: Arc<EmbeddedLive>, _dir: TempDir },
}

impl World {
    /// On this server.
    pub(crate) fn at(url: String, settings: Settings) -> Self {
        Self::Redis { url, settings: Box::new(settings) }
    }

    /// A further node.
    pub(crate) fn node(&self, name: &str) -> Ports {
        match self {
            Self::Redis { url, settings } => Ports::of(&RedisLive::new(url, settings, name).unwrap()),
            Self::Embedded { first, .. } => Ports::of(&first.another(name)),
        }
    }
}

/// Defaults with keys of one's own.
pub(crate) fn settings() -> Settings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("homing_lv_{}_{}:", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let schedule = ScheduleSettings { key: format!("{name}zset"), ..ScheduleSettings::default() };
    Settings { prefix: name, schedule, timeout: Duration::from_secs(5), ..Settings::default() }
}

pub(crate) fn redis_url() -> String {
    let hint = r#"run scripts/services start, and then: eval "$(scripts/services env)""#;
    std::env::var("HOMING_TEST_REDIS_URL").unwrap_or_else(|_| panic!("HOMING_TEST_REDIS_URL is not set; {hint}"))
}

pub(crate) fn redis(change: fn(&mut Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    World::at(redis_url(), settings)
}

pub(crate) fn embedded(change: fn(&mut Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir.path().join("live.db"), &settings);
    World::Embedded { first, _dir: dir }
}

pub(crate) fn open(path: &Path, settings: &Settings) -> Arc<EmbeddedLive> {
    EmbeddedLive::open(path, settings, "first", Arc::new(SystemClock::default())).unwrap()
}

/// Makes a test for each backend of `async fn name(world: World)`.
macro_rules! both {
    ($($name:ident $(with $change:expr)?;)*) => {
        mod on_redis {
            #[allow(unused_imports, reason = "for what changes settings")]
            use super::*;
            $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::support::redis(crate::support::changed!($($change)?))).await; }
        )* }
        mod on_sqlite {
            #[allow(unused_imports, reason = "for what changes settings")]
            use super::*;
            $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::support::embedded(crate::support::changed!($($change)?))).await; }
        )* }
    };
}
macro_rules! changed {
    () => {
        |_| {}
    };
    ($change:expr) => {
        $change
    };
}
pub(crate) use {both, changed};

pub(crate) fn user(name: &str) -> Stream {
    Stream::User(name.into())
}

pub(crate) fn group(name: &str) -> Stream {
    Stream::Group(name.into())
}

pub(crate) fn body(id: &str) -> Bytes {
    let text = serde_json::json!({"id": id, "type": "notify", "data": {"n": "小"}, "at": 5}).to_string();
    Message::decode(text.as_bytes()).unwrap().encode()
}

pub(crate) fn post(stream: &Stream, id: &str) -> Post {
    Post { stream: stream.clone(), id: id.into(), body: body(id), expires_at: None, once: Once::Id }
}

/// Posts these ids to a stream.
pub(crate) async fn fill(ports: &Ports, stream: &Stream, ids: impl IntoIterator<Item = String>) -> Vec<Posted> {
    let posts: Vec<_> = ids.into_iter().map(|id| post(stream, &id)).collect();
    ports.inbox.post(&posts).await.unwrap()
}

pub(crate) fn numbered(range: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = String> {
    range.map(|n| n.to_string())
}

/// The ids of what is unread, and whether there was more.
pub(crate) async fn unread(ports: &Ports, who: &str, stream: &Stream, limit: usize) -> (Vec<String>, bool) {
    let all = ports.inbox.unread(who, std::slice::from_ref(stream), limit).await.unwrap();
    let one = all.into_iter().next().unwrap();
    (one.messages.iter().map(|stored| stored.id.to_string()).collect(), one.truncated)
}

/// `recovered` and the offsets of what came after a position.
pub(crate) async fn after(ports: &Ports, stream: &Stream, at: Position, limit: usize) -> (bool, Position, Vec<u64>) {
    let all = ports.inbox.after(&[(stream.clone(), at)], limit).await.unwrap();
    let one = all.into_iter().next().unwrap();
    for stored in &one.messages {
        assert_eq!(stored.body, body(&stored.id));
    }
    (one.recovered, one.top, one.messages.iter().map(|stored| stored.offset).collect())
}

/// What is heard next.
pub(crate) async fn hear(ports: &Ports) -> Heard {
    timeout(SOON, ports.bus.hear()).await.expect("something is heard")
}

/// The next message that is heard: stream and offset.
pub(crate) async fn hear_message(ports: &Ports) -> (Stream, u64) {
    match hear(ports).await {
        Heard::Said(Announcement::Message { stream, at, .. }) => (stream, at.map_or(0, |at| at.offset)),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn now() -> i64 {
    SystemClock::default().now()
}

/// Waits until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let all = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, all).await.expect("it becomes so");
}

/// A redis-server of this test alone. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _dir: TempDir,
}

impl Server {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        // A port that was free a moment ago may be that of another test's server, which is away for a while.
        static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
        loop {
            let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
            if GIVEN.lock().unwrap().insert(port) {
                return Self::start_at(port, arguments).await;
            }
        }
    }

    pub(crate) async fn start_at(port: u16, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::var("HOMING_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(dir.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let server = Self { child, port, _dir: dir };
        until(|| async { TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A plain connection, as any producer has.
pub(crate) async fn foreign(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
