//! [`Site`]: an installation with `config/agent.toml`, and a server of each kind.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Process, Producer, free_port, start_redis, until, variable};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
const SUBSCRIBER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/producers/mqtt_subscribe.py");

/// The topic prefix of the installation.
pub(super) const PREFIX: &str = "watch";

/// Longer than this nothing takes here unless it hangs.
const HANG: Duration = Duration::from_secs(90);

/// Apple's networks: as the configuration calls them, and the account of the preset.
pub(super) const NETWORKS: [(&str, &str); 2] = [("prod", "im"), ("dev", "im_develop")];

pub(super) struct Site {
    pub(super) dir: tempfile::TempDir,
    redis_url: String,
    mqtt_url: String,
    agent: u16,
    apns: BTreeMap<&'static str, String>,
    http: reqwest::Client,
    _servers: Vec<Process>,
}

impl Site {
    /// Starts the servers. `more` is laid over the configuration.
    pub(super) async fn start(more: &str) -> Self {
        // Whoever installed one before us decided it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let (redis, mqtt, agent) = (free_port(), free_port(), free_port());
        let redis_url = format!("redis://127.0.0.1:{redis}/0");
        let mqtt_url = format!("mqtt://127.0.0.1:{mqtt}");
        let mut servers = vec![start_redis(folder, redis).await, mosquitto(folder, mqtt).await];
        let ports = NETWORKS.map(|(network, account)| (network, account, free_port(), free_port()));
        let mut text = format!(
            "[redis]\nurl = '{redis_url}'\n[stores.agent_redis]\nurl = '{redis_url}'\n\
             [push_types]\nfile = '{CONFIG}/agent_types.toml'\n\
             [intake]\nlisten = '127.0.0.1:{}'\n[agent]\nlisten = '127.0.0.1:{agent}'\n\
             [channel.mqtt]\nurl = '{mqtt_url}'\nprefix = '{PREFIX}'\n\
             [channel.apns.endpoint]\nca_file = '{}'\n",
            free_port(),
            folder.join("ca.pem").display(),
        );
        for (network, account, port, _) in &ports {
            let certificate = certificate(folder, network);
            writeln!(text, "[channel.apns.account.{account}]\nbase_url = 'https://localhost:{port}'").unwrap();
            writeln!(text, "certificate_file = '{}'", certificate.display()).unwrap();
        }
        std::fs::write(folder.join("site.toml"), text).unwrap();
        std::fs::write(folder.join("more.toml"), more).unwrap();
        for (network, _, port, plain) in &ports {
            let (listen, plain) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{plain}"));
            let ca = folder.join(format!("{network}.ca")).display().to_string();
            let args = ["simulate", "apns", "--environment", network, "--listen", &listen, "--plain", &plain];
            let args = args.into_iter().chain(["--ca-file", &ca]).map(str::to_owned).chain(files(folder));
            servers.push(Process::start(folder, network, env!("CARGO_BIN_EXE_homing"), args, &[]));
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let apns = ports.map(|(network, _, _, plain)| (network, format!("http://127.0.0.1:{plain}/_sim")));
        for (network, url) in &apns {
            let url = format!("{url}/stats");
            until(&format!("{network} listens"), async || http.get(&url).send().await.is_ok()).await;
        }
        // Each has an authority of its own.
        let ca = NETWORKS.map(|(network, _)| std::fs::read_to_string(folder.join(format!("{network}.ca"))).unwrap());
        std::fs::write(folder.join("ca.pem"), ca.concat()).unwrap();
        Self { redis_url, mqtt_url, agent, apns: apns.into(), http, _servers: servers, dir }
    }

    // === processes ===

    /// Starts `intake`, `distributor`, `sender`, or `up`, which is all of them.
    pub(super) fn spawn(&self, daemon: &str) -> Process {
        let (program, first) = match daemon {
            "intake" => (env!("CARGO_BIN_EXE_homing-intake"), None),
            "distributor" => (env!("CARGO_BIN_EXE_homing-distributor"), None),
            "sender" => (env!("CARGO_BIN_EXE_homing-sender"), None),
            "up" => (env!("CARGO_BIN_EXE_homing"), Some("up".to_owned())),
            other => panic!("no daemon {other}"),
        };
        Process::start(self.dir.path(), daemon, program, first.into_iter().chain(files(self.dir.path())), &[])
    }

    pub(super) async fn daemon(&self, daemon: &str) -> Process {
        self.spawn(daemon).ready().await
    }

    pub(super) async fn daemons(&self) -> [Process; 3] {
        [self.daemon("intake").await, self.daemon("distributor").await, self.daemon("sender").await]
    }

    /// Runs `homing COMMAND...`; answers its exit code and what it printed.
    pub(super) fn homing(&self, command: &[&str]) -> (i32, String) {
        let args = command.iter().map(|arg| (*arg).to_owned()).chain(files(self.dir.path()));
        let out = Command::new(env!("CARGO_BIN_EXE_homing")).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    /// Starts the original's client.
    pub(super) fn sending(&self, args: &[&str]) -> Producer {
        Producer::python("agent_client.py", &[&["127.0.0.1", &self.agent.to_string()], args].concat())
    }

    /// Runs it; what it printed.
    pub(super) fn client(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.sending(args).finish()).unwrap()
    }

    /// Sends frames `(type, id, data)` one by one, and reads a 00 for each.
    pub(super) async fn send(&self, frames: &[Value]) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.agent)).await.unwrap();
        for frame in frames {
            let bytes = rmp_serde::to_vec(frame).unwrap();
            let length = u32::try_from(bytes.len()).unwrap();
            stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), 0, "{frame}");
        }
    }

    /// Publishes to a topic below the prefix, as an app does.
    pub(super) fn publish(&self, topic: &str, payload: &Value) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/producers/mqtt_publish.py");
        let mut child = Command::new(python())
            .args([script, &self.mqtt_url, &format!("{PREFIX}/{topic}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write as _;
        writeln!(child.stdin.take().unwrap(), "{payload}").unwrap();
        assert!(child.wait().unwrap().success());
    }

    // === what is known ===

    pub(super) async fn redis(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.redis_url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// The fields of a user's hash.
    pub(super) async fn user(&self, user: &str) -> BTreeMap<String, String> {
        redis::cmd("HGETALL").arg(format!("User:{user}")).query_async(&mut self.redis().await).await.unwrap()
    }

    /// Waits until `events` or more came in and nothing waits; the lane's lines of the ledger.
    pub(super) async fn settled(&self, events: u64) -> Value {
        let since = Instant::now();
        loop {
            let (_, text) = self.homing(&["ledger", "--json"]);
            let ledger: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            let lines = &ledger["lanes"]["agent"];
            let stages = ["entry", "send", "items", "own lists"];
            if lines["entry"]["in"].as_u64().is_some_and(|came_in| came_in >= events)
                && stages.iter().all(|stage| lines[stage]["waiting"] == 0)
            {
                assert_eq!(ledger["balanced"], true, "{ledger:#}");
                return lines.clone();
            }
            assert!(since.elapsed() < HANG, "not settled after {HANG:?}:\n{ledger:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    // === Apple ===

    /// Everything that a network accepted: token, and the push with its headers.
    pub(super) async fn deliveries(&self, network: &str) -> Vec<(String, Value)> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let url = format!("{}/deliveries?after={after}&limit=5000", self.apns[network]);
            let mut page: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
            let Value::Array(found) = page["deliveries"].take() else { panic!("{page}") };
            if found.is_empty() {
                return all;
            }
            all.extend(found.into_iter().map(|mut d| (d["token"].as_str().unwrap().to_owned(), d["push"].take())));
            after = page["last"].as_u64().unwrap();
        }
    }

    pub(super) async fn stats(&self, network: &str) -> Value {
        self.http.get(format!("{}/stats", self.apns[network])).send().await.unwrap().json().await.unwrap()
    }

    /// Replaces a network's faults.
    pub(super) async fn script(&self, network: &str, script: &Value) {
        let url = format!("{}/script", self.apns[network]);
        let answer = self.http.post(url).body(script.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Waits until a network has accepted so many; all of them.
    pub(super) async fn accepted(&self, network: &str, count: usize) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        until(&format!("{network} has accepted {count}"), async || {
            found = self.deliveries(network).await;
            found.len() >= count
        })
        .await;
        assert_eq!(found.len(), count, "{found:?}");
        found
    }

    // === mosquitto ===

    /// Listens to every topic of the installation.
    pub(super) async fn subscriber(&self) -> Subscriber {
        let mut child = Command::new(python())
            .args([SUBSCRIBER, &self.mqtt_url, &format!("{PREFIX}/#")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(None));
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let mut all = all.lock().unwrap();
                match line.as_str() {
                    "ready" => drop(all.get_or_insert_with(Vec::new)),
                    line => all.as_mut().unwrap().push(Publication::read(line)),
                }
            }
        });
        let subscriber = Subscriber { child, seen };
        until("the subscriber is ready", async || subscriber.seen.lock().unwrap().is_some()).await;
        subscriber
    }
}

/// A message as paho saw it, its topic without the prefix.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) data: Value,
}

impl Publication {
    fn read(line: &str) -> Self {
        let seen: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&seen["qos"], &seen["retain"]), (&json!(1), &json!(false)), "{seen}");
        let topic = seen["topic"].as_str().unwrap().strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/'));
        let data = serde_json::from_str(seen["payload"].as_str().unwrap()).unwrap_or_else(|e| panic!("{e}: {seen}"));
        Self { topic: topic.unwrap().to_owned(), data }
    }
}

/// Paho; ended when dropped.
pub(super) struct Subscriber {
    child: Child,
    seen: Arc<Mutex<Option<Vec<Publication>>>>,
}

impl Subscriber {
    /// All that Homing published so far, oldest first; not what apps say of themselves.
    pub(super) fn seen(&self) -> Vec<Publication> {
        let seen = self.seen.lock().unwrap();
        seen.iter().flatten().filter(|seen| seen.topic != "app/status").cloned().collect()
    }

    /// Waits until it has seen so many; all of them.
    pub(super) async fn heard(&self, count: usize) -> Vec<Publication> {
        until(&format!("the subscriber has seen {count}"), async || self.seen().len() >= count).await;
        let seen = self.seen();
        assert_eq!(seen.len(), count, "{seen:?}");
        seen
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn python() -> String {
    format!("{}/bin/python", variable("HOMING_TEST_VENV"))
}

/// The preset, this site's addresses, and what a test lays over them.
fn files(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let all = [PathBuf::from(CONFIG).join("agent.toml"), folder.join("site.toml"), folder.join("more.toml")];
    all.into_iter().flat_map(|file| ["--config".to_owned(), file.display().to_string()])
}

async fn mosquitto(folder: &Path, port: u16) -> Process {
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let text = format!(
        "user {}\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n",
        String::from_utf8(user).unwrap().trim()
    );
    let file = folder.join("mosquitto.conf");
    std::fs::write(&file, text).unwrap();
    let args = ["-c".as_ref(), file.as_os_str()];
    let process = Process::start(folder, "mosquitto", &variable("HOMING_TEST_MOSQUITTO"), args, &[]);
    until("mosquitto listens", async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    process
}

/// What Apple would have made for the app on one network: certificate and key in one file.
fn certificate(folder: &Path, network: &str) -> PathBuf {
    let (key, file) = (folder.join(format!("{network}.key")), folder.join(format!("{network}.pem")));
    let made = Command::new(variable("HOMING_TEST_OPENSSL"))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365"])
        .args(["-subj", "/UID=com.example.im/CN=Apple Push Services: com.example.im"])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), file.as_os_str()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let both = [&file, &key].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    std::fs::write(&file, both).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}
