//! From delivery lists to senders.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use homing_core::{catalogue::Catalogue, retry::Backoff, window::Limits};
use homing_pipeline::{
    Worker,
    distributor::DeliveryCodec,
    lane::Shards,
    sender::{self, Sender, foreign::Foreign},
};
use homing_stores::Stores;

use super::{Kit, Scope, channels::Channels, lanes::deliveries, own_lists};
use crate::config::{Config, Lane};

/// The reader of a lane's delivery items that another distributor wrote: HIGO's default type and a day to live, where an
/// item names neither.
pub fn foreign(lane: &Lane, catalogue: Arc<Catalogue>) -> Foreign {
    Foreign { catalogue, locale: lane.locale.clone(), kind: 55, ttl: 86_400_000 }
}

/// All senders of a scope.
///
/// # Errors
/// Names the key that does not fit.
pub fn senders(
    config: &Config,
    stores: &Stores,
    scope: &Scope,
    channels: &Channels,
    kit: &Kit,
) -> anyhow::Result<Vec<Box<dyn Worker>>> {
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
    let catalogue = Arc::new(config.catalogue()?);
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, lane) in config.lane.iter().filter(|(name, _)| scope.has_lane(name)) {
        let deliveries = deliveries(name, lane)?;
        let own = deliveries.iter().filter(|(_, (_, codec))| *codec == DeliveryCodec::Own);
        // Lists that are written for a foreign sender are his.
        let ways: BTreeMap<String, Shards> =
            own.map(|(channel, (lists, _))| (channel.clone(), lists.clone())).collect();
        let ways = Arc::new(ways);
        let foreign = Arc::new(foreign(lane, Arc::clone(&catalogue)));
        for (channel, lists) in ways.iter().filter(|(channel, _)| scope.has_channel(channel)) {
            let Some(built) = channels.get(channel) else { continue };
            for queue in scope.queues(lists) {
                workers.push(Box::new(Sender {
                    queue,
                    foreign: Some(Arc::clone(&foreign)),
                    channel: Arc::clone(built),
                    tokens: stores.lookup(&lane.tokens),
                    gates: Arc::clone(&kit.gates),
                    ways: Arc::clone(&ways),
                    options: options.clone(),
                    cx: kit.cx.clone(),
                }));
            }
        }
    }
    Ok(workers)
}
