//! `[live]`: streams, presence, the bus and the schedule, shared by the gateway, the channel `websocket` and the rule
//! `presence`. On Redis where the queues are on Redis; beside the queues' file where one process does it all.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use homing_core::clock::Clock;
use homing_stores::live::{Ports, Settings, embedded::EmbeddedLive, redis::RedisLive};
use secrecy::ExposeSecret as _;

use crate::config::{Backend, Config};

/// Opens what `[live]` and `[queue]` name, for the node of this name; `None` where nothing of the configuration needs it.
///
/// # Errors
/// Names the key that cannot be used.
pub fn open(config: &Config, node: &str, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Ports>> {
    let settings = match (&config.live, config.needs_live()) {
        (Some(live), _) => live.clone(),
        (None, true) => Settings::default(),
        (None, false) => return Ok(None),
    };
    if let (Some(_), Some(_)) = (&settings.url, &settings.path) {
        bail!("live.path: there is a live.url, too; one of them is enough");
    }
    if settings.url.is_none()
        && let Some(path) = file(config, &settings)
    {
        let live = EmbeddedLive::open(&path, &settings, node, Arc::clone(clock));
        return Ok(Some(Ports::of(&live.with_context(|| format!("live.path: {}", path.display()))?)));
    }
    let (key, url) = match &settings.url {
        Some(url) => ("live.url", url),
        None => ("redis.url", &config.redis.url),
    };
    let live = RedisLive::new(url.expose_secret(), &settings, node).with_context(|| key.to_owned())?;
    Ok(Some(Ports::of(&live)))
}

/// The file of the embedded form, where that is used.
fn file(config: &Config, settings: &Settings) -> Option<PathBuf> {
    if let Some(path) = &settings.path {
        return Some(path.clone());
    }
    let queue = config.queue.path.as_ref().filter(|_| config.queue.backend == Backend::Sqlite)?;
    Some(queue.with_extension("live.db"))
}

/// As [`open`], for a tool, which is another process than the one that has the embedded form: `None` for that, too.
///
/// # Errors
/// Names the key that cannot be used.
pub fn look(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Ports>> {
    if is_embedded(config) { Ok(None) } else { open(config, &node_name(""), clock) }
}

/// Is it the form of one process?
pub fn is_embedded(config: &Config) -> bool {
    let settings = config.live.clone().unwrap_or_default();
    settings.url.is_none() && file(config, &settings).is_some()
}

/// A name for a node that has none of its own: the machine's, the process's id.
pub fn node_name(given: &str) -> String {
    if !given.is_empty() {
        return given.to_owned();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    format!("{}-{}", if host.is_empty() { "node" } else { &host }, std::process::id())
}
