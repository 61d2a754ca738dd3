//! `homing check`: is everybody there, and does the mapping fit what is there?

use futures_util::future::join_all;
use homing_core::chat::ChatSource;
use homing_core::lookup::{Lookup, StoreDown};
use redis::{Value, pipe};

use crate::failure::Failure;
use crate::lookup::{Configured, Provider};
use crate::mongo_source::{Index, MongoSource};
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
    /// Asks each store for a sign of life, tries each lookup with one id, and looks at the indexes of each source. Only
    /// reads. All stores are asked at once, so it takes about as long as the slowest timeout.
    pub async fn check(&self) -> Vec<CheckLine> {
        let stores = join_all(self.stores.iter().map(|(name, store)| check_store(name, store)));
        let lookups = join_all(self.lookups.values().map(|lookup| check_lookup(lookup, &self.stores)));
        let sources = join_all(self.sources.iter().map(|(name, source)| check_source(name, source)));
        let (stores, lookups, sources) = tokio::join!(stores, lookups, sources);
        stores.into_iter().chain(lookups).chain(sources.into_iter().flatten()).collect()
    }
}

async fn check_store(name: &str, store: &Store) -> CheckLine {
    let alive = match store {
        Store::Redis(store) => store.ask(pipe().cmd("PING").ignore_errors()).await.and_then(|answers| {
            let refused = answers.into_iter().find_map(Result::err);
            refused.map_or(Ok(()), |error| Err(Failure::driver(name, error)))
        }),
        Store::Mysql(store) => store.fetch("SELECT 1".to_owned(), Vec::new()).await.map(|_| ()),
        Store::Mongo(store) => store.ping().await,
    };
    let subject = format!("stores.{name}");
    match alive {
        Ok(()) => CheckLine::new(subject, Level::Ok, "answers"),
        Err(failure) => CheckLine::new(subject, Level::Error, failure.to_string()),
    }
}

async fn check_lookup(lookup: &Configured, stores: &std::collections::BTreeMap<String, Store>) -> CheckLine {
    let subject = format!("lookup.{}", lookup.name());
    if let Some(wrong) = wrong_type(lookup, stores).await {
        return CheckLine::new(subject, Level::Error, wrong);
    }
    match lookup.rows(&[SAMPLE]).await {
        Ok(answer) => {
            let rows = answer.first().map_or(0, Vec::len);
            CheckLine::new(subject, Level::Ok, format!("answers; the id {SAMPLE} has {rows} rows"))
        }
        Err(StoreDown { source, .. }) => CheckLine::new(subject, Level::Error, source.to_string()),
    }
}

/// MGET and GETBIT say nothing of a key of another type, so a shared key is asked for its type.
async fn wrong_type(lookup: &Configured, stores: &std::collections::BTreeMap<String, Store>) -> Option<String> {
    let Provider::Redis(provider) = &lookup.provider else { return None };
    let (key, expected) = provider.shared_key()?;
    let Some(Store::Redis(store)) = stores.get(provider.store_name()) else { return None };
    let answers = store.ask(pipe().cmd("TYPE").arg(&key).ignore_errors()).await.ok()?;
    match answers.into_iter().next() {
        Some(Ok(Value::SimpleString(found))) if found != expected && found != "none" => {
            Some(format!("the key {key} holds a {found}, but the lookup reads a {expected}"))
        }
        _ => None,
    }
}

async fn check_source(name: &str, source: &MongoSource) -> Vec<CheckLine> {
    let line = |level, text: String| CheckLine::new(format!("source.{name}"), level, text);
    let newest = match source.newest().await {
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
