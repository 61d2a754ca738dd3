//! Gateway nodes with a Redis of their own, and a channel of their own on RabbitMQ.

use tempfile::TempDir;

use crate::support::{Process, free_port, random, start_redis, variable};

/// What tokens are signed with.
pub(crate) const SECRET: &str = "made-up-secret-of-the-gateway-tests";

pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) redis_url: String,
    /// The channel of python-socketio's managers.
    pub(crate) channel: String,
    ports: Vec<u16>,
    _processes: Vec<Process>,
}

impl Site {
    /// So many nodes, ready.
    pub(crate) async fn new(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis_port = free_port();
        let redis_url = format!("redis://127.0.0.1:{redis_port}/0");
        let channel = format!("socketio-{:x}", random());
        let mut processes = vec![start_redis(dir.path(), redis_port).await];
        let mut ports = Vec::new();
        let emitters = emitters(&redis_url, &channel);
        for node in 0..nodes {
            let port = free_port();
            let text = format!(
                "[redis]\nurl = '{redis_url}'\n[admin]\nlisten = '127.0.0.1:0'\n\
                 [gateway]\nlisten = ['127.0.0.1:{port}']\nname = '{channel}-{node}'\n\
                 [gateway.auth]\nmissing = 'anonymous'\n\
                 [[gateway.auth.keys]]\nalgorithm = 'HS256'\nsecret = '{SECRET}'\n\
                 [gateway.socketio]\nnamespaces = ['/', '/chat']\ninvalid = 'anonymous'\n\
                 [[gateway.rpc.keys]]\nname = 'tests'\nkey = '{SECRET}'\n{emitters}"
            );
            let config = dir.path().join(format!("gateway-{node}.toml"));
            std::fs::write(&config, text).unwrap();
            let args = ["--config", config.to_str().unwrap()];
            let name = format!("gateway-{node}");
            processes.push(Process::start(dir.path(), &name, env!("CARGO_BIN_EXE_homing-gateway"), args, &[]));
            ports.push(port);
        }
        let mut ready = Vec::new();
        for process in processes.drain(1..).collect::<Vec<_>>() {
            ready.push(process.ready().await);
        }
        processes.extend(ready);
        Self { dir, redis_url, channel, ports, _processes: processes }
    }

    pub(crate) fn http(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[node])
    }
}

/// Every kind of source.
fn emitters(redis_url: &str, channel: &str) -> String {
    let amqp = variable("HOMING_TEST_AMQP_URL");
    let python = |kind: &str, url: &str| {
        format!("[[gateway.emitters]]\nkind = 'python-{kind}'\nurl = '{url}'\nchannel = '{channel}'\n")
    };
    let node = |kind: &str| {
        format!("[[gateway.emitters]]\nkind = 'node-{kind}'\nurl = '{redis_url}'\nnamespaces = ['/', '/chat']\n")
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
