//! `homing check --sniff QUEUE`: the oldest item of a list, and what Homing makes of it. Where a producer writes its
//! items in a shape of its own, this is how `[lane.NAME.map]` is found without code.

use std::sync::Arc;

use anyhow::Context as _;
use homing_codec::{Value, decode, sniff as codec_of_byte};
use homing_core::{
    clock::{Clock as _, Millis, SystemClock},
    event::{Audience, Event},
    ledger::Role,
    notification::Notification,
    queue::{Log, QueueName},
    wire::Unreadable,
};
use homing_pipeline::{distributor::codec_of, sender::foreign::Foreign};

use super::lists;
use crate::{
    config::{Config, Lane},
    wiring,
};

/// Bytes of an item that are shown.
const SHOWN: usize = 400;

/// Prints it. Answers whether the item can be worked; an empty list is well.
///
/// # Errors
/// The list is not of this configuration, or the server cannot be reached.
pub async fn sniff(config: &Config, queue: &str) -> anyhow::Result<bool> {
    let all = lists(config)?;
    let known = all.iter().find(|(_, _, name)| name.as_str() == queue);
    let (name, role, list) = known.with_context(|| {
        let names: Vec<&str> = all.iter().map(|(_, _, name)| name.as_str()).collect();
        format!("{queue} is no list of this configuration; it has {}", names.join(", "))
    })?;
    let lane = config.lane.get(name).with_context(|| format!("there is no [lane.{name}]"))?;
    let queues = wiring::queue(config)?;
    let length = length(&queues.inspect(list).await?);
    let stage = if *role == Role::Entry { "entry" } else { "delivery" };
    println!("list     {queue}: {stage} list of the lane {name}, {length} items");
    let Some(item) = queues.sample(list, 1).await?.into_iter().next() else {
        println!("         It is empty: there is nothing to show.");
        return Ok(true);
    };
    let sight = match role {
        Role::Entry => entry(config, name, lane, &item)?,
        Role::Delivery => {
            let foreign = wiring::foreign(lane, Arc::new(config.catalogue()?));
            delivery(&foreign, list, &item, SystemClock::default().now())
        }
    };
    print!("{}", sight.text);
    Ok(sight.well)
}

fn length(snapshot: &homing_core::queue::Snapshot) -> u64 {
    snapshot.logs.iter().find(|depth| depth.log == Log::MAIN).map_or(0, |depth| depth.length)
}

/// What is to be seen of an item.
struct Sight {
    text: String,
    well: bool,
}

impl Sight {
    /// The bytes, and what they decode to.
    fn of(item: &[u8], lane: homing_codec::Codec) -> (Self, Option<Value>) {
        let mut sight = Self { text: String::new(), well: true };
        sight.line("bytes", &format!("{}: {}", item.len(), shown(item)));
        let codec = codec_of(lane, item);
        let detected = item.first().copied().and_then(codec_of_byte);
        match (codec, detected) {
            (homing_codec::Codec::Auto, Some(detected)) => {
                sight.line("codec", &format!("{detected}, by its first byte"))
            }
            (homing_codec::Codec::Auto, None) => {}
            (codec, Some(detected)) if codec != detected => {
                sight.line("codec", &format!("{codec}, as the lane says; its first byte looks like {detected}"));
            }
            (codec, _) => sight.line("codec", &codec.to_string()),
        }
        match decode(item, codec) {
            Ok(value) => {
                sight.line("decoded", &cut(&value.to_json().to_string()));
                (sight, Some(value))
            }
            Err(error) => {
                sight.wrong(&error.to_string());
                let around = item.get(error.position.saturating_sub(20)..).unwrap_or_default();
                let (before, behind) = around.split_at(error.position.min(20).min(around.len()));
                if !before.is_empty() {
                    let behind = behind.get(..behind.len().min(20)).unwrap_or_default();
                    sight.line("", &format!("there: {} >>> {}", before.escape_ascii(), behind.escape_ascii()));
                }
                (sight, None)
            }
        }
    }

    fn line(&mut self, name: &str, what: &str) {
        self.text += &format!("{name:<8} {what}\n");
    }

    /// A whole token is shown nowhere, not even to an operator: output is pasted into tickets.
    fn hide<'a>(&mut self, tokens: impl Iterator<Item = &'a str>) {
        for token in tokens.filter(|token| token.len() > 4) {
            let tail: String = token.chars().skip(token.chars().count().saturating_sub(4)).collect();
            self.text = self.text.replace(token, &format!("..{tail}"));
        }
    }

    fn wrong(&mut self, what: &str) {
        self.well = false;
        self.line("error", what);
    }
}

/// An item of an entry list: an event, by the lane's map.
fn entry(config: &Config, name: &str, lane: &Lane, item: &[u8]) -> anyhow::Result<Sight> {
    let catalogue = config.catalogue()?;
    let (mut sight, value) = Sight::of(item, lane.codec);
    let Some(value) = value else { return Ok(sight) };
    let map = wiring::map(lane);
    let event = match Event::read(&value, &map) {
        Ok(event) => event,
        Err(error) => {
            sight.wrong(&error.to_string());
            if let Value::Map(_) = value {
                let paths = paths(&value.to_json());
                sight.line("", &format!("its fields: {}; [lane.{name}.map] says which are meant", paths.join(", ")));
            }
            return Ok(sight);
        }
    };
    let kind = catalogue.find(&event.kind);
    sight.line(
        "type",
        &match &kind {
            Ok(kind) => format!("{} {}", kind.code, kind.name),
            Err(_) => event.kind.to_string(),
        },
    );
    sight.line("to", &event.to.describe());
    sight.line("app", event.app.as_deref().unwrap_or("any"));
    sight.line("id", event.id.as_deref().unwrap_or("none of its own: it is known by its place in the list"));
    sight.line("data", &cut(&serde_json::Value::Object(event.data.clone()).to_string()));
    for (field, at) in [("send_at", event.send_at), ("accepted", event.accepted_at)] {
        if let Some(at) = at {
            sight
                .line(field, &jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.to_string()));
        }
    }
    match catalogue.admit(name, &event).and_then(|kind| catalogue.compose(kind, &event, &lane.locale)) {
        Ok(content) => {
            sight.line("title", &cut(&content.title));
            sight.line("body", &cut(&content.body));
            sight.line("ok", "it can be worked");
        }
        Err(error) => sight.wrong(&error.to_string()),
    }
    if let Audience::Tokens(devices) = &event.to {
        sight.hide(devices.iter().map(|device| device.token.as_str()));
    }
    Ok(sight)
}

/// An item of a delivery list: a notification of ours, or one of HIGO's.
fn delivery(foreign: &Foreign, list: &QueueName, item: &[u8], now: Millis) -> Sight {
    let (mut sight, value) = Sight::of(item, homing_codec::Codec::Auto);
    if value.is_none() {
        return sight;
    }
    let read = if Foreign::is(item) {
        sight.line("written", "by another distributor (HIGO's shape)");
        foreign.read(item, now, || format!("{list}: its place"))
    } else {
        sight.line("written", "by Homing");
        Notification::decode(item).map_err(|error: Unreadable| error.to_string())
    };
    match read {
        Ok(notification) => {
            sight.line("type", &notification.kind.to_string());
            let devices: Vec<String> =
                notification.targets.iter().take(5).map(|target| format!("{target:?}")).collect();
            let more = if notification.targets.len() > 5 { ", ..." } else { "" };
            let place = format!("{}/{}", notification.app, notification.platform.name());
            sight.line("to", &format!("{} of {place}: {}{more}", notification.targets.len(), devices.join(", ")));
            sight.line("id", &notification.id);
            sight.line("title", &cut(&notification.title));
            sight.line("body", &cut(&notification.body));
            sight.line("data", &cut(&serde_json::Value::Object(notification.custom).to_string()));
            sight.line("ok", "it can be sent");
            sight.hide(notification.targets.iter().map(|target| target.token.as_str()));
        }
        Err(error) => sight.wrong(&error),
    }
    sight
}

/// Bytes for a terminal: text as it is, others escaped.
fn shown(item: &[u8]) -> String {
    let part = item.get(..item.len().min(SHOWN)).unwrap_or_default();
    let text = match std::str::from_utf8(part) {
        Ok(text) => printable(text),
        // A character that was cut in the middle is no reason to show none.
        Err(error) if part.len() < item.len() && error.valid_up_to() + 4 > part.len() => {
            printable(&String::from_utf8_lossy(part.get(..error.valid_up_to()).unwrap_or_default()))
        }
        Err(_) => part.escape_ascii().to_string(),
    };
    if part.len() < item.len() { format!("{text} ...") } else { text }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn cut(text: &str) -> String {
    let short: String = printable(text).chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN { format!("{short} ...") } else { short }
}

/// The paths of an object's fields, two levels deep, as a map names them.
fn paths(value: &serde_json::Value) -> Vec<String> {
    /// An item may have thousands.
    const MOST: usize = 40;
    let serde_json::Value::Object(fields) = value else { return Vec::new() };
    let deep = |(name, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Object(inner) if !inner.is_empty() => {
            inner.keys().map(|key| format!("{name}.{key}")).collect::<Vec<_>>()
        }
        _ => vec![name.clone()],
    };
    let mut all: Vec<String> = fields.iter().flat_map(deep).map(|path| cut(&path)).take(MOST + 1).collect();
    if all.len() > MOST {
        all.truncate(MOST);
        all.push("...".to_owned());
    }
    all
}

#[cfg(test)]
#[path = "sniff_tests.rs"]
mod tests;
