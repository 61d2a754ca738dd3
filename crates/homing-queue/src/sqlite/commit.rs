//! One atomic step of a shard's owner; see [`Commit`].

use homing_core::{
    ledger::Counts,
    queue::{Append, Commit, Destination, Error, Log, MAX_REMEMBERED, Promoted, QueueName},
};
use rusqlite::{Connection, params};

use super::{
    error::Fail,
    lease::{Held, next_due},
    list::{DEAD, List, body},
    marks::{self, SEEN},
    trace,
    writer::Tx,
};

/// A commit on its way to the writer.
pub(super) struct Order {
    pub(super) held: Held,
    pub(super) commit: Commit,
    /// Its number within the lease.
    pub(super) number: i64,
    pub(super) lease_ms: i64,
    /// The records, encoded.
    pub(super) trace: Vec<u8>,
    pub(super) bounds: trace::Bounds,
}

impl Order {
    /// Answers whether it was done now; `false` when it had been done before.
    pub(super) fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Fail> {
        let (db, commit) = (tx.db, &self.commit);
        let last = self.held.check(db)?;
        if self.number <= last {
            return Ok(false);
        }
        if self.number != last + 1 {
            return Err(Error::RolledBack(self.held.name.clone()).into());
        }
        // What trims comes first: it makes room for the rest.
        self.held.extend(tx, self.lease_ms, Some(self.number))?;
        for advance in &commit.advance {
            self.advance(db, advance)?;
        }
        for append in &commit.append {
            self.append(tx, append)?;
        }
        if !commit.delay.is_empty() {
            let mut insert = db.prepare_cached("INSERT INTO delayed (shard, due, body) VALUES (?1, ?2, ?3)")?;
            for delayed in &commit.delay {
                insert.execute(params![self.held.id, delayed.due, &*delayed.body])?;
            }
        }
        if commit.unbury > 0 || !commit.bury.is_empty() {
            let mut dead = List::open(db, self.held.name.as_str(), DEAD)?;
            if commit.unbury > 0 {
                dead.drop_first(db, int(commit.unbury))?;
            }
            dead.push(db, commit.bury.iter().map(|letter| &**letter))?;
        }
        count(db, self.held.id, &commit.counts)?;
        for (name, value) in &commit.put {
            db.prepare_cached("INSERT OR REPLACE INTO value (shard, name, body) VALUES (?1, ?2, ?3)")?
                .execute(params![self.held.id, name, &**value])?;
        }
        if let Some(before) = commit.forget_seen {
            marks::forget(db, self.held.id, SEEN, before)?;
        }
        if !commit.seen.is_empty() {
            let seen = commit.seen.iter().map(|(id, at)| (id.as_str(), *at));
            marks::add(db, self.held.id, SEEN, seen, MAX_REMEMBERED)?;
        }
        if !self.trace.is_empty() {
            trace::add(db, self.held.name.as_str(), &self.trace, self.bounds)?;
        }
        Ok(true)
    }

    fn advance(&self, db: &Connection, advance: &homing_core::queue::Advance) -> Result<(), Fail> {
        let name = self.held.name.as_str();
        let foreign = || {
            let (queue, log) = (self.held.name.clone(), advance.log.name().to_owned());
            Fail::from(Error::Foreign { queue, log, expected: advance.head })
        };
        let list = List::find(db, name, advance.log.name())?.ok_or_else(foreign)?;
        if list.head != int(advance.head) {
            return Err(Error::RolledBack(self.held.name.clone()).into());
        }
        let number = list.number(list.head);
        let first = list.first(db)?.ok_or_else(foreign)?;
        if first.number != number || first.body != advance.first {
            return Err(foreign());
        }
        let trim = int(advance.trim);
        if trim > 0 && list.delete(db, number, number + trim)? as u64 != advance.trim {
            // The savepoint is rolled back: nothing was deleted.
            return Err(foreign());
        }
        db.prepare_cached("UPDATE list SET head = ?2, checkpoint = ?3, finished = ?4 WHERE id = ?1")?
            .execute(params![list.id, list.head + trim, &*advance.checkpoint, int(advance.finished)])?;
        Ok(())
    }

    fn append(&self, tx: &mut Tx<'_>, append: &Append) -> Result<(), Fail> {
        let (queue, log): (&QueueName, &str) = match &append.to {
            Destination::Queue(queue) => (queue, Log::MAIN.name()),
            Destination::Own(log) => (&self.held.name, log.name()),
        };
        let mut list = List::open(tx.db, queue.as_str(), log)?;
        bounded(tx.db, &list, queue, append.items.len(), append.high_water)?;
        list.push(tx.db, append.items.iter().map(|item| &**item))?;
        match &append.to {
            Destination::Queue(queue) => {
                count(tx.db, list.id, &append.counts)?;
                tx.wake(queue);
            }
            Destination::Own(_) => count(tx.db, self.held.id, &append.counts)?,
        }
        Ok(())
    }
}

/// Refuses what would make a list longer than its bound.
pub(super) fn bounded(db: &Connection, list: &List, queue: &QueueName, more: usize, high: u64) -> Result<(), Fail> {
    if high > 0 && list.length(db)?.saturating_add(int(more as u64)) > int(high) {
        return Err(Error::Full(queue.clone()).into());
    }
    Ok(())
}

/// Adds to a shard's counters.
pub(super) fn count(db: &Connection, shard: i64, counts: &Counts) -> rusqlite::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let mut add = db.prepare_cached(
        "INSERT INTO ledger (shard, field, n) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    for (field, n) in counts.iter() {
        add.execute(params![shard, field, n])?;
    }
    Ok(())
}

/// Moves what is due from the delayed work to the `retry` list.
pub(super) fn promote(tx: &Tx<'_>, held: &Held, now: i64) -> Result<Promoted, Fail> {
    held.check(tx.db)?;
    let mut select = tx
        .db
        .prepare_cached("SELECT id, body FROM delayed WHERE shard = ?1 AND due <= ?2 ORDER BY due, id LIMIT 1000")?;
    let rows = select.query_map(params![held.id, now], |row| Ok((row.get::<_, i64>(0)?, body(row.get_ref(1)?))))?;
    let due: Vec<_> = rows.collect::<Result<_, _>>()?;
    let mut delete = tx.db.prepare_cached("DELETE FROM delayed WHERE id = ?1")?;
    for (id, _) in &due {
        delete.execute([id])?;
    }
    let mut retry = List::open(tx.db, held.name.as_str(), Log::RETRY.name())?;
    retry.push(tx.db, due.iter().map(|(_, body)| &**body))?;
    Ok(Promoted { moved: due.len() as u64, next_due: next_due(tx.db, held.id)? })
}

/// SQLite's integers have a sign.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
