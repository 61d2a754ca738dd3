//! A list as it lies in the tables; see `schema.rs`.

use bytes::Bytes;
use homing_core::queue::Log;
use rusqlite::{Connection, OptionalExtension, Row, params, types::ValueRef};

use super::schema::NUMBER_BITS;

/// The dead letters of a shard.
pub(super) const DEAD: &str = ".dead";
/// The trace of a shard.
pub(super) const TRACE: &str = ".trace";

/// A row of `list`.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) id: i64,
    /// Number of the next item.
    pub(super) next: i64,
    /// A sequence is a number plus this.
    pub(super) shift: i64,
    /// Sequence of the first item.
    pub(super) head: i64,
}

/// An item with its number.
pub(super) struct Numbered {
    pub(super) number: i64,
    pub(super) body: Bytes,
}

const NUMBER: i64 = (1 << NUMBER_BITS) - 1;

impl List {
    /// The list, if it was ever used.
    pub(super) fn find(db: &Connection, shard: &str, log: &str) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached("SELECT id, next, shift, head FROM list WHERE shard = ?1 AND log = ?2")?
            .query_row(params![shard, log], |row| {
                Ok(Self { id: row.get(0)?, next: row.get(1)?, shift: row.get(2)?, head: row.get(3)? })
            })
            .optional()
    }

    /// The list; it is on the books from now on.
    pub(super) fn open(db: &Connection, shard: &str, log: &str) -> rusqlite::Result<Self> {
        if let Some(list) = Self::find(db, shard, log)? {
            return Ok(list);
        }
        db.prepare_cached("INSERT INTO list (shard, log) VALUES (?1, ?2)")?.execute(params![shard, log])?;
        Self::find(db, shard, log)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// The id of item `number`.
    pub(super) fn item(&self, number: i64) -> i64 {
        self.id << NUMBER_BITS | (number & NUMBER)
    }

    /// The ids of this list are from here ..
    pub(super) fn from(&self) -> i64 {
        self.id << NUMBER_BITS
    }

    /// .. to below this one.
    pub(super) fn until(&self) -> i64 {
        (self.id + 1) << NUMBER_BITS
    }

    /// The number that stands for a sequence.
    pub(super) fn number(&self, seq: i64) -> i64 {
        seq - self.shift
    }

    /// The item in front.
    pub(super) fn first(&self, db: &Connection) -> rusqlite::Result<Option<Numbered>> {
        db.prepare_cached("SELECT id, body FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1")?
            .query_row(params![self.from(), self.until()], numbered)
            .optional()
    }

    /// How many numbers lie between the first and the last item. (Gaps in between are found by peeks and trims.)
    pub(super) fn length(&self, db: &Connection) -> rusqlite::Result<i64> {
        let end = |sql| {
            db.prepare_cached(sql)?.query_row(params![self.from(), self.until()], |row| row.get::<_, i64>(0)).optional()
        };
        let first = end("SELECT id FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1")?;
        let last = end("SELECT id FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1")?;
        Ok(first.zip(last).map_or(0, |(first, last)| last - first + 1))
    }

    /// Appends items.
    pub(super) fn push<'a>(&mut self, db: &Connection, bodies: impl Iterator<Item = &'a [u8]>) -> rusqlite::Result<()> {
        let mut insert = db.prepare_cached("INSERT INTO item (id, body) VALUES (?1, ?2)")?;
        let before = self.next;
        for body in bodies {
            insert.execute(params![self.item(self.next), body])?;
            self.next += 1;
        }
        if self.next != before {
            db.prepare_cached("UPDATE list SET next = ?2 WHERE id = ?1")?.execute(params![self.id, self.next])?;
        }
        Ok(())
    }

    /// Items from `number` on, in order, gaps or not, at most `most`; stops after the one that passes `bytes`.
    pub(super) fn read(
        &self,
        db: &Connection,
        number: i64,
        most: usize,
        bytes: usize,
    ) -> rusqlite::Result<Vec<Numbered>> {
        let mut select =
            db.prepare_cached("SELECT id, body FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
        let most = i64::try_from(most.max(1)).unwrap_or(i64::MAX);
        let mut rows = select.query(params![self.item(number), self.until(), most])?;
        let (mut items, mut size) = (Vec::new(), 0);
        while size < bytes.max(1)
            && let Some(row) = rows.next()?
        {
            let item = numbered(row)?;
            size += item.body.len();
            items.push(item);
        }
        Ok(items)
    }

    /// Deletes items from `number` to below `until`; answers how many there were.
    pub(super) fn delete(&self, db: &Connection, number: i64, until: i64) -> rusqlite::Result<usize> {
        db.prepare_cached("DELETE FROM item WHERE id >= ?1 AND id < ?2")?
            .execute(params![self.item(number), self.from() + until])
    }

    /// Deletes the first `n` items, whatever their numbers are.
    pub(super) fn drop_first(&self, db: &Connection, n: i64) -> rusqlite::Result<()> {
        db.prepare_cached(
            "DELETE FROM item WHERE id IN (SELECT id FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![self.from(), self.until(), n])?;
        Ok(())
    }
}

fn numbered(row: &Row<'_>) -> rusqlite::Result<Numbered> {
    Ok(Numbered { number: row.get::<_, i64>(0)? & NUMBER, body: body(row.get_ref(1)?) })
}

/// A producer of its own may have written text or a number.
pub(super) fn body(value: ValueRef<'_>) -> Bytes {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Bytes::copy_from_slice(bytes),
        ValueRef::Integer(n) => Bytes::from(n.to_string()),
        ValueRef::Real(n) => Bytes::from(n.to_string()),
        ValueRef::Null => Bytes::new(),
    }
}

/// All lists of a shard that hold its work, by name.
pub(super) fn logs(db: &Connection, shard: &str) -> rusqlite::Result<Vec<(Log, List, Bytes, i64)>> {
    let mut select = db.prepare_cached(
        "SELECT id, next, shift, head, log, checkpoint, finished FROM list \
         WHERE shard = ?1 AND log NOT IN ('.dead', '.trace') ORDER BY log <> 'main', log <> 'retry', id",
    )?;
    let rows = select.query_map(params![shard], |row| {
        let list = List { id: row.get(0)?, next: row.get(1)?, shift: row.get(2)?, head: row.get(3)? };
        Ok((Log::named(row.get(4)?), list, body(row.get_ref(5)?), row.get(6)?))
    })?;
    rows.collect()
}
