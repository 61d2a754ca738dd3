//! `[[gateway.emitters]]`: the sources of emits.

use std::{fmt, sync::Arc, time::Duration};

use redis::IntoConnectionInfo;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{node, pickle::Limits, python};

/// The longest name in AMQP, in bytes.
const SHORT: usize = 255;

/// All sources, in the order of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub Vec<Emitter>);

impl Settings {
    /// Finds what cannot work.
    ///
    /// # Errors
    /// In words that begin with the field's path.
    pub fn check(&self) -> Result<(), String> {
        self.0.iter().enumerate().try_for_each(|(i, emitter)| {
            emitter.check().map_err(|(field, why)| format!("gateway.emitters[{i}].{field}: {why}"))
        })
    }
}

/// What publishes there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// python-socketio's `RedisManager`.
    #[default]
    PythonRedis,
    /// python-socketio's `KombuManager('amqp://...')` and `AsyncAioPikaManager`.
    PythonAmqp,
    /// python-socketio's `KombuManager('redis://...')`.
    PythonKombuRedis,
    /// `@socket.io/redis-emitter`, `socket.io-emitter` and `@socket.io/redis-adapter`.
    NodeRedis,
    /// `@socket.io/redis-streams-adapter`.
    NodeStreams,
    /// Publications on a Redis channel: `{"msg_type", "to_user_id", "data"}`.
    ProducerChannel,
}

impl Kind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PythonRedis => "python-redis",
            Self::PythonAmqp => "python-amqp",
            Self::PythonKombuRedis => "python-kombu-redis",
            Self::NodeRedis => "node-redis",
            Self::NodeStreams => "node-streams",
            Self::ProducerChannel => "producer-channel",
        }
    }
}

/// One source.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Emitter {
    /// What publishes there.
    pub kind: Kind,
    /// `redis://`, `rediss://`, `amqp://` or `amqps://`.
    pub url: SecretString,
    /// The channel or exchange: of Python emitters their `channel=`. Default `socketio`, of the producer channel
    /// `websocket:producer:channel`.
    pub channel: Option<String>,
    /// The database in the channel's name, of `python-kombu-redis`.
    pub database: u32,
    /// The emitter's `key`, or the adapter's `streamName`, of Node.
    pub prefix: String,
    /// The adapter's `streamCount`.
    pub streams: u32,
    /// The namespaces of Node. `node-redis` hears these and no others; for `node-streams` an empty list means all.
    pub namespaces: Vec<String>,
    /// Emits to a user's room go into the user's inbox.
    pub durable: bool,
    /// A room that is a number is the room of that text: 42 is "42".
    pub text_rooms: bool,
    /// A list is one argument: for emitters of python-socketio 5.14.2 to 5.15.0 that emit bare lists.
    pub raw: bool,
    /// The gateway's own id among hosts, if it publishes as one.
    pub own_host: Option<String>,
    /// The largest message that is read, in bytes; reading one may take twenty times as much memory for a moment.
    pub max_bytes: usize,
    /// So long RabbitMQ keeps the queue of a node that is away.
    #[serde(with = "homing_core::duration")]
    pub queue_expires: Duration,
    /// Messages that it keeps there, and in the queue that all nodes share; the oldest go first.
    pub queue_length: u32,
}

impl Default for Emitter {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            url: SecretString::from(""),
            channel: None,
            database: 0,
            prefix: "socket.io".to_owned(),
            streams: 1,
            namespaces: vec!["/".to_owned()],
            durable: false,
            text_rooms: false,
            raw: false,
            own_host: None,
            max_bytes: 4 << 20,
            queue_expires: Duration::from_secs(300),
            queue_length: 100_000,
        }
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("kind", &self.kind).field("channel", &self.channel()).finish_non_exhaustive()
    }
}

impl Emitter {
    /// The channel or exchange.
    pub fn channel(&self) -> &str {
        let default = if self.kind == Kind::ProducerChannel { "websocket:producer:channel" } else { "socketio" };
        self.channel.as_deref().unwrap_or(default)
    }

    /// Its name in logs and metrics.
    pub fn name(&self, source: usize) -> String {
        format!("{source}-{}", self.kind.name())
    }

    /// How messages of Python are read.
    pub(super) fn python(&self) -> python::Options {
        python::Options {
            own_host: self.own_host.as_deref().map(Arc::from),
            text_rooms: self.text_rooms,
            raw: self.raw,
            limits: Limits { bytes: self.max_bytes, ..Limits::default() },
        }
    }

    /// How messages of Node are read.
    pub(super) fn node(&self) -> node::Options {
        node::Options {
            namespaces: self.namespaces.iter().map(|name| name.as_str().into()).collect(),
            text_rooms: self.text_rooms,
            bytes: self.max_bytes,
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let wrong = |field, why: &str| Err((field, why.to_owned()));
        let url = self.url.expose_secret();
        if self.kind == Kind::PythonAmqp {
            if let Err(why) = url.parse::<lapin::uri::AMQPUri>() {
                return Err(("url", format!("is no URL of RabbitMQ (amqp://user:password@host:5672): {why}")));
            }
        } else if url.into_connection_info().is_err() {
            return wrong("url", "is no URL of Redis (redis://host:6379)");
        }
        if self.channel().is_empty() || self.channel().len() > SHORT {
            return wrong("channel", "must have 1 to 255 bytes");
        }
        if self.prefix.is_empty() {
            return wrong("prefix", "is empty");
        }
        if !(1..=64).contains(&self.streams) {
            return wrong("streams", "must be 1 to 64");
        }
        if self.namespaces.iter().any(|name| !name.starts_with('/')) {
            return wrong("namespaces", "a namespace begins with /");
        }
        if self.kind == Kind::NodeRedis && self.namespaces.is_empty() {
            return wrong("namespaces", "is empty: node-redis hears those that are named");
        }
        if self.own_host.as_deref() == Some("") {
            return wrong("own_host", "is empty");
        }
        if !(1 << 10..=16 << 20).contains(&self.max_bytes) {
            return wrong("max_bytes", "must be 1024 to 16777216");
        }
        if !(1..=86_400 * 7).contains(&self.queue_expires.as_secs()) {
            return wrong("queue_expires", "must be 1s to 7d");
        }
        if self.queue_length == 0 || self.queue_length > 100_000_000 {
            return wrong("queue_length", "must be 1 to 100000000");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Gateway {
        emitters: Settings,
    }

    fn read(toml: &str) -> Settings {
        toml::from_str::<Gateway>(toml).unwrap().emitters
    }

    #[test]
    fn sources_are_read_in_order() {
        let settings = read(
            "[[emitters]]\nkind = 'python-amqp'\nurl = 'amqp://a:secret@h:5672/%2f'\ndurable = true\nqueue_expires = '10m'\n
             [[emitters]]\nkind = 'producer-channel'\nurl = 'redis://:secret@h/0'\n
             [[emitters]]\nurl = 'redis://h'\ntext_rooms = true\nraw = true\nown_host = 'gw'",
        );
        settings.check().unwrap();
        let [amqp, producer, python] = settings.0.as_slice() else { panic!() };
        assert_eq!((amqp.kind, amqp.channel(), amqp.queue_expires.as_secs()), (Kind::PythonAmqp, "socketio", 600));
        assert_eq!(
            (producer.channel(), producer.name(1)),
            ("websocket:producer:channel", "1-producer-channel".to_owned())
        );
        assert!(python.python().raw && python.python().text_rooms && python.python().own_host.as_deref() == Some("gw"));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (toml, error) in [
            ("url = 'amqp://h'", "gateway.emitters[0].url: is no URL of Redis (redis://host:6379)"),
            ("url = ''", "gateway.emitters[0].url: is no URL of Redis"),
            ("kind = 'python-amqp'\nurl = 'redis://h'", "gateway.emitters[0].url: is no URL of RabbitMQ"),
            ("url = 'redis://h'\nchannel = ''", "gateway.emitters[0].channel: "),
            ("url = 'redis://h'\nnamespaces = ['chat']", "gateway.emitters[0].namespaces: a namespace begins with /"),
            ("kind = 'node-redis'\nurl = 'redis://h'\nnamespaces = []", "gateway.emitters[0].namespaces: is empty"),
            ("url = 'redis://h'\nstreams = 0", "gateway.emitters[0].streams: "),
            ("url = 'redis://h'\nmax_bytes = 1", "gateway.emitters[0].max_bytes: "),
            ("url = 'redis://h'\nqueue_expires = '1ms'", "gateway.emitters[0].queue_expires: "),
            ("url = 'redis://h'\nqueue_length = 0", "gateway.emitters[0].queue_length: "),
        ] {
            let found = read(&format!("[[emitters]]\n{toml}")).check().unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        assert!(toml::from_str::<Gateway>("[[emitters]]\nkynd = 'x'").is_err());
    }
}
