//! Who is told when a list changed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use homing_core::queue::QueueName;
use tokio::sync::Notify;

/// One signal per shard that was ever taken by this handle.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<HashMap<QueueName, Arc<Notify>>>);

impl Wakes {
    /// The signal of a shard.
    pub(super) fn of(&self, shard: &QueueName) -> Arc<Notify> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(shard.clone()).or_default())
    }

    /// Tells the owners of these shards, where they are in this process.
    pub(super) fn tell(&self, shards: &[QueueName]) {
        let wakes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for shard in shards {
            if let Some(wake) = wakes.get(shard) {
                wake.notify_one();
            }
        }
    }

    /// Another process changed something.
    pub(super) fn tell_all(&self) {
        for wake in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            wake.notify_one();
        }
    }
}
