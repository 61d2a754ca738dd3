//! The distributor: entry queue → audience → rules → address → delivery queue.
//!
//! It works a batch at a time: [`intake`] reads the items, [`decide`] looks up what all of them need in one round trip
//! per lookup and decides, and one commit hands the notifications over, so that this hop is exactly-once.

mod decide;
mod intake;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use homing_codec::Codec;
use homing_core::{
    catalogue::Catalogue,
    event::Map,
    lookup::Lookup,
    queue::{self, Commit, Log, QueueName, Seq, Shard},
    rules::Rule,
    steps::Step,
    window::{Limits, Window},
};
use tokio::time::sleep;

use crate::{context::Context, keeper::Worker, lane::Shards, meter, scanner::describe};

/// What a lane's distributors know; shared by its shards.
pub struct Lane {
    /// Name of the lane.
    pub name: String,
    /// How entry items are encoded.
    pub codec: Codec,
    /// Where producers keep the fields.
    pub map: Map,
    /// The types of events.
    pub catalogue: Arc<Catalogue>,
    /// In their order.
    pub rules: Vec<Arc<dyn Rule>>,
    /// The lookups that the rules read, each once.
    pub facts: Vec<Arc<dyn Lookup>>,
    /// Group → its owner (column `user_id` or `value`). `None` where the lane has no groups.
    pub owners: Option<Arc<dyn Lookup>>,
    /// User → devices (columns `token`, `platform`, `app`).
    pub tokens: Arc<dyn Lookup>,
    /// The delivery queues.
    pub delivery: Shards,
    /// Name of their channel, for records.
    pub channel: String,
    /// Bound of a delivery queue in items.
    pub high_water: u64,
    /// Most items per batch.
    pub batch: usize,
}

/// The worker of one entry shard.
pub struct Distributor {
    /// The entry shard.
    pub queue: QueueName,
    /// Its lane.
    pub lane: Arc<Lane>,
    /// Shared.
    pub cx: Context,
}

impl Worker for Distributor {
    fn shard(&self) -> &QueueName {
        &self.queue
    }

    fn work<'a>(&'a mut self, shard: &'a mut dyn Shard) -> BoxFuture<'a, queue::Result<()>> {
        Box::pin(self.distribute(shard))
    }
}

/// An item in hand: which window, and where.
type Place = (usize, Seq);

impl Distributor {
    async fn distribute(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        let opened = shard.opened().clone();
        let mut windows: Vec<Window> =
            opened.logs.iter().filter(|l| l.log == Log::MAIN || l.log == Log::RETRY).map(Window::open).collect();
        // What is due is not kept behind a backlog.
        windows.sort_by_key(|w| *w.log() == Log::MAIN);
        let wake = shard.wake();
        let mut next_due = opened.next_due;
        let mut retry_has_items = true;
        // Peeked and not worked yet.
        let mut places: Vec<Place> = Vec::new();
        // Something at the head kills its owners: one item at a time shows which it is.
        let mut careful = opened.suspicion >= intake::CAREFUL;
        let mut guilty = opened.suspicion >= intake::GUILTY;
        while !self.cx.stop.is_cancelled() {
            if next_due.is_some_and(|due| due <= self.cx.clock.now()) {
                let promoted = self.promote(shard).await?;
                next_due = promoted.next_due;
                retry_has_items |= promoted.moved > 0;
            }
            let limits = Limits { items: if careful { 1 } else { self.lane.batch }, bytes: 4 << 20 };
            for (i, window) in windows.iter_mut().enumerate() {
                // What a batch of many recipients left over comes first, then what is due, then what is new.
                if !places.is_empty() {
                    break;
                }
                if *window.log() == Log::RETRY && !retry_has_items {
                    continue;
                }
                let Some(budget) = window.room(limits) else { continue };
                let items = shard.peek(window.log(), window.next(), budget).await?;
                if *window.log() == Log::RETRY {
                    retry_has_items = !items.is_empty();
                }
                places.extend(window.accept(items).into_iter().map(|seq| (i, seq)));
            }
            if places.is_empty() && windows.iter().all(|w| w.advance().is_none()) {
                self.wait(shard, &wake, next_due).await?;
                continue;
            }
            self.cx.steps.at(Step::Peeked);
            let batch = intake::read(&self.lane, &opened, &self.queue, &windows, &places, guilty, self.cx.clock.now());
            let taken = batch.items();
            let Some(mut commit) = self.until_decided(shard, batch).await? else { return Ok(()) };
            for (i, seq) in places.drain(..taken.min(places.len())) {
                if let Some(window) = windows.get_mut(i) {
                    window.finish(seq);
                }
            }
            commit.advance = windows.iter().filter_map(Window::advance).collect();
            self.cx.steps.at(Step::Decided);
            self.cx.commit(shard, &commit).await?;
            self.cx.steps.at(Step::Committed);
            meter::committed("entry", taken);
            for advance in &commit.advance {
                if let Some(window) = windows.iter_mut().find(|w| *w.log() == advance.log) {
                    window.applied(advance);
                }
            }
            if let Some(due) = commit.delay.iter().map(|d| d.due).min() {
                next_due = Some(next_due.map_or(due, |known| known.min(due)));
            }
            if !commit.bury.is_empty() {
                self.cx.spill(shard).await?;
            }
            (careful, guilty) = (false, false);
        }
        Ok(())
    }

    async fn promote(&self, shard: &mut dyn Shard) -> queue::Result<queue::Promoted> {
        let promoted = shard.promote(self.cx.clock.now()).await?;
        if promoted.moved > 0 {
            self.cx.steps.at(Step::Promoted);
        }
        Ok(promoted)
    }

    /// Decides a batch; while a store is down it waits and asks again, so that an outage becomes neither silence nor
    /// spam. `None` when the process stops first.
    async fn until_decided(&self, shard: &mut dyn Shard, batch: intake::Batch) -> queue::Result<Option<Commit>> {
        let part = format!("lookups of {}", self.lane.name);
        let mut wait = Duration::from_millis(100);
        while !self.cx.stop.is_cancelled() {
            let now = self.cx.clock.now();
            match self.cx.keeping(shard, decide::decide(&self.lane, &self.cx, &batch, now)).await? {
                Ok(commit) => {
                    self.cx.status.ready(&part);
                    return Ok(Some(commit));
                }
                Err(down) => self.cx.status.not_ready(&part, &describe(&down)),
            }
            let pause = async {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = self.cx.stop.cancelled() => {}
                }
            };
            self.cx.keeping(shard, pause).await?;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
        Ok(None)
    }

    /// Waits for a producer, for due work, or to be stopped. A look every second covers a wake-up that was lost with
    /// its connection.
    async fn wait(
        &self,
        shard: &mut dyn Shard,
        wake: &tokio::sync::Notify,
        next_due: Option<i64>,
    ) -> queue::Result<()> {
        let until_due =
            next_due.map(|due| Duration::from_millis(u64::try_from(due - self.cx.clock.now()).unwrap_or(0)));
        let pause = until_due.unwrap_or(Duration::MAX).min(Duration::from_secs(1));
        let quiet = async {
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(pause) => {}
                () = self.cx.stop.cancelled() => {}
            }
        };
        quiet.await;
        if shard.deadline().saturating_duration_since(std::time::Instant::now()) < 2 * self.cx.renew {
            shard.renew().await?;
        }
        Ok(())
    }
}
