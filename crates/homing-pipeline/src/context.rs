//! What every worker is given, and the one way to commit.

use std::{sync::Arc, time::Duration};

use homing_core::{
    clock::Clock,
    lookup::StoreDown,
    queue::{self, Commit, Queue, Shard},
    steps::Steps,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

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
}

/// Why a worker gave up a shard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue said so.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// A store is down and the process stops.
    #[error(transparent)]
    Store(#[from] StoreDown),
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

    /// Runs `work`, which may take long (a store is slow or down), and keeps the lease meanwhile.
    ///
    /// # Errors
    /// The lease is lost; `work` is dropped.
    pub async fn keeping<T>(&self, shard: &mut dyn Shard, work: impl Future<Output = T>) -> queue::Result<T> {
        tokio::pin!(work);
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

    /// Resolves when the process has been asked to stop and the grace is over.
    pub async fn given_up(&self) {
        self.stop.cancelled().await;
        sleep(self.grace).await;
    }
}
