//! A real Chromium without a window, driven by the DevTools protocol over its pipe: descriptors 3 and 4, each message ended
//! by a zero byte. No port is opened, and the profile is a folder of the test's own.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use crate::support::variable;

/// Nothing of it calls home, and it needs neither a sandbox's rights nor much shared memory.
const FLAGS: [&str; 12] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-proxy-server",
];

#[derive(Default)]
struct Heard {
    answers: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<Value>>,
}

pub(super) struct Chromium {
    child: Child,
    input: Mutex<ChildStdin>,
    heard: Arc<Heard>,
    last: AtomicU64,
    log: PathBuf,
}

/// A page or a worker.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    browser: &'a Chromium,
    session: &'a str,
}

// === impl Chromium ===

impl Chromium {
    pub(super) fn start(dir: &Path) -> Self {
        let log = dir.join("chromium.log");
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(variable("HOMING_TEST_CHROMIUM"))
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .arg("about:blank")
            .env("HOME", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let heard = Arc::<Heard>::default();
        let hearer = Arc::clone(&heard);
        std::thread::spawn(move || hearer.listen(output));
        Self { child, input: Mutex::new(input), heard, last: AtomicU64::new(0), log }
    }

    /// A method of the protocol; its result.
    pub(super) async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (tx, rx) = oneshot::channel();
        self.heard.answers.lock().unwrap().insert(id, tx);
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
        self.input.lock().unwrap().write_all(&bytes).unwrap_or_else(|e| panic!("{method}: {e}\n{}", log()));
        let answer = timeout(Duration::from_secs(60), rx).await;
        let mut answer = answer.unwrap_or_else(|_| panic!("{method} is not answered\n{}", log())).unwrap();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Every event of this name until now.
    pub(super) fn events(&self, method: &str) -> Vec<Value> {
        let all = self.heard.events.lock().unwrap();
        all.iter().filter(|event| event["method"] == method).map(|event| event["params"].clone()).collect()
    }

    /// What its consoles say of errors, in pages and workers.
    pub(super) fn errors(&self) -> Vec<Value> {
        let mut all = self.events("Runtime.exceptionThrown");
        all.extend(self.events("Runtime.consoleAPICalled").into_iter().filter(|call| call["type"] == "error"));
        all.extend(self.events("Log.entryAdded").into_iter().filter(|entry| entry["entry"]["level"] == "error"));
        all
    }

    /// Attaches to a target whose errors are heard from now on; the session's id.
    pub(super) async fn attach(&self, target: &Value) -> String {
        let attached = self.call(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime.enable", "Log.enable", "Network.enable"] {
            self.call(Some(&session), domain, json!({})).await;
        }
        session
    }

    pub(super) fn target<'a>(&'a self, session: &'a str) -> Target<'a> {
        Target { browser: self, session }
    }

    /// Ends it, and waits for that.
    pub(super) async fn close(mut self) {
        self.call(None, "Browser.close", json!({})).await;
        for _ in 0..1_000 {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("Chromium does not end");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its children end with the pipes to it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Heard {
    fn listen(&self, output: ChildStdout) {
        let mut output = BufReader::new(output);
        let mut message = Vec::new();
        while output.read_until(0, &mut message).is_ok_and(|n| n > 0) {
            let value: Value = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message)).unwrap();
            message.clear();
            match value["id"].as_u64().and_then(|id| self.answers.lock().unwrap().remove(&id)) {
                Some(waiting) => drop(waiting.send(value)),
                None => self.events.lock().unwrap().push(value),
            }
        }
    }
}

// === impl Target ===

impl Target<'_> {
    pub(super) async fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(Some(self.session), method, params).await
    }

    /// The value of an expression, as after a click of a person; a promise is awaited.
    pub(super) async fn evaluate(&self, expression: &str) -> Value {
        let params =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let mut done = self.call("Runtime.evaluate", params).await;
        assert!(done["exceptionDetails"].is_null(), "{expression}: {done:#}");
        done["result"]["value"].take()
    }

    /// The text of an element.
    pub(super) async fn text(&self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({}).innerText", json!(selector))).await;
        text.as_str().unwrap_or_default().to_owned()
    }
}
