//! One endpoint: its settings and what is spoken there.

use std::sync::Arc;

use homing_core::clock::Clock;

use super::packet::Version;
use crate::{
    auth::origin::{Standing, standing},
    identity::{Authenticate, Credentials},
    session::Request,
    socketio::{Events, Part, Settings},
};

/// One endpoint, at one or several paths.
pub struct Site {
    pub(crate) settings: Settings,
    /// Socket.IO; `None` = an echo of every message.
    pub(crate) part: Option<Part>,
}

impl Site {
    /// Socket.IO. `events` handles what clients say; without it they may say little.
    ///
    /// # Errors
    /// What [`Settings::check`] says.
    pub fn socketio(
        settings: Settings,
        auth: Arc<dyn Authenticate>,
        clock: Arc<dyn Clock>,
        events: Option<Arc<dyn Events>>,
    ) -> Result<Arc<Self>, String> {
        settings.check()?;
        let part = Part::new(&settings, auth, clock, events);
        Ok(Arc::new(Self { settings, part: Some(part) }))
    }

    /// Engine.IO alone, that sends every message back.
    ///
    /// # Errors
    /// What [`Settings::check`] says.
    pub fn echo(settings: Settings) -> Result<Arc<Self>, String> {
        settings.check()?;
        Ok(Arc::new(Self { settings, part: None }))
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Is it served at this path?
    pub fn serves(&self, path: &str) -> bool {
        self.settings.serves(path)
    }

    /// The protocol that a request asks for.
    pub(super) fn version(&self, request: &Request) -> Option<Version> {
        let (number, version) = match request.parameter("EIO") {
            Some("3") => (3, Version::V3),
            Some("4") => (4, Version::V4),
            _ => return None,
        };
        self.settings.versions.contains(&number).then_some(version)
    }

    /// May the page that asks connect? Whoever names no origin is no page.
    pub(super) fn welcomes(&self, request: &Request) -> bool {
        self.standing(request) != Standing::Foreign
    }

    /// May any page connect?
    pub(super) fn is_open(&self) -> bool {
        self.settings.origins.as_ref().is_none_or(|origins| origins.iter().any(|own| own == "*"))
    }

    /// What a request shows, with the token of its query. Browsers send cookies along whatever page asks: those of pages
    /// that have nothing to do with this site say nothing.
    pub(super) fn credentials(&self, request: &Request) -> Credentials {
        let query = request.parameter(&self.settings.token_query).map(str::to_owned);
        let shown = request.credentials.clone();
        let cookie = shown.cookie.filter(|_| self.standing(request) == Standing::Own);
        Credentials { query: query.or(shown.query), cookie, ..shown }
    }

    fn standing(&self, request: &Request) -> Standing {
        standing(self.settings.origins.as_deref(), request)
    }
}
