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
    settings.check().map_err(anyhow::Error::msg)?;
    if let Some(gateway) = &config.gateway
        && gateway.node.beat > settings.presence_ttl / 3
    {
        bail!("gateway.node.beat: must be at most a third of live.presence_ttl, or a node that lives counts as dead");
    }
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
    if is_embedded(config) { Ok(None) } else { open(config, &format!("look-{}", std::process::id()), clock) }
}

/// Is it the form of one process?
pub fn is_embedded(config: &Config) -> bool {
    let settings = config.live.clone().unwrap_or_default();
    settings.url.is_none() && file(config, &settings).is_some()
}

/// The node's name: its own, or the machine's and the first port of the gateway, so that it is the same after a restart.
pub fn node_name(config: &Config) -> String {
    let gateway = config.gateway.as_ref();
    if let Some(gateway) = gateway.filter(|gateway| !gateway.name.is_empty()) {
        return gateway.name.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fits = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let host: String = host.trim().chars().filter(fits).take(64).collect();
    let port =
        gateway.and_then(|gateway| gateway.listen.first()).map(std::net::SocketAddr::port).filter(|port| *port > 0);
    format!("{}-{}", if host.is_empty() { "node" } else { &host }, port.map_or_else(std::process::id, u32::from))
}
