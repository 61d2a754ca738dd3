//! Whether the daemon lives and whether it can work, told by those who know: each connection, worker or port is a *part*
//! that says so itself. A part that is not ready is waited for; a task that died ends the daemon.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};

/// Health of the daemon; clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub struct Health(watch::Sender<State>);

/// What the parts have told so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    parts: BTreeMap<Arc<str>, Readiness>,
    dead: BTreeMap<String, String>,
    phase: Phase,
}

/// What the daemon as a whole is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Parts may still be added.
    Starting,
    #[default]
    Running,
    Stopping,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    /// It has not said anything.
    Starting,
    Ready,
    NotReady(String),
}

/// A part that cannot work, or a task that died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotReady {
    /// The part's name.
    pub part: String,
    /// Why, in words.
    pub reason: String,
}

/// One thing that must be ready before the daemon is: a connection, a worker, a port.
#[derive(Clone, Debug)]
pub struct Part {
    name: Arc<str>,
    health: Health,
}

// === impl Health ===

impl Health {
    /// No parts: alive and ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, which is not ready until it says so. Asking twice for one name gives two handles to one part.
    pub fn part(&self, name: impl Into<Arc<str>>) -> Part {
        let name = name.into();
        self.0.send_modify(|state| {
            state.parts.entry(name.clone()).or_insert(Readiness::Starting);
        });
        Part { name, health: self.clone() }
    }

    /// No supervised task is dead.
    pub fn is_live(&self) -> bool {
        self.0.borrow().dead.is_empty()
    }

    /// Every part is ready, and the daemon is neither dying nor stopping.
    pub fn is_ready(&self) -> bool {
        self.not_ready().is_empty()
    }

    /// What is not ready, in the order of the names.
    pub fn not_ready(&self) -> Vec<NotReady> {
        self.0.borrow().not_ready()
    }

    /// The supervised tasks that died, with the reasons.
    pub fn dead(&self) -> Vec<NotReady> {
        self.0
            .borrow()
            .dead
            .iter()
            .map(|(task, reason)| NotReady { part: task.clone(), reason: reason.clone() })
            .collect()
    }

    /// A supervised task is gone for ever.
    pub(crate) fn bury(&self, task: String, reason: String) {
        self.0.send_modify(|state| {
            state.dead.insert(task, reason);
        });
    }

    /// The daemon is ready in one phase only.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.send_modify(|state| state.phase = phase);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    fn set(&self, part: &Arc<str>, now: Readiness) -> Option<Readiness> {
        let mut before = None;
        self.0.send_if_modified(|state| {
            let changed = state.parts.get(part) != Some(&now);
            before = state.parts.insert(part.clone(), now);
            changed
        });
        before
    }
}

impl State {
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase == Phase::Stopping
    }

    pub(crate) fn not_ready(&self) -> Vec<NotReady> {
        let parts = self.parts.iter().filter_map(|(part, readiness)| match readiness {
            Readiness::Ready => None,
            Readiness::Starting => Some((part.to_string(), "starting".to_owned())),
            Readiness::NotReady(reason) => Some((part.to_string(), reason.clone())),
        });
        let dead = self.dead.iter().map(|(task, reason)| (task.clone(), format!("died: {reason}")));
        let phase = match self.phase {
            Phase::Starting => Some("starting"),
            Phase::Running => None,
            Phase::Stopping => Some("stopping"),
        };
        let daemon = phase.map(|phase| ("daemon".to_owned(), phase.to_owned()));
        parts.chain(dead).chain(daemon).map(|(part, reason)| NotReady { part, reason }).collect()
    }
}

// === impl Part ===

impl Part {
    /// It works. Logged once per change.
    pub fn ready(&self) {
        match self.health.set(&self.name, Readiness::Ready) {
            Some(Readiness::Ready) => {}
            Some(Readiness::NotReady(_)) => info!(part = %self.name, "Ready again."),
            Some(Readiness::Starting) | None => info!(part = %self.name, "Ready."),
        }
    }

    /// It does not work, and someone is trying. Logged once per change, not per attempt; readers always see the last reason.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        match self.health.set(&self.name, Readiness::NotReady(reason.clone())) {
            Some(Readiness::NotReady(_)) => {}
            Some(Readiness::Ready | Readiness::Starting) | None => warn!(part = %self.name, reason, "Not ready."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(health: &Health) -> Vec<String> {
        health.not_ready().into_iter().map(|n| format!("{}: {}", n.part, n.reason)).collect()
    }

    #[test]
    fn every_part_must_be_ready() {
        let health = Health::new();
        assert!(health.is_ready());
        let (redis, mongo) = (health.part("redis"), health.part("mongo"));
        redis.ready();
        assert_eq!(reasons(&health), ["mongo: starting"]);
        mongo.ready();
        assert!(health.is_ready());
        health.part("redis").not_ready("connection refused");
        assert_eq!(reasons(&health), ["redis: connection refused"]);
        redis.not_ready("timed out");
        assert_eq!(reasons(&health), ["redis: timed out"]);
        assert!(health.is_live());
    }

    #[test]
    fn the_dead_and_the_stopping_are_not_ready() {
        let health = Health::new();
        health.bury("sender".to_owned(), "panicked".to_owned());
        health.enter(Phase::Stopping);
        assert!(!health.is_live());
        assert_eq!(reasons(&health), ["sender: died: panicked", "daemon: stopping"]);
    }
}
