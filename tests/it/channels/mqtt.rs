//! MQTT has no provider to simulate: real mosquitto takes the messages, and paho sees them. A broker does not say that a
//! token is dead, so nothing is ever removed. What can be wrong (docs/mqtt.md): a topic that nobody may publish to, a
//! password that the broker refuses, a broker that goes away in the middle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    run::{events, mixed_place},
    site::{Arrivals, Device, HANG, Site},
    way::APP,
};
use crate::support::{Process, free_port, variable};

/// The app whose broker refuses the password at first.
const LOCKED: &str = "locked";

/// Devices of a run.
struct Run {
    /// Topics of users.
    good: usize,
    /// Topics with a wildcard.
    odd: usize,
    /// Topics at the broker that refuses us.
    locked: usize,
}

/// A mosquitto that stores what it accepted when it is told to end.
struct Broker {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
}

/// paho with a lasting session; its messages stand in a file. Ended when dropped.
struct Subscriber {
    child: Child,
    seen: PathBuf,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_meets_its_documented_fate() {
    let total = events();
    run(&Run { good: total - total / 10 - 50, odd: 50, locked: total / 10 }, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_account_holds_everything_back_and_loses_nothing() {
    run(&Run { good: 0, odd: 0, locked: events() / 5 }, false).await;
}

async fn run(wanted: &Run, ends: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut open = Broker::start(&dir.path().join("open"), None).await;
    let locked = Broker::start(&dir.path().join("locked"), Some("another")).await;
    let section = format!(
        "[channel.mqtt.account.shop]\napp = '{APP}'\nurl = 'mqtt://127.0.0.1:{}'\nprefix = 'im'\npayload = 'notification'\n\
         [channel.mqtt.account.locked]\napp = '{LOCKED}'\nurl = 'mqtt://homing:right@127.0.0.1:{}'\nprefix = 'im'\n\
         payload = 'notification'\n",
        open.port, locked.port,
    );
    let devices = devices(wanted);
    let site = Site::new(dir, "mqtt", &section).await;
    let seen = [
        Subscriber::start(&site, &format!("mqtt://127.0.0.1:{}", open.port)).await,
        Subscriber::start(&site, &format!("mqtt://paho:paho@127.0.0.1:{}", locked.port)).await,
    ];
    site.register("mqtt", &devices);
    let before = site.registered();
    let total = devices.len() as u64;
    let told = |app: &str| -> BTreeSet<(String, String)> {
        let all = devices.iter().enumerate().filter(|(_, device)| device.app == app && !device.token.contains('+'));
        all.map(|(n, device)| (format!("m-{n}"), format!("im/{}", device.token))).collect()
    };
    let daemons = [site.daemon("distributor").await, site.daemon("sender").await];
    let began = Instant::now();
    let mut events = devices.iter().enumerate().map(|(n, device)| (format!("m-{n}"), vec![device.user.clone()]));
    if ends {
        // Some are under way when the broker ends, and the rest comes while it is away.
        site.push(events.by_ref().take(devices.len() * 9 / 10)).await;
        let quarter = wanted.good as u64 / 4;
        let delivered = |fates: &BTreeMap<String, u64>| fates.get("delivered").copied().unwrap_or(0);
        site.until("a quarter is delivered", |books| delivered(&books.fates) >= quarter).await;
        open.process.take().unwrap().stop().await;
    }
    site.push(events).await;
    if ends {
        tokio::time::sleep(Duration::from_millis(300)).await;
        open.run().await;
    }
    let parked = wanted.locked as u64;
    let at_rest = |books: &super::site::Books| books.came_in == total && books.open == 0 && books.waiting == parked;
    let books = site.until("all but the locked have an end", at_rest).await;
    let took = began.elapsed();
    let mut fates: BTreeMap<String, u64> = BTreeMap::new();
    for (fate, count) in [("delivered", wanted.good), ("dead.payload", wanted.odd)] {
        fates.insert(fate.to_owned(), count as u64);
    }
    fates.retain(|_, count| *count > 0);
    assert_eq!(books.fates, fates, "{books:?}");
    let repeats = seen[0].saw(&told(APP)).await;
    let ambiguous = site.counted(&daemons[1], "homing_push_total", "outcome=\"ambiguous\"").await;
    // Beside ours the broker repeats what paho had not acknowledged to it: the two cannot be told apart here.
    assert!(ends || (repeats, ambiguous) == (0, 0), "{repeats} were told twice, {ambiguous} answers were lost");
    assert_eq!(seen[1].arrivals().len(), 0, "the locked broker took nothing");

    locked.let_in("right");
    let books = site.until("what was parked goes out", |books| books.waiting == 0).await;
    *fates.entry("delivered".to_owned()).or_default() += parked;
    assert_eq!(books.fates, fates, "{books:?}");
    assert_eq!(seen[1].saw(&told(LOCKED)).await, 0, "nobody is told twice");
    assert_eq!(site.registered(), before, "nothing is removed");
    println!(
        "mqtt      events {total}{}: delivered {}, dead removed 0, buried {}, parked {parked} and delivered later; lost 0, \
         answers lost {ambiguous}, seen twice {repeats}, balanced, {:.1} s",
        if ends { ", the broker ended in the middle" } else { ", wrong account" },
        wanted.good,
        wanted.odd,
        took.as_secs_f64(),
    );
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
}

/// Well mixed, as in [`run`](super::run).
fn devices(wanted: &Run) -> Vec<Device> {
    let total = wanted.good + wanted.odd + wanted.locked;
    let device = |n: usize| {
        let slot = mixed_place(n, total);
        let (app, token) = if slot < wanted.good {
            (APP, format!("user/{n}"))
        } else if slot < wanted.good + wanted.odd {
            (APP, format!("user/{n}+"))
        } else {
            (LOCKED, format!("user/{n}"))
        };
        Device { user: format!("u-{n}"), name: token.clone(), token, app, kind: 0 }
    };
    (0..total).map(device).collect()
}

// === impl Broker ===

impl Broker {
    /// Starts one; where `password` is given, `homing` has to know it.
    async fn start(folder: &Path, password: Option<&str>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut broker = Self { process: None, folder: folder.to_owned(), port: free_port() };
        let who = match password {
            None => "allow_anonymous true".to_owned(),
            Some(password) => {
                broker.passwords(password);
                format!("allow_anonymous false\npassword_file {}/passwords", folder.display())
            }
        };
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let text = format!(
            "user {}\nlistener {} 127.0.0.1\n{who}\npersistence true\npersistence_location {}/\nmax_queued_messages 0\n\
             log_dest none\n",
            String::from_utf8(user).unwrap().trim(),
            broker.port,
            folder.display(),
        );
        std::fs::write(folder.join("mosquitto.conf"), text).unwrap();
        broker.run().await;
        broker
    }

    fn passwords(&self, password: &str) {
        let file = self.folder.join("passwords");
        std::fs::write(&file, format!("homing:{password}\npaho:paho\n")).unwrap();
        let done = Command::new("mosquitto_passwd").arg("-U").arg(&file).stderr(Stdio::null()).status().unwrap();
        assert!(done.success());
    }

    async fn run(&mut self) {
        let args = ["-c".into(), self.folder.join("mosquitto.conf")];
        let program = variable("HOMING_TEST_MOSQUITTO");
        let process = Process::start(&self.folder, "mosquitto", &program, args.iter().map(|arg| arg.as_os_str()), &[]);
        let since = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(since.elapsed() < HANG, "mosquitto does not listen: {}", process.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.process = Some(process);
    }

    /// Takes another password from now on.
    fn let_in(&self, password: &str) {
        self.passwords(password);
        self.process.as_ref().unwrap().signal("HUP");
    }
}

// === impl Subscriber ===

impl Subscriber {
    async fn start(site: &Site, url: &str) -> Self {
        let name = format!("paho{:016x}", crate::support::random());
        let seen = site.dir.path().join(format!("{name}.lines"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/producers/mqtt_subscribe.py");
        let child = Command::new(format!("{}/bin/python", variable("HOMING_TEST_VENV")))
            .args([script, url, "im/#", "--client", &name])
            .stdin(Stdio::piped())
            .stdout(File::create(&seen).unwrap())
            .spawn()
            .unwrap();
        let subscriber = Self { child, seen };
        let since = Instant::now();
        while !subscriber.lines().starts_with("ready\n") {
            assert!(since.elapsed() < HANG, "paho is not ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        subscriber
    }

    fn lines(&self) -> String {
        let text = std::fs::read_to_string(&self.seen).unwrap();
        // The last line may be half written.
        text.rsplit_once('\n').map_or_else(String::new, |(whole, _)| format!("{whole}\n"))
    }

    /// Messages by id and topic.
    fn arrivals(&self) -> Arrivals {
        let mut arrivals = Arrivals::new();
        for line in self.lines().lines().filter(|line| *line != "ready") {
            let message: Value = serde_json::from_str(line).unwrap();
            let payload: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
            let key = (payload["id"].as_str().unwrap().to_owned(), message["topic"].as_str().unwrap().to_owned());
            *arrivals.entry(key).or_default() += 1;
        }
        arrivals
    }

    /// Waits until it has seen these, and checks that it saw no others; answers how many it saw again.
    async fn saw(&self, expected: &BTreeSet<(String, String)>) -> u64 {
        let since = Instant::now();
        loop {
            let arrivals = self.arrivals();
            let arrived: BTreeSet<(String, String)> = arrivals.keys().cloned().collect();
            let beyond: Vec<_> = arrived.difference(expected).take(5).collect();
            assert!(beyond.is_empty(), "told beyond: {beyond:?}");
            if arrived == *expected {
                return arrivals.values().sum::<u64>() - arrivals.len() as u64;
            }
            let lost: Vec<_> = expected.difference(&arrived).take(5).collect();
            assert!(since.elapsed() < HANG, "lost: {lost:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
