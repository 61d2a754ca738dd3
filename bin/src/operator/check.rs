//! `homing check`: does the configuration fit together, and is everybody there?

use std::sync::Arc;

use homing_core::{
    catalogue::Catalogue,
    channel::Health,
    clock::{Clock, SystemClock},
    event::{Audience, Event, Kind},
};
use homing_queue::redis::advice;
use homing_stores::{Level, config::StoreKind};
use secrecy::ExposeSecret as _;

use super::shards;
use crate::{
    config::{Backend, ChannelSection, Config, ListCodec},
    doctor,
    intake::Section,
    live, wiring,
};

/// The type that says nothing by design: the client does nothing with it.
const SILENT: &str = "DEFAULT";

/// Checks everything that can be checked without sending a message; prints a line each. Answers whether all is well
/// enough to start.
///
/// # Errors
/// Names the key that does not fit.
pub async fn check(config: &Config, offline: bool) -> anyhow::Result<bool> {
    look(config, offline).await.map_err(|error| config.place(error))
}

async fn look(config: &Config, offline: bool) -> anyhow::Result<bool> {
    let stores = homing_stores::build(&config.stores())?;
    let catalogue = config.catalogue()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let channels = wiring::channels(config, &wiring::Scope::default(), &clock, live::look(config, &clock)?.as_ref())?;
    let queue = wiring::queue(config)?;
    let all = shards(config)?;
    if all.is_empty() && config.gateway.is_none() {
        anyhow::bail!(
            "the configuration has no [lane.NAME] and no [gateway]: there is nothing to do (config/higo.toml shows one)"
        );
    }
    wiring::check(config, &stores)?;
    if let Some(gateway) = &config.gateway {
        gateway.check().map_err(anyhow::Error::msg)?;
        if !gateway.auth.knows_anybody() {
            println!("warning gateway.auth: it has no keys, no jwks and no session_cookie: nobody is recognised");
        }
    }
    println!("ok      configuration: {} lanes, {} shards, {} accounts", config.lane.len(), all.len(), accounts(config));
    // scripts/homing reads this line.
    println!("ok      daemons: {}", daemons(config).join(" "));
    println!("ok      push types: {}", catalogue.types().len());
    for name in without_text(&catalogue) {
        println!("warning push types: {name} has neither title nor body: phones show an empty message");
    }
    for (name, _) in config.lane.iter().filter(|(_, lane)| lane.rules.is_empty()) {
        println!("warning lane.{name}: it has no rules: everybody with a device is told, at any hour, online or not");
    }
    for (name, lane) in config.lane.iter().filter(|_| config.gateway.is_none()) {
        if lane.sockets.is_some() || lane.presence.is_some() {
            println!("warning lane.{name}: it asks for open pages, and this configuration has no [gateway]");
        }
    }
    for (i, route) in config.route.iter().enumerate() {
        for channel in std::iter::once(&route.channel).chain(&route.fallback) {
            let of = |(lane, _): &(&String, &crate::config::Lane)| route.lane.as_ref().is_none_or(|own| own == *lane);
            if !config.lane.iter().filter(of).any(|(_, lane)| lane.delivery.contains_key(channel)) {
                println!("warning route[{i}]: no lane has delivery lists of {channel}: nobody is told that way");
            }
        }
    }
    if offline {
        return Ok(true);
    }
    let mut well = true;
    if let Some((_, _, first)) = all.first() {
        match queue.inspect(first).await {
            Ok(_) => println!("ok      queue server"),
            Err(error) => {
                println!("error   queue server: {error}");
                well = false;
            }
        }
    }
    if well && config.queue.backend == Backend::Redis {
        match advice(config.redis.url.expose_secret(), config.redis.timeout).await {
            Ok(all) => all.iter().for_each(|one| println!("warning redis: {one}")),
            Err(error) => println!("warning redis: its settings cannot be read: {error}"),
        }
    }
    let unmade = unmade(config);
    for line in stores.check().await {
        let of_it = |store: &String| line.subject == "registry" || line.subject == format!("stores.{store}");
        if line.level == Level::Error && unmade.as_ref().is_some_and(of_it) {
            println!(
                "warning {}: its SQLite file is not there yet; the first daemon that needs it makes it",
                line.subject
            );
            continue;
        }
        let level = match line.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        println!("{level:<7} {}: {}", line.subject, line.text);
        well &= line.level != Level::Error;
    }
    for credential in doctor::examine(&channels).await {
        let now = clock.now();
        let soon = doctor::ends_soon(&credential, now);
        let level = match credential.health {
            Health::Good if !soon => "ok",
            Health::Good | Health::Doubtful | Health::Unknown => "warning",
            Health::Refused => "error",
        };
        let words = [Some(credential.detail.clone()), doctor::end(&credential, now)];
        let words: Vec<String> = words.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        println!("{level:<7} {}: {}", credential.account, words.join("; "));
        well &= credential.health != Health::Refused;
    }
    Ok(well)
}

/// The registry's store, while it is a SQLite file that nobody has made yet.
fn unmade(config: &Config) -> Option<String> {
    let name = &config.registry.as_ref()?.store;
    let store = config.stores.get(name).filter(|store| store.kind == StoreKind::Sqlite)?;
    let path = store.url.expose_secret().strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path).split('?').next()?;
    (!std::path::Path::new(path).exists()).then(|| name.clone())
}

/// Accounts of all channels.
fn accounts(config: &Config) -> usize {
    let of = |section: &ChannelSection| section.0.get("account").and_then(|a| a.as_table()).map_or(0, toml::Table::len);
    config.account.len() + config.channel.values().map(of).sum::<usize>()
}

/// The daemons that have work under this configuration; one without ends with 64.
fn daemons(config: &Config) -> Vec<&'static str> {
    let sends = |lane: &crate::config::Lane| lane.delivery.values().any(|lists| lists.codec == ListCodec::Own);
    [
        ("scanner", !config.scanner.is_empty()),
        ("distributor", !config.lane.is_empty()),
        ("sender", config.lane.values().any(sends)),
        ("intake", Section::has_work(config)),
        ("gateway", config.gateway.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, has_work)| has_work.then_some(name))
    .collect()
}

/// Types whose messages would be empty unless each event brings words of its own.
fn without_text(catalogue: &Catalogue) -> Vec<&str> {
    let event = Event::new(Kind::Code(0), Audience::Everyone);
    // A template that needs a field has text.
    let empty = |kind: &&homing_core::catalogue::PushType| {
        catalogue.compose(kind, &event, "").is_ok_and(|content| content.title.is_empty() && content.body.is_empty())
    };
    let silent = catalogue.types().iter().filter(|kind| !kind.silent).filter(empty).map(|kind| kind.name.as_str());
    silent.filter(|name| *name != SILENT).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn types_without_any_text_are_found() {
        let catalogue = Catalogue::parse(
            "t",
            "[A]\ncode = 1\n[B]\ncode = 2\nbody = '{{ data.x }}'\n[C]\ncode = 3\ntitle = 'c'\n[DEFAULT]\ncode = 55",
        )
        .unwrap();
        assert_eq!(without_text(&catalogue), ["A"]);
        let compiled_in = Catalogue::parse("t", crate::config::PUSH_TYPES).unwrap();
        assert_eq!(without_text(&compiled_in), Vec::<&str>::new());
    }
}
