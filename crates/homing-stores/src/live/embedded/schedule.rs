//! Messages that wait for their time, in the file.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{Agenda, Due, LiveDown, Schedule},
};
use rusqlite::{OptionalExtension, params};

use super::{EmbeddedLive, int, threads::View};
use crate::live::failure::check_member;

const PART: &str = "schedule";

impl Schedule for EmbeddedLive {
    fn put<'a>(&'a self, id: &'a str, member: &'a [u8], at: Millis) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            let what = self.what(PART);
            check_member(&what, id, member)?;
            let (id, member) = (id.to_owned(), member.to_vec());
            let put = move |tx: &mut super::threads::Tx<'_>| {
                *tx.changed = true;
                // Whatever had that id, or is the same member under another, goes.
                tx.db
                    .prepare_cached("INSERT OR REPLACE INTO due (at, id, member) VALUES (?1, ?2, ?3)")?
                    .execute(params![at, id, member])
                    .map(drop)
            };
            self.store.writer.run(&what, put).await
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, LiveDown>> {
        Box::pin(async move {
            let id = id.to_owned();
            let cancel = move |tx: &mut super::threads::Tx<'_>| {
                let taken = tx.db.prepare_cached("DELETE FROM due WHERE id = ?1")?.execute([id])?;
                *tx.changed |= taken > 0;
                Ok(taken > 0)
            };
            self.store.writer.run(&self.what(PART), cancel).await
        })
    }

    fn look(&self, limit: usize) -> BoxFuture<'_, Result<Agenda, LiveDown>> {
        Box::pin(async move { self.store.reader.run(&self.what(PART), move |view| agenda(view, limit)).await })
    }

    fn bury<'a>(&'a self, member: &'a [u8], why: &'a str) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            let (member, why) = (member.to_vec(), why.to_owned());
            let bury = move |tx: &mut super::threads::Tx<'_>| {
                if tx.db.prepare_cached("DELETE FROM due WHERE member = ?1")?.execute([&member])? == 0 {
                    return Ok(());
                }
                tx.db
                    .prepare_cached("INSERT INTO dead (at, why, member) VALUES (?1, ?2, ?3)")?
                    .execute(params![tx.now, why, member])?;
                let most = int(tx.settings.schedule.dead_max.max(1) as u64);
                tx.db
                    .prepare_cached("DELETE FROM dead WHERE n <= (SELECT max(n) FROM dead) - ?1")?
                    .execute([most])
                    .map(drop)
            };
            self.store.writer.run(&self.what(PART), bury).await
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.listener.changed.notified())
    }
}

fn agenda(view: &View<'_>, limit: usize) -> rusqlite::Result<Agenda> {
    let mut select = view.db.prepare_cached("SELECT member, at FROM due WHERE at <= ?1 ORDER BY at, n LIMIT ?2")?;
    let one_more = int(limit as u64).saturating_add(1);
    let rows = select.query_map(params![view.now, one_more], |row| {
        Ok(Due { member: Bytes::from(row.get::<_, Vec<u8>>(0)?), at: row.get::<_, Millis>(1)?.max(0) })
    })?;
    let mut due = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    if due.len() > limit {
        due.truncate(limit);
        return Ok(Agenda { due, next: Some(0) });
    }
    let next: Option<Millis> = view
        .db
        .prepare_cached("SELECT at FROM due WHERE at > ?1 ORDER BY at LIMIT 1")?
        .query_row([view.now], |row| row.get(0))
        .optional()?;
    Ok(Agenda { due, next: next.map(|at| at.saturating_sub(view.now)) })
}
