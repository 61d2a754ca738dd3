//! The device registry as services meet it: over a socket, onto a SQLite file; and its changes as events.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, dead_code, reason = "shared by the parts")]

#[path = "registry/changes.rs"]
mod changes;
#[path = "registry/hostile.rs"]
mod hostile;
#[path = "registry/routes.rs"]
mod routes;
#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;

use homing_core::registry::Registry;
use homing_intake::{Capability, Key, registry::Desk};
use homing_stores::Stores;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::{Plan, Rig, told};

/// Of a key that is good for the registry alone.
pub const DEVICES: &str = "devices-0123456789ab";

/// An intake with a registry in a file.
pub struct Desks {
    pub rig: Rig,
    pub registry: Arc<dyn Registry>,
    pub stores: Stores,
    _dir: TempDir,
}

impl Desks {
    pub async fn start(keys: &str) -> Self {
        Self::of_channels(keys, &[]).await
    }

    pub async fn of_channels(keys: &str, channels: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            "[stores.db]\nkind = 'sqlite'\nurl = 'sqlite:{}'\nallow_write = true\ntimeout = '10s'\n[registry]\nstore = 'db'\n{keys}",
            dir.path().join("registry.db").display()
        );
        let stores = homing_stores::build(&toml::from_str(&toml).unwrap()).unwrap();
        let registry = stores.registry().unwrap();
        let desk = Desk::new(Arc::clone(&registry), channels.iter().map(|channel| (*channel).to_owned()).collect());
        let mut plan = Plan::default();
        plan.settings.keys.push(Key { name: "devices".into(), key: DEVICES.into(), lanes: Vec::new() });
        plan.dress = Box::new(|intake| {
            intake.with_registry(desk).with_access("devices", &[Capability::Registry, Capability::Receipts]).unwrap()
        });
        Self { rig: plan.start().await, registry, stores, _dir: dir }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.rig.request(method, path).bearer_auth(DEVICES)
    }

    /// Status and body of a request without a body.
    pub async fn call(&self, method: Method, path: &str) -> (u16, Value) {
        told(self.request(method, path).send().await.unwrap()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        told(self.request(Method::PUT, path).json(body).send().await.unwrap()).await
    }
}

pub fn phone(token: &str) -> Value {
    json!({"app": "higo", "platform": "ios", "tokens": {"apns": token}})
}
