//! All clients.

use std::{io, pin::pin, sync::Arc, time::Duration};

use homing_core::event::Kind;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{Options, connection, job::Conventions, meter, seldom::Seldom};
use crate::{
    Intake,
    error::{Error, Result},
};

/// Pause when no connection can be taken: there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of events that wait for their queues, of all clients, in KiB.
const WAITING: usize = 64 << 10;

/// The agent: what all connections share.
pub struct Agent {
    pub(super) intake: Arc<Intake>,
    pub(super) options: Options,
    pub(super) conventions: Conventions,
    pub(super) seldom: Seldom,
    room: Arc<Semaphore>,
}

impl Agent {
    /// An agent over an intake.
    ///
    /// # Errors
    /// The options do not fit together, or with the intake's lanes and types.
    pub fn new(intake: Arc<Intake>, options: Options) -> Result<Self> {
        options.check()?;
        let wrong = |field, what: String| Error::Agent { field, what };
        if intake.lane(&options.lane).is_none() {
            return Err(wrong("lane", format!("there is no lane {}", options.lane)));
        }
        let kinds = options.types.iter().map(|rule| ("types", &rule.event));
        for (field, kind) in kinds.chain([("default_type", &options.default_type)]) {
            let kind = Kind::Name(kind.clone());
            intake.knows(&options.lane, &kind).map_err(|invalid| wrong(field, invalid.what))?;
        }
        let room = Arc::new(Semaphore::new(WAITING));
        Ok(Self { intake, options, conventions: Conventions::default(), seldom: Seldom::default(), room })
    }

    /// Its settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Room for events that wait for their queue; `None` cannot happen, as the semaphore is never closed.
    pub(super) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1_024).clamp(1, WAITING)).unwrap_or(1);
        Arc::clone(&self.room).acquire_many_owned(kib).await.ok()
    }
}

/// Serves until `stop` completes; frames that were read are appended and answered.
///
/// # Errors
/// None so far: a listener that fails is tried again.
pub async fn serve(listener: TcpListener, agent: Arc<Agent>, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
    let (seats, stopping) =
        (Arc::new(Semaphore::new(agent.options.connections.min(Semaphore::MAX_PERMITS))), CancellationToken::new());
    let tasks = TaskTracker::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "Cannot take a connection.");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Its clients stay for good, so one that is too many would wait in vain; closed, it says so in its own log.
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            if let Some(hidden) = agent.seldom.may() {
                let most = agent.options.connections;
                warn!(%peer, most, hidden, "Closes a connection: there are as many as agent.connections allows.");
            }
            continue;
        };
        let (agent, stopping) = (Arc::clone(&agent), stopping.clone());
        tasks.spawn(async move {
            meter::connections(1.0);
            connection::run(&agent, stream, peer, &stopping).await;
            meter::connections(-1.0);
            drop(seat);
        });
    }
    drop(listener);
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}
