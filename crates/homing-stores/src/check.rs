//! `homing check`: is everybody there, and does the mapping fit what is there?

use futures_util::future::join_all;
use homing_core::chat::{ChatSource, Start};
use homing_core::lookup::{Lookup, Members, StoreDown};
use redis::pipe;

use crate::failure::Failure;
use crate::lookup::{Configured, Provider};
use crate::members::{Enumerator, Source};
use crate::mongo_source::{Index, MongoSource};
use crate::registry::SqlRegistry;
use crate::stores::{Store, Stores};

/// The id that lookups are tried with. It need not exist.
const SAMPLE: &str = "0";

/// One line of `homing check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLine {
    /// What was looked at: `stores.main_redis`, `lookup.login`, `source.group`.
    pub subject: String,
    /// How it is.
    pub level: Level,
    /// In words.
    pub text: String,
}

/// How well a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Well.
    Ok,
    /// It works, and will not always.
    Warning,
    /// It does not work.
    Error,
}

// === impl CheckLine ===

impl CheckLine {
    fn new(subject: String, level: Level, text: impl Into<String>) -> Self {
        Self { subject, level, text: text.into() }
    }
}

// === impl Stores ===

impl Stores {
    /// Asks each store for a sign of life, tries each lookup and enumerator with one id, and looks at
    /// types, columns and indexes. Only
    /// reads. All stores are asked at once, so it takes about as long as the slowest timeout.
    pub async fn check(&self) -> Vec<CheckLine> {
        let stores = join_all(self.stores.iter().map(|(name, store)| check_store(name, store)));
        let lookups = join_all(self.lookups.values().map(|lookup| check_lookup(lookup)));
        let members = join_all(self.members.values().map(|members| check_members(members)));
        let sources = join_all(self.sources.iter().map(|(name, source)| check_source(name, source)));
        let registry = async {
            match &self.registry {
                Some(registry) => vec![check_registry(registry).await],
                None => Vec::new(),
            }
        };
        let (stores, lookups, members, sources, registry) = tokio::join!(stores, lookups, members, sources, registry);
        let lookups = lookups.into_iter().chain(members).chain(sources).flatten();
        stores.into_iter().chain(lookups).chain(registry).collect()
    }
}

async fn check_store(name: &str, store: &Store) -> CheckLine {
    let alive = match store {
        Store::Redis(store) => store.ask(pipe().cmd("PING").ignore_errors()).await.and_then(|answers| {
            let refused = answers.into_iter().find_map(Result::err);
            refused.map_or(Ok(()), |error| Err(Failure::driver(name, error)))
        }),
        Store::Sql(server) => server.fetch("SELECT '1'".to_owned(), Vec::new()).await.map(|_| ()),
        Store::Mongo(store) => store.ping().await,
        // What it knows of is asked by the lookups.
        Store::Http(_) => return CheckLine::new(format!("stores.{name}"), Level::Ok, "is asked by its lookups"),
    };
    let subject = format!("stores.{name}");
    match alive {
        Ok(()) => CheckLine::new(subject, Level::Ok, "answers"),
        Err(failure) => CheckLine::new(subject, Level::Error, failure.to_string()),
    }
}

/// The registry's tables are looked for, not made.
async fn check_registry(registry: &SqlRegistry) -> CheckLine {
    let line = |level, text: String| CheckLine::new("registry".to_owned(), level, text);
    match registry.tables.version().await {
        Ok(Some(version)) => line(Level::Ok, format!("its tables are there, version {version}")),
        Ok(None) => line(Level::Warning, "has no tables yet; the first daemon that needs them makes them".to_owned()),
        Err(failure) => line(Level::Error, failure.to_string()),
    }
}

async fn check_lookup(lookup: &Configured) -> Vec<CheckLine> {
    let line = |level, text: String| CheckLine::new(format!("lookup.{}", lookup.name()), level, text);
    let mut lines = Vec::new();
    match &lookup.provider {
        Provider::Redis(provider) => {
            if let Ok(Some(wrong)) = provider.wrong_type().await {
                return vec![line(Level::Error, wrong)];
            }
        }
        Provider::Sql(provider) => {
            if let Err(failure) = provider.check().await {
                let advice = "compare table, id, columns and where, or the query, with what is there";
                return vec![line(Level::Error, advised(&failure, advice))];
            }
        }
        Provider::Mongo(provider) => {
            lines.extend(
                index(provider.indexed().await, &provider.wanted_index()).map(|(level, text)| line(level, text)),
            );
        }
        Provider::Http(_) => {}
    }
    let answer = match lookup.rows(&[SAMPLE]).await {
        Ok(answer) => {
            let rows = answer.first().map_or(0, Vec::len);
            line(Level::Ok, format!("answers; the id {SAMPLE} has {rows} rows"))
        }
        Err(StoreDown { source, .. }) => line(Level::Error, source.to_string()),
    };
    lines.insert(0, answer);
    lines
}

async fn check_members(members: &Enumerator) -> Vec<CheckLine> {
    let line = |level, text: String| CheckLine::new(format!("members.{}", members.name()), level, text);
    let mut lines = Vec::new();
    match &members.source {
        Source::Redis(source) => {
            if let Ok(Some(wrong)) = source.check().await {
                return vec![line(Level::Error, wrong)];
            }
        }
        Source::Sql(source) => {
            if let Err(failure) = source.check().await {
                let advice = "compare table, of, member and where, or the query, with what is there";
                return vec![line(Level::Error, advised(&failure, advice))];
            }
        }
        Source::Mongo(source) => {
            lines.extend(index(source.indexed().await, &source.wanted_index()).map(|(level, text)| line(level, text)));
        }
    }
    let of = if members.source.has_of() { SAMPLE } else { "" };
    let answer = match members.page(of, None, 1).await {
        Ok(page) if of.is_empty() => match page.members.first() {
            Some(first) => line(Level::Ok, format!("answers; the first member is {first}")),
            None => line(Level::Warning, "answers, and there is no member at all".to_owned()),
        },
        Ok(page) => line(
            Level::Ok,
            format!("answers; {SAMPLE} has {} members", if page.members.is_empty() { "no" } else { "some" }),
        ),
        Err(StoreDown { source, .. }) => line(Level::Error, source.to_string()),
    };
    lines.insert(0, answer);
    lines
}

/// What to do, where the store is well and the mapping is not.
fn advised(failure: &Failure, advice: &str) -> String {
    match failure {
        Failure::Silent { .. } => failure.to_string(),
        failure => format!("{failure}; {advice}"),
    }
}

/// What the indexes of a collection are good for; nothing if it cannot be asked, which shows elsewhere.
fn index(found: Result<Option<bool>, Failure>, wanted: &str) -> Option<(Level, String)> {
    match found.ok()? {
        Some(true) => Some((Level::Ok, format!("has an index on {wanted}"))),
        Some(false) => Some((
            Level::Warning,
            format!("no index serves: each question reads the whole collection; create {wanted}"),
        )),
        None => Some((Level::Warning, "the collection does not exist".to_owned())),
    }
}

async fn check_source(name: &str, source: &MongoSource) -> Vec<CheckLine> {
    let line = |level, text: String| CheckLine::new(format!("source.{name}"), level, text);
    let newest = match source.start(Start::Newest).await {
        Ok(Some(cursor)) => line(Level::Ok, format!("the newest document stands at {}", cursor.0)),
        Ok(None) => line(Level::Warning, "has no document yet, so the type of its cursor is unproven".to_owned()),
        Err(StoreDown { source, .. }) => line(Level::Error, source.to_string()),
    };
    let wanted = source.wanted_index();
    let index = match source.index().await {
        Ok(Some(Index::FieldAndTie)) => line(Level::Ok, format!("has an index on {wanted}")),
        Ok(Some(Index::Field)) => {
            line(Level::Warning, format!("has an index on the cursor field only: a backlog is slow; create {wanted}"))
        }
        Ok(Some(Index::None)) => {
            line(Level::Warning, format!("has no index for the cursor: each read scans it whole; create {wanted}"))
        }
        Ok(None) => line(Level::Warning, "the collection does not exist".to_owned()),
        Err(failure) => line(Level::Error, failure.to_string()),
    };
    vec![newest, index]
}
