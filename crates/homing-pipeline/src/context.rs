//! What every worker is given, and the one way to commit.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Clock,
    lookup::StoreDown,
    queue::{self, Commit, Queue, Shard},
    steps::Steps,
};
use tokio::{io::AsyncWriteExt, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::notebook::Notebook;

/// Where a worker says whether it can do its work; the daemon shows it at `/readyz` and logs each change once.
pub trait Status: Send + Sync {
    /// `part` works.
    fn ready(&self, part: &str);
    /// `part` does not work, for this reason. Nothing is lost: the worker waits and tries again.
    fn not_ready(&self, part: &str, why: &str);
}

/// Shared by the workers of a process.
#[derive(Clone)]
pub struct Context {
    /// The queues.
    pub queue: Arc<dyn Queue>,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Fault tests listen here.
    pub steps: Arc<dyn Steps>,
    /// See [`Status`].
    pub status: Arc<dyn Status>,
    /// Cancelled when the process is asked to stop: take nothing more, finish, commit, give back.
    pub stop: CancellationToken,
    /// How long after `stop` calls that are under way may take.
    pub grace: Duration,
    /// How often a lease is renewed: well below a third of its length.
    pub renew: Duration,
    /// See [`Brake`].
    pub brake: Arc<Brake>,
    /// See [`Cellar`].
    pub cellar: Cellar,
    /// See [`Notebook`].
    pub notebook: Notebook,
}

/// Holds back what makes the queue server fuller (scanners) at a mark below its limit. Distributors and senders go on: a
/// hand-over trims as much as it appends, and what is sent frees memory.
#[derive(Debug)]
pub struct Brake {
    mark: f64,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Brake {
    /// Holds from `mark` on, a share of the server's limit (0.9 = 90 %).
    pub fn new(mark: f64) -> Self {
        Self { mark, last: Mutex::default() }
    }

    /// Is the server too full? Asked at most once a second per process; no answer counts as "no".
    async fn holds(&self, queue: &dyn queue::Queue) -> bool {
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, held)) = known
            && at.elapsed() < Duration::from_secs(1)
        {
            return held;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let held = match queue.memory().await {
            Ok(memory) => memory.limit > 0 && memory.used as f64 >= memory.limit as f64 * self.mark,
            Err(_) => false,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), held));
        held
    }
}

/// Where dead letters go when a shard's dead list is at its bound: appended to `FOLDER/QUEUE.dead`, each after its
/// length (four bytes, the highest first). Nothing is ever thrown away.
#[derive(Clone, Debug)]
pub struct Cellar {
    /// The folder; without one the dead list grows.
    pub folder: Option<PathBuf>,
    /// The dead list's bound in letters.
    pub bound: u64,
}

impl Context {
    /// Commits until the answer is known: the same commit again while the server cannot be reached (it does not run
    /// twice), and while a destination is full (nothing was done).
    ///
    /// # Errors
    /// The lease is lost, the list was changed by somebody else, or the process stops while there is no answer.
    pub async fn commit(&self, shard: &mut dyn Shard, commit: &Commit) -> queue::Result<()> {
        let mut wait = Duration::from_millis(20);
        let part = shard.name().to_string();
        let mut troubled = false;
        loop {
            let error = match shard.commit(commit).await {
                Ok(()) => {
                    if troubled {
                        self.status.ready(&part);
                    }
                    return Ok(());
                }
                Err(error @ (queue::Error::Unavailable(_) | queue::Error::Full(_))) => error,
                Err(error) => return Err(error),
            };
            self.status.not_ready(&part, &error.to_string());
            troubled = true;
            tokio::select! {
                () = sleep(wait) => {}
                () = self.given_up() => return Err(error),
            }
            wait = (wait * 2).min(Duration::from_secs(1));
            if matches!(error, queue::Error::Full(_)) {
                match shard.renew().await {
                    Ok(()) | Err(queue::Error::Unavailable(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Waits while the queue server is too full for what grows. `false` when the process stops first.
    ///
    /// # Errors
    /// The lease is lost.
    pub async fn room(&self, shard: &mut dyn Shard) -> queue::Result<bool> {
        const PART: &str = "queue server's memory";
        let mut held = false;
        while self.brake.holds(&*self.queue).await {
            held = true;
            self.status.not_ready(PART, "too full: the scanners wait");
            let pause = async {
                tokio::select! {
                    () = sleep(Duration::from_secs(1)) => {}
                    () = self.stop.cancelled() => {}
                }
            };
            self.keeping(shard, pause).await?;
            if self.stop.is_cancelled() {
                return Ok(false);
            }
        }
        if held {
            self.status.ready(PART);
        }
        Ok(true)
    }

    /// Moves the oldest dead letters to the cellar while the dead list is over its bound. A crash in between leaves
    /// some of them in both places.
    ///
    /// # Errors
    /// The lease is lost, or the queue server is unavailable.
    pub async fn spill(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        let Some(folder) = &self.cellar.folder else { return Ok(()) };
        let file = folder.join(format!("{}.dead", shard.name().as_str().replace('/', "_")));
        loop {
            let dead = self.queue.inspect(shard.name()).await?.dead;
            let Some(over) = dead.checked_sub(self.cellar.bound).filter(|over| *over > 0) else { return Ok(()) };
            let letters = shard.dead(usize::try_from(over.min(1_000)).unwrap_or(1_000)).await?;
            if let Err(error) = store(&file, &letters).await {
                warn!(queue = %shard.name(), file = %file.display(), %error, "Dead letters cannot be spilled; they stay in the list.");
                return Ok(());
            }
            let mut commit = Commit { unbury: letters.len() as u64, ..Commit::default() };
            commit.counts.add("items.unburied", i64::try_from(letters.len()).unwrap_or(i64::MAX));
            self.commit(shard, &commit).await?;
            warn!(queue = %shard.name(), file = %file.display(), letters = letters.len(), "Spilled dead letters: the dead list is at its bound.");
        }
    }

    /// Runs `work`, which may take long (a store is slow or down), and keeps the lease meanwhile.
    ///
    /// # Errors
    /// The lease is lost; `work` is dropped.
    pub async fn keeping<T>(&self, shard: &mut dyn Shard, work: impl Future<Output = T>) -> queue::Result<T> {
        tokio::pin!(work);
        // Many short waits in a row must renew as one long one does.
        self.renew_if_due(shard).await?;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep(self.renew) => match shard.renew().await {
                    Ok(()) | Err(queue::Error::Unavailable(_)) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Asks a store again and again until it answers, keeping the lease, so that an outage becomes neither silence nor
    /// spam. `part` is what waits, for readiness. `None` when the process stops first.
    ///
    /// # Errors
    /// The lease is lost.
    pub(crate) async fn until_answered<'b, T>(
        &self,
        shard: &mut dyn Shard,
        part: &str,
        ask: impl Fn() -> BoxFuture<'b, Result<T, StoreDown>>,
    ) -> queue::Result<Option<T>> {
        let mut wait = Duration::from_millis(100);
        while !self.stop.is_cancelled() {
            match self.keeping(shard, ask()).await? {
                Ok(answer) => {
                    self.status.ready(part);
                    return Ok(Some(answer));
                }
                Err(down) => self.status.not_ready(part, &describe(&down)),
            }
            let pause = async {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = self.stop.cancelled() => {}
                }
            };
            self.keeping(shard, pause).await?;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
        Ok(None)
    }

    /// Renews the lease when it has less than two rounds left.
    ///
    /// # Errors
    /// The lease is lost.
    pub(crate) async fn renew_if_due(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        if shard.deadline().saturating_duration_since(Instant::now()) >= 2 * self.renew {
            return Ok(());
        }
        match shard.renew().await {
            Ok(()) | Err(queue::Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Resolves when the process has been asked to stop and the grace is over.
    pub async fn given_up(&self) {
        self.stop.cancelled().await;
        sleep(self.grace).await;
    }
}

/// An error and its causes in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Appends the letters and makes sure that they are on disk.
async fn store(file: &Path, letters: &[Bytes]) -> std::io::Result<()> {
    let mut block = Vec::new();
    for letter in letters {
        let length = u32::try_from(letter.len()).map_err(std::io::Error::other)?;
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(letter);
    }
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(file).await?;
    file.write_all(&block).await?;
    file.sync_all().await
}
