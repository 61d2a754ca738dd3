//! From configuration to lookups, enumerators and sources. Nothing is opened here: a store connects when it is first asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use homing_core::chat::ChatSource;
use homing_core::clock::{Clock, SystemClock};
use homing_core::lookup::{Lookup, Members};
use homing_core::registry::Registry;

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
use crate::registry::{self, SqlRegistry};
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
    pub(crate) registry: Option<Arc<SqlRegistry>>,
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
    build_with(config, Arc::new(SystemClock::default()))
}

/// As [`build`], with a clock for the times that the registry's lookups write.
pub fn build_with(config: &StoresConfig, clock: Arc<dyn Clock>) -> Result<Stores, ConfigError> {
    let mut stores = BTreeMap::new();
    for (name, store) in &config.stores {
        let of_the_registry = config.registry.as_ref().is_some_and(|registry| registry.store == *name);
        stores.insert(name.clone(), Store::new(name, store, of_the_registry)?);
    }
    let registry = match &config.registry {
        None => None,
        Some(registry) => match stores.get(&registry.store) {
            Some(Store::Sql(server)) => Some(Arc::new(SqlRegistry::new(registry, server, clock)?)),
            Some(_) => {
                let reason = format!("{} is not of kind sqlite, mysql or postgres", registry.store);
                return Err(ConfigError::registry("store", reason));
            }
            None => return Err(ConfigError::registry("store", unknown(&registry.store, &stores))),
        },
    };
    let taken = "is the registry's own name; call it otherwise";
    let mut lookups = BTreeMap::new();
    for (name, config) in &config.lookup {
        if registry.is_some() && registry::is_of_the_registry(name) {
            return Err(ConfigError::lookup(name, "name", taken));
        }
        let provider = provider(name, config, &stores)?;
        lookups.insert(name.clone(), Arc::new(Configured::new(name, config, provider)?));
    }
    let mut members = BTreeMap::new();
    for (name, config) in &config.members {
        if registry.is_some() && registry::is_of_the_registry(name) {
            return Err(ConfigError::members(name, "name", taken));
        }
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
    Ok(Stores { stores, lookups, members, sources, registry })
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
    /// The lookup `[lookup.NAME]`, or `registry.devices` or `registry.profile`.
    pub fn lookup(&self, name: &str) -> Option<Arc<dyn Lookup>> {
        match (&self.registry, name) {
            (Some(registry), registry::Devices::NAME) => {
                return Some(Arc::new(registry::Devices(Arc::clone(registry))));
            }
            (Some(registry), registry::Profile::NAME) => {
                return Some(Arc::new(registry::Profile(Arc::clone(registry))));
            }
            _ => {}
        }
        self.lookups.get(name).map(|lookup| Arc::clone(lookup) as Arc<dyn Lookup>)
    }

    /// The device registry, where `[registry]` says where it is.
    pub fn registry(&self) -> Option<Arc<dyn Registry>> {
        self.registry.as_ref().map(|registry| Arc::clone(registry) as Arc<dyn Registry>)
    }

    /// The enumerator `[members.NAME]`, or `registry.topic` or `registry.everyone`.
    pub fn members(&self, name: &str) -> Option<Arc<dyn Members>> {
        match (&self.registry, name) {
            (Some(registry), registry::Topic::NAME) => return Some(Arc::new(registry::Topic(Arc::clone(registry)))),
            (Some(registry), registry::Everyone::NAME) => {
                return Some(Arc::new(registry::Everyone(Arc::clone(registry))));
            }
            _ => {}
        }
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
        shown.field("members", &self.members.keys()).field("sources", &self.sources.keys());
        shown.field("registry", &self.registry.is_some()).finish()
    }
}

// === impl Store ===

impl Store {
    fn new(name: &str, config: &StoreConfig, of_the_registry: bool) -> Result<Self, ConfigError> {
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
            StoreKind::Mysql | StoreKind::Postgres | StoreKind::Sqlite => {
                Self::Sql(sql::open(name, config, of_the_registry)?)
            }
            StoreKind::Mongo => Self::Mongo(Arc::new(MongoStore::new(name, config)?)),
            StoreKind::Http => Self::Http(Arc::new(HttpStore::new(name, config)?)),
        })
    }
}
