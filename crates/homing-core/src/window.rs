//! The part of a log that a worker has in hand: peeked, finished in any order, trimmed from the front.
//!
//! ```text
//!   head                     next (first position that was not peeked)
//!    │ ✓ ✓ · ✓ · · ✓ · │ . . . .
//!    └trim┘ └─checkpoint─┘
//! ```
//!
//! [`Window::advance`] says what a commit trims and what it notes as finished behind the first unfinished item; a
//! successor reads that note and skips what is finished.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::queue::{Advance, Budget, Item, Log, LogState, Seq};

/// Most of a log that a worker holds at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Items.
    pub items: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { items: 4096, bytes: 8 << 20 }
    }
}

/// Which positions and targets are finished, relative to a head.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// Bit `i` of byte `i / 8`: the item at head + i is finished.
    done: ByteBuf,
    /// For items of many targets of which some are finished: offset and the targets' bits.
    partial: BTreeMap<u32, ByteBuf>,
    /// CRC-32 of the first item that it speaks of, where that was in hand. If another one stands there, somebody took
    /// items away, and the note would be about the wrong ones.
    #[serde(default)]
    first: Option<u32>,
}

#[derive(Debug)]
struct Slot {
    body: Bytes,
    done: bool,
    /// Finished targets of an unfinished item; empty when none is.
    targets: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Window {
    log: Log,
    head: Seq,
    slots: VecDeque<Slot>,
    bytes: usize,
    open: usize,
    /// What the predecessor finished, by absolute position; emptied as the positions are peeked.
    inherited: BTreeMap<Seq, Option<Vec<u8>>>,
    /// The item that must stand at the head for `inherited` to hold.
    witness: Option<u32>,
    changed: bool,
}

impl Window {
    /// An empty window at the place where the predecessor left the log. A checkpoint that cannot be read is ignored:
    /// its items are then worked again rather than lost.
    pub fn open(state: &LogState) -> Self {
        let checkpoint: Checkpoint = rmp_serde::from_slice(&state.checkpoint).unwrap_or_default();
        let mut inherited = BTreeMap::new();
        for i in 0..checkpoint.done.len() * 8 {
            if bit(&checkpoint.done, i) {
                inherited.insert(state.head + i as Seq, None);
            }
        }
        for (i, targets) in checkpoint.partial {
            inherited.insert(state.head + Seq::from(i), Some(targets.into_vec()));
        }
        Self {
            log: state.log.clone(),
            head: state.head,
            slots: VecDeque::new(),
            bytes: 0,
            open: 0,
            inherited,
            witness: checkpoint.first,
            changed: false,
        }
    }

    /// Which log it is.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where the next peek begins.
    pub fn next(&self) -> Seq {
        self.head + self.slots.len() as Seq
    }

    /// How much the next peek may bring; `None` when the window is full.
    pub fn room(&self, limits: Limits) -> Option<Budget> {
        let items = limits.items.saturating_sub(self.slots.len());
        let bytes = limits.bytes.saturating_sub(self.bytes);
        (items > 0 && bytes > 0).then_some(Budget { items, bytes })
    }

    /// Items that are in hand and not finished.
    pub fn open_items(&self) -> usize {
        self.open
    }

    /// Takes in what a peek at [`Window::next`] brought; answers the positions that are still to be worked.
    pub fn accept(&mut self, items: Vec<Item>) -> Vec<Seq> {
        let mut fresh = Vec::with_capacity(items.len());
        for item in items {
            debug_assert_eq!(item.seq, self.next(), "items come in order");
            if let Some(witness) = self.witness.take()
                && crc32fast::hash(&item.body) != witness
            {
                // Worked again rather than lost.
                self.inherited.clear();
            }
            let inherited = self.inherited.remove(&item.seq);
            let done = matches!(inherited, Some(None));
            if done {
                self.changed = true;
            } else {
                fresh.push(item.seq);
                self.open += 1;
            }
            self.bytes += item.body.len();
            self.slots.push_back(Slot { body: item.body, done, targets: inherited.flatten().unwrap_or_default() });
        }
        fresh
    }

    /// The bytes of an item in hand.
    pub fn body(&self, seq: Seq) -> Option<&Bytes> {
        self.slot(seq).map(|s| &s.body)
    }

    /// Was this target of the item finished already (by this owner or a predecessor)?
    pub fn target_done(&self, seq: Seq, target: usize) -> bool {
        self.slot(seq).is_some_and(|s| s.done || bit(&s.targets, target))
    }

    /// Notes a finished target of an item that has others open.
    pub fn finish_target(&mut self, seq: Seq, target: usize) {
        if let Some(slot) = self.slot_mut(seq) {
            set(&mut slot.targets, target);
            self.changed = true;
        }
    }

    /// Notes a finished item. Its effects must be in the commit that carries the next [`Window::advance`].
    pub fn finish(&mut self, seq: Seq) {
        if let Some(slot) = self.slot_mut(seq)
            && !slot.done
        {
            slot.done = true;
            self.open -= 1;
            self.changed = true;
        }
    }

    /// What a commit now trims and notes; `None` when nothing was finished since the last one.
    pub fn advance(&self) -> Option<Advance> {
        let first = self.slots.front().filter(|_| self.changed)?;
        let trim = self.slots.iter().take_while(|s| s.done).count();
        let mut checkpoint = Checkpoint::default();
        let mut finished = 0;
        for (i, slot) in self.slots.iter().skip(trim).enumerate() {
            if slot.done {
                set(&mut checkpoint.done, i);
                finished += 1;
            } else if !slot.targets.is_empty()
                && let Ok(i) = u32::try_from(i)
            {
                checkpoint.partial.insert(i, ByteBuf::from(slot.targets.clone()));
            }
        }
        // Positions that a predecessor finished and nobody has peeked since stay noted.
        let base = self.head + trim as Seq;
        for (seq, targets) in &self.inherited {
            let Ok(i) = usize::try_from(seq.saturating_sub(base)) else { continue };
            match targets {
                None => {
                    set(&mut checkpoint.done, i);
                    finished += 1;
                }
                Some(targets) => {
                    if let Ok(i) = u32::try_from(i) {
                        checkpoint.partial.insert(i, ByteBuf::from(targets.clone()));
                    }
                }
            }
        }
        checkpoint.first = self.slots.get(trim).map(|slot| crc32fast::hash(&slot.body));
        let noted = if checkpoint.done.is_empty() && checkpoint.partial.is_empty() {
            Bytes::new()
        } else {
            // Two byte strings and a map of numbers cannot fail to encode.
            rmp_serde::to_vec(&checkpoint).map(Bytes::from).unwrap_or_default()
        };
        Some(Advance {
            log: self.log.clone(),
            head: self.head,
            first: first.body.clone(),
            trim: trim as u64,
            checkpoint: noted,
            finished,
        })
    }

    /// The commit with `advance` was confirmed. What was finished after [`Window::advance`] was asked stays for the
    /// next one.
    pub fn applied(&mut self, advance: &Advance) {
        let trim = usize::try_from(advance.trim).unwrap_or(usize::MAX).min(self.slots.len());
        for slot in self.slots.drain(..trim) {
            self.bytes -= slot.body.len();
        }
        self.head += trim as Seq;
        self.changed = self.advance_differs(advance.finished);
    }

    fn advance_differs(&self, noted: u64) -> bool {
        let done =
            self.slots.iter().filter(|s| s.done).count() + self.inherited.values().filter(|t| t.is_none()).count();
        done as u64 != noted || self.slots.iter().any(|s| !s.done && !s.targets.is_empty())
    }

    fn slot(&self, seq: Seq) -> Option<&Slot> {
        self.slots.get(usize::try_from(seq.checked_sub(self.head)?).ok()?)
    }

    fn slot_mut(&mut self, seq: Seq) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(seq.checked_sub(self.head)?).ok()?)
    }
}

fn bit(bits: &[u8], i: usize) -> bool {
    bits.get(i / 8).is_some_and(|b| b & (1 << (i % 8)) != 0)
}

fn set(bits: &mut Vec<u8>, i: usize) {
    if bits.len() <= i / 8 {
        bits.resize(i / 8 + 1, 0);
    }
    if let Some(byte) = bits.get_mut(i / 8) {
        *byte |= 1 << (i % 8);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn items(from: Seq, n: usize) -> Vec<Item> {
        (from..).take(n).map(|seq| Item { seq, body: Bytes::from(format!("item {seq}")) }).collect()
    }

    fn fresh() -> Window {
        Window::open(&LogState { log: Log::MAIN, head: 100, checkpoint: Bytes::new() })
    }

    fn successor(advance: &Advance) -> Window {
        Window::open(&LogState {
            log: Log::MAIN,
            head: advance.head + advance.trim,
            checkpoint: advance.checkpoint.clone(),
        })
    }

    #[test]
    fn trims_the_finished_front_and_notes_what_is_finished_behind() {
        let mut w = fresh();
        assert_eq!(w.accept(items(100, 6)), [100, 101, 102, 103, 104, 105]);
        assert_eq!(w.advance(), None, "nothing is finished");
        for seq in [100, 101, 103, 105] {
            w.finish(seq);
        }
        let advance = w.advance().unwrap();
        assert_eq!((advance.head, advance.trim, advance.finished), (100, 2, 2));
        assert_eq!(advance.first, "item 100");
        w.applied(&advance);
        assert_eq!(w.advance(), None);
        assert_eq!(w.open_items(), 2);

        let mut next = successor(&advance);
        assert_eq!(next.accept(items(102, 5)), [102, 104, 106], "103 and 105 are skipped");
        next.finish(102);
        let advance = next.advance().unwrap();
        assert_eq!((advance.trim, advance.finished), (2, 1));
    }

    #[test]
    fn work_finished_while_a_commit_is_on_its_way_is_in_the_next_one() {
        let mut w = fresh();
        w.accept(items(100, 3));
        w.finish(100);
        let first = w.advance().unwrap();
        w.finish(101);
        w.applied(&first);
        let second = w.advance().unwrap();
        assert_eq!((second.head, second.trim), (101, 1));
        assert_eq!(second.first, "item 101");
    }

    #[test]
    fn a_finish_behind_the_front_during_a_commit_is_noted_later() {
        let mut w = fresh();
        w.accept(items(100, 4));
        w.finish(102);
        let first = w.advance().unwrap();
        w.finish(103);
        w.applied(&first);
        assert_eq!(w.advance().map(|a| (a.trim, a.finished)), Some((0, 2)));
    }

    #[test]
    fn an_inherited_note_survives_until_its_items_are_peeked() {
        let mut w = fresh();
        w.accept(items(100, 6));
        w.finish(105);
        let noted = w.advance().unwrap();
        let mut next = successor(&noted);
        next.accept(items(100, 2));
        next.finish(100);
        let advance = next.advance().unwrap();
        assert_eq!((advance.trim, advance.finished), (1, 1));
        assert_eq!(successor(&advance).accept(items(101, 5)), [101, 102, 103, 104]);
    }

    #[test]
    fn finished_targets_of_an_open_item_are_known_to_the_successor() {
        let mut w = fresh();
        w.accept(items(100, 2));
        w.finish_target(101, 9);
        let advance = w.advance().unwrap();
        let mut next = successor(&advance);
        assert_eq!(next.accept(items(100, 2)), [100, 101]);
        assert!(next.target_done(101, 9));
        assert!(!next.target_done(101, 8));
        assert!(!next.target_done(100, 9));
    }

    #[test]
    fn room_is_bounded_in_items_and_bytes() {
        let mut w = fresh();
        let limits = Limits { items: 3, bytes: 20 };
        assert_eq!(w.room(limits).map(|b| (b.items, b.bytes)), Some((3, 20)));
        w.accept(items(100, 2));
        assert_eq!(w.room(limits).map(|b| (b.items, b.bytes)), Some((1, 4)));
        w.accept(items(102, 1));
        assert!(w.room(limits).is_none());
    }

    #[test]
    fn a_note_about_other_items_is_ignored() {
        let mut w = fresh();
        w.accept(items(100, 3));
        w.finish(101);
        let noted = w.advance().unwrap();
        let mut next = successor(&noted);
        // Somebody popped the first item: what stands there now was never sent.
        let shifted = vec![
            Item { seq: 100, body: Bytes::from_static(b"item 101") },
            Item { seq: 101, body: Bytes::from_static(b"item 102") },
        ];
        assert_eq!(next.accept(shifted), [100, 101]);
    }

    #[test]
    fn an_unreadable_checkpoint_repeats_rather_than_loses() {
        let mut w = Window::open(&LogState { log: Log::MAIN, head: 5, checkpoint: Bytes::from_static(b"\xff\xff") });
        assert_eq!(w.accept(items(5, 2)), [5, 6]);
    }
}
