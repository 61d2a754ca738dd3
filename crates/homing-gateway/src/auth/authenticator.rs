//! The verdict on what a client showed.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::clock::Clock;
use tracing::warn;

use super::{
    cookie::Cookies,
    jwks::{Jwks, Word},
    key::Key,
    meter, place,
    settings::{IfInvalid, IfMissing, Settings},
    token::{Reason, Token},
};
use crate::identity::{Authenticate, Credentials, Identity, Verdict};

const NO_KEY: Reason = Reason::Borrowed("no key fits the token's signature");
const AWAY: &str = "the keys for tokens cannot be had now";

/// See the module `auth`.
pub struct Auth {
    settings: Settings,
    keys: Vec<Key>,
    jwks: Option<Jwks>,
    cookies: Option<Cookies>,
    clock: Arc<dyn Clock>,
}

/// What the keys say.
enum Found {
    Verdict(Verdict),
    /// The key set must be read first.
    Jwks,
    /// A cookie must be looked up.
    Cookie(String),
}

impl Auth {
    /// Reads keys and their files; asks nobody.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        settings.check()?;
        let configured =
            |(place, key)| Key::configured(key).map_err(|what| format!("gateway.auth.keys[{place}].{what}"));
        let keys = settings.keys.iter().enumerate().map(configured).collect::<Result<_, _>>()?;
        let jwks = settings.jwks.as_ref().map(Jwks::new).transpose();
        let jwks = jwks.map_err(|what| format!("gateway.auth.jwks.{what}"))?;
        let cookies = settings.session_cookie.as_ref().map(Cookies::new).transpose();
        let cookies = cookies.map_err(|what| format!("gateway.auth.session_cookie.{what}"))?;
        Ok(Self { settings, keys, jwks, cookies, clock })
    }

    /// Keeps the key set fresh, for ever; without one it does nothing. To be run beside the node.
    pub async fn keep(&self) {
        match &self.jwks {
            Some(jwks) => jwks.keep().await,
            None => std::future::pending().await,
        }
    }

    fn find(&self, credentials: &Credentials) -> Found {
        if let Some(text) = place::token(credentials, &self.settings) {
            return self.judge(&text).unwrap_or_else(|reason| Found::Verdict(self.refused(reason)));
        }
        let value = self.cookies.as_ref().and_then(|cookies| place::cookie(credentials, &cookies.name));
        if let Some(value) = value {
            return Found::Cookie(value.to_owned());
        }
        Found::Verdict(match self.settings.missing {
            IfMissing::Refuse => Verdict::Refused("a token is needed".to_owned()),
            IfMissing::Anonymous => Verdict::Known(Identity::default()),
            IfMissing::Wait => Verdict::Missing,
        })
    }

    fn judge(&self, text: &str) -> Result<Found, Reason> {
        let token = Token::read(text)?;
        if !token.is_signed_by(self.keys.iter()) {
            match self.jwks.as_ref().map_or(Word::No, |jwks| jwks.word(&token)) {
                Word::Yes => {}
                Word::Ask => return Ok(Found::Jwks),
                Word::Away => return Ok(Found::Verdict(Verdict::Unavailable(AWAY.to_owned()))),
                Word::No => return Err(NO_KEY),
            }
        }
        token.identity(&self.settings, self.clock.now()).map(|identity| Found::Verdict(Verdict::Known(identity)))
    }

    fn refused(&self, reason: Reason) -> Verdict {
        match self.settings.invalid {
            IfInvalid::Refuse => Verdict::Refused(reason.into_owned()),
            IfInvalid::Anonymous => Verdict::Known(Identity::default()),
        }
    }

    async fn ask(&self, credentials: &Credentials) -> Verdict {
        let value = match self.find(credentials) {
            Found::Verdict(verdict) => return verdict,
            Found::Jwks => {
                if let Some(jwks) = &self.jwks {
                    jwks.seek().await;
                }
                return match self.find(credentials) {
                    Found::Verdict(verdict) => verdict,
                    Found::Jwks | Found::Cookie(_) => self.refused(NO_KEY),
                };
            }
            Found::Cookie(value) => value,
        };
        let Some(cookies) = &self.cookies else { return Verdict::Missing };
        let (result, verdict) = match cookies.user(&value).await {
            Ok(Some(user)) => ("found", Verdict::Known(Identity { user: Some(user), ..Identity::default() })),
            Ok(None) => ("unknown", self.refused(Reason::Borrowed("the session is not known"))),
            Err(error) => {
                warn!(%error, "A session cookie cannot be looked up.");
                ("failed", Verdict::Unavailable("sessions cannot be looked up now".to_owned()))
            }
        };
        metrics::counter!(meter::LOOKUPS, "result" => result).increment(1);
        verdict
    }
}

impl Authenticate for Auth {
    fn check(&self, credentials: &Credentials) -> Option<Verdict> {
        match self.find(credentials) {
            Found::Verdict(verdict) => Some(counted(verdict)),
            Found::Jwks | Found::Cookie(_) => None,
        }
    }

    fn look_up<'a>(&'a self, credentials: &'a Credentials) -> BoxFuture<'a, Verdict> {
        Box::pin(async { counted(self.ask(credentials).await) })
    }
}

fn counted(verdict: Verdict) -> Verdict {
    let result = match &verdict {
        Verdict::Known(Identity { user: Some(_), .. }) => "known",
        Verdict::Known(_) => "anonymous",
        Verdict::Missing => "missing",
        Verdict::Refused(_) => "refused",
        Verdict::Unavailable(_) => "unavailable",
    };
    metrics::counter!(meter::VERDICTS, "result" => result).increment(1);
    verdict
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
