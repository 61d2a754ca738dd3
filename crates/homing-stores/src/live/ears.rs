//! What a node heard and has not listened to yet: bounded in bytes. A node that listens too slowly loses all that
//! waits, and is told so by one gap: what it missed is in the streams, and half of it would be no use.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use homing_core::live::{Announcement, Heard};
use tokio::sync::Notify;

/// What an entry costs beside its bytes.
const ENTRY: usize = 96;

enum Entry {
    Raw(Bytes),
    Said(Announcement),
    Gap,
}

/// See the module.
pub(crate) struct Ears {
    most: usize,
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    unreadable: u64,
}

impl Ears {
    /// Keeps at most so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::default(), woken: Notify::new() }
    }

    /// An announcement as it came over the wire.
    pub(crate) fn raw(&self, bytes: Bytes) {
        self.push(bytes.len() + ENTRY, Entry::Raw(bytes));
    }

    /// An announcement of the same process.
    pub(crate) fn said(&self, announcement: Announcement) {
        self.push(size(&announcement), Entry::Said(announcement));
    }

    /// Something may have been missed.
    pub(crate) fn gap(&self) {
        self.push(ENTRY, Entry::Gap);
    }

    fn push(&self, size: usize, entry: Entry) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(entry, Entry::Gap) && matches!(waiting.entries.back(), Some(Entry::Gap)) {
                return;
            }
            if waiting.bytes + size > self.most {
                let dropped = waiting.entries.len();
                *waiting = Waiting { bytes: ENTRY, unreadable: waiting.unreadable, ..Waiting::default() };
                waiting.entries.push_back(Entry::Gap);
                tracing::warn!(
                    dropped,
                    "The node listens too slowly to the bus: what waited is dropped and looked up."
                );
            }
            waiting.bytes += size;
            waiting.entries.push_back(entry);
        }
        self.woken.notify_one();
    }

    /// What is next; for one listener. May be cancelled: nothing is lost.
    pub(crate) async fn hear(&self) -> Heard {
        loop {
            if let Some(heard) = self.next() {
                return heard;
            }
            self.woken.notified().await;
        }
    }

    fn next(&self) -> Option<Heard> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let entry = waiting.entries.pop_front()?;
            if waiting.entries.is_empty() && waiting.entries.capacity() > 4_096 {
                waiting.entries = VecDeque::new();
            }
            match entry {
                Entry::Gap => {
                    waiting.bytes = waiting.bytes.saturating_sub(ENTRY);
                    return Some(Heard::Gap);
                }
                Entry::Said(said) => {
                    waiting.bytes = waiting.bytes.saturating_sub(size(&said));
                    return Some(Heard::Said(said));
                }
                Entry::Raw(bytes) => {
                    waiting.bytes = waiting.bytes.saturating_sub(bytes.len() + ENTRY);
                    match Announcement::decode(&bytes) {
                        Ok(said) => return Some(Heard::Said(said)),
                        Err(error) => {
                            // Whoever floods the bus with rubbish does not flood the log.
                            waiting.unreadable += 1;
                            if waiting.unreadable.is_power_of_two() {
                                let so_far = waiting.unreadable;
                                tracing::warn!(%error, so_far, "Something unreadable was published on the bus.");
                            }
                        }
                    }
                }
            }
        }
    }
}

fn size(announcement: &Announcement) -> usize {
    ENTRY
        + match announcement {
            Announcement::Message { body, .. } => body.len(),
            Announcement::Read { ids, .. } => ids.iter().map(|id| id.len() + 16).sum(),
            Announcement::Leave { why, .. } => why.len(),
        }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn said(n: u32) -> Announcement {
        Announcement::Leave { user: n.to_string().into(), why: String::new() }
    }

    #[tokio::test]
    async fn who_listens_too_slowly_gets_one_gap_and_what_came_after() {
        let ears = Ears::new(4 * ENTRY);
        for n in 0..3 {
            ears.raw(said(n).encode());
        }
        ears.said(said(9));
        ears.gap();
        ears.gap();
        assert_eq!(ears.hear().await, Heard::Gap);
        assert_eq!(ears.next(), Some(Heard::Said(said(9))));
        assert_eq!((ears.next(), ears.next()), (Some(Heard::Gap), None));
        assert_eq!(ears.waiting.lock().unwrap().bytes, 0);
    }

    #[tokio::test]
    async fn rubbish_is_passed_over() {
        let ears = Ears::new(65_536);
        ears.raw(Bytes::from_static(b"\xff"));
        ears.raw(said(1).encode());
        assert_eq!(ears.hear().await, Heard::Said(said(1)));
        assert_eq!(ears.waiting.lock().unwrap().bytes, 0);
    }
}
