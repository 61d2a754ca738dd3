//! A statement and its server.
//!
//! PostgreSQL compares a number with a number only, so it is asked first, once per statement, what types it gives to the
//! binds and which columns come. Then every value is bound as text and cast to the type of its place, which keeps the
//! indexes of the columns, and every column is cast to text. When a column has meanwhile changed its type, it is asked
//! again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Constant;
use crate::failure::Failure;
use crate::sql::dialect::Dialect;
use crate::sql::server::{Learned, SqlServer, Table};
use crate::sql::text::{Fill, Place, Statement};

/// A statement that can be asked.
pub(super) struct Asker {
    server: Arc<dyn SqlServer>,
    pub(super) statement: Statement,
    learned: Mutex<Option<Arc<Learned>>>,
    /// How often it was learned. The driver remembers a statement by its text, so each time a space more is asked.
    times: AtomicUsize,
}

// === impl Asker ===

impl Asker {
    pub(super) fn new(server: &Arc<dyn SqlServer>, statement: Statement) -> Self {
        Self { server: Arc::clone(server), statement, learned: Mutex::default(), times: AtomicUsize::new(0) }
    }

    pub(super) fn server(&self) -> &dyn SqlServer {
        &*self.server
    }

    /// The rows of a SELECT.
    pub(super) async fn ask(&self, fill: &Fill<'_>) -> Result<Table, Failure> {
        if self.statement.dialect != Dialect::Postgres {
            let (sql, values) = self.statement.render(fill, &[]);
            return self.server.fetch(sql, values).await;
        }
        let known = self.known();
        let learned = self.learned_for(fill).await?;
        match self.ask_as(fill, &learned).await {
            // Perhaps a column has changed its type since.
            Err(Failure::Driver { .. }) if known => {
                self.forget();
                let learned = self.learned_for(fill).await?;
                self.ask_as(fill, &learned).await
            }
            answer => answer,
        }
    }

    async fn ask_as(&self, fill: &Fill<'_>, learned: &Learned) -> Result<Table, Failure> {
        let (sql, values) = self.statement.render(fill, &learned.binds);
        if !self.statement.raw {
            return self.server.fetch(sql, values).await;
        }
        let names: Vec<String> = (0..learned.columns.len()).map(|n| format!("c{n}")).collect();
        let texts: Vec<String> = names.iter().map(|name| format!("CAST(q.{name} AS TEXT)")).collect();
        let sql = format!("SELECT {} FROM ({sql}) AS q({})", texts.join(", "), names.join(", "));
        let mut table = self.server.fetch(sql, values).await?;
        table.names = learned.columns.iter().map(|(name, _)| name.clone()).collect();
        Ok(table)
    }

    /// Runs a statement that writes.
    pub(super) async fn run(&self, fill: &Fill<'_>) -> Result<u64, Failure> {
        let binds = match self.statement.dialect {
            Dialect::Postgres => self.learned_for(fill).await?.binds.clone(),
            Dialect::Mysql | Dialect::Sqlite => Vec::new(),
        };
        let (sql, values) = self.statement.render(fill, &binds);
        self.server.execute(sql, values).await
    }

    /// What the server says of the statement; asked once. `table` where it depends on the ids.
    pub(super) async fn learned(&self, table: &str) -> Result<Arc<Learned>, Failure> {
        self.learned_for(&Fill { table, ..Fill::default() }).await
    }

    async fn learned_for(&self, fill: &Fill<'_>) -> Result<Arc<Learned>, Failure> {
        if let Some(learned) = &*self.learned.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(learned));
        }
        let (mut sql, _) = self.statement.render(&Fill { ids: &["0"], ..*fill }, &[]);
        sql.push_str(&" ".repeat(self.times.fetch_add(1, Ordering::Relaxed) % 64));
        let learned = Arc::new(self.server.learn(sql, self.statement.writes).await?);
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&learned));
        Ok(learned)
    }

    fn known(&self) -> bool {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn forget(&self) {
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// PostgreSQL: the type at a place of the statement; `None` elsewhere.
    pub(super) async fn type_of(&self, place: Place, fill: &Fill<'_>) -> Result<Option<String>, Failure> {
        if self.statement.dialect != Dialect::Postgres {
            return Ok(None);
        }
        let learned = self.learned_for(fill).await?;
        Ok(self.statement.place_of(place).and_then(|place| learned.binds.get(place).cloned()))
    }

    /// Does the server take this text for a value of that type?
    pub(super) async fn fits(&self, kind: &str, text: &str) -> Result<bool, Failure> {
        let sql = format!("SELECT CAST({} AS TEXT)", Dialect::Postgres.bind(1, Some(kind)));
        match self.server.fetch(sql, vec![Constant::Text(text.to_owned())]).await {
            Ok(_) => Ok(true),
            Err(Failure::Values { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// The whole numbers of a PostgreSQL type; `None` for other types.
pub(super) fn range(kind: &str) -> Option<std::ops::RangeInclusive<i64>> {
    match kind {
        "int2" => Some(i64::from(i16::MIN)..=i64::from(i16::MAX)),
        "int4" => Some(i64::from(i32::MIN)..=i64::from(i32::MAX)),
        "int8" => Some(i64::MIN..=i64::MAX),
        _ => None,
    }
}

/// Could the text be what the server prints of a value of this type? Only what can be said without asking it.
pub(super) fn plausible(kind: &str, text: &str) -> bool {
    let Some(range) = range(kind) else { return true };
    text.parse::<i64>().is_ok_and(|n| range.contains(&n) && n.to_string() == text)
}
