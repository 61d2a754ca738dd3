//! Gateway nodes with a Redis of their own, and a channel of their own on RabbitMQ.

use std::process::ExitStatus;

use tempfile::TempDir;

use crate::support::{Process, World, free_port, random, start_redis, variable};

/// What tokens are signed with.
pub(crate) const SECRET: &str = "made-up-secret-of-the-gateway-tests";

pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) redis_url: String,
    /// The channel of python-socketio's managers.
    pub(crate) channel: String,
    ports: Vec<u16>,
    /// `--config` arguments of each node.
    configs: Vec<Vec<String>>,
    nodes: Vec<Option<Process>>,
    redis_port: u16,
    /// None = it is somebody else's.
    redis: Option<Process>,
}

/// How a site is laid out.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// So many nodes.
    pub(crate) nodes: usize,
    /// Emits to users' rooms go into their inboxes.
    pub(crate) durable: bool,
    /// Laid over the configuration of each node.
    pub(crate) more: Option<&'a dyn Fn(usize) -> String>,
    /// The port of their Redis; any free one, if nothing is said.
    pub(crate) redis: Option<u16>,
    /// The nodes work with this world's Redis and configuration.
    pub(crate) beside: Option<&'a World>,
}

impl Site {
    /// So many nodes, ready.
    pub(crate) async fn new(nodes: usize) -> Self {
        Self::with(nodes, false).await
    }

    /// The same; `durable` = emits to users' rooms go into their inboxes.
    pub(crate) async fn with(nodes: usize, durable: bool) -> Self {
        Self::plan(Plan { nodes, durable, ..Plan::default() }).await
    }

    /// The nodes of a plan, ready.
    pub(crate) async fn plan(plan: Plan<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (redis_port, redis_url, redis) = match plan.beside {
            Some(world) => (world.redis_port, world.redis_url.clone(), None),
            None => {
                let port = plan.redis.unwrap_or_else(free_port);
                let redis = start_redis(dir.path(), port).await;
                (port, format!("redis://127.0.0.1:{port}/0"), Some(redis))
            }
        };
        let channel = format!("socketio-{:x}", random());
        let emitters = if plan.beside.is_some() { String::new() } else { emitters(&redis_url, &channel, plan.durable) };
        let (mut ports, mut configs) = (Vec::new(), Vec::new());
        for node in 0..plan.nodes {
            let port = free_port();
            let text = format!(
                "[redis]\nurl = '{redis_url}'\n[admin]\nlisten = '127.0.0.1:0'\n\
                 [gateway]\nlisten = ['127.0.0.1:{port}']\nname = '{channel}-{node}'\n\
                 [gateway.auth]\nmissing = 'anonymous'\n\
                 [[gateway.auth.keys]]\nalgorithm = 'HS256'\nsecret = '{SECRET}'\n\
                 [gateway.socketio]\nnamespaces = ['/', '/chat']\ninvalid = 'anonymous'\n\
                 [[gateway.rpc.keys]]\nname = 'tests'\nkey = '{SECRET}'\n{emitters}"
            );
            let mut config = plan.beside.map(World::config).unwrap_or_default();
            let more = plan.more.map(|more| more(node)).unwrap_or_default();
            for (name, text) in [("gateway", text), ("more", more)] {
                let path = dir.path().join(format!("{name}-{node}.toml"));
                std::fs::write(&path, text).unwrap();
                config.extend(["--config".to_owned(), path.display().to_string()]);
            }
            configs.push(config);
            ports.push(port);
        }
        let nodes = (0..plan.nodes).map(|_| None).collect();
        let mut site = Self { dir, redis_url, channel, ports, configs, nodes, redis_port, redis };
        let starting: Vec<Process> = (0..plan.nodes).map(|node| site.spawn(node)).collect();
        for (node, process) in starting.into_iter().enumerate() {
            site.nodes[node] = Some(process.ready().await);
        }
        site
    }

    fn spawn(&self, node: usize) -> Process {
        let (name, gateway) = (format!("gateway-{node}"), env!("CARGO_BIN_EXE_homing-gateway"));
        Process::start(self.dir.path(), &name, gateway, &self.configs[node], &[])
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].take().unwrap().kill();
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn stop(&mut self, node: usize) -> ExitStatus {
        self.nodes[node].take().unwrap().stop().await
    }

    /// Starts a node that was ended.
    pub(crate) async fn start(&mut self, node: usize) {
        self.nodes[node] = Some(self.spawn(node).ready().await);
    }

    /// A node that runs.
    pub(crate) fn node(&mut self, node: usize) -> &mut Process {
        self.nodes[node].as_mut().unwrap()
    }

    pub(crate) fn port(&self, node: usize) -> u16 {
        self.ports[node]
    }

    pub(crate) fn http(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[node])
    }

    pub(crate) async fn redis(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.redis_url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// kill -9 of redis-server.
    pub(crate) fn kill_redis(&mut self) {
        self.redis.take().unwrap().kill();
    }

    /// Starts redis-server again, on the same port and files.
    pub(crate) async fn start_redis(&mut self) {
        self.redis = Some(start_redis(self.dir.path(), self.redis_port).await);
    }
}

/// Every kind of source.
fn emitters(redis_url: &str, channel: &str, durable: bool) -> String {
    let amqp = variable("HOMING_TEST_AMQP_URL");
    let python = |kind: &str, url: &str| {
        format!(
            "[[gateway.emitters]]\nkind = 'python-{kind}'\nurl = '{url}'\nchannel = '{channel}'\ndurable = {durable}\n"
        )
    };
    let node = |kind: &str| {
        format!(
            "[[gateway.emitters]]\nkind = 'node-{kind}'\nurl = '{redis_url}'\nnamespaces = ['/', '/chat']\ndurable = {durable}\n"
        )
    };
    [
        python("redis", redis_url),
        python("kombu-redis", redis_url),
        python("amqp", &amqp),
        node("redis"),
        node("streams"),
    ]
    .concat()
}
