//! What a user has read in a stream: all up to a watermark, and what has a bit behind it. The scripts for Redis keep
//! the same.

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Everything up to and including this offset.
    pub(crate) watermark: u64,
    /// `1` or `0` for each offset behind it.
    pub(crate) bits: Vec<u8>,
}

impl Reads {
    pub(crate) fn is_read(&self, offset: u64) -> bool {
        offset <= self.watermark || self.place(offset).and_then(|at| self.bits.get(at)) == Some(&b'1')
    }

    /// Marks one; answers whether it was unread.
    pub(crate) fn mark(&mut self, offset: u64) -> bool {
        let Some(at) = self.place(offset).filter(|_| !self.is_read(offset)) else { return false };
        if self.bits.len() <= at {
            self.bits.resize(at + 1, b'0');
        }
        if let Some(bit) = self.bits.get_mut(at) {
            *bit = b'1';
        }
        true
    }

    /// Marks all up to and including this one.
    pub(crate) fn mark_up_to(&mut self, offset: u64) {
        let passed = usize::try_from(offset.saturating_sub(self.watermark)).unwrap_or(usize::MAX);
        self.bits.drain(..passed.min(self.bits.len()));
        self.watermark = self.watermark.max(offset);
    }

    /// Needs no more room than the stream's kept messages, from `first` on: what has left needs no mark.
    pub(crate) fn settle(&mut self, first: u64) {
        self.mark_up_to(first.saturating_sub(1));
        let run = self.bits.iter().take_while(|bit| **bit == b'1').count();
        self.mark_up_to(self.watermark.saturating_add(run as u64));
    }

    /// Has anything unread left a stream whose first kept message is this?
    pub(crate) fn has_lost(&self, first: u64) -> bool {
        let gone = usize::try_from(first.saturating_sub(1).saturating_sub(self.watermark)).unwrap_or(usize::MAX);
        gone > self.bits.len() || self.bits.iter().take(gone).any(|bit| *bit == b'0')
    }

    fn place(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.watermark)?.checked_sub(1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_in_any_order_end_in_a_watermark() {
        let mut reads = Reads::default();
        for offset in [3, 1, 5] {
            assert!(reads.mark(offset) && !reads.mark(offset), "{offset}");
        }
        reads.settle(1);
        assert_eq!(reads, Reads { watermark: 1, bits: b"0101".to_vec() });
        assert!(reads.is_read(1) && !reads.is_read(2) && reads.is_read(3) && !reads.is_read(4) && !reads.is_read(6));
        assert!(!reads.has_lost(2) && reads.has_lost(3) && reads.has_lost(9));
        assert!(reads.mark(2));
        reads.settle(1);
        assert_eq!(reads, Reads { watermark: 3, bits: b"01".to_vec() });
        reads.settle(5);
        assert_eq!(reads, Reads { watermark: 5, bits: Vec::new() });
        assert!(!reads.has_lost(6) && !reads.mark(4));
        reads.mark_up_to(9);
        reads.mark_up_to(8);
        assert_eq!(reads, Reads { watermark: 9, bits: Vec::new() });
        reads.settle(u64::MAX);
        assert!(reads.is_read(u64::MAX - 1));
    }
}
