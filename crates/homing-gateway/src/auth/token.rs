//! A token: is it signed by somebody known, and what does it say (RFC 7515, RFC 7519).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::clock::Millis;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    claims::Claims,
    key::Key,
    settings::{Algorithm, Settings},
};
use crate::identity::Identity;

/// The longest token in bytes.
pub(super) const LONGEST: usize = 8 << 10;

/// A token whose head was read, and nothing else.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// What is signed: head and claims as they stand there.
    message: &'a [u8],
    claims: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// Why a token is refused, for its client.
pub(super) type Reason = Cow<'static, str>;

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Reason> {
        let no_token = || Reason::Borrowed("this is no token");
        if text.len() > LONGEST {
            return Err(Reason::Borrowed("the token is too long"));
        }
        let (message, signature) = text.rsplit_once('.').ok_or_else(no_token)?;
        let (head, claims) = message.split_once('.').filter(|(_, c)| !c.contains('.')).ok_or_else(no_token)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| no_token());
        let head = decode(head)?;
        let Head { alg, kid, crit } = serde_json::from_slice(&head).map_err(|_| no_token())?;
        // Extensions that must be understood (RFC 7515, section 4.1.11); none is.
        if crit.is_some() {
            return Err(Reason::Borrowed("the token asks for an extension that is not known"));
        }
        let algorithm = Algorithm::parse(&alg).ok_or(Reason::Borrowed("the token's algorithm is not taken"))?;
        Ok(Self { algorithm, kid, message: message.as_bytes(), claims, signature: decode(signature)? })
    }

    /// Is it signed by one of these? The key that it names comes first; keys without an id are tried whatever it names.
    pub(super) fn is_signed_by<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> bool {
        let fits =
            |key: &&Key| key.is_for(self.algorithm) && (self.kid.is_none() || key.id.is_none() || key.id == self.kid);
        keys.filter(fits).any(|key| key.verifies(self.algorithm, self.message, &self.signature))
    }

    /// Whom it names, if it holds now. Called when its signature was verified, not before.
    pub(super) fn identity(&self, settings: &Settings, now: Millis) -> Result<Identity, Reason> {
        let fixed = Reason::Borrowed;
        let json = URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| fixed("this is no token"))?;
        let claims = Claims::read(&json).ok_or(fixed("the token holds no claims"))?;
        let leeway = Millis::try_from(settings.leeway.as_millis()).unwrap_or(Millis::MAX);
        let ends = claims.time("exp").map_err(|()| fixed("the token's end (exp) is no time"))?;
        let expires_at = ends.map(|ends| ends.saturating_add(leeway));
        match expires_at {
            Some(at) if at <= now => return Err(fixed("the token has ended")),
            None if settings.require_exp => return Err(fixed("the token does not say when it ends (exp)")),
            _ => {}
        }
        let begins = claims.time("nbf").map_err(|()| fixed("the token's beginning (nbf) is no time"))?;
        if begins.is_some_and(|begins| begins > now.saturating_add(leeway)) {
            return Err(fixed("the token does not hold yet"));
        }
        // For somebody, and not for us: refused (RFC 7519, section 4.1.3), whether anybody is configured or not.
        let audience = claims.texts("aud").map_err(|()| fixed("the token's audience (aud) is no text"))?;
        let ours = |given: &[Cow<'_, str>], own: &[String]| given.iter().any(|g| own.iter().any(|o| *o == **g));
        match audience {
            Some(given) if !ours(&given, &settings.audience) => {
                return Err(fixed("the token is for somebody else (aud)"));
            }
            None if !settings.audience.is_empty() => return Err(fixed("the token does not say whom it is for (aud)")),
            _ => {}
        }
        if !settings.issuer.is_empty() {
            let given = claims.texts("iss").map_err(|()| fixed("the token's issuer (iss) is no text"))?;
            if !given.is_some_and(|given| given.len() == 1 && ours(&given, &settings.issuer)) {
                return Err(fixed("the token was made by somebody else (iss)"));
            }
        }
        let user = claims.user(&settings.user_claim).map_err(Reason::Owned)?;
        let groups = match &settings.groups_claim {
            Some(claim) => claims.groups(claim).map_err(Reason::Owned)?,
            None => Vec::new(),
        };
        Ok(Identity { user: Some(user), groups, expires_at })
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
