//! Finds the events of a MessagePack batch without reading them: each is then decoded alone, within its own bounds.

use std::ops::Range;

use crate::settings::MAX_EVENTS;

/// A place in a MessagePack body.
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What begins at a place.
pub(crate) enum Head {
    /// So many values.
    List(usize),
    /// So many pairs.
    Map(usize),
    /// Text of these bytes.
    Text(Range<usize>),
    /// Anything else, passed already.
    Other,
}

/// What is wrong, and at which byte.
pub(crate) type Wrong = (usize, String);

impl<'a> Walk<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn pass(&mut self, count: usize) -> Result<Range<usize>, Wrong> {
        if count > self.left() {
            return Err((self.at, format!("{count} bytes are announced, but {} are left", self.left())));
        }
        let start = self.at;
        self.at += count;
        Ok(start..self.at)
    }

    fn number(&mut self, size: usize) -> Result<usize, Wrong> {
        let range = self.pass(size)?;
        let bytes = self.bytes.get(range).unwrap_or_default();
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Passes the head of the value that begins here, and the whole value where it holds no others.
    pub(crate) fn head(&mut self) -> Result<Head, Wrong> {
        let start = self.at;
        let marker = self.number(1).map_err(|_| (start, "expected a value".to_owned()))?;
        let length = match marker {
            0x80..=0x8f => return Ok(Head::Map(marker & 0x0f)),
            0x90..=0x9f => return Ok(Head::List(marker & 0x0f)),
            0xdc => return Ok(Head::List(self.number(2)?)),
            0xdd => return Ok(Head::List(self.number(4)?)),
            0xde => return Ok(Head::Map(self.number(2)?)),
            0xdf => return Ok(Head::Map(self.number(4)?)),
            0xa0..=0xbf => return Ok(Head::Text(self.pass(marker & 0x1f)?)),
            0xc4 | 0xd9 => self.number(1)?,
            0xc5 | 0xda => self.number(2)?,
            0xc6 | 0xdb => self.number(4)?,
            0xc7 => self.number(1)? + 1,
            0xc8 => self.number(2)? + 1,
            0xc9 => self.number(4)? + 1,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xd4 => 2,
            0xd5 => 3,
            0xd6 => 5,
            0xd7 => 9,
            0xd8 => 17,
            0xc1 => return Err((start, "the byte 0xc1 begins no value".to_owned())),
            _ => 0,
        };
        let range = self.pass(length)?;
        Ok(if matches!(marker, 0xc4..=0xc6 | 0xd9..=0xdb) { Head::Text(range) } else { Head::Other })
    }

    /// Passes one whole value, however deep, without a stack: what counts is how many values are still to come.
    pub(crate) fn skip(&mut self) -> Result<Range<usize>, Wrong> {
        let start = self.at;
        let mut to_come = 1_usize;
        while to_come > 0 {
            let at = self.at;
            to_come -= 1;
            to_come = to_come.saturating_add(match self.head()? {
                Head::List(count) => count,
                Head::Map(count) => count.saturating_mul(2),
                Head::Text(_) | Head::Other => 0,
            });
            if to_come > self.left() {
                return Err((at, format!("{to_come} values are announced, but {} bytes are left", self.left())));
            }
        }
        Ok(start..self.at)
    }

    /// The places of a list's values, at most [`MAX_EVENTS`] and one more.
    pub(crate) fn places(&mut self, count: usize) -> Result<Vec<Range<usize>>, Wrong> {
        let mut places = Vec::new();
        for i in 0..count {
            let place = self.skip()?;
            if i <= MAX_EVENTS {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// Is everything passed?
    pub(crate) fn end(&self) -> Result<(), Wrong> {
        if self.left() == 0 { Ok(()) } else { Err((self.at, format!("{} bytes follow the value", self.left()))) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn every_kind_of_value_is_passed_whole() {
        for value in [
            &b"\x07"[..],
            b"\xff",
            b"\xc0",
            b"\xc3",
            b"\xa3abc",
            b"\xd9\x03abc",
            b"\xda\0\x03abc",
            b"\xdb\0\0\0\x03abc",
            b"\xc4\x01\xff",
            b"\xcb12345678",
            b"\xca1234",
            b"\xcd12",
            b"\xd8t0123456789abcdef",
            b"\xc7\x02tab",
            b"\x92\x01\x82\xa1a\x90\xa1b\xdc\0\x01\xc0",
            b"\xdf\0\0\0\x01\x01\x02",
        ] {
            let mut walk = Walk::new(value);
            assert_eq!(walk.skip().unwrap(), 0..value.len(), "{}", value.escape_ascii());
            walk.end().unwrap();
            for cut in 0..value.len() {
                assert!(Walk::new(&value[..cut]).skip().is_err(), "{} cut at {cut}", value.escape_ascii());
            }
        }
    }

    #[test]
    fn depth_and_lies_cost_nothing() {
        let deep = [vec![0x91; 4 << 20], vec![0xc0]].concat();
        assert_eq!(Walk::new(&deep).skip().unwrap().end, deep.len());
        let error = Walk::new(b"\xdd\xff\xff\xff\xff\x01").skip().unwrap_err();
        assert_eq!(error, (0, "4294967295 values are announced, but 1 bytes are left".to_owned()));
        assert_eq!(Walk::new(b"\x91\xc1").skip().unwrap_err().0, 1);
    }
}
