//! The key pair by which push services recognise the sender (RFC 8292). A page subscribes with the public half
//! (`applicationServerKey`), and its push service takes messages that the private half signed, and no others.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::clock::Millis;
use p256::{
    EncodedPoint, SecretKey,
    elliptic_curve::{rand_core::OsRng, sec1::ToEncodedPoint as _},
};
use reqwest::header::HeaderValue;
use serde_json::json;
use url::Url;

use super::subscription::{POINT, decode};
use crate::common::jose::Signer;

/// A signed header holds for 12 hours; push services take 24 at most, by their clock.
pub(super) const LIFE: Millis = 12 * 3_600_000;

/// A private key and whom to write to.
#[derive(Debug)]
pub(super) struct Vapid {
    signer: Signer,
    subject: String,
}

/// A new key pair in base64url: the private key (32 bytes) for the configuration, and the public one (65 bytes) for the
/// pages.
pub fn generate_vapid() -> (String, String) {
    let key = SecretKey::random(&mut OsRng);
    (URL_SAFE_NO_PAD.encode(key.to_bytes()), URL_SAFE_NO_PAD.encode(point(&key)))
}

/// The public half of a private key, in base64url as pages hand it to `subscribe`. `key` is a PEM (PKCS#8), or 32 bytes in
/// base64url.
///
/// # Errors
/// It is neither; in words, without the key.
pub fn public_key(key: &str) -> Result<String, String> {
    Ok(URL_SAFE_NO_PAD.encode(signer(key)?.public()))
}

fn point(key: &SecretKey) -> EncodedPoint {
    key.public_key().to_encoded_point(false)
}

fn signer(key: &str) -> Result<Signer, String> {
    if key.contains("-----BEGIN") {
        return Signer::es256(key);
    }
    let bytes = decode(key).ok_or("is neither a PEM nor base64url")?;
    if bytes.len() != 32 {
        let length = bytes.len();
        let hint = if length == POINT { ": this is the public key" } else { "" };
        return Err(format!("has {length} bytes in base64url, not the 32 of a private key{hint}"));
    }
    let secret = SecretKey::from_slice(&bytes).map_err(|_| "is no private key on P-256".to_owned())?;
    Signer::es256_raw(&bytes, point(&secret).as_bytes())
}

// === impl Vapid ===

impl Vapid {
    /// # Errors
    /// The key's fault in words, without the key.
    pub(super) fn new(key: &str, subject: &str) -> Result<Self, String> {
        Ok(Self { signer: signer(key)?, subject: subject.to_owned() })
    }

    /// In base64url.
    pub(super) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.signer.public())
    }

    /// The value of `Authorization` for a push service, and when it ends.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn header(&self, origin: &str, now: Millis) -> Result<(HeaderValue, Millis), String> {
        let ends = now.saturating_add(LIFE);
        let claims = json!({ "aud": origin, "exp": ends.div_euclid(1000), "sub": self.subject });
        let token = self.signer.sign(&[], &claims)?;
        let mut header = HeaderValue::try_from(format!("vapid t={token}, k={}", self.public()))
            .map_err(|error| error.to_string())?;
        header.set_sensitive(true);
        Ok((header, ends))
    }
}

/// What is wrong with a subject; push services refuse it only when a message comes.
///
/// # Errors
/// It is neither an address of mail nor one of the web.
pub(super) fn check_subject(subject: &str) -> Result<(), String> {
    let good = match subject.split_once(':') {
        Some(("mailto", mail)) => {
            mail.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
                && !mail.contains(char::is_whitespace)
        }
        Some(("https", _)) => Url::parse(subject).is_ok_and(|url| url.has_host()),
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("{subject:?} is neither mailto:NAME@HOST nor https://HOST")) }
}

/// Apple's service refuses subjects whose host nobody can reach.
pub(super) fn is_local_subject(subject: &str) -> bool {
    let host = match subject.strip_prefix("mailto:") {
        Some(mail) => mail.rsplit('@').next().unwrap_or_default().to_owned(),
        None => Url::parse(subject).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default(),
    };
    !host.contains('.') || [".localhost", ".local", ".internal"].iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_generated_key_is_read_and_gives_its_public_half() {
        let (private, public) = generate_vapid();
        assert_eq!((private.len(), public.len()), (43, 87));
        assert_eq!(public_key(&private).unwrap(), public);
        assert_eq!(public_key(&format!(" {private}=\n")).unwrap(), public);
        assert_ne!(generate_vapid().0, private);
    }

    #[test]
    fn a_pem_of_openssl_is_read() {
        // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; the public half by openssl pkey -pubout.
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let public = public_key(&pem.serialize_pem()).unwrap();
        assert_eq!(public, URL_SAFE_NO_PAD.encode(pem.public_key_raw()));
    }

    #[test]
    fn what_is_no_key_is_told_without_quoting_it() {
        let (_, public) = generate_vapid();
        for (key, words) in [
            (public.as_str(), "this is the public key"),
            ("sekritAA", "6 bytes in base64url"),
            ("sek rit", "neither a PEM nor base64url"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "no private key on P-256"),
            ("-----BEGIN EC PRIVATE KEY-----\nsekrit\n-----END EC PRIVATE KEY-----", "PKCS#8"),
        ] {
            let error = public_key(key).unwrap_err();
            assert!(error.contains(words) && !error.contains("sekrit"), "{error}");
        }
    }

    #[test]
    fn subjects_are_checked() {
        for good in ["mailto:ops@example.com", "https://example.com/contact", "mailto:ops@localhost"] {
            check_subject(good).unwrap();
        }
        for bad in ["ops@example.com", "mailto:ops", "mailto:@x", "http://example.com", "https:", "mailto:a b@c.d", ""]
        {
            assert!(check_subject(bad).is_err(), "{bad}");
        }
        assert!(is_local_subject("mailto:ops@localhost") && is_local_subject("https://hub.internal/x"));
        assert!(!is_local_subject("mailto:ops@example.com") && !is_local_subject("https://example.com"));
    }
}
