//! A consistent picture of one shard.

use homing_core::{
    ledger::Counts,
    queue::{Log, LogDepth, Snapshot},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::Fail,
    lease::{next_due, values},
    list::{DEAD, List, logs},
};

/// Looks; changes nothing.
pub(super) fn shard(db: &Connection, name: &str) -> Result<Snapshot, Fail> {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let mut snapshot = Snapshot::default();
    for (log, list, _, finished) in logs(db, name)? {
        let length = unsigned(list.length(db)?);
        snapshot.logs.push(LogDepth { log, head: unsigned(list.head), length, finished: unsigned(finished) });
    }
    for (i, log) in [Log::MAIN, Log::RETRY].into_iter().enumerate() {
        if !snapshot.logs.iter().any(|l| l.log == log) {
            snapshot.logs.insert(i, LogDepth { log, head: 0, length: 0, finished: 0 });
        }
    }
    let Some(main) = List::find(db, name, Log::MAIN.name())? else { return Ok(snapshot) };
    let state = db
        .prepare_cached(
            "SELECT iif(expires > CAST(unixepoch('subsec') * 1000 AS INTEGER), token, NULL), birth FROM shard WHERE id = ?1",
        )?
        .query_row([main.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    (snapshot.owner, snapshot.birth) = state.unwrap_or_default();
    snapshot.delayed = unsigned(
        db.prepare_cached("SELECT count(*) FROM delayed WHERE shard = ?1")?.query_row([main.id], |row| row.get(0))?,
    );
    snapshot.next_due = next_due(db, main.id)?;
    if let Some(dead) = List::find(db, name, DEAD)? {
        snapshot.dead = unsigned(dead.length(db)?);
    }
    snapshot.counts = counts(db, main.id)?;
    snapshot.values = values(db, main.id)?;
    Ok(snapshot)
}

fn counts(db: &Connection, id: i64) -> rusqlite::Result<Counts> {
    let mut select = db.prepare_cached("SELECT field, n FROM ledger WHERE shard = ?1")?;
    let rows = select.query_map(params![id], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.collect()
}
