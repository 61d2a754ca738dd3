//! [`Town`]: a queue server, a directory in MariaDB whose rows name device and channel, providers, one lane.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::{Duration, Instant},
};

use redis::AsyncCommands as _;
use serde_json::{Value, json};

use crate::support::{Process, free_port, mysql, random, start_redis, until, variable};

/// Lists of the lane: entry, and delivery of each channel.
const ENTRY: u32 = 2;
const DELIVERY: u32 = 6;

/// Events in one RPUSH.
const CHUNK: usize = 500;

/// Private keys, made once: `(known to the simulated Google, not known to it)`.
static KEYS: LazyLock<(String, String)> = LazyLock::new(|| (private_key(), private_key()));

pub(crate) struct Town {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) http: reqwest::Client,
    redis_url: String,
    database: (String, String),
    providers: BTreeMap<&'static str, String>,
    /// How far each provider's deliveries were read.
    read: RefCell<BTreeMap<&'static str, u64>>,
    pushed: Cell<u64>,
    _processes: Vec<Process>,
}

/// A token of a device, for a channel: (user, device, channel or nothing, token, app, env).
pub(crate) type Row<'a> = (u64, &'a str, &'a str, String, &'a str, &'a str);

/// What a provider got: how often each (message, token).
pub(crate) type Arrived = BTreeMap<(String, String), u64>;

impl Town {
    /// With these providers; `more` is the rest of the configuration. `channel.PROVIDER` gets its endpoint, `account`
    /// of Xinge and `channel.fcm.account` of the apps higo and higirl are there.
    pub(crate) async fn start(providers: &[&'static str], more: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let redis_url = format!("redis://127.0.0.1:{port}/0");
        let mut processes = vec![start_redis(dir.path(), port).await];
        let server = variable("HOMING_TEST_MYSQL_URL");
        let (server, name) = (server.rsplit_once('/').unwrap().0, format!("homing_it_{:016x}", random()));
        mysql(
            server,
            &format!(
                "CREATE DATABASE {name}; USE {name}; CREATE TABLE devices (id INT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT \
                 UNSIGNED NOT NULL, device VARCHAR(32) NOT NULL, channel VARCHAR(16), token VARCHAR(64) NOT NULL, platform \
                 VARCHAR(16) NOT NULL, app VARCHAR(16) NOT NULL, env VARCHAR(8) NOT NULL, gone TINYINT NOT NULL DEFAULT 0, \
                 KEY (user_id));"
            ),
        );
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        // Providers say where they listen; what they need of the configuration does not.
        let database = format!("{server}/{name}");
        let nowhere = providers.iter().map(|name| (*name, "http://127.0.0.1:9".to_owned())).collect();
        write("town.toml", &configuration(&redis_url, &database, &nowhere));
        write("more.toml", more);
        // The provider has its own copy of the key: what the senders have may be another.
        let accounts = ["higo", "higirl"]
            .map(|app| format!("[channel.fcm.account.{app}]\nservice_account_file = 'google-{app}.json'\n"));
        write("google.toml", &accounts.concat());
        for app in ["higo", "higirl"] {
            write(&format!("google-{app}.json"), &key_file(app, &KEYS.0));
        }
        let mut urls = BTreeMap::new();
        for name in providers {
            let args = ["simulate", name, "--listen", "127.0.0.1:0"].map(str::to_owned).into_iter();
            let args = args.chain(files(dir.path(), &["town.toml", "more.toml", "google.toml"]));
            let simulator = Process::start(dir.path(), name, env!("CARGO_BIN_EXE_homing"), args, &[]);
            until("the simulators listen", async || simulator.log().contains(" listens on http")).await;
            let log = simulator.log();
            let (_, url) = log.split_once(" listens on ").unwrap();
            urls.insert(*name, url.lines().next().unwrap().trim().to_owned());
            processes.push(simulator);
        }
        write("town.toml", &configuration(&redis_url, &database, &urls));
        let town = Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            redis_url,
            database: (server.to_owned(), name),
            providers: urls,
            read: RefCell::default(),
            pushed: Cell::new(0),
            _processes: processes,
            dir,
        };
        town.credentials("higo", true);
        town.credentials("higirl", true);
        town
    }

    // === its people ===

    /// Puts tokens into the directory.
    pub(crate) fn register(&self, rows: &[Row<'_>], platform: &str) {
        for chunk in rows.chunks(5_000) {
            let values = chunk.iter().map(|(user, device, channel, token, app, env)| {
                let channel = if channel.is_empty() { "NULL".to_owned() } else { format!("'{channel}'") };
                format!("({user},'{device}',{channel},'{token}','{platform}','{app}','{env}')")
            });
            let values = values.collect::<Vec<_>>().join(",");
            self.sql(&format!(
                "INSERT INTO devices (user_id, device, channel, token, platform, app, env) VALUES {values};"
            ));
        }
    }

    /// Runs SQL in the directory.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let (server, name) = &self.database;
        mysql(server, &format!("USE {name}; {sql}"))
    }

    /// The key file that the senders read for an app at FCM: one that Google knows, or one that it does not.
    pub(crate) fn credentials(&self, app: &str, good: bool) {
        let path = self.dir.path().join(format!("fcm-{app}.json"));
        let text = key_file(app, if good { &KEYS.0 } else { &KEYS.1 });
        std::fs::write(&path, text).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    // === its processes ===

    /// Starts a daemon: `distributor`, `sender`.
    pub(crate) async fn daemon(&self, daemon: &str) -> Process {
        self.spawn(daemon).ready().await
    }

    pub(crate) fn spawn(&self, daemon: &str) -> Process {
        self.spawn_with(daemon, &[])
    }

    /// The same with further arguments.
    pub(crate) fn spawn_with(&self, daemon: &str, more: &[&str]) -> Process {
        let program = match daemon {
            "distributor" => env!("CARGO_BIN_EXE_homing-distributor"),
            "sender" => env!("CARGO_BIN_EXE_homing-sender"),
            other => panic!("no daemon {other}"),
        };
        let args = self.config().into_iter().chain(more.iter().map(|arg| (*arg).to_owned()));
        Process::start(self.dir.path(), daemon, program, args, &[])
    }

    fn config(&self) -> Vec<String> {
        files(self.dir.path(), &["town.toml", "more.toml"])
    }

    /// Runs `homing COMMAND...`; answers its exit code, and what it printed for people and for programs.
    pub(crate) fn homing(&self, command: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_homing")).args(command).args(self.config()).output().unwrap();
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(!errors.contains("panicked"), "{errors}");
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stdout).into_owned() + &errors)
    }

    /// The same, for what must be JSON.
    pub(crate) fn homing_json(&self, command: &[&str]) -> (i32, Value) {
        let (code, text) = self.homing(command);
        (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    // === events ===

    /// Pushes an event of the type per user, `PREFIX-USER`; a user's events all go into one list.
    pub(crate) async fn push(&self, prefix: &str, kind: &str, users: impl IntoIterator<Item = u64>) {
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for user in users {
            let data = json!({ "order_id": "A1", "goods": "g", "goods_id": 1, "amount": 1, "shop": "s", "text": "t" });
            let event = json!({ "id": format!("{prefix}-{user}"), "type": kind, "to": { "user": user.to_string() },
                "title": "Moving", "body": prefix, "data": data });
            lists.entry(format!("in_{}", 1 + user % u64::from(ENTRY))).or_default().push(event.to_string());
        }
        let mut redis = self.redis().await;
        for (list, events) in lists {
            for chunk in events.chunks(CHUNK) {
                self.pushed.set(self.pushed.get() + chunk.len() as u64);
                let _: u64 = redis.rpush(&list, chunk).await.unwrap();
            }
        }
    }

    /// Waits until every event that was pushed is through and no list holds anything, but `parked` targets that wait for
    /// their app.
    pub(crate) async fn settled(&self, parked: u64) -> Value {
        let since = Instant::now();
        loop {
            let (_, ledger) = self.homing_json(&["ledger", "--json"]);
            let lines = &ledger["lanes"]["town"];
            // What is parked has left the main list for one of the sender's own.
            let left = [("entry", 0), ("send", parked), ("items", 0), ("own lists", parked)];
            if lines["entry"]["in"] == self.pushed.get()
                && left.iter().all(|(stage, waiting)| lines[stage]["waiting"] == *waiting)
            {
                assert_eq!(ledger["balanced"], true, "{ledger:#}");
                return ledger;
            }
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "not settled, {} events:\n{ledger:#}",
                self.pushed.get()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn redis(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.redis_url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// Sums a counter over the delivery lists of a channel.
    pub(crate) async fn counter(&self, channel: &str, field: &str) -> i64 {
        let mut redis = self.redis().await;
        let mut sum = 0;
        for n in 1..=DELIVERY {
            let n: Option<i64> = redis.hget(format!("{{{channel}_{n}}}:ledger"), field).await.unwrap();
            sum += n.unwrap_or(0);
        }
        sum
    }

    // === providers ===

    pub(crate) fn url(&self, provider: &str, path: &str) -> String {
        format!("{}/_sim/{path}", self.providers[provider])
    }

    pub(crate) async fn stats(&self, provider: &str) -> Value {
        self.http.get(self.url(provider, "stats")).send().await.unwrap().json().await.unwrap()
    }

    /// Replaces a provider's faults.
    pub(crate) async fn faults(&self, provider: &str, faults: Value) {
        let path = if provider == "xinge" { "faults" } else { "script" };
        let answer = self.http.post(self.url(provider, path)).json(&faults).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What a provider took since it was asked last, as it came.
    pub(crate) async fn deliveries(&self, provider: &'static str) -> Vec<Value> {
        let mut deliveries = Vec::new();
        loop {
            let after = self.read.borrow().get(provider).copied().unwrap_or(0);
            let url = self.url(provider, &format!("deliveries?after={after}&limit=5000"));
            let mut page: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
            let Value::Array(found) = page["deliveries"].take() else { panic!("{page}") };
            if found.is_empty() {
                return deliveries;
            }
            self.read.borrow_mut().insert(provider, page["last"].as_u64().unwrap());
            deliveries.extend(found);
        }
    }

    /// The same: how often each message arrived at each token, of messages whose id begins so.
    pub(crate) async fn arrived(&self, provider: &'static str, prefix: &str) -> Arrived {
        let mut arrived = Arrived::new();
        for delivery in self.deliveries(provider).await {
            let (id, token) = (delivery["id"].as_str().unwrap(), delivery["token"].as_str().unwrap());
            if id.starts_with(prefix) {
                *arrived.entry((id.to_owned(), token.to_owned())).or_default() += 1;
            }
        }
        arrived
    }

    /// How often a device got a message.
    pub(crate) async fn got(&self, provider: &str, token: &str, id: &str) -> usize {
        let url = self.url(provider, &format!("phones/{token}"));
        let phone: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        phone["deliveries"].as_array().unwrap().iter().filter(|delivery| delivery["id"] == id).count()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        let (server, name) = &self.database;
        // A test that has failed already says why.
        if !std::thread::panicking() {
            mysql(server, &format!("DROP DATABASE {name};"));
        }
    }
}

fn files(dir: &Path, names: &[&str]) -> Vec<String> {
    let path = |name: &&str| -> PathBuf { dir.join(name) };
    names.iter().flat_map(|name| ["--config".to_owned(), path(name).display().to_string()]).collect()
}

fn configuration(redis: &str, mysql: &str, providers: &BTreeMap<&'static str, String>) -> String {
    let mut text = format!(
        "[redis]\nurl = '{redis}'\n\
         [stores.directory]\nkind = 'mysql'\nurl = '{mysql}'\nallow_write = true\ntimeout = '20s'\n\
         [lookup.tokens]\nstore = 'directory'\nrow_key = 'user_id'\n\
         query = 'SELECT user_id, device, channel, token, platform, app, env FROM devices WHERE user_id IN (:user_ids) AND gone = 0 ORDER BY id'\n\
         invalidate = 'UPDATE devices SET gone = 1 WHERE user_id = :user AND token = :token AND gone = 0'\n\
         [lane.town]\nentry = {{ name = 'in_{{n}}', shards = {ENTRY} }}\n"
    );
    for name in providers.keys() {
        text += &format!("delivery.{name} = {{ name = '{name}_{{n}}', shards = {DELIVERY} }}\n");
    }
    for (name, url) in providers {
        text += &match *name {
            "xinge" => ["higo", "higirl"]
                .iter()
                .zip(1..)
                .map(|(app, n)| {
                    format!(
                        "[account.android_{app}]\nflavour = 'v2'\nplatform = 'android'\napp = '{app}'\naccess_id = 210000000{n}\n\
                         secret = 'made-up-{app}'\nbase_url = '{url}'\nsign_host = 'openapi.xg.qq.com'\n"
                    )
                })
                .collect(),
            "fcm" => format!(
                "[channel.fcm]\nendpoint = {{ base_url = '{url}', auth_url = '{url}' }}\n\
                 [channel.fcm.account.higo]\napp = 'higo'\nservice_account_file = 'fcm-higo.json'\n\
                 [channel.fcm.account.higirl]\napp = 'higirl'\nservice_account_file = 'fcm-higirl.json'\n"
            ),
            "hms" => format!(
                "[channel.hms]\nendpoint = {{ base_url = '{url}', auth_url = '{url}' }}\n\
                 [channel.hms.account.higo]\nflavour = 'v1'\napp = 'higo'\napp_id = '100000001'\nsecret = 'made-up'\n\
                 [channel.hms.account.higirl]\nflavour = 'v1'\napp = 'higirl'\napp_id = '100000002'\nsecret = 'made-up'\n"
            ),
            "xiaomi" => format!(
                "[channel.xiaomi]\nendpoint = {{ base_url = '{url}' }}\n\
                 [channel.xiaomi.account.higo]\napp = 'higo'\npackage = 'com.higo'\nsecret = 'made-up'\nchannel_id = '137000'\n"
            ),
            other => panic!("no provider {other}"),
        };
    }
    text
}

fn private_key() -> String {
    let out = Command::new(variable("HOMING_TEST_OPENSSL"))
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A key file as Google hands it out.
fn key_file(app: &str, key: &str) -> String {
    let project = format!("{app}-project");
    json!({
        "type": "service_account", "project_id": project, "private_key_id": "k1", "private_key": key,
        "client_email": format!("homing@{project}.iam.gserviceaccount.com"),
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}
