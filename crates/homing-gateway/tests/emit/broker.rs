//! RabbitMQ as an emitter sees it, and one that may be restarted.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command as Process, Stdio},
    time::Duration,
};

use homing_gateway::emit::{Emitter, Kind};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{FieldTable, ShortString},
};

pub(crate) fn short(text: &str) -> ShortString {
    text.into()
}

pub(crate) fn emitter(url: &str, exchange: &str) -> Emitter {
    Emitter { kind: Kind::PythonAmqp, url: url.into(), channel: Some(exchange.to_owned()), ..Emitter::default() }
}

/// A connection with a channel whose publications are confirmed.
pub(crate) struct Publisher {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Publisher {
    pub(crate) async fn connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    /// Declares the exchange as kombu does, but for what is given.
    pub(crate) async fn declare(&self, exchange: &str, options: ExchangeDeclareOptions) -> lapin::Result<()> {
        self.channel.exchange_declare(short(exchange), ExchangeKind::Fanout, options, FieldTable::default()).await
    }

    /// Publishes as kombu does.
    pub(crate) async fn publish(&self, exchange: &str, body: &str) {
        let properties = BasicProperties::default().with_delivery_mode(2).with_priority(0);
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish(short(exchange), short(""), options, body.as_bytes(), properties);
        sent.await.unwrap().await.unwrap();
    }
}

/// An emit with a number.
pub(crate) fn emit(number: u32) -> String {
    format!(r#"{{"method":"emit","event":"n","data":[{number}],"binary":false,"room":"42"}}"#)
}

/// How the book has it.
pub(crate) fn line(number: u32) -> String {
    format!(r#"0 emit / ["n",{number}] to ["42"] with 0"#)
}

/// A broker with its own port mapper, on ports of its own; it ends with the test.
pub(crate) struct Broker {
    folder: tempfile::TempDir,
    settings: Vec<(String, String)>,
    mapper: Child,
    server: Child,
    pub(crate) url: String,
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Where Debian puts the server; what stands in the PATH wants to be root.
fn program() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|entry| entry.path().join("sbin/rabbitmq-server")).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| "rabbitmq-server".into())
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (amqp, own, mapper) = (port(), port(), port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("plugins"), "[].").unwrap();
        let conf = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\nlog.console = true\nlog.file = false\ndisk_free_limit.absolute = 10MB\n"
        );
        fs::write(path("rabbitmq.conf"), conf).unwrap();
        let settings: Vec<(String, String)> = [
            ("HOME", path("")),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", format!("homing-emit-{amqp}@localhost")),
            ("RABBITMQ_NODE_PORT", amqp.to_string()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_DIST_PORT", own.to_string()),
            ("RABBITMQ_MNESIA_BASE", path("db")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_PID_FILE", path("pid")),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +A 4 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            // The script becomes the server, so that its pid is the server's.
            ("RABBITMQ_ALLOW_INPUT", "true".to_owned()),
            ("RABBITMQ_SERVER_START_ARGS", "-noinput".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let mapper =
            Process::new("epmd").envs(settings.clone()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self::spawn(&folder, &settings);
        let broker = Self { folder, settings, mapper, server, url: format!("amqp://guest:guest@127.0.0.1:{amqp}") };
        broker.ready().await;
        broker
    }

    fn spawn(folder: &tempfile::TempDir, settings: &[(String, String)]) -> Child {
        let log = File::options().create(true).append(true).open(folder.path().join("out")).unwrap();
        let mut process = Process::new(program());
        process.envs(settings.to_vec()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        process.spawn().unwrap()
    }

    async fn ready(&self) {
        for _ in 0..300 {
            if Publisher::connect(&self.url).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let out = fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
        panic!("RabbitMQ did not start: {out}");
    }

    /// Ends it without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again, on the same port and with what it had on disk.
    pub(crate) async fn again(&mut self) {
        self.server = Self::spawn(&self.folder, &self.settings);
        self.ready().await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.mapper] {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
