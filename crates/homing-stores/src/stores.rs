//! From configuration to lookups and sources. Nothing is opened here: a store connects when it is first asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use homing_core::chat::ChatSource;
use homing_core::lookup::Lookup;

use crate::config::{LookupConfig, SourceKind, StoreConfig, StoreKind, StoresConfig};
use crate::error::ConfigError;
use crate::lookup::{Configured, Provider};
use crate::mongo_source::MongoSource;
use crate::mongo_store::MongoStore;
use crate::mysql_store::MySqlStore;
use crate::redis_lookup::RedisLookup;
use crate::redis_store::RedisStore;
use crate::sql_lookup::SqlLookup;

/// Everything that is configured: stores by name, and the lookups and sources that use them.
///
/// The connections belong to the tokio runtime that first uses them.
pub struct Stores {
    pub(crate) stores: BTreeMap<String, Store>,
    pub(crate) lookups: BTreeMap<String, Arc<Configured>>,
    pub(crate) sources: BTreeMap<String, Arc<MongoSource>>,
}

/// One `[stores.NAME]`.
pub(crate) enum Store {
    Redis(Arc<RedisStore>),
    Mysql(Arc<MySqlStore>),
    Mongo(Arc<MongoStore>),
}

/// Checks the whole configuration and prepares its lookups and sources. Opens no connection.
pub fn build(config: &StoresConfig) -> Result<Stores, ConfigError> {
    let mut stores = BTreeMap::new();
    for (name, config) in &config.stores {
        stores.insert(name.clone(), Store::new(name, config)?);
    }
    let mut lookups = BTreeMap::new();
    for (name, config) in &config.lookup {
        let provider = provider(name, config, &stores)?;
        lookups.insert(name.clone(), Arc::new(Configured::new(name, config, provider)?));
    }
    let mut sources = BTreeMap::new();
    for (name, config) in &config.source {
        let SourceKind::Mongo = config.kind;
        let source = match stores.get(&config.store) {
            Some(Store::Mongo(store)) => MongoSource::new(name, config, Arc::clone(store))?,
            Some(_) => {
                return Err(ConfigError::source(name, "store", format!("{} is not of kind mongo", config.store)));
            }
            None => return Err(ConfigError::source(name, "store", unknown(&config.store, &stores))),
        };
        sources.insert(name.clone(), Arc::new(source));
    }
    Ok(Stores { stores, lookups, sources })
}

fn provider(name: &str, config: &LookupConfig, stores: &BTreeMap<String, Store>) -> Result<Provider, ConfigError> {
    match stores.get(&config.store) {
        Some(Store::Redis(store)) => RedisLookup::new(name, config, Arc::clone(store)).map(Provider::Redis),
        Some(Store::Mysql(store)) => SqlLookup::new(name, config, Arc::clone(store)).map(Provider::Sql),
        Some(Store::Mongo(_)) => {
            let reason = format!("{} is of kind mongo; in this version lookups ask redis and mysql", config.store);
            Err(ConfigError::lookup(name, "store", reason))
        }
        None => Err(ConfigError::lookup(name, "store", unknown(&config.store, stores))),
    }
}

fn unknown(name: &str, stores: &BTreeMap<String, Store>) -> String {
    let known = stores.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("there is no [stores.{name}]; there are: {known}")
}

// === impl Stores ===

impl Stores {
    /// The lookup `[lookup.NAME]`.
    pub fn lookup(&self, name: &str) -> Option<Arc<dyn Lookup>> {
        self.lookups.get(name).map(|lookup| Arc::clone(lookup) as Arc<dyn Lookup>)
    }

    /// The source `[source.NAME]`.
    pub fn source(&self, name: &str) -> Option<Arc<dyn ChatSource>> {
        self.sources.get(name).map(|source| Arc::clone(source) as Arc<dyn ChatSource>)
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Stores");
        shown.field("stores", &self.stores.keys()).field("lookups", &self.lookups.keys());
        shown.field("sources", &self.sources.keys()).finish()
    }
}

// === impl Store ===

impl Store {
    fn new(name: &str, config: &StoreConfig) -> Result<Self, ConfigError> {
        if config.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(ConfigError::store(name, "timeout", "must be above 0"));
        }
        Ok(match config.kind {
            StoreKind::Redis => Self::Redis(Arc::new(RedisStore::new(name, config)?)),
            StoreKind::Mysql => Self::Mysql(Arc::new(MySqlStore::new(name, config)?)),
            StoreKind::Mongo => Self::Mongo(Arc::new(MongoStore::new(name, config)?)),
        })
    }
}
