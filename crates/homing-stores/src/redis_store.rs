//! One Redis server: one multiplexed connection, opened when it is first needed.
//!
//! A connection that failed or fell silent is thrown away and the next call opens another, so a server that came back,
//! or moved behind its name, is found again by itself. (The driver's own manager keeps a connection that only falls
//! silent until TCP gives up on it.) Within its time a call opens as many connections as it can: everything asked here
//! may be asked twice: it reads, or removes what is no more the second time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::StoreConfig;
use crate::error::ConfigError;
use crate::failure::Failure;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A Redis server.
pub(crate) struct RedisStore {
    name: String,
    client: Client,
    timeout: Duration,
    /// May a lookup's `invalidate` and `clean` write?
    pub(crate) allow_write: bool,
    /// The connection in use and its number.
    slot: Mutex<(u64, Option<MultiplexedConnection>)>,
    /// Held while connecting, so that a hundred callers open one connection.
    connecting: tokio::sync::Mutex<()>,
}

// === impl RedisStore ===

impl RedisStore {
    /// Reads the URL; opens nothing.
    pub(crate) fn new(name: &str, config: &StoreConfig) -> Result<Self, ConfigError> {
        if config.pool.is_some() {
            return Err(ConfigError::store(name, "pool", "is for SQL; Redis needs one connection"));
        }
        let client = Client::open(config.url.expose_secret())
            .map_err(|error| ConfigError::store(name, "url", error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            client,
            timeout: config.timeout.unwrap_or(DEFAULT_TIMEOUT),
            allow_write: config.allow_write,
            slot: Mutex::new((0, None)),
            connecting: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One round trip. An error of a single command stands in its place; `Err` is no answer at all.
    pub(crate) async fn ask(&self, pipe: &Pipeline) -> Result<Vec<RedisResult<Value>>, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut last = None;
        let silent = |last| Failure::Silent { store: self.name.clone(), timeout: self.timeout, last };
        loop {
            let error = match timeout_at(deadline, self.connection()).await {
                Err(_) => return Err(silent(last)),
                Ok(Err(error)) => error,
                Ok(Ok((number, mut connection))) => {
                    match timeout_at(deadline, pipe.query_async(&mut connection)).await {
                        Ok(Ok(answers)) => return Ok(answers),
                        Ok(Err(error)) => {
                            self.close(number);
                            error
                        }
                        Err(_) => {
                            self.close(number);
                            return Err(silent(last));
                        }
                    }
                }
            };
            if !of_the_connection(&error) {
                return Err(Failure::driver(&self.name, error));
            }
            last = Some(error.to_string());
            if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
                return Err(silent(last));
            }
        }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let _only_one = self.connecting.lock().await;
        if let Some(open) = self.open() {
            return Ok(open);
        }
        // Response timeout off: `ask` watches the clock, and has to know, so that it can close.
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(self.timeout)).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.0 += 1;
        slot.1 = Some(connection.clone());
        Ok((slot.0, connection))
    }

    fn open(&self) -> Option<(u64, MultiplexedConnection)> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        Some((slot.0, slot.1.clone()?))
    }

    /// Closes the connection of this number, and no newer one.
    fn close(&self, number: u64) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.0 == number {
            slot.1 = None;
        }
    }
}

/// Is it worth another connection? A wrong password is not.
fn of_the_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}
