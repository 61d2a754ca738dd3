//! What was read, and what was not.

use std::{collections::HashSet, sync::Arc, time::Duration};

use homing_core::live::{Announcement, Marks, Stream, Unread};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    int, millis,
    streams::{Head, kept, known},
    threads::{Tx, View},
    unsigned,
};
use crate::live::reads::Reads;

/// Streams in which a user has marks; beyond, the marks of the stream where they read longest ago go.
const MOST_MARKED: i64 = 1_024;
/// Read ids that are remembered of a user.
const MOST_DONE: i64 = 4_096;

/// The marks of a user in a life of a stream.
fn reads(db: &Connection, user: &str, stream: &str, epoch: u32) -> rusqlite::Result<Option<Reads>> {
    db.prepare_cached("SELECT watermark, bits FROM mark WHERE user = ?1 AND stream = ?2 AND epoch = ?3")?
        .query_row(params![user, stream, epoch], |row| {
            Ok(Reads { watermark: unsigned(row.get(0)?), bits: row.get(1)? })
        })
        .optional()
}

/// What a user has not read in a stream.
pub(super) fn unread(
    view: &View<'_>,
    user: &str,
    stream: &Stream,
    limit: usize,
    ttl: Duration,
) -> rusqlite::Result<Unread> {
    let name = stream.to_string();
    let Some(head) = Head::find(view.db, &name)? else { return Ok(Unread::default()) };
    let first = first_in_time(view, &head, ttl)?;
    let is_own = matches!(stream, Stream::User(name) if **name == *user);
    let (reads, mut truncated) = match reads(view.db, user, &name, head.epoch)? {
        Some(reads) => {
            let lost = reads.has_lost(first);
            (reads, lost)
        }
        // What left a shared stream before the user's first mark was not theirs to read.
        None => (Reads::default(), is_own && first > 1),
    };
    let mut wanted = Vec::new();
    for offset in (first.max(reads.watermark + 1)..=head.top).rev().filter(|offset| !reads.is_read(*offset)) {
        if wanted.len() == limit {
            truncated = true;
            break;
        }
        wanted.push(offset);
    }
    let mut messages = match wanted.last() {
        Some(lowest) => kept(view, head.id, *lowest, head.top)?,
        None => Vec::new(),
    };
    messages.retain(|stored| !reads.is_read(stored.offset));
    Ok(Unread { truncated, top: head.at(head.top), messages })
}

/// The first message that is not beyond the limit of age: those that are may not be swept away yet.
fn first_in_time(view: &View<'_>, head: &Head, ttl: Duration) -> rusqlite::Result<u64> {
    let first: Option<i64> = view
        .db
        .prepare_cached("SELECT offset FROM message WHERE stream = ?1 AND at > ?2 ORDER BY offset LIMIT 1")?
        .query_row(params![head.id, view.now - millis(ttl)], |row| row.get(0))
        .optional()?;
    Ok(first.map_or(head.top + 1, unsigned))
}

/// Marks messages as read and has the user's other tabs told.
pub(super) fn mark(
    tx: &mut Tx<'_>,
    user: &Arc<str>,
    streams: &[Stream],
    marks: &Marks,
) -> rusqlite::Result<Vec<Arc<str>>> {
    let own = Stream::User(Arc::clone(user));
    let mut fresh: Vec<Arc<str>> = Vec::new();
    match marks {
        Marks::Ids(ids) => {
            let mut new = HashSet::new();
            let all = std::iter::once(&own).chain(streams.iter().filter(|stream| **stream != own));
            for stream in all {
                let name = stream.to_string();
                let Some(head) = Head::find(tx.db, &name)? else { continue };
                let mut reads = reads(tx.db, user, &name, head.epoch)?.unwrap_or_default();
                let mut changed = false;
                for id in ids {
                    let Some(offset) = known(tx.db, head.id, id)? else { continue };
                    let was_unread = if offset < head.first { !is_done(tx.db, user, id)? } else { reads.mark(offset) };
                    changed |= was_unread && offset >= head.first;
                    if was_unread {
                        new.insert(id);
                    }
                }
                if changed {
                    write(tx, user, &name, &head, reads)?;
                }
            }
            // In the order in which they were named.
            fresh = ids.iter().filter(|id| new.remove(id)).cloned().collect();
        }
        Marks::UpTo(stream, to) => {
            let name = stream.to_string();
            if let Some(head) = Head::find(tx.db, &name)?.filter(|head| head.epoch == to.epoch) {
                let mut reads = reads(tx.db, user, &name, head.epoch)?.unwrap_or_default();
                let to = to.offset.min(head.top);
                let mut select = tx
                    .db
                    .prepare_cached("SELECT offset, id FROM message WHERE stream = ?1 AND offset BETWEEN ?2 AND ?3")?;
                let mut rows = select.query(params![head.id, int(reads.watermark + 1), int(to)])?;
                while let Some(row) = rows.next()? {
                    if !reads.is_read(unsigned(row.get(0)?)) {
                        fresh.push(row.get(1)?);
                    }
                }
                if to > reads.watermark {
                    reads.mark_up_to(to);
                    write(tx, user, &name, &head, reads)?;
                }
            }
        }
    }
    if !fresh.is_empty() {
        remember(tx, user, &fresh)?;
        tx.said.push(Announcement::Read { user: Arc::clone(user), ids: fresh.clone() });
    }
    Ok(fresh)
}

fn write(tx: &Tx<'_>, user: &str, name: &str, head: &Head, mut reads: Reads) -> rusqlite::Result<()> {
    reads.settle(head.first);
    tx.db
        .prepare_cached(
            "INSERT OR REPLACE INTO mark (user, stream, epoch, watermark, bits, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![user, name, head.epoch, int(reads.watermark), reads.bits, tx.now])?;
    tx.db
        .prepare_cached(
            "DELETE FROM mark WHERE user = ?1 AND stream IN \
             (SELECT stream FROM mark WHERE user = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![user, MOST_MARKED])
        .map(drop)
}

fn remember(tx: &Tx<'_>, user: &str, ids: &[Arc<str>]) -> rusqlite::Result<()> {
    let mut insert = tx.db.prepare_cached("INSERT OR REPLACE INTO done (user, id, at) VALUES (?1, ?2, ?3)")?;
    for id in ids {
        insert.execute(params![user, id, tx.now])?;
    }
    tx.db
        .prepare_cached(
            "DELETE FROM done WHERE user = ?1 AND id IN \
             (SELECT id FROM done WHERE user = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![user, MOST_DONE])
        .map(drop)
}

fn is_done(db: &Connection, user: &str, id: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM done WHERE user = ?1 AND id = ?2")?.exists(params![user, id])
}

/// Has the user read the message with that id?
pub(super) fn was_read(db: &Connection, user: &str, id: &str) -> rusqlite::Result<bool> {
    if is_done(db, user, id)? {
        return Ok(true);
    }
    for stream in [Stream::User(user.into()), Stream::Everyone] {
        let name = stream.to_string();
        let Some(head) = Head::find(db, &name)? else { continue };
        // Of what has left the stream only the list of read ids knows.
        let Some(offset) = known(db, head.id, id)?.filter(|offset| *offset >= head.first) else { continue };
        if reads(db, user, &name, head.epoch)?.is_some_and(|reads| reads.is_read(offset)) {
            return Ok(true);
        }
    }
    Ok(false)
}
