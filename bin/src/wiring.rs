//! From a configuration to workers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use homing_channels::xinge::XingeV2;
use homing_core::{
    channel::Channel,
    clock::Clock,
    event,
    lookup::Lookup,
    queue::{Queue, QueueName},
    retry::Backoff,
    rules::{Accepts, Exists, Rule},
    window::Limits,
};
use homing_pipeline::{
    Worker,
    context::{Brake, Cellar, Context},
    distributor::{self, Distributor},
    lane::Shards,
    notebook::Notebook,
    scanner::Scanner,
    sender::{self, Sender},
};
use homing_queue::redis::{Options, RedisQueue};
use homing_stores::Stores;
use secrecy::ExposeSecret;

use crate::config::{Config, From, Lane, Lists};

/// The channel of this version.
pub const XINGE: &str = "xinge";

/// Which lanes and shards a daemon serves.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this lane.
    pub lane: Option<String>,
    /// Only the shards with these numbers.
    pub shards: Option<(u32, u32)>,
}

impl Scope {
    fn has_lane(&self, name: &str) -> bool {
        self.lane.as_deref().is_none_or(|lane| lane == name)
    }

    fn queues(&self, shards: &Shards) -> Vec<QueueName> {
        let within = |n: &u32| self.shards.is_none_or(|(from, to)| (from..=to).contains(n));
        shards.numbers().filter(within).map(|n| shards.name(n)).collect()
    }
}

/// The queues of the configured server.
///
/// # Errors
/// The URL cannot be read.
pub fn queue(config: &Config) -> anyhow::Result<Arc<dyn Queue>> {
    let redis = &config.redis;
    if redis.margin * 2 > redis.lease {
        bail!("redis.margin must be at most half of redis.lease");
    }
    if redis.timeout * 2 > redis.lease {
        bail!("redis.timeout must be at most half of redis.lease: a lease must outlive a lost answer");
    }
    if !(0.1..=1.0).contains(&redis.brake) {
        bail!("redis.brake must lie between 0.1 and 1.0");
    }
    let options = Options {
        lease: redis.lease,
        margin: redis.margin,
        timeout: redis.timeout,
        trace_entries: redis.trace_entries,
        trace_bytes: redis.trace_bytes,
    };
    Ok(Arc::new(RedisQueue::new(redis.url.expose_secret(), options).context("redis.url")?))
}

/// A family of lists.
///
/// # Errors
/// Several shards, and no `{n}` in the name.
pub fn shards(path: &str, lists: &Lists) -> anyhow::Result<Shards> {
    Shards::new(&lists.name, lists.first, lists.shards).with_context(|| path.to_owned())
}

/// The delivery lists of a lane.
///
/// # Errors
/// The lane has none for the channel.
pub fn delivery(name: &str, lane: &Lane) -> anyhow::Result<Shards> {
    let Some(lists) = lane.delivery.get(XINGE) else { bail!("lane.{name}.delivery has no `{XINGE}`") };
    shards(&format!("lane.{name}.delivery.{XINGE}"), lists)
}

/// All distributors of a scope.
///
/// # Errors
/// Names the key that does not fit.
pub fn distributors(
    config: &Config,
    stores: &Stores,
    scope: &Scope,
    cx: &Context,
) -> anyhow::Result<Vec<Box<dyn Worker>>> {
    let catalogue = Arc::new(config.catalogue()?);
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, lane) in config.lane.iter().filter(|(name, _)| scope.has_lane(name)) {
        let find = |key: &str, lookup: &str| {
            stores.lookup(lookup).with_context(|| format!("lane.{name}.{key}: there is no [lookup.{lookup}]"))
        };
        let mut rules: Vec<Arc<dyn Rule>> = Vec::new();
        let mut facts: Vec<Arc<dyn Lookup>> = Vec::new();
        for rule in &lane.rules {
            // Whether the account exists and whether it wants to be told are two rules over one lookup.
            let lookup = find("rules", if rule == "dnd" { "account" } else { rule })?;
            if !facts.iter().any(|known| known.name() == lookup.name()) {
                facts.push(Arc::clone(&lookup));
            }
            rules.push(match rule.as_str() {
                "account" => Arc::new(Exists::new("account", lookup.name())),
                rule => Arc::new(Accepts::new(rule, lookup)),
            });
        }
        let shared = Arc::new(distributor::Lane {
            name: name.clone(),
            codec: lane.codec,
            map: map(lane),
            catalogue: Arc::clone(&catalogue),
            rules,
            facts,
            owners: lane.owners.as_deref().map(|lookup| find("owners", lookup)).transpose()?,
            tokens: find("tokens", &lane.tokens)?,
            delivery: delivery(name, lane)?,
            channel: XINGE.to_owned(),
            high_water: lane.high_water,
            batch: lane.batch.clamp(1, 1_000),
        });
        for queue in scope.queues(&shards(&format!("lane.{name}.entry"), &lane.entry)?) {
            workers.push(Box::new(Distributor { queue, lane: Arc::clone(&shared), cx: cx.clone() }));
        }
    }
    Ok(workers)
}

fn map(lane: &Lane) -> event::Map {
    let default = event::Map::default();
    let given = lane.map.clone();
    event::Map {
        kind: given.r#type.unwrap_or(default.kind),
        user: given.user,
        group: given.group,
        app: given.app.unwrap_or(default.app),
        id: given.id.unwrap_or(default.id),
        data: given.data.unwrap_or(default.data),
    }
}

/// The channel with its accounts.
///
/// # Errors
/// Names the account and the key that does not fit.
pub fn channel(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Channel>> {
    let accounts = config.account.values().cloned().collect();
    Ok(Arc::new(XingeV2::new(accounts, &config.xinge, clock)?))
}

/// All senders of a scope.
///
/// # Errors
/// Names the key that does not fit.
pub fn senders(config: &Config, stores: &Stores, scope: &Scope, cx: &Context) -> anyhow::Result<Vec<Box<dyn Worker>>> {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let given = &config.sender;
    let options = sender::Options {
        concurrency: given.concurrency.clamp(1, 2_000),
        checkpoint: given.checkpoint,
        backoff: Backoff { base: millis(given.backoff), cap: millis(given.backoff_cap) },
        attempts: given.attempts.max(1),
        pause: given.pause,
        pause_cap: given.pause_cap.max(given.pause),
        breaker: given.breaker.max(1),
        checkpoint_items: 64,
        limits: Limits::default(),
    };
    let channel = channel(config, Arc::clone(&cx.clock))?;
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, lane) in config.lane.iter().filter(|(name, _)| scope.has_lane(name)) {
        for queue in scope.queues(&delivery(name, lane)?) {
            workers.push(Box::new(Sender {
                queue,
                channel: Arc::clone(&channel),
                tokens: stores.lookup(&lane.tokens),
                options: options.clone(),
                cx: cx.clone(),
            }));
        }
    }
    Ok(workers)
}

/// All scanners of a scope.
///
/// # Errors
/// Names the key that does not fit.
pub fn scanners(
    config: &Config,
    stores: &Stores,
    only: Option<&str>,
    cx: &Context,
) -> anyhow::Result<Vec<Box<dyn Worker>>> {
    let catalogue = config.catalogue()?;
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, scanner) in config.scanner.iter().filter(|(name, _)| only.is_none_or(|o| o == *name)) {
        let source = stores.source(&scanner.source);
        let source =
            source.with_context(|| format!("scanner.{name}.source: there is no [source.{}]", scanner.source))?;
        let lane = config.lane.get(&scanner.lane);
        let lane = lane.with_context(|| format!("scanner.{name}.lane: there is no [lane.{}]", scanner.lane))?;
        let kind = event::Kind::Name(scanner.r#type.clone());
        catalogue.find(&kind).with_context(|| format!("scanner.{name}"))?;
        workers.push(Box::new(Scanner {
            source_name: scanner.source.clone(),
            seat: seat(name),
            source,
            entry: shards(&format!("lane.{}.entry", scanner.lane), &lane.entry)?,
            high_water: scanner.high_water,
            kind: scanner.r#type.clone(),
            page: scanner.page.clamp(1, 1_000),
            poll: scanner.poll,
            from_beginning: scanner.from == From::Beginning,
            cx: cx.clone(),
        }));
    }
    Ok(workers)
}

/// The shard that holds a scanner's cursor.
pub fn seat(scanner: &str) -> QueueName {
    QueueName::new(format!("homing:scanner:{scanner}"))
}

/// Wires everything and throws it away: every mistake that a start would meet.
///
/// # Errors
/// Names the key that does not fit.
pub fn check(config: &Config, stores: &Stores) -> anyhow::Result<()> {
    let cx = Context {
        queue: queue(config)?,
        clock: Arc::new(homing_core::clock::SystemClock::default()),
        steps: Arc::new(homing_core::steps::Undisturbed),
        status: Arc::new(Nobody),
        stop: tokio_util::sync::CancellationToken::new(),
        grace: Duration::ZERO,
        renew: config.redis.lease,
        brake: Arc::new(Brake::new(config.redis.brake)),
        cellar: Cellar { folder: None, bound: 0 },
        notebook: Notebook { folder: None },
    };
    let all = Scope::default();
    distributors(config, stores, &all, &cx)?;
    senders(config, stores, &all, &cx)?;
    scanners(config, stores, None, &cx)?;
    Ok(())
}

struct Nobody;

impl homing_pipeline::context::Status for Nobody {
    fn ready(&self, _: &str) {}
    fn not_ready(&self, _: &str, _: &str) {}
}
