//! The channel against the simulated Google over the loopback, and the simulator against requests of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "fcm/access.rs"]
mod access;
#[path = "fcm/examine.rs"]
mod examine;
#[path = "fcm/hostile.rs"]
mod hostile;
#[path = "fcm/http2.rs"]
mod http2;
#[path = "support/keys.rs"]
mod keys;
#[path = "fcm/limits.rs"]
mod limits;
#[path = "fcm/outcomes.rs"]
mod outcomes;
#[path = "support/rude.rs"]
mod rude;
#[path = "fcm/settings.rs"]
mod settings;
#[path = "fcm/simulator.rs"]
mod simulator;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use homing_channels::{
    fcm::Fcm,
    registry::Tools,
    simulator::{
        fcm::{Config, router},
        stand::{Stand, serve},
    },
};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, Millis, SystemClock},
    notification::Notification,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const RETRY: Outcome = Outcome::Retry { after: None };
const PROJECT: &str = "higo-test";

/// A clock that a test moves.
struct Moved(SystemClock, AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Millis {
        self.0.now() + self.1.load(Ordering::Relaxed)
    }
}

/// A simulated Google that knows one project, and what a channel for it is built with.
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
        let config = Config::of_section(&scene.section("")).unwrap();
        tokio::spawn(serve(listener, router(config, Arc::clone(&scene.stand)), std::future::pending()));
        scene
    }

    fn key_file(&self) -> String {
        keys::google(PROJECT, 0, "https://oauth2.googleapis.com/token")
    }

    /// `[channel.fcm]` for the app `higo`, and `more` of the account.
    fn section(&self, more: &str) -> toml::Table {
        section(&self.base, &self.base, &self.key_file(), more)
    }

    fn channel(&self) -> Fcm {
        self.channel_of(&self.section(""))
    }

    fn channel_of(&self, section: &toml::Table) -> Fcm {
        Fcm::new(section, &self.tools()).unwrap()
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

fn section(base: &str, auth: &str, key_file: &str, more: &str) -> toml::Table {
    let text = format!(
        "[endpoint]\nbase_url = '{base}'\nauth_url = '{auth}'\n[account.higo]\napp = 'higo'\n\
         service_account = '''{key_file}'''\n{more}"
    );
    toml::from_str(&text).unwrap()
}

fn notification(change: Value) -> Notification {
    let now = SystemClock::default().now();
    let base = json!({
        "id": "m-1", "kind": 15, "app": "higo", "platform": "android", "title": "HIGO 新订单", "body": "您有一笔新订单",
        "custom": {"order_id": "A1001", "count": 3}, "created_at": now, "expires_at": now + 7_200_000, "targets": [],
    });
    serde_json::from_value(keys::merged(base, &change)).unwrap()
}

async fn send_to(channel: &dyn Channel, notification: &Notification, tokens: &[&str]) -> Vec<Answer> {
    let targets: Vec<_> = tokens.iter().map(|token| homing_core::notification::Target::new("42", *token)).collect();
    let answers = channel.send(notification, &targets).await;
    assert_eq!(answers.len(), tokens.len());
    answers
}

async fn send(channel: &dyn Channel, token: &str) -> Answer {
    send_to(channel, &notification(json!({})), &[token]).await.pop().unwrap()
}

#[track_caller]
fn assert_delivered(answer: &Answer) {
    assert!(
        matches!(&answer.outcome, Outcome::Delivered { provider_id: Some(id) } if id.starts_with("projects/")),
        "{answer:?}"
    );
}
