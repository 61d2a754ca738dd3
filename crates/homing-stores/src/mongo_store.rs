//! One MongoDB: a client that is made at its first use, and a time for every call.
//!
//! `socketTimeoutMS` does nothing in this driver, so a server that hangs is noticed by its monitor (heartbeats every
//! second) and by the clock around each call; see the measurements in the project's notes on MongoDB.

use std::future::Future;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, RawDocumentBuf, doc};
use mongodb::options::{ClientOptions, ConnectionString};
use mongodb::{Client, Collection, Database, IndexModel};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::config::StoreConfig;
use crate::error::ConfigError;
use crate::failure::Failure;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const SERVER_SELECTION: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A MongoDB.
pub(crate) struct MongoStore {
    name: String,
    url: SecretString,
    database: Option<String>,
    timeout: Duration,
    /// May a lookup's `invalidate` write?
    pub(crate) allow_write: bool,
    client: OnceCell<Client>,
}

// === impl MongoStore ===

impl MongoStore {
    /// Reads the URL; opens nothing.
    pub(crate) fn new(name: &str, config: &StoreConfig) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: String| ConfigError::store(name, key, reason);
        if config.pool.is_some() {
            return Err(wrong("pool", "is for SQL; write maxPoolSize into the url".to_owned()));
        }
        let url = config.url.expose_secret();
        let parsed = ConnectionString::parse(url).map_err(|_| wrong("url", why_not(url)))?;
        Ok(Self {
            name: name.to_owned(),
            url: config.url.clone(),
            database: parsed.default_database,
            timeout: config.timeout.unwrap_or(DEFAULT_TIMEOUT),
            allow_write: config.allow_write,
            client: OnceCell::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The database that the URL names.
    pub(crate) fn default_database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The time of a call, for the server as well.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Is anybody there?
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let call = async {
            let client = self.client.get_or_try_init(|| connect(&self.url)).await?;
            client.database("admin").run_command(doc! { "ping": 1 }).await.map(|_| ())
        };
        self.bounded(call).await
    }

    /// One call on a collection, bounded in time.
    pub(crate) async fn on<T, F>(
        &self,
        database: &str,
        collection: &str,
        work: impl FnOnce(Collection<RawDocumentBuf>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = mongodb::error::Result<T>>,
    {
        self.within(database, async |database| work(database.collection(collection)).await).await
    }

    /// One call on a database, bounded in time.
    pub(crate) async fn within<T, F>(&self, database: &str, work: impl FnOnce(Database) -> F) -> Result<T, Failure>
    where
        F: Future<Output = mongodb::error::Result<T>>,
    {
        let call = async {
            let client = self.client.get_or_try_init(|| connect(&self.url)).await?;
            work(client.database(database)).await
        };
        self.bounded(call).await
    }

    /// The fields of each index of a collection that runs up or down, in their order; `None` while there is no collection.
    pub(crate) async fn first_fields(
        &self,
        database: &str,
        collection: &str,
    ) -> Result<Option<Vec<Vec<String>>>, Failure> {
        let listed = self.on(database, collection, async |collection| match collection.list_indexes().await {
            Ok(indexes) => indexes.try_collect::<Vec<_>>().await.map(Some),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        });
        let has_a_way = |way: &Bson| matches!(way, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_));
        let fields = |index: IndexModel| {
            let keys = index.keys.into_iter().take_while(|(_, way)| has_a_way(way));
            keys.map(|(name, _)| name).collect()
        };
        Ok(listed.await?.map(|indexes| indexes.into_iter().map(fields).collect()))
    }

    async fn bounded<T>(&self, call: impl Future<Output = mongodb::error::Result<T>>) -> Result<T, Failure> {
        match timeout(self.timeout, call).await {
            Ok(done) => done.map_err(|error| Failure::driver(&self.name, error)),
            Err(_) => Err(Failure::Silent { store: self.name.clone(), timeout: self.timeout, last: None }),
        }
    }
}

/// Code 26: the collection or its database does not exist.
fn is_not_found(error: &mongodb::error::Error) -> bool {
    matches!(&*error.kind, mongodb::error::ErrorKind::Command(command) if command.code == 26)
}

async fn connect(url: &SecretString) -> mongodb::error::Result<Client> {
    let mut options = ClientOptions::parse(url.expose_secret()).await?;
    options.server_selection_timeout.get_or_insert(SERVER_SELECTION);
    options.connect_timeout.get_or_insert(CONNECT);
    options.heartbeat_freq.get_or_insert(HEARTBEAT);
    options.app_name.get_or_insert_with(|| "homing".to_owned());
    Client::with_options(options)
}

/// Why the driver does not take a URL. Its own words may quote the password, so it is asked again without one.
fn why_not(url: &str) -> String {
    let harmless = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://user:password@{hosts}"),
        (None, Some(_)) => return "must begin with mongodb:// or mongodb+srv://".to_owned(),
        (_, None) => url.to_owned(),
    };
    match ConnectionString::parse(&harmless) {
        Ok(_) => "the user name or the password has characters that must be percent-encoded".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_url_is_explained_without_its_password() {
        for url in [
            "mongodb://u:hun/ter2@h/db",
            "mongodb://u:hunter2@h:notaport/db",
            "mongodb://u:hunter2@h/db?readPreference=hunters",
            "u:hunter2@h",
            "http://u:hunter2@h",
        ] {
            assert!(ConnectionString::parse(url).is_err(), "{url}");
            let why = why_not(url);
            assert!(!why.contains("hunter2") && !why.contains("ter2@"), "{why}");
            assert!(!why.is_empty());
        }
        assert!(why_not("mongodb://u:hun/ter2@h/db").contains("percent"));
    }
}
