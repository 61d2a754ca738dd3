//! Ids that are remembered for a time: accepted, seen, cancelled.

use std::collections::HashSet;

use homing_core::{
    clock::Millis,
    queue::{MAX_REMEMBERED, Mark, NewItem, QueueName, REMEMBERED},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    commit::bounded,
    error::{Fail, unavailable},
    list::List,
    writer::Tx,
};

/// Ids of accepted items, with the time of acceptance.
pub(super) const ACCEPTED: i64 = 1;
/// Ids that the owner has dealt with.
pub(super) const SEEN: i64 = 2;
/// Ids of messages that were taken back, with the time until when.
pub(super) const CANCELLED: i64 = 3;
/// Keys of receipts that were counted, with the time of it.
pub(super) const COUNTED: i64 = 4;

/// Notes ids; those that are noted get the new time. Keeps the latest `most`.
pub(super) fn add<'a>(
    db: &Connection,
    shard: i64,
    kind: i64,
    ids: impl Iterator<Item = (&'a str, Millis)>,
    most: usize,
) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached("UPDATE mark SET at = ?4 WHERE shard = ?1 AND kind = ?2 AND id = ?3")?;
    let mut insert = db.prepare_cached("INSERT INTO mark (shard, kind, id, at) VALUES (?1, ?2, ?3, ?4)")?;
    let mut added = 0;
    for (id, at) in ids {
        if update.execute(params![shard, kind, id, at])? == 0 {
            insert.execute(params![shard, kind, id, at])?;
            added += 1;
        }
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let over = counted(db, shard, kind, added)? - most;
    if over > 0 {
        let gone = db
            .prepare_cached(
                "DELETE FROM mark WHERE shard = ?1 AND kind = ?2 AND id IN \
                 (SELECT id FROM mark WHERE shard = ?1 AND kind = ?2 ORDER BY at, id LIMIT ?3)",
            )?
            .execute(params![shard, kind, over])?;
        counted(db, shard, kind, -i64::try_from(gone).unwrap_or(0))?;
    }
    Ok(())
}

/// Forgets ids with an earlier time than this.
pub(super) fn forget(db: &Connection, shard: i64, kind: i64, before: Millis) -> rusqlite::Result<()> {
    let gone = db
        .prepare_cached("DELETE FROM mark WHERE shard = ?1 AND kind = ?2 AND at < ?3")?
        .execute(params![shard, kind, before])?;
    if gone > 0 {
        counted(db, shard, kind, -i64::try_from(gone).unwrap_or(0))?;
    }
    Ok(())
}

/// Changes the count of noted ids; answers it.
fn counted(db: &Connection, shard: i64, kind: i64, by: i64) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO marks (shard, kind, n) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = n + excluded.n RETURNING n",
    )?
    .query_row(params![shard, kind, by], |row| row.get(0))
}

/// Appends items to a main list: all that are new, or none.
pub(super) fn append(
    tx: &mut Tx<'_>,
    queue: &QueueName,
    items: &[NewItem],
    high_water: u64,
    now: Millis,
) -> Result<Vec<bool>, Fail> {
    if tx.is_full()? {
        return Err(unavailable("the queue file is at its bound").into());
    }
    let mut list = List::open(tx.db, queue.as_str(), "main")?;
    let mut taken = HashSet::new();
    let mut news = Vec::with_capacity(items.len());
    for item in items {
        news.push(match &item.id {
            None => true,
            Some(id) => {
                !taken.contains(id.as_str())
                    && !is_known(tx.db, list.id, ACCEPTED, id, now)?
                    && taken.insert(id.as_str())
            }
        });
    }
    let more = news.iter().filter(|new| **new).count();
    if more > 0 {
        bounded(tx.db, &list, queue, more, high_water)?;
        let fresh = items.iter().zip(&news).filter(|(_, new)| **new);
        list.push(tx.db, fresh.map(|(item, _)| &*item.body))?;
        tx.wake(queue);
    }
    if !taken.is_empty() {
        forget(tx.db, list.id, ACCEPTED, now.saturating_sub(REMEMBERED))?;
        add(tx.db, list.id, ACCEPTED, taken.into_iter().map(|id| (id, now)), MAX_REMEMBERED)?;
    }
    Ok(news)
}

/// Was it noted within the hour?
pub(super) fn is_known(db: &Connection, shard: i64, kind: i64, id: &str, now: Millis) -> rusqlite::Result<bool> {
    let at: Option<Millis> = db
        .prepare_cached("SELECT at FROM mark WHERE shard = ?1 AND kind = ?2 AND id = ?3")?
        .query_row(params![shard, kind, id], |row| row.get(0))
        .optional()?;
    Ok(at.is_some_and(|at| at >= now.saturating_sub(REMEMBERED)))
}

/// Takes a message back.
pub(super) fn cancel(tx: &Tx<'_>, shard: &QueueName, id: &str, now: Millis, until: Millis) -> Result<(), Fail> {
    let list = List::open(tx.db, shard.as_str(), "main")?;
    forget(tx.db, list.id, CANCELLED, now.saturating_add(1))?;
    if until > now {
        add(tx.db, list.id, CANCELLED, std::iter::once((id, until)), MAX_REMEMBERED)?;
    }
    Ok(())
}

/// What is known of ids at a shard.
pub(super) fn of(db: &Connection, shard: i64, ids: &[String]) -> Result<Vec<Mark>, Fail> {
    let any: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM marks WHERE shard = ?1 AND kind IN (?2, ?3) AND n > 0)")?
        .query_row(params![shard, SEEN, CANCELLED], |row| row.get(0))?;
    let mut marks = vec![Mark::default(); ids.len()];
    if any {
        let mut select =
            db.prepare_cached("SELECT kind FROM mark WHERE shard = ?1 AND kind IN (?2, ?3) AND id = ?4")?;
        for (id, mark) in ids.iter().zip(&mut marks) {
            let mut rows = select.query(params![shard, SEEN, CANCELLED, id])?;
            while let Some(row) = rows.next()? {
                match row.get::<_, i64>(0)? {
                    SEEN => mark.seen = true,
                    _ => mark.cancelled = true,
                }
            }
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_oldest_ids_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let db = super::super::schema::open(&dir.path().join("q.db"), 0).unwrap().writer;
        let names: Vec<String> = (0..10).map(|i| format!("id {i}")).collect();
        add(&db, 7, SEEN, names.iter().map(String::as_str).zip(0..), 6).unwrap();
        add(&db, 7, SEEN, [("id 4", 20), ("new", 21)].into_iter(), 6).unwrap();
        let left = || -> Vec<String> {
            let mut all = db.prepare("SELECT id FROM mark WHERE shard = 7 ORDER BY at").unwrap();
            all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(left(), ["id 6", "id 7", "id 8", "id 9", "id 4", "new"]);
        forget(&db, 7, SEEN, 20).unwrap();
        assert_eq!(left(), ["id 4", "new"]);
        assert_eq!(counted(&db, 7, SEEN, 0).unwrap(), 2);
    }
}
