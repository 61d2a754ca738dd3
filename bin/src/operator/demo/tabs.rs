//! Browser tabs: tokens for the gateway's WebSocket. The demo gives one to whoever asks for any user, since it serves this
//! machine only; an application asks who it is first.

use std::net::SocketAddr;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::clock::Millis;
use ring::hmac;
use serde::Serialize;
use serde_json::json;

/// A token holds so long, in seconds.
const HOLDS: i64 = 3_600;

/// What a tab needs.
#[derive(Serialize)]
pub(super) struct Ticket {
    /// Where the gateway is.
    pub(super) url: String,
    /// The token.
    pub(super) token: String,
}

/// Makes tickets.
pub(super) struct Tabs {
    key: hmac::Key,
    gateway: SocketAddr,
}

impl Tabs {
    /// With the key that the gateway was given, as it stands in its file.
    pub(super) fn new(key: &str, gateway: SocketAddr) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.trim().as_bytes()), gateway }
    }

    /// A ticket for the user: a JWT, RFC 7519, signed by HS256.
    pub(super) fn ticket(&self, user: &str, now: Millis) -> anyhow::Result<Ticket> {
        let part = |value: serde_json::Value| {
            serde_json::to_vec(&value).map(|text| URL_SAFE_NO_PAD.encode(text)).context("a token")
        };
        let header = part(json!({"alg": "HS256", "typ": "JWT"}))?;
        let claims = part(json!({"user_id": user, "exp": now / 1_000 + HOLDS}))?;
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, signed.as_bytes()));
        Ok(Ticket { url: format!("ws://{}/ws", self.gateway), token: format!("{signed}.{signature}") })
    }
}
