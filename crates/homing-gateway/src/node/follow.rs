//! Which streams have sessions here, on which shards; the bus is heard where it concerns one of them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use homing_core::live::{Bus, LiveDown, Stream};

/// The shards of the bus that are heard stay so, though nobody is left, until this many are idle: people come back.
const IDLE: usize = 16;

/// See the module.
pub(super) struct Follows {
    bus: Arc<dyn Bus>,
    here: Mutex<Here>,
    heard: tokio::sync::Mutex<HashSet<u32>>,
}

#[derive(Default)]
struct Here {
    /// A bit for each shard (the hub has at most 64).
    streams: HashMap<Stream, u64>,
    /// How many streams of a shard of the bus are followed.
    wanted: HashMap<u32, usize>,
}

impl Follows {
    pub(super) fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, here: Mutex::default(), heard: tokio::sync::Mutex::default() }
    }

    /// Somebody on the hub's shard follows the stream now, or nobody does any more.
    pub(super) fn note(&self, shard: u16, stream: &Stream, yes: bool) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let bit = 1_u64 << (shard % 64);
        let before = here.streams.get(stream).copied().unwrap_or(0);
        let after = if yes { before | bit } else { before & !bit };
        match (before, after) {
            (_, 0) => here.streams.remove(stream).map(|_| ()),
            _ => here.streams.insert(stream.clone(), after).map(|_| ()),
        };
        let Some(bus) = stream.shard() else { return };
        let wanted = here.wanted.entry(bus).or_default();
        match (before, after) {
            (0, 1..) => *wanted += 1,
            (1.., 0) => *wanted = wanted.saturating_sub(1),
            _ => {}
        }
    }

    /// The hub's shards where the stream is followed.
    pub(super) fn shards(&self, stream: &Stream) -> impl Iterator<Item = u16> + use<> {
        let bits = self.here.lock().unwrap_or_else(PoisonError::into_inner).streams.get(stream).copied().unwrap_or(0);
        (0..64_u16).filter(move |shard| bits & (1 << shard) != 0)
    }

    /// Returns when what is announced for these streams is heard here. The streams were noted before, so that nobody stops
    /// hearing them meanwhile.
    pub(super) async fn hear<'a>(&self, streams: impl Iterator<Item = &'a Stream>) -> Result<(), LiveDown> {
        let shards: HashSet<u32> = streams.filter_map(Stream::shard).collect();
        let mut heard = self.heard.lock().await;
        let new: Vec<u32> = shards.difference(&heard).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        self.bus.follow(&new).await?;
        heard.extend(new);
        Ok(())
    }

    /// Stops hearing shards of which nobody is here, if there are many.
    pub(super) async fn tidy(&self) {
        let mut heard = self.heard.lock().await;
        let idle: Vec<u32> = {
            let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
            heard.iter().filter(|shard| here.wanted.get(shard).copied().unwrap_or(0) == 0).copied().collect()
        };
        if idle.len() > IDLE && self.bus.unfollow(&idle).await.is_ok() {
            heard.retain(|shard| !idle.contains(shard));
        }
    }
}
