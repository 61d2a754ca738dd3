//! `[agent]`: the msgpack push agent's clients, and who of their users looks at the app.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::future::BoxFuture;
use homing_channels::mqtt;
use homing_core::clock::Clock;
use homing_intake::{
    Intake,
    agent::{
        Agent, Options,
        focus::{self, Focus, Source},
        serve,
    },
};
use homing_pipeline::context::Context;
use homing_stores::config::{StoreConfig, StoreKind};
use redis::aio::ConnectionManager;
use secrecy::ExposeSecret as _;
use tokio::{net::TcpListener, sync::OnceCell};
use tracing::info;

use crate::config::Config;

/// The part of the daemon's health: ready once it listens.
pub const PART: &str = "agent";

/// An answer of the Redis that holds the focus is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the section needs, made and checked; nothing is opened.
pub struct Parts {
    agent: Arc<Agent>,
    focus: Option<(Source, Arc<dyn Focus>)>,
}

/// Does the section fit the rest? `None` without `[agent]`.
///
/// # Errors
/// Names the key that does not fit.
pub fn build(config: &Config, intake: &Arc<Intake>, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Parts>> {
    let Some(options) = &config.agent else { return Ok(None) };
    let agent = Agent::new(Arc::clone(intake), options.clone()).context("agent")?;
    let focus = options.focus.as_ref().map(|focus| listener(config, focus, clock)).transpose()?;
    Ok(Some(Parts { agent: Arc::new(agent), focus }))
}

/// Where the state of apps is heard, and where it is written.
fn listener(
    config: &Config,
    options: &focus::Options,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Source, Arc<dyn Focus>)> {
    let Some(section) = config.channel.get("mqtt") else { bail!("agent.focus: there is no [channel.mqtt]") };
    let link = mqtt::link(&section.0, options.account.as_deref()).context("agent.focus.account")?;
    let topic =
        if link.prefix.is_empty() { options.topic.clone() } else { format!("{}/{}", link.prefix, options.topic) };
    let source = Source { options: link.options, topic, connect_timeout: link.connect_timeout, address: link.address };
    let store = config.stores.get(&options.store);
    let store = store.with_context(|| format!("agent.focus.store: there is no [stores.{}]", options.store))?;
    Ok((source, Arc::new(Hashes::new(store, options.clone(), Arc::clone(clock))?)))
}

impl Parts {
    /// Its settings.
    pub fn options(&self) -> &Options {
        self.agent.options()
    }

    /// Serves until the context's `stop`.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn serve(self, cx: &Context) -> anyhow::Result<()> {
        let listen = self.options().listen;
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on agent.listen = \"{listen}\""))?;
        let address = listener.local_addr().context("agent.listen")?;
        info!(%address, lane = self.options().lane, "Takes jobs of the agent's clients.");
        cx.status.ready(PART);
        let jobs = serve(listener, self.agent, cx.stop.clone().cancelled_owned());
        match self.focus {
            None => jobs.await?,
            Some((source, hashes)) => {
                let (served, ()) = tokio::join!(jobs, focus::listen(source, hashes, cx.stop.clone()));
                served?;
            }
        }
        Ok(())
    }
}

/// The users' hashes in a Redis.
struct Hashes {
    client: redis::Client,
    options: focus::Options,
    clock: Arc<dyn Clock>,
    connection: OnceCell<ConnectionManager>,
}

impl Hashes {
    fn new(store: &StoreConfig, options: focus::Options, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let place = format!("stores.{}", options.store);
        if store.kind != StoreKind::Redis {
            bail!("agent.focus.store: [{place}] is no redis");
        }
        if !store.allow_write {
            bail!("agent.focus.store: [{place}] is only read: say allow_write = true there");
        }
        // What the client says of a URL could quote it.
        let client = redis::Client::open(store.url.expose_secret())
            .map_err(|_| anyhow::anyhow!("{place}.url: is no redis:// address"))?;
        Ok(Self { client, options, clock, connection: OnceCell::new() })
    }

    async fn connection(&self) -> Result<ConnectionManager, String> {
        let connect = || async {
            let config = redis::aio::ConnectionManagerConfig::new()
                .set_response_timeout(Some(PATIENCE))
                .set_connection_timeout(Some(PATIENCE))
                .set_number_of_retries(0);
            self.client.get_connection_manager_with_config(config).await
        };
        let found = self.connection.get_or_try_init(connect).await;
        found.cloned().map_err(|error| error.to_string())
    }
}

fn command(words: &[String]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command
}

impl Focus for Hashes {
    fn set<'a>(&'a self, user: &'a str, on: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut together = redis::pipe();
            together.atomic();
            for words in self.options.commands(user, on, self.clock.now()) {
                together.add_command(command(&words)).ignore();
            }
            let mut connection = self.connection().await?;
            together.query_async(&mut connection).await.map_err(|error| error.to_string())
        })
    }

    fn overdue(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async move {
            let Some(words) = self.options.overdue(self.clock.now()) else { return Ok(Vec::new()) };
            let mut connection = self.connection().await?;
            command(&words).query_async(&mut connection).await.map_err(|error| error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use homing_core::clock::SystemClock;

    use super::*;

    fn error(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homing.toml");
        std::fs::write(&file, format!("[agent]\n[agent.focus]\nstore = 's'\n{text}")).unwrap();
        let config = Config::load(&[file]).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let focus = config.agent.as_ref().unwrap().focus.as_ref().unwrap();
        listener(&config, focus, &clock).map_or_else(|error| format!("{error:#}"), |_| "nothing".to_owned())
    }

    #[test]
    fn a_focus_that_cannot_be_heard_or_noted_is_refused() {
        let mqtt = "[channel.mqtt]\nurl = 'mqtt://127.0.0.1'\n";
        assert_eq!(error(""), "agent.focus: there is no [channel.mqtt]");
        assert_eq!(error(mqtt), "agent.focus.store: there is no [stores.s]");
        let store = |more: &str| error(&format!("{mqtt}[stores.s]\n{more}"));
        let sql = store("kind = 'sqlite'\nurl = 'sqlite://x'\nallow_write = true");
        assert_eq!(sql, "agent.focus.store: [stores.s] is no redis");
        let read = store("kind = 'redis'\nurl = 'redis://127.0.0.1'");
        assert_eq!(read, "agent.focus.store: [stores.s] is only read: say allow_write = true there");
        assert_eq!(store("kind = 'redis'\nurl = 'redis://127.0.0.1'\nallow_write = true"), "nothing");
    }
}
