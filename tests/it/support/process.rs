//! A child process: ended when dropped, by its own pid only.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ready: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to a log in `dir`.
    pub(crate) fn start<I: AsRef<OsStr>>(
        dir: &Path,
        name: &str,
        program: &str,
        args: impl IntoIterator<Item = I>,
        env: &[(&str, &str)],
    ) -> Self {
        let unique = format!("{name}-{:x}", super::random());
        let (log, ready) = (dir.join(format!("{unique}.log")), dir.join(format!("{unique}.ready")));
        let out = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(args)
            .env("HOMING_READY_FILE", &ready)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        Self { name: name.to_owned(), child, log, ready }
    }

    /// Waits until the daemon says that it is ready.
    pub(crate) async fn ready(self) -> Self {
        let patience = Instant::now();
        while !self.ready.exists() {
            assert!(patience.elapsed() < Duration::from_secs(20), "{} is not ready:\n{}", self.name, self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The admin port's address, from the readiness file.
    pub(crate) fn admin(&self) -> String {
        let ready: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&self.ready).unwrap()).unwrap();
        format!("http://{}", ready["admin"].as_str().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(&self.ready).ok();
    }

    /// Sends a signal by its name: `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let patience = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(patience.elapsed() < Duration::from_secs(40), "{} does not end:\n{}", self.name, self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    // The system may name a port again before its first asker listens: here nobody gets one twice.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let fresh = || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        GIVEN.lock().unwrap().insert(port).then_some(port)
    };
    (0..1_000).find_map(|_| fresh()).expect("a port that was not given out")
}
