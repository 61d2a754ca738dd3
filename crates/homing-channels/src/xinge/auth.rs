//! How a request under v3 and TPNS proves itself.
//!
//! ```text
//! Basic   Authorization: Basic base64(id:secret)
//! HMAC    Sign: base64(lower-case hex(HMAC-SHA256(secret, TimeStamp AccessId body)))     (without the spaces)
//! ```
//!
//! (TPNS documentation, 548/41046. Its formula leaves the hex step out, its samples and numbers contain it.)

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::sign::hex;

/// The value of `Authorization`.
pub fn basic(access_id: &str, secret: &SecretString) -> String {
    format!("Basic {}", STANDARD.encode(format!("{access_id}:{}", secret.expose_secret())))
}

/// The value of `Sign` for a body, byte for byte as it is sent, at a time in Unix seconds.
pub fn hmac_sign(seconds: i64, access_id: &str, body: &[u8], secret: &SecretString) -> String {
    HmacKey::new(access_id, secret).map_or_else(String::new, |key| key.sign(seconds, body))
}

/// Id and secret of an account, hashed once.
#[derive(Clone)]
pub(crate) struct HmacKey {
    access_id: String,
    keyed: Hmac<Sha256>,
}

// === impl HmacKey ===

impl HmacKey {
    /// `None` would mean a secret that HMAC does not take; there is none.
    pub(crate) fn new(access_id: &str, secret: &SecretString) -> Option<Self> {
        let keyed = Hmac::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
        Some(Self { access_id: access_id.to_owned(), keyed })
    }

    pub(crate) fn sign(&self, seconds: i64, body: &[u8]) -> String {
        let mut digest = self.keyed.clone();
        digest.update(seconds.to_string().as_bytes());
        digest.update(self.access_id.as_bytes());
        digest.update(body);
        STANDARD.encode(hex(&digest.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_numbers_come_out() {
        let body = "{\"audience_type\": \"account\",\"message\": {\"title\": \"test title\",\"content\": \"test content\",\
                    \"android\": { \"action\": {\"action_type\": 3,\"intent\": \
                    \"xgscheme://com.xg.push/notify_detail?param1=xg\"}}},\"message_type\": \"notify\",\
                    \"account_list\": [\"5822f0eee44c3625ef0000bb\"] }";
        let secret = SecretString::from("1452fcebae9f3115ba794fb0fff2fd73");
        let sign = hmac_sign(1_565_314_789, "1500001048", body.as_bytes(), &secret);
        let expected = "MDlmMDdkMmE1MThhODgxNGUzNjlkY2Q5NTM0ZjEwYjhhMjlkMTI4NTMxYTE5YWRhYTI4Y2IyNDc2MDVjMWU4NA==";
        assert_eq!(sign, expected);
    }

    #[test]
    fn basic_is_base64_of_id_and_secret() {
        let secret = SecretString::from("00112233445566778899aabbccddeeff");
        let expected = "Basic YTFiMmMzZDRlNWY2MDowMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZg==";
        assert_eq!(basic("a1b2c3d4e5f60", &secret), expected);
    }
}
