//! What every lookup does alike, around its provider: cache, mapping of values, verdict.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::BoxFuture;
use homing_core::clock::Millis;
use homing_core::lookup::{Lookup, Row, StoreDown, Verdict};

use crate::cache::Cache;
use crate::config::LookupConfig;
use crate::error::ConfigError;
use crate::failure::Failure;
use crate::judge::{Judge, OWN_NAMES};
use crate::redis_lookup::RedisLookup;
use crate::sql_lookup::SqlLookup;

/// A longer id is nobody's; neither is one with control characters. Such ids have no rows and reach no store.
const MAX_ID: usize = 512;

/// Where the rows come from.
pub(crate) enum Provider {
    Redis(RedisLookup),
    Sql(SqlLookup),
}

/// One `[lookup.NAME]`.
pub(crate) struct Configured {
    name: String,
    pub(crate) provider: Provider,
    judge: Judge,
    map: BTreeMap<String, BTreeMap<String, String>>,
    cache: Option<Cache>,
}

// === impl Provider ===

impl Provider {
    fn columns(&self) -> Option<Vec<String>> {
        match self {
            Self::Redis(lookup) => Some(lookup.columns()),
            Self::Sql(lookup) => lookup.columns(),
        }
    }

    async fn rows(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        match self {
            Self::Redis(lookup) => lookup.rows(ids).await,
            Self::Sql(lookup) => lookup.rows(ids).await,
        }
    }

    async fn forget(&self, user: &str, token: &str) -> Result<bool, Failure> {
        match self {
            Self::Redis(_) => Ok(false),
            Self::Sql(lookup) => lookup.forget(user, token).await,
        }
    }
}

// === impl Configured ===

impl Configured {
    pub(crate) fn new(name: &str, config: &LookupConfig, provider: Provider) -> Result<Self, ConfigError> {
        let columns = provider.columns();
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
            map: config.map.clone(),
            cache: (!config.cache.is_zero()).then(|| Cache::new(config.cache)),
        })
    }

    async fn all(&self, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut known: HashMap<&str, Vec<Row>> = HashMap::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for id in ids.iter().copied() {
            if known.contains_key(id) {
                continue;
            }
            let cached = if is_id(id) { self.cache.as_ref().and_then(|cache| cache.get(id)) } else { Some(Vec::new()) };
            if cached.is_none() {
                unknown.push(id);
            }
            known.insert(id, cached.unwrap_or_default());
        }
        if !unknown.is_empty() {
            let found = self.provider.rows(&unknown).await?;
            for (id, mut rows) in unknown.into_iter().zip(found) {
                self.apply_map(&mut rows);
                if let Some(cache) = &self.cache {
                    cache.put(id, &rows);
                }
                known.insert(id, rows);
            }
        }
        Ok(ids.iter().map(|id| known.get(id).cloned().unwrap_or_default()).collect())
    }

    fn apply_map(&self, rows: &mut [Row]) {
        for (column, meanings) in &self.map {
            for text in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
                if let Some(meaning) = meanings.get(text) {
                    text.clone_from(meaning);
                }
            }
        }
    }
}

impl Lookup for Configured {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        Box::pin(async move { self.all(ids).await.map_err(|failure| failure.of(&self.name)) })
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Verdict {
        self.judge.judge(rows, now)
    }

    fn forget<'a>(&'a self, user: &'a str, token: &'a str) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(async move {
            if !is_id(user) || token.is_empty() {
                return Ok(false);
            }
            let done = self.provider.forget(user, token).await.map_err(|failure| failure.of(&self.name))?;
            if done && let Some(cache) = &self.cache {
                cache.remove(user);
            }
            Ok(done)
        })
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && !id.chars().any(char::is_control)
}
