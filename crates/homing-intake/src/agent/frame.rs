//! A stream of bytes into frames. Bytes may come in any portions; a byte is looked at once.

use bytes::{Buf as _, Bytes, BytesMut};

use super::Dialect;

/// One job as it came: one MessagePack value, or nothing (a heartbeat).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    /// Where its bytes begin in the stream.
    pub(super) at: u64,
}

/// Bytes that are no frames, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Garbage {
    pub(super) at: u64,
    pub(super) what: String,
}

/// See the module.
pub(super) struct Frames {
    /// What came and is not yet a frame.
    pub(super) buffer: BytesMut,
    /// Known from the first byte on.
    pub(super) dialect: Option<Dialect>,
    understood: Vec<Dialect>,
    most: usize,
    /// Where the buffer begins in the stream.
    at: u64,
    measure: Measure,
}

// === impl Frames ===

impl Frames {
    /// Frames of at most `most` bytes in one of these dialects.
    pub(super) fn new(understood: &[Dialect], most: usize) -> Self {
        let measure = Measure::default();
        Self { buffer: BytesMut::new(), dialect: None, understood: understood.to_vec(), most, at: 0, measure }
    }

    /// Has a frame begun and not ended?
    pub(super) fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame, if it is there.
    ///
    /// # Errors
    /// What is there is none.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Garbage> {
        let Some(first) = self.buffer.first().copied() else { return Ok(None) };
        let dialect = match self.dialect {
            Some(dialect) => dialect,
            None => *self.dialect.insert(self.detect(first)?),
        };
        match dialect {
            Dialect::Framed => self.framed(),
            Dialect::Bare => self.bare(),
        }
    }

    fn detect(&self, first: u8) -> Result<Dialect, Garbage> {
        let dialect = match first {
            0 => Dialect::Framed,
            0x80.. => Dialect::Bare,
            _ => {
                let what =
                    format!("the first byte is {first:#04x}: neither a length below 16 MiB nor a msgpack container");
                return Err(Garbage { at: self.at, what });
            }
        };
        if self.understood.contains(&dialect) {
            return Ok(dialect);
        }
        Err(Garbage { at: self.at, what: format!("the {} dialect is switched off", dialect.name()) })
    }

    fn framed(&mut self) -> Result<Option<Frame>, Garbage> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > self.most {
            return Err(self.garbage(0, format!("a frame of {length} bytes, the most is {}", self.most)));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        self.at += 4;
        Ok(Some(self.take(length)))
    }

    fn bare(&mut self) -> Result<Option<Frame>, Garbage> {
        match self.measure.go_on(&self.buffer, self.most) {
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                self.measure = Measure::default();
                Ok(Some(self.take(length)))
            }
            Err((position, what)) => Err(self.garbage(position, what)),
        }
    }

    fn take(&mut self, length: usize) -> Frame {
        let frame = Frame { bytes: self.buffer.split_to(length).freeze(), at: self.at };
        self.at += length as u64;
        frame
    }

    fn garbage(&self, position: usize, what: String) -> Garbage {
        Garbage { at: self.at + position as u64, what }
    }
}

/// Where a MessagePack value ends, found in as many goes as its bytes need. It needs no stack: what counts is how many
/// values are still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Everything before is passed; it may lie behind what is there yet.
    at: usize,
    to_come: u64,
}

impl Default for Measure {
    fn default() -> Self {
        Self { at: 0, to_come: 1 }
    }
}

impl Measure {
    /// The length of the value at the beginning of `bytes`, which grow from call to call; `None` = it is not yet whole.
    ///
    /// # Errors
    /// A position and why no value of at most `most` bytes is there.
    pub(super) fn go_on(&mut self, bytes: &[u8], most: usize) -> Result<Option<usize>, (usize, String)> {
        while self.to_come > 0 {
            let rest = match bytes.get(self.at..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => return Ok(None),
            };
            let Some((passed, values)) = head(rest).map_err(|what| (self.at, what.to_owned()))? else {
                return Ok(None);
            };
            let to_come = (self.to_come - 1).saturating_add(values);
            let end = self.at.saturating_add(passed);
            // Every value takes a byte at least.
            if end as u64 + to_come > most as u64 {
                return Err((self.at, format!("a value of more than {most} bytes")));
            }
            (self.at, self.to_come) = (end, to_come);
        }
        Ok(if self.at <= bytes.len() { Some(self.at) } else { None })
    }

    /// Is `bytes` one whole value and nothing more?
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        Self::default().go_on(bytes, bytes.len()) == Ok(Some(bytes.len()))
    }
}

/// How many bytes the value at the beginning takes before those that it holds, and how many it holds; `None` = its head
/// is not yet whole.
fn head(bytes: &[u8]) -> Result<Option<(usize, u64)>, &'static str> {
    let Some(marker) = bytes.first().copied() else { return Ok(None) };
    let number = |size: usize| {
        let bytes = bytes.get(1..=size)?;
        Some(bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)))
    };
    // Length of the length, and what follows it beside its bytes.
    let text = |size, more| number(size).map(|length| (1 + size + more + length, 0));
    let list = |size, each: u64| number(size).map(|count| (1 + size, count as u64 * each));
    Ok(match marker {
        0x80..=0x8f => Some((1, u64::from(marker & 0x0f) * 2)),
        0x90..=0x9f => Some((1, u64::from(marker & 0x0f))),
        0xa0..=0xbf => Some((1 + usize::from(marker & 0x1f), 0)),
        0xc1 => return Err("the byte 0xc1 begins no value"),
        0xc4 | 0xd9 => text(1, 0),
        0xc5 | 0xda => text(2, 0),
        0xc6 | 0xdb => text(4, 0),
        0xc7 => text(1, 1),
        0xc8 => text(2, 1),
        0xc9 => text(4, 1),
        0xcc | 0xd0 => Some((2, 0)),
        0xcd | 0xd1 | 0xd4 => Some((3, 0)),
        0xd5 => Some((4, 0)),
        0xca | 0xce | 0xd2 => Some((5, 0)),
        0xd6 => Some((6, 0)),
        0xcb | 0xcf | 0xd3 => Some((9, 0)),
        0xd7 => Some((10, 0)),
        0xd8 => Some((18, 0)),
        0xdc => list(2, 1),
        0xdd => list(4, 1),
        0xde => list(2, 2),
        0xdf => list(4, 2),
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some((1, 0)),
    })
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
