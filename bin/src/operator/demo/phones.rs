//! What the simulated phones of a user show.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use homing_core::{clock::Millis, lookup::Lookup};
use homing_stores::Stores;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;

/// The lookup of all devices that a user ever had.
const PHONES: &str = "phones";

/// The most that one phone shows.
const SHOWN: usize = 100;

/// A push on a phone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Push {
    /// The message's id.
    id: Option<String>,
    /// The type's code.
    #[serde(rename = "type")]
    kind: Option<i64>,
    title: String,
    body: String,
    app: String,
    platform: String,
    /// When the simulator accepted it, in milliseconds since 1970.
    at: Millis,
    /// The fields for the app.
    custom: Value,
    /// The order among those of the same millisecond.
    #[serde(skip)]
    seq: u64,
}

/// As the simulator tells it.
#[derive(Deserialize)]
struct Delivery {
    seq: u64,
    received_at_ms: Millis,
    access_id: String,
    platform: String,
    id: Option<String>,
    title: String,
    content: String,
    custom: Value,
}

#[derive(Deserialize)]
struct Deliveries {
    deliveries: Vec<Delivery>,
}

/// The phones of all users.
pub(super) struct Phones {
    devices: Arc<dyn Lookup>,
    /// App by access id.
    apps: HashMap<String, String>,
    simulator: SocketAddr,
    http: reqwest::Client,
}

// === impl Push ===

impl Push {
    /// Is it this message?
    pub(super) fn is(&self, id: &str) -> bool {
        self.id.as_deref() == Some(id)
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.body
    }
}

// === impl Phones ===

impl Phones {
    pub(super) fn new(config: &Config, stores: &Stores, simulator: SocketAddr) -> anyhow::Result<Self> {
        let devices = stores.lookup(PHONES).with_context(|| format!("there is no [lookup.{PHONES}]"))?;
        let apps = config.account.values().map(|a| (a.access_id.clone(), a.app.clone())).collect();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        Ok(Self { devices, apps, simulator, http })
    }

    /// Everything that the user's phones show, newest first.
    pub(super) async fn of(&self, user: &str) -> anyhow::Result<Vec<Push>> {
        let rows = self.devices.rows(&[user]).await?.pop().unwrap_or_default();
        let tokens = rows.iter().filter_map(|row| row.get("token"));
        let shown = try_join_all(tokens.map(|token| self.on(token))).await?;
        let mut all: Vec<Push> = shown.into_iter().flatten().collect();
        all.sort_by_key(|push| std::cmp::Reverse((push.at, push.seq)));
        Ok(all)
    }

    async fn on(&self, token: &str) -> anyhow::Result<Vec<Push>> {
        let url = format!("http://{}/_sim/phones/{token}?limit={SHOWN}", self.simulator);
        let answer: Deliveries = self.http.get(url).send().await?.error_for_status()?.json().await?;
        Ok(answer.deliveries.into_iter().map(|delivery| self.push(delivery)).collect())
    }

    fn push(&self, delivery: Delivery) -> Push {
        let Delivery { seq, received_at_ms, access_id, platform, id, title, content, custom } = delivery;
        // Android has texts only.
        let kind = custom.get("push_type").and_then(|kind| kind.as_i64().or_else(|| kind.as_str()?.parse().ok()));
        let app = self.apps.get(&access_id).cloned().unwrap_or_default();
        Push { id, kind, title, body: content, app, platform, at: received_at_ms, custom, seq }
    }
}
