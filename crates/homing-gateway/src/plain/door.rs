//! Who may open a plain WebSocket.

use std::sync::Arc;

use homing_core::clock::Clock;
use serde_json::value::RawValue;

use super::{
    client,
    session::{Opening, PlainSession, Shared},
    settings::{RefuseWith, Settings},
};
use crate::{
    auth::origin::{Standing, standing},
    identity::{Authenticate, Verdict},
    session::{Admission, Doorman, Request},
};

/// Admits plain sessions on the configured paths.
pub struct Door {
    shared: Arc<Shared>,
}

impl Door {
    /// For these settings.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub fn new(settings: Settings, auth: Arc<dyn Authenticate>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { shared: Arc::new(Shared { settings, auth, clock }) })
    }

    fn takes(&self, path: &str) -> bool {
        let bare = |path: &'_ str| -> String { path.trim_end_matches('/').to_owned() };
        self.shared.settings.ws_paths.iter().any(|own| is_any(own) || bare(own) == bare(path))
    }
}

fn is_any(path: &str) -> bool {
    matches!(path, "" | "*")
}

impl Doorman for Door {
    fn websocket(&self, request: &Request) -> Option<Admission> {
        if !self.takes(&request.path) {
            return None;
        }
        let Settings { origins, refuse_with, .. } = &self.shared.settings;
        let mut credentials = request.credentials.clone();
        match standing(origins.as_deref(), request) {
            Standing::Own => {}
            Standing::NoCookies => credentials.cookie = None,
            Standing::Foreign => {
                return Some(Admission::Refuse { status: 403, why: "pages of this origin may not connect".to_owned() });
            }
        }
        let mut verdict = None;
        if *refuse_with == RefuseWith::Http {
            verdict = self.shared.auth.check(&credentials);
            match verdict {
                Some(Verdict::Refused(why)) => return Some(Admission::Refuse { status: 401, why }),
                Some(Verdict::Unavailable(why)) => return Some(Admission::Refuse { status: 503, why }),
                _ => {}
            }
        }
        // What cannot be read is as if it were not there: the client is told `recovered: false`.
        let resume = request.parameter("resume").and_then(|text| RawValue::from_string(text.to_owned()).ok());
        let resume = resume.and_then(|raw| client::resume(&raw).ok()).unwrap_or_default();
        let opening = Opening { credentials, verdict, resume };
        Some(Admission::Session(Box::new(PlainSession::new(Arc::clone(&self.shared), opening))))
    }
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
