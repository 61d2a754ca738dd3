//! The channel against the simulated Huawei over the loopback, and the simulator against requests of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "hms/access.rs"]
mod access;
#[path = "hms/examine.rs"]
mod examine;
#[path = "hms/hostile.rs"]
mod hostile;
#[path = "support/keys.rs"]
mod keys;
#[path = "hms/outcomes.rs"]
mod outcomes;
#[path = "hms/pages.rs"]
mod pages;
#[path = "support/rude.rs"]
mod rude;
#[path = "hms/settings.rs"]
mod settings;
#[path = "hms/simulator.rs"]
mod simulator;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use homing_channels::{
    hms::Hms,
    registry::Tools,
    simulator::{
        hms::{Config, router},
        stand::{Stand, serve},
    },
};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, Millis, SystemClock},
    notification::{Notification, Target},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const RETRY: Outcome = Outcome::Retry { after: None };
const APP: &str = "100000001";
const PROJECT: &str = "736430079245";
const SECRET: &str = "the-secret-of-the-app";

/// A clock that a test moves.
struct Moved(SystemClock, AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Millis {
        self.0.now() + self.1.load(Ordering::Relaxed)
    }
}

/// A simulated Huawei that knows one app under each generation.
struct Scene {
    stand: Arc<Stand>,
    base: String,
    clock: Arc<Moved>,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(Moved(SystemClock::default(), AtomicI64::new(0)));
        let stand = Stand::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let scene = Self { stand, base, clock };
        let config = Config::of_section(&scene.section("", "")).unwrap();
        tokio::spawn(serve(listener, router(config, Arc::clone(&scene.stand)), std::future::pending()));
        scene
    }

    /// `[channel.hms]` for the app `higo`, with more for its accounts of v1 and v3.
    fn section(&self, v1: &str, v3: &str) -> toml::Table {
        section(&self.base, &self.base, SECRET, &keys::huawei(PROJECT, 0), v1, v3)
    }

    fn channel(&self) -> Hms {
        self.channel_of(&self.section("", ""))
    }

    fn channel_of(&self, section: &toml::Table) -> Hms {
        Hms::new(section, &self.tools()).unwrap()
    }

    fn tools(&self) -> Tools {
        rustls::crypto::ring::default_provider().install_default().ok();
        Tools::new(Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    fn script(&self, script: Value) {
        self.stand.set_script(serde_json::from_value(script).unwrap()).unwrap();
    }

    fn pass(&self, ms: Millis) {
        self.clock.1.fetch_add(ms, Ordering::Relaxed);
    }

    fn count(&self, name: &str) -> u64 {
        self.stand.stats()[name].as_u64().unwrap_or(0)
    }
}

fn section(base: &str, auth: &str, secret: &str, key_file: &str, v1: &str, v3: &str) -> toml::Table {
    let text = format!(
        "[endpoint]\nbase_url = '{base}'\nauth_url = '{auth}'\n\
         [account.android]\nflavour = 'v1'\napp = 'higo'\napp_id = {APP}\nsecret = '{secret}'\n{v1}\n\
         [account.harmony]\nflavour = 'v3'\napp = 'higo'\nservice_account = '''{key_file}'''\n{v3}"
    );
    toml::from_str(&text).unwrap()
}

/// For Android (v1).
fn android(change: Value) -> Notification {
    let now = SystemClock::default().now();
    let base = json!({
        "id": "m-1", "kind": 15, "app": "higo", "platform": "android", "title": "HIGO 新订单", "body": "您有一笔新订单",
        "custom": {"order_id": "A1001", "count": 3}, "created_at": now, "expires_at": now + 7_200_000, "targets": [],
    });
    serde_json::from_value(keys::merged(base, &change)).unwrap()
}

/// For HarmonyOS (v3).
fn harmony(change: Value) -> Notification {
    android(keys::merged(json!({"platform": "harmony"}), &change))
}

async fn page(channel: &dyn Channel, notification: &Notification, tokens: &[&str]) -> Vec<Answer> {
    let targets: Vec<_> = tokens.iter().map(|token| Target::new("42", *token)).collect();
    let answers = channel.send(notification, &targets).await;
    assert_eq!(answers.len(), tokens.len());
    answers
}

async fn send(channel: &dyn Channel, notification: &Notification, token: &str) -> Answer {
    page(channel, notification, &[token]).await.pop().unwrap()
}

#[track_caller]
fn assert_delivered(answer: &Answer) {
    assert!(matches!(&answer.outcome, Outcome::Delivered { provider_id: Some(id) } if id.len() > 10), "{answer:?}");
}
