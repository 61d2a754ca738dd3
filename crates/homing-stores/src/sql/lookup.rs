//! A lookup in SQL: `WHERE id IN (...)`, five hundred ids a statement.
//!
//! A row belongs to the id whose text its id column has, letter for letter: `42abc` and `42 OR 1=1` may well make the
//! server compare with 42, but they get no row here. An id that the server cannot even compare (one with an emoji, and a
//! column in latin1; `bob` where ids are UUIDs) has no rows; it must not hold up the others of its batch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use homing_core::lookup::Row;

use crate::config::LookupConfig;
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::lookup::Told;
use crate::shorten;
use crate::sql::ask::{Asker, plausible};
use crate::sql::server::{SqlServer, Table};
use crate::sql::text::{Fill, MOST, Place, Statement};
use crate::template::Template;

/// More tables than this are no sharding.
const MAX_TABLES: u64 = 4_096;

/// The provider of one lookup.
pub(crate) struct SqlLookup {
    name: String,
    asker: Asker,
    shape: Shape,
    /// The table of an id, where there are several.
    shard: Option<Template>,
    invalidate: Option<Asker>,
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
    pub(crate) fn new(name: &str, config: &LookupConfig, server: &Arc<dyn SqlServer>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError::lookup(name, key, reason);
        let dialect = server.dialect();
        config.only_for(dialect.kind(), name)?;
        let shard = config.shard.as_deref().map(|text| shard(name, text, server)).transpose()?;
        let (statement, shape) = match (config.table.is_some() || shard.is_some(), &config.query) {
            (true, None) => {
                if config.row_key.is_some() {
                    return Err(wrong("row_key", "belongs to `query`; with `table` it is `id`"));
                }
                let id = config.id.as_ref().ok_or_else(|| wrong("id", "is missing: the column that holds the id"))?;
                let columns = config.columns.clone().filter(|columns| !columns.is_empty()).ok_or_else(|| {
                    wrong("columns", "is missing: a table of our column to theirs, { push_status = \"push\" }")
                })?;
                let (ours, theirs): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
                let table = if shard.is_some() { None } else { config.table.as_deref() };
                let statement = Statement::declarative(dialect, table, id, &theirs, &config.constants)
                    .map_err(|reason| wrong("table, id, columns, where", &reason))?;
                (statement, Shape::Declared { columns: ours })
            }
            (false, Some(query)) => {
                if config.id.is_some() || config.columns.is_some() {
                    let key = if config.id.is_some() { "id" } else { "columns" };
                    return Err(wrong(key, "belongs to `table`; `query` has `row_key` and names its columns itself"));
                }
                let statement = Statement::select(dialect, query, &config.constants)
                    .map_err(|at| ConfigError::statement(name, "query", at))?;
                let row_key = config.row_key.clone();
                let row_key =
                    row_key.ok_or_else(|| wrong("row_key", "is missing: the selected column that holds the id"))?;
                (statement, Shape::Raw { row_key })
            }
            (true, Some(_)) => return Err(wrong("query", "stands beside `table`; one of them is enough")),
            (false, None) => return Err(wrong("table", "is missing; or write a `query`")),
        };
        let invalidate = match &config.invalidate {
            None => None,
            Some(_) if !server.allow_write() => {
                let reason = format!("needs allow_write = true in [stores.{}]", server.name());
                return Err(wrong("invalidate", &reason));
            }
            Some(_) if shard.is_some() => {
                return Err(wrong("invalidate", "names one table, and `shard` has several; keep devices in one table"));
            }
            Some(sql) => {
                let statement = Statement::invalidate(dialect, sql, &config.constants)
                    .map_err(|at| ConfigError::statement(name, "invalidate", at))?;
                Some(Asker::new(server, statement))
            }
        };
        Ok(Self { name: name.to_owned(), asker: Asker::new(server, statement), shape, shard, invalidate })
    }

    pub(crate) fn store_name(&self) -> &str {
        self.asker.server().name()
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
        for (table, ids) in self.tables(ids) {
            let ids = self.plausible(&table, ids).await?;
            let mut work: Vec<&[&str]> = ids.chunks(MOST).collect();
            while let Some(chunk) = work.pop() {
                match self.asker.ask(&Fill { table: &table, ids: chunk, ..Fill::default() }).await {
                    Ok(answer) => self.sort(&answer, chunk, &mut found)?,
                    Err(Failure::Values { .. }) if chunk.len() > 1 => {
                        work.extend(chunk.chunks(chunk.len().div_ceil(2)));
                    }
                    Err(failure) => self.incomparable(&table, chunk, failure).await?,
                }
            }
        }
        Ok(ids.iter().map(|id| found.remove(*id).unwrap_or_default()).collect())
    }

    /// Asks for one id and shows how.
    pub(crate) async fn explain(&self, id: &str) -> Result<Told, Failure> {
        let Some((table, ids)) = self.tables(&[id]).into_iter().next() else {
            return Ok(Told::nothing(format!("nothing: the id {id} belongs to no table")));
        };
        let fill = Fill { table: &table, ids: &ids, ..Fill::default() };
        let asked = self.asker.statement.shown(&fill);
        if self.plausible(&table, ids.clone()).await?.is_empty() {
            return Ok(Told {
                raw: "nothing: the column has another type than the id".to_owned(),
                ..Told::nothing(asked)
            });
        }
        let answer = match self.asker.ask(&fill).await {
            Ok(answer) => answer,
            Err(failure) => {
                self.incomparable(&table, &ids, failure).await?;
                return Ok(Told { raw: "nothing: the id cannot be compared".to_owned(), ..Told::nothing(asked) });
            }
        };
        let mut found = HashMap::new();
        self.sort(&answer, &ids, &mut found)?;
        Ok(Told { asked, raw: self.raw(&answer), rows: found.remove(id).unwrap_or_default() })
    }

    /// Runs `invalidate`, if there is one.
    pub(crate) async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        let Some(asker) = &self.invalidate else { return Ok(false) };
        match asker.run(&Fill { user, token, ..Fill::default() }).await {
            Ok(rows) => Ok(rows > 0),
            // Such as `bob` where ids are numbers, which a strict server refuses to compare when writing.
            Err(Failure::Values { source, .. }) => {
                tracing::warn!(lookup = self.name, user, error = %source, "The store knows no such user or token.");
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Does the statement fit its tables? The server reads it and runs nothing.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let table = self.tables(&["0"]).into_keys().next().unwrap_or_default();
        self.asker.forget();
        let learned = self.asker.learned(&table).await?;
        if let Shape::Raw { row_key } = &self.shape {
            let names: Vec<&str> = learned.columns.iter().map(|(name, _)| name.as_str()).collect();
            self.key_of(&names, row_key)?;
        }
        if let Some(invalidate) = &self.invalidate {
            invalidate.forget();
            invalidate.learned("").await?;
        }
        Ok(())
    }

    /// The ids of each table, in their order.
    fn tables<'a>(&self, ids: &[&'a str]) -> BTreeMap<String, Vec<&'a str>> {
        let Some(shard) = &self.shard else { return BTreeMap::from([(String::new(), ids.to_vec())]) };
        let mut tables: BTreeMap<String, Vec<&'a str>> = BTreeMap::new();
        for id in ids {
            if let Some(Ok(table)) = shard.render(id).map(|table| self.asker.statement.dialect.quote(&table)) {
                tables.entry(table).or_default().push(id);
            }
        }
        tables
    }

    /// The ids that a column of numbers can hold.
    async fn plausible<'a>(&self, table: &str, ids: Vec<&'a str>) -> Result<Vec<&'a str>, Failure> {
        let kind = self.asker.type_of(Place::Ids, &Fill { table, ..Fill::default() }).await?;
        Ok(match kind {
            Some(kind) => ids.into_iter().filter(|id| plausible(&kind, id)).collect(),
            None => ids,
        })
    }

    /// Is the one id at fault for this failure? If not, it is returned.
    async fn incomparable(&self, table: &str, ids: &[&str], failure: Failure) -> Result<(), Failure> {
        let [id] = ids else { return Err(failure) };
        let Failure::Values { source, .. } = &failure else { return Err(failure) };
        let at_fault = match self.asker.type_of(Place::Ids, &Fill { table, ..Fill::default() }).await? {
            Some(kind) => !self.asker.fits(&kind, id).await?,
            None => !id.is_ascii(),
        };
        if !at_fault {
            return Err(failure);
        }
        tracing::warn!(lookup = self.name, id, error = %source, "The store cannot compare this id, so it has no rows.");
        Ok(())
    }

    fn key_of(&self, names: &[&str], row_key: &str) -> Result<usize, Failure> {
        names.iter().position(|name| *name == row_key).ok_or_else(|| {
            let reason = format!("row_key `{row_key}` is not among the selected columns: {}", names.join(", "));
            Failure::contradiction(self.store_name(), reason)
        })
    }

    /// Gives each row to its id, if that was asked for in this statement: `ann` and `ANN` may be the same to the server,
    /// and stand in two statements.
    fn sort<'a>(
        &self,
        answer: &Table,
        asked: &[&'a str],
        found: &mut HashMap<&'a str, Vec<Row>>,
    ) -> Result<(), Failure> {
        if answer.rows.is_empty() {
            return Ok(());
        }
        let asked: HashSet<&'a str> = asked.iter().copied().collect();
        let (key, names) = self.names(answer)?;
        for row in &answer.rows {
            let Some(Some(id)) = row.get(key) else { continue };
            let Some(id) = asked.get(id.as_str()) else { continue };
            let columns = names.iter().zip(row).filter_map(|(name, text)| Some(((*name)?.to_owned(), text.clone()?)));
            found.entry(id).or_default().push(columns.collect());
        }
        Ok(())
    }

    /// Where the id stands, and what the columns are called.
    fn names<'a>(&'a self, answer: &'a Table) -> Result<(usize, Vec<Option<&'a str>>), Failure> {
        Ok(match &self.shape {
            Shape::Declared { columns } => {
                (0, std::iter::once(None).chain(columns.iter().map(|name| Some(name.as_str()))).collect())
            }
            Shape::Raw { row_key } => {
                let names: Vec<&str> = answer.names.iter().map(String::as_str).collect();
                (self.key_of(&names, row_key)?, names.into_iter().map(Some).collect())
            }
        })
    }

    /// The answer as the server gave it, a line per row.
    fn raw(&self, answer: &Table) -> String {
        let ours = self.names(answer).map(|(_, names)| names).unwrap_or_default();
        let line = |row: &Vec<Option<String>>| {
            let cells = row.iter().enumerate().map(|(index, text)| {
                let theirs = answer.names.get(index).map_or("", String::as_str);
                let ours = ours.get(index).copied().flatten().unwrap_or_default();
                let text = text.as_deref().map_or("NULL".to_owned(), |text| shorten::value(&[ours, theirs], text));
                format!("{}={text}", theirs.trim_matches('"'))
            });
            cells.collect::<Vec<_>>().join(" ")
        };
        if answer.rows.is_empty() {
            return "no rows".to_owned();
        }
        answer.rows.iter().take(50).map(line).collect::<Vec<_>>().join("\n")
    }
}

/// The template of `shard`: an id may choose one of a fixed number of tables, not name one.
fn shard(name: &str, text: &str, server: &Arc<dyn SqlServer>) -> Result<Template, ConfigError> {
    let template = Template::parse(text).map_err(|at| ConfigError::template(name, "shard", at))?;
    let wrong = |reason: String| ConfigError::lookup(name, "shard", reason);
    if !template.choices().is_some_and(|choices| (1..=MAX_TABLES).contains(&choices)) {
        let reason =
            format!("takes {{user_id%N}} with N up to {MAX_TABLES}, so that there is a fixed number of tables");
        return Err(wrong(reason));
    }
    let sample = template.render("0").unwrap_or_default();
    server.dialect().quote(&sample).map_err(wrong)?;
    Ok(template)
}
