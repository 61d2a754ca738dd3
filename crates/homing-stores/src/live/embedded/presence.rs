//! Who is online, in memory. A node's word counts until its limit, as on Redis: see the head of `live/redis/mod.rs`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{Attendance, LiveDown, Presence, Seen},
};

use super::{EmbeddedLive, millis};
use crate::live::{Settings, failure::check_name};

/// What all nodes said.
#[derive(Default)]
pub(super) struct Present {
    next: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    nodes: HashMap<u64, Node>,
    users: HashMap<Arc<str>, User>,
    swept: Millis,
}

struct Node {
    name: Arc<str>,
    /// Its word counts until then.
    stop: Millis,
}

#[derive(Default)]
struct User {
    /// Sessions by instance, with the time when it said so.
    sessions: Vec<(u64, u32, Millis)>,
    gone: Option<Millis>,
}

impl Present {
    /// A further life of a node.
    pub(super) fn instance(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Known {
    fn is_alive(&self, instance: u64, now: Millis) -> bool {
        self.nodes.get(&instance).is_some_and(|node| node.stop > now)
    }

    /// This node lives until `stop`; the first time, its former lives end.
    fn beat(&mut self, instance: u64, name: &Arc<str>, now: Millis, stop: Millis) {
        if !self.nodes.contains_key(&instance) {
            for node in self.nodes.values_mut().filter(|node| node.name == *name && node.stop > now) {
                node.stop = now;
            }
        }
        self.nodes.insert(instance, Node { name: Arc::clone(name), stop });
    }

    fn attend(&mut self, instance: u64, change: &Attendance, now: Millis) {
        let mut user = self.users.remove(&change.user).unwrap_or_default();
        let before = user.sessions.len();
        user.sessions.retain(|(of, ..)| *of != instance);
        let was_there = user.sessions.len() < before;
        if change.sessions > 0 || was_there {
            user.sessions.retain(|(of, ..)| self.is_alive(*of, now));
            user.gone = None;
        }
        if change.sessions > 0 {
            user.sessions.push((instance, change.sessions, now));
        } else if was_there && user.sessions.is_empty() {
            user.gone = Some(now);
        }
        if !user.sessions.is_empty() || user.gone.is_some() {
            self.users.insert(Arc::clone(&change.user), user);
        }
    }

    fn seen(&self, name: &str, now: Millis, settings: &Settings) -> Seen {
        let Some(user) = self.users.get(name) else { return Seen::default() };
        let (mut seen, mut gone) = (Seen::default(), user.gone);
        for (instance, sessions, said) in &user.sessions {
            match self.nodes.get(instance) {
                Some(node) if node.stop > now && said + millis(settings.attend_ttl) > now => {
                    seen.sessions += sessions;
                    seen.nodes += 1;
                }
                // The node died, or ended: its word counted until then.
                Some(node) if node.stop <= now => gone = gone.max(Some(node.stop)),
                _ => {}
            }
        }
        if seen.sessions == 0 {
            seen.gone_at = gone.filter(|at| at + millis(settings.gone_ttl) > now);
        }
        seen
    }

    /// Forgets whom nobody remembers any more.
    fn sweep(&mut self, now: Millis, settings: &Settings) {
        self.swept = now;
        let gone_ttl = millis(settings.gone_ttl);
        self.nodes.retain(|_, node| node.stop + gone_ttl > now);
        let (nodes, attend_ttl) = (&self.nodes, millis(settings.attend_ttl));
        self.users.retain(|_, user| {
            user.sessions.retain(|(of, _, said)| nodes.contains_key(of) && said + attend_ttl > now);
            user.gone = user.gone.filter(|at| at + gone_ttl > now);
            !user.sessions.is_empty() || user.gone.is_some()
        });
    }
}

impl EmbeddedLive {
    fn known<T>(&self, look: impl FnOnce(&mut Known, Millis, &Settings) -> T) -> T {
        let mut known = self.store.present.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut known, self.store.clock.now(), &self.store.settings)
    }
}

impl Presence for EmbeddedLive {
    fn attend<'a>(&'a self, changes: &'a [Attendance]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            for change in changes {
                check_name(&self.what("presence"), &change.user)?;
            }
            self.known(|known, now, settings| {
                known.beat(self.instance, &self.node, now, now + millis(settings.presence_ttl));
                for change in changes {
                    known.attend(self.instance, change, now);
                }
            });
            Ok(())
        })
    }

    fn beat(&self) -> BoxFuture<'_, Result<Vec<String>, LiveDown>> {
        Box::pin(async move {
            Ok(self.known(|known, now, settings| {
                known.beat(self.instance, &self.node, now, now + millis(settings.presence_ttl));
                if now - known.swept >= millis(settings.presence_ttl) {
                    known.sweep(now, settings);
                }
                let alive = known.nodes.values().filter(|node| node.stop > now);
                let mut names: Vec<_> = alive.map(|node| node.name.to_string()).collect();
                names.sort_unstable();
                names.dedup();
                names
            }))
        })
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), LiveDown>> {
        Box::pin(async move {
            self.known(|known, now, _| {
                if let Some(node) = known.nodes.get_mut(&self.instance) {
                    node.stop = now;
                }
            });
            Ok(())
        })
    }

    fn seen<'a>(&'a self, users: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Seen>, LiveDown>> {
        Box::pin(async move {
            Ok(self.known(|known, now, settings| users.iter().map(|user| known.seen(user, now, settings)).collect()))
        })
    }
}
