//! [`Shard::resync`](homing_core::queue::Shard::resync) in one transaction: gaps are closed, then the books are set.

use homing_core::queue::{Error, Log, LogState, Snapshot};
use rusqlite::{Connection, params};

use super::{
    commit::{count, int},
    error::Fail,
    inspect,
    lease::Held,
    list::{DEAD, List, body, logs},
    writer::Tx,
};
use crate::resync::{Found, plan, reads_main, reads_own};

/// Items per read.
const PAGE: usize = 1_000;

/// What was found and set.
pub(super) struct Resynced {
    pub(super) taken: u64,
    pub(super) logs: Vec<LogState>,
}

/// Runs as commit `number` of the lease. `None` if a commit of that number had run: then ask again with the next.
pub(super) fn run(tx: &Tx<'_>, held: &Held, number: i64, lease_ms: i64) -> Result<Option<Resynced>, Fail> {
    let (db, name) = (tx.db, held.name.as_str());
    let last = held.check(db)?;
    if number <= last {
        return Ok(None);
    }
    if number != last + 1 {
        return Err(Error::RolledBack(held.name.clone()).into());
    }
    // All that ever came in, before numbers are given anew.
    let came = logs(db, name)?.into_iter().find(|(log, ..)| *log == Log::MAIN).map_or(0, |(_, l, ..)| l.next + l.shift);
    for (_, list, ..) in logs(db, name)? {
        close_gaps(db, &list, list.head)?;
    }
    if let Some(dead) = List::find(db, name, DEAD)? {
        close_gaps(db, &dead, dead.head)?;
    }
    let snapshot = inspect::shard(db, name)?;
    let main = if reads_main(&snapshot) { Some(read_main(db, name)?) } else { None };
    let own = if reads_own(&snapshot) { Some(read_own(db, held, &snapshot)?) } else { None };
    let plan = plan(&snapshot, u64::try_from(came).unwrap_or(0), main, own);
    if let Some(main) = List::find(db, name, Log::MAIN.name())? {
        close_gaps(db, &main, int(plan.head))?;
    }
    db.prepare_cached("UPDATE list SET checkpoint = x'', finished = 0 WHERE shard = ?1")?.execute([name])?;
    count(db, held.id, &plan.counts)?;
    held.extend(tx, lease_ms, Some(number))?;
    let state = |(log, list, checkpoint, _): (Log, List, _, _)| LogState {
        log,
        head: u64::try_from(list.head).unwrap_or(0),
        checkpoint,
    };
    Ok(Some(Resynced { taken: plan.taken, logs: logs(db, name)?.into_iter().map(state).collect() }))
}

/// Gives the items consecutive numbers, the first of which stands for sequence `head`.
fn close_gaps(db: &Connection, list: &List, head: i64) -> Result<(), Fail> {
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM item WHERE id >= ?1 AND id < ?2")?
        .query_row(params![list.from(), list.until()], |row| row.get(0))?;
    let first = list.first(db)?.map_or(list.next, |item| item.number);
    if count != list.length(db)? {
        let mut ids = db.prepare("SELECT id FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
        let ids: Vec<i64> =
            ids.query_map(params![list.from(), list.until()], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut renumber = db.prepare("UPDATE item SET id = ?2 WHERE id = ?1")?;
        for (number, id) in (first..).zip(ids) {
            if list.item(number) != id {
                renumber.execute([id, list.item(number)])?;
            }
        }
    }
    db.prepare_cached("UPDATE list SET head = ?2, shift = ?3, next = ?4 WHERE id = ?1")?.execute(params![
        list.id,
        head,
        head - first,
        first + count
    ])?;
    Ok(())
}

fn each(db: &Connection, list: &List, mut see: impl FnMut(&[u8])) -> Result<(), Fail> {
    let mut number = 0;
    loop {
        let page = list.read(db, number, PAGE, 8 << 20)?;
        let Some(last) = page.last() else { return Ok(()) };
        number = last.number + 1;
        page.iter().for_each(|item| see(&item.body));
    }
}

fn read_main(db: &Connection, name: &str) -> Result<Found, Fail> {
    let mut found = Found::default();
    if let Some(main) = List::find(db, name, Log::MAIN.name())? {
        each(db, &main, |body| found.main(body))?;
    }
    Ok(found)
}

fn read_own(db: &Connection, held: &Held, snapshot: &Snapshot) -> Result<Found, Fail> {
    let mut found = Found::default();
    for log in snapshot.logs.iter().filter(|l| l.log != Log::MAIN) {
        if let Some(list) = List::find(db, held.name.as_str(), log.log.name())? {
            each(db, &list, |body| found.own(body))?;
        }
    }
    let mut select = db.prepare("SELECT body FROM delayed WHERE shard = ?1")?;
    let mut rows = select.query([held.id])?;
    while let Some(row) = rows.next()? {
        found.own(&body(row.get_ref(0)?));
    }
    Ok(found)
}
