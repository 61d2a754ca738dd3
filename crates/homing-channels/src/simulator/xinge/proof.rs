//! Who asks, under v3 and TPNS. Basic serves both; the headers `AccessId`, `TimeStamp` and `Sign` are TPNS alone. (Xinge v3
//! REST documentation, 2018 edition, "authentication"; TPNS documentation, 548/41046.)

use std::{fmt::Write as _, sync::Arc};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use super::{
    apps::Apps,
    config::{App, Flavour},
    order::Refusal,
};

/// How far `TimeStamp` may be from the service's clock, in seconds. The documentation does not say: v2's value.
const VALID_TIME: i64 = 600;

/// The app that a request belongs to and proved to be.
pub(super) fn authenticate(headers: &HeaderMap, body: &[u8], now: i64, apps: &Apps) -> Result<Arc<App>, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("AccessId"), text(header::AUTHORIZATION.as_str())) {
        (Some(access_id), _) => hmac(access_id, text("TimeStamp"), text("Sign"), body, now, apps),
        (None, Some(authorization)) => basic(authorization, apps),
        (None, None) => Err(Refusal::new(Flavour::Tpns, 1_008_003, "neither Authorization nor AccessId is there")),
    }
}

fn basic(authorization: &str, apps: &Apps) -> Result<Arc<App>, Refusal> {
    let unreadable = || Refusal::new(Flavour::V3, 10_104, "Authorization is not Basic with id and secret");
    let (scheme, encoded) = authorization.split_once(' ').ok_or_else(unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(unreadable)?;
    let (access_id, secret) = decoded.split_once(':').ok_or_else(unreadable)?;
    let app = apps.get(Flavour::V3, access_id).or_else(|| apps.get(Flavour::Tpns, access_id));
    match app {
        Some(app) if app.secret.expose_secret() == secret => Ok(app),
        Some(app) if app.flavour == Flavour::V3 => Err(Refusal::new(Flavour::V3, 10_104, "the secret is wrong")),
        Some(_) => Err(Refusal::new(Flavour::Tpns, 10_030_002, "access id and key do not match")),
        // Ids of TPNS are numbers, those of v3 begin with a letter.
        None if access_id.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(Refusal::new(Flavour::Tpns, 10_030_002, "the access id is not registered"))
        }
        None => Err(Refusal::new(Flavour::V3, 10_606, "the app is not registered")),
    }
}

/// Base64 of the hex digits of HMAC-SHA256 over time, id and body.
fn hmac(
    access_id: &str,
    time_stamp: Option<&str>,
    sign: Option<&str>,
    body: &[u8],
    now: i64,
    apps: &Apps,
) -> Result<Arc<App>, Refusal> {
    let refuse = |text: String| Err(Refusal::new(Flavour::Tpns, 1_008_003, text));
    let (Some(time_stamp), Some(sign)) = (time_stamp, sign) else {
        return refuse("TimeStamp or Sign is missing".to_owned());
    };
    let Ok(seconds) = time_stamp.parse::<i64>() else { return refuse("TimeStamp is no number".to_owned()) };
    let Some(app) = apps.get(Flavour::Tpns, access_id) else {
        return refuse(format!("access id {access_id} is not registered"));
    };
    let Ok(mut digest) = Hmac::<Sha256>::new_from_slice(app.secret.expose_secret().as_bytes()) else {
        return refuse("the key is none".to_owned());
    };
    for part in [time_stamp.as_bytes(), access_id.as_bytes(), body] {
        digest.update(part);
    }
    let mut hex = String::with_capacity(64);
    for byte in digest.finalize().into_bytes() {
        // Writing to a String does not fail.
        _ = write!(hex, "{byte:02x}");
    }
    if STANDARD.encode(hex) != sign {
        return refuse("Sign is invalid".to_owned());
    }
    if now.saturating_sub(seconds).saturating_abs() > VALID_TIME {
        return refuse(format!("TimeStamp {seconds} is not within {VALID_TIME} s of {now}"));
    }
    Ok(app)
}
