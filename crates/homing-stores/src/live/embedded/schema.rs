//! The tables, and how the file is opened.
//!
//! A stream's kept messages are `first` to `top`; `known` has their ids and those of the last window, see `streams.rs`.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// The schema's version, in `user_version`.
const VERSION: i64 = 1;

/// "homl", in `application_id`.
const APPLICATION: i64 = 0x686f_6d6c;

const SCHEMA: &str = "
CREATE TABLE stream (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  epoch INTEGER NOT NULL,
  top INTEGER NOT NULL,
  first INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  oldest INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  looked INTEGER NOT NULL,
  current INTEGER NOT NULL,
  past INTEGER NOT NULL
);
CREATE INDEX stream_oldest ON stream (oldest) WHERE first <= top;
CREATE INDEX stream_newest ON stream (newest);
CREATE TABLE message (
  stream INTEGER NOT NULL, offset INTEGER NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY (stream, offset)
) WITHOUT ROWID;
CREATE TABLE known (
  stream INTEGER NOT NULL, id TEXT NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (stream, id)
) WITHOUT ROWID;
CREATE INDEX known_offset ON known (stream, offset);
CREATE TABLE mark (
  user TEXT NOT NULL, stream TEXT NOT NULL, epoch INTEGER NOT NULL, watermark INTEGER NOT NULL, bits BLOB NOT NULL,
  at INTEGER NOT NULL, PRIMARY KEY (user, stream)
) WITHOUT ROWID;
CREATE INDEX mark_at ON mark (at);
CREATE TABLE done (user TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (user, id)) WITHOUT ROWID;
CREATE INDEX done_at ON done (at);
CREATE TABLE copy (
  stream TEXT NOT NULL, hash INTEGER NOT NULL, done INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (stream, hash)
) WITHOUT ROWID;
CREATE INDEX copy_at ON copy (at);
CREATE TABLE heard (
  stream TEXT NOT NULL, hash INTEGER NOT NULL, node TEXT NOT NULL, n INTEGER NOT NULL, id TEXT NOT NULL,
  PRIMARY KEY (stream, hash, node, n)
) WITHOUT ROWID;
CREATE TABLE place (
  stream TEXT NOT NULL, hash INTEGER NOT NULL, n INTEGER NOT NULL, offset INTEGER NOT NULL,
  PRIMARY KEY (stream, hash, n)
) WITHOUT ROWID;
CREATE TABLE due (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, member BLOB NOT NULL UNIQUE);
CREATE INDEX due_at ON due (at, n);
CREATE TABLE dead (n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, why TEXT NOT NULL, member BLOB NOT NULL);
";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes this the only process that has the file open, as long as the answer lives.
pub(super) fn lock(path: &Path) -> Result<File, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::create(&name).map_err(|error| format!("cannot make {}: {error}", name.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another process has the file open, and only one may".into()),
        Err(TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", name.display()).into()),
    }
}

/// Opens the file, and makes it one of ours if it is new: the connection that writes and the one that reads.
pub(super) fn open(path: &Path) -> Result<(Connection, Connection), Failure> {
    let mut writer = connect(path)?;
    prepare(path, &mut writer)?;
    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true)?;
    Ok((writer, reader))
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

fn prepare(path: &Path, connection: &mut Connection) -> Result<(), Failure> {
    let foreign = || format!("{} is no live store of Homing", path.display());
    let look = |connection: &Connection| -> rusqlite::Result<(i64, i64, i64)> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, objects))
    };
    match look(connection)? {
        (APPLICATION, VERSION, _) => return Ok(()),
        (APPLICATION, found, _) => {
            return Err(format!("the file has schema version {found}; this program knows {VERSION}").into());
        }
        (0, 0, 0) => {}
        _ => return Err(foreign().into()),
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("the file cannot be in WAL mode (it is in mode {mode}): use a local file system").into());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if look(&tx)?.2 == 0 {
        tx.execute_batch(SCHEMA)?;
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(tx.commit()?)
}
