//! A connection of our own: opened with RESP3 and a limit of time.

use std::time::Duration;

use redis::{AsyncConnectionConfig, IntoConnectionInfo, ProtocolVersion, RedisResult, aio::MultiplexedConnection};
use secrecy::ExposeSecret;

use super::super::settings::Emitter;

/// For connecting and for each answer, but of commands that block.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(5);

/// The server of an emitter.
pub(in super::super) struct Client(redis::Client);

impl Client {
    /// Reads the URL; connects to nothing.
    pub(in super::super) fn new(emitter: &Emitter) -> RedisResult<Self> {
        let info = emitter.url.expose_secret().into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        redis::Client::open(info.set_redis_settings(settings)).map(Self)
    }

    /// A configuration with the usual patience.
    pub(in super::super) fn config() -> AsyncConnectionConfig {
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE))
    }

    /// A new connection.
    pub(in super::super) async fn connect(&self, config: AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        self.0.get_multiplexed_async_connection_with_config(&config).await
    }
}
