//! The registered apps. They may be added while the simulator runs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::config::{App, Flavour};

/// Apps that can be registered at most.
const MAX: usize = 10_000;

/// The apps by flavour and id: an id of v2 and one of TPNS are different things.
pub(super) struct Apps(RwLock<HashMap<(Flavour, String), Arc<App>>>);

// === impl Apps ===

impl Apps {
    pub(super) fn new(apps: Vec<App>) -> Self {
        let keyed = apps.into_iter().map(|app| ((app.flavour, app.access_id.clone()), Arc::new(app)));
        Self(RwLock::new(keyed.collect()))
    }

    pub(super) fn get(&self, flavour: Flavour, access_id: &str) -> Option<Arc<App>> {
        let apps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        apps.get(&(flavour, access_id.to_owned())).cloned()
    }

    /// Adds an app, or takes the place of the one with its flavour and id. False when there are too many.
    pub(super) fn put(&self, app: App) -> bool {
        let mut apps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let key = (app.flavour, app.access_id.clone());
        if apps.len() >= MAX && !apps.contains_key(&key) {
            return false;
        }
        apps.insert(key, Arc::new(app));
        true
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<Arc<App>> {
        let apps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = apps.values().cloned().collect();
        all.sort_by(|a, b| (a.flavour, &a.access_id).cmp(&(b.flavour, &b.access_id)));
        all
    }
}
