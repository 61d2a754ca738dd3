//! The provider token (a JWT under ES256) that proves whose request it is.
//!
//! APNs takes a token for 60 minutes after its `iat`, and refuses a key whose token changes more often than every 20
//! minutes. So all who use a key must send the same token: `iat` is the time rounded down to 35 minutes, and the signature
//! is deterministic (RFC 6979), so every process arrives at the same bytes without asking another. A process that began
//! shortly before the next token was due keeps the one it began with for 20 minutes. So a token is never older than 55
//! minutes, and never replaced within 20.
//!
//! When APNs calls a token expired, our clock is wrong: its `Date` says by how much. The time is corrected and one more
//! token is made, at most one in 20 minutes. Should the clock be right, the token is replaced by one 20 minutes younger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::clock::Millis;
use hyper::header::HeaderValue;
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::DecodePrivateKey as _,
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

/// Seconds from a token to the next; with [`FLOOR`] there are five minutes left to 60.
const STEP: i64 = 35 * 60;

/// Seconds that a key keeps its token at least. (Apple: "no more than once every 20 minutes".)
const FLOOR: i64 = 20 * 60;

/// A `Date` that is nearer than this to our clock shows no wrong clock.
pub(crate) const BLAMELESS: Millis = 60_000;

/// A token and its time.
pub(crate) struct Issued {
    /// Unix seconds.
    pub(crate) iat: i64,
    /// The header `authorization`; marked sensitive.
    pub(crate) header: HeaderValue,
}

/// What a refusal as expired leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// There is a new token.
    Renewed,
    /// There was one already: the refused one was old.
    Known,
    /// Another token would not be another one, or it would be too soon.
    Useless,
}

/// One key, and its token.
pub(crate) struct Tokens {
    team: String,
    key_id: String,
    key: SigningKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// APNs' clock minus ours.
    offset: Millis,
    corrected_at: Option<Millis>,
    /// The token, and since when this process has it.
    current: Option<(Arc<Issued>, Millis)>,
}

impl Tokens {
    /// From the PEM of a .p8 file. Errors are in words, without the key.
    pub(crate) fn new(pem: &str, key_id: &str, team: &str) -> Result<Self, String> {
        let wrong = || "is no signing key of Apple's (-----BEGIN PRIVATE KEY-----, P-256, PKCS#8)".to_owned();
        if pem.contains("ENCRYPTED") {
            return Err("has a password: `openssl pkcs8 -topk8 -nocrypt -in key.pem` takes it off".to_owned());
        }
        let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong())? else {
            return Err("is not in PKCS#8: `openssl pkcs8 -topk8 -nocrypt -in key.pem` converts it".to_owned());
        };
        let key = SigningKey::from_pkcs8_der(der.secret_pkcs8_der()).map_err(|_| wrong())?;
        Ok(Self { team: team.to_owned(), key_id: key_id.to_owned(), key, state: Mutex::default() })
    }

    /// Is it the same key?
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// The token for now.
    pub(crate) fn get(&self, now: Millis) -> Result<Arc<Issued>, String> {
        let mut state = self.lock();
        let server = now.saturating_add(state.offset).div_euclid(1000);
        let iat = floor(server, STEP);
        if let Some((current, since)) = &state.current {
            // A clock that goes back a little does not bring back the token before.
            let newest = iat <= current.iat && current.iat.saturating_sub(server) < FLOOR;
            if newest || is_young(*since, now) {
                return Ok(Arc::clone(current));
            }
        }
        self.issue(&mut state, iat, now)
    }

    /// APNs called `used` expired at its time `date`.
    pub(crate) fn expired(&self, used: &Issued, now: Millis, date: Option<Millis>) -> Result<Renewal, String> {
        let mut state = self.lock();
        let since = match &state.current {
            Some((current, _)) if current.iat != used.iat => return Ok(Renewal::Known),
            Some((_, since)) => *since,
            None => now,
        };
        if state.corrected_at.is_some_and(|at| is_young(at, now)) {
            return Ok(Renewal::Useless);
        }
        let server = date.unwrap_or(now).div_euclid(1000);
        let mut iat = floor(server, STEP);
        if iat == used.iat {
            // Nothing is wrong with the clock.
            if server.saturating_sub(iat) < FLOOR || is_young(since, now) {
                return Ok(Renewal::Useless);
            }
            iat += FLOOR;
        }
        state.offset = date.map_or(0, |date| date.saturating_sub(now));
        state.corrected_at = Some(now);
        self.issue(&mut state, iat, now)?;
        Ok(Renewal::Renewed)
    }

    fn issue(&self, state: &mut State, iat: i64, now: Millis) -> Result<Arc<Issued>, String> {
        let part = |text: String| URL_SAFE_NO_PAD.encode(text);
        // Ids are letters and digits: nothing is to be escaped.
        let head = part(format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.key_id));
        let claims = part(format!(r#"{{"iss":"{}","iat":{iat}}}"#, self.team));
        let mut text = format!("bearer {head}.{claims}");
        let signed = text.strip_prefix("bearer ").unwrap_or_default().as_bytes();
        let signature: Signature = self.key.try_sign(signed).map_err(|error| format!("cannot sign: {error}"))?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature.to_bytes()));
        let mut header = HeaderValue::try_from(text).map_err(|error| format!("cannot sign: {error}"))?;
        header.set_sensitive(true);
        let issued = Arc::new(Issued { iat, header });
        state.current = Some((Arc::clone(&issued), now));
        Ok(issued)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is it within the time in which there is no other token?
fn is_young(since: Millis, now: Millis) -> bool {
    (0..FLOOR * 1000).contains(&now.saturating_sub(since))
}

fn floor(seconds: i64, step: i64) -> i64 {
    seconds.div_euclid(step) * step
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
