//! The channel in each flavour against the simulator over the loopback, and the simulator against bytes of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

#[path = "xinge/app.rs"]
mod app_flavours;
#[path = "xinge/channel.rs"]
mod channel;
#[path = "xinge/faults.rs"]
mod faults;
#[path = "xinge/pages.rs"]
mod pages;
#[path = "xinge/silent.rs"]
mod silent;
#[path = "xinge/simulator_app.rs"]
mod simulator_app;
#[path = "xinge/simulator_v2.rs"]
mod simulator_v2;
mod support;

use std::sync::Arc;

use homing_channels::{
    simulator::SimulatorConfig,
    xinge::{Account, Options, Xinge},
};
use homing_core::{
    channel::{Answer, Channel, Outcome},
    clock::{Clock, SystemClock},
    notification::{Notification, Platform, Target},
};
use serde_json::json;
use support::{Running, app};

const ANDROID: u64 = 2_100_012_345;
const IOS: u64 = 2_200_012_345;
const ANDROID_KEY: &str = "00112233445566778899aabbccddeeff";
const IOS_KEY: &str = "ffeeddccbbaa99887766554433221100";

const DELIVERED: Outcome = Outcome::Delivered { provider_id: None };
const RETRY: Outcome = Outcome::Retry { after: None };

fn config() -> SimulatorConfig {
    SimulatorConfig::new(vec![app(ANDROID, ANDROID_KEY), app(IOS, IOS_KEY)])
}

fn accounts(base_url: &str) -> Vec<Account> {
    let text = json!([
        {"flavour": "v2", "platform": "android", "app": "higo", "access_id": ANDROID, "secret": ANDROID_KEY, "base_url": base_url},
        {"flavour": "v2", "platform": "ios", "app": "higo", "access_id": IOS.to_string(), "secret": IOS_KEY, "base_url": base_url},
    ]);
    serde_json::from_value(text).unwrap()
}

fn channel_of(accounts: Vec<Account>) -> Xinge {
    channel_with(accounts, &Options::default(), Arc::new(SystemClock::default()))
}

fn channel_with(accounts: Vec<Account>, options: &Options, clock: Arc<dyn Clock>) -> Xinge {
    // A second installation in this process is refused, and the first one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
    Xinge::new(accounts, options, clock).unwrap()
}

fn base_url(simulator: &Running) -> String {
    format!("http://{}", simulator.address)
}

fn token(platform: Platform, number: usize) -> String {
    match platform {
        Platform::Ios => format!("{number:064x}"),
        _ => format!("{number:040x}"),
    }
}

/// A notification for `count` devices of the platform.
fn page_of(platform: Platform, count: usize) -> Notification {
    let mut page = notification(platform, "");
    let target = |number: usize| Target::new(number.to_string(), token(platform, number));
    page.targets = (0..count).map(target).collect();
    page
}

fn notification(platform: Platform, token: &str) -> Notification {
    let now = SystemClock::default().now();
    serde_json::from_value(json!({
        "id": "m-1", "kind": 15, "app": "higo", "platform": platform, "title": "HIGO 新订单",
        "body": "您有一笔新订单 & 请尽快发货=1+1 100% ~ \"引号\" 😀", "custom": {"order_id": "A1001", "count": 3},
        "created_at": now, "expires_at": now + 3_600_000, "targets": [{"user": "42", "token": token}],
    }))
    .unwrap()
}

/// The outcomes of a whole page.
async fn send_page(channel: &Xinge, notification: &Notification) -> Vec<Outcome> {
    let answers = channel.send(notification, &notification.targets).await;
    assert_eq!(answers.len(), notification.targets.len());
    answers.into_iter().map(|answer| answer.outcome).collect()
}

async fn send(channel: &Xinge, notification: &Notification) -> Answer {
    let mut answers = channel.send(notification, &notification.targets).await;
    assert_eq!(answers.len(), 1);
    answers.pop().unwrap()
}
