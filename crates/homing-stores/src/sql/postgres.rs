//! PostgreSQL.
//!
//! A session is made read-only and limited in time when it is opened (`default_transaction_read_only`,
//! `statement_timeout`), so a pooler in between has to keep it for its client: pool_mode = session.

use std::str::FromStr;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgQueryResult, PgRow, PgStatement};
use sqlx::{AssertSqlSafe, ConnectOptions, Either, Postgres, Row as _, Statement as _, TypeInfo as _};

use crate::sql::dialect::Dialect;
use crate::sql::pool::{Driver, Settings};
use crate::sql::server::Kind;

impl Driver for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;

    fn options(url: &str, _: &Settings) -> Result<PgConnectOptions, String> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("must begin with postgres:// or postgresql://".to_owned());
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
        Ok(options.application_name("homing").disable_statement_logging())
    }

    fn prepare(connection: &mut PgConnection, settings: Settings) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(async move {
            // A millisecond later than our own clock, which tells more.
            let millis = settings.timeout.as_millis() + 1;
            let limit = AssertSqlSafe(format!("SET statement_timeout = {millis}"));
            sqlx::raw_sql(limit).execute(&mut *connection).await?;
            if settings.read_only {
                sqlx::raw_sql("SET default_transaction_read_only = on").execute(&mut *connection).await?;
            }
            Ok(())
        })
    }

    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";

    const WRITERS: u32 = 8;

    /// Serialization, deadlock, a lock that did not come, a key (or table, or type) that stands there.
    fn of_a_conflict(error: &sqlx::Error) -> bool {
        const STATES: [&str; 6] = ["40001", "40P01", "55P03", "23505", "42P07", "42710"];
        let state = error.as_database_error().and_then(|error| error.code());
        state.is_some_and(|state| STATES.contains(&state.as_ref()))
    }

    fn affected(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }

    /// Every column was cast to text.
    fn text(row: &PgRow, index: usize) -> Result<Option<String>, sqlx::Error> {
        row.try_get(index)
    }

    fn kind(name: &str) -> Kind {
        match name {
            "INT2" | "INT4" | "INT8" => Kind::Whole,
            "TEXT" | "VARCHAR" | "CHAR" | "NAME" => Kind::Text,
            _ => Kind::Other,
        }
    }

    fn binds(statement: &PgStatement) -> Vec<String> {
        match statement.parameters() {
            Some(Either::Left(types)) => types.iter().map(|kind| cast(kind.name())).collect(),
            _ => Vec::new(),
        }
    }
}

/// The name of a type as it is written in a cast. The driver calls its own types by capitals (`INT4`, but `CHAR` for what
/// is written `bpchar`), and those of the database by their names.
fn cast(name: &str) -> String {
    match name {
        "CHAR" => "bpchar".to_owned(),
        "\"CHAR\"" => "\"char\"".to_owned(),
        name if !name.bytes().any(|b| b.is_ascii_lowercase()) => name.to_ascii_lowercase(),
        name => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
