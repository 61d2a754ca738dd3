//! Takes out what has ended, a little at a time, so that nobody waits long for the disk.

use homing_core::clock::Millis;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{millis, once, streams::Head};
use crate::live::Settings;

/// Streams, and rows of anything else, in one go.
const STREAMS: i64 = 200;
const ROWS: i64 = 2_000;

/// Some of what has ended by now.
pub(super) fn some(db: &mut Connection, settings: &Settings, now: Millis) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    old_messages(&tx, settings, now)?;
    dead_streams(&tx, now - millis(settings.meta_ttl))?;
    tx.prepare_cached(
        "DELETE FROM mark WHERE (user, stream) IN (SELECT user, stream FROM mark WHERE at <= ?1 LIMIT ?2)",
    )?
    .execute(params![now - millis(settings.meta_ttl), ROWS])?;
    tx.prepare_cached("DELETE FROM done WHERE (user, id) IN (SELECT user, id FROM done WHERE at <= ?1 LIMIT ?2)")?
        .execute(params![now - millis(settings.id_window), ROWS])?;
    let mut select = tx.prepare_cached("SELECT stream, hash FROM copy WHERE at <= ?1 LIMIT ?2")?;
    let rows = select.query_map(params![now - millis(settings.copy_window), STREAMS], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    for copy in rows.collect::<rusqlite::Result<Vec<_>>>()? {
        once::forget(&tx, &copy.0, copy.1)?;
    }
    drop(select);
    tx.commit()
}

fn old_messages(db: &Connection, settings: &Settings, now: Millis) -> rusqlite::Result<()> {
    let before = now - millis(settings.ttl);
    let mut select = db.prepare_cached(
        "SELECT id, epoch, top, first, bytes, oldest, looked, current, past FROM stream \
         WHERE first <= top AND oldest <= ?1 LIMIT ?2",
    )?;
    let heads = select.query_map(params![before, STREAMS], Head::read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut left = ROWS;
    for mut head in heads {
        left -= head.drop_before(db, before, left)?;
        head.write(db, None)?;
        // Nothing has come for as long as messages live; if ids live longer, the next message sees to it.
        if head.first > head.top && settings.id_window <= settings.ttl {
            head.forget_ids(db, head.top)?;
        }
        if left == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn dead_streams(db: &Connection, before: Millis) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached("SELECT id FROM stream WHERE newest <= ?1 LIMIT ?2")?;
    let dead = select.query_map(params![before, STREAMS], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for id in dead {
        for table in [
            "DELETE FROM message WHERE stream = ?1",
            "DELETE FROM known WHERE stream = ?1",
            "DELETE FROM stream WHERE id = ?1",
        ] {
            db.prepare_cached(table)?.execute([id])?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
