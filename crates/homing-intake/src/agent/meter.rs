//! The agent's metrics, one function each, so that names and labels stand in one place.

use metrics::{counter, gauge};

use super::Dialect;

/// What became of frames: `accepted`, `heartbeat`, `buried`, `garbage`, `unavailable`.
pub(super) fn frames(dialect: Option<Dialect>, result: &'static str, count: usize) {
    if count > 0 {
        let dialect = dialect.map_or("", Dialect::name);
        counter!("homing_agent_frames_total", "dialect" => dialect, "result" => result).increment(count as u64);
    }
}

/// Clients that are connected.
pub(super) fn connections(change: f64) {
    gauge!("homing_agent_connections").increment(change);
}

/// Messages about the focus of apps: `set`, `garbage`, `dropped`.
pub(super) fn focus(result: &'static str) {
    counter!("homing_agent_focus_total", "result" => result).increment(1);
}
