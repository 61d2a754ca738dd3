//! Streams: storing and reading. Ids are forgotten as on Redis: those of kept messages never, others when the window
//! after theirs has ended and another message comes, and beyond [`MOST_IDS`] in any case.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::live::{Announcement, Backlog, Once, Position, Post, Posted, Stored, Stream};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    int, millis, once,
    threads::{Tx, View},
    unsigned,
};

/// Ids that are remembered beyond those of kept messages.
const MOST_IDS: u64 = 65_536;

/// A row of `stream`.
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) epoch: u32,
    pub(super) top: u64,
    /// The first kept message; above `top` where there is none.
    pub(super) first: u64,
    bytes: u64,
    /// When the first kept one came.
    oldest: i64,
    looked: i64,
    current: u64,
    past: u64,
}

impl Head {
    pub(super) fn find(db: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(
            "SELECT id, epoch, top, first, bytes, oldest, looked, current, past FROM stream WHERE name = ?1",
        )?
        .query_row([name], Self::read)
        .optional()
    }

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |at| row.get::<_, i64>(at).map(unsigned);
        Ok(Self {
            id: row.get(0)?,
            epoch: row.get(1)?,
            top: number(2)?,
            first: number(3)?,
            bytes: number(4)?,
            oldest: row.get(5)?,
            looked: row.get(6)?,
            current: number(7)?,
            past: number(8)?,
        })
    }

    fn make(tx: &Tx<'_>, name: &str) -> rusqlite::Result<Self> {
        tx.db
            .prepare_cached(
                "INSERT INTO stream (name, epoch, top, first, bytes, oldest, newest, looked, current, past) \
                 VALUES (?1, ?2, 0, 1, 0, ?3, ?3, ?3, 0, 0) \
                 RETURNING id, epoch, top, first, bytes, oldest, looked, current, past",
            )?
            .query_row(params![name, epoch(), tx.now], Self::read)
    }

    pub(super) fn at(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    /// Takes the first kept message out.
    fn drop_first(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let size: Option<i64> = db
            .prepare_cached(
                "DELETE FROM message WHERE stream = ?1 AND offset = ?2 \
                 RETURNING length(body) + length(CAST(id AS BLOB))",
            )?
            .query_row(params![self.id, int(self.first)], |row| row.get(0))
            .optional()?;
        self.bytes = self.bytes.saturating_sub(size.map_or(0, unsigned));
        self.first += 1;
        let next = db
            .prepare_cached("SELECT at FROM message WHERE stream = ?1 AND offset = ?2")?
            .query_row(params![self.id, int(self.first)], |row| row.get(0))
            .optional()?;
        self.oldest = next.unwrap_or(i64::MAX);
        Ok(())
    }

    /// Takes out what came before a time, at most so many; answers how many.
    pub(super) fn drop_before(&mut self, db: &Connection, time: i64, most: i64) -> rusqlite::Result<i64> {
        let mut dropped = 0;
        while dropped < most && self.first <= self.top && self.oldest <= time {
            self.drop_first(db)?;
            dropped += 1;
        }
        Ok(dropped)
    }

    pub(super) fn forget_ids(&self, db: &Connection, up_to: u64) -> rusqlite::Result<()> {
        let up_to = up_to.min(self.first - 1);
        db.prepare_cached("DELETE FROM known WHERE stream = ?1 AND offset <= ?2")?
            .execute(params![self.id, int(up_to)])
            .map(drop)
    }

    pub(super) fn write(&self, db: &Connection, newest: Option<i64>) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE stream SET top = ?2, first = ?3, bytes = ?4, oldest = ?5, newest = ifnull(?6, newest), \
             looked = ?7, current = ?8, past = ?9 WHERE id = ?1",
        )?
        .execute(params![
            self.id,
            int(self.top),
            int(self.first),
            int(self.bytes),
            self.oldest,
            newest,
            self.looked,
            int(self.current),
            int(self.past)
        ])
        .map(drop)
    }
}

/// Where an id stands in a stream, kept or not.
pub(super) fn known(db: &Connection, stream: i64, id: &str) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT offset FROM known WHERE stream = ?1 AND id = ?2")?
        .query_row(params![stream, id], |row| row.get(0).map(unsigned))
        .optional()
}

/// Stores a message, if it is none that was stored or taken before, and has it announced.
pub(super) fn store(tx: &mut Tx<'_>, post: &Post) -> rusqlite::Result<Posted> {
    let name = post.stream.to_string();
    let copy = match &post.once {
        Once::Copy { hash, node } => Some((*hash, once::copied(tx, &name, *hash, node, &post.id)?)),
        Once::Id | Once::Due { .. } => None,
    };
    let (mut fresh, mut place) = match (&copy, &post.once) {
        (Some((_, once::Copied::New(_))), _) | (None, Once::Id | Once::Copy { .. }) => (true, None),
        (Some((_, once::Copied::Old(place))), _) => (false, *place),
        (None, Once::Due { member }) => (once::take(tx, member)?, None),
    };
    let mut head = Head::find(tx.db, &name)?;
    if let Some(head) = &head
        && let Some(offset) = known(tx.db, head.id, &post.id)?
    {
        (fresh, place) = (false, Some(offset));
    }
    if fresh {
        let head = match &mut head {
            Some(head) => head,
            None => head.insert(Head::make(tx, &name)?),
        };
        append(tx, head, post)?;
        place = Some(head.top);
    }
    if let (Some((hash, once::Copied::New(n))), Some(offset)) = (&copy, place) {
        once::stands(tx.db, &name, *hash, *n, offset)?;
    }
    let at = head.zip(place).map(|(head, offset)| head.at(offset)).unwrap_or_default();
    Ok(Posted { at, fresh })
}

fn append(tx: &mut Tx<'_>, head: &mut Head, post: &Post) -> rusqlite::Result<()> {
    let settings = tx.settings;
    let most = match post.stream {
        Stream::Everyone => settings.everyone_messages,
        Stream::User(_) | Stream::Group(_) => settings.max_messages,
    } as u64;
    if head.first > head.top {
        head.oldest = tx.now;
    }
    head.top += 1;
    let expires = post.expires_at.map_or(0, |at| at.max(1));
    tx.db
        .prepare_cached("INSERT INTO message (stream, offset, id, at, expires, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![head.id, int(head.top), post.id, tx.now, expires, &*post.body])?;
    head.bytes += (post.body.len() + post.id.len()) as u64;
    while head.first < head.top
        && (head.top - head.first >= most
            || head.bytes > settings.max_bytes as u64
            || head.oldest <= tx.now - millis(settings.ttl))
    {
        head.drop_first(tx.db)?;
    }
    tx.db.prepare_cached("INSERT INTO known (stream, id, offset) VALUES (?1, ?2, ?3)")?.execute(params![
        head.id,
        post.id,
        int(head.top)
    ])?;
    if tx.now - head.looked >= millis(settings.id_window) {
        (head.past, head.current, head.looked) = (head.current, head.top - 1, tx.now);
        head.forget_ids(tx.db, head.past)?;
    } else if head.top.is_multiple_of(256) {
        head.forget_ids(tx.db, head.top.saturating_sub(MOST_IDS))?;
    }
    head.write(tx.db, Some(tx.now))?;
    let (stream, at, body) = (post.stream.clone(), Some(head.at(head.top)), post.body.clone());
    tx.said.push(Announcement::Message { stream, at, body });
    Ok(())
}

/// What came after a position.
pub(super) fn after(
    view: &View<'_>,
    stream: &Stream,
    at: Position,
    limit: usize,
    ttl: Duration,
) -> rusqlite::Result<Backlog> {
    let Some(head) = Head::find(view.db, &stream.to_string())? else {
        return Ok(Backlog { recovered: at == Position::default(), ..Backlog::default() });
    };
    let lost = Backlog { recovered: false, top: head.at(head.top), messages: Vec::new() };
    if at.epoch != head.epoch || at.offset > head.top || at.offset + 1 < head.first {
        return Ok(lost);
    }
    let missed = head.top - at.offset;
    // The oldest of them is the first that is too old.
    if missed > limit as u64 || (missed > 0 && too_old(view, head.id, at.offset + 1, ttl)?) {
        return Ok(lost);
    }
    Ok(Backlog { recovered: true, messages: kept(view, head.id, at.offset + 1, head.top)?, ..lost })
}

/// Is the message at this offset beyond the limit of age, or gone?
fn too_old(view: &View<'_>, stream: i64, offset: u64, ttl: Duration) -> rusqlite::Result<bool> {
    let at: Option<i64> = view
        .db
        .prepare_cached("SELECT at FROM message WHERE stream = ?1 AND offset = ?2")?
        .query_row(params![stream, int(offset)], |row| row.get(0))
        .optional()?;
    Ok(at.is_none_or(|at| at <= view.now - millis(ttl)))
}

/// Messages of a range that somebody may want still.
pub(super) fn kept(view: &View<'_>, stream: i64, from: u64, to: u64) -> rusqlite::Result<Vec<Stored>> {
    let mut select = view.db.prepare_cached(
        "SELECT offset, id, body FROM message WHERE stream = ?1 AND offset BETWEEN ?2 AND ?3 \
         AND (expires = 0 OR expires > ?4) ORDER BY offset",
    )?;
    let rows = select.query_map(params![stream, int(from), int(to), view.now], |row| {
        let (id, body): (Arc<str>, Vec<u8>) = (row.get(1)?, row.get(2)?);
        Ok(Stored { offset: unsigned(row.get(0)?), id, body: Bytes::from(body) })
    })?;
    rows.collect()
}

/// Any but 0.
fn epoch() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits")]
    let epoch = std::collections::hash_map::RandomState::new().build_hasher().finish() as u32;
    epoch.max(1)
}
