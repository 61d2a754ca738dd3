//! An agent on a port of its own, and the client in Python.

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc};

use homing_core::{
    catalogue::Catalogue,
    clock::SystemClock,
    queue::{Queue, QueueName},
};
use homing_intake::{
    Intake, Lane, Parts, Settings,
    agent::{Agent, Options, Text, TypeRule, serve},
};
use homing_queue::redis::{Options as RedisOptions, RedisQueue};
use serde_json::Value;
use tokio::{net::TcpListener, process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::fresh;

const TYPES: &str = "[AGENT_SILENT]\ncode = 100\nsilent = true\n[AGENT_TALK]\ncode = 101\nbody = '{{ data.text }}'";

pub const SHARDS: u32 = 3;

pub fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

pub struct Plan {
    pub url: String,
    pub options: Options,
    pub types: String,
    pub high_water: u64,
}

impl Default for Plan {
    fn default() -> Self {
        let talk = Some(Text::Text("talk".into()));
        let talk = TypeRule { push_type: talk, event: "AGENT_TALK".into(), ..TypeRule::default() };
        let options = Options { types: vec![talk], ..Options::default() };
        Self { url: var("HOMING_TEST_REDIS_URL"), options, types: TYPES.to_owned(), high_water: 0 }
    }
}

pub struct Rig {
    pub address: SocketAddr,
    pub lists: Vec<QueueName>,
    pub url: String,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

impl Plan {
    pub async fn start(self) -> Rig {
        rustls::crypto::ring::default_provider().install_default().ok();
        let run = fresh();
        let lists: Vec<_> = (1..=SHARDS).map(|n| QueueName::new(format!("test_{run}_agent_{n}"))).collect();
        let lane = Lane {
            name: "agent".into(),
            entry: lists.clone(),
            high_water: self.high_water,
            finds: vec!["members".into()],
            ..Lane::default()
        };
        let queue: Arc<dyn Queue> = Arc::new(RedisQueue::new(&self.url, RedisOptions::default()).unwrap());
        let parts = Parts {
            queue,
            catalogue: Arc::new(Catalogue::parse("types.toml", &self.types).unwrap()),
            lanes: vec![lane],
            seats: Vec::new(),
            clock: Arc::new(SystemClock::default()),
        };
        let intake = Arc::new(Intake::new(parts, Settings::default()).unwrap());
        let agent = Arc::new(Agent::new(intake, self.options).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let served = tokio::spawn(async move { serve(listener, agent, stopped).await.unwrap() });
        Rig { address, lists, url: self.url, stop, served }
    }
}

impl Rig {
    pub async fn start() -> Self {
        Plan::default().start().await
    }

    /// Runs the client; what it prints.
    pub async fn client(&self, args: &[&str]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/producers/agent_client.py");
        let output = Command::new(Path::new(&var("HOMING_TEST_VENV")).join("bin/python"))
            .arg(script)
            .args([self.address.ip().to_string(), self.address.port().to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{args:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// The items of every list, decoded, in their order.
    pub async fn items(&self) -> Vec<Vec<Value>> {
        let mut redis = self.redis().await;
        let mut all = Vec::new();
        for list in &self.lists {
            let mut cmd = redis::cmd("LRANGE");
            let items: Vec<Vec<u8>> = cmd.arg(list.as_str()).arg(0).arg(-1).query_async(&mut redis).await.unwrap();
            let decoded = |item: &Vec<u8>| homing_codec::decode(item, homing_codec::Codec::Msgpack).unwrap().to_json();
            all.push(items.iter().map(decoded).collect());
        }
        all
    }

    /// All items, list by list.
    pub async fn all(&self) -> Vec<Value> {
        self.items().await.into_iter().flatten().collect()
    }

    /// Ends the server and waits until it has.
    pub async fn end(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }
}

/// The number of a job.
pub fn number(item: &Value) -> u64 {
    item["data"]["n"].as_u64().unwrap()
}
