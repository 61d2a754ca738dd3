//! SIGTERM and SIGINT: the first asks, the second does not.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Error, Result, ready::ReadyFile};

/// Exit code of a daemon that was told twice.
const TOLD_TWICE: i32 = 130;

/// The handlers, in place from the moment that this exists.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub(crate) fn install() -> Result<Self> {
        let term = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let int = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        Ok(Self { term, int })
    }

    /// Cancels `shutdown` at the first signal and ends the process at the second.
    pub(crate) async fn obey(mut self, shutdown: CancellationToken, file: ReadyFile) {
        let signal = self.next().await;
        info!(signal, "Stopping: finishing what is in hand. A second signal ends the process at once.");
        shutdown.cancel();
        let signal = self.next().await;
        warn!(signal, "Ending at once.");
        file.remove();
        std::process::exit(TOLD_TWICE);
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
