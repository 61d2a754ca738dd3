//! A simulator, a clock that is set by hand, and a channel that trusts the one and reads the other.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use homing_channels::{
    apns::Apns,
    registry::Tools,
    simulator::{
        apns::{Account, Authority, Config, Who, serve},
        stand::Stand,
    },
};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, Millis},
    notification::{Environment, Notification, Target},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub(crate) const MIN: Millis = 60_000;

/// A multiple of 35 minutes, and ten more.
pub(crate) const NOW: Millis = 2_100_000 * 846_000 + 10 * MIN;

pub(crate) const RETRY: Outcome = Outcome::Retry { after: None };

/// A clock that is set by hand.
pub(crate) struct Hand(AtomicI64);

impl Hand {
    pub(crate) fn at(now: Millis) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now)))
    }

    pub(crate) fn set(&self, now: Millis) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn p8() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()
}

pub(crate) fn key_of(pem: &str) -> Account {
    let who = Who::Key { key_id: "KEY1234567".into(), team_id: "TEAM123456".into(), pem: pem.to_owned().into() };
    Account { who, topics: vec!["com.higo".into()], environments: Vec::new() }
}

/// A running simulator.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stand: Arc<Stand>,
    pub(crate) authority: Authority,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stand, authority) = (Arc::clone(&config.stand), config.authority.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, config, async move {
            stopped.await.ok();
        }));
        Self { address, stand, authority, stop, server }
    }

    pub(crate) fn script(&self, script: Value) {
        self.stand.set_script(serde_json::from_value(script).unwrap()).unwrap();
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.stand.stats()[name].as_u64().unwrap_or_default()
    }

    /// Devices that got something.
    pub(crate) fn reached(&self) -> HashSet<String> {
        let mut reached = HashSet::new();
        let mut seq = 0;
        loop {
            let page = self.stand.after(seq, 10_000);
            let Some(last) = page.last() else { return reached };
            seq = last.seq;
            reached.extend(page.iter().map(|delivery| delivery.token.to_string()));
        }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

/// A simulator of production with one key, and the configuration of an account for it.
pub(crate) struct Bench {
    pub(crate) simulator: Running,
    pub(crate) clock: Arc<Hand>,
    pub(crate) key: String,
    pub(crate) folder: TempDir,
}

pub(crate) fn setup() {
    // A second installation in this process is refused, and the first one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
}

pub(crate) async fn bench() -> Bench {
    setup();
    let (clock, key, folder) = (Hand::at(NOW), p8(), TempDir::new().unwrap());
    let clock_of = Arc::clone(&clock);
    let config = Config::new(Environment::Production, vec![key_of(&key)], clock_of).unwrap();
    let simulator = Running::start(config).await;
    std::fs::write(folder.path().join("ca.pem"), simulator.authority.pem()).unwrap();
    Bench { simulator, clock, key, folder }
}

impl Bench {
    pub(crate) fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// `[channel.apns]` with one account of the key.
    pub(crate) fn section(&self) -> toml::Table {
        table(json!({
            "endpoint": { "base_url": self.simulator.base_url(), "ca_file": self.ca_file() },
            "account": { "higo": { "app": "higo", "topic": "com.higo", "key": self.key, "key_id": "KEY1234567",
                "team_id": "TEAM123456" } },
        }))
    }

    /// The same with another setting under `endpoint`.
    pub(crate) fn section_with(&self, name: &str, value: impl Into<toml::Value>) -> toml::Table {
        let mut section = self.section();
        section["endpoint"].as_table_mut().unwrap().insert(name.to_owned(), value.into());
        section
    }

    pub(crate) fn channel(&self) -> Apns {
        self.channel_of(&self.section())
    }

    pub(crate) fn channel_of(&self, section: &toml::Table) -> Apns {
        channel(section, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }
}

pub(crate) fn table(section: Value) -> toml::Table {
    serde_json::from_value(section).unwrap()
}

pub(crate) fn channel(section: &toml::Table, clock: Arc<dyn Clock>) -> Apns {
    Apns::new(section, &Tools::new(clock)).unwrap()
}

/// Device number `number` whose token begins so.
pub(crate) fn token(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:0width$x}", width = 64 - prefix.len())
}

pub(crate) fn notification(id: &str) -> Notification {
    serde_json::from_value(json!({
        "id": id, "kind": 15, "app": "higo", "platform": "ios", "title": "HIGO 新订单", "body": "您有一笔新订单",
        "custom": { "order_id": "A1001" }, "created_at": NOW, "expires_at": NOW + 3_600_000, "targets": [],
    }))
    .unwrap()
}

pub(crate) async fn send(channel: &Apns, token: &str) -> Answer {
    let mut answers = channel.send(&notification(&format!("m-{token}")), &[Target::new("42", token)]).await;
    assert_eq!(answers.len(), 1);
    answers.pop().unwrap()
}

/// One call per token, so many at once.
pub(crate) async fn send_all(channel: &Apns, tokens: &[String], at_once: usize) -> Vec<Answer> {
    stream::iter(tokens).map(|token| send(channel, token)).buffered(at_once).collect().await
}

pub(crate) fn is_delivered(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Delivered { .. })
}
