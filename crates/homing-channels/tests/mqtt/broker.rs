//! A mosquitto of one test, a subscriber with paho, and a broker that is a script.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use homing_channels::mqtt::Mqtt;
use homing_core::{
    channel::{Answer, Channel},
    notification::{Notification, Platform, Target},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Longer than this nothing takes here unless it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(120);

pub(crate) fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

pub(crate) fn channel(text: &str) -> Mqtt {
    rustls::crypto::ring::default_provider().install_default().ok();
    Mqtt::new(&toml::from_str(text).unwrap()).unwrap()
}

/// A text that no other test has.
pub(crate) fn fresh(name: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{name}{:016x}", RandomState::new().hash_one(0))
}

/// A message with a number, and the targets that it is for.
pub(crate) fn message(n: usize, targets: &[String]) -> Notification {
    let custom = json!({ "n": n, "text": "你好" }).as_object().unwrap().clone();
    let targets = targets.iter().map(|token| Target::new("u", token)).collect();
    Notification {
        id: format!("m{n}"),
        app: "im".into(),
        platform: Platform::Mqtt,
        custom,
        targets,
        ..Notification::default()
    }
}

pub(crate) async fn send(mqtt: &Mqtt, n: usize, tokens: &[String]) -> Vec<Answer> {
    let message = message(n, tokens);
    mqtt.send(&message, &message.targets).await
}

/// paho, subscribed.
pub(crate) struct Subscriber {
    _child: tokio::process::Child,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Subscriber {
    pub(crate) async fn start(url: &str, filter: &str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/producers/mqtt_subscribe.py");
        let mut child = tokio::process::Command::new(Path::new(&var("HOMING_TEST_VENV")).join("bin/python"))
            .arg(script)
            .args([url, filter])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(HANG, lines.next_line()).await.unwrap().unwrap();
        assert_eq!(first.as_deref(), Some("ready"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line != "ready" {
                    all.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                }
            }
        });
        Self { _child: child, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until `enough` says so.
    pub(crate) async fn until(&self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        for _ in 0..HANG.as_millis() / 50 {
            let seen = self.seen();
            if enough(&seen) {
                return seen;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("saw {} messages, and that is not enough", self.seen().len());
    }
}

/// The number in a message that paho printed.
pub(crate) fn number(seen: &Value) -> usize {
    let payload: Value = serde_json::from_str(seen["payload"].as_str().unwrap()).unwrap();
    usize::try_from(payload["n"].as_u64().unwrap()).unwrap()
}

/// A mosquitto of one test, which stores what it accepted when it is told to end. Killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    conf: PathBuf,
    port: u16,
}

impl Mosquitto {
    pub(crate) async fn start(folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let conf = folder.join("mosquitto.conf");
        let user = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
        let text = format!(
            "user {}\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nlog_dest none\n",
            String::from_utf8(user).unwrap().trim(),
            folder.display()
        );
        std::fs::write(&conf, text).unwrap();
        let mosquitto = Self { child: Self::spawn(&conf), conf, port };
        mosquitto.listens().await;
        mosquitto
    }

    fn spawn(conf: &Path) -> Child {
        Command::new(var("HOMING_TEST_MOSQUITTO")).arg("-c").arg(conf).stderr(Stdio::null()).spawn().unwrap()
    }

    async fn listens(&self) {
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("mosquitto did not listen within 10 s");
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), pid]).status().unwrap().success());
    }

    /// Ends it, so that it stores what it has, and starts it again after `pause`.
    pub(crate) async fn again(&mut self, pause: Duration) {
        self.signal("TERM");
        self.child.wait().unwrap();
        sleep(pause).await;
        self.child = Self::spawn(&self.conf);
        self.listens().await;
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // A stopped process ends by KILL as well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A broker's side of one connection, packet by packet.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        Self(timeout(HANG, listener.accept()).await.unwrap().unwrap().0)
    }

    /// The next packet: its first byte and what follows the length.
    pub(crate) async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await.ok()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.0.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }
}
