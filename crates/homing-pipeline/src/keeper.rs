//! Holding a shard: take its lease, let the worker work, take it again when it was lost.

use std::time::Duration;

use futures_util::future::BoxFuture;
use homing_core::{
    queue::{self, QueueName, Shard},
    steps::Step,
};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::{ages::Ages, context::Context, meter};

/// A loop over one owned shard.
pub trait Worker: Send {
    /// The shard that it works.
    fn shard(&self) -> &QueueName;

    /// Works until the process stops (`Ok`: everything that was taken is committed or can be repeated) or the shard
    /// cannot be worked any more (`Err`). Dropping the future is a crash of the worker: safe, but work is repeated.
    fn work<'a>(&'a mut self, shard: &'a mut dyn Shard) -> BoxFuture<'a, queue::Result<()>>;
}

/// Keeps a worker at its shard until the process stops. While another process owns the shard this one stands by.
pub async fn keep(cx: &Context, worker: &mut dyn Worker) {
    let name = worker.shard().clone();
    let part = name.to_string();
    let mut wait = Duration::from_millis(50);
    // What it knows stays true while another owner works: a shard that is taken again keeps its ages.
    let mut ages = Ages::default();
    while !cx.stop.is_cancelled() {
        let pause = match cx.queue.acquire(&name).await {
            Ok(mut shard) => {
                wait = Duration::from_millis(50);
                cx.status.ready(&part);
                info!(queue = %name, epoch = shard.opened().epoch, "Took the shard.");
                meter::owned(&name, true);
                cx.notebook.compare(cx.clock.now(), &name, &cx.queue).await;
                cx.steps.at(Step::Taken);
                let ended = tokio::select! {
                    ended = worker.work(&mut *shard) => ended,
                    never = cx.notebook.keep(&cx.clock, &name, &cx.queue) => match never {},
                    never = ages.watch(&name, &cx.queue) => match never {},
                };
                meter::owned(&name, false);
                ages.fall_silent(&name);
                match ended {
                    Ok(()) => {
                        cx.steps.at(Step::Releasing);
                        if let Err(error) = shard.release().await {
                            warn!(queue = %name, %error, "The lease could not be given back; it runs out by itself.");
                        }
                        return;
                    }
                    Err(foreign @ queue::Error::Foreign { .. }) => {
                        // Going on would count items as worked that somebody else took. An operator must look.
                        error!(queue = %name, error = %foreign, "The shard is stopped. Stop the other consumer, then restart.");
                        cx.status.not_ready(&part, &foreign.to_string());
                        // The lease is kept, so that no other process goes on instead.
                        let waiting = tokio::select! {
                            waiting = cx.keeping(&mut *shard, cx.stop.cancelled()) => waiting,
                            never = ages.watch(&name, &cx.queue) => match never {},
                        };
                        if waiting.is_ok() {
                            shard.release().await.ok();
                        }
                        return;
                    }
                    Err(error) => {
                        warn!(queue = %name, %error, "Lost the shard; taking it again.");
                        Duration::from_millis(50)
                    }
                }
            }
            Err(queue::Error::Held { owner, left_ms, .. }) => {
                debug!(queue = %name, owner, left_ms, "Standing by.");
                cx.status.ready(&part);
                Duration::from_millis(left_ms.clamp(50, 1_000))
            }
            Err(error) => {
                cx.status.not_ready(&part, &error.to_string());
                wait = (wait * 2).min(Duration::from_secs(2));
                wait
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = cx.stop.cancelled() => {}
        }
    }
}
