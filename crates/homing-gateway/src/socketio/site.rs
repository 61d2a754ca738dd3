//! What all sessions of Socket.IO share.

use std::sync::Arc;

use homing_core::clock::Clock;

use super::{Events, Settings};
use crate::identity::Authenticate;

/// What all sessions share, beside the settings.
pub(crate) struct Part {
    /// Says who clients are.
    pub(crate) auth: Arc<dyn Authenticate>,
    /// For the end of tokens.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who handles clients' events; `None` = Homing's own few.
    pub(crate) events: Option<Arc<dyn Events>>,
    namespaces: Vec<Arc<str>>,
    any: bool,
}

impl Part {
    pub(crate) fn new(
        settings: &Settings,
        auth: Arc<dyn Authenticate>,
        clock: Arc<dyn Clock>,
        events: Option<Arc<dyn Events>>,
    ) -> Self {
        let any = settings.namespaces.iter().any(|name| name == "*");
        // One name for all sessions of a namespace; the main one is nearly always there.
        let mut namespaces: Vec<Arc<str>> =
            settings.namespaces.iter().filter(|name| *name != "*").map(|name| name.as_str().into()).collect();
        if any && !namespaces.iter().any(|name| &**name == "/") {
            namespaces.push("/".into());
        }
        Self { auth, clock, events, namespaces, any }
    }

    /// The namespace of this name, if there is one.
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<str>> {
        let known = self.namespaces.iter().find(|own| &***own == name).cloned();
        known.or_else(|| self.any.then(|| name.into()))
    }
}
