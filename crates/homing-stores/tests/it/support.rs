//! Servers, names of one's own, and short ways to ask.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use homing_core::lookup::{Lookup, Row, StoreDown};
use homing_stores::{Stores, StoresConfig, build};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// A variable of `scripts/services env`. Without it a test fails: it must not seem to have run.
#[track_caller]
pub(crate) fn variable(name: &str) -> String {
    let hint = r#"run scripts/services start, and then: eval "$(scripts/services env)""#;
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; {hint}"))
}

/// A prefix, table or database of this test alone.
pub(crate) fn unique(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("homing_st_{}_{}_{test}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[track_caller]
pub(crate) fn stores(toml: &str) -> Stores {
    let config: StoresConfig = toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    build(&config).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

/// The message of a configuration that is refused.
#[track_caller]
pub(crate) fn refused(toml: &str) -> String {
    match toml::from_str::<StoresConfig>(toml) {
        Err(error) => error.to_string(),
        Ok(config) => build(&config).err().unwrap_or_else(|| panic!("this was taken:\n{toml}")).to_string(),
    }
}

/// Rows as text: `a=1 b=2`, several parted by `; `, none as `-`.
pub(crate) fn show(rows: &[Row]) -> String {
    let row = |row: &Row| row.iter().map(|(column, text)| format!("{column}={text}")).collect::<Vec<_>>().join(" ");
    if rows.is_empty() { "-".to_owned() } else { rows.iter().map(row).collect::<Vec<_>>().join("; ") }
}

pub(crate) async fn ask(lookup: &dyn Lookup, ids: &[&str]) -> Vec<String> {
    let rows = lookup.rows(ids).await.unwrap_or_else(|down| panic!("{down}"));
    rows.iter().map(|rows| show(rows)).collect()
}

/// The whole story of an outage.
pub(crate) fn story(down: &StoreDown) -> String {
    let mut text = down.to_string();
    let mut source = std::error::Error::source(down);
    while let Some(error) = source {
        text = format!("{text} | {error}");
        source = error.source();
    }
    format!("{text} | {down:?}")
}

/// A server of this test alone. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _dir: TempDir,
}

impl Server {
    /// redis-server, on this port if one is given.
    pub(crate) async fn redis(port: Option<u16>, arguments: &[&str]) -> Self {
        let port = match port {
            Some(port) => port,
            None => TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port(),
        };
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
        server.listens().await;
        server
    }

    /// mongod, standalone.
    pub(crate) async fn mongod() -> Self {
        let program = variable("HOMING_TEST_MONGOD");
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("mongod.log");
        let child = Command::new(program)
            .arg("--dbpath")
            .arg(dir.path())
            .arg("--logpath")
            .arg(&log)
            .args(["--port", "0", "--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"])
            .args(["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=8MB)"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            .args(["--networkMessageCompressors", "snappy,zstd"])
            .stdout(Stdio::null())
            .spawn()
            .expect("mongod starts");
        let mut server = Self { child, port: 0, _dir: dir };
        server.port = eventually(|| port_of(&log)).await;
        server
    }

    async fn listens(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody listens on {}", self.port);
    }

    /// STOP or CONT, to our own child only.
    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn port_of(log: &Path) -> Option<u16> {
    let text = fs::read_to_string(PathBuf::from(log)).ok()?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ready = lines.into_iter().find(|line| line["id"] == 23016)?;
    u16::try_from(ready["attr"]["port"].as_u64()?).ok()
}

/// Waits up to 20 s for an answer.
pub(crate) async fn eventually<T>(mut answer: impl FnMut() -> Option<T>) -> T {
    for _ in 0..800 {
        if let Some(found) = answer() {
            return found;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("this did not happen within 20 s");
}

/// A way to a server that can be interrupted without a word, as a firewall does it.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// Connections numbered below this one stand still.
    still: Arc<watch::Sender<u64>>,
    accepted: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn to(host: &str, server: u16) -> Self {
        let (listener, port) = silence().await;
        let (still, accepted) = (Arc::new(watch::Sender::new(0)), Arc::new(AtomicU64::new(0)));
        let proxy = Self { port, still: Arc::clone(&still), accepted: Arc::clone(&accepted) };
        let host = host.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = accepted.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect((host.as_str(), server)).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, number, still.subscribe()));
                tokio::spawn(pass(from_server, to_client, number, still.subscribe()));
            }
        });
        proxy
    }

    /// Nothing moves any more, on no connection.
    pub(crate) fn stall(&self) {
        self.still.send_replace(u64::MAX);
    }

    /// All goes on.
    pub(crate) fn resume(&self) {
        self.still.send_replace(0);
    }

    /// The connections there are stand still for ever; new ones are well.
    pub(crate) fn lose(&self) {
        self.still.send_replace(self.accepted.load(Ordering::Relaxed));
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, mut still: watch::Receiver<u64>) {
    let mut buffer = vec![0; 16_384];
    while let Ok(n) = from.read(&mut buffer).await {
        if still.wait_for(|still| number >= *still).await.is_err() {
            return;
        }
        if n == 0 || to.write_all(buffer.get(..n).unwrap()).await.is_err() {
            return;
        }
    }
}

/// A port that takes connections and never says a word. Keep the listener.
pub(crate) async fn silence() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
