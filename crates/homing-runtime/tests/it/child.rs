//! A daemon as a process of its own: this test binary, started again with its orders in the environment. Signals, exit codes
//! and NOTIFY_SOCKET cannot be tried inside the process that runs the tests.

use std::{env, fs, io, path::PathBuf, process::Stdio, time::Duration};

use homing_runtime::{Daemon, Done, Metric, Metrics, Settings, admin, block_on, logs};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixDatagram},
    process::{Child, Command},
    time::{sleep, timeout},
};

const ORDERS: &str = "HOMING_TEST_ORDERS";
const PATIENCE: Duration = Duration::from_secs(20);

// === in the child ===

/// Not a test of its own: the daemon that the others start.
#[test]
fn child() {
    let Ok(orders) = env::var(ORDERS) else { return };
    let mut done = None;
    let _code = block_on(async {
        done = Some(live(&orders).await);
        0.into()
    });
    std::process::exit(if done.unwrap().is_clean() { 0 } else { 1 });
}

async fn live(orders: &str) -> Done {
    let log = logs::Settings { format: logs::Format::Json, ..logs::Settings::default() };
    let mut daemon = Daemon::start("homing-test", &Settings { log, admin: admin::Settings::default() }).await.unwrap();
    metrics::counter!(Metric::CommitsTotal.name(), "queue" => "message_queue_1").increment(3);
    let shutdown = daemon.shutdown();
    let mut grace = PATIENCE;
    match orders {
        "polite" => daemon.supervise("worker", async move {
            shutdown.cancelled().await;
            allowed().await;
            Ok::<_, io::Error>(())
        }),
        "deaf" => daemon.supervise("worker", std::future::pending::<io::Result<()>>()),
        "deaf, short grace" => {
            grace = Duration::from_millis(100);
            daemon.supervise("worker", std::future::pending::<io::Result<()>>());
        }
        "panic" => {
            daemon.supervise("other", async {
                allowed().await;
                Ok::<_, io::Error>(())
            });
            daemon.supervise::<io::Error>("worker", async { panic!("out of ideas") });
        }
        "fail" => daemon
            .supervise("worker", async { Err(io::Error::other(homing_runtime::parse_duration("soon").unwrap_err())) }),
        "done" => daemon.supervise("worker", async { Ok::<_, io::Error>(()) }),
        "no tasks" => {}
        "hang" => {
            let (tx, rx) = std::sync::mpsc::channel::<()>();
            std::mem::forget(tx);
            tokio::task::spawn_blocking(move || rx.recv());
            daemon.supervise("worker", async { Ok::<_, io::Error>(()) });
        }
        "twice" => {
            assert_eq!(logs::init(&logs::Settings::default()).unwrap_err().to_string(), "the log is set up already");
            assert_eq!(Metrics::install().unwrap_err().to_string(), "metrics are set up already");
            assert!(rustls::crypto::CryptoProvider::get_default().is_some());
            shutdown.cancel();
        }
        part => {
            let part = daemon.health().part(part);
            for attempt in ["timed out", "timed out", "connection refused"] {
                part.not_ready(attempt);
            }
            daemon.supervise("worker", async move {
                allowed().await;
                part.ready();
                part.ready();
                shutdown.cancelled().await;
                Ok::<_, io::Error>(())
            });
        }
    }
    daemon.run_until_done(grace).await
}

/// Waits for [`Process::allow`].
async fn allowed() {
    let file = PathBuf::from(env::var("HOMING_READY_FILE").unwrap()).with_extension("go");
    while !file.exists() {
        sleep(Duration::from_millis(5)).await;
    }
}

// === in the test ===

/// A running daemon, systemd's end of its socket, and what it leaves in a folder.
pub(crate) struct Process {
    pub(crate) dir: TempDir,
    child: Child,
    socket: UnixDatagram,
    notices: Vec<String>,
}

impl Process {
    /// `orders` are the arms of [`live`].
    pub(crate) fn start(orders: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child::child", "--nocapture"])
            .env_clear()
            .env(ORDERS, orders)
            .env("NOTIFY_SOCKET", dir.path().join("notify"))
            .env("WATCHDOG_USEC", "100000")
            .env("HOMING_READY_FILE", dir.path().join("ready"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { dir, child, socket, notices: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits until systemd would have read this line.
    #[track_caller]
    pub(crate) fn notified(&mut self, line: &str) -> impl Future<Output = ()> {
        timed(format!("notice {line:?}"), async move {
            while !self.notices.iter().any(|notice| notice == line) {
                let mut buffer = [0; 4096];
                let n = self.socket.recv(&mut buffer).await.unwrap();
                self.notices.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned));
            }
        })
    }

    /// What systemd was told since this was last asked.
    pub(crate) fn take_notices(&mut self) -> Vec<String> {
        let mut buffer = [0; 4096];
        while let Ok(n) = self.socket.try_recv(&mut buffer) {
            self.notices.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned));
        }
        std::mem::take(&mut self.notices)
    }

    /// Lets the child go on where it waits to be looked at.
    pub(crate) fn allow(&self) {
        fs::write(self.dir.path().join("ready.go"), "").unwrap();
    }

    /// The readiness file, or nothing while there is none.
    pub(crate) fn ready_file(&self) -> Option<serde_json::Value> {
        let text = fs::read_to_string(self.dir.path().join("ready")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// The address of the admin port, which the log names at the start.
    pub(crate) async fn admin(&self) -> String {
        let line = self.logged("Starting.").await;
        line["admin"].as_str().unwrap().to_owned()
    }

    /// The lines of the log so far. All of them are JSON.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// Waits for a line of the log.
    #[track_caller]
    pub(crate) fn logged(&self, message: &str) -> impl Future<Output = serde_json::Value> {
        timed(format!("log {message:?}"), async move {
            loop {
                if let Some(line) = self.log().into_iter().find(|line| line["message"] == *message) {
                    return line;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
    }

    /// Sends a signal by the shell's own `kill`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status().await.unwrap();
        assert!(kill.success());
    }

    /// The exit code.
    #[track_caller]
    pub(crate) fn code(&mut self) -> impl Future<Output = Option<i32>> {
        timed("the end", async move { self.child.wait().await.unwrap().code() })
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin().await).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        timed("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

#[track_caller]
fn timed<T>(what: impl Into<String>, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    let what = what.into();
    async move {
        match timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("waited in vain for {what} at {place}"),
        }
    }
}
