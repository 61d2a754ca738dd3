//! `[intake]`: events over HTTP, as a daemon of its own or beside the workers of `homing up`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use homing_core::{
    clock::Clock,
    ledger::Role,
    queue::{Queue, QueueName},
    registry::Registry,
};
use homing_intake::{
    Capability, Intake, Key, Lane, Parts, Settings,
    books::Shard,
    receipts::Receipts,
    registry::{Desk, Pump, Told},
    router,
};
use homing_pipeline::context::Context;
use homing_runtime::duration;
use homing_stores::Stores;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::{net::TcpListener, time::sleep};
use tracing::info;

use crate::{agent, config::Config, operator, wiring};

/// The part of the daemon's health.
const PART: &str = "intake";
/// How often the queue server is asked whether it is there.
const LOOK: Duration = Duration::from_secs(1);

/// `[intake]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may post.
    #[serde(default)]
    pub keys: Vec<ApiKey>,
    /// Serve this machine without a key.
    pub open_on_loopback: bool,
    /// Events per second and key; 0 = no cap.
    pub rate: u32,
    /// Share of the server's memory at which nothing more is taken.
    pub brake: f64,
    /// Bound of an entry list in items; 0 = none.
    pub high_water: u64,
    /// Connections at once.
    pub connections: usize,
    /// Time for a request's head.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Time for a request's body.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// Time for the queue to take an event.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Type of the events of `/api/push`.
    pub gorush_type: String,
    /// App of their devices.
    #[serde(default)]
    pub gorush_app: Option<String>,
    /// App by topic (iOS bundle id).
    #[serde(default)]
    pub apps: BTreeMap<String, String>,
}

/// `[[intake.keys]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Whose it is.
    pub name: String,
    /// The secret.
    pub key: SecretString,
    /// Only these lanes.
    #[serde(default)]
    pub lanes: Vec<String>,
    /// What it is for: `events`, `registry`, `receipts`. Without it a key without lanes may do everything, one with lanes
    /// only events.
    #[serde(default)]
    pub may: Vec<Capability>,
}

impl Section {
    /// Would it serve anybody?
    pub fn is_used(&self) -> bool {
        self.open_on_loopback || !self.keys.is_empty()
    }

    /// Has the daemon anything to do under this configuration?
    pub fn has_work(config: &Config) -> bool {
        config.intake.is_used() || config.agent.is_some() || config.registry.is_some()
    }

    fn settings(&self) -> Settings {
        let key = |key: &ApiKey| Key { name: key.name.clone(), key: key.key.clone(), lanes: key.lanes.clone() };
        Settings {
            listen: self.listen,
            keys: self.keys.iter().map(key).collect(),
            open_on_loopback: self.open_on_loopback,
            rate: self.rate,
            brake: self.brake,
            connections: self.connections,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            timeout: self.timeout,
            gorush_type: self.gorush_type.clone(),
            gorush_app: self.gorush_app.clone(),
            apps: self.apps.clone(),
        }
    }
}

/// Every shard of a configuration, as the books want them.
///
/// # Errors
/// A list template cannot be used.
pub fn shards(config: &Config) -> anyhow::Result<Vec<Shard>> {
    let all = operator::shards(config)?;
    Ok(all.into_iter().map(|(lane, role, queue)| Shard { lane, role, queue }).collect())
}

/// The shards that hold scanners' cursors.
pub fn seats(config: &Config) -> Vec<QueueName> {
    config.scanner.keys().map(|name| wiring::seat(name)).collect()
}

/// The lanes as the intake sees them.
///
/// # Errors
/// A list template cannot be used.
pub fn lanes(config: &Config) -> anyhow::Result<Vec<Lane>> {
    let all = operator::shards(config)?;
    let of = |lane: &str, role: Role| {
        let own = all.iter().filter(|(name, own, _)| name == lane && *own == role);
        own.map(|(.., queue)| queue.clone()).collect::<Vec<_>>()
    };
    let lane = |(name, lane): (&String, &crate::config::Lane)| {
        let finds = [
            ("owners", lane.owners.is_some()),
            ("members", lane.members.is_some() || wiring::announces(lane)),
            ("topic", lane.topic.is_some()),
            ("everyone", lane.everyone.is_some() || wiring::announces(lane)),
        ];
        Lane {
            name: name.clone(),
            entry: of(name, Role::Entry),
            delivery: of(name, Role::Delivery),
            high_water: config.intake.high_water,
            locale: lane.locale.clone(),
            finds: finds.into_iter().filter(|(_, there)| *there).map(|(what, _)| what.to_owned()).collect(),
        }
    };
    Ok(config.lane.iter().map(lane).collect())
}

/// An intake over the configured lanes.
///
/// # Errors
/// Names the key that does not fit.
pub fn build(
    config: &Config,
    settings: Settings,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    registry: Option<Arc<dyn Registry>>,
) -> anyhow::Result<Intake> {
    let parts =
        Parts { queue, catalogue: Arc::new(config.catalogue()?), lanes: lanes(config)?, seats: seats(config), clock };
    let mut intake = Intake::new(parts, settings).context("intake")?;
    for key in config.intake.keys.iter().filter(|key| !key.may.is_empty()) {
        intake = intake.with_access(&key.name, &key.may).context("intake.keys")?;
    }
    let prover = config.receipts.prover()?.map(Arc::new);
    intake = intake.with_receipts(Receipts::new(prover, config.receipts.rate.unwrap_or(Receipts::RATE)));
    if let Some(registry) = registry {
        let channels: BTreeSet<&String> = config.lane.values().flat_map(|lane| lane.delivery.keys()).collect();
        intake = intake.with_registry(Desk::new(registry, channels.into_iter().cloned().collect()));
    }
    Ok(intake)
}

/// Tells services of what becomes of devices, and sweeps out what is inactive.
fn pump(config: &Config, intake: &Arc<Intake>, stores: &Stores) -> anyhow::Result<Option<Pump>> {
    let (Some(registry), Some(section)) = (stores.registry(), &config.registry) else { return Ok(None) };
    let told = section.events_lane.clone().map(|lane| Told {
        lane,
        kind: section.events_type.clone(),
        app: section.events_app.clone(),
        hooks: section.hooks.clone(),
    });
    Pump::new(Arc::clone(intake), registry, told).context("registry").map(Some)
}

/// Does the section fit the rest? From now on the daemon is not ready before the intake is.
///
/// # Errors
/// Names the key that does not fit.
pub fn check(config: &Config, stores: &Stores, cx: &Context) -> anyhow::Result<()> {
    let (settings, registry) = (config.intake.settings(), stores.registry());
    let intake = Arc::new(build(config, settings, Arc::clone(&cx.queue), Arc::clone(&cx.clock), registry)?);
    if agent::build(config, &intake, &cx.clock)?.is_some() {
        cx.status.not_ready(agent::PART, "starting");
    }
    pump(config, &intake, stores)?;
    cx.status.not_ready(PART, "starting");
    Ok(())
}

/// Serves until the context's `stop`; requests under way are finished.
///
/// # Errors
/// The section does not fit, or the address cannot be listened on.
pub async fn serve(config: &Config, stores: &Stores, cx: &Context) -> anyhow::Result<()> {
    let settings = config.intake.settings();
    let (queue, clock) = (Arc::clone(&cx.queue), Arc::clone(&cx.clock));
    let intake = Arc::new(build(config, settings.clone(), queue, clock, stores.registry())?);
    let pump = pump(config, &intake, stores)?;
    let jobs = agent::build(config, &intake, &cx.clock)?;
    let listen = settings.listen;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on intake.listen = \"{listen}\""))?;
    let address = listener.local_addr().context("intake.listen")?;
    info!(%address, keys = settings.keys.len(), open = settings.open_on_loopback, "Takes events over HTTP.");
    if !config.intake.is_used() && config.agent.is_none() {
        tracing::warn!("There is no key: every request is refused. Add [[intake.keys]].");
    }
    let look = async {
        loop {
            match intake.probe().await {
                Ok(()) => cx.status.ready(PART),
                Err(why) => cx.status.not_ready(PART, &why),
            }
            sleep(LOOK).await;
        }
    };
    let stop = cx.stop.clone().cancelled_owned();
    let http = async {
        homing_intake::serve(listener, router(Arc::clone(&intake)), &settings, stop).await.map_err(anyhow::Error::from)
    };
    let jobs = async {
        match jobs {
            Some(jobs) => jobs.serve(cx).await,
            None => Ok(()),
        }
    };
    let told = async {
        if let Some(pump) = pump {
            pump.run(cx.stop.clone()).await;
        }
        Ok(())
    };
    tokio::select! {
        // A listener that fails ends the daemon, and so the other one.
        served = async { tokio::try_join!(http, jobs, told) } => served.map(|_| ()),
        () = look => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn load(text: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let (file, key) = (dir.path().join("homing.toml"), dir.path().join("key"));
        std::fs::write(&file, text).unwrap();
        std::fs::write(key, "0123456789abcdef\n").unwrap();
        Config::load(&[file]).unwrap()
    }

    #[test]
    fn by_default_it_is_closed_and_local() {
        let section = load("").intake;
        assert!(!section.is_used());
        let (given, own) = (section.settings(), Settings::default());
        assert_eq!(format!("{given:?}"), format!("{own:?}"), "the file's defaults are the crate's");
    }

    #[test]
    fn a_key_may_stand_in_a_file_and_is_not_shown() {
        let config = load("[[intake.keys]]\nname = 'shop'\nkey_file = 'key'\nlanes = ['system']");
        assert!(config.intake.is_used());
        let text = format!("{:?}", config.intake);
        assert!(text.contains("shop") && !text.contains("0123456789abcdef"), "{text}");
    }

    #[test]
    fn lanes_and_shards_are_those_of_the_configuration() {
        let config = load(
            "[lane.system]\nentry = { name = 'q_{n}', shards = 2 }\ndelivery = { xinge = { name = 'x_{n}' } }\n\
             owners = 'o'\n[intake]\nhigh_water = 7",
        );
        let lanes = lanes(&config).unwrap();
        let names = |queues: &[QueueName]| queues.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&lanes[0].entry), ["q_1", "q_2"]);
        assert_eq!(names(&lanes[0].delivery), ["x_1"]);
        assert_eq!((lanes[0].high_water, lanes[0].finds.as_slice()), (7, &["owners".to_owned()][..]));
        assert_eq!(shards(&config).unwrap().len(), 3);
    }
}
