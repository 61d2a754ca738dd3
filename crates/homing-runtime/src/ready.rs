//! Telling the world outside that the daemon is ready: systemd by its socket, scripts by a file.

use std::{fs, io, net::SocketAddr, path::PathBuf, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use crate::{Health, NotReady};

/// Names the file that says "ready"; it holds `{"pid": 4711, "admin": "127.0.0.1:40001"}`.
const READY_FILE: &str = "HOMING_READY_FILE";

/// How often systemd is told that the start is still going on, and how much longer it is to wait. A daemon whose Redis is
/// away for an hour is not to be killed for it.
const STARTING: (Duration, u32) = (Duration::from_secs(10), 30_000_000);

/// The file that exists while the daemon runs and was ready once; nothing if nobody asked for it.
#[derive(Clone, Debug)]
pub(crate) struct ReadyFile {
    path: Option<PathBuf>,
    contents: String,
}

impl ReadyFile {
    pub(crate) fn from_env(admin: SocketAddr) -> Self {
        let path = std::env::var_os(READY_FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let contents = serde_json::json!({"pid": std::process::id(), "admin": admin}).to_string();
        Self { path, contents }
    }

    /// A reader sees all of it or nothing.
    fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut aside = path.clone().into_os_string();
        aside.push(format!(".{}", std::process::id()));
        fs::write(&aside, &self.contents)?;
        fs::rename(&aside, path)
    }

    /// Removes it, unless a successor has written its own by now.
    pub(crate) fn remove(&self) {
        let Some(path) = &self.path else { return };
        if fs::read_to_string(path).is_ok_and(|found| found == self.contents) {
            let removed = fs::remove_file(path);
            removed.unwrap_or_else(|error| warn!(%error, path = %path.display(), "Cannot remove the readiness file."));
        }
    }
}

/// Follows the daemon's health: READY=1 and the readiness file at the first time that everything is ready, a STATUS line at
/// every change. Ends when the daemon stops.
pub(crate) async fn announce(health: Health, file: ReadyFile) {
    let mut changes = health.watch();
    let mut told = false;
    let mut status = String::new();
    loop {
        let (trouble, stopping) = {
            let state = changes.borrow_and_update();
            (state.not_ready(), state.is_stopping())
        };
        if stopping {
            return;
        }
        if trouble.is_empty() && !told {
            told = true;
            info!("Everything is ready.");
            notify(&[NotifyState::Ready]);
            if let Err(error) = file.write() {
                error!(%error, "Cannot write the readiness file.");
            }
        }
        let now = describe(&trouble);
        if now != status {
            notify(&[NotifyState::Status(&now)]);
            status = now;
        }
        if told {
            if changes.changed().await.is_err() {
                return;
            }
        } else {
            notify(&[NotifyState::ExtendTimeoutUsec(STARTING.1)]);
            // Either way the health is looked at again.
            let _ended = timeout(STARTING.0, changes.changed()).await;
        }
    }
}

fn describe(trouble: &[NotReady]) -> String {
    if trouble.is_empty() {
        return "ready".to_owned();
    }
    let parts: Vec<_> = trouble.iter().map(|n| format!("{} ({})", n.part, n.reason)).collect();
    // One line: a line break would end the field and begin another.
    format!("waiting for {}", parts.join(", ")).replace(char::is_control, " ")
}

/// Tells systemd's watchdog twice per interval that this runtime turns and no supervised task is dead; runs for ever.
pub(crate) async fn watchdog(health: Health) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut ticks = interval((limit / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if health.is_live() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Tells systemd that the daemon stops, and on whom it waits.
pub(crate) fn stopping(tasks: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(&format!("stopping: {tasks}"))]);
}

/// Does nothing without NOTIFY_SOCKET.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, ?state, "Cannot notify systemd.");
    }
}
