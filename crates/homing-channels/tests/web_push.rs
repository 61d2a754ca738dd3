//! The channel against the simulated push service over the loopback, and the simulator against requests of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "web_push/channel.rs"]
mod channel;
#[path = "web_push/examine.rs"]
mod examine;
#[path = "web_push/outcomes.rs"]
mod outcomes;
#[path = "web_push/simulator.rs"]
mod simulator;

use std::sync::Arc;

use homing_channels::{
    registry::{Tools, find},
    simulator::{
        stand::{Stand, serve},
        web_push::{Config, router},
    },
    web_push::generate_vapid,
};
use homing_core::{
    channel::{Answer, Channel, Outcome, Scope},
    clock::{Clock, SystemClock},
    notification::{Notification, Platform, Target},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const RETRY: Outcome = Outcome::Retry { after: None };

/// A push service, and a channel with an account for the app `higo` that may call it.
struct Scene {
    stand: Arc<Stand>,
    base: String,
    private: String,
    public: String,
    channel: Arc<dyn Channel>,
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

/// A channel with a section of its own.
fn open(section: &str, clock: Arc<dyn Clock>) -> homing_channels::Result<Arc<dyn Channel>> {
    // A second installation in this process is refused, and the first one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
    (find("web_push").unwrap().build)(&toml::from_str(section).unwrap(), &Tools::new(clock))
}

fn section(base: &str, key: &str) -> String {
    format!("allow = ['{base}']\n[account.higo]\napp = 'higo'\nkey = '{key}'\nsubject = 'mailto:ops@example.com'\n")
}

impl Scene {
    async fn new() -> Self {
        let stand = Stand::new(clock());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = router(Config::default(), Arc::clone(&stand));
        tokio::spawn(serve(listener, app, std::future::pending()));
        let (private, public) = generate_vapid();
        let channel = open(&section(&base, &private), clock()).unwrap();
        Self { stand, base, private, public, channel }
    }

    /// Another channel for the same push service.
    fn again(&self, key: &str, clock: Arc<dyn Clock>) -> Arc<dyn Channel> {
        open(&section(&self.base, key), clock).unwrap()
    }

    /// The same account at another push service.
    fn again_at(&self, base: &str) -> Arc<dyn Channel> {
        open(&section(base, &self.private), clock()).unwrap()
    }

    fn script(&self, script: Value) {
        self.stand.set_script(serde_json::from_value(script).unwrap()).unwrap();
    }

    async fn subscribe(&self, name: &str, count: usize) -> Vec<Target> {
        self.subscribe_with(json!({ "name": name, "count": count, "applicationServerKey": self.public })).await
    }

    async fn subscribe_with(&self, wish: Value) -> Vec<Target> {
        let url = format!("{}/_sim/subscribe", self.base);
        let reply: Value = client().post(url).json(&wish).send().await.unwrap().json().await.unwrap();
        let all = reply["subscriptions"].as_array().unwrap();
        all.iter().enumerate().map(|(n, token)| Target::new(n.to_string(), token.to_string())).collect()
    }

    async fn send(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let answers = self.channel.send(notification, targets).await;
        assert_eq!(answers.len(), targets.len());
        answers
    }

    async fn send_one(&self, target: &Target) -> Answer {
        self.send(&notification(), std::slice::from_ref(target)).await.pop().unwrap()
    }
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn notification() -> Notification {
    let now = SystemClock::default().now();
    serde_json::from_value(json!({
        "id": "m-1", "kind": 15, "app": "higo", "platform": Platform::Web, "title": "HIGO 新订单",
        "body": "您有一笔新订单 😀", "custom": {"order_id": "A1001", "count": 3},
        "created_at": now, "expires_at": now + 3_600_000, "targets": [],
    }))
    .unwrap()
}

fn is_delivered(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Delivered { .. })
}

fn only_this(after: Option<i64>) -> Outcome {
    Outcome::RateLimited { after, scope: Scope::Token }
}
