//! [`SqliteShard`]: an owned shard.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    queue::{
        Budget, Commit, Destination, Error, Item, Log, MAX_ITEM, Mark, Opened, Promoted, QueueName, Result, Seq, Shard,
    },
    wire,
};
use rusqlite::Connection;
use tokio::sync::Notify;

use super::{
    commit::{self, Order, int},
    error::{Fail, unavailable},
    lease::{Grant, Held, next_due},
    list::{DEAD, List},
    marks,
    queue::{Store, millis},
    resync::{self, Resynced},
    trace,
};

/// The lease of one shard.
pub(super) struct SqliteShard {
    store: Arc<Store>,
    held: Held,
    opened: Opened,
    deadline: Instant,
    wake: Arc<Notify>,
    /// Head of every log, as of the last confirmed commit.
    heads: HashMap<Log, Seq>,
    /// Number of the last confirmed commit of this lease.
    commits: i64,
    /// Has a peek of this lease brought items?
    has_read: bool,
    released: bool,
}

impl SqliteShard {
    pub(super) fn new(store: Arc<Store>, name: QueueName, grant: Grant, asked: Instant) -> Self {
        let wake = store.wakes.of(&name);
        // What came before the lease was not announced.
        wake.notify_one();
        let mut shard = Self {
            held: Held { name, id: grant.id, token: grant.token },
            heads: grant.opened.logs.iter().map(|l| (l.log.clone(), l.head)).collect(),
            opened: grant.opened,
            deadline: asked,
            wake,
            commits: 0,
            has_read: false,
            released: false,
            store,
        };
        shard.extended(asked);
        shard
    }

    fn extended(&mut self, asked: Instant) {
        self.deadline = asked + self.store.options.lease.saturating_sub(self.store.options.margin);
    }

    fn lease_ms(&self) -> i64 {
        millis(self.store.options.lease)
    }

    async fn do_commit(&mut self, commit: &Commit) -> Result<()> {
        self.fits(commit)?;
        let options = &self.store.options;
        let order = Order {
            held: self.held.clone(),
            commit: commit.clone(),
            number: self.commits + 1,
            lease_ms: self.lease_ms(),
            trace: if commit.records.is_empty() { Vec::new() } else { wire::encode_records(&commit.records) },
            bounds: trace::Bounds { entries: options.trace_entries, bytes: options.trace_bytes },
        };
        let asked = Instant::now();
        let now = self.store.writer.run(move |tx| order.run(tx)).await?;
        self.commits += 1;
        for advance in &commit.advance {
            self.heads.insert(advance.log.clone(), advance.head + advance.trim);
        }
        // One that was done before did not extend the lease now; the next renewal puts it right.
        if now {
            self.extended(asked);
        }
        Ok(())
    }

    /// Nothing that is too large is written. Envelopes add some bytes to an item that was within the bound.
    fn fits(&self, commit: &Commit) -> Result<()> {
        let appended = commit.append.iter().flat_map(|append| {
            let queue = match &append.to {
                Destination::Queue(queue) => queue,
                Destination::Own(_) => &self.held.name,
            };
            append.items.iter().map(move |item| (queue, item))
        });
        let delayed = commit.delay.iter().map(|delayed| (&self.held.name, &delayed.body));
        match appended.chain(delayed).find(|(_, item)| item.len() > MAX_ITEM + 64 * 1024) {
            Some((queue, item)) => Err(Error::TooLarge { queue: queue.clone(), size: item.len() }),
            None => Ok(()),
        }
    }

    async fn do_peek(&mut self, log: &Log, from: Seq, budget: Budget) -> Result<Vec<Item>> {
        let head = self.heads.get(log).copied().unwrap_or(0);
        if from < head {
            return Err(unavailable(format!("peek at {from}, before the head {head}")));
        }
        let (held, log) = (self.held.clone(), log.clone());
        let items = self.store.reader.run(move |db| peek(db, &held, &log, from, budget)).await?;
        if !self.has_read && !items.is_empty() {
            let held = self.held.clone();
            self.store.writer.run(move |tx| held.blame(tx, true)).await?;
            self.has_read = true;
        }
        Ok(items)
    }

    async fn do_marks(&mut self, ids: &[&str]) -> Result<Vec<Mark>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let held = self.held.clone();
        let look = move |db: &Connection| {
            held.check(db)?;
            marks::of(db, held.id, &ids)
        };
        self.store.reader.run(look).await
    }

    async fn do_resync(&mut self) -> Result<u64> {
        loop {
            let (held, number, lease_ms) = (self.held.clone(), self.commits + 1, self.lease_ms());
            let asked = Instant::now();
            let answer = self.store.writer.run(move |tx| resync::run(tx, &held, number, lease_ms)).await?;
            self.commits += 1;
            // The commit before had run without an answer: look again.
            let Some(Resynced { taken, logs }) = answer else { continue };
            self.extended(asked);
            self.heads = logs.iter().map(|l| (l.log.clone(), l.head)).collect();
            self.opened.logs = logs;
            return Ok(taken);
        }
    }

    async fn do_dead(&mut self, n: usize) -> Result<Vec<Bytes>> {
        let held = self.held.clone();
        let read = move |db: &Connection| {
            held.check(db)?;
            let Some(dead) = List::find(db, held.name.as_str(), DEAD)? else { return Ok(Vec::new()) };
            Ok(dead.read(db, 0, n, 8 << 20)?.into_iter().map(|letter| letter.body).collect())
        };
        self.store.reader.run(read).await
    }

    async fn do_promote(&mut self, now: Millis) -> Result<Promoted> {
        let held = self.held.clone();
        let look = move |db: &Connection| {
            held.check(db)?;
            Ok(next_due(db, held.id)?)
        };
        // Mostly there is nothing to move, and so nothing to write.
        let next = self.store.reader.run(look).await?;
        if next.is_none_or(|due| due > now) {
            return Ok(Promoted { moved: 0, next_due: next });
        }
        let held = self.held.clone();
        self.store.writer.run(move |tx| commit::promote(tx, &held, now)).await
    }

    async fn do_renew(&mut self) -> Result<()> {
        let (held, lease_ms) = (self.held.clone(), self.lease_ms());
        let asked = Instant::now();
        let renew = move |tx: &mut super::writer::Tx<'_>| {
            held.check(tx.db)?;
            held.extend(tx, lease_ms, None)
        };
        self.store.writer.run(renew).await?;
        self.extended(asked);
        Ok(())
    }

    async fn do_blame(&mut self, items: bool) -> Result<()> {
        let held = self.held.clone();
        self.store.writer.run(move |tx| held.blame(tx, items)).await
    }

    async fn do_release(mut self: Box<Self>) -> Result<()> {
        let held = self.held.clone();
        let answer = self.store.writer.run(move |tx| held.release(tx)).await;
        self.released = !matches!(answer, Err(Error::Unavailable(_)));
        answer
    }
}

/// Reads items of a log, fenced. A gap means that somebody else deleted items.
fn peek(db: &Connection, held: &Held, log: &Log, from: Seq, budget: Budget) -> Result<Vec<Item>, Fail> {
    held.check(db)?;
    let Some(list) = List::find(db, held.name.as_str(), log.name())? else { return Ok(Vec::new()) };
    let number = list.number(int(from));
    let rows = list.read(db, number, budget.items, budget.bytes)?;
    let whole = rows.iter().zip(number..).take_while(|(row, number)| row.number == *number).count();
    if whole == 0 && number < list.next {
        return Err(Error::Foreign { queue: held.name.clone(), log: log.name().to_owned(), expected: from }.into());
    }
    Ok((from..).zip(rows).take(whole).map(|(seq, row)| Item { seq, body: row.body }).collect())
}

impl Shard for SqliteShard {
    fn name(&self) -> &QueueName {
        &self.held.name
    }

    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    fn peek<'a>(&'a mut self, log: &'a Log, from: Seq, budget: Budget) -> BoxFuture<'a, Result<Vec<Item>>> {
        Box::pin(self.do_peek(log, from, budget))
    }

    fn commit<'a>(&'a mut self, commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.do_commit(commit))
    }

    fn marks<'a>(&'a mut self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Mark>>> {
        Box::pin(self.do_marks(ids))
    }

    fn resync(&mut self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.do_resync())
    }

    fn dead(&mut self, n: usize) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        Box::pin(self.do_dead(n))
    }

    fn promote(&mut self, now: Millis) -> BoxFuture<'_, Result<Promoted>> {
        Box::pin(self.do_promote(now))
    }

    fn blame(&mut self, items: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.do_blame(items))
    }

    fn renew(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.do_renew())
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.do_release())
    }
}

impl Drop for SqliteShard {
    /// A shard that is dropped without release leaves a lease that runs on; this handle may replace it.
    fn drop(&mut self) {
        if !self.released {
            let mut abandoned = self.store.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, signature)) = self.held.token.split_once('|') {
                abandoned.insert(self.held.name.clone(), signature.to_owned());
            }
        }
    }
}
