//! Tokens for the bench's users: JWT, HS256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

/// The name of a user.
pub fn user(number: u32) -> String {
    format!("u{number}")
}

/// Signs tokens with one secret.
pub struct Mint {
    key: hmac::Key,
    expires: i64,
}

impl Mint {
    /// Tokens by this secret, good until `expires` (seconds since 1970).
    pub fn new(secret: &str, expires: i64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), expires }
    }

    /// The token of a user.
    pub fn token(&self, number: u32) -> String {
        let claims = format!("{{\"user_id\":\"{}\",\"exp\":{}}}", user(number), self.expires);
        let mut token = URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }
}
