//! The trace: a list of blobs per shard, one per commit, bounded in entries and in bytes.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{
    commit::int,
    error::Fail,
    list::{List, TRACE},
};

/// How much a shard's trace may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Adds a blob; the oldest make room.
pub(super) fn add(db: &Connection, shard: &str, blob: &[u8], bounds: Bounds) -> Result<(), Fail> {
    let mut list = List::open(db, shard, TRACE)?;
    let mut bytes: i64 =
        db.prepare_cached("SELECT bytes FROM list WHERE id = ?1")?.query_row([list.id], |r| r.get(0))?;
    let mut entries = list.length(db)?;
    let size = int(blob.len() as u64);
    while entries > 0 && (entries >= int(bounds.entries.max(1)) || bytes + size > int(bounds.bytes)) {
        let Some(oldest) = list.first(db)? else { break };
        list.delete(db, oldest.number, oldest.number + 1)?;
        bytes -= int(oldest.body.len() as u64);
        entries -= 1;
    }
    list.push(db, std::iter::once(blob))?;
    db.prepare_cached("UPDATE list SET bytes = ?2 WHERE id = ?1")?.execute(params![list.id, bytes.max(0) + size])?;
    Ok(())
}

/// Some blobs from `number` on, oldest first, and where to go on; `None` at the end.
pub(super) fn page(db: &Connection, shard: &str, number: i64) -> Result<(Vec<Bytes>, Option<i64>), Fail> {
    let Some(list) = List::find(db, shard, TRACE)? else { return Ok((Vec::new(), None)) };
    let page = list.read(db, number, 200, 8 << 20)?;
    let next = page.last().map(|last| last.number + 1);
    Ok((page.into_iter().map(|blob| blob.body).collect(), next))
}
