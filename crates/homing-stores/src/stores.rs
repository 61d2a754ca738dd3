//! From configuration to lookups, enumerators and sources. Nothing is opened here: a store connects when it is first asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use homing_core::chat::ChatSource;
use homing_core::lookup::{Lookup, Members};

use crate::config::{LookupConfig, MembersConfig, SourceKind, StoreConfig, StoreKind, StoresConfig};
use crate::error::ConfigError;
use crate::http_lookup::HttpLookup;
use crate::http_store::HttpStore;
use crate::lookup::{Configured, Provider};
use crate::members::{Enumerator, Source};
use crate::mongo_lookup::MongoLookup;
use crate::mongo_members::MongoMembers;
use crate::mongo_source::MongoSource;
use crate::mongo_store::MongoStore;
use crate::redis_lookup::RedisLookup;
use crate::redis_members::RedisMembers;
use crate::redis_store::RedisStore;
use crate::sql::{self, SqlLookup, SqlMembers, SqlServer};

/// Everything that is configured: stores by name, and the lookups, enumerators and sources that
/// use them.
///
/// The connections belong to the tokio runtime that first uses them.
pub struct Stores {
    pub(crate) stores: BTreeMap<String, Store>,
    pub(crate) lookups: BTreeMap<String, Arc<Configured>>,
    pub(crate) members: BTreeMap<String, Arc<Enumerator>>,
    pub(crate) sources: BTreeMap<String, Arc<MongoSource>>,
}

/// One `[stores.NAME]`.
pub(crate) enum Store {
    Redis(Arc<RedisStore>),
    Sql(Arc<dyn SqlServer>),
    Mongo(Arc<MongoStore>),
    Http(Arc<HttpStore>),
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
    let mut members = BTreeMap::new();
    for (name, config) in &config.members {
        let source = enumerator(name, config, &stores)?;
        members.insert(name.clone(), Arc::new(Enumerator { name: name.clone(), source }));
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
    Ok(Stores { stores, lookups, members, sources })
}

fn provider(name: &str, config: &LookupConfig, stores: &BTreeMap<String, Store>) -> Result<Provider, ConfigError> {
    match stores.get(&config.store) {
        Some(Store::Redis(store)) => RedisLookup::new(name, config, Arc::clone(store)).map(Provider::Redis),
        Some(Store::Sql(server)) => SqlLookup::new(name, config, server).map(Box::new).map(Provider::Sql),
        Some(Store::Mongo(store)) => {
            MongoLookup::new(name, config, Arc::clone(store)).map(Box::new).map(Provider::Mongo)
        }
        Some(Store::Http(store)) => HttpLookup::new(name, config, Arc::clone(store)).map(Provider::Http),
        None => Err(ConfigError::lookup(name, "store", unknown(&config.store, stores))),
    }
}

fn enumerator(name: &str, config: &MembersConfig, stores: &BTreeMap<String, Store>) -> Result<Source, ConfigError> {
    match stores.get(&config.store) {
        Some(Store::Redis(store)) => RedisMembers::new(name, config, Arc::clone(store)).map(Source::Redis),
        Some(Store::Sql(server)) => SqlMembers::new(name, config, server).map(Box::new).map(Source::Sql),
        Some(Store::Mongo(store)) => {
            MongoMembers::new(name, config, Arc::clone(store)).map(Box::new).map(Source::Mongo)
        }
        Some(Store::Http(_)) => {
            let reason = format!("{} is of kind http; members are listed by redis, SQL and mongo", config.store);
            Err(ConfigError::members(name, "store", reason))
        }
        None => Err(ConfigError::members(name, "store", unknown(&config.store, stores))),
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

    /// The enumerator `[members.NAME]`.
    pub fn members(&self, name: &str) -> Option<Arc<dyn Members>> {
        self.members.get(name).map(|members| Arc::clone(members) as Arc<dyn Members>)
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
        shown.field("members", &self.members.keys()).field("sources", &self.sources.keys()).finish()
    }
}

// === impl Store ===

impl Store {
    fn new(name: &str, config: &StoreConfig) -> Result<Self, ConfigError> {
        if config.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(ConfigError::store(name, "timeout", "must be above 0"));
        }
        let other = |key: &str, whose: &str| Err(ConfigError::store(name, key, format!("is for {whose}")));
        match config.kind {
            kind if config.token.is_some() && kind != StoreKind::Http => {
                return other("token", "http; elsewhere the password stands in the url");
            }
            kind if config.compat.is_some() && kind != StoreKind::Mysql => return other("compat", "mysql"),
            _ => {}
        }
        Ok(match config.kind {
            StoreKind::Redis => Self::Redis(Arc::new(RedisStore::new(name, config)?)),
            StoreKind::Mysql | StoreKind::Postgres | StoreKind::Sqlite => Self::Sql(sql::open(name, config)?),
            StoreKind::Mongo => Self::Mongo(Arc::new(MongoStore::new(name, config)?)),
            StoreKind::Http => Self::Http(Arc::new(HttpStore::new(name, config)?)),
        })
    }
}
