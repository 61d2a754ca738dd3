//! One MySQL or MariaDB server: a small pool of read-only sessions, and a second one for `invalidate`.
//!
//! A session for looking up is made read-only by `SET SESSION TRANSACTION READ ONLY`, so that not even a mistake in a
//! configured query can write, and limits the time of its own statements on the server. A connection whose call was cut
//! short is closed instead of going back: nobody knows what is still on its way to it.

use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, MySql, MySqlPool};
use tokio::time::{Instant, timeout_at};

use crate::config::{Constant, StoreConfig};
use crate::error::ConfigError;
use crate::failure::Failure;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_POOL: u32 = 4;

/// More rows than this in one answer are refused: a lookup is no way to read a table.
const MAX_ROWS: usize = 200_000;

/// Illegal mix of collations (three kinds) and text that has no form in the column's character set.
const OF_THE_VALUES: [u16; 7] = [1267, 1270, 1271, 1300, 1366, 3854, 3988];

/// A MySQL or MariaDB server.
pub(crate) struct MySqlStore {
    name: String,
    options: MySqlConnectOptions,
    timeout: Duration,
    size: u32,
    read_only: bool,
    /// May `invalidate` write?
    pub(crate) allow_write: bool,
    /// Opened at first use, because opening needs a runtime.
    reading: OnceLock<MySqlPool>,
    writing: OnceLock<MySqlPool>,
    /// Why the last session could not be prepared: the pool itself only says that it timed out.
    trouble: Arc<Mutex<Option<String>>>,
}

/// A connection in use. Unless it is clean in the end, it is closed.
struct Held {
    /// Always there, until it is dropped.
    connection: Option<PoolConnection<MySql>>,
    clean: bool,
}

// === impl MySqlStore ===

impl MySqlStore {
    /// Reads the URL; opens nothing.
    pub(crate) fn new(name: &str, config: &StoreConfig) -> Result<Self, ConfigError> {
        let url = config.url.expose_secret();
        if !["mysql://", "mariadb://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ConfigError::store(name, "url", "must begin with mysql:// or mariadb://"));
        }
        let options = MySqlConnectOptions::from_str(url)
            .map_err(|error| ConfigError::store(name, "url", error.to_string()))?
            .disable_statement_logging();
        let size = config.pool.unwrap_or(DEFAULT_POOL);
        if size == 0 {
            return Err(ConfigError::store(name, "pool", "must be above 0"));
        }
        Ok(Self {
            name: name.to_owned(),
            options,
            timeout: config.timeout.unwrap_or(DEFAULT_TIMEOUT),
            size,
            read_only: config.read_only,
            allow_write: config.allow_write,
            reading: OnceLock::new(),
            writing: OnceLock::new(),
            trouble: Arc::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The rows of one SELECT.
    pub(crate) async fn fetch(&self, sql: String, binds: Vec<Constant>) -> Result<Vec<MySqlRow>, Failure> {
        let deadline = Instant::now() + self.timeout;
        let pool = self.reading.get_or_init(|| self.pool(self.size, self.read_only));
        let mut held = self.acquire(pool, deadline).await?;
        let mut rows = Vec::new();
        let all = async {
            let mut answer = with(sql, binds).fetch(held.open()?);
            while let Some(row) = answer.try_next().await? {
                if rows.len() == MAX_ROWS {
                    return Ok(false);
                }
                rows.push(row);
            }
            Ok(true)
        };
        let complete = timeout_at(deadline, all).await.map_err(|_| self.silent(None))?;
        held.clean = matches!(complete, Ok(true) | Err(sqlx::Error::Database(_)));
        if complete.map_err(|error| self.failure(error))? {
            Ok(rows)
        } else {
            Err(Failure::contradiction(&self.name, format!("the answer has more than {MAX_ROWS} rows")))
        }
    }

    /// How many rows a writing statement met. Only for stores that allow it.
    pub(crate) async fn execute(&self, sql: String, binds: Vec<Constant>) -> Result<u64, Failure> {
        let deadline = Instant::now() + self.timeout;
        let pool = self.writing.get_or_init(|| self.pool(1, false));
        let mut held = self.acquire(pool, deadline).await?;
        let done = timeout_at(deadline, async { with(sql, binds).execute(held.open()?).await });
        let done = done.await.map_err(|_| self.silent(None))?;
        held.clean = matches!(done, Ok(_) | Err(sqlx::Error::Database(_)));
        Ok(done.map_err(|error| self.failure(error))?.rows_affected())
    }

    async fn acquire(&self, pool: &MySqlPool, deadline: Instant) -> Result<Held, Failure> {
        match timeout_at(deadline, pool.acquire()).await {
            Ok(Ok(connection)) => Ok(Held { connection: Some(connection), clean: false }),
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(self.silent(trouble.or_else(|| Some("no connection".to_owned()))))
            }
            Ok(Err(error)) => Err(self.failure(error)),
        }
    }

    fn pool(&self, size: u32, read_only: bool) -> MySqlPool {
        let (timeout, trouble) = (self.timeout, Arc::clone(&self.trouble));
        MySqlPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(timeout)
            .after_connect(move |connection, _| {
                let trouble = Arc::clone(&trouble);
                Box::pin(async move {
                    let prepared = prepare(connection, read_only, timeout).await;
                    let text = prepared.as_ref().err().map(ToString::to_string);
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
                    prepared
                })
            })
            .connect_lazy_with(self.options.clone())
    }

    fn silent(&self, last: Option<String>) -> Failure {
        Failure::Silent { store: self.name.clone(), timeout: self.timeout, last }
    }

    fn failure(&self, error: sqlx::Error) -> Failure {
        let of_the_values = error.as_database_error().is_some_and(|error| {
            error.code().is_some_and(|state| state.starts_with("22"))
                || error.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|e| OF_THE_VALUES.contains(&e.number()))
        });
        if of_the_values {
            Failure::Values { store: self.name.clone(), source: error.into() }
        } else {
            Failure::driver(&self.name, error)
        }
    }
}

// === impl Held ===

impl Held {
    fn open(&mut self) -> Result<&mut MySqlConnection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.clean
            && let Some(connection) = self.connection.take()
        {
            // Without a goodbye: to a server that hangs, that would take seconds, and the place in the pool with it.
            drop(connection.detach());
        }
    }
}

/// Every text of a statement comes from `sql_text`, and every value is bound.
fn with(sql: String, binds: Vec<Constant>) -> sqlx::query::Query<'static, MySql, sqlx::mysql::MySqlArguments> {
    binds.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, bind| match bind {
        Constant::Bool(yes) => query.bind(i64::from(yes)),
        Constant::Integer(n) => query.bind(n),
        Constant::Text(text) => query.bind(text),
    })
}

async fn prepare(connection: &mut MySqlConnection, read_only: bool, timeout: Duration) -> Result<(), sqlx::Error> {
    if read_only {
        sqlx::raw_sql("SET SESSION TRANSACTION READ ONLY").execute(&mut *connection).await?;
    }
    // MariaDB counts in seconds, MySQL 5.7 and newer in milliseconds; older ones have no such limit.
    let mariadb = AssertSqlSafe(format!("SET SESSION max_statement_time = {}", timeout.as_secs_f64()));
    if sqlx::raw_sql(mariadb).execute(&mut *connection).await.is_err() {
        let mysql = AssertSqlSafe(format!("SET SESSION max_execution_time = {}", timeout.as_millis()));
        if let Err(error) = sqlx::raw_sql(mysql).execute(&mut *connection).await {
            tracing::debug!(%error, "The server has no limit for the time of a statement.");
        }
    }
    Ok(())
}
