//! What the rest sees of a server, whichever it is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::config::{Constant, StoreConfig, StoreKind};
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::sql::dialect::Dialect;
use crate::sql::pool::Pool;

/// A SQL server. A call that is dropped leaves nothing behind: its connection is closed.
pub(crate) trait SqlServer: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// How to write for it.
    fn dialect(&self) -> Dialect;

    /// May `invalidate` write?
    fn allow_write(&self) -> bool;

    /// The answer to one SELECT, in a session that cannot write.
    fn fetch(&self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<Table, Failure>>;

    /// How many rows a writing statement met. Only for stores that allow it.
    fn execute(&self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<u64, Failure>>;

    /// What the server says of a statement without running it. A statement that does not fit its tables is an error.
    /// One that `writes` is not even read in a session that cannot.
    fn learn(&self, sql: String, writes: bool) -> BoxFuture<'_, Result<Learned, Failure>>;

    /// Begins a transaction, which is to end within a time (the store's own, if none is said). Only for stores that allow
    /// writing.
    fn begin(&self, within: Option<Duration>) -> BoxFuture<'_, Result<Box<dyn Session + '_>, Failure>>;
}

/// A transaction. One that is dropped, or whose call was cut short, has changed nothing.
pub(crate) trait Session: Send {
    /// The answer to one SELECT.
    fn fetch(&mut self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<Table, Failure>>;

    /// How many rows a writing statement met.
    fn execute(&mut self, sql: String, values: Vec<Constant>) -> BoxFuture<'_, Result<u64, Failure>>;

    /// Makes it so (`true`), or as if it had never been. Without an answer either may be the case.
    fn end(&mut self, keep: bool) -> BoxFuture<'_, Result<(), Failure>>;
}

/// An answer: rows of texts, NULL is `None`.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The columns; none if there are no rows.
    pub(crate) names: Vec<String>,
    /// As many texts as there are columns.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// What a server says of a statement.
#[derive(Debug)]
pub(crate) struct Learned {
    /// Names and kinds of the columns.
    pub(crate) columns: Vec<(String, Kind)>,
    /// PostgreSQL: the types that it wants for the binds.
    pub(crate) binds: Vec<String>,
}

/// Kinds of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole numbers.
    Whole,
    /// Texts, and bytes that may be texts.
    Text,
    /// Anything else, or not known.
    Other,
}

/// Reads the URL of a store of one of these kinds; opens nothing. `create`: the registry's tables are there.
pub(crate) fn open(name: &str, config: &StoreConfig, create: bool) -> Result<Arc<dyn SqlServer>, ConfigError> {
    Ok(match config.kind {
        StoreKind::Postgres => Arc::new(Pool::<sqlx::Postgres>::new(name, config, create)?),
        StoreKind::Sqlite => Arc::new(Pool::<sqlx::Sqlite>::new(name, config, create)?),
        _ => Arc::new(Pool::<sqlx::MySql>::new(name, config, create)?),
    })
}
