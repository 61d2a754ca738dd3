//! [`World`]: an installation with `config/higo.toml`, HIGO's own list names, and a server of each kind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Company, Process, Producer, free_port, mysql, random, variable};

pub(crate) const HIGO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/higo.toml");

/// The collections of group and of private chats in `config/higo.toml`.
pub(crate) const GROUP_CHATS: &str = "chats";
pub(crate) const PRIVATE_CHATS: &str = "private_chats";

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) redis_url: String,
    pub(crate) redis_port: u16,
    pub(crate) mongo_url: String,
    pub(crate) mongo_database: String,
    pub(crate) simulator_url: String,
    pub(crate) mysql_url: String,
    overlay: PathBuf,
    http: reqwest::Client,
    _simulator: Process,
    redis: Option<Process>,
}

/// What the simulator got.
#[derive(Debug, Default)]
pub(crate) struct Simulated {
    /// How often each (message id, token) arrived.
    pub(crate) arrived: BTreeMap<(String, String), u64>,
    /// Everything as it came, oldest first, where it was asked for.
    pub(crate) deliveries: Vec<Value>,
}

impl Simulated {
    pub(crate) fn repeats(&self) -> u64 {
        self.arrived.values().map(|n| n - 1).sum()
    }
}

impl World {
    /// Starts it. `more` is laid over the configuration.
    pub(crate) async fn start(more: &str) -> Self {
        // Whoever installed one before us decided it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let dir = tempfile::tempdir().unwrap();
        let (redis_port, simulator_port) = (free_port(), free_port());
        let redis_url = format!("redis://127.0.0.1:{redis_port}/0");
        let redis = start_redis(dir.path(), redis_port).await;
        Company::fill_redis(&redis_url).await;
        let name = format!("homing_it_{:016x}", random());
        let mysql_url = fill_mysql(&name);
        let (mongo_url, mongo_database) = mongo(&name);
        let simulator_url = format!("http://127.0.0.1:{simulator_port}");

        let mut overlay = format!(
            "[redis]\nurl = '{redis_url}'\n[stores.main_redis]\nurl = '{redis_url}'\n[stores.account_db]\nurl = '{mysql_url}'\n\
             [stores.im]\nurl = '{mongo_url}'\n[scanner.group]\npoll = '100ms'\n[scanner.private]\npoll = '100ms'\n"
        );
        for account in accounts() {
            // The simulator signs with its own host name, as the provider would.
            overlay += &format!(
                "[account.{account}]\nbase_url = '{simulator_url}'\nsign_host = 'openapi.xg.qq.com'\nsecret = 'made-up-{account}'\n"
            );
        }
        let path = dir.path().join("test.toml");
        std::fs::write(&path, overlay).unwrap();
        let more_path = dir.path().join("more.toml");
        std::fs::write(&more_path, more).unwrap();

        let listen = format!("127.0.0.1:{simulator_port}");
        let args = ["simulate", "xinge", "--listen", &listen, "--config", HIGO, "--config", path.to_str().unwrap()];
        let simulator = Process::start(dir.path(), "simulator", env!("CARGO_BIN_EXE_homing"), args, &[]);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = Self {
            overlay: path,
            redis_url,
            redis_port,
            mongo_url,
            mongo_database,
            simulator_url,
            mysql_url,
            http,
            _simulator: simulator,
            redis: Some(redis),
            dir,
        };
        let patience = Instant::now();
        while world.http.get(format!("{}/healthz", world.simulator_url)).send().await.is_err() {
            assert!(patience.elapsed() < Duration::from_secs(10), "the simulator does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world
    }

    /// `--config` arguments of every binary.
    pub(crate) fn config(&self) -> Vec<String> {
        let more = self.dir.path().join("more.toml");
        [Path::new(HIGO), &self.overlay, &more]
            .iter()
            .flat_map(|p| ["--config".to_owned(), p.display().to_string()])
            .collect()
    }

    /// Starts a daemon: `scanner`, `distributor`, `sender`.
    pub(crate) fn spawn(&self, daemon: &str, env: &[(&str, &str)]) -> Process {
        self.spawn_with(daemon, &[], env)
    }

    /// The same with further arguments.
    pub(crate) fn spawn_with(&self, daemon: &str, more: &[&str], env: &[(&str, &str)]) -> Process {
        let program = match daemon {
            "scanner" => env!("CARGO_BIN_EXE_homing-scanner"),
            "distributor" => env!("CARGO_BIN_EXE_homing-distributor"),
            "sender" => env!("CARGO_BIN_EXE_homing-sender"),
            other => panic!("no daemon {other}"),
        };
        let args = self.config().into_iter().chain(more.iter().map(|arg| (*arg).to_owned()));
        Process::start(self.dir.path(), daemon, program, args, env)
    }

    pub(crate) async fn daemon(&self, daemon: &str) -> Process {
        self.spawn(daemon, &[]).ready().await
    }

    /// Runs `homing COMMAND...` and answers its exit code and what it printed.
    pub(crate) fn homing(&self, command: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_homing")).args(command).args(self.config()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    /// PHP pushes serialized events with the ids `php-FIRST`, ... into a list.
    pub(crate) fn php_push(&self, list: &str, count: u64, first: u64) {
        self.php_pushing("rpush_events.php", list, count, first).finish();
    }

    /// Starts a PHP script that pushes so many items into a list.
    pub(crate) fn php_pushing(&self, script: &str, list: &str, count: u64, first: u64) -> Producer {
        let port = self.redis_port.to_string();
        Producer::php(script, &["127.0.0.1", &port, list, &count.to_string(), &first.to_string()])
    }

    /// Python inserts chats of groups 1 to `groups`, all with the same `createAt`: so many seconds ago.
    pub(crate) fn insert_chats(&self, count: u64, groups: u64, age: u64) {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        self.inserting(GROUP_CHATS, count, groups, &["--at", &(now - age).to_string()]).finish();
    }

    /// Starts a Python script that inserts chats; `more` are its options.
    pub(crate) fn inserting(&self, collection: &str, count: u64, groups: u64, more: &[&str]) -> Producer {
        let (count, groups) = (count.to_string(), groups.to_string());
        let args = [&self.mongo_url, &self.mongo_database, collection, &count, &groups];
        Producer::python("insert_chats.py", &[&args, more].concat())
    }

    /// RPUSH by hand.
    pub(crate) async fn rpush(&self, list: &str, items: &[Vec<u8>]) {
        let mut connection = self.redis().await;
        for chunk in items.chunks(500) {
            redis::cmd("RPUSH").arg(list).arg(chunk).exec_async(&mut connection).await.unwrap();
        }
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

    /// Runs SQL in the company's database; answers the rows, columns separated by tabs.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let (server, name) = self.mysql_url.rsplit_once('/').unwrap();
        mysql(server, &format!("USE {name}; {sql}"))
    }

    /// Holds a table of the company's, so that nobody else can read it, for so many seconds.
    pub(crate) fn lock_table(&self, table: &str, seconds: u32) -> std::thread::JoinHandle<String> {
        let (server, name) = self.mysql_url.rsplit_once('/').unwrap();
        let sql = format!("USE {name}; LOCK TABLES {table} WRITE; SELECT SLEEP({seconds});");
        let server = server.to_owned();
        std::thread::spawn(move || mysql(&server, &sql))
    }

    /// Everything that commits of the system lane's shards write, but for owners and leases.
    pub(crate) async fn shard_state(&self) -> Vec<String> {
        let mut redis = self.redis().await;
        let mut state = Vec::new();
        for queue in ["hg_message_queue", "hg_xinge_queue"] {
            let mut ledger: Vec<(String, String)> =
                redis::cmd("HGETALL").arg(format!("{{{queue}}}:ledger")).query_async(&mut redis).await.unwrap();
            ledger.sort();
            let fields = ["head:main", "done:main", "head:retry", "commit", "epoch"];
            let marks: Vec<Option<Vec<u8>>> = redis::cmd("HMGET")
                .arg(format!("{{{queue}}}:state"))
                .arg(&fields)
                .query_async(&mut redis)
                .await
                .unwrap();
            let length: u64 = redis::cmd("LLEN").arg(queue).query_async(&mut redis).await.unwrap();
            state.push(format!("{queue}: {ledger:?} {marks:?} {length}"));
        }
        state
    }

    /// Replaces the simulator's faults.
    pub(crate) async fn faults(&self, faults: Value) {
        let answer = self.http.post(format!("{}/_sim/faults", self.simulator_url)).json(&faults).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(crate) async fn stats(&self) -> Value {
        let url = format!("{}/_sim/stats", self.simulator_url);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn get(&self, url: &str) -> (u16, String) {
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What the simulator accepted: ids and tokens.
    pub(crate) async fn simulated(&self) -> Simulated {
        Simulated { deliveries: Vec::new(), ..self.deliveries().await }
    }

    /// Everything that the simulator accepted.
    pub(crate) async fn deliveries(&self) -> Simulated {
        let mut simulated = Simulated::default();
        let mut after = 0;
        loop {
            let (deliveries, last) = self.deliveries_after(after).await;
            if deliveries.is_empty() {
                return simulated;
            }
            for d in &deliveries {
                let key = (d["id"].as_str().unwrap_or_default().to_owned(), d["token"].as_str().unwrap().to_owned());
                *simulated.arrived.entry(key).or_default() += 1;
            }
            simulated.deliveries.extend(deliveries);
            after = last;
        }
    }

    /// A page of what the simulator accepted, and where the next one begins.
    pub(crate) async fn deliveries_after(&self, after: u64) -> (Vec<Value>, u64) {
        let url = format!("{}/_sim/deliveries?after={after}&limit=5000", self.simulator_url);
        let mut page: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let last = page["last"].as_u64().unwrap();
        let Value::Array(deliveries) = page["deliveries"].take() else { panic!("{page}") };
        (deliveries, last)
    }

    /// The ledger as it is now.
    pub(crate) fn ledger(&self) -> Value {
        let (_, text) = self.homing(&["ledger", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Waits until the ledger shows nothing waiting and the whole of `events` in every line of `lanes`.
    pub(crate) async fn settled(&self, lanes: &[(&str, u64)], patience: Duration) -> Value {
        let since = Instant::now();
        loop {
            let ledger = self.ledger();
            let done = lanes.iter().all(|(lane, events)| {
                let lines = &ledger["lanes"][lane];
                lines["entry"]["in"] == *events
                    && ["entry", "send", "items", "own lists"].iter().all(|stage| lines[stage]["waiting"] == 0)
            });
            if done {
                return ledger;
            }
            assert!(since.elapsed() < patience, "not settled after {patience:?}:\n{ledger:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A redis-server of one's own, its data in `dir`.
pub(crate) async fn start_redis(dir: &Path, port: u16) -> Process {
    let port_text = port.to_string();
    let dir_text = dir.to_str().unwrap();
    let args = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", dir_text];
    let redis = Process::start(dir, "redis", &variable("HOMING_TEST_REDIS_SERVER"), args, &[]);
    let patience = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(patience.elapsed() < Duration::from_secs(10), "redis-server does not listen: {}", redis.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    redis
}

/// The names of the accounts in `config/higo.toml`.
pub(crate) fn accounts() -> Vec<String> {
    let text = std::fs::read_to_string(HIGO).unwrap();
    let names = text.lines().filter_map(|line| Some(line.strip_prefix("[account.")?.strip_suffix(']')?.to_owned()));
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 4, "{names:?}");
    names
}

/// A database of its own; answers its URL.
fn fill_mysql(name: &str) -> String {
    let url = variable("HOMING_TEST_MYSQL_URL");
    let (server, _) = url.rsplit_once('/').unwrap();
    mysql(server, &format!("CREATE DATABASE {name}; USE {name};\n{}", Company::sql()));
    format!("{server}/{name}")
}

/// The MongoDB URL with a database of its own.
fn mongo(name: &str) -> (String, String) {
    let url = variable("HOMING_TEST_MONGO_URL");
    let rest = url.strip_prefix("mongodb://").unwrap();
    let (host, query) = rest.split_once('/').unwrap_or((rest, ""));
    let query = query.split_once('?').map(|(_, q)| format!("?{q}")).unwrap_or_default();
    (format!("mongodb://{host}/{name}{query}"), name.to_owned())
}
