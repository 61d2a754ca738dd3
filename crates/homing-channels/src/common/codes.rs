//! A provider's result codes as data: vendors change them, so they stand in a TOML file beside the channel, and
//! `codes = "FILE"` in its section lays another over it.
//!
//! ```toml
//! [delivered]
//! "0" = "ok"
//! [token]
//! "10302" = "the registration id is invalid"
//! ```

use std::{collections::HashMap, path::Path};

use homing_core::channel::{Outcome, Scope};
use serde::Deserialize;

use crate::{Error, Result};

/// What a code means for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Class {
    /// Accepted.
    Delivered,
    /// The token is dead.
    Token,
    /// Our message is bad.
    Payload,
    /// Credentials, topic or permission.
    Config,
    /// The access token is used up: fetch another, once.
    Renew,
    /// The app is to slow down.
    Rate,
    /// This device gets too much.
    RateToken,
    /// The day's quota is used up.
    Day,
    /// There is no device behind the token for now: terminal, and nothing to remove.
    NoDevice,
    /// Surely not accepted.
    Retry,
    /// Some of the targets failed; the answer says which.
    Partial,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codes(HashMap<String, (Class, String)>);

impl Codes {
    /// The compiled-in table, with the file at `over` laid over it. `path` names the setting in errors.
    pub(crate) fn load(embedded: &str, path: &str, over: Option<&Path>) -> Result<Self> {
        let mut codes = Self::default();
        codes.lay("embedded", embedded)?;
        if let Some(file) = over {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Error::setting(path, format!("{}: {error}", file.display())))?;
            codes.lay(&file.display().to_string(), &text)?;
        }
        Ok(codes)
    }

    fn lay(&mut self, origin: &str, text: &str) -> Result<()> {
        let tables: HashMap<Class, HashMap<String, String>> = toml::from_str(text)
            .map_err(|error| Error::Codes { origin: origin.to_owned(), problem: error.to_string() })?;
        let mut seen = HashMap::new();
        for (class, table) in tables {
            for (code, words) in table {
                if seen.insert(code.clone(), class).is_some() {
                    let problem = format!("the code {code} stands in two classes");
                    return Err(Error::Codes { origin: origin.to_owned(), problem });
                }
                self.0.insert(code, (class, words));
            }
        }
        Ok(())
    }

    /// The code's class.
    pub(crate) fn class(&self, code: &str) -> Option<Class> {
        self.0.get(code).map(|(class, _)| *class)
    }

    /// Its words, empty where it is unknown.
    pub(crate) fn words(&self, code: &str) -> &str {
        self.0.get(code).map_or("", |(_, words)| words)
    }
}

impl Class {
    /// What it is for one target. [`Class::Renew`] is a correction, [`Class::Partial`] needs a closer look.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Delivered => Outcome::Delivered { provider_id: None },
            Self::Token => Outcome::DEAD,
            Self::Payload => Outcome::Payload,
            Self::Config => Outcome::Config,
            Self::Renew => Outcome::Corrected,
            Self::Rate | Self::Day => Outcome::limited(None),
            Self::RateToken => Outcome::RateLimited { after: None, scope: Scope::Token },
            Self::NoDevice => Outcome::NoDevice,
            Self::Retry => Outcome::Retry { after: None },
            Self::Partial => Outcome::Ambiguous,
        }
    }
}
