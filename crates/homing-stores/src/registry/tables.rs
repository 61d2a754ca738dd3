//! The one way to the tables: they are made before they are first used, statements are written once for all dialects,
//! and rows are read by their place.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::config::Constant;
use crate::failure::Failure;
use crate::registry::{Stop, schema};
use crate::sql::{Dialect, Session, SqlServer, Table};

/// How often a transaction is begun anew because another one was in its way.
pub(super) const TRIES: u32 = 12;

/// Before the next try. The connection's own place in the line makes them differ.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_millis(u64::from(tries.min(6) * tries.min(6)))
}

/// Time for making the tables.
const MAKING: Duration = Duration::from_secs(30);

/// The name of the lock that is held while they are made.
const LOCK: i64 = 0x686f_6d69_6e67;

/// Ids of one statement are filled up to one of these, so that few statements are prepared.
const SIZES: [usize; 6] = [1, 10, 100, 500, 2_000, 5_000];

/// The tables of a registry.
pub(crate) struct Tables {
    pub(crate) server: Arc<dyn SqlServer>,
    prefix: String,
    made: OnceCell<()>,
}

/// Values of a statement, in the order of its `?`.
#[derive(Default)]
pub(super) struct Values(Vec<Constant>);

impl Values {
    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.push(Constant::Text(text.to_owned()));
        self
    }

    pub(super) fn number(mut self, number: i64) -> Self {
        self.0.push(Constant::Integer(number));
        self
    }

    pub(super) fn texts<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        texts.into_iter().fold(self, Self::text)
    }

    pub(super) fn numbers(self, numbers: impl IntoIterator<Item = i64>) -> Self {
        numbers.into_iter().fold(self, Self::number)
    }
}

/// No value yet.
pub(super) fn values() -> Values {
    Values::default()
}

/// `?, ?, ?`.
pub(super) fn marks(count: usize) -> String {
    vec!["?"; count.max(1)].join(", ")
}

/// The ids, filled up with the last one to the next of a few sizes.
pub(super) fn filled<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    let size = SIZES.into_iter().find(|size| *size >= ids.len()).unwrap_or(ids.len());
    let last = ids.last().copied().unwrap_or_default();
    ids.iter().copied().chain(std::iter::repeat(last)).take(size).collect()
}

// === impl Tables ===

impl Tables {
    pub(super) fn new(server: Arc<dyn SqlServer>, prefix: &str) -> Self {
        Self { server, prefix: prefix.to_owned(), made: OnceCell::new() }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.server.dialect()
    }

    /// The statement as this server reads it: `@token` is a table, `?` a value, `#column` a number as text.
    pub(super) fn sql(&self, statement: &str) -> String {
        let mut numbered = 0;
        let mut sql = String::with_capacity(statement.len() + 64);
        let mut rest = statement;
        while let Some(at) = rest.find(['?', '#']) {
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
            sql.push_str(before);
            if let Some(after) = after.strip_prefix('#') {
                let end =
                    after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(after.len());
                let (column, after) = after.split_at_checked(end).unwrap_or((after, ""));
                sql.push_str(&self.dialect().text(column));
                rest = after;
            } else {
                numbered += 1;
                sql.push_str(&self.dialect().bind(numbered, None));
                rest = after.strip_prefix('?').unwrap_or_default();
            }
        }
        sql.push_str(rest);
        schema::named(&self.prefix, &sql)
    }

    /// ` FOR UPDATE`, where the server locks rows at all.
    pub(super) fn locked(&self) -> &'static str {
        if self.dialect() == Dialect::Sqlite { "" } else { " FOR UPDATE" }
    }

    /// A list of pairs behind IN: to SQLite it is a table of values.
    pub(super) fn list(&self, pairs: &str) -> String {
        if self.dialect() == Dialect::Sqlite { format!("VALUES {pairs}") } else { pairs.to_owned() }
    }

    /// What an INSERT says so that a key that is there is no error.
    pub(super) fn unless_there(&self, statement: &str) -> String {
        match self.dialect() {
            Dialect::Mysql => statement.replacen("INSERT INTO", "INSERT IGNORE INTO", 1),
            Dialect::Postgres | Dialect::Sqlite => format!("{statement} ON CONFLICT DO NOTHING"),
        }
    }

    /// What an INSERT says so that a row with this key is set to `set` instead.
    pub(super) fn or_else(&self, statement: &str, key: &str, set: &str) -> String {
        match self.dialect() {
            Dialect::Mysql => format!("{statement} ON DUPLICATE KEY UPDATE {set}"),
            Dialect::Postgres | Dialect::Sqlite => format!("{statement} ON CONFLICT ({key}) DO UPDATE SET {set}"),
        }
    }

    /// The rows of a SELECT outside of any transaction.
    pub(super) async fn rows(&self, statement: &str, values: Values) -> Result<Vec<Vec<Option<String>>>, Failure> {
        Ok(self.answer(statement, values).await?.rows)
    }

    pub(super) async fn answer(&self, statement: &str, values: Values) -> Result<Table, Failure> {
        self.ready().await?;
        self.server.fetch(self.sql(statement), values.0).await
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Box<dyn Session + '_>, Failure> {
        self.ready().await?;
        self.server.begin(None).await
    }

    pub(super) async fn select(
        &self,
        session: &mut (dyn Session + '_),
        statement: &str,
        values: Values,
    ) -> Result<Vec<Vec<Option<String>>>, Failure> {
        Ok(session.fetch(self.sql(statement), values.0).await?.rows)
    }

    pub(super) async fn run(
        &self,
        session: &mut (dyn Session + '_),
        statement: &str,
        values: Values,
    ) -> Result<u64, Failure> {
        session.execute(self.sql(statement), values.0).await
    }

    /// The tables are there, in the form that this version knows.
    async fn ready(&self) -> Result<(), Failure> {
        let made = self.made.get_or_try_init(|| async {
            match again!(self.make()) {
                Ok(()) => Ok(()),
                Err(Stop::Store(failure)) => Err(failure),
                Err(Stop::Refused(error)) => Err(Failure::contradiction(self.server.name(), error.to_string())),
            }
        });
        made.await.copied()
    }

    /// Is the registry there? `None` = no tables yet. For `homing check`, which only looks.
    pub(crate) async fn version(&self) -> Result<Option<i64>, Failure> {
        match self.server.fetch(self.sql("SELECT #version FROM @schema"), Vec::new()).await {
            Ok(table) => Ok(table.rows.iter().filter_map(|row| number(row, 0)).max()),
            // No such table; or trouble, which shows elsewhere.
            Err(Failure::Driver { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn make(&self) -> Result<(), Stop> {
        let mut session = self.server.begin(Some(MAKING)).await?;
        let mysql = self.dialect() == Dialect::Mysql;
        // One process makes them at a time. MySQL ends a transaction with every table that it makes.
        match self.dialect() {
            Dialect::Postgres => {
                session.fetch(format!("SELECT CAST(pg_advisory_xact_lock({LOCK}) AS TEXT)"), Vec::new()).await?;
            }
            Dialect::Mysql => {
                session.fetch(format!("SELECT GET_LOCK('{LOCK}', 10)"), Vec::new()).await?;
            }
            Dialect::Sqlite => {}
        }
        session.execute(schema::versions(self.dialect(), &self.prefix), Vec::new()).await?;
        let rows = self.select(&mut *session, "SELECT #version FROM @schema", values()).await?;
        let version = rows.iter().filter_map(|row| number(row, 0)).max().unwrap_or(0);
        if version > schema::VERSION {
            let newest = schema::VERSION;
            let reason = format!(
                "the registry's tables are of version {version}, and this Homing knows {newest}: use a newer one"
            );
            return Err(Failure::contradiction(self.server.name(), reason).into());
        }
        for version in version + 1..=schema::VERSION {
            for statement in schema::steps(version, self.dialect(), &self.prefix) {
                session.execute(statement, Vec::new()).await?;
            }
            let note = self.unless_there("INSERT INTO @schema (version) VALUES (?)");
            self.run(&mut *session, &note, values().number(version)).await?;
        }
        if mysql {
            session.fetch(format!("SELECT RELEASE_LOCK('{LOCK}')"), Vec::new()).await?;
        }
        session.end(true).await?;
        Ok(())
    }
}

use super::again;

/// A column as text; absent is empty.
pub(super) fn text(row: &[Option<String>], index: usize) -> String {
    row.get(index).cloned().flatten().unwrap_or_default()
}

/// A column as a number.
pub(super) fn number(row: &[Option<String>], index: usize) -> Option<i64> {
    row.get(index)?.as_deref()?.parse().ok()
}

/// A text that may be absent, which is the empty one.
pub(super) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
