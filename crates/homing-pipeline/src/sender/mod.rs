//! The sender: delivery queue → channel → settle.
//!
//! It keeps a window of peeked items, has up to `concurrency` calls under way, and settles them as they finish, in any
//! order. Every few milliseconds a checkpoint commits what was settled. [`desk`] is what it has in hand; [`call`]
//! makes one attempt; [`settle`] decides what follows from an answer; [`route`] knows what is ready for an app and asks
//! its [gate](crate::gates); [`fallback`] finds another way to a device; [`rehearsal`] keeps a migration's rehearsals out of
//! the way; [`book`] is the commit as it grows.

mod book;
mod call;
mod desk;
#[cfg(test)]
mod desk_tests;
mod fallback;
pub mod foreign;
mod rehearsal;
mod route;
mod settle;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use homing_core::{
    channel::Channel,
    lookup::Lookup,
    queue::{self, Commit, Item, Log, QueueName, Seq, Shard},
    retry::Backoff,
    steps::Step,
    window::Limits,
    wire::Envelope,
};
use tokio::{sync::mpsc, task::JoinSet};

pub use self::fallback::Ways;
use self::{
    call::Finished,
    desk::{Desk, Outside},
};
use crate::{
    context::Context,
    gates::{Breaker, Gates},
    keeper::Worker,
    meter,
};

/// Settings of a sender.
#[derive(Clone, Debug)]
pub struct Options {
    /// Calls under way at once, per app and platform.
    pub concurrency: usize,
    /// Settled items wait at most this long for their checkpoint.
    pub checkpoint: Duration,
    /// A checkpoint is made at the latest after so many settled items.
    pub checkpoint_items: usize,
    /// When to try again.
    pub backoff: Backoff,
    /// Tries with an ambiguous or unknown answer before it is given up.
    pub attempts: u32,
    /// First pause of an app whose credentials were refused or whose provider failed many times in a row; it doubles
    /// up to `pause_cap`.
    pub pause: Duration,
    /// See `pause`.
    pub pause_cap: Duration,
    /// So many failures in a row pause an app.
    pub breaker: u32,
    /// Bounds of what is in hand.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 64,
            checkpoint: Duration::from_millis(20),
            checkpoint_items: 64,
            backoff: Backoff::default(),
            attempts: 5,
            pause: Duration::from_secs(5),
            pause_cap: Duration::from_secs(300),
            breaker: 20,
            limits: Limits::default(),
        }
    }
}

impl Options {
    fn breaker(&self) -> Breaker {
        Breaker { failures: self.breaker, pause: self.pause, cap: self.pause_cap }
    }
}

/// The worker of one delivery shard.
pub struct Sender {
    /// The delivery shard.
    pub queue: QueueName,
    /// The way out.
    pub channel: Arc<dyn Channel>,
    /// Pauses and paces, one for all senders of the process.
    pub gates: Arc<Gates>,
    /// Where a target goes on that this channel cannot serve.
    pub ways: Arc<Ways>,
    /// Where dead tokens are taken out.
    pub tokens: Option<Arc<dyn Lookup>>,
    /// Reads items that HIGO's own distributor wrote; without it they are buried as unreadable.
    pub foreign: Option<Arc<foreign::Foreign>>,
    /// See [`Options`].
    pub options: Options,
    /// Shared.
    pub cx: Context,
}

impl Worker for Sender {
    fn shard(&self) -> &QueueName {
        &self.queue
    }

    fn work<'a>(&'a mut self, shard: &'a mut dyn Shard) -> BoxFuture<'a, queue::Result<()>> {
        Box::pin(self.send(shard))
    }
}

impl Sender {
    async fn send(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        let wake = shard.wake();
        let outside = Outside {
            channel: Arc::clone(&self.channel),
            gates: Arc::clone(&self.gates),
            ways: Arc::clone(&self.ways),
        };
        let mut desk = Desk::open(&self.queue, shard.opened(), self.options.clone(), self.foreign.clone(), outside);
        let mut gates = self.gates.changes();
        let (tx, mut rx) = mpsc::unbounded_channel::<Finished>();
        // Dropped with this future: a call that is under way when the shard is lost is repeated by the successor.
        let mut calls = JoinSet::new();
        let mut look = true;
        let mut stopping: Option<Instant> = None;
        loop {
            while let Ok(finished) = rx.try_recv() {
                desk.settle(finished, self.cx.clock.now(), Instant::now());
            }
            while calls.try_join_next().is_some() {}
            if desk.checkpoint_due(Instant::now()) {
                self.checkpoint(shard, &mut desk).await?;
                look |= desk.hungry();
            }
            if self.cx.stop.is_cancelled() {
                let since = *stopping.get_or_insert_with(Instant::now);
                if desk.in_flight() == 0 || since.elapsed() > self.cx.grace {
                    self.checkpoint(shard, &mut desk).await?;
                    return Ok(());
                }
            } else {
                if desk.promotion_due(self.cx.clock.now())
                    && let Some(promoted) = self.tolerate(shard.promote(self.cx.clock.now()).await).await?
                {
                    if promoted.moved > 0 {
                        self.cx.steps.at(Step::Promoted);
                    }
                    desk.promoted(promoted);
                }
                if look || desk.own_lists_wait(Instant::now()) {
                    look = self.peek(shard, &mut desk).await?;
                }
                // No call begins after the lease may have ended: the successor makes it.
                if Instant::now() < shard.deadline() {
                    while let Some(job) = desk.start(self.cx.clock.now(), Instant::now()) {
                        self.cx.steps.at(Step::Calling);
                        let call = call::Call { channel: Arc::clone(&self.channel), tokens: self.tokens.clone(), job };
                        let (tx, steps) = (tx.clone(), Arc::clone(&self.cx.steps));
                        calls.spawn(async move {
                            let finished = call.make().await;
                            steps.at(Step::Answered);
                            // The receiver is gone only when the shard is: then nobody may settle it here.
                            tx.send(finished).ok();
                        });
                    }
                }
            }
            if shard.deadline().saturating_duration_since(Instant::now()) < 2 * self.cx.renew {
                self.renew(shard).await?;
            }
            if desk.checkpoint_due(Instant::now()) || (look && stopping.is_none()) {
                tokio::task::yield_now().await;
                continue;
            }
            let pause = desk.pause(self.cx.clock.now(), Instant::now(), self.cx.renew);
            tokio::select! {
                biased;
                finished = rx.recv() => {
                    if let Some(finished) = finished {
                        desk.settle(finished, self.cx.clock.now(), Instant::now());
                    }
                }
                () = wake.notified() => look = true,
                // The sender of changes lives as long as `self`.
                _ = gates.changed() => {}
                () = self.cx.stop.cancelled(), if stopping.is_none() => {}
                () = tokio::time::sleep(pause) => look |= pause >= Duration::from_millis(900),
            }
        }
    }

    /// Reads what fits from every list that may have something; answers whether there may be more.
    async fn peek(&self, shard: &mut dyn Shard, desk: &mut Desk) -> queue::Result<bool> {
        let mut more = false;
        for place in desk.places(Instant::now()) {
            let (log, from, budget) = place;
            let Some(items) = self.tolerate(shard.peek(&log, from, budget).await).await? else { return Ok(true) };
            more |= items.len() >= budget.items;
            if !items.is_empty() {
                self.cx.steps.at(Step::Peeked);
            }
            let Some(cancelled) = self.tolerate(cancelled(shard, &log, &items).await).await? else { return Ok(true) };
            desk.accept(&log, items, &cancelled, self.cx.clock.now());
        }
        Ok(more && desk.hungry())
    }

    async fn checkpoint(&self, shard: &mut dyn Shard, desk: &mut Desk) -> queue::Result<()> {
        let Some(commit): Option<Commit> = desk.take_commit() else { return Ok(()) };
        self.cx.steps.at(Step::Decided);
        self.cx.commit(shard, &commit).await?;
        self.cx.steps.at(Step::Committed);
        meter::committed("send", usize::try_from(commit.counts.get("items.done")).unwrap_or(0));
        desk.committed(&commit);
        if !commit.bury.is_empty() {
            self.tolerate(self.cx.spill(shard).await).await?;
        }
        Ok(())
    }

    async fn renew(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        self.tolerate(shard.renew().await).await.map(|_| ())
    }

    /// An outage of the queue server must not cut the calls that are under way: their answers are still worth having.
    /// `None` while it lasts; it is over when the lease is found to be lost or a call succeeds again.
    async fn tolerate<T>(&self, answer: queue::Result<T>) -> queue::Result<Option<T>> {
        match answer {
            Ok(answer) => {
                self.cx.status.ready(self.queue.as_str());
                Ok(Some(answer))
            }
            Err(error @ queue::Error::Unavailable(_)) => {
                self.cx.status.not_ready(self.queue.as_str(), &error.to_string());
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Which of the items that waited were taken back meanwhile. What comes straight from a distributor is not asked about:
/// it is on its way.
async fn cancelled(shard: &mut dyn Shard, log: &Log, items: &[Item]) -> queue::Result<HashSet<Seq>> {
    if *log == Log::MAIN {
        return Ok(HashSet::new());
    }
    let read = |item: &Item| Envelope::decode(&item.body).ok().map(|envelope| (item.seq, envelope.id));
    let known: Vec<(Seq, String)> = items.iter().filter_map(read).collect();
    if known.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<&str> = known.iter().map(|(_, id)| id.as_str()).collect();
    let marks = shard.marks(&ids).await?;
    Ok(known.iter().zip(marks).filter(|(_, mark)| mark.cancelled).map(|((seq, _), _)| *seq).collect())
}
