//! An intake on a port of its own, over a real redis-server.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use homing_core::{
    catalogue::Catalogue,
    clock::SystemClock,
    queue::{Queue, QueueName},
};
use homing_intake::{Intake, Key, Lane, Parts, Settings, router, serve};
use homing_queue::redis::{Options, RedisQueue};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const TYPES: &str = "[SENT]\ncode = 7\ntitle = 't'\nbody = '{{ data.goods }}'\n[CHAT]\ncode = 1\nlane = 'group'\n\
                         title = 'c'\nbody = 'c'\n[DEFAULT]\ncode = 55";
/// Of all lanes.
pub const SHOP: &str = "shop-0123456789abcdef";
/// Of the lane `group` alone.
pub const CHAT: &str = "chat-0123456789abcdef";

/// A text that no other test has.
pub fn fresh() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

pub struct Rig {
    pub address: SocketAddr,
    pub queue: Arc<dyn Queue>,
    pub lanes: Vec<Lane>,
    pub seat: QueueName,
    pub http: Client,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
    pub url: String,
    #[allow(dead_code, reason = "most tests see it over the socket only")]
    pub intake: Arc<Intake>,
}

/// What a test changes of the settings and lanes.
pub struct Plan {
    pub url: String,
    pub settings: Settings,
    pub high_water: u64,
    /// What is added to the intake.
    pub dress: Box<dyn FnOnce(Intake) -> Intake + Send>,
}

impl Default for Plan {
    fn default() -> Self {
        let url = std::env::var("HOMING_TEST_REDIS_URL").expect("HOMING_TEST_REDIS_URL is not set: run scripts/test");
        let key = |name: &str, key: &str, lanes: &[&str]| Key {
            name: name.into(),
            key: key.into(),
            lanes: lanes.iter().map(|lane| (*lane).to_owned()).collect(),
        };
        let settings = Settings {
            keys: vec![key("shop", SHOP, &[]), key("chat", CHAT, &["group"])],
            gorush_app: Some("higo".into()),
            ..Settings::default()
        };
        Self { url, settings, high_water: 0, dress: Box::new(|intake| intake) }
    }
}

impl Plan {
    pub async fn start(self) -> Rig {
        rustls::crypto::ring::default_provider().install_default().ok();
        let run = fresh();
        let lane = |name: &str, shards: u32| Lane {
            name: name.into(),
            entry: (1..=shards).map(|n| QueueName::new(format!("test_{run}_{name}_{n}"))).collect(),
            delivery: vec![QueueName::new(format!("test_{run}_{name}_xinge_1"))],
            high_water: self.high_water,
            locale: "zh".into(),
            finds: vec!["members".into()],
        };
        let lanes = vec![lane("system", 3), lane("group", 1)];
        let seat = QueueName::new(format!("test_{run}_scanner"));
        let queue: Arc<dyn Queue> = Arc::new(RedisQueue::new(&self.url, Options::default()).unwrap());
        let parts = Parts {
            queue: Arc::clone(&queue),
            catalogue: Arc::new(Catalogue::parse("types.toml", TYPES).unwrap()),
            lanes: lanes.clone(),
            seats: vec![seat.clone()],
            clock: Arc::new(SystemClock::default()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings { listen: address, ..self.settings };
        let intake = Arc::new((self.dress)(Intake::new(parts, settings.clone()).unwrap()));
        let own = Arc::clone(&intake);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let served = tokio::spawn(async move { serve(listener, router(intake), &settings, stopped).await.unwrap() });
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Rig { address, queue, lanes, seat, http, stop, served, url: self.url, intake: own }
    }
}

impl Rig {
    pub async fn start() -> Self {
        Plan::default().start().await
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// With the key of all lanes.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path).bearer_auth(SHOP)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path).bearer_auth(SHOP)
    }

    /// How many items stand in the entry lists of a lane.
    pub async fn items(&self, lane: usize) -> u64 {
        let mut items = 0;
        for name in &self.lanes[lane].entry {
            let snapshot = self.queue.inspect(name).await.unwrap();
            items += snapshot.logs.iter().map(|log| log.length).sum::<u64>();
        }
        items
    }

    /// The items of a list, decoded.
    pub async fn list(&self, name: &QueueName) -> Vec<Value> {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut cmd = redis::cmd("LRANGE");
        let items: Vec<Vec<u8>> = cmd.arg(name.as_str()).arg(0).arg(-1).query_async(&mut connection).await.unwrap();
        items.iter().map(|item| rmp_serde::from_slice(item).unwrap()).collect()
    }
}

/// An event that is in order, for this user.
pub fn event(user: impl std::fmt::Display) -> Value {
    json!({"type": "SENT", "to": {"user": user.to_string()}, "data": {"goods": "coat"}})
}

/// Status and body.
pub async fn told(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A redis-server of one test, killed when dropped.
pub struct OwnServer {
    child: Child,
    pub url: String,
    port: u16,
}

impl OwnServer {
    pub async fn start(dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(dir, port).await
    }

    async fn start_at(dir: &Path, port: u16) -> Self {
        let program = std::env::var("HOMING_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"])
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed by scripts/test");
        let own = Self { child, url: format!("redis://127.0.0.1:{port}"), port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return own;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("redis-server did not listen within 5 s");
    }

    /// Ends it hard and starts it again on the same data.
    pub async fn again(mut self, dir: &Path) -> Self {
        self.end();
        let port = self.port;
        drop(self);
        Self::start_at(dir, port).await
    }

    pub fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may have ended already.
        self.end();
    }
}
