//! Processes that the bench starts: pinned to cores, ended by their own pid, with their CPU time and memory.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child as Process, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// `/proc` counts in these: a constant of Linux's interface, not of the kernel's own clock.
const TICK: f64 = 0.01;

pub(crate) struct Child {
    name: &'static str,
    process: Process,
}

impl Child {
    /// Starts a program on `cores`; what it prints goes to `DIR/NAME.log`.
    pub(crate) fn start(
        dir: &Path,
        name: &'static str,
        cores: &str,
        program: &str,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")))?;
        let process = Command::new("taskset")
            .args(["-c", cores, program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("taskset {program}"))?;
        Ok(Self { name, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// An error when it has ended.
    pub(crate) fn check(&mut self, dir: &Path) -> anyhow::Result<()> {
        if let Some(status) = self.process.try_wait()? {
            let log = fs::read_to_string(dir.join(format!("{}.log", self.name))).unwrap_or_default();
            bail!("{} ended ({status}):\n{log}", self.name);
        }
        Ok(())
    }

    /// CPU seconds of all its threads so far, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name, in parentheses, may hold spaces; field 3 comes after it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).context("/proc/PID/stat");
        Ok((ticks(11)? + ticks(12)?) * TICK)
    }

    /// Resident memory in MB: now, and at its highest.
    pub(crate) fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok()).map(|kb| kb / 1024.0)
        };
        Ok((field("VmRSS").context("VmRSS")?, field("VmHWM").context("VmHWM")?))
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        let patience = Instant::now();
        while self.process.try_wait()?.is_none() {
            if patience.elapsed() > Duration::from_secs(40) {
                bail!("{} does not end", self.name);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Seconds that a core was busy, and idle, since the machine started.
pub(crate) fn core(number: usize) -> anyhow::Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{number}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name)).context("/proc/stat")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let of = |places: &[usize]| places.iter().filter_map(|i| ticks.get(*i)).sum::<f64>() * TICK;
    Ok((of(&[0, 1, 2, 5, 6, 7]), of(&[3, 4])))
}

/// A port that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
