//! SQLite: a file, opened for reading only.
//!
//! A statement that takes too long is interrupted from inside by a handler that looks at the clock: the thread that runs
//! it cannot be stopped from outside. A file that another process has locked is waited for within the same time.

use std::path::Path;
use std::str::FromStr;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteQueryResult, SqliteRow};
use sqlx::{ConnectOptions, Row as _, Sqlite, ValueRef as _};
use tokio::time::Instant;

use crate::sql::dialect::Dialect;
use crate::sql::pool::{Driver, Settings};
use crate::sql::server::Kind;

/// Steps of the machine between two looks at the clock, about a tenth of a millisecond.
const STEPS: i32 = 10_000;

impl Driver for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;

    fn options(url: &str, settings: &Settings) -> Result<SqliteConnectOptions, String> {
        if !url.starts_with("sqlite:") {
            return Err("must begin with sqlite: and name a file, sqlite:/var/lib/company/users.db".to_owned());
        }
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err("names no file; a database in memory is nobody's".to_owned());
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|error| error.to_string())?;
        // Who reads is not to wait for who writes.
        let options =
            if settings.create { options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal) } else { options };
        Ok(options
            .create_if_missing(settings.create)
            .read_only(settings.read_only)
            .busy_timeout(settings.timeout)
            .disable_statement_logging())
    }

    fn prepare(connection: &mut SqliteConnection, settings: Settings) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if settings.read_only {
                sqlx::raw_sql("PRAGMA query_only = ON").execute(&mut *connection).await?;
            }
            Ok(())
        })
    }

    fn limit(connection: &mut SqliteConnection, deadline: Instant) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let deadline = deadline.into_std();
            let mut handle = connection.lock_handle().await?;
            handle.set_progress_handler(STEPS, move || std::time::Instant::now() < deadline);
            Ok(())
        })
    }

    fn file(options: &SqliteConnectOptions) -> Option<&Path> {
        Some(options.get_filename())
    }

    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    /// It lets in one at a time; the others wait here, and not for its lock.
    const WRITERS: u32 = 1;

    /// BUSY and LOCKED, and a key that stands there.
    fn of_a_conflict(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6) || matches!(code, 1555 | 2067))
    }

    fn affected(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }

    /// Bytes of a value of another class than text are SQLite's own text of it.
    fn text(row: &SqliteRow, index: usize) -> Result<Option<String>, sqlx::Error> {
        if row.try_get_raw(index)?.is_null() {
            return Ok(None);
        }
        let bytes: Vec<u8> = row.try_get_unchecked(index)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn kind(name: &str) -> Kind {
        match name {
            name if name.contains("INT") => Kind::Whole,
            "TEXT" => Kind::Text,
            _ => Kind::Other,
        }
    }
}
