//! Xiaomi, OPPO, vivo and Honor against their simulators over the loopback, and against servers that answer anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "vendor/auth.rs"]
mod auth;
#[path = "vendor/content.rs"]
mod content;
#[path = "vendor/hostile.rs"]
mod hostile;
#[path = "vendor/outcomes.rs"]
mod outcomes;
#[path = "vendor/pages.rs"]
mod pages;
#[path = "vendor/quota.rs"]
mod quota;
#[path = "vendor/settings.rs"]
mod settings;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::Router;
use homing_channels::{
    registry::{Tools, find},
    simulator::{
        stand::{Script, Stand, serve},
        vendor::{honor, oppo, vivo, xiaomi},
    },
};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, Millis},
    notification::{Notification, Target},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const VENDORS: [&str; 4] = ["xiaomi", "oppo", "vivo", "honor"];
const DELIVERED: &str = "delivered";

/// 2024-02-28T15:00:00Z: an hour before midnight in China.
const NOW: Millis = 1_709_132_400_000;
const HOUR: Millis = 3_600_000;

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hand {
    fn at(now: Millis) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now)))
    }

    fn set(&self, now: Millis) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// A vendor's simulator and its channel, on one clock.
struct Scene {
    vendor: &'static str,
    stand: Arc<Stand>,
    clock: Arc<Hand>,
    address: SocketAddr,
    channel: Arc<dyn Channel>,
}

async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, std::future::pending()));
    address
}

fn simulator(vendor: &str, stand: &Arc<Stand>) -> Router {
    let app = json!({ "package": "com.higo", "secret": "s3cret-of-higo", "channels": ["orders", "promo", "probe"] });
    let stand = Arc::clone(stand);
    let of = |app: Value| json!({ "apps": [app] });
    let keyed = json!({ "app_key": "key-1", "secret": "s3cret-of-higo" });
    match vendor {
        "xiaomi" => xiaomi::router(serde_json::from_value(of(app)).unwrap(), stand),
        "oppo" => oppo::router(serde_json::from_value(of(keyed)).unwrap(), stand),
        "vivo" => {
            let app = json!({ "app_id": "10004", "app_key": "key-1", "secret": "s3cret-of-higo" });
            vivo::router(serde_json::from_value(of(app)).unwrap(), stand)
        }
        _ => {
            let app = json!({ "app_id": "104413000", "client_id": "client-1", "secret": "s3cret-of-higo" });
            honor::router(serde_json::from_value(of(app)).unwrap(), stand)
        }
    }
}

/// The account's keys as the simulator knows them.
fn account(vendor: &str) -> &'static str {
    match vendor {
        "xiaomi" => "package = 'com.higo'\nchannel_id = 'orders'",
        "oppo" => "app_key = 'key-1'\nchannel_id = 'orders'",
        "vivo" => "app_id = '10004'\napp_key = 'key-1'\npackage = 'com.higo'",
        _ => "app_id = '104413000'\nclient_id = 'client-1'\npackage = 'com.higo'",
    }
}

/// The vendor's section: `top` stands at its head, `more` in the account.
fn section(vendor: &str, address: SocketAddr, top: &str, more: &str) -> String {
    let keys = account(vendor);
    format!(
        "{top}\n[endpoint]\nbase_url = 'http://{address}'\nauth_url = 'http://{address}'\n\
         [account.higo]\napp = 'higo'\nsecret = 's3cret-of-higo'\n{keys}\n{more}\n"
    )
}

fn try_build(vendor: &str, text: &str, clock: Arc<dyn Clock>) -> homing_channels::Result<Arc<dyn Channel>> {
    // A second installation in this process is refused, and the first one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
    let entry = find(vendor).unwrap();
    (entry.build)(&toml::from_str(text).unwrap(), &Tools::new(clock))
}

impl Scene {
    async fn of(vendor: &'static str) -> Self {
        Self::with(vendor, "", "").await
    }

    async fn with(vendor: &'static str, top: &str, more: &str) -> Self {
        let clock = Hand::at(NOW);
        let stand = Stand::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let address = listen(simulator(vendor, &stand)).await;
        let text = section(vendor, address, top, more);
        let channel = try_build(vendor, &text, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { vendor, stand, clock, address, channel }
    }

    fn script(&self, script: Value) {
        let script: Script = serde_json::from_value(script).unwrap();
        self.stand.set_script(script).unwrap();
    }

    async fn send(&self, notification: &Notification) -> Vec<Answer> {
        let answers = self.channel.send(notification, &notification.targets).await;
        assert_eq!(answers.len(), notification.targets.len(), "{}", self.vendor);
        answers
    }

    async fn one(&self, token: &str) -> Answer {
        self.send(&to(&[token])).await.pop().unwrap()
    }

    fn count(&self, name: &str) -> u64 {
        self.stand.stats()[name].as_u64().unwrap_or(0)
    }

    /// What the device got last.
    fn push(&self, token: &str) -> Value {
        let all = self.stand.after(0, 10_000);
        let last = all.iter().rev().find(|delivery| &*delivery.token == token);
        last.map(|delivery| (*delivery.push).clone()).unwrap_or_default()
    }
}

fn to(tokens: &[&str]) -> Notification {
    serde_json::from_value(json!({
        "id": "m-1", "kind": 15, "app": "higo", "platform": "android", "title": "HIGO 新订单",
        "body": "您有一笔新订单 & 请尽快发货=1+1 100% ~ \"引号\" 😀", "custom": {"order_id": "A1001", "count": 3},
        "created_at": NOW, "expires_at": NOW + HOUR,
        "targets": tokens.iter().map(|token| json!({"user": "42", "token": token})).collect::<Vec<_>>(),
    }))
    .unwrap()
}

fn page(count: usize) -> Notification {
    let mut page = to(&[]);
    page.targets = (0..count).map(|number| Target::new(number.to_string(), format!("reg-{number:028}"))).collect();
    page
}

fn names(answers: &[Answer]) -> Vec<&'static str> {
    answers.iter().map(|answer| answer.outcome.name()).collect()
}

fn after_of(outcome: &Outcome) -> Option<Millis> {
    match outcome {
        Outcome::RateLimited { after, .. } => *after,
        other => panic!("{other:?}"),
    }
}
