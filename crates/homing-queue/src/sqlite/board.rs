//! The notice board, and receipts: what needs no lease.

use std::collections::{BTreeMap, HashSet};

use homing_core::{
    clock::Millis,
    ledger::Counts,
    queue::{BOARD, Error, MAX_NOTICE, MAX_NOTICES, MAX_REMEMBERED, QueueName, REMEMBERED, Receipt},
    wire,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    commit::count,
    error::{Fail, unavailable},
    list::List,
    marks::{self, COUNTED},
    trace,
    writer::Tx,
};

/// What stands on the board.
pub(super) fn read(db: &Connection) -> Result<BTreeMap<String, String>, Fail> {
    let mut select = db.prepare_cached("SELECT key, body FROM notice")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Puts a notice up, or takes it down.
pub(super) fn post(tx: &mut Tx<'_>, key: &str, notice: Option<&str>) -> Result<(), Fail> {
    let board = || QueueName::new(BOARD);
    let size = key.len().max(notice.map_or(0, str::len));
    if size > MAX_NOTICE {
        return Err(Error::TooLarge { queue: board(), size }.into());
    }
    let before: Option<String> = tx
        .db
        .prepare_cached("SELECT body FROM notice WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    if before.as_deref() == notice {
        return Ok(());
    }
    match notice {
        None => tx.db.prepare_cached("DELETE FROM notice WHERE key = ?1")?.execute([key])?,
        Some(notice) => {
            let there: i64 = tx.db.prepare_cached("SELECT count(*) FROM notice")?.query_row([], |row| row.get(0))?;
            if before.is_none() && usize::try_from(there).unwrap_or(0) >= MAX_NOTICES {
                return Err(Error::Full(board()).into());
            }
            tx.db
                .prepare_cached("INSERT OR REPLACE INTO notice (key, body) VALUES (?1, ?2)")?
                .execute(params![key, notice])?
        }
    };
    tx.wake(&board());
    Ok(())
}

/// Counts and traces receipts, each key once; answers which were new.
pub(super) fn tally(
    tx: &mut Tx<'_>,
    shard: &QueueName,
    receipts: &[Receipt],
    now: Millis,
    bounds: trace::Bounds,
) -> Result<Vec<bool>, Fail> {
    if tx.is_full()? {
        return Err(unavailable("the queue file is at its bound").into());
    }
    let main = List::open(tx.db, shard.as_str(), "main")?;
    let (mut taken, mut counts, mut blob) = (HashSet::new(), Counts::default(), Vec::new());
    let mut news = Vec::with_capacity(receipts.len());
    for Receipt { key, record } in receipts {
        let new = !marks::is_known(tx.db, main.id, COUNTED, key, now)? && taken.insert(key.as_str());
        if new {
            counts.add(record.stage.field(&record.fate), 1);
            blob.extend(wire::encode_records(std::slice::from_ref(record)));
        }
        news.push(new);
    }
    if !taken.is_empty() {
        marks::forget(tx.db, main.id, COUNTED, now.saturating_sub(REMEMBERED))?;
        marks::add(tx.db, main.id, COUNTED, taken.into_iter().map(|key| (key, now)), MAX_REMEMBERED)?;
        count(tx.db, main.id, &counts)?;
        trace::add(tx.db, shard.as_str(), &blob, bounds)?;
    }
    Ok(news)
}
