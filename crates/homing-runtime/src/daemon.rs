//! The life of a daemon: set up, be ready, be told to stop, finish what is in hand, leave.

use std::{
    collections::HashMap, error::Error as StdError, future::Future, net::SocketAddr, pin::pin, process::ExitCode,
    time::Duration,
};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    Health, Metrics, Result,
    admin::{self, Admin},
    health::Phase,
    logs,
    ready::{self, ReadyFile},
    signals::Signals,
    with_causes,
};

/// How long a stopping daemon waits for its tasks, unless it is told otherwise. systemd's TimeoutStopSec is to be longer.
pub const GRACE: Duration = Duration::from_secs(25);

/// How long tasks that were cut may take to unwind.
const UNWIND: Duration = Duration::from_secs(1);

type BoxError = Box<dyn StdError + Send + Sync>;

/// What every daemon can be told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Section `[log]`.
    pub log: logs::Settings,
    /// Section `[admin]`.
    pub admin: admin::Settings,
}

/// A running daemon. One per process, because log, metrics and signals are.
#[derive(Debug)]
pub struct Daemon {
    health: Health,
    metrics: Metrics,
    shutdown: CancellationToken,
    admin: SocketAddr,
    file: ReadyFile,
    tasks: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, String>,
    /// Admin port, signals, upkeep, systemd: they run for ever and hold nothing.
    background: JoinSet<()>,
}

/// How a daemon ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Done {
    /// The supervised tasks that ended with an error or a panic.
    pub failed: Vec<String>,
    /// The supervised tasks that were still at work when the grace was over.
    pub cut: Vec<String>,
}

// === impl Daemon ===

impl Daemon {
    /// Sets up log, TLS provider, metrics, signals and admin port, in this order, and tells systemd and the readiness file
    /// about the daemon's [`Health`] from then on.
    ///
    /// It is ready when every part is, and not before [`run_until_done`](Self::run_until_done) is called: parts that are
    /// added before that are waited for.
    pub async fn start(name: &str, settings: &Settings) -> Result<Self> {
        settings.admin.check()?;
        logs::init(&settings.log)?;
        // Whoever installed one before us decided it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let metrics = Metrics::install()?;
        let signals = Signals::install()?;
        let admin = Admin::bind(&settings.admin).await?;
        let address = admin.address;
        info!(name, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), admin = %address, "Starting.");

        let health = Health::new();
        let shutdown = CancellationToken::new();
        health.enter(Phase::Starting);
        let file = ReadyFile::from_env(address);
        let mut background = JoinSet::new();
        background.spawn(admin.serve(name.to_owned(), health.clone(), metrics.clone()));
        background.spawn(metrics.clone().upkeep());
        background.spawn(signals.obey(shutdown.clone(), file.clone()));
        background.spawn(ready::watchdog(health.clone()));
        background.spawn(ready::announce(health.clone(), file.clone()));
        Ok(Self {
            health,
            metrics,
            shutdown,
            admin: address,
            file,
            tasks: JoinSet::new(),
            names: HashMap::new(),
            background,
        })
    }

    /// Where parts report.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The process's metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Cancelled when the daemon is to stop: by SIGTERM, SIGINT, a task that died, or whoever cancels it.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// The address that the admin port listens on.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Starts a task that the daemon cannot do without. If it fails or panics, the daemon is no longer live, the others are
    /// asked to stop, and the process ends with a code other than 0. A task that ends well is simply done; when the last
    /// one is, so is the daemon.
    ///
    /// After [`shutdown`](Self::shutdown) it should finish what is in hand and return. Still at work at the end of the
    /// grace, it is dropped at its next await.
    pub fn supervise<E>(&mut self, name: impl Into<String>, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<BoxError> + 'static,
    {
        let handle = self.tasks.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name.into());
    }

    /// Declares the start over, waits for a reason to stop, and then at most `grace` for the supervised tasks (usually
    /// [`GRACE`]). Without tasks it waits for a signal.
    pub async fn run_until_done(mut self, grace: Duration) -> Done {
        self.health.enter(Phase::Running);
        let mut done = Done::default();
        let shutdown = self.shutdown.clone();
        let mut asked = pin!(shutdown.cancelled());
        loop {
            tokio::select! {
                () = &mut asked => break,
                Some(joined) = self.tasks.join_next_with_id() => {
                    self.settle(joined, &mut done);
                    if self.tasks.is_empty() {
                        self.shutdown.cancel();
                    }
                }
            }
        }
        self.health.enter(Phase::Stopping);
        ready::stopping(&format!("waiting for {}", self.running().join(", ")));
        let deadline = Instant::now() + grace;
        while let Ok(Some(joined)) = timeout_at(deadline, self.tasks.join_next_with_id()).await {
            self.settle(joined, &mut done);
        }
        if !self.tasks.is_empty() {
            done.cut = self.running();
            error!(tasks = done.cut.join(", "), ?grace, "Cut off: still at work at the end of the grace.");
            // A task that never awaits cannot be stopped from here; the process's end does it.
            let _unwound = timeout(UNWIND, self.tasks.shutdown()).await;
        }
        self.background.shutdown().await;
        self.file.remove();
        info!(clean = done.is_clean(), "Stopped.");
        done
    }

    /// The names of the tasks that are still at work.
    fn running(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.values().cloned().collect();
        names.sort_unstable();
        names
    }

    fn settle(&mut self, joined: Result<(Id, Result<(), BoxError>), JoinError>, done: &mut Done) {
        let (id, failure) = match joined {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(with_causes(error.as_ref()))),
            Err(error) => (error.id(), Some(panicked(error))),
        };
        let Some(task) = self.names.remove(&id) else { return };
        let Some(reason) = failure else {
            return info!(task, "A task is done.");
        };
        error!(task, reason, "A task died; the daemon stops.");
        done.failed.push(task.clone());
        self.health.bury(task, reason);
        self.shutdown.cancel();
    }
}

fn panicked(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => format!("panicked: {}", logs::panic_text(payload.as_ref())),
        Err(error) => error.to_string(),
    }
}

// === impl Done ===

impl Done {
    /// Nothing failed and nobody was cut.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.cut.is_empty()
    }
}

impl From<Done> for ExitCode {
    fn from(done: Done) -> Self {
        if done.is_clean() { Self::SUCCESS } else { Self::FAILURE }
    }
}

/// Runs a daemon's main on a runtime of one thread and leaves without waiting for blocking calls that hang, for which
/// `#[tokio::main]` would wait for ever.
pub fn block_on(main: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(main);
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            // There is no log yet.
            eprintln!("cannot start a runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
