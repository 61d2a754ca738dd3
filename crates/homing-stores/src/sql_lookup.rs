//! A lookup in MySQL or MariaDB: `WHERE id IN (...)`, five hundred ids a statement.
//!
//! A row belongs to the id whose text its id column has, letter for letter: `42abc` and `42 OR 1=1` may well make the
//! server compare with 42, but they get no row here. An id that the server cannot even compare (one with an emoji, and a
//! column in latin1) has no rows; it must not hold up the others of its batch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use homing_core::lookup::Row;
use sqlx::mysql::MySqlRow;

use crate::config::LookupConfig;
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::mysql_store::MySqlStore;
use crate::sql_row;
use crate::sql_text::{SIZES, Statement};

/// The provider of one lookup.
pub(crate) struct SqlLookup {
    name: String,
    store: Arc<MySqlStore>,
    statement: Statement,
    shape: Shape,
    invalidate: Option<Statement>,
}

/// Which column is what.
enum Shape {
    /// The id, then these, in order.
    Declared { columns: Vec<String> },
    /// As the query names them; this one is the id.
    Raw { row_key: String },
}

// === impl SqlLookup ===

impl SqlLookup {
    pub(crate) fn new(name: &str, config: &LookupConfig, store: Arc<MySqlStore>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: String| ConfigError::lookup(name, key, reason);
        config.refuse_redis_keys(name)?;
        let (statement, shape) = match (&config.table, &config.query) {
            (Some(table), None) => {
                if config.row_key.is_some() {
                    return Err(wrong("row_key", "belongs to `query`; with `table` it is `id`".to_owned()));
                }
                let id = config
                    .id
                    .as_ref()
                    .ok_or_else(|| wrong("id", "is missing: the column that holds the id".to_owned()))?;
                let columns = config.columns.clone().filter(|columns| !columns.is_empty()).ok_or_else(|| {
                    wrong(
                        "columns",
                        "is missing: a table of our column to theirs, { push_status = \"push\" }".to_owned(),
                    )
                })?;
                let (ours, theirs): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
                let statement = Statement::declarative(table, id, &theirs, &config.constants)
                    .map_err(|reason| wrong("table, id, columns, where", reason))?;
                (statement, Shape::Declared { columns: ours })
            }
            (None, Some(query)) => {
                if config.id.is_some() || config.columns.is_some() {
                    let key = if config.id.is_some() { "id" } else { "columns" };
                    return Err(wrong(
                        key,
                        "belongs to `table`; `query` has `row_key` and names its columns itself".to_owned(),
                    ));
                }
                let statement = Statement::select(query, &config.constants)
                    .map_err(|at| ConfigError::statement(name, "query", at))?;
                let row_key = config.row_key.clone();
                let row_key = row_key
                    .ok_or_else(|| wrong("row_key", "is missing: the selected column that holds the id".to_owned()))?;
                (statement, Shape::Raw { row_key })
            }
            (Some(_), Some(_)) => {
                return Err(wrong("query", "stands beside `table`; one of them is enough".to_owned()));
            }
            (None, None) => return Err(wrong("table", "is missing; or write a `query`".to_owned())),
        };
        let invalidate = match &config.invalidate {
            None => None,
            Some(_) if !store.allow_write => {
                let reason = format!("needs allow_write = true in [stores.{}]", store.name());
                return Err(wrong("invalidate", reason));
            }
            Some(sql) => Some(
                Statement::invalidate(sql, &config.constants)
                    .map_err(|at| ConfigError::statement(name, "invalidate", at))?,
            ),
        };
        Ok(Self { name: name.to_owned(), store, statement, shape, invalidate })
    }

    /// The columns that rows can have; not known of a raw query.
    pub(crate) fn columns(&self) -> Option<Vec<String>> {
        match &self.shape {
            Shape::Declared { columns } => Some(columns.clone()),
            Shape::Raw { .. } => None,
        }
    }

    /// The rows of distinct ids, in their order.
    pub(crate) async fn rows(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut found: HashMap<&str, Vec<Row>> = HashMap::with_capacity(ids.len());
        let mut work: Vec<&[&str]> = ids.chunks(SIZES[SIZES.len() - 1]).collect();
        while let Some(chunk) = work.pop() {
            let (sql, binds) = self.statement.for_ids(chunk);
            match self.store.fetch(sql, binds).await {
                Ok(rows) => self.sort(&rows, chunk, &mut found)?,
                Err(Failure::Values { .. }) if chunk.len() > 1 => work.extend(chunk.chunks(chunk.len().div_ceil(2))),
                Err(Failure::Values { source, .. }) if !chunk.iter().all(|id| id.is_ascii()) => {
                    let lookup = &self.name;
                    tracing::warn!(lookup, ids = ?chunk, error = %source, "The store cannot compare this id, so it has no rows.");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(ids.iter().map(|id| found.remove(*id).unwrap_or_default()).collect())
    }

    /// Runs `invalidate`, if there is one.
    pub(crate) async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        let Some(statement) = &self.invalidate else { return Ok(false) };
        let (sql, binds) = statement.for_token(user, token);
        match self.store.execute(sql, binds).await {
            Ok(rows) => Ok(rows > 0),
            // Such as `bob` where ids are numbers, which a strict server refuses to compare when writing.
            Err(Failure::Values { source, .. }) => {
                tracing::warn!(lookup = self.name, user, error = %source, "The store knows no such user or token.");
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gives each row to its id, if that was asked for in this statement: `ann` and `ANN` may be the same to the server,
    /// and stand in two statements.
    fn sort<'a>(
        &self,
        answer: &[MySqlRow],
        asked: &[&'a str],
        found: &mut HashMap<&'a str, Vec<Row>>,
    ) -> Result<(), Failure> {
        let Some(first) = answer.first() else { return Ok(()) };
        let asked: HashSet<&'a str> = asked.iter().copied().collect();
        let (key, names) = match &self.shape {
            Shape::Declared { columns } => {
                (0, std::iter::once(None).chain(columns.iter().cloned().map(Some)).collect())
            }
            Shape::Raw { row_key } => {
                let names = sql_row::names(first);
                let key = names.iter().position(|name| name == row_key).ok_or_else(|| {
                    let reason = format!("row_key `{row_key}` is not among the selected columns: {}", names.join(", "));
                    Failure::contradiction(self.store.name(), reason)
                })?;
                (key, names.into_iter().map(Some).collect::<Vec<_>>())
            }
        };
        let unread = |error| Failure::driver(self.store.name(), error);
        for row in answer {
            let Some(id) = sql_row::text(row, key).map_err(unread)? else { continue };
            let Some(id) = asked.get(id.as_str()) else { continue };
            let mut columns = Row::new();
            for (index, name) in names.iter().enumerate() {
                if let Some(name) = name
                    && let Some(text) = sql_row::text(row, index).map_err(unread)?
                {
                    columns.insert(name.clone(), text);
                }
            }
            found.entry(id).or_default().push(columns);
        }
        Ok(())
    }
}
