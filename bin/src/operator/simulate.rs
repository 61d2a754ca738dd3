//! `homing simulate xinge`: the provider's strict stand-in, a process of its own.

use std::net::SocketAddr;

use anyhow::Context as _;
use homing_channels::simulator::{App, SimulatorConfig, serve};
use tokio::net::TcpListener;

use crate::config::Config;

/// The apps that a configuration has accounts for.
pub fn apps(config: &Config) -> Vec<App> {
    config.account.values().map(App::from).collect()
}

/// Serves until SIGINT or SIGTERM. Prints the address first, so that a script can read it.
///
/// # Errors
/// The address cannot be listened on.
pub async fn xinge(config: &Config, listen: SocketAddr, keep: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("xinge simulator listens on http://{}", listener.local_addr()?);
    let simulator = SimulatorConfig { keep, ..SimulatorConfig::new(apps(config)) };
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
    };
    Ok(serve(listener, simulator, stop).await?)
}
