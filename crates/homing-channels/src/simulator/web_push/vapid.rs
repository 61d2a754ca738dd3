//! The sender's signature (RFC 8292): `Authorization: vapid t=HEADER.CLAIMS.SIGNATURE, k=POINT`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

/// Signatures that end later are refused (section 2), in seconds.
const LIFE_MAX: i64 = 86_400;

/// Checks a header for the push service at `origin`; gives the sender's public key.
pub(super) fn check(header: Option<&str>, origin: &str, now_s: i64) -> Result<String, String> {
    let header = header.ok_or("Authorization is missing")?;
    let parameters = header.strip_prefix("vapid ").ok_or("the scheme of Authorization is not vapid")?;
    let find = |name: &str| {
        parameters.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
    };
    let (token, key) = (find("t").ok_or("t is missing")?, find("k").ok_or("k is missing")?);
    let point = URL_SAFE_NO_PAD.decode(key).map_err(|_| "k is not base64url")?;
    if point.len() != 65 || point.first() != Some(&4) {
        return Err("k is not an uncompressed point".to_owned());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("t is no JWT")?;
    let (head, claims) = signed.split_once('.').ok_or("t is no JWT")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the signature is not base64url")?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "the signature does not fit k")?;
    let (head, claims) = (part(head)?, part(claims)?);
    if head.get("typ") != Some(&"JWT".into()) || head.get("alg") != Some(&"ES256".into()) {
        return Err("the header is not {typ: JWT, alg: ES256}".to_owned());
    }
    let aud = claims.get("aud").and_then(Value::as_str).unwrap_or_default();
    if aud != origin {
        return Err(format!("aud is {aud:?}, this is {origin}"));
    }
    let exp = claims.get("exp").and_then(Value::as_i64).ok_or("exp is missing")?;
    if exp <= now_s {
        return Err("exp is over".to_owned());
    }
    if exp > now_s + LIFE_MAX {
        return Err("exp is more than 24 hours away".to_owned());
    }
    let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    if !sub.starts_with("mailto:") && !sub.starts_with("https:") {
        return Err("sub is neither mailto: nor https:".to_owned());
    }
    Ok(key.to_owned())
}

fn part(text: &str) -> Result<Value, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of t is not base64url")?;
    serde_json::from_slice(&bytes).map_err(|error| format!("a part of t is no JSON: {error}"))
}
