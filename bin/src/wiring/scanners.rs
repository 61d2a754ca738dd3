//! From `[scanner.NAME]` to scanners.

use std::time::Duration;

use anyhow::{Context as _, bail};
use homing_core::{event, queue::QueueName};
use homing_pipeline::{
    Worker,
    context::Context,
    scanner::{self, Feed, Scanner},
};
use homing_stores::Stores;

use super::shards;
use crate::config::{Config, From, Recipients};

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
