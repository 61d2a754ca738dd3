//! `[gateway]`: clients that stay connected, as a daemon of its own or beside the workers of `homing up`.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use homing_gateway::{Gateway, Parts, node};
use homing_pipeline::context::Status;
use tokio::net::TcpSocket;
use tracing::info;

use crate::{config::Config, live, wiring::Kit};

/// The part of the daemon's health.
const PART: &str = "gateway";
/// Connections that wait to be accepted; the system's own bound (`net.core.somaxconn`) holds, too.
const BACKLOG: u32 = 4_096;
/// Descriptors that are not sockets of clients.
const SPARE: u64 = 256;

/// Does the section fit? From now on the daemon is not ready before the gateway is.
///
/// # Errors
/// Names the key that does not fit; there is no section.
pub fn check(config: &Config, kit: &Kit) -> anyhow::Result<()> {
    let Some(settings) = &config.gateway else {
        bail!("there is no [gateway] in the configuration: say at least whose tokens are taken (docs/gateway.md)");
    };
    settings.check().map_err(anyhow::Error::msg)?;
    for part in [PART, "inbox", "presence", "schedule"] {
        kit.cx.status.not_ready(part, "starting");
    }
    Ok(())
}

/// Takes the addresses of the section.
///
/// # Errors
/// Names the address that is taken.
pub fn bind(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    let listen = config.gateway.iter().flat_map(|gateway| &gateway.listen);
    let bound =
        listen.map(|address| bind_one(*address).with_context(|| format!("gateway.listen: cannot listen on {address}")));
    bound.collect()
}

/// After a restart of a node all its clients come at once, and the standard library's queue of 128 makes most of them wait
/// a second.
fn bind_one(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As the standard library does: the port of a process that has just ended is free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Serves on these listeners until the context's `stop`, then closes every session.
///
/// # Errors
/// The section does not fit.
pub async fn serve(config: &Config, kit: &Kit, listeners: Vec<TcpListener>, fixture: bool) -> anyhow::Result<()> {
    let (Some(settings), Some(ports)) = (config.gateway.clone(), kit.live.clone()) else {
        bail!("there is no [gateway] in the configuration");
    };
    let addresses: Vec<SocketAddr> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    warn_of_descriptors(settings.hub.max_sockets);
    if !settings.auth.knows_anybody() {
        tracing::warn!("gateway.auth has no keys, no jwks and no session_cookie: nobody is recognised.");
    }
    let name = live::node_name(config);
    let metrics = kit.metrics.clone();
    let parts = Parts {
        settings,
        name: name.as_str().into(),
        stores: ports,
        clock: Arc::clone(&kit.cx.clock),
        status: Arc::new(Told(Arc::clone(&kit.cx.status))),
        metrics: metrics.map(|metrics| Arc::new(move || metrics.render()) as _),
        fixture,
    };
    let gateway = Gateway::start(parts, listeners).context("gateway")?;
    for address in addresses {
        info!(%address, node = name, "Takes clients.");
    }
    kit.cx.status.ready(PART);
    gateway.run(kit.cx.stop.clone()).await;
    Ok(())
}

/// Each client takes a descriptor, and the system gives a process only so many.
fn warn_of_descriptors(sockets: usize) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = open.and_then(|line| line.split_whitespace().nth(3)).and_then(|soft| soft.parse::<u64>().ok());
    if let Some(soft) = soft
        && u64::try_from(sockets).unwrap_or(u64::MAX) > soft.saturating_sub(SPARE)
    {
        tracing::warn!(
            limit = soft,
            max_sockets = sockets,
            "The limit of open files is below gateway.hub.max_sockets: raise LimitNOFILE, or connections fail beyond it."
        );
    }
}

/// The node's parts as parts of the daemon.
struct Told(Arc<dyn Status>);

impl node::Status for Told {
    fn up(&self, part: &str) {
        self.0.ready(part);
    }

    fn down(&self, part: &str, why: &str) {
        self.0.not_ready(part, why);
    }
}
