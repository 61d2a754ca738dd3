//! Processes that the bench starts: pinned to a core, ended by their own pid, with their CPU time and memory.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child as Process, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::nap;

/// `/proc` counts in these where the kernel's own clock is not shown: a constant of Linux's interface.
const TICK: f64 = 0.01;

pub(crate) struct Child {
    name: String,
    log: std::path::PathBuf,
    pub(crate) process: Process,
}

impl Child {
    /// Starts a program on `cores`; what it prints goes to `DIR/NAME.log`, or standard output to the caller.
    pub(crate) fn start(dir: &Path, name: &str, cores: &str, command: &[&str], talks: bool) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let process = Command::new("taskset")
            .args(["-c", cores])
            .args(command)
            .stdin(if talks { Stdio::piped() } else { Stdio::null() })
            .stdout(if talks { Stdio::piped() } else { file.try_clone()?.into() })
            .stderr(file)
            .spawn()
            .with_context(|| format!("taskset {command:?}"))?;
        Ok(Self { name: name.to_owned(), log, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// An error when it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("{} ended ({status}):\n{}", self.name, self.log()?);
        }
        Ok(())
    }

    /// The end of what it printed.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        let log = fs::read_to_string(&self.log)?;
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    /// Waits until something listens on the port.
    pub(crate) fn listens(&mut self, port: u16) -> anyhow::Result<()> {
        let patience = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            self.check()?;
            if patience.elapsed() > Duration::from_secs(20) {
                bail!("{} does not listen:\n{}", self.name, self.log()?);
            }
            nap(Duration::from_millis(20));
        }
        Ok(())
    }

    /// CPU seconds of all its threads so far, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let mut nanos = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { return self.ticks() };
            nanos += text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        }
        Ok(nanos / 1e9)
    }

    fn ticks(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name, in parentheses, may hold spaces; field 3 comes after it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).context("/proc/PID/stat");
        Ok((ticks(11)? + ticks(12)?) * TICK)
    }

    /// Resident memory in KiB: what is its own now, and the most that it ever had with what it shares.
    pub(crate) fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid()))?;
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok()).context(name.to_owned())
        };
        Ok((field("smaps_rollup", "Rss")?, field("status", "VmHWM")?))
    }

    /// SIGTERM, and SIGKILL when it does not heed it.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        let patience = Instant::now();
        while self.process.try_wait().is_ok_and(|status| status.is_none()) {
            if patience.elapsed() > Duration::from_secs(3) {
                return;
            }
            nap(Duration::from_millis(10));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A port that is free now, and no port that a client's socket may take meanwhile.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let first: u16 = range.split_whitespace().next().and_then(|port| port.parse().ok()).context("port range")?;
    for _ in 0..200 {
        let random = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let port = 10_000 + random % first.saturating_sub(10_000).max(1);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port below {first}")
}
