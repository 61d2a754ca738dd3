//! From a configuration to workers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use homing_channels::xinge::Xinge;
use homing_core::{
    catalogue::Catalogue,
    channel::Channel,
    clock::Clock,
    event,
    lookup::{Lookup, Members},
    queue::{Queue, QueueName},
    quiet::QuietHours,
    retry::Backoff,
    rules::{Accepts, Exists, ProfileDefaults, Quiet, Rule},
    window::Limits,
};
use homing_pipeline::{
    Worker,
    context::{Brake, Cellar, Context},
    distributor::{self, DeliveryCodec, Distributor},
    lane::Shards,
    notebook::Notebook,
    scanner::{self, Feed, Scanner},
    sender::{self, Sender, foreign::Foreign},
};
use homing_queue::{
    redis::{Options, RedisQueue},
    sqlite::{self, SqliteQueue},
};
use homing_stores::Stores;
use secrecy::ExposeSecret;

use crate::config::{Backend, Config, DeviceChoice, From, Lane, ListCodec, Lists, Recipients};

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

/// The queues of the configured server or file.
///
/// # Errors
/// The URL cannot be read, or the file cannot be used.
pub fn queue(config: &Config) -> anyhow::Result<Arc<dyn Queue>> {
    let redis = &config.redis;
    if redis.margin * 2 > redis.lease {
        bail!("redis.margin must be at most half of redis.lease");
    }
    if redis.timeout.is_zero() {
        bail!("redis.timeout must be above 0");
    }
    if redis.timeout * 2 > redis.lease {
        bail!("redis.timeout must be at most half of redis.lease: a lease must outlive a lost answer");
    }
    if !(0.1..=1.0).contains(&redis.brake) {
        bail!("redis.brake must lie between 0.1 and 1.0");
    }
    if config.queue.backend == Backend::Sqlite {
        let Some(path) = &config.queue.path else { bail!("queue.path is missing: the file of the backend sqlite") };
        let options = sqlite::Options {
            lease: redis.lease,
            margin: redis.margin,
            trace_entries: redis.trace_entries,
            trace_bytes: redis.trace_bytes,
            max_bytes: config.queue.max_bytes,
        };
        return Ok(Arc::new(SqliteQueue::open(path, options).context("queue.path")?));
    }
    let options = Options {
        lease: redis.lease,
        margin: redis.margin,
        timeout: redis.timeout,
        trace_entries: redis.trace_entries,
        trace_bytes: redis.trace_bytes,
    };
    Ok(Arc::new(
        RedisQueue::new(redis.url.expose_secret(), options).map_err(|error| anyhow::anyhow!("redis.url: {error}"))?,
    ))
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
pub fn delivery(name: &str, lane: &Lane) -> anyhow::Result<(Shards, DeliveryCodec)> {
    let Some(lists) = lane.delivery.get(XINGE) else { bail!("lane.{name}.delivery has no `{XINGE}`") };
    let codec = match lists.codec {
        ListCodec::Own => DeliveryCodec::Own,
        ListCodec::Php => DeliveryCodec::Php,
    };
    Ok((shards(&format!("lane.{name}.delivery.{XINGE}"), lists)?, codec))
}

/// Has every lane lists of its own? Two kinds of workers on one list would take each other's items for bad ones.
///
/// # Errors
/// Names a list and its two places.
pub fn own_lists(config: &Config) -> anyhow::Result<()> {
    let mut known: HashMap<QueueName, String> = HashMap::new();
    for (name, lane) in &config.lane {
        let entry = (format!("lane.{name}.entry"), &lane.entry);
        let delivery = lane.delivery.iter().map(|(channel, lists)| (format!("lane.{name}.delivery.{channel}"), lists));
        for (place, lists) in std::iter::once(entry).chain(delivery) {
            for queue in shards(&place, lists)?.all() {
                let list = queue.to_string();
                if let Some(other) = known.insert(queue, place.clone()) {
                    bail!("{place}: the list {list} is that of {other}, too; every lane has lists of its own");
                }
            }
        }
    }
    Ok(())
}

/// What a lane says of users without a profile.
fn defaults(name: &str, lane: &Lane) -> anyhow::Result<ProfileDefaults> {
    let quiet = lane.quiet.as_ref().map(|span| (span.from.clone(), span.to.clone()));
    let (from, to) = quiet.clone().unwrap_or_else(|| ("0".to_owned(), "0".to_owned()));
    QuietHours::parse(&from, &to, &lane.time_zone)
        .map_err(|error| anyhow::anyhow!("lane.{name}: quiet, time_zone: {error}"))?;
    if lane.rules.iter().any(|rule| rule == "quiet") && lane.quiet.is_none() && lane.profile.is_none() {
        bail!("lane.{name}.rules: the rule `quiet` needs lane.{name}.quiet or lane.{name}.profile");
    }
    Ok(ProfileDefaults { locale: lane.locale.clone(), zone: lane.time_zone.clone(), quiet })
}

/// What the distributors of every lane know.
///
/// # Errors
/// Names the key that does not fit.
pub fn lanes(config: &Config, stores: &Stores) -> anyhow::Result<BTreeMap<String, Arc<distributor::Lane>>> {
    let catalogue = Arc::new(config.catalogue()?);
    let lanes = config.lane.iter().map(|(name, lane)| {
        let known = lane_of(name, lane, stores, Arc::clone(&catalogue))?;
        Ok((name.clone(), Arc::new(known)))
    });
    lanes.collect()
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
    own_lists(config)?;
    let lanes = lanes(config, stores)?;
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, lane) in config.lane.iter().filter(|(name, _)| scope.has_lane(name)) {
        let Some(known) = lanes.get(name) else { continue };
        for queue in scope.queues(&shards(&format!("lane.{name}.entry"), &lane.entry)?) {
            workers.push(Box::new(Distributor { queue, lane: Arc::clone(known), cx: cx.clone() }));
        }
    }
    Ok(workers)
}

fn lane_of(name: &str, lane: &Lane, stores: &Stores, catalogue: Arc<Catalogue>) -> anyhow::Result<distributor::Lane> {
    let find = |key: &str, lookup: &str| {
        stores.lookup(lookup).with_context(|| format!("lane.{name}.{key}: there is no [lookup.{lookup}]"))
    };
    let mut rules: Vec<Arc<dyn Rule>> = Vec::new();
    let mut facts: Vec<Arc<dyn Lookup>> = Vec::new();
    let profile = lane.profile.as_deref().map(|lookup| find("profile", lookup)).transpose()?;
    let defaults = defaults(name, lane)?;
    for rule in &lane.rules {
        if rule == "quiet" {
            let key = profile.as_ref().map(|lookup| lookup.name().into());
            rules.push(Arc::new(Quiet::new(key, defaults.clone())));
            continue;
        }
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
    if let Some(profile) = &profile
        && !facts.iter().any(|known| known.name() == profile.name())
    {
        facts.push(Arc::clone(profile));
    }
    let mut enumerators: HashMap<&'static str, Arc<dyn Members>> = HashMap::new();
    for (kind, enumerator) in [("members", &lane.members), ("topic", &lane.topic), ("everyone", &lane.everyone)] {
        let Some(enumerator) = enumerator else { continue };
        let found = stores.members(enumerator);
        let found = found.with_context(|| format!("lane.{name}.{kind}: there is no [members.{enumerator}]"))?;
        enumerators.insert(kind, found);
    }
    let (delivery, delivery_codec) = delivery(name, lane)?;
    Ok(distributor::Lane {
        name: name.to_owned(),
        codec: lane.codec,
        map: map(lane),
        catalogue,
        rules,
        facts,
        owners: lane.owners.as_deref().map(|lookup| find("owners", lookup)).transpose()?,
        enumerators,
        tokens: find("tokens", &lane.tokens)?,
        devices: match lane.devices {
            DeviceChoice::All => distributor::Devices::All,
            DeviceChoice::First => distributor::Devices::First,
        },
        profile: profile.map(|lookup| lookup.name().into()),
        has_quiet: lane.rules.iter().any(|rule| rule == "quiet"),
        defaults,
        release: lane.release,
        delivery,
        delivery_codec,
        page: lane.page.clamp(1, 1_000),
        channel: XINGE.to_owned(),
        high_water: lane.high_water,
        batch: lane.batch.clamp(1, 1_000),
    })
}

/// Where a lane's producers keep the fields of an event.
pub fn map(lane: &Lane) -> event::Map {
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
    Ok(Arc::new(Xinge::new(accounts, &config.xinge, clock)?))
}

/// The reader of a lane's delivery items that another distributor wrote: HIGO's default type and a day to live, where an
/// item names neither.
pub fn foreign(lane: &Lane, catalogue: Arc<Catalogue>) -> Foreign {
    Foreign { catalogue, locale: lane.locale.clone(), kind: 55, ttl: 86_400_000 }
}

/// All senders of a scope.
///
/// # Errors
/// Names the key that does not fit.
pub fn senders(config: &Config, stores: &Stores, scope: &Scope, cx: &Context) -> anyhow::Result<Vec<Box<dyn Worker>>> {
    own_lists(config)?;
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
    let catalogue = Arc::new(config.catalogue()?);
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, lane) in config.lane.iter().filter(|(name, _)| scope.has_lane(name)) {
        let (delivery, codec) = delivery(name, lane)?;
        if codec == DeliveryCodec::Php {
            // Those lists are a foreign sender's.
            continue;
        }
        let foreign = Arc::new(foreign(lane, Arc::clone(&catalogue)));
        for queue in scope.queues(&delivery) {
            workers.push(Box::new(Sender {
                queue,
                foreign: Some(Arc::clone(&foreign)),
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
    let sources = chat_sources(config, stores, only, cx)?;
    Ok(sources.into_iter().map(|source| Box::new(source.scanner) as Box<dyn Worker>).collect())
}

/// One `[scanner.NAME]`.
pub struct ChatFeed {
    /// Its name.
    pub name: String,
    /// What it scans, and where to.
    pub scanner: Scanner,
}

/// What the scanners of a scope scan.
///
/// # Errors
/// Names the key that does not fit.
pub fn chat_sources(
    config: &Config,
    stores: &Stores,
    only: Option<&str>,
    cx: &Context,
) -> anyhow::Result<Vec<ChatFeed>> {
    let mut sources = Vec::new();
    for (name, scanner) in config.scanner.iter().filter(|(name, _)| only.is_none_or(|o| o == *name)) {
        let scanner = Scanner {
            feed: feed(config, stores, name)?,
            page: scanner.page.clamp(1, 1_000),
            poll: scanner.poll,
            from: match scanner.from {
                From::Newest => scanner::From::Newest,
                From::Beginning => scanner::From::Beginning,
                From::At(time) => scanner::From::At(time),
            },
            cx: cx.clone(),
        };
        sources.push(ChatFeed { name: name.clone(), scanner });
    }
    Ok(sources)
}

/// The source and the queues of `[scanner.NAME]`.
///
/// # Errors
/// Names the key that does not fit.
pub fn feed(config: &Config, stores: &Stores, name: &str) -> anyhow::Result<Feed> {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let scanner = config.scanner.get(name).with_context(|| format!("there is no [scanner.{name}]"))?;
    let missing = || format!("scanner.{name}.source: there is no [source.{}]", scanner.source);
    let source = stores.source(&scanner.source).with_context(missing)?;
    let described = config.source.get(&scanner.source).with_context(missing)?;
    let lane = config.lane.get(&scanner.lane);
    let lane = lane.with_context(|| format!("scanner.{name}.lane: there is no [lane.{}]", scanner.lane))?;
    let kind = event::Kind::Name(scanner.r#type.clone());
    config.catalogue()?.find(&kind).with_context(|| format!("scanner.{name}"))?;
    let (recipients, needed, key) = match scanner.recipients {
        Recipients::GroupOwner => (scanner::Recipients::GroupOwner, &described.fields.conversation, "group"),
        Recipients::GroupMembers => (scanner::Recipients::GroupMembers, &described.fields.conversation, "group"),
        Recipients::User => (scanner::Recipients::User, &described.fields.to, "to"),
    };
    if needed.is_none() {
        bail!("scanner.{name}.recipients: [source.{}] fields has no `{key}`", scanner.source);
    }
    if scanner.poll.is_zero() {
        bail!("scanner.{name}.poll: must be above 0");
    }
    let overlap = described.cursor.overlap;
    if scanner.audit < overlap {
        bail!("scanner.{name}.audit: is shorter than the overlap of [source.{}]", scanner.source);
    }
    Ok(Feed {
        source_name: scanner.source.clone(),
        seat: seat(name),
        source,
        entry: shards(&format!("lane.{}.entry", scanner.lane), &lane.entry)?,
        high_water: scanner.high_water,
        kind: scanner.r#type.clone(),
        recipients,
        overlap: millis(overlap),
        audit: millis(scanner.audit),
    })
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
    config.admin.check()?;
    if config.intake.is_used() {
        crate::intake::check(config, &cx)?;
    }
    Ok(())
}

struct Nobody;

impl homing_pipeline::context::Status for Nobody {
    fn ready(&self, _: &str) {}
    fn not_ready(&self, _: &str, _: &str) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn error(text: &str) -> String {
        // Whoever installed one before us decided it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homing.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&[file]).unwrap();
        let stores = homing_stores::build(&config.stores()).unwrap();
        check(&config, &stores).map_or_else(|error| format!("{error:#}"), |()| "nothing".to_owned())
    }

    #[test]
    fn a_list_has_one_place() {
        let lane = |name, entry, delivery| {
            format!(
                "[lane.{name}]\nentry = {{ name = '{entry}', shards = 2 }}\ndelivery.xinge = {{ name = '{delivery}' }}\n"
            )
        };
        assert_eq!(
            error(&lane("a", "q{n}", "q2")),
            "lane.a.delivery.xinge: the list q2 is that of lane.a.entry, too; every lane has lists of its own"
        );
        assert_eq!(
            error(&(lane("a", "q{n}", "x") + &lane("b", "p{n}", "x"))),
            "lane.b.delivery.xinge: the list x is that of lane.a.delivery.xinge, too; every lane has lists of its own"
        );
    }

    #[test]
    fn what_a_daemon_would_refuse_is_found_before_it_starts() {
        let whole = |more: &str| {
            let stores = "[stores.kv]\nkind = 'redis'\nurl = 'redis://127.0.0.1:1/0'\n";
            let tokens = "[lookup.tokens]\nstore = 'kv'\ntype = 'hash'\nkey = 'd:{user_id}'\nfields = ['token']\n";
            error(&format!("{stores}{tokens}[lane.a]\nentry.name = 'q'\ndelivery.xinge.name = 'x'\n{more}"))
        };
        assert_eq!(whole(""), "nothing");
        let public = whole("[admin]\nlisten = '0.0.0.0:9101'");
        assert!(public.contains("can be reached from other machines"), "{public}");
        let short = whole("[[intake.keys]]\nname = 'shop'\nkey = 'short'");
        assert!(short.starts_with("intake: keys: `shop`"), "{short}");
    }
}
