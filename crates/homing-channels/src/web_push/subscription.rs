//! A browser's subscription: where to post, and the keys that its messages are encrypted with.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::PublicKey;
use serde::Deserialize;
use url::Url;

/// Longer tokens are none: those of today's browsers have 300 to 900 bytes.
const TOKEN_MAX: usize = 8 * 1024;

/// Length of an uncompressed point.
pub(super) const POINT: usize = 65;

/// See the module. Its Debug shows nothing but the host.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Raw")]
pub(super) struct Subscription {
    pub(super) endpoint: Url,
    pub(super) keys: Keys,
}

/// The browser's half of the encryption (RFC 8291, section 2).
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) public: PublicKey,
    /// The same as the browser sent it: it is part of the key derivation.
    pub(super) point: [u8; POINT],
    pub(super) auth: [u8; 16],
}

/// As `JSON.stringify` writes it; other members (`expirationTime`) are passed over.
#[derive(Deserialize)]
struct Raw {
    endpoint: String,
    keys: RawKeys,
}

#[derive(Deserialize)]
struct RawKeys {
    p256dh: String,
    auth: String,
}

// === impl Subscription ===

impl Subscription {
    /// Reads a token.
    ///
    /// # Errors
    /// In words, without any part of the token.
    pub(super) fn parse(token: &str) -> Result<Self, String> {
        if token.len() > TOKEN_MAX {
            return Err(format!("the subscription has {} bytes, more than {TOKEN_MAX}", token.len()));
        }
        // The parser's own words would quote the token.
        let raw: Raw = serde_json::from_str(token)
            .map_err(|error| format!("the token is no PushSubscription in JSON (at column {})", error.column()))?;
        raw.try_into()
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({})", self.endpoint.host_str().unwrap_or_default())
    }
}

impl TryFrom<Raw> for Subscription {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let endpoint = Url::parse(&raw.endpoint).map_err(|error| format!("endpoint is no address: {error}"))?;
        let point: [u8; POINT] = exactly("keys.p256dh", &raw.keys.p256dh)?;
        let public = PublicKey::from_sec1_bytes(&point).map_err(|_| "keys.p256dh is no point on P-256".to_owned())?;
        let auth = exactly("keys.auth", &raw.keys.auth)?;
        Ok(Self { endpoint, keys: Keys { public, point, auth } })
    }
}

fn exactly<const N: usize>(name: &str, text: &str) -> Result<[u8; N], String> {
    let bytes = decode(text).ok_or_else(|| format!("{name} is not in base64url"))?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| format!("{name} has {length} bytes, not {N}"))
}

/// base64url as browsers write it, and the other alphabet and padding as some libraries do.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const POINT_TEXT: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH_TEXT: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn token(endpoint: &str, p256dh: &str, auth: &str) -> String {
        format!(
            r#"{{"endpoint":"{endpoint}","expirationTime":null,"keys":{{"p256dh":"{p256dh}","auth":"{auth}"}},"x":1}}"#
        )
    }

    #[test]
    fn a_subscription_is_read_as_browsers_and_libraries_write_it() {
        let read = Subscription::parse(&token("https://push.example.com/1", POINT_TEXT, AUTH_TEXT)).unwrap();
        assert_eq!(read.endpoint.as_str(), "https://push.example.com/1");
        assert_eq!((read.keys.point[0], read.keys.auth[0]), (4, 5));
        let padded = format!("{}==", AUTH_TEXT.replace('_', "/"));
        let other = Subscription::parse(&token("https://p.example/1", &POINT_TEXT.replace('-', "+"), &padded)).unwrap();
        assert_eq!((other.keys.point, other.keys.auth), (read.keys.point, read.keys.auth));
        assert_eq!(format!("{read:?}"), "Subscription(push.example.com)");
    }

    #[test]
    fn what_is_no_subscription_is_told_without_quoting_it() {
        let off_curve = format!("B{}", "A".repeat(86));
        let cases = [
            ("sekrit".to_owned(), "no PushSubscription"),
            (r#"{"endpoint":"https://sekrit.example"}"#.to_owned(), "no PushSubscription"),
            (format!(r#""{}""#, "x".repeat(9_000)), "more than 8192"),
            (token("sekrit", POINT_TEXT, AUTH_TEXT), "endpoint is no address"),
            (token("https://a.example", "A!", AUTH_TEXT), "p256dh is not in base64url"),
            (token("https://a.example", "BAAA", AUTH_TEXT), "p256dh has 3 bytes, not 65"),
            (token("https://a.example", &off_curve, AUTH_TEXT), "no point on P-256"),
            (token("https://a.example", POINT_TEXT, "BTBZ"), "auth has 3 bytes, not 16"),
        ];
        for (token, words) in cases {
            let error = Subscription::parse(&token).unwrap_err();
            assert!(error.contains(words) && !error.contains("sekrit"), "{error}");
        }
    }
}
