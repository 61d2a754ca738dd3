//! From a configuration to workers.

mod channels;
mod elsewhere;
mod lanes;
mod scanners;
mod senders;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use homing_core::queue::{Queue, QueueName};
use homing_pipeline::{
    board::Board,
    context::{Brake, Cellar, Context},
    gates::Gates,
    lane::Shards,
    notebook::Notebook,
};
use homing_queue::{
    redis::{Options, RedisQueue},
    sqlite::{self, SqliteQueue},
};
use homing_runtime::Metrics;
use homing_stores::{Stores, live};
use secrecy::ExposeSecret;

pub use self::{
    channels::{Channels, XINGE, channel, channels},
    lanes::{PRESENCE, announces, deliveries, distributors, lanes, map, migrations},
    scanners::{ChatFeed, chat_sources, feed, scanners, seat},
    senders::{foreign, senders},
};
use crate::config::{Backend, Config, Lists};

/// Which lanes and shards a daemon serves.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this lane.
    pub lane: Option<String>,
    /// Only the shards with these numbers.
    pub shards: Option<(u32, u32)>,
    /// Of senders: only this channel.
    pub channel: Option<String>,
}

impl Scope {
    fn has_lane(&self, name: &str) -> bool {
        self.lane.as_deref().is_none_or(|lane| lane == name)
    }

    fn has_channel(&self, name: &str) -> bool {
        self.channel.as_deref().is_none_or(|channel| channel == name)
    }

    fn queues(&self, shards: &Shards) -> Vec<QueueName> {
        let within = |n: &u32| self.shards.is_none_or(|(from, to)| (from..=to).contains(n));
        shards.numbers().filter(within).map(|n| shards.name(n)).collect()
    }
}

/// What all workers of a process share.
#[derive(Clone)]
pub struct Kit {
    /// Queues, time, status.
    pub cx: Context,
    /// The installation's notice board.
    pub board: Arc<Board>,
    /// Pauses that providers ask for: those of all senders, here and in other processes.
    pub gates: Arc<Gates>,
    /// Streams, presence and bus, where the configuration needs them.
    pub live: Option<live::Ports>,
    /// The process's metrics, where it is a daemon.
    pub metrics: Option<Metrics>,
}

impl Kit {
    /// Reads the board, and follows it, from now on.
    pub fn start(cx: Context, live: Option<live::Ports>) -> Self {
        let board = Board::start(Arc::clone(&cx.queue), Arc::clone(&cx.clock), cx.stop.clone());
        let gates = Gates::start(Arc::clone(&board), Arc::clone(&cx.clock), cx.stop.clone());
        Self { cx, board, gates, live, metrics: None }
    }

    /// With a board that nobody changes, for tools and tests.
    pub fn still(cx: Context) -> Self {
        Self { cx, board: Arc::new(Board::still(Default::default())), gates: Arc::default(), live: None, metrics: None }
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
    let kit = Kit::still(cx);
    distributors(config, stores, &all, &kit)?;
    senders(config, stores, &all, &channels(config, &all, &kit.cx.clock, None)?, &kit)?;
    scanners(config, stores, None, &kit.cx)?;
    config.admin.check()?;
    if crate::intake::Section::has_work(config) {
        crate::intake::check(config, stores, &kit.cx)?;
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
        let empty =
            whole("[account.a]\nflavour = 'v2'\nplatform = 'ios'\napp = 'x'\naccess_id = 2200000001\nsecret = ''");
        assert!(empty.ends_with("homing.toml line 12: account.a: secret is empty"), "{empty}");
        let short = whole("[[intake.keys]]\nname = 'shop'\nkey = 'short'");
        assert!(short.starts_with("intake: keys: `shop`"), "{short}");
    }

    #[test]
    fn sockets_and_presence_fit_their_lane() {
        let lane = |keys: &str, more: &str| {
            let stores = "[stores.kv]\nkind = 'redis'\nurl = 'redis://127.0.0.1:1/0'\n[lookup.online]\nstore = 'kv'\n\
                          type = 'string'\nkey = 'o:{user_id}'\naccept = 'value != \"1\"'\n";
            let tokens = "[lookup.tokens]\nstore = 'kv'\ntype = 'hash'\nkey = 'd:{user_id}'\nfields = ['token']\n";
            let lists = "entry.name = 'q'\ndelivery.websocket.name = 'w'\ndelivery.mqtt.name = 'm'\n";
            error(&format!("{stores}{tokens}[channel.mqtt]\nurl = 'mqtt://h'\n[lane.a]\n{lists}{keys}\n{more}"))
        };
        let whole = "rules = ['presence']\nsockets = 'websocket'\nannounce = 'websocket'\notherwise = 'mqtt'\n\
                     presence = { grace = '3s', confirm = '10s' }";
        assert_eq!(lane(whole, ""), "nothing");
        assert_eq!(lane("rules = ['presence', 'presence']\notherwise = 'websocket'", ""), "nothing");
        for (keys, expected) in [
            ("sockets = 'mqtt'", "lane.a.sockets: mqtt has no sockets; websocket has"),
            ("sockets = 'xinge'", "lane.a.sockets: lane.a.delivery has no lists of xinge"),
            (
                "sockets = 'websocket'\notherwise = 'websocket'",
                "lane.a.otherwise: by lane.a.sockets everybody is told by websocket already",
            ),
            ("presence = { grace = '3s' }", "lane.a.presence: lane.a.rules does not name the rule `presence`"),
            (
                "rules = ['online', 'presence']",
                "lane.a.rules: `presence` and `online` both say who is online; name one of them",
            ),
            (
                "rules = ['presence']\npresence = { grace = '2m' }",
                "lane.a.presence.grace: is longer than live.gone_ttl, 1m: nobody knows then who has gone",
            ),
            (
                "rules = ['presence']\npresence = { confirm = '0s' }",
                "lane.a.presence.confirm: is no time; leave it out and nobody on a socket is woken",
            ),
        ] {
            assert_eq!(lane(keys, ""), expected);
        }
        let long = "rules = ['presence']\npresence = { grace = '2m' }";
        assert_eq!(lane(long, "[live]\ngone_ttl = '3m'"), "nothing");
        let wrong = lane("", "[channel.websocket]\npayload_max = 0");
        assert!(wrong.ends_with("channel.websocket.payload_max: must be 1 to 1048576"), "{wrong}");
    }
}
