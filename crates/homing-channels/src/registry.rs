//! All channels by name. A new one is a file and an entry here (docs/adding-a-channel.md).

use std::sync::{Arc, PoisonError, RwLock};

use homing_core::{catalogue::Catalogue, channel::Channel, clock::Clock, live::Inbox, notification::Platform};
use toml::Table;

use crate::{Error, Result, apns, fcm, hms, mqtt, vendor, web_push, webhook, websocket};

/// What every channel is built with.
#[derive(Clone)]
pub struct Tools {
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Streams of live delivery, for a channel of sockets.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// The push types, for a channel whose messages are called by their names.
    pub types: Option<Arc<Catalogue>>,
}

impl Tools {
    /// What most channels need.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inbox: None, types: None }
    }
}

/// A channel that the configuration may name.
pub struct Entry {
    /// Its name: `[channel.NAME]`, `delivery.NAME`, metrics, records.
    pub name: &'static str,
    /// Devices that it reaches.
    pub platforms: &'static [Platform],
    /// Targets of one notification of a large audience.
    pub page: usize,
    /// Builds it from its section; the section is empty where the configuration has none.
    pub build: fn(&Table, &Tools) -> Result<Arc<dyn Channel>>,
}

/// Every channel but `xinge`, whose accounts have sections of their own (`[account.*]`).
const ENTRIES: &[Entry] = &[
    Entry { name: "apns", platforms: &[Platform::Ios], page: apns::PAGE, build: apns::Apns::build },
    Entry {
        name: "fcm",
        platforms: &[Platform::Android, Platform::Ios, Platform::Web],
        page: fcm::PAGE,
        build: fcm::Fcm::build,
    },
    Entry { name: "hms", platforms: &[Platform::Android, Platform::Harmony], page: hms::PAGE, build: hms::Hms::build },
    Entry { name: "mqtt", platforms: &[Platform::Mqtt], page: mqtt::PAGE, build: mqtt::Mqtt::build },
    Entry { name: "xiaomi", platforms: &[Platform::Android], page: 1000, build: vendor::xiaomi::build },
    Entry { name: "oppo", platforms: &[Platform::Android], page: 1000, build: vendor::oppo::build },
    Entry { name: "vivo", platforms: &[Platform::Android], page: 1000, build: vendor::vivo::build },
    Entry { name: "honor", platforms: &[Platform::Android], page: 1000, build: vendor::honor::build },
    Entry { name: "web_push", platforms: &[Platform::Web], page: web_push::PAGE_MAX, build: web_push::open },
    Entry { name: "webhook", platforms: &[Platform::Webhook], page: 1, build: webhook::open },
    Entry { name: "websocket", platforms: &[Platform::Socket], page: websocket::PAGE, build: websocket::open },
];

/// Those of a program that embeds Homing.
static ADDED: RwLock<Vec<&'static Entry>> = RwLock::new(Vec::new());

/// Adds a channel of one's own, before the configuration is used.
///
/// # Errors
/// There is a channel of that name.
pub fn add(entry: &'static Entry) -> Result<()> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if entry.name == "xinge" || ENTRIES.iter().chain(added.iter().copied()).any(|known| known.name == entry.name) {
        return Err(Error::setting(format!("channel.{}", entry.name), "there is a channel of that name"));
    }
    added.push(entry);
    Ok(())
}

/// The channel of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().into_iter().find(|entry| entry.name == name)
}

/// Every channel but `xinge`.
pub fn all() -> Vec<&'static Entry> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    ENTRIES.iter().chain(added.iter().copied()).collect()
}
