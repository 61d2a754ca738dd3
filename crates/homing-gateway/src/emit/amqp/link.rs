//! A connection to RabbitMQ and what is declared on it.

use std::time::Duration;

use lapin::{
    Channel, Connection, ConnectionProperties, ExchangeKind,
    options::ExchangeDeclareOptions,
    types::{FieldTable, LongString, ShortString},
    uri::AMQPUri,
};
use secrecy::ExposeSecret;

use super::super::settings::Emitter;

/// For connecting, with everything that is declared.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds between two heartbeats, unless the URL says otherwise.
const HEARTBEAT: u16 = 10;

/// A connection with one channel. Dropped = closed.
pub(in super::super) struct Link {
    pub(in super::super) connection: Connection,
    pub(in super::super) channel: Channel,
}

impl Link {
    /// Connects; `name` is shown by the broker's tools.
    pub(in super::super) async fn open(emitter: &Emitter, name: &str) -> Result<Self, String> {
        let mut uri: AMQPUri = emitter.url.expose_secret().parse()?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let named = ConnectionProperties::default().with_connection_name(LongString::from(name));
        let words = |error: lapin::Error| error.to_string();
        let connection = Connection::connect_uri(uri, named).await.map_err(words)?;
        let channel = connection.create_channel().await.map_err(words)?;
        Ok(Self { connection, channel })
    }

    /// Says goodbye, so that the broker gives back at once what was not acknowledged.
    pub(in super::super) async fn close(self) {
        let bye = self.connection.close(200, ShortString::from("bye"));
        // It is dropped in any case.
        drop(tokio::time::timeout(Duration::from_secs(2), bye).await);
    }
}

/// Declares the exchange as kombu does.
pub(in super::super) async fn exchange(channel: &Channel, name: &str) -> Result<(), String> {
    let declared = channel.exchange_declare(
        short(name)?,
        ExchangeKind::Fanout,
        ExchangeDeclareOptions::default(),
        FieldTable::default(),
    );
    declared.await.map_err(|error| format!("exchange {name}: {error}"))
}

/// A name of AMQP.
pub(in super::super) fn short(name: &str) -> Result<ShortString, String> {
    ShortString::try_new(name).map_err(|_| format!("the name {name:?} is longer than 255 bytes"))
}
