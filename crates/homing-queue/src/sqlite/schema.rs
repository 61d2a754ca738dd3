//! The tables, and how a connection is set up.
//!
//! A list is a row of `list` and a range of `item`: the id of an item is the list's id times 2^40 plus its number, so
//! each list lies together in its order and needs no index. Numbers begin at 2^32; `next` is the number of the next
//! item, `shift` plus a number is a sequence. The dead list and the trace are lists, too (`.dead`, `.trace`). A
//! shard's id is that of its main list.
//!
//! A producer that knows nothing of this inserts into the view `queue`:
//! `INSERT INTO queue (name, body) VALUES ('message_queue_1', '{"type":7,...}')`.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::OpenError;

/// The schema's version, in `user_version`.
const VERSION: i64 = 1;

/// "homi", in `application_id`.
const APPLICATION: i64 = 0x686f_6d69;

/// Bits of an item's number within its list.
pub(super) const NUMBER_BITS: u32 = 40;

const SCHEMA: &str = "
CREATE TABLE list (
  id INTEGER PRIMARY KEY,
  shard TEXT NOT NULL,
  log TEXT NOT NULL,
  next INTEGER NOT NULL DEFAULT 4294967296,
  shift INTEGER NOT NULL DEFAULT -4294967296,
  head INTEGER NOT NULL DEFAULT 0,
  checkpoint BLOB NOT NULL DEFAULT x'',
  finished INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE (shard, log)
);
CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE shard (
  id INTEGER PRIMARY KEY REFERENCES list (id),
  token TEXT,
  expires INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  first_epoch INTEGER NOT NULL,
  birth TEXT NOT NULL,
  commits INTEGER NOT NULL,
  clean INTEGER NOT NULL,
  suspect TEXT NOT NULL,
  suspicion INTEGER NOT NULL
);
CREATE TABLE delayed (id INTEGER PRIMARY KEY, shard INTEGER NOT NULL, due INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX delayed_due ON delayed (shard, due);
CREATE TABLE ledger (
  shard INTEGER NOT NULL, field TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shard, field)
) WITHOUT ROWID;
CREATE TABLE value (
  shard INTEGER NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (shard, name)
) WITHOUT ROWID;
CREATE TABLE mark (
  shard INTEGER NOT NULL, kind INTEGER NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (shard, kind, id)
) WITHOUT ROWID;
CREATE INDEX mark_at ON mark (shard, kind, at);
CREATE TABLE marks (
  shard INTEGER NOT NULL, kind INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (shard, kind)
) WITHOUT ROWID;
CREATE VIEW queue (name, seq, body) AS
  SELECT list.shard, (item.id & 1099511627775) + list.shift, item.body FROM list
  JOIN item ON item.id >= list.id << 40 AND item.id < list.id + 1 << 40 WHERE list.log = 'main';
CREATE TRIGGER queue_insert INSTEAD OF INSERT ON queue BEGIN
  INSERT INTO list (shard, log) VALUES (NEW.name, 'main') ON CONFLICT DO NOTHING;
  INSERT INTO item (id, body)
    SELECT id << 40 | next, CAST(NEW.body AS BLOB) FROM list WHERE shard = NEW.name AND log = 'main';
  UPDATE list SET next = next + 1 WHERE shard = NEW.name AND log = 'main';
END;
";

/// What came after the first version: older programs open the file as before and know nothing of it.
const LATER: &str = "CREATE TABLE IF NOT EXISTS notice (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;";

/// A database of Homing's: the connection that writes and the one that reads.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
}

/// Opens the file, and makes it one of ours if it is new. `max_bytes` bounds what may be written to it; 0 = no bound.
pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Opened, OpenError> {
    let sqlite = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        _ => OpenError::Sqlite { path: path.to_owned(), source },
    };
    let mut writer = connect(path).map_err(sqlite)?;
    prepare(path, &mut writer)?;
    bound(&writer, max_bytes).map_err(sqlite)?;
    let reader = connect(path).map_err(sqlite)?;
    reader.pragma_update(None, "query_only", true).map_err(sqlite)?;
    Ok(Opened { writer, reader })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    Ok(connection)
}

fn prepare(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let foreign = || OpenError::Foreign { path: path.to_owned() };
    let look = |connection: &Connection| -> rusqlite::Result<(i64, i64, i64)> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, objects))
    };
    let judge = |(application, version, objects): (i64, i64, i64)| match (application, version) {
        (APPLICATION, VERSION) => Ok(true),
        (APPLICATION, found) => Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION }),
        (0, 0) if objects == 0 => Ok(false),
        _ => Err(foreign()),
    };
    // Before anything is changed in a file that may be somebody else's.
    let ours = judge(look(connection).map_err(sqlite)?)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        return Err(OpenError::NoWal { path: path.to_owned(), mode });
    }
    connection.pragma_update(None, "wal_autocheckpoint", 2_000).map_err(sqlite)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(sqlite)?;
    if ours {
        return connection.execute_batch(LATER).map_err(sqlite);
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    // Another process may have been faster.
    if !judge(look(&tx).map_err(sqlite)?)? {
        tx.execute_batch(SCHEMA).map_err(sqlite)?;
        tx.execute_batch(LATER).map_err(sqlite)?;
        tx.pragma_update(None, "application_id", APPLICATION).map_err(sqlite)?;
        tx.pragma_update(None, "user_version", VERSION).map_err(sqlite)?;
    }
    tx.commit().map_err(sqlite)
}

/// Producers stop at `max_bytes` (the writer looks); owners may go on beyond it by an eighth, so that a full file still
/// drains.
fn bound(connection: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    if max_bytes > 0 {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let bytes =
            i64::try_from(max_bytes.saturating_add(max_bytes / 8).saturating_add(256 << 10)).unwrap_or(i64::MAX);
        connection.query_row(&format!("PRAGMA max_page_count = {}", (bytes / page.max(1)).max(1)), [], |_| Ok(()))?;
    }
    Ok(())
}

/// Pages in use and their size.
pub(super) fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
    let pages = pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?;
    Ok(u64::try_from(pages * pragma("PRAGMA page_size")?).unwrap_or(0))
}
