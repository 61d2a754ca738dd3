//! One SQL server: a small pool of read-only sessions, and a second one for `invalidate`. The same for every driver; what
//! differs is a [`Driver`].
//!
//! A session for looking up is made read-only by the server's own word, so that not even a mistake in a configured query
//! can write, and limits the time of its own statements on the server. A connection whose call was cut short is closed
//! instead of going back: nobody knows what is still on its way to it.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{
    AssertSqlSafe, Column as _, Connection, Database, Encode, Executor, IntoArguments, Row as _, SqlSafeStr as _,
    Statement as _, Type,
};
use tokio::time::{Instant, timeout_at};

use crate::config::{Compat, Constant, StoreConfig};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::sql::dialect::Dialect;
use crate::sql::server::{Kind, Learned, Session, SqlServer, Table};
use crate::sql::transaction::Transaction;
use crate::sql::watched::Watched;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_POOL: u32 = 4;

/// More rows than this in one answer are refused: a lookup is no way to read a table.
const MAX_ROWS: usize = 200_000;

/// What differs between drivers.
pub(super) trait Driver: Database {
    /// How to write for it.
    const DIALECT: Dialect;

    /// Reads the URL; without the password in its errors.
    fn options(url: &str, settings: &Settings) -> Result<Options<Self>, String>;

    /// Makes a new session ready: it cannot write, and its statements end in time.
    fn prepare(connection: &mut Self::Connection, settings: Settings) -> BoxFuture<'_, Result<(), sqlx::Error>>;

    /// Before each statement, where the server has no time limit of its own.
    fn limit(_connection: &mut Self::Connection, _deadline: Instant) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        Box::pin(async { Ok(()) })
    }

    /// How many rows a statement met.
    fn affected(result: &Self::QueryResult) -> u64;

    /// The text of a value; `None` is NULL.
    fn text(row: &Self::Row, index: usize) -> Result<Option<String>, sqlx::Error>;

    /// The kind of a column, by the name of its type.
    fn kind(name: &str) -> Kind;

    /// The types that the server wants for the binds, as they are written in a cast.
    fn binds(_statement: &Self::Statement) -> Vec<String> {
        Vec::new()
    }

    /// Is it the fault of the values that were asked with?
    fn of_the_values(error: &sqlx::Error) -> bool {
        let state = error.as_database_error().and_then(|error| error.code());
        state.is_some_and(|state| state.len() == 5 && state.starts_with("22"))
    }

    /// Did another transaction get in the way: a deadlock, a lock that did not come, a key that has just appeared?
    fn of_a_conflict(error: &sqlx::Error) -> bool;

    /// Begins a transaction that reads what others have committed and locks what it writes.
    const BEGIN: &'static str;

    /// Sessions that may write at once.
    const WRITERS: u32;

    /// The file behind the options, where it is one.
    fn file(_options: &Options<Self>) -> Option<&Path> {
        None
    }

    /// What to do about an error that many meet.
    fn advice(_error: &sqlx::Error) -> Option<&'static str> {
        None
    }
}

/// Options of a driver's connection.
pub(super) type Options<D> = <<D as Database>::Connection as Connection>::Options;

/// What a session is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) read_only: bool,
    /// SQLite: the file is made if it is missing.
    pub(super) create: bool,
    pub(super) timeout: Duration,
    pub(super) compat: Option<Compat>,
}

/// A server.
pub(super) struct Pool<D: Driver> {
    pub(super) name: String,
    reading: Side<D>,
    writing: Side<D>,
    pub(super) timeout: Duration,
    allow_write: bool,
    /// Why the last session could not be prepared: the pool itself only says that it timed out.
    trouble: Arc<Mutex<Option<String>>>,
}

/// Sessions of one sort.
struct Side<D: Driver> {
    options: Options<D>,
    settings: Settings,
    size: u32,
    /// Opened at first use, because opening needs a runtime.
    pool: OnceLock<sqlx::Pool<D>>,
}

/// A connection in use. Unless it is clean in the end, it is closed.
pub(super) struct Held<D: Driver> {
    /// Always there, until it is dropped.
    connection: Option<PoolConnection<D>>,
    pub(super) clean: bool,
}

// === impl Pool ===

impl<D: Driver> Pool<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: for<'q> Encode<'q, D> + Type<D>,
    String: for<'q> Encode<'q, D> + Type<D>,
{
    /// Reads the URL; opens nothing.
    /// `create`: it holds tables of Homing's own, and several write at once.
    pub(super) fn new(name: &str, config: &StoreConfig, create: bool) -> Result<Self, ConfigError> {
        let size = config.pool.unwrap_or(DEFAULT_POOL);
        if size == 0 {
            return Err(ConfigError::store(name, "pool", "must be above 0"));
        }
        let timeout = config.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let url = config.url.expose_secret();
        let side = |read_only: bool, size| {
            let create = create && !read_only;
            let settings = Settings { read_only, create, timeout, compat: config.compat };
            let options = D::options(url, &settings).map_err(|reason| ConfigError::store(name, "url", reason))?;
            Ok(Side { options, settings, size, pool: OnceLock::new() })
        };
        Ok(Self {
            name: name.to_owned(),
            reading: side(config.read_only, size)?,
            writing: side(false, if create { D::WRITERS.min(size) } else { 1 })?,
            timeout,
            allow_write: config.allow_write,
            trouble: Arc::default(),
        })
    }

    async fn rows(&self, sql: String, values: Vec<Constant>) -> Result<Table, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut held = self.acquire(&self.reading, deadline).await?;
        self.rows_in(&mut held, sql, values, deadline).await
    }

    /// The rows of a SELECT, in this session. Who ends without an answer leaves it unclean.
    pub(super) async fn rows_in(
        &self,
        held: &mut Held<D>,
        sql: String,
        values: Vec<Constant>,
        deadline: Instant,
    ) -> Result<Table, Failure> {
        let mut table = Table::default();
        held.clean = false;
        let all = async {
            let connection = held.open()?;
            D::limit(connection, deadline).await?;
            let mut answer = connection.fetch(with::<D>(sql, values));
            while let Some(row) = answer.try_next().await? {
                if table.rows.is_empty() {
                    table.names = row.columns().iter().map(|column| column.name().to_owned()).collect();
                }
                if table.rows.len() == MAX_ROWS {
                    return Ok(false);
                }
                let texts = (0..table.names.len()).map(|index| D::text(&row, index));
                table.rows.push(texts.collect::<Result<_, _>>()?);
            }
            Ok(true)
        };
        let complete = timeout_at(deadline, all).await.map_err(|_| self.silent(None))?;
        held.clean = matches!(complete, Ok(true) | Err(sqlx::Error::Database(_)));
        if complete.map_err(|error| self.failure(error))? {
            Ok(table)
        } else {
            Err(Failure::contradiction(&self.name, format!("the answer has more than {MAX_ROWS} rows")))
        }
    }

    async fn write(&self, sql: String, values: Vec<Constant>) -> Result<u64, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut held = self.acquire(&self.writing, deadline).await?;
        self.write_in(&mut held, sql, values, deadline).await
    }

    /// Runs a statement that writes, in this session.
    pub(super) async fn write_in(
        &self,
        held: &mut Held<D>,
        sql: String,
        values: Vec<Constant>,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        held.clean = false;
        let done = async {
            let connection = held.open()?;
            D::limit(connection, deadline).await?;
            let mut affected = 0;
            let mut results = connection.execute_many(with::<D>(sql, values));
            while let Some(result) = results.try_next().await? {
                affected += D::affected(&result);
            }
            Ok(affected)
        };
        let done = timeout_at(deadline, done).await.map_err(|_| self.silent(None))?;
        held.clean = matches!(done, Ok(_) | Err(sqlx::Error::Database(_)));
        done.map_err(|error| self.failure(error))
    }

    /// Runs words without values, such as BEGIN.
    pub(super) async fn say(&self, held: &mut Held<D>, words: &'static str, deadline: Instant) -> Result<(), Failure> {
        held.clean = false;
        let done = async {
            let connection = held.open()?;
            D::limit(connection, deadline).await?;
            let mut results = connection.execute_many(sqlx::raw_sql(words));
            while results.try_next().await?.is_some() {}
            Ok(())
        };
        timeout_at(deadline, done).await.map_err(|_| self.silent(None))?.map_err(|error| self.failure(error))?;
        held.clean = true;
        Ok(())
    }

    /// A session that may write.
    pub(super) async fn writer(&self, deadline: Instant) -> Result<Held<D>, Failure> {
        self.acquire(&self.writing, deadline).await
    }

    async fn describe(&self, sql: String, writes: bool) -> Result<Learned, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut held = self.acquire(if writes { &self.writing } else { &self.reading }, deadline).await?;
        let said = async {
            let statement = held.open()?.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
            let columns = statement.columns().iter();
            let columns = columns.map(|c| (c.name().to_owned(), D::kind(sqlx::TypeInfo::name(c.type_info()))));
            Ok(Learned { columns: columns.collect(), binds: D::binds(&statement) })
        };
        let said = timeout_at(deadline, said).await.map_err(|_| self.silent(None))?;
        held.clean = matches!(said, Ok(_) | Err(sqlx::Error::Database(_)));
        said.map_err(|error| self.failure(error))
    }

    async fn acquire(&self, side: &Side<D>, deadline: Instant) -> Result<Held<D>, Failure> {
        let pool = side.pool.get_or_init(|| self.pool(side));
        match timeout_at(deadline, pool.acquire()).await {
            Ok(Ok(connection)) => Ok(Held { connection: Some(connection), clean: false }),
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(self.silent(trouble.or_else(|| Some("no connection".to_owned()))))
            }
            Ok(Err(error)) => Err(self.failure(error)),
        }
    }

    fn pool(&self, side: &Side<D>) -> sqlx::Pool<D> {
        let (settings, trouble) = (side.settings, Arc::clone(&self.trouble));
        let file = D::file(&side.options).map(|path| Arc::new(Watched::new(path)));
        PoolOptions::<D>::new()
            .before_acquire(move |_, connection| {
                let current = file.as_ref().is_none_or(|file| file.is_current(connection.age));
                Box::pin(async move { Ok(current) })
            })
            .max_connections(side.size)
            .acquire_timeout(settings.timeout)
            .after_connect(move |connection, _| {
                let trouble = Arc::clone(&trouble);
                Box::pin(async move {
                    let prepared = D::prepare(connection, settings).await;
                    let text = prepared.as_ref().err().map(ToString::to_string);
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
                    prepared
                })
            })
            .connect_lazy_with(side.options.clone())
    }

    fn silent(&self, last: Option<String>) -> Failure {
        Failure::Silent { store: self.name.clone(), timeout: self.timeout, last }
    }

    fn failure(&self, error: sqlx::Error) -> Failure {
        if D::of_a_conflict(&error) {
            return Failure::Conflict { store: self.name.clone(), source: error.into() };
        }
        if D::of_the_values(&error) {
            return Failure::Values { store: self.name.clone(), source: error.into() };
        }
        match D::advice(&error) {
            Some(advice) => Failure::driver(&self.name, format!("{error}; {advice}")),
            None => Failure::driver(&self.name, error),
        }
    }
}

impl<D: Driver> SqlServer for Pool<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    i64: for<'q> Encode<'q, D> + Type<D>,
    String: for<'q> Encode<'q, D> + Type<D>,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn dialect(&self) -> Dialect {
        D::DIALECT
    }

    fn allow_write(&self) -> bool {
        self.allow_write
    }

    fn fetch(&self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<Table, Failure>> {
        Box::pin(self.rows(sql, values))
    }

    fn execute(&self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<u64, Failure>> {
        Box::pin(self.write(sql, values))
    }

    fn learn(&self, sql: String, writes: bool) -> BoxFuture<'_, Result<Learned, Failure>> {
        Box::pin(self.describe(sql, writes))
    }

    fn begin(&self, within: Option<Duration>) -> BoxFuture<'_, Result<Box<dyn Session + '_>, Failure>> {
        Box::pin(async move {
            let session = Transaction::begin(self, within.unwrap_or(self.timeout)).await?;
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }
}

// === impl Held ===

impl<D: Driver> Held<D> {
    fn open(&mut self) -> Result<&mut D::Connection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl<D: Driver> Drop for Held<D> {
    fn drop(&mut self) {
        if !self.clean
            && let Some(connection) = self.connection.take()
        {
            // Without a goodbye: to a server that hangs, that would take seconds, and the place in the pool with it.
            drop(connection.detach());
        }
    }
}

/// Every text of a statement comes from `text`, and every value is bound.
fn with<D: Driver>(sql: String, values: Vec<Constant>) -> sqlx::query::Query<'static, D, D::Arguments>
where
    i64: for<'q> Encode<'q, D> + Type<D>,
    String: for<'q> Encode<'q, D> + Type<D>,
{
    values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| match value {
        Constant::Bool(yes) => query.bind(i64::from(yes)),
        Constant::Integer(n) => query.bind(n),
        Constant::Text(text) => query.bind(text),
    })
}
