//! All channels by name. A new one is a file and an entry here (docs/adding-a-channel.md).

use std::sync::Arc;

use homing_core::{channel::Channel, clock::Clock, notification::Platform};
use toml::Table;

use crate::{Result, vendor};

/// What every channel is built with.
#[derive(Clone)]
pub struct Tools {
    /// Time of day.
    pub clock: Arc<dyn Clock>,
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
    Entry { name: "xiaomi", platforms: &[Platform::Android], page: 1000, build: vendor::xiaomi::build },
    Entry { name: "oppo", platforms: &[Platform::Android], page: 1000, build: vendor::oppo::build },
    Entry { name: "vivo", platforms: &[Platform::Android], page: 1000, build: vendor::vivo::build },
    Entry { name: "honor", platforms: &[Platform::Android], page: 1000, build: vendor::honor::build },
];

/// The channel of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}

/// Every channel but `xinge`.
pub fn all() -> &'static [Entry] {
    ENTRIES
}
