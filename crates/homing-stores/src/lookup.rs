//! What every lookup does alike, around its provider: cache, mapping of values, verdict.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::clock::Millis;
use homing_core::lookup::{Death, Explained, Lookup, Row, StoreDown, Verdict};

use crate::cache::Cache;
use crate::config::LookupConfig;
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::flight::{Flights, landed};
use crate::http_lookup::HttpLookup;
use crate::judge::{Judge, OWN_NAMES};
use crate::mongo_lookup::MongoLookup;
use crate::redis_lookup::RedisLookup;
use crate::shorten;
use crate::sql::SqlLookup;
use crate::times;

/// A longer id is nobody's; neither is one with control characters. Such ids have no rows and reach no store.
const MAX_ID: usize = 512;

/// Where the rows come from.
pub(crate) enum Provider {
    Redis(RedisLookup),
    Sql(Box<SqlLookup>),
    Mongo(Box<MongoLookup>),
    Http(HttpLookup),
}

/// How one id was looked up.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The command, statement or request.
    pub(crate) asked: String,
    /// The answer, without whole tokens.
    pub(crate) raw: String,
    /// What was read from it.
    pub(crate) rows: Vec<Row>,
}

/// One `[lookup.NAME]`.
pub(crate) struct Configured {
    name: String,
    pub(crate) provider: Provider,
    judge: Judge,
    /// What the provider calls a column, and our name.
    rename: BTreeMap<String, String>,
    map: BTreeMap<String, BTreeMap<String, String>>,
    constant: BTreeMap<String, String>,
    cache: Option<(Cache, Flights)>,
}

/// In `map`: any other value, and none.
const ANY: &str = "*";

/// Tells when a token was registered.
const REGISTERED_AT: &str = "registered_at";

// === impl Provider ===

impl Provider {
    fn columns(&self) -> Option<Vec<String>> {
        match self {
            Self::Redis(lookup) => Some(lookup.columns()),
            Self::Sql(lookup) => lookup.columns(),
            Self::Mongo(lookup) => Some(lookup.columns()),
            Self::Http(lookup) => lookup.columns(),
        }
    }

    fn store_name(&self) -> &str {
        match self {
            Self::Redis(lookup) => lookup.store_name(),
            Self::Sql(lookup) => lookup.store_name(),
            Self::Mongo(lookup) => lookup.store_name(),
            Self::Http(lookup) => lookup.store_name(),
        }
    }

    async fn rows(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        match self {
            Self::Redis(lookup) => lookup.rows(ids).await,
            Self::Sql(lookup) => lookup.rows(ids).await,
            Self::Mongo(lookup) => lookup.rows(ids).await,
            Self::Http(lookup) => lookup.rows(ids).await,
        }
    }

    async fn explain(&self, id: &str) -> Result<Told, Failure> {
        match self {
            Self::Redis(lookup) => lookup.explain(id).await,
            Self::Sql(lookup) => lookup.explain(id).await,
            Self::Mongo(lookup) => lookup.explain(id).await,
            Self::Http(lookup) => lookup.explain(id).await,
        }
    }

    async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        match self {
            Self::Redis(lookup) => lookup.forget(user, token).await,
            Self::Sql(lookup) => lookup.forget(user, token).await,
            Self::Mongo(lookup) => lookup.forget(user, token).await,
            Self::Http(lookup) => lookup.forget(user, token).await,
        }
    }

    async fn clean(&self, user: &str) -> Result<bool, Failure> {
        match self {
            Self::Redis(lookup) => lookup.clean(user).await,
            Self::Sql(_) | Self::Mongo(_) | Self::Http(_) => Ok(false),
        }
    }
}

// === impl Told ===

impl Told {
    /// Nothing came, or nothing was asked.
    pub(crate) fn nothing(asked: String) -> Self {
        Self { asked, raw: "nothing".to_owned(), rows: Vec::new() }
    }
}

// === impl Configured ===

impl Configured {
    pub(crate) fn new(name: &str, config: &LookupConfig, provider: Provider) -> Result<Self, ConfigError> {
        let theirs = provider.columns();
        let columns = columns(name, theirs, config)?;
        for column in config.map.keys() {
            if columns.as_ref().is_some_and(|columns| !columns.contains(column)) {
                return Err(ConfigError::lookup(name, &format!("map.{column}"), "is no column of this lookup"));
            }
        }
        if let Some(taken) = columns.iter().flatten().find(|column| OWN_NAMES.contains(&column.as_str())) {
            let reason = format!("a column cannot be called {taken}: in expressions that is something else");
            return Err(ConfigError::lookup(name, "columns, fields", reason));
        }
        Ok(Self {
            name: name.to_owned(),
            provider,
            judge: Judge::new(name, config.accept.as_deref(), config.on_missing, columns.as_deref())?,
            rename: config.rename.iter().map(|(ours, theirs)| (theirs.clone(), ours.clone())).collect(),
            map: config.map.clone(),
            constant: config.constant.clone(),
            cache: (!config.cache.is_zero()).then(|| (Cache::new(config.cache), Flights::default())),
        })
    }

    async fn all(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut known: HashMap<&str, Vec<Row>> = HashMap::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for id in ids.iter().copied() {
            if known.insert(id, Vec::new()).is_none() && is_id(id) {
                unknown.push(id);
            }
        }
        match &self.cache {
            None => self.ask(unknown, &mut known).await?,
            Some((cache, flights)) => {
                while !unknown.is_empty() {
                    unknown = self.share(unknown, cache, flights, &mut known).await?;
                }
            }
        }
        Ok(ids.iter().map(|id| known.get(id).cloned().unwrap_or_default()).collect())
    }

    /// Takes what the cache has, asks for what nobody asks for, and waits for the rest; answers what is still unknown
    /// then, because another's question was cut short or its answer was not kept.
    async fn share<'a>(
        &self,
        ids: Vec<&'a str>,
        cache: &Cache,
        flights: &Flights,
        known: &mut HashMap<&'a str, Vec<Row>>,
    ) -> Result<Vec<&'a str>, Failure> {
        let mut unknown = Vec::new();
        for id in ids {
            match cache.get(id) {
                Some(rows) => drop(known.insert(id, rows)),
                None => unknown.push(id),
            }
        }
        if unknown.is_empty() {
            return Ok(unknown);
        }
        let (flight, others) = flights.take(&unknown);
        let (own, rest): (Vec<&str>, Vec<&str>) = {
            let mut own = flight.ids.iter().map(String::as_str).peekable();
            unknown.into_iter().partition(|id| own.next_if(|next| next == id).is_some())
        };
        if own.is_empty() {
            drop(flight);
        } else {
            let asked = self.ask(own.clone(), known).await;
            if asked.is_ok() {
                for id in own {
                    cache.put(id, known.get(id).map_or(&[], Vec::as_slice));
                }
            }
            match asked {
                Ok(()) => flight.land(Ok(())),
                Err(failure) => {
                    let failure = Arc::new(failure);
                    flight.land(Err(Arc::clone(&failure)));
                    return Err(Failure::Shared(failure));
                }
            }
        }
        for other in others {
            landed(other).await.map_err(Failure::Shared)?;
        }
        Ok(rest)
    }

    /// Asks the store for distinct ids.
    async fn ask<'a>(&self, ids: Vec<&'a str>, known: &mut HashMap<&'a str, Vec<Row>>) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.provider.rows(&ids).await?;
        for (id, mut rows) in ids.into_iter().zip(found) {
            self.apply(&mut rows);
            known.insert(id, rows);
        }
        Ok(())
    }

    async fn tell(&self, id: &str) -> Result<Explained, Failure> {
        let store = self.provider.store_name().to_owned();
        let mut told = if is_id(id) {
            self.provider.explain(id).await?
        } else {
            Told::nothing("nothing: this is nobody's id".to_owned())
        };
        self.apply(&mut told.rows);
        Ok(Explained { store, asked: told.asked, raw: shorten::bounded(&told.raw), rows: told.rows })
    }

    /// From the provider's columns and values to ours.
    fn apply(&self, rows: &mut [Row]) {
        for row in rows {
            let moved: Vec<_> =
                self.rename.iter().filter_map(|(theirs, ours)| Some((ours.clone(), row.remove(theirs)?))).collect();
            row.extend(moved);
            for (column, meanings) in &self.map {
                let raw = row.get(column);
                let meaning = raw.and_then(|text| meanings.get(text)).or_else(|| meanings.get(ANY));
                if let Some(meaning) = meaning {
                    row.insert(column.clone(), meaning.clone());
                }
            }
            row.extend(self.constant.clone());
        }
    }

    /// Was the token registered again after its death? Asked past the cache; where nothing tells, it was not.
    async fn lives(&self, user: &str, token: &str, since: Millis) -> Result<bool, Failure> {
        let mut rows = self.provider.rows(&[user]).await?.into_iter().next().unwrap_or_default();
        self.apply(&mut rows);
        let times = rows.iter().filter(|row| row.get("token").is_some_and(|own| own == token));
        for text in times.filter_map(|row| row.get(REGISTERED_AT)) {
            match times::latest(text) {
                Some(at) if at <= since => {}
                Some(_) => return Ok(true),
                // A live token must not go by mistake; a dead one is found dead again.
                None => {
                    let lookup = &self.name;
                    tracing::warn!(lookup, user, text, "registered_at is no time, so the token stays.");
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn forget_token(&self, user: &str, token: &str, death: &Death) -> Result<bool, Failure> {
        if !is_id(user) || token.is_empty() {
            return Ok(false);
        }
        if let Some(since) = death.since
            && self.lives(user, token, since).await?
        {
            return Ok(false);
        }
        let done = self.provider.forget(user, token).await?;
        if done && let Some((cache, _)) = &self.cache {
            cache.remove(user);
        }
        Ok(done)
    }

    async fn clean_user(&self, user: &str) -> Result<bool, Failure> {
        let done = is_id(user) && self.provider.clean(user).await?;
        if done && let Some((cache, _)) = &self.cache {
            cache.remove(user);
        }
        Ok(done)
    }
}

impl Lookup for Configured {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        Box::pin(async move { self.all(ids).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn explain<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        Box::pin(async move { self.tell(id).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Verdict {
        self.judge.judge(rows, now)
    }

    fn forget<'a>(&'a self, user: &'a str, token: &'a str, death: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(async move { self.forget_token(user, token, death).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn clean<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(async move { self.clean_user(user).await.map_err(|failure| failure.of(&self.name)) })
    }
}

/// Our columns, where the provider's are known; `rename` and `constant` fit to them.
fn columns(name: &str, theirs: Option<Vec<String>>, config: &LookupConfig) -> Result<Option<Vec<String>>, ConfigError> {
    let wrong = |key: String, reason: String| Err(ConfigError::lookup(name, &key, reason));
    let mut columns = theirs;
    for (ours, theirs) in &config.rename {
        let Some(columns) = &mut columns else { continue };
        let Some(column) = columns.iter_mut().find(|column| *column == theirs) else {
            return wrong(format!("rename.{ours}"), format!("there is no column {theirs}"));
        };
        column.clone_from(ours);
    }
    for column in config.constant.keys() {
        let Some(columns) = &mut columns else { continue };
        if columns.contains(column) {
            return wrong(format!("constant.{column}"), "is read from the store, too".to_owned());
        }
        columns.push(column.clone());
    }
    if let Some(columns) = &columns
        && let Some(twice) =
            columns.iter().enumerate().find(|(n, column)| columns.iter().take(*n).any(|c| c == *column))
    {
        return wrong("rename".to_owned(), format!("two columns are called {}", twice.1));
    }
    Ok(columns)
}

/// Could anybody have this id?
pub(crate) fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && !id.chars().any(char::is_control)
}
