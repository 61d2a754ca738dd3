//! From `[lane.NAME]` to distributors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use homing_core::{
    catalogue::Catalogue,
    event::{self, Kind},
    lookup::{Lookup, Members},
    notification::Platform,
    quiet::QuietHours,
    rules::{self, Accepts, Exists, ProfileDefaults, Quiet, Rule},
};
use homing_pipeline::{
    Worker,
    board::Board,
    distributor::{self, Delivery, DeliveryCodec, Distributor},
    lane::Shards,
    migration::{Migration, Migrations},
    routes::{Route, Routes},
};
use homing_stores::{
    Stores,
    live::{Ports, PresenceLookup},
};

use super::{
    Kit, Scope, channels,
    elsewhere::{inbox, presence},
    own_lists, shards,
};
use crate::config::{Config, DeviceChoice, Lane, ListCodec};

/// The rule over the gateway's presence, as a lane names it.
pub const PRESENCE: &str = "presence";

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

/// What the distributors of every lane know. Without `live` they find it down.
///
/// # Errors
/// Names the key that does not fit.
pub fn lanes(
    config: &Config,
    stores: &Stores,
    board: &Board,
    live: Option<&Ports>,
) -> anyhow::Result<BTreeMap<String, Arc<distributor::Lane>>> {
    let catalogue = Arc::new(config.catalogue()?);
    let migrations = migrations(config)?;
    let lanes = config.lane.iter().map(|(name, lane)| {
        let mut known = lane_of(config, name, lane, stores, Arc::clone(&catalogue), live)?;
        known.migrations = Migrations::new(name, migrations.iter().cloned(), board.subscribe());
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
    kit: &Kit,
) -> anyhow::Result<Vec<Box<dyn Worker>>> {
    own_lists(config)?;
    let lanes = lanes(config, stores, &kit.board, kit.live.as_ref())?;
    let mut workers: Vec<Box<dyn Worker>> = Vec::new();
    for (name, lane) in config.lane.iter().filter(|(name, _)| scope.has_lane(name)) {
        let Some(known) = lanes.get(name) else { continue };
        for queue in scope.queues(&shards(&format!("lane.{name}.entry"), &lane.entry)?) {
            workers.push(Box::new(Distributor { queue, lane: Arc::clone(known), cx: kit.cx.clone() }));
        }
    }
    Ok(workers)
}

/// The delivery lists of a lane, by channel.
///
/// # Errors
/// The lane has none, or a template cannot be used.
pub fn deliveries(name: &str, lane: &Lane) -> anyhow::Result<BTreeMap<String, (Shards, DeliveryCodec)>> {
    if lane.delivery.is_empty() {
        bail!("lane.{name}.delivery is empty: name the lists of at least one channel");
    }
    let each = lane.delivery.iter().map(|(channel, lists)| {
        let place = format!("lane.{name}.delivery.{channel}");
        let codec = match lists.codec {
            ListCodec::Own => DeliveryCodec::Own,
            ListCodec::Php if channel == channels::XINGE => DeliveryCodec::Php,
            ListCodec::Php => bail!("{place}.codec: only lists of xinge are written for HIGO's sender"),
        };
        Ok((channel.clone(), (shards(&place, lists)?, codec)))
    });
    each.collect()
}

/// The routes that can hold in a lane, in their order.
fn routes(config: &Config, name: &str, lane: &Lane, catalogue: &Catalogue) -> anyhow::Result<Routes> {
    let mut routes = Vec::new();
    for (i, route) in config.route.iter().enumerate() {
        let wrong = |key: &str, problem: String| config.origins.error(&["route", &format!("[{i}]"), key], problem);
        for channel in std::iter::once(&route.channel).chain(&route.fallback) {
            channels::known(&format!("route[{i}]"), channel)?;
        }
        if let Some(of) = &route.lane
            && !config.lane.contains_key(of)
        {
            return Err(wrong("lane", format!("there is no [lane.{of}]")).into());
        }
        if route.lane.as_ref().is_some_and(|of| of != name) {
            continue;
        }
        for channel in std::iter::once(&route.channel).chain(&route.fallback) {
            if route.lane.is_some() && !lane.delivery.contains_key(channel) {
                return Err(wrong("channel", format!("lane.{name}.delivery has no lists of {channel}")).into());
            }
        }
        let types = route.r#type.iter().map(|name| {
            let found = catalogue.find(&Kind::Name(name.clone()));
            found.map(|kind| kind.code).map_err(|error| wrong("type", error.what))
        });
        routes.push(Route {
            types: types.collect::<Result<_, _>>()?,
            platform: route.platform,
            app: route.app.clone(),
            environment: route.env,
            channel: route.channel.clone(),
            fallback: route.fallback.clone(),
        });
    }
    Ok(Routes::new(routes))
}

/// The migrations of a configuration.
///
/// # Errors
/// Names the one that leads nowhere, or a channel that there is not.
pub fn migrations(config: &Config) -> anyhow::Result<Vec<Migration>> {
    let each = config.migration.iter().map(|(name, section)| {
        let migration = Migration {
            name: name.clone(),
            from: section.from.clone(),
            to: section.to.clone(),
            lane: section.lane.clone(),
            app: section.app.clone(),
            platform: section.platform,
            environment: section.env,
        };
        migration.check()?;
        for channel in [&migration.from, &migration.to] {
            channels::known(&format!("migration.{name}"), channel)?;
            let lanes =
                || config.lane.iter().filter(|(lane, _)| migration.lane.as_ref().is_none_or(|own| own == *lane));
            if !lanes().any(|(_, lane)| lane.delivery.contains_key(channel)) {
                let of = migration.lane.as_deref().map_or("no lane", |lane| lane);
                bail!("migration.{name}: {of} has no delivery lists of {channel}");
            }
        }
        Ok(migration)
    });
    each.collect()
}

/// The channel that a lane's key names: one that has lists here, and topics to tell.
fn way(name: &str, lane: &Lane, key: &str, channel: Option<&String>) -> anyhow::Result<Option<String>> {
    let Some(channel) = channel else { return Ok(None) };
    let place = format!("lane.{name}.{key}");
    if !lane.delivery.contains_key(channel) {
        bail!("{place}: lane.{name}.delivery has no lists of {channel}");
    }
    let platforms = channels::known(&place, channel)?.0;
    let (wanted, missing): (&[Platform], _) = match key {
        "sockets" => (&[Platform::Socket], "no sockets; websocket has"),
        _ => (&[Platform::Mqtt, Platform::Socket], "neither topics nor sockets; mqtt and websocket have"),
    };
    if !platforms.iter().any(|platform| wanted.contains(platform)) {
        bail!("{place}: {channel} has {missing}");
    }
    Ok(Some(channel.clone()))
}

/// Are the sockets of a whole group, or of everyone, told at once? Then nobody needs to be listed for that.
pub fn announces(lane: &Lane) -> bool {
    let sockets = |channel: &String| {
        let known = channels::known("lane", channel);
        lane.delivery.contains_key(channel) && known.is_ok_and(|(platforms, _)| platforms.contains(&Platform::Socket))
    };
    lane.announce.as_ref().is_some_and(sockets)
}

/// The rule `presence` of a lane, if it has that.
fn presence_of(config: &Config, name: &str, lane: &Lane) -> anyhow::Result<Option<rules::Presence>> {
    let has = |rule: &str| lane.rules.iter().any(|own| own == rule);
    if !has(PRESENCE) {
        if lane.presence.is_some() {
            bail!("lane.{name}.presence: lane.{name}.rules does not name the rule `presence`");
        }
        return Ok(None);
    }
    if has("online") {
        bail!("lane.{name}.rules: `presence` and `online` both say who is online; name one of them");
    }
    let given = lane.presence.clone().unwrap_or_default();
    let remembered = config.live.clone().unwrap_or_default().gone_ttl;
    if given.grace > remembered {
        let remembered = homing_core::duration::format_duration(remembered);
        bail!("lane.{name}.presence.grace: is longer than live.gone_ttl, {remembered}: nobody knows then who has gone");
    }
    if given.confirm.is_some_and(|confirm| confirm.is_zero()) {
        bail!("lane.{name}.presence.confirm: is no time; leave it out and nobody on a socket is woken");
    }
    let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Ok(Some(rules::Presence::new(PRESENCE, millis(given.grace), given.confirm.map(millis))))
}

fn lane_of(
    config: &Config,
    name: &str,
    lane: &Lane,
    stores: &Stores,
    catalogue: Arc<Catalogue>,
    live: Option<&Ports>,
) -> anyhow::Result<distributor::Lane> {
    let find = |key: &str, lookup: &str| {
        stores.lookup(lookup).with_context(|| format!("lane.{name}.{key}: there is no [lookup.{lookup}]"))
    };
    let mut rules: Vec<Arc<dyn Rule>> = Vec::new();
    let mut facts: Vec<Arc<dyn Lookup>> = Vec::new();
    let attended = presence_of(config, name, lane)?;
    let profile = lane.profile.as_deref().map(|lookup| find("profile", lookup)).transpose()?;
    let defaults = defaults(name, lane)?;
    for rule in &lane.rules {
        if rule == "quiet" {
            let key = profile.as_ref().map(|lookup| lookup.name().into());
            rules.push(Arc::new(Quiet::new(key, defaults.clone())));
            continue;
        }
        if rule == PRESENCE {
            if let Some(rule) = attended.clone().filter(|_| !facts.iter().any(|known| known.name() == PRESENCE)) {
                rules.push(Arc::new(rule));
                facts.push(Arc::new(PresenceLookup::new(PRESENCE, presence(live))));
            }
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
    let preferences = lane.preferences.as_deref().map(|lookup| find("preferences", lookup)).transpose()?;
    if let Some(preferences) = &preferences
        && !facts.iter().any(|known| known.name() == preferences.name())
    {
        facts.push(Arc::clone(preferences));
    }
    let mut ways = BTreeMap::new();
    for (channel, (lists, codec)) in deliveries(name, lane)? {
        let (platforms, page) = channels::known(&format!("lane.{name}.delivery.{channel}"), &channel)?;
        ways.insert(channel, Delivery { lists, codec, page, platforms: platforms.to_vec() });
    }
    let routes = routes(config, name, lane, &catalogue)?;
    let sockets = way(name, lane, "sockets", lane.sockets.as_ref())?;
    let otherwise = way(name, lane, "otherwise", lane.otherwise.as_ref())?;
    if let Some(channel) = otherwise.as_ref().filter(|_| otherwise == sockets) {
        bail!("lane.{name}.otherwise: by lane.{name}.sockets everybody is told by {channel} already");
    }
    let asks = attended.is_some() || ways.values().any(|way| way.platforms.contains(&Platform::Socket));
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
        deliveries: ways,
        routes,
        announce: way(name, lane, "announce", lane.announce.as_ref())?,
        otherwise,
        sockets,
        presence: attended.map(|_| PRESENCE.into()),
        inbox: asks.then(|| inbox(live)),
        migrations: Migrations::default(),
        prover: config.receipts.prover()?.map(Arc::new),
        preferences: preferences.map(|lookup| lookup.name().into()),
        page: lane.page.clamp(1, 1_000),
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
