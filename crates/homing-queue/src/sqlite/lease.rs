//! Leases: who may work a shard.

use bytes::Bytes;
use homing_core::queue::{Error, Log, LogState, Opened, QueueName};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::Fail,
    list::{List, body, logs},
    writer::Tx,
};
use crate::owner::Owner;

/// Who asks for a lease.
pub(super) struct Claim {
    pub(super) shard: QueueName,
    pub(super) owner: Owner,
    /// The token without its epoch.
    pub(super) suffix: String,
    pub(super) lease_ms: i64,
    /// Of a shard that is opened for the first time.
    pub(super) birth: String,
}

/// What was given.
pub(super) struct Grant {
    pub(super) id: i64,
    pub(super) token: String,
    pub(super) opened: Opened,
}

struct Last {
    token: Option<String>,
    expires: i64,
    epoch: i64,
    first_epoch: i64,
    birth: String,
    clean: i64,
    suspect: String,
    suspicion: i64,
}

/// Takes a lease.
pub(super) fn acquire(tx: &Tx<'_>, claim: &Claim) -> Result<Grant, Fail> {
    let (db, shard) = (tx.db, claim.shard.as_str());
    let main = List::open(db, shard, Log::MAIN.name())?;
    List::open(db, shard, Log::RETRY.name())?;
    let last = db
        .prepare_cached(
            "SELECT token, expires, epoch, first_epoch, birth, clean, suspect, suspicion FROM shard WHERE id = ?1",
        )?
        .query_row([main.id], |row| {
            Ok(Last {
                token: row.get(0)?,
                expires: row.get(1)?,
                epoch: row.get(2)?,
                first_epoch: row.get(3)?,
                birth: row.get(4)?,
                clean: row.get(5)?,
                suspect: row.get(6)?,
                suspicion: row.get(7)?,
            })
        })
        .optional()?;
    let mut alive = false;
    if let Some(Last { token: Some(token), expires, .. }) = &last
        && *expires > tx.now
    {
        alive = token.split_once('|').is_some_and(|(_, signature)| signature == claim.suffix);
        if !alive && !claim.owner.is_dead(token) {
            let left_ms = u64::try_from(expires - tx.now).unwrap_or(0);
            return Err(Error::Held { queue: claim.shard.clone(), owner: token.clone(), left_ms }.into());
        }
    }
    // The clock carries the epoch over a restored file that lost the last one.
    let epoch = last.as_ref().map_or(0, |l| l.epoch + 1).max(tx.now * 1_000);
    let (first_epoch, birth) =
        last.as_ref().map_or_else(|| (epoch, claim.birth.clone()), |l| (l.first_epoch, l.birth.clone()));
    let lists = logs(db, shard)?;
    let (place, is_empty) = place(db, &lists)?;
    // Did the last owner die after it had read items and without having moved any? Then the item at the head may be
    // what kills them. `clean`: 1 = released, 2 = took the lease and read nothing, 0 = read something.
    let suspicion = match &last {
        Some(l) if l.clean == 0 && !alive && !is_empty => 1 + if l.suspect == place { l.suspicion } else { 0 },
        Some(l) if l.clean != 1 && l.suspect == place => l.suspicion,
        _ => 0,
    };
    let token = format!("{epoch}|{}", claim.suffix);
    db.prepare_cached(
        "INSERT INTO shard (id, token, expires, epoch, first_epoch, birth, commits, clean, suspect, suspicion) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 2, ?7, ?8) ON CONFLICT (id) DO UPDATE SET token = excluded.token, \
         expires = excluded.expires, epoch = excluded.epoch, commits = 0, clean = 2, suspect = excluded.suspect, \
         suspicion = excluded.suspicion",
    )?
    .execute(params![main.id, token, tx.now + claim.lease_ms, epoch, first_epoch, birth, place, suspicion])?;
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let opened = Opened {
        epoch: unsigned(epoch),
        first_epoch: unsigned(first_epoch),
        birth,
        suspicion: u32::try_from(suspicion).unwrap_or(u32::MAX),
        logs: lists
            .into_iter()
            .map(|(log, list, checkpoint, _)| LogState { log, head: unsigned(list.head), checkpoint })
            .collect(),
        next_due: next_due(db, main.id)?,
        values: values(db, main.id)?,
    };
    Ok(Grant { id: main.id, token, opened })
}

/// Where the shard's work stands, in one text, and whether there is none.
fn place(db: &Connection, lists: &[(Log, List, Bytes, i64)]) -> rusqlite::Result<(String, bool)> {
    let (mut place, mut is_empty) = (String::new(), true);
    for (log, list, _, finished) in lists {
        if [Log::MAIN, Log::RETRY, Log::FANOUT].contains(log) {
            place.push_str(&format!("{}:{finished}:", list.head));
            is_empty &= list.first(db)?.is_none();
        }
    }
    Ok((place, is_empty))
}

/// When the earliest delayed work of a shard is due.
pub(super) fn next_due(db: &Connection, id: i64) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT min(due) FROM delayed WHERE shard = ?1")?.query_row([id], |row| row.get(0))
}

/// What owners put.
pub(super) fn values(db: &Connection, id: i64) -> rusqlite::Result<Vec<(String, Bytes)>> {
    let mut select = db.prepare_cached("SELECT name, body FROM value WHERE shard = ?1")?;
    let rows = select.query_map([id], |row| Ok((row.get(0)?, body(row.get_ref(1)?))))?;
    rows.collect()
}

/// A lease as its owner holds it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) name: QueueName,
    pub(super) id: i64,
    pub(super) token: String,
}

impl Held {
    /// Whoever lost the lease does and sees nothing; answers the number of its last commit.
    pub(super) fn check(&self, db: &Connection) -> Result<i64, Fail> {
        let commits = db
            .prepare_cached(
                "SELECT commits FROM shard WHERE id = ?1 AND token = ?2 \
                 AND expires > CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            )?
            .query_row(params![self.id, self.token], |row| row.get(0))
            .optional()?;
        commits.ok_or_else(|| Error::Fenced(self.name.clone()).into())
    }

    /// Extends the lease; `commit` is the number of the commit that does so, if it is one.
    pub(super) fn extend(&self, tx: &Tx<'_>, lease_ms: i64, commit: Option<i64>) -> Result<(), Fail> {
        tx.db
            .prepare_cached("UPDATE shard SET expires = ?2, commits = ifnull(?3, commits) WHERE id = ?1")?
            .execute(params![self.id, tx.now + lease_ms, commit])?;
        Ok(())
    }

    /// Is this owner's death to be held against the first of the items that it has read?
    pub(super) fn blame(&self, tx: &Tx<'_>, items: bool) -> Result<(), Fail> {
        self.check(tx.db)?;
        let clean = if items { 0 } else { 2 };
        tx.db.prepare_cached("UPDATE shard SET clean = ?2 WHERE id = ?1")?.execute([self.id, clean])?;
        Ok(())
    }

    /// Gives the lease back.
    pub(super) fn release(&self, tx: &Tx<'_>) -> Result<(), Fail> {
        self.check(tx.db)?;
        tx.db
            .prepare_cached("UPDATE shard SET token = NULL, clean = 1, suspicion = 0 WHERE id = ?1")?
            .execute([self.id])?;
        Ok(())
    }
}
