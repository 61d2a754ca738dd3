//! From the channels' sections to channels.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use homing_channels::{
    registry::{self, Tools},
    xinge::{PAGE_MAX, Xinge},
};
use homing_core::{channel::Channel, clock::Clock, notification::Platform};
use homing_stores::live::Ports;

use super::{Scope, elsewhere::inbox};
use crate::config::{Config, ListCodec};

/// Channels by name.
pub type Channels = BTreeMap<String, Arc<dyn Channel>>;

/// The channel whose accounts have sections of their own, `[account.NAME]`.
pub const XINGE: &str = "xinge";

/// Devices that Xinge reaches.
const XINGE_PLATFORMS: &[Platform] = &[Platform::Android, Platform::Ios];

/// What is known of a channel before it is built: the devices that it reaches, and the targets of one page.
///
/// # Errors
/// There is no such channel; `place` is where it was named.
pub(super) fn known(place: &str, name: &str) -> anyhow::Result<(&'static [Platform], usize)> {
    if name == XINGE {
        return Ok((XINGE_PLATFORMS, PAGE_MAX));
    }
    match registry::find(name) {
        Some(entry) => Ok((entry.platforms, entry.page)),
        None => bail!("{place}: there is no channel {name}; there are {}", names().join(", ")),
    }
}

fn names() -> Vec<&'static str> {
    std::iter::once(XINGE).chain(registry::all().into_iter().map(|entry| entry.name)).collect()
}

/// The channel of that name with its accounts. Without `live` one of sockets finds its store down.
///
/// # Errors
/// Names the file, the line, and the key that does not fit.
pub fn channel(
    config: &Config,
    name: &str,
    clock: Arc<dyn Clock>,
    live: Option<&Ports>,
) -> anyhow::Result<Arc<dyn Channel>> {
    if name == XINGE {
        let accounts = config.account.values().cloned().collect();
        let built = Xinge::new(accounts, &config.xinge, clock);
        return Ok(Arc::new(built.map_err(|error| of_xinge(config, error))?));
    }
    let entry = registry::find(name).with_context(|| format!("there is no channel {name}"))?;
    let empty = toml::Table::new();
    let section = config.channel.get(name).map_or(&empty, |section| &section.0);
    let mut tools = Tools::new(clock);
    if entry.platforms.contains(&Platform::Socket) {
        tools.inbox = Some(inbox(live));
        tools.types = Some(Arc::new(config.catalogue()?));
    }
    (entry.build)(section, &tools).map_err(|error| match error {
        homing_channels::Error::Setting { path, problem } => {
            let path: Vec<&str> = path.split('.').collect();
            config.origins.error(&path, problem).into()
        }
        other => anyhow::Error::new(other).context(format!("channel.{name}")),
    })
}

/// The error of an account or option of Xinge's, with its file and line.
fn of_xinge(config: &Config, error: homing_channels::Error) -> anyhow::Error {
    match error {
        homing_channels::Error::Account { account, problem } => {
            let found = config.account.iter().find(|(_, known)| known.label() == account);
            let key = found.map_or("", |(key, _)| key.as_str());
            config.origins.error(&["account", key], problem).into()
        }
        homing_channels::Error::Option { name, problem } => config.origins.error(&["xinge", name], problem).into(),
        other => other.into(),
    }
}

/// The channels by which the lanes of a scope deliver, each once. All of their sections are looked at.
///
/// # Errors
/// Names the key that does not fit.
pub fn channels(
    config: &Config,
    scope: &Scope,
    clock: &Arc<dyn Clock>,
    live: Option<&Ports>,
) -> anyhow::Result<Channels> {
    for name in config.channel.keys() {
        known(&format!("channel.{name}"), name)?;
        if name == XINGE {
            bail!("channel.{name}: its accounts stand in [account.NAME], its options in [xinge]");
        }
    }
    let mut used = BTreeSet::new();
    for (lane, section) in &config.lane {
        for (name, lists) in &section.delivery {
            known(&format!("lane.{lane}.delivery.{name}"), name)?;
            if lists.codec == ListCodec::Own && scope.has_lane(lane) && scope.has_channel(name) {
                used.insert(name.as_str());
            }
        }
    }
    let built = used.into_iter().map(|name| Ok((name.to_owned(), channel(config, name, Arc::clone(clock), live)?)));
    built.collect()
}
