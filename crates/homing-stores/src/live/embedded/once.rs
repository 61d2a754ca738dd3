//! Copies of publications and due members: what is stored once though it has no id that all know.

use rusqlite::{Connection, OptionalExtension, params};

use super::{int, millis, threads::Tx, unsigned};

/// Of each node's copies so many calls are known again, and so many messages' places.
const REMEMBERED: u64 = 1_000;

/// What a copy is.
pub(super) enum Copied {
    /// The n-th message of this publication.
    New(u64),
    /// A message that was stored already, there where that is known.
    Old(Option<u64>),
}

/// Does the n-th copy that this node heard bring something new? A repeat of the call is told by the id.
pub(super) fn copied(tx: &Tx<'_>, stream: &str, hash: u64, node: &str, id: &str) -> rusqlite::Result<Copied> {
    let (db, key) = (tx.db, hash.cast_signed());
    let copy: Option<(i64, i64)> = db
        .prepare_cached("SELECT done, at FROM copy WHERE stream = ?1 AND hash = ?2")?
        .query_row(params![stream, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let done = match copy {
        Some((done, at)) if at > tx.now - millis(tx.settings.copy_window) => unsigned(done),
        Some(_) => {
            forget(db, stream, key)?;
            0
        }
        None => 0,
    };
    let mut calls =
        db.prepare_cached("SELECT n, id FROM heard WHERE stream = ?1 AND hash = ?2 AND node = ?3 ORDER BY n DESC")?;
    let mut rows = calls.query(params![stream, key, node])?;
    let mut last = 0;
    while let Some(row) = rows.next()? {
        let n = unsigned(row.get(0)?);
        if row.get_ref(1)?.as_str()? == id {
            return Ok(Copied::Old(place(db, stream, key, n)?));
        }
        last = last.max(n);
    }
    let n = last + 1;
    db.prepare_cached("INSERT INTO heard (stream, hash, node, n, id) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![stream, key, node, int(n), id])?;
    db.prepare_cached("INSERT OR REPLACE INTO copy (stream, hash, done, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![stream, key, int(done.max(n)), tx.now])?;
    if n > REMEMBERED {
        let before = params![stream, key, node, int(n - REMEMBERED)];
        db.prepare_cached("DELETE FROM heard WHERE stream = ?1 AND hash = ?2 AND node = ?3 AND n <= ?4")?
            .execute(before)?;
        db.prepare_cached("DELETE FROM place WHERE stream = ?1 AND hash = ?2 AND n <= ?3")?.execute(params![
            stream,
            key,
            int(n - REMEMBERED)
        ])?;
    }
    if n > done { Ok(Copied::New(n)) } else { Ok(Copied::Old(place(db, stream, key, n)?)) }
}

fn place(db: &Connection, stream: &str, key: i64, n: u64) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT offset FROM place WHERE stream = ?1 AND hash = ?2 AND n = ?3")?
        .query_row(params![stream, key, int(n)], |row| row.get(0).map(unsigned))
        .optional()
}

/// The n-th message of a publication stands there.
pub(super) fn stands(db: &Connection, stream: &str, hash: u64, n: u64, offset: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO place (stream, hash, n, offset) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![stream, hash.cast_signed(), int(n), int(offset)])
        .map(drop)
}

/// All of a publication.
pub(super) fn forget(db: &Connection, stream: &str, key: i64) -> rusqlite::Result<()> {
    for table in [
        "DELETE FROM copy WHERE stream = ?1 AND hash = ?2",
        "DELETE FROM heard WHERE stream = ?1 AND hash = ?2",
        "DELETE FROM place WHERE stream = ?1 AND hash = ?2",
    ] {
        db.prepare_cached(table)?.execute(params![stream, key])?;
    }
    Ok(())
}

/// Takes a due member out of the schedule; answers whether it was there and due.
pub(super) fn take(tx: &Tx<'_>, member: &[u8]) -> rusqlite::Result<bool> {
    let taken =
        tx.db.prepare_cached("DELETE FROM due WHERE member = ?1 AND at <= ?2")?.execute(params![member, tx.now])?;
    Ok(taken > 0)
}
