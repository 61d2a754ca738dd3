//! Listens to one source until told to stop.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    amqp,
    intake::Intake,
    redis,
    settings::{Emitter, Kind},
    sink::{Health, Sink},
};

/// Waits between two tries to connect.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Listens to `emitter`, the source of this number, as `node` (a name that stays the same when the node restarts). Ends
/// when `stop` says so, and only then: what is away is tried again. What was heard and not handed on when it ends is lost
/// on pub/sub, and comes again from queues.
pub async fn run(
    source: usize,
    emitter: Emitter,
    node: &str,
    sink: Arc<dyn Sink>,
    health: Arc<dyn Health>,
    stop: CancellationToken,
) {
    let (kind, durable) = (emitter.kind, emitter.durable);
    let intake = Intake::new(source, emitter, sink, health);
    match kind {
        Kind::PythonAmqp if durable => {
            tokio::join!(
                amqp::listen(&intake, node, amqp::Part::Node, &stop),
                amqp::listen(&intake, node, amqp::Part::Inbox, &stop)
            );
        }
        Kind::PythonAmqp => amqp::listen(&intake, node, amqp::Part::Node, &stop).await,
        Kind::NodeStreams => redis::streams(&intake, &stop).await,
        _ => redis::listen(&intake, &stop).await,
    }
}

/// The wait before the next try.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(SHORTEST)
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.0 = SHORTEST;
    }

    /// Waits, longer each time; false = `stop` came first.
    pub(super) async fn pause(&mut self, stop: &CancellationToken) -> bool {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST);
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}
