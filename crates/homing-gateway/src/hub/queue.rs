//! What waits for a socket: shared bytes, in order, bounded by whoever adds.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

/// So many pieces go out in one write.
pub(super) const PIECES: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Queue {
    parts: VecDeque<Bytes>,
    bytes: usize,
    /// A part of the first piece was written.
    begun: bool,
    /// Of the bytes that wait, so many were the session's own words; the limit for messages counts from there.
    pub(super) own: usize,
    /// So many bytes of it were told to the counters.
    pub(super) told: usize,
}

impl Queue {
    pub(super) fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.bytes += part.len();
            self.parts.push_back(part);
        }
    }

    /// The rest of a piece of which a part was written.
    pub(super) fn push_rest(&mut self, mut part: Bytes, written: usize) {
        self.begun |= self.parts.is_empty() && written > 0;
        part.advance(written.min(part.len()));
        self.push(part);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The first pieces; answers how many.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES]) -> usize {
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes -= written.min(self.bytes);
        while let Some(first) = self.parts.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.begun |= written > 0;
                return;
            }
            written -= first.len();
            self.parts.pop_front();
            self.begun = false;
        }
        self.own = 0;
        // A queue that was long is not kept that long.
        if self.parts.capacity() > 4 * PIECES {
            self.parts = VecDeque::new();
        }
    }

    /// Drops all but the piece that has begun: a frame cannot be left in its middle.
    pub(super) fn cut(&mut self) {
        let first = if self.begun { self.parts.pop_front() } else { None };
        self.parts.clear();
        self.bytes = 0;
        self.own = 0;
        if let Some(first) = first {
            self.push(first);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn joined(queue: &Queue) -> Vec<u8> {
        queue.parts.iter().flat_map(|part| part.to_vec()).collect()
    }

    #[test]
    fn bytes_leave_in_order_wherever_writes_end() {
        for step in 1..12 {
            let mut queue = Queue::default();
            for part in ["one", "", "two", "three"] {
                queue.push(Bytes::from_static(part.as_bytes()));
            }
            let mut out = Vec::new();
            while !queue.is_empty() {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let count = queue.slices(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                assert_eq!(all.len(), queue.bytes());
                let written = step.min(all.len());
                out.extend_from_slice(&all[..written]);
                queue.advance(written);
            }
            assert_eq!(out, b"onetwothree", "{step}");
            assert_eq!(queue.bytes(), 0);
        }
    }

    #[test]
    fn a_cut_keeps_what_has_begun() {
        let mut queue = Queue::default();
        queue.push(Bytes::from_static(b"first"));
        queue.push(Bytes::from_static(b"second"));
        queue.cut();
        assert!(queue.is_empty() && queue.bytes() == 0);
        queue.push_rest(Bytes::from_static(b"first"), 2);
        queue.push(Bytes::from_static(b"second"));
        queue.cut();
        assert_eq!(joined(&queue), b"rst");
        queue.push(Bytes::from_static(b"bye"));
        queue.advance(3);
        queue.cut();
        assert!(queue.is_empty());
    }
}
