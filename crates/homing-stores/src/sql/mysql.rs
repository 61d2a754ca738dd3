//! MySQL and MariaDB.

use std::str::FromStr;

use futures_util::future::BoxFuture;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlQueryResult, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, MySql};

use crate::sql::dialect::Dialect;
use crate::sql::mysql_row;
use crate::sql::pool::{Driver, Settings};
use crate::sql::server::Kind;

/// Illegal mix of collations (three kinds) and text that has no form in the column's character set.
const OF_THE_VALUES: [u16; 7] = [1267, 1270, 1271, 1300, 1366, 3854, 3988];

/// Unknown system variable; a variable that cannot be set so.
const UNKNOWN: [u16; 3] = [1193, 1064, 1232];

impl Driver for MySql {
    const DIALECT: Dialect = Dialect::Mysql;

    fn options(url: &str, settings: &Settings) -> Result<MySqlConnectOptions, String> {
        if !["mysql://", "mariadb://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("must begin with mysql:// or mariadb://".to_owned());
        }
        let options =
            MySqlConnectOptions::from_str(url).map_err(|error| error.to_string())?.disable_statement_logging();
        Ok(match settings.compat {
            None => options,
            Some(_) => options
                .charset("utf8")
                .timezone(None)
                .pipes_as_concat(false)
                .no_engine_substitution(false)
                .statement_cache_capacity(0),
        })
    }

    fn prepare(connection: &mut MySqlConnection, settings: Settings) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if settings.read_only {
                let done = sqlx::raw_sql("SET SESSION TRANSACTION READ ONLY").execute(&mut *connection).await;
                // Before MySQL 5.6 there are no such sessions; its user should have the right to SELECT only.
                let unknown = |error: &sqlx::Error| number(error).is_some_and(|number| UNKNOWN.contains(&number));
                if let Err(error) = done
                    && !(settings.compat.is_some() && unknown(&error))
                {
                    return Err(error);
                }
            }
            // MariaDB counts in seconds, MySQL 5.7 and newer in milliseconds; older ones have no such limit.
            let timeout = settings.timeout;
            let mariadb = AssertSqlSafe(format!("SET SESSION max_statement_time = {}", timeout.as_secs_f64()));
            if sqlx::raw_sql(mariadb).execute(&mut *connection).await.is_err() {
                let mysql = AssertSqlSafe(format!("SET SESSION max_execution_time = {}", timeout.as_millis()));
                if let Err(error) = sqlx::raw_sql(mysql).execute(&mut *connection).await {
                    tracing::debug!(%error, "The server has no limit for the time of a statement.");
                }
            }
            Ok(())
        })
    }

    const BEGIN: &'static str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

    const WRITERS: u32 = 8;

    /// A lock that did not come, a deadlock, a key that stands there.
    fn of_a_conflict(error: &sqlx::Error) -> bool {
        number(error).is_some_and(|number| [1205, 1213, 1062].contains(&number))
    }

    fn affected(result: &MySqlQueryResult) -> u64 {
        result.rows_affected()
    }

    fn text(row: &MySqlRow, index: usize) -> Result<Option<String>, sqlx::Error> {
        mysql_row::text(row, index)
    }

    fn kind(name: &str) -> Kind {
        match name {
            "BOOLEAN" | "YEAR" => Kind::Whole,
            name if name.contains("POINT") => Kind::Other,
            name if name.contains("INT") => Kind::Whole,
            name if ["CHAR", "TEXT", "BINARY", "BLOB"].iter().any(|part| name.contains(part)) => Kind::Text,
            _ => Kind::Other,
        }
    }

    fn of_the_values(error: &sqlx::Error) -> bool {
        let state = error.as_database_error().and_then(|error| error.code());
        state.is_some_and(|state| state.starts_with("22")) || number(error).is_some_and(|n| OF_THE_VALUES.contains(&n))
    }

    fn advice(error: &sqlx::Error) -> Option<&'static str> {
        error.to_string().contains("RSA").then_some(
            "this user's password needs TLS (?ssl-mode=REQUIRED in the url), a unix socket (?socket=...), or the plugin \
             mysql_native_password",
        )
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}
