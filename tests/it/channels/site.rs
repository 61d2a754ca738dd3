//! An installation with one channel: a redis-server for the queues, a directory of devices in SQLite whose dead tokens are
//! removed, the daemons, and the provider's simulator as a process of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::way::{Place, Tokens, Way};
use crate::support::{Process, free_port, start_redis};

/// Longer than this nothing takes here unless it hangs.
pub(super) const HANG: Duration = Duration::from_secs(180);

/// Targets by (message id, token), and how often they were told.
pub(super) type Arrivals = BTreeMap<(String, String), u64>;

/// A user's row in the directory.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) user: String,
    /// As it stands in the directory.
    pub(super) token: String,
    /// As the simulator calls it.
    pub(super) name: String,
    pub(super) app: &'static str,
    /// The place of its kind.
    pub(super) kind: usize,
}

/// See the module.
pub(super) struct Site {
    pub(super) dir: tempfile::TempDir,
    config: PathBuf,
    control: String,
    redis_url: String,
    http: reqwest::Client,
    _redis: Process,
    _simulator: Option<Process>,
}

/// What the books say of the targets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Books {
    /// Targets that were handed to the sender.
    pub(super) came_in: u64,
    pub(super) fates: BTreeMap<String, u64>,
    pub(super) waiting: u64,
    /// Items in the lists of those that wait for their app or for a time.
    pub(super) held: u64,
    /// Events and items with no end and no place to wait.
    pub(super) open: u64,
    pub(super) balanced: bool,
}

impl Site {
    /// Starts redis-server and the simulator of a way.
    pub(super) async fn simulated(way: &Way) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { address: format!("127.0.0.1:{}", free_port()), folder: dir.path().to_owned() };
        let section = (way.section)(&place);
        let mut site = Self::new(dir, way.channel, &section).await;
        let mut args =
            vec!["simulate".to_owned(), way.provider.to_owned(), "--listen".to_owned(), place.address.clone()];
        site.control = format!("http://{}", place.address);
        if way.provider == "apns" {
            let plain = format!("127.0.0.1:{}", free_port());
            site.control = format!("http://{plain}");
            args.extend(["--plain".to_owned(), plain, "--ca-file".to_owned()]);
            args.push(place.folder.join("ca.pem").display().to_string());
        }
        args.extend(["--config".to_owned(), site.config.display().to_string()]);
        let simulator = Process::start(site.dir.path(), "simulator", env!("CARGO_BIN_EXE_homing"), args, &[]);
        let since = Instant::now();
        while site.http.get(format!("{}/_sim/stats", site.control)).send().await.is_err() {
            assert!(since.elapsed() < HANG, "the simulator does not listen:\n{}", simulator.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        site._simulator = Some(simulator);
        site
    }

    /// Starts redis-server; `section` is the channel's.
    pub(super) async fn new(dir: tempfile::TempDir, channel: &str, section: &str) -> Self {
        // Whoever installed one before us decided it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let port = free_port();
        let redis = start_redis(dir.path(), port).await;
        let redis_url = format!("redis://127.0.0.1:{port}/0");
        let directory = dir.path().join("directory.db");
        let made = rusqlite::Connection::open(&directory).unwrap();
        made.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE devices (user_id TEXT PRIMARY KEY, token TEXT, platform TEXT, app TEXT);",
        )
        .unwrap();
        let text = format!(
            "[redis]\nurl = '{redis_url}'\n\
             [stores.directory]\nkind = 'sqlite'\nurl = 'sqlite://{}'\nallow_write = true\ntimeout = '10s'\n\
             [lookup.devices]\nstore = 'directory'\ntable = 'devices'\nid = 'user_id'\n\
             columns = {{ token = 'token', platform = 'platform', app = 'app' }}\n\
             invalidate = 'DELETE FROM devices WHERE user_id = :user AND token = :token'\n\
             [lane.shop]\nentry = {{ name = 'events_{{n}}', shards = 2 }}\ntokens = 'devices'\n\
             delivery.{channel} = {{ name = 'out_{{n}}', shards = 2 }}\n\
             [sender]\nbackoff = '100ms'\nbackoff_cap = '500ms'\npause = '100ms'\npause_cap = '300ms'\n{section}",
            directory.display(),
        );
        let config = dir.path().join("shop.toml");
        std::fs::write(&config, text).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { dir, config, control: String::new(), redis_url, http, _redis: redis, _simulator: None }
    }

    // === the directory ===

    fn directory(&self) -> rusqlite::Connection {
        let opened = rusqlite::Connection::open(self.dir.path().join("directory.db")).unwrap();
        opened.busy_timeout(Duration::from_secs(30)).unwrap();
        opened
    }

    /// Puts devices into the directory.
    pub(super) fn register(&self, platform: &str, devices: &[Device]) {
        let mut directory = self.directory();
        let writing = directory.transaction().unwrap();
        for device in devices {
            let row = (&device.user, &device.token, platform, device.app);
            writing.execute("INSERT INTO devices VALUES (?1, ?2, ?3, ?4)", row).unwrap();
        }
        writing.commit().unwrap();
    }

    /// The users who still have a token.
    pub(super) fn registered(&self) -> BTreeSet<String> {
        let directory = self.directory();
        let mut found = directory.prepare("SELECT user_id FROM devices").unwrap();
        found.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    // === the simulator ===

    /// Tokens of a kind: as the directory has them, and as the simulator calls them.
    pub(super) async fn tokens(&self, tokens: Tokens, prefix: &str, count: usize) -> Vec<(String, String)> {
        let same = |token: String| (token.clone(), token);
        match tokens {
            Tokens::Plain => (0..count).map(|n| same(format!("{prefix}-{n:05}"))).collect(),
            Tokens::Hex => (0..count).map(|n| same(format!("{prefix}{n:0>60x}"))).collect(),
            Tokens::Hooks => (0..count).map(|_| same(prefix.to_owned())).collect(),
            Tokens::Subscriptions => {
                let wish = json!({ "name": prefix, "count": count });
                let answer = self.post("_sim/subscribe", &wish).await;
                let all = answer["subscriptions"].as_array().unwrap().iter();
                all.map(|subscription| {
                    let endpoint = subscription["endpoint"].as_str().unwrap();
                    (subscription.to_string(), endpoint.rsplit('/').next().unwrap().to_owned())
                })
                .collect()
            }
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}/{path}", self.control)).body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}/{path}", self.control)).send().await.unwrap().json().await.unwrap()
    }

    /// Replaces the simulator's faults.
    pub(super) async fn script(&self, script: &Value) {
        self.post("_sim/script", script).await;
    }

    pub(super) async fn stats(&self) -> Value {
        self.get("_sim/stats").await
    }

    /// Everything that the simulator accepted.
    pub(super) async fn arrivals(&self) -> Arrivals {
        let (mut arrivals, mut after) = (Arrivals::new(), 0);
        loop {
            let page = self.get(&format!("_sim/deliveries?after={after}&limit=2000")).await;
            let deliveries = page["deliveries"].as_array().unwrap();
            if deliveries.is_empty() {
                return arrivals;
            }
            for delivery in deliveries {
                let text = |key: &str| delivery[key].as_str().unwrap_or_else(|| panic!("{delivery}")).to_owned();
                *arrivals.entry((text("id"), text("token"))).or_default() += 1;
            }
            after = page["last"].as_u64().unwrap();
        }
    }

    // === the daemons ===

    /// Starts `distributor` or `sender`.
    pub(super) async fn daemon(&self, name: &str) -> Process {
        let program = match name {
            "distributor" => env!("CARGO_BIN_EXE_homing-distributor"),
            "sender" => env!("CARGO_BIN_EXE_homing-sender"),
            other => panic!("no daemon {other}"),
        };
        let args = ["--config".as_ref(), self.config.as_os_str()];
        Process::start(self.dir.path(), name, program, args, &[]).ready().await
    }

    /// The sum of a daemon's counter over all that have this label.
    pub(super) async fn counted(&self, daemon: &Process, name: &str, label: &str) -> u64 {
        let text = self.http.get(format!("{}/metrics", daemon.admin())).send().await.unwrap().text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with(name));
        let lines = lines.filter(|line| line.contains(label)).map(|line| line.rsplit(' ').next().unwrap());
        lines.map(|count| count.parse::<u64>().unwrap()).sum()
    }

    /// Pushes events as a producer does, to both of the entry lists in turn.
    pub(super) async fn push(&self, events: impl Iterator<Item = (String, Vec<String>)>) {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut lists: [Vec<String>; 2] = Default::default();
        for (n, (id, users)) in events.enumerate() {
            let to = if let [user] = users.as_slice() { json!({ "user": user }) } else { json!({ "users": users }) };
            lists[n % 2].push(json!({ "id": id, "type": "GOODS_SENT", "to": to }).to_string());
        }
        for (n, items) in lists.iter().enumerate() {
            for chunk in items.chunks(500) {
                let list = format!("events_{}", n + 1);
                redis::cmd("RPUSH").arg(list).arg(chunk).exec_async(&mut connection).await.unwrap();
            }
        }
    }

    fn homing(&self, command: &[&str]) -> Value {
        let out = Command::new(env!("CARGO_BIN_EXE_homing"))
            .args(command)
            .args(["--json".as_ref(), "--config".as_ref(), self.config.as_os_str()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{command:?}: {e}: {text}{}", String::from_utf8_lossy(&out.stderr)))
    }

    /// The records of one message, oldest first.
    pub(super) fn trace(&self, id: &str) -> Vec<Value> {
        self.homing(&["trace", id])["records"].as_array().unwrap().clone()
    }

    /// The ledger as it is now.
    pub(super) fn books(&self) -> Books {
        let ledger = self.homing(&["ledger"]);
        let lane = &ledger["lanes"]["shop"];
        let number = |stage: &str, field: &str| lane[stage][field].as_u64().unwrap_or(0);
        let fates = lane["send"]["fates"].as_object().into_iter().flatten();
        Books {
            came_in: number("send", "in"),
            fates: fates.map(|(fate, n)| (fate.clone(), n.as_u64().unwrap())).collect(),
            waiting: number("send", "waiting"),
            held: number("own lists", "waiting"),
            open: number("entry", "waiting") + number("items", "waiting"),
            balanced: ledger["balanced"] == true,
        }
    }

    /// Waits until the books say so.
    pub(super) async fn until(&self, what: &str, done: impl Fn(&Books) -> bool) -> Books {
        let since = Instant::now();
        loop {
            let books = self.books();
            if done(&books) {
                assert!(books.balanced, "{books:?}");
                return books;
            }
            assert!(since.elapsed() < HANG, "not within {HANG:?}: {what}: {books:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The ends of the daemons' logs.
    fn logs(&self) -> String {
        let logs = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let end = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("{}:\n{}\n", path.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        logs.filter(|path| path.extension().is_some_and(|e| e == "log")).map(|path| end(&path)).collect()
    }
}
