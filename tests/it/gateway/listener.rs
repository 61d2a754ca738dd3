//! A process of foreign Socket.IO clients that write what they hear as JSON lines. Ended when dropped.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{random, variable};

pub(crate) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gateway");

/// How long a hang is watched before the test gives up.
pub(crate) const HANG: Duration = Duration::from_secs(40);

/// One event as a client heard it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Heard {
    /// The version and the transport: `js4 websocket`.
    pub(crate) client: String,
    /// The user and, where it has several tabs, which: `42`, `42 first`.
    pub(crate) user: String,
    pub(crate) namespace: String,
    pub(crate) event: String,
    /// The arguments as JSON, as in `cases.json`.
    pub(crate) args: String,
}

pub(crate) struct Listener {
    child: Child,
    out: BufReader<File>,
    errors: PathBuf,
    half: String,
    /// By client and user: the session's id and the transport.
    pub(crate) ready: BTreeMap<(String, String), (String, String)>,
    pub(crate) heard: Vec<Heard>,
    /// Connections that were refused or lost.
    pub(crate) lost: Vec<Value>,
}

impl Listener {
    /// socket.io-client of this major version, one connection per user and (kind, URL).
    pub(crate) fn node(dir: &Path, major: u8, secret: &str, kinds: &[(&str, &str)], users: Option<&Value>) -> Self {
        Self::node_with(dir, major, secret, kinds, users, &[])
    }

    /// The same with something in its environment.
    pub(crate) fn node_with(
        dir: &Path,
        major: u8,
        secret: &str,
        kinds: &[(&str, &str)],
        users: Option<&Value>,
        env: &[(&str, PathBuf)],
    ) -> Self {
        let mut command = Command::new("node");
        command.envs(env.iter().cloned());
        command.arg(format!("{FIXTURES}/node/listen.cjs")).args([format!("js{major}"), major.to_string()]).arg(secret);
        if let Some(users) = users {
            command.env("HOMING_TEST_USERS", users.to_string());
        }
        Self::start(dir, command, kinds)
    }

    /// A client of python-socketio.
    pub(crate) fn python(
        dir: &Path,
        version: &str,
        secret: &str,
        kinds: &[(&str, &str)],
        users: Option<&Value>,
    ) -> Self {
        let mut command = python(version);
        command.arg(format!("{FIXTURES}/listen.py")).arg(format!("py{version}")).arg(secret);
        if let Some(users) = users {
            command.env("HOMING_TEST_USERS", users.to_string());
        }
        Self::start(dir, command, kinds)
    }

    fn start(dir: &Path, mut command: Command, kinds: &[(&str, &str)]) -> Self {
        let path = dir.join(format!("listener-{:x}", random()));
        let errors = path.with_extension("err");
        let child = command
            .args(kinds.iter().map(|(kind, url)| format!("{kind}={url}")))
            .env("HOMING_TEST_NODE", variable("HOMING_TEST_NODE"))
            .stdin(Stdio::null())
            .stdout(File::create(&path).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let out = BufReader::new(File::open(&path).unwrap());
        Self { child, out, errors, half: String::new(), ready: BTreeMap::new(), heard: Vec::new(), lost: Vec::new() }
    }

    /// Reads the lines that are there.
    pub(crate) fn look(&mut self) {
        while self.out.read_line(&mut self.half).unwrap() > 0 && self.half.ends_with('\n') {
            let line: Value = serde_json::from_str(&self.half).unwrap_or_else(|e| panic!("{e}: {}", self.half));
            self.half.clear();
            let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
            if let Some(ready) = line.get("ready") {
                let who = (text(ready, "client"), text(ready, "user"));
                self.ready.insert(who, (text(ready, "sid"), text(ready, "transport")));
            } else if let Some(lost) = line.get("lost") {
                self.lost.push(lost.clone());
            } else {
                self.heard.push(Heard {
                    client: text(&line, "client"),
                    user: text(&line, "user"),
                    namespace: text(&line, "namespace"),
                    event: text(&line, "event"),
                    args: line["args"].to_string(),
                });
            }
        }
    }

    /// Reads on until `done` says so.
    pub(crate) async fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let since = Instant::now();
        loop {
            self.look();
            if done(self) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                since.elapsed() < HANG && ended.is_none(),
                "{what}: not within {HANG:?} (ended: {ended:?})\nready: {:?}\nlost: {:?}\n{} heard\n{}",
                self.ready,
                self.lost,
                self.heard.len(),
                std::fs::read_to_string(&self.errors).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Python with this version of python-socketio.
pub(crate) fn python(version: &str) -> Command {
    let (py, venv) = (variable("HOMING_TEST_PY"), variable("HOMING_TEST_VENV"));
    let mut command = Command::new(format!("{venv}/bin/python"));
    command.env("PYTHONPATH", format!("{py}/sio-{version}:{py}/common")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
