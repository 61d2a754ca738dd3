//! The bus of one process, and who is told that the schedule changed.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::future::BoxFuture;
use homing_core::live::{Announcement, BUS_SHARDS, Bus, Heard, LiveDown};
use tokio::sync::Notify;

use super::EmbeddedLive;
use crate::live::{ears::Ears, failure::refused};

/// The nodes of a process.
#[derive(Default)]
pub(super) struct Hub(Mutex<Vec<Weak<Listener>>>);

/// A node's ears.
pub(super) struct Listener {
    pub(super) ears: Ears,
    /// The schedule changed.
    pub(super) changed: Notify,
    /// A bit for each shard that is followed.
    shards: AtomicU64,
    /// It listens at all: one that only speaks would fill up.
    listens: AtomicBool,
}

const _: () = assert!(BUS_SHARDS <= u64::BITS);

impl Hub {
    pub(super) fn listener(&self, most: usize) -> Arc<Listener> {
        let listener = Arc::new(Listener {
            ears: Ears::new(most),
            changed: Notify::new(),
            shards: AtomicU64::new(0),
            listens: AtomicBool::new(false),
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&listener));
        listener
    }

    /// Tells all who follow. One after another: each hears the same order.
    pub(super) fn say(&self, announcements: Vec<Announcement>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        for said in announcements {
            let shard = said.shard();
            for listener in listeners.iter().filter(|listener| listener.hears(shard)) {
                listener.ears.said(said.clone());
            }
        }
    }

    pub(super) fn changed(&self) {
        for listener in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            listener.changed.notify_one();
        }
    }
}

impl Listener {
    fn hears(&self, shard: Option<u32>) -> bool {
        self.listens.load(Ordering::Acquire)
            && shard.is_none_or(|shard| self.shards.load(Ordering::Acquire) & (1 << shard) != 0)
    }
}

impl EmbeddedLive {
    fn bits(&self, shards: &[u32]) -> Result<u64, LiveDown> {
        let bit = |all: u64, shard: &u32| match shard {
            0..BUS_SHARDS => Ok(all | (1 << shard)),
            _ => Err(refused(&self.what("bus"), format!("there is no shard {shard}; there are {BUS_SHARDS}"))),
        };
        shards.iter().try_fold(0, bit)
    }
}

impl Bus for EmbeddedLive {
    fn follow<'a>(&'a self, shards: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            self.listener.shards.fetch_or(self.bits(shards)?, Ordering::AcqRel);
            self.listener.listens.store(true, Ordering::Release);
            Ok(())
        })
    }

    fn unfollow<'a>(&'a self, shards: &'a [u32]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            self.listener.shards.fetch_and(!self.bits(shards)?, Ordering::AcqRel);
            Ok(())
        })
    }

    fn announce<'a>(&'a self, announcements: &'a [Announcement]) -> BoxFuture<'a, Result<(), LiveDown>> {
        Box::pin(async move {
            self.store.hub.say(announcements.to_vec());
            Ok(())
        })
    }

    fn hear(&self) -> BoxFuture<'_, Heard> {
        Box::pin(async move {
            self.listener.listens.store(true, Ordering::Release);
            self.listener.ears.hear().await
        })
    }
}
