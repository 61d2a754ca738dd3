//! The body of every worker daemon: load, wire, keep the workers at their shards, drain.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args;
use futures_util::future::BoxFuture;
use homing_core::clock::{Clock, SystemClock};
use homing_pipeline::{
    Worker,
    context::{Brake, Cellar, Context, Status},
    keep,
    notebook::Notebook,
};
use homing_runtime::{Daemon, GRACE, Health, Part, Settings, block_on};
use homing_stores::Stores;

use crate::{
    config::Config,
    die, live,
    wiring::{self, Kit, Scope},
};

/// Arguments that every daemon takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Configuration file; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Where health, readiness and metrics listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<std::net::SocketAddr>,
}

/// A queue server that has not answered within this time is said to be away.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// The process that has every worker.
pub const ALL: &str = "homing";
/// The process that only looks.
pub const OBSERVE: &str = "homing-observe";
const ONE_PROCESS: &str = "live: without a Redis it lives in one process: run `homing up`, or name a live.url";

/// Makes the workers of a daemon.
pub type Wire = dyn Fn(&Config, &Stores, &Kit) -> anyhow::Result<Vec<Box<dyn Worker>>>;

/// Work of a daemon that owns no shard: a listener, a look. It ends when the context's `stop` says so.
pub type Extra = dyn FnOnce(Arc<Config>, Arc<Stores>, Kit) -> BoxFuture<'static, anyhow::Result<()>>;

/// Runs a daemon until it is told to stop. A configuration that cannot be used ends it with 64 before anything is
/// opened.
pub fn run(name: &str, common: &Common, wire: &Wire, extra: Option<Box<Extra>>) -> ExitCode {
    let mut config = match Config::load(&common.config) {
        Ok(config) => config,
        Err(error) => return refuse(name, &error),
    };
    if let Some(admin) = common.admin {
        config.admin.listen = admin;
    }
    block_on(async {
        let settings = Settings { log: config.log.clone(), admin: config.admin.clone() };
        let mut daemon = match Daemon::start(name, &settings).await {
            Ok(daemon) => daemon,
            Err(error) => return refuse(name, &error.into()),
        };
        let cx = match context(&config, &daemon) {
            Ok(cx) => cx,
            Err(error) => return refuse(name, &config.place(error)),
        };
        let stores = match homing_stores::build(&config.stores()) {
            Ok(stores) => stores,
            Err(error) => return refuse(name, &config.place(error.into())),
        };
        let live = match live::open(&config, &live::node_name(&config), &cx.clock) {
            Ok(Some(_)) if ![ALL, OBSERVE].contains(&name) && live::is_embedded(&config) => {
                return refuse(name, &config.place(anyhow::anyhow!(ONE_PROCESS)));
            }
            Ok(live) => live,
            Err(error) => return refuse(name, &config.place(error)),
        };
        let kit = Kit { metrics: Some(daemon.metrics()), ..Kit::start(cx, live) };
        match wire(&config, &stores, &kit) {
            Ok(workers) if workers.is_empty() && extra.is_none() => {
                refuse(name, &anyhow::anyhow!("nothing to do: no shard is configured for it"))
            }
            Ok(workers) => {
                for worker in workers {
                    employ(&mut daemon, &kit, worker);
                }
                if let Some(extra) = extra {
                    let work = extra(Arc::new(config), Arc::new(stores), kit);
                    daemon.supervise("service", async move { work.await.map_err(|e| format!("{e:#}")) });
                }
                let done = daemon.run_until_done(GRACE).await;
                if done.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => refuse(name, &config.place(error)),
        }
    })
}

/// Keeps a worker at its shard as a supervised task of the daemon, from the board's first look on: a migration that is
/// not known of would count as off, a pause as over.
pub fn employ(daemon: &mut Daemon, kit: &Kit, mut worker: Box<dyn Worker>) {
    let (cx, board, name) = (kit.cx.clone(), Arc::clone(&kit.board), worker.shard().to_string());
    // Known from the start, so that the daemon is not ready before the shard was taken or is known to be another's.
    daemon.health().part(name.clone());
    let part = name.clone();
    daemon.supervise(name, async move {
        let looked = async {
            if tokio::time::timeout(FIRST_LOOK, board.first_look()).await.is_err() {
                cx.status.not_ready(&part, "the queue server is unavailable: its notice board was not read yet");
                board.first_look().await;
            }
        };
        tokio::select! {
            () = looked => keep(&cx, &mut *worker).await,
            () = cx.stop.cancelled() => {}
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

/// What the workers of this process share.
///
/// # Errors
/// The queue's URL or `HOMING_DIE_AT` cannot be used.
pub fn context(config: &Config, daemon: &Daemon) -> anyhow::Result<Context> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    Ok(Context {
        queue: wiring::queue(config)?,
        clock,
        steps: die::from_env()?,
        status: Arc::new(Parts { health: daemon.health().clone(), parts: Mutex::default() }),
        stop: daemon.shutdown(),
        // Shorter than the daemon's own, so that the last commit still happens.
        grace: GRACE.saturating_sub(Duration::from_secs(5)),
        renew: config.redis.lease / 5,
        brake: Arc::new(Brake::new(config.redis.brake)),
        cellar: Cellar { folder: config.redis.dead_folder.clone(), bound: config.redis.dead },
        notebook: Notebook { folder: config.redis.state_folder.clone() },
    })
}

fn refuse(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {error:#}");
    ExitCode::from(64)
}

/// The workers' status as parts of the daemon's health.
struct Parts {
    health: Health,
    parts: Mutex<HashMap<String, Part>>,
}

impl Parts {
    fn with(&self, name: &str, tell: impl FnOnce(&Part)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        match parts.get(name) {
            Some(part) => tell(part),
            None => {
                let part = self.health.part(name.to_owned());
                tell(&part);
                parts.insert(name.to_owned(), part);
            }
        }
    }
}

impl Status for Parts {
    fn ready(&self, part: &str) {
        self.with(part, Part::ready);
    }

    fn not_ready(&self, part: &str, why: &str) {
        self.with(part, |p| p.not_ready(why));
    }
}

/// Arguments of daemons that serve shards.
#[derive(Args, Clone, Debug)]
pub struct ShardArgs {
    /// Only this lane; all by default.
    #[arg(long)]
    pub lane: Option<String>,
    /// Only the shards with these numbers: `3` or `1-4`; all by default.
    #[arg(long, value_parser = range)]
    pub shards: Option<(u32, u32)>,
}

impl ShardArgs {
    /// As the wiring takes it.
    pub fn scope(&self) -> Scope {
        Scope { lane: self.lane.clone(), shards: self.shards, channel: None }
    }
}

fn range(text: &str) -> Result<(u32, u32), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok((from, to)),
        _ => Err(format!("`{text}` is neither a number nor a range such as 1-4")),
    }
}
