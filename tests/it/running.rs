//! How daemons are started, watched and stopped: `scripts/homing`, systemd's notifications, a server that is not there
//! yet, and a configuration that cannot be used.

use std::{
    os::unix::net::UnixDatagram,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    main_path::php_expected,
    support::{Installation, Process, World, free_port, until},
};

const HIGO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/higo.toml");
const SENDER: &str = env!("CARGO_BIN_EXE_homing-sender");
const DISTRIBUTOR: &str = env!("CARGO_BIN_EXE_homing-distributor");
const SCANNER: &str = env!("CARGO_BIN_EXE_homing-scanner");
/// All of them.
const DAEMONS: [&str; 4] = ["scanner", "distributor", "sender", "intake"];

/// Is the process there and not a zombie? In a container nobody may come to reap it.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

// === scripts/homing ===

#[tokio::test(flavor = "multi_thread")]
async fn scripts_homing_starts_restarts_in_mid_flow_and_stops() {
    const N: u64 = 3_000;
    let world = World::start("").await;
    world.faults(json!({"latency_ms": 100})).await;
    let installation = Installation::new(&world);
    let (code, text) = installation.run("status");
    assert_eq!(code, 3, "{text}");
    let (code, text) = installation.run("start");
    assert_eq!(code, 0, "{text}");
    let (code, text) = installation.run("status");
    assert!(code == 0 && text.lines().filter(|l| l.ends_with(", ready")).count() == 3, "{text}");
    let first = installation.pids();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["homing-distributor", "homing-scanner", "homing-sender"]);
    assert!(first.values().all(|pid| runs(*pid)));
    // A second start changes nothing.
    let (code, text) = installation.run("start");
    assert!(code == 0 && text.matches("already runs").count() == 3, "{text}");
    assert_eq!(installation.pids(), first);

    world.php_push("hg_message_queue", N, 0);
    let expected = php_expected(0..N);
    let arrived = async || world.stats().await["deliveries"].as_u64().unwrap();
    until("messages flow", async || arrived().await > 100).await;
    assert!(arrived().await < expected.len() as u64 / 2, "it came too late to show anything");
    let since = Instant::now();
    let (code, text) = installation.run("restart");
    assert_eq!(code, 0, "{text}");
    println!("restart in mid-flow took {:?}", since.elapsed());
    let second = installation.pids();
    assert!(second.values().all(|pid| runs(*pid)) && first.values().all(|pid| !runs(*pid)), "{first:?} {second:?}");
    let ledger = world.settled(&[("system", N)], Duration::from_secs(30)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let simulated = world.simulated().await;
    assert_eq!(simulated.arrived.keys().cloned().collect::<std::collections::BTreeSet<_>>(), expected);
    assert_eq!(simulated.repeats(), 0, "the drain is graceful");

    let (code, text) = installation.run("stop");
    assert!(code == 0 && text.matches("stopped").count() == 3, "{text}");
    assert!(second.values().all(|pid| !runs(*pid)), "{second:?}");
    assert!(installation.pids().is_empty());
    let (code, text) = installation.run("status");
    assert!(code == 3 && text.matches("down").count() == 3, "{text}");
    for name in ["scanner", "distributor", "sender"] {
        let log = std::fs::read_to_string(installation.home.join(format!("logs/homing-{name}.log"))).unwrap();
        assert_eq!(log.matches("Stopped. clean=true").count(), 2, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_homing_refuses_a_broken_configuration_with_file_and_line_and_changes_nothing() {
    let world = World::start("").await;
    let mut installation = Installation::new(&world);
    let sound = installation.config.clone();
    let broken = installation.home.join("config/broken.toml");
    let good = std::fs::read_to_string(&sound).unwrap();
    let line = good.lines().count() + 2;
    std::fs::write(&broken, format!("{good}[sender]\nconcurency = 3\n")).unwrap();
    installation.config.clone_from(&broken);
    let (code, text) = installation.run("start");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("{} line {line}", broken.display())), "{text}");
    assert!(text.contains("concurency") && text.contains("nothing was changed"), "{text}");
    assert!(installation.pids().is_empty());
    assert_eq!(installation.run("status").0, 3);

    // What runs goes on running when a restart is refused.
    installation.config = sound;
    let (code, text) = installation.run("start");
    assert_eq!(code, 0, "{text}");
    let pids = installation.pids();
    installation.config = broken;
    let (code, text) = installation.run("restart");
    assert!(code == 1 && text.contains("line"), "{text}");
    assert_eq!(installation.pids(), pids);
    assert!(pids.values().all(|pid| runs(*pid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_homing_starts_what_has_work_and_says_which_way_it_goes() {
    let world = World::start("").await;
    let installation = Installation::new(&world);
    let text = std::fs::read_to_string(&installation.config).unwrap();
    let mut scanners = text.lines().filter(|line| line.starts_with("[scanner."));
    assert!(scanners.next().is_some());
    // An installation without scanned chats (the tables go, from each header to the next) and with events over HTTP.
    let mut kept = String::new();
    let mut dropped = false;
    for line in text.lines() {
        dropped = if line.starts_with('[') { line.starts_with("[scanner.") } else { dropped };
        if !dropped {
            kept += &format!("{line}\n");
        }
    }
    kept += "[intake]\nlisten = '127.0.0.1:0'\nopen_on_loopback = true\n";
    std::fs::write(&installation.config, kept).unwrap();
    let (code, text) = installation.run("start");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("by pid files in"), "{text}");
    assert_eq!(
        installation.pids().keys().collect::<Vec<_>>(),
        ["homing-distributor", "homing-intake", "homing-sender"]
    );
    let (code, text) = installation.run("status");
    assert!(code == 0 && !text.contains("scanner"), "{text}");
}

// === a daemon and its supervisor ===

/// The next notification, with when it came.
fn heard(socket: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 4096];
    let n = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..n].to_vec()).unwrap())
}

/// Everything that is heard until STOPPING=1, with when it came.
fn listen(socket: UnixDatagram) -> std::thread::JoinHandle<Vec<(Instant, String)>> {
    std::thread::spawn(move || {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut all: Vec<(Instant, String)> = Vec::new();
        while let Some(text) = heard(&socket) {
            all.push((Instant::now(), text));
            if all.last().is_some_and(|(_, text)| text.contains("STOPPING=1")) {
                break;
            }
        }
        all
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_ready_watchdog_and_stopping_of_every_daemon() {
    let world = World::start("[intake]\nlisten = '127.0.0.1:0'\nopen_on_loopback = true\n").await;
    for name in DAEMONS {
        let path = world.dir.path().join(format!("notify-{name}"));
        let socket = UnixDatagram::bind(&path).unwrap();
        let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
        let daemon = match name {
            "intake" => {
                Process::start(world.dir.path(), name, env!("CARGO_BIN_EXE_homing-intake"), world.config(), &env)
            }
            name => world.spawn(name, &env),
        };
        let listener = listen(socket);
        let mut daemon = daemon.ready().await;
        // The watchdog is a matter of time; nothing can be asked.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        daemon.signal("TERM");
        assert!(daemon.ended().await.success(), "{name}: {}", daemon.log());
        let all = listener.join().unwrap();
        let place = |word: &str| {
            let places: Vec<usize> = (0..all.len()).filter(|i| all[*i].1.lines().any(|line| line == word)).collect();
            assert_eq!(places.len(), 1, "{name}: {word} in {all:?}");
            places[0]
        };
        assert!(place("READY=1") < place("STOPPING=1"), "{name}: {all:?}");
        let ticks: Vec<Instant> =
            all.iter().filter(|(_, text)| text.lines().any(|l| l == "WATCHDOG=1")).map(|(at, _)| *at).collect();
        assert!(ticks.len() >= 3, "{name}: {all:?}");
        let longest = ticks.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        println!("{name}: watchdog of 400 ms: {} ticks, the longest pause {longest:?}", ticks.len());
        // A hang guard: systemd would have killed it long before.
        assert!(longest < Duration::from_secs(4), "{name}: {longest:?}");
        assert!(all.iter().any(|(_, text)| text.lines().any(|l| l == "STATUS=ready")), "{name}: {all:?}");
    }
}

// === homing check, and exit codes ===

#[tokio::test(flavor = "multi_thread")]
async fn check_shows_the_oldest_item_and_advises_about_redis() {
    let world = World::start("").await;
    let (code, text) = world.homing(&["check"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("ok      daemons: scanner distributor sender"), "{text}");
    assert!(text.contains("warning redis: maxmemory is not set"), "{text}");
    assert!(!text.contains("appendonly"), "{text}");
    let mut redis = world.redis().await;
    for (setting, value) in [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru"), ("maxmemory", "100mb")] {
        redis::cmd("CONFIG").arg("SET").arg(setting).arg(value).exec_async(&mut redis).await.unwrap();
    }
    let (code, text) = world.homing(&["check"]);
    assert_eq!(code, 0, "advice is no error: {text}");
    for words in ["appendonly is no", "maxmemory-policy is allkeys-lru", "maxmemory is 100 MiB"] {
        assert!(text.contains(&format!("warning redis: {words}")), "{words}: {text}");
    }

    let (code, text) = world.homing(&["check", "--sniff", "hg_message_queue"]);
    assert!(code == 0 && text.contains("It is empty"), "{text}");
    world.php_push("hg_message_queue", 2, 0);
    let (code, text) = world.homing(&["check", "--sniff", "hg_message_queue"]);
    assert!(code == 0 && text.contains("2 items") && text.contains("codec    php"), "{text}");
    assert!(text.contains("id       php-0") && text.contains("ok       it can be worked"), "{text}");
    world.rpush("higo_group_chat_message1", &[b"a:1:{i:0".to_vec()]).await;
    let (code, text) = world.homing(&["check", "--sniff", "higo_group_chat_message1"]);
    assert!(code == 1 && text.contains("error") && text.contains("at byte 8"), "{text}");
    let (code, text) = world.homing(&["check", "--sniff", "no_such_list"]);
    assert!(code == 64 && text.contains("hg_xinge_queue"), "{text}");
    let length: u64 = redis::cmd("LLEN").arg("hg_message_queue").query_async(&mut redis).await.unwrap();
    assert_eq!(length, 2, "a look takes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_1_and_a_configuration_that_cannot_be_used_is_64() {
    let mut world = World::start("").await;
    world.kill_redis();
    for command in [&["ledger"][..], &["trace", "x"], &["check"], &["check", "--sniff", "hg_message_queue"]] {
        let (code, text) = world.homing(command);
        assert!(code == 1 && text.contains("unavailable"), "{command:?}: {code} {text}");
    }
    std::fs::write(world.dir.path().join("more.toml"), "[redis]\nurl = 'nonsense'\n").unwrap();
    for command in [&["ledger"][..], &["trace", "x"], &["check"]] {
        let (code, text) = world.homing(command);
        assert!(code == 64 && text.contains("redis.url"), "{command:?}: {code} {text}");
    }
}

// === metrics of the queues ===

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_depth_and_age_of_each_list() {
    let world = World::start("").await;
    // Whoever is told waits for the provider.
    world.faults(json!({"latency_ms": 60_000})).await;
    let (distributor, sender) = (world.daemon("distributor").await, world.daemon("sender").await);
    world.php_push("hg_message_queue", 200, 0);
    let value = async |daemon: &Process, metric: &str, queue: &str| -> Option<f64> {
        let (_, text) = world.get(&format!("{}/metrics", daemon.admin())).await;
        let start = format!("{metric}{{queue=\"{queue}\",list=\"main\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
    };
    let expected = php_expected(0..200).len() as f64;
    until("the sender's list is counted", async || {
        value(&sender, "homing_queue_depth", "hg_xinge_queue").await == Some(expected)
    })
    .await;
    until("its oldest item grows old", async || {
        value(&sender, "homing_queue_oldest_age_seconds", "hg_xinge_queue").await.is_some_and(|age| age >= 2.0)
    })
    .await;
    // What is worked has no age.
    assert_eq!(value(&distributor, "homing_queue_depth", "hg_message_queue").await, Some(0.0));
    assert_eq!(value(&distributor, "homing_queue_oldest_age_seconds", "hg_message_queue").await, Some(0.0));
    // A successor counts from when it took the shard: lists carry no time.
    sender.kill();
    let sender = world.daemon("sender").await;
    until("the successor counts anew", async || {
        value(&sender, "homing_queue_oldest_age_seconds", "hg_xinge_queue").await.is_some_and(|age| age >= 1.0)
    })
    .await;
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
    let higo = std::fs::read_to_string(HIGO).unwrap();
    let accounts: Vec<&str> = higo.lines().filter(|line| line.starts_with("[account.")).collect();
    assert!(accounts.len() >= 4, "{accounts:?}");
    let secrets: String = accounts.iter().map(|header| format!("{header}\nsecret = 'hush-hush'\n")).collect();
    let fault = 2 * accounts.len() + 2;
    let at = |line: usize| format!("{} line {line}", path.display());
    check("", &["secrets/", "cannot read"]);
    check(&format!("{secrets}[sender]\nconcurency = 3\n"), &[&at(fault), "concurency"]);
    check(&format!("{secrets}[redis]\nlease = '5 lightyears'\n"), &[&at(fault), "redis.lease"]);
    check(&format!("{secrets}[redis]\nurl = ["), &[&at(fault)]);
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
