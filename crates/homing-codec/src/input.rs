//! Bytes that are read from front to back, and errors that say where.

use std::borrow::Cow;

use crate::{Codec, Error, Result};

/// Elements that a container reserves room for before it has read one. More grow as they come, so that a count is
/// never trusted with memory.
const RESERVE: usize = 32;

/// Room to reserve for a claimed `count`.
pub(crate) fn reserve(count: usize) -> usize {
    count.min(RESERVE)
}

/// The input of a binary reader. `at` never passes the end.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
    codec: Codec,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8], codec: Codec) -> Self {
        Self { bytes, at: 0, codec }
    }

    /// An error at `position`, which is a byte of the input or its end.
    #[cold]
    pub(crate) fn fail<T>(&self, position: usize, what: impl Into<Cow<'static, str>>) -> Result<T> {
        Err(Error { codec: self.codec, position, what: what.into() })
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest().len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next `count` bytes, or `None` (and nothing taken) if fewer are left.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..count)?;
        self.at += count;
        Some(taken)
    }

    /// The next `N` bytes, or `None` (and nothing taken) if fewer are left.
    pub(crate) fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.rest().first_chunk()?;
        self.at += N;
        Some(taken)
    }

    /// Refuses what follows a complete value.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            1 => self.fail(self.at, "1 byte follows the value"),
            many => self.fail(self.at, format!("{many} bytes follow the value")),
        }
    }
}
