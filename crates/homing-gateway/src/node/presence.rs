//! Who is here: changes are gathered and told together; a node that lives says so.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use homing_core::live::Attendance;
use tokio::{sync::Notify, time::sleep};
use tracing::warn;

use super::{Node, meter};

/// Changes that come together are told together.
const TOGETHER: Duration = Duration::from_millis(5);
/// Users told of in one round trip.
const CHUNK: usize = 1_000;
/// Pause after the store was away.
const PAUSE: Duration = Duration::from_millis(500);

/// Sessions by user.
#[derive(Default)]
pub(super) struct Roll {
    users: Mutex<Users>,
    changed: Notify,
}

#[derive(Default)]
struct Users {
    sessions: HashMap<Arc<str>, u32>,
    /// Those whose number the others have not been told.
    untold: HashMap<Arc<str>, ()>,
}

impl Roll {
    fn lock(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, user: &Arc<str>, by: i32) {
        let mut users = self.lock();
        let count = users.sessions.entry(Arc::clone(user)).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            users.sessions.remove(user);
        }
        users.untold.insert(Arc::clone(user), ());
        drop(users);
        self.changed.notify_one();
    }

    /// Everybody is told of again.
    pub(super) fn call(&self) {
        let mut users = self.lock();
        let all: Vec<Arc<str>> = users.sessions.keys().cloned().collect();
        users.untold.extend(all.into_iter().map(|user| (user, ())));
        drop(users);
        self.changed.notify_one();
    }

    fn take(&self) -> Vec<Attendance> {
        let mut users = self.lock();
        let some: Vec<Arc<str>> = users.untold.keys().take(CHUNK).cloned().collect();
        let told = some.into_iter().map(|user| {
            users.untold.remove(&user);
            let sessions = users.sessions.get(&user).copied().unwrap_or(0);
            Attendance { user, sessions }
        });
        told.collect()
    }

    fn give_back(&self, changes: Vec<Attendance>) {
        let mut users = self.lock();
        users.untold.extend(changes.into_iter().map(|change| (change.user, ())));
    }

    fn count(&self) -> usize {
        self.lock().sessions.len()
    }
}

impl Node {
    /// Tells of changes.
    pub(super) async fn tell(&self) {
        loop {
            self.roll.changed.notified().await;
            sleep(TOGETHER).await;
            loop {
                let changes = self.roll.take();
                if changes.is_empty() {
                    break;
                }
                if let Err(error) = self.stores.presence.attend(&changes).await {
                    self.status.down("presence", &error.to_string());
                    self.roll.give_back(changes);
                    sleep(PAUSE).await;
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!(meter::USERS).set(self.roll.count() as f64);
        }
    }

    /// Says that the node lives, and now and then who is here.
    pub(super) async fn beat(&self) {
        let mut since = Duration::ZERO;
        let mut was_down = false;
        loop {
            match self.stores.presence.beat().await {
                Ok(_) => {
                    self.status.up("presence");
                    self.look().await;
                    if was_down {
                        self.roll.call();
                    }
                    was_down = false;
                }
                Err(error) => {
                    self.status.down("presence", &error.to_string());
                    was_down = true;
                }
            }
            let pause = if was_down { PAUSE } else { self.settings.beat };
            sleep(pause).await;
            since += pause;
            if since >= self.settings.roll_call {
                since = Duration::ZERO;
                self.roll.call();
            }
        }
    }

    /// The node ends.
    pub(super) async fn farewell(&self) {
        if let Err(error) = self.stores.presence.leave().await {
            warn!(%error, "Could not say goodbye; the users here count as online until the node's word is too old.");
        }
    }
}
