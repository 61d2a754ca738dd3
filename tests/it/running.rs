//! How daemons are started, watched and stopped: `scripts/homing`, systemd's notifications, a server that is not there
//! yet, a configuration that cannot be used, and `homing demo`.

use std::{
    collections::BTreeMap,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    main_path::php_expected,
    support::{Process, World, free_port, until, variable},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/homing");
const HIGO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/higo.toml");
const SENDER: &str = env!("CARGO_BIN_EXE_homing-sender");
const DISTRIBUTOR: &str = env!("CARGO_BIN_EXE_homing-distributor");
const SCANNER: &str = env!("CARGO_BIN_EXE_homing-scanner");
const HOMING: &str = env!("CARGO_BIN_EXE_homing");

/// Is the process there and not a zombie? In a container nobody may come to reap it.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Pids of a process's children.
fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|p| std::fs::read_to_string(format!("/proc/{p}/stat")).is_ok_and(|stat| parent(&stat) == Some(pid)))
        .collect()
}

// === scripts/homing ===

/// An installation of `scripts/homing` in a world; its daemons are stopped with it.
struct Installation {
    home: PathBuf,
    config: PathBuf,
}

impl Installation {
    /// An operator's copy of config/higo.toml, with this world's servers.
    fn new(world: &World) -> Self {
        let home = world.dir.path().join("home");
        std::fs::create_dir_all(home.join("config")).unwrap();
        let mut text = std::fs::read_to_string(HIGO).unwrap();
        for (from, to) in [
            ("redis://127.0.0.1:6379/0", world.redis_url.as_str()),
            ("mysql://homing@127.0.0.1:3306/higo", &world.mysql_url),
            ("mongodb://127.0.0.1:27017/im", &world.mongo_url),
        ] {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        for account in ["android_higo", "ios_higo", "android_higirl", "ios_higirl"] {
            let from = format!("secret_file = \"secrets/{account}\"");
            assert!(text.contains(&from), "{from}");
            let url = &world.simulator_url;
            let to = format!("secret = 'made-up-{account}'\nbase_url = '{url}'\nsign_host = 'openapi.xg.qq.com'");
            text = text.replace(&from, &to);
        }
        let config = home.join("config/mine.toml");
        std::fs::write(&config, text).unwrap();
        Self { home, config }
    }

    /// Runs `scripts/homing COMMAND`; answers its exit code and what it said.
    fn run(&self, command: &str, config: &Path) -> (i32, String) {
        let bin = Path::new(SENDER).parent().unwrap();
        let out = Command::new(SCRIPT)
            .args([command, "--config", config.to_str().unwrap(), "--bin-dir", bin.to_str().unwrap()])
            .env("HOMING_HOME", &self.home)
            .env("HOMING_NO_SYSTEMD", "1")
            .env_remove("HOMING_READY_FILE")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap(), text)
    }

    /// The pids by their daemons' names.
    fn pids(&self) -> BTreeMap<String, u32> {
        let mut pids = BTreeMap::new();
        for entry in std::fs::read_dir(self.home.join("run")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "pid") {
                let text = std::fs::read_to_string(&path).unwrap();
                let pid = text.split_whitespace().next().unwrap().parse().unwrap();
                pids.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), pid);
            }
        }
        pids
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if self.home.join("run").exists() {
            self.run("stop", &self.config);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_homing_starts_restarts_in_mid_flow_and_stops() {
    const N: u64 = 3_000;
    let world = World::start("").await;
    world.faults(json!({"latency_ms": 100})).await;
    let installation = Installation::new(&world);
    let config = installation.config.clone();
    let (code, text) = installation.run("status", &config);
    assert_eq!(code, 3, "{text}");
    let (code, text) = installation.run("start", &config);
    assert_eq!(code, 0, "{text}");
    let (code, text) = installation.run("status", &config);
    assert!(code == 0 && text.lines().filter(|l| l.ends_with(", ready")).count() == 3, "{text}");
    let first = installation.pids();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["homing-distributor", "homing-scanner", "homing-sender"]);
    assert!(first.values().all(|pid| runs(*pid)));
    // A second start changes nothing.
    let (code, text) = installation.run("start", &config);
    assert!(code == 0 && text.matches("already runs").count() == 3, "{text}");
    assert_eq!(installation.pids(), first);

    world.php_push("hg_message_queue", N, 0);
    let expected = php_expected(0..N);
    let arrived = async || world.stats().await["deliveries"].as_u64().unwrap();
    until("messages flow", async || arrived().await > 100).await;
    assert!(arrived().await < expected.len() as u64 / 2, "it came too late to show anything");
    let since = Instant::now();
    let (code, text) = installation.run("restart", &config);
    assert_eq!(code, 0, "{text}");
    println!("restart in mid-flow took {:?}", since.elapsed());
    let second = installation.pids();
    assert!(second.values().all(|pid| runs(*pid)) && first.values().all(|pid| !runs(*pid)), "{first:?} {second:?}");
    let ledger = world.settled(&[("system", N)], Duration::from_secs(30)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let simulated = world.simulated().await;
    assert_eq!(simulated.arrived.keys().cloned().collect::<std::collections::BTreeSet<_>>(), expected);
    assert_eq!(simulated.repeats(), 0, "the drain is graceful");

    let (code, text) = installation.run("stop", &config);
    assert!(code == 0 && text.matches("stopped").count() == 3, "{text}");
    assert!(second.values().all(|pid| !runs(*pid)), "{second:?}");
    assert!(installation.pids().is_empty());
    let (code, text) = installation.run("status", &config);
    assert!(code == 3 && text.matches("down").count() == 3, "{text}");
    for name in ["scanner", "distributor", "sender"] {
        let log = std::fs::read_to_string(installation.home.join(format!("logs/homing-{name}.log"))).unwrap();
        assert_eq!(log.matches("Stopped. clean=true").count(), 2, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_homing_refuses_a_broken_configuration_with_file_and_line_and_changes_nothing() {
    let world = World::start("").await;
    let installation = Installation::new(&world);
    let broken = installation.home.join("config/broken.toml");
    let good = std::fs::read_to_string(&installation.config).unwrap();
    let line = good.lines().count() + 2;
    std::fs::write(&broken, format!("{good}[sender]\nconcurency = 3\n")).unwrap();
    let (code, text) = installation.run("start", &broken);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("{} line {line}", broken.display())), "{text}");
    assert!(text.contains("concurency") && text.contains("nothing was changed"), "{text}");
    assert!(installation.pids().is_empty());
    assert_eq!(installation.run("status", &broken).0, 3);

    // What runs goes on running when a restart is refused.
    let (code, text) = installation.run("start", &installation.config);
    assert_eq!(code, 0, "{text}");
    let pids = installation.pids();
    let (code, text) = installation.run("restart", &broken);
    assert!(code == 1 && text.contains("line"), "{text}");
    assert_eq!(installation.pids(), pids);
    assert!(pids.values().all(|pid| runs(*pid)));
}

// === a daemon and its supervisor ===

/// The next notification, with when it came.
fn heard(socket: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 4096];
    let n = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..n].to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_ready_watchdog_and_stopping() {
    let world = World::start("").await;
    let path = world.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let mut sender = world.spawn("sender", &env).ready().await;
    let listener = std::thread::spawn(move || {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut all: Vec<(Instant, String)> = Vec::new();
        while let Some(text) = heard(&socket) {
            all.push((Instant::now(), text));
            if all.last().is_some_and(|(_, text)| text.contains("STOPPING=1")) {
                break;
            }
        }
        all
    });
    // The watchdog is a matter of time; nothing can be asked.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    sender.signal("TERM");
    assert!(sender.ended().await.success());
    let all = listener.join().unwrap();
    let lines = |word: &str| all.iter().filter(|(_, text)| text.lines().any(|l| l == word)).collect::<Vec<_>>();
    assert_eq!(lines("READY=1").len(), 1, "{all:?}");
    assert_eq!(lines("STOPPING=1").len(), 1, "{all:?}");
    let ticks: Vec<Instant> = lines("WATCHDOG=1").iter().map(|(at, _)| *at).collect();
    assert!(ticks.len() >= 5, "{all:?}");
    let longest = ticks.windows(2).map(|w| w[1] - w[0]).max().unwrap();
    println!("watchdog of 400 ms: {} ticks in 1.5 s, the longest pause {longest:?}", ticks.len());
    assert!(longest < Duration::from_millis(400), "{longest:?}");
    assert!(all.iter().any(|(_, text)| text.lines().any(|l| l == "STATUS=ready")), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_used_ends_every_daemon_with_64_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml");
    let check = |text: &str, wanted: &[&str]| {
        std::fs::write(&path, text).unwrap();
        for program in [SENDER, DISTRIBUTOR, SCANNER] {
            let out =
                Command::new(program).args(["--config", HIGO, "--config", path.to_str().unwrap()]).output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(64), "{program}: {said}");
            for words in wanted {
                assert!(said.contains(words), "{program}: {words:?} is not in: {said}");
            }
            assert!(!said.contains("panicked"), "{said}");
        }
    };
    // The secrets' files of config/higo.toml are not there.
    let secrets: String = ["android_higo", "ios_higo", "android_higirl", "ios_higirl"]
        .map(|account| format!("[account.{account}]\nsecret = 'hush-hush'\n"))
        .concat();
    let at = |line: usize| format!("{} line {line}", path.display());
    check("", &["secrets/", "cannot read"]);
    check(&format!("{secrets}[sender]\nconcurency = 3\n"), &[&at(10), "concurency"]);
    check(&format!("{secrets}[redis]\nlease = '5 lightyears'\n"), &[&at(10), "redis.lease"]);
    check(&format!("{secrets}[redis]\nurl = ["), &[&at(10)]);
    check(&format!("{secrets}[redis]\nlease = '5s'\n"), &["redis.margin must be at most half of redis.lease"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_waits_for_its_redis_and_is_ready_when_it_comes() {
    let mut world = World::start("").await;
    world.kill_redis();
    let mut daemons: Vec<(String, Process)> = Vec::new();
    for (name, program) in [("sender", SENDER), ("distributor", DISTRIBUTOR), ("scanner", SCANNER)] {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut args = world.config();
        args.extend(["--admin".to_owned(), listen.clone()]);
        daemons.push((format!("http://{listen}"), Process::start(world.dir.path(), name, program, args, &[])));
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |url: &str| Some(http.get(url).send().await.ok()?.status().as_u16());
    for (admin, daemon) in &mut daemons {
        until("it listens", async || status(&format!("{admin}/healthz")).await == Some(200)).await;
        let named = async || {
            let (code, text) = world.get(&format!("{admin}/readyz")).await;
            code == 503 && text.contains("unavailable")
        };
        until("it says what it waits for", named).await;
        assert!(daemon.is_running());
    }
    world.start_redis().await;
    let since = Instant::now();
    for (admin, _) in &daemons {
        until("it is ready", async || status(&format!("{admin}/readyz")).await == Some(200)).await;
    }
    println!("all daemons ready {:?} after redis came", since.elapsed());
    for (_, daemon) in daemons {
        assert!(daemon.ready().await.stop().await.success());
    }
}

// === homing demo ===

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_a_push_arriving_and_leaves_nothing_behind() {
    // For reqwest; the demo itself needs no world.
    rustls::crypto::ring::default_provider().install_default().ok();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let data = dir.path().join("data");
    let args = ["demo", "--port", &port, "--data", data.to_str().unwrap()];
    let redis = variable("HOMING_TEST_REDIS_SERVER");
    let mut demo = Process::start(dir.path(), "demo", HOMING, args, &[("HOMING_REDIS_SERVER", &redis)]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let get = async |path: &str| -> Option<Value> {
        let answer = http.get(format!("{base}{path}")).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    };
    until("its API answers", async || get("/v1/ledger").await.is_some()).await;
    let event = json!({"type": "NEW_ORDER", "to": {"users": ["1", "2", "42"]}, "data": {"order_id": "A7"}});
    let answer = http.post(format!("{base}/v1/events")).body(event.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let shown = async || get("/v1/phones/42").await.unwrap().as_array().unwrap().clone();
    until("the phone shows it", async || shown().await.iter().any(|push| push["id"] == id)).await;
    // The event that the demo sends itself is there as well.
    until("the phone shows both", async || shown().await.len() == 2).await;
    for user in ["1", "2"] {
        assert_eq!(get(&format!("/v1/phones/{user}")).await, Some(json!([])), "online, and do-not-disturb");
    }
    let records = async || {
        let trace = get(&format!("/v1/events/{id}")).await.unwrap_or_default();
        trace["records"].as_array().cloned().unwrap_or_default()
    };
    until("its trace is whole", async || records().await.iter().any(|r| r["fate"] == "delivered")).await;
    let records = records().await;
    for (fate, n) in [("expanded", 1), ("queued", 1), ("delivered", 1), ("skipped", 2)] {
        assert_eq!(records.iter().filter(|r| r["fate"] == fate).count(), n, "{fate}: {records:#?}");
    }
    let ledger = get("/v1/ledger").await.unwrap();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    assert_eq!(ledger["lanes"]["system"]["send"]["fates"]["delivered"], 2, "{ledger:#}");
    let refused =
        http.post(format!("{base}/v1/events")).body(r#"{"type":"NO_SUCH","to":{"user":1}}"#).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("NO_SUCH is not in the catalogue"));
    assert_eq!(http.get(format!("{base}/v1/events/nothing")).send().await.unwrap().status(), 404);

    let servers = children(demo.pid());
    assert_eq!(servers.len(), 1, "its redis-server");
    demo.signal("INT");
    let since = Instant::now();
    let status = demo.ended().await;
    println!("the demo ended {:?} after SIGINT", since.elapsed());
    assert!(status.success() && since.elapsed() < Duration::from_secs(5), "{status}: {}", demo.log());
    assert!(servers.iter().all(|pid| !runs(*pid)), "redis-server is still there");
}
