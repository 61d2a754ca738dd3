//! msgpack as notepack.io and @msgpack/msgpack write it, into a [`Value`].
//!
//! Extensions: timestamps (type -1) and the dates of old emitters (`d7 00` and milliseconds) become text as
//! `JSON.stringify` gives it; `d4 00 00` is undefined: absent in a map, null elsewhere; type 0 of another length is an
//! ArrayBuffer, type 1 an integer in digits. Lengths are claims that are checked against what is left.

use bytes::Bytes;

use super::{
    super::{bad::Bad, value::Value},
    moment,
};

/// Containers inside containers.
const DEPTH: usize = 64;
/// Values in a message.
const VALUES: usize = 200_000;
/// Nanoseconds in a millisecond.
const MILLI: u32 = 1_000_000;

/// Reads the one value that `bytes` hold.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Bad> {
    let mut reader = Reader { bytes, at: 0, left: VALUES };
    let value = reader.value(0)?.unwrap_or(Value::None);
    if reader.at < bytes.len() {
        return Err(reader.wrong("the message has ended, but not the bytes"));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values that may still come.
    left: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &str) -> Bad {
        Bad(format!("msgpack: {what} at byte {}", self.at))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest
            .get(..length)
            .ok_or_else(|| self.wrong(&format!("{length} bytes are claimed, {} are left,", rest.len())))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.wrong("the bytes end"))
    }

    /// A length of 1, 2 or 4 bytes.
    fn length(&mut self, width: u8) -> Result<usize, Bad> {
        Ok(match width {
            0 => self.array::<1>()?[0].into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    /// A value; `None` is undefined.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, Bad> {
        let [first] = self.array()?;
        self.left = self.left.checked_sub(1).ok_or_else(|| self.wrong("more than 200000 values"))?;
        Ok(Some(match first {
            0x00..=0x7f => Value::Int(first.into()),
            0x80..=0x8f => self.map((first & 0x0f).into(), depth)?,
            0x90..=0x9f => self.list((first & 0x0f).into(), depth)?,
            0xa0..=0xbf => self.text((first & 0x1f).into())?,
            0xc0 => Value::None,
            0xc1 => return Err(self.wrong("an unused type")),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(first - 0xc4)?;
                Value::Bytes(Bytes::copy_from_slice(self.take(length)?))
            }
            0xc7..=0xc9 => {
                let length = self.length(first - 0xc7)?;
                return self.extension(length, false);
            }
            0xca => Value::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Int(u8::from_be_bytes(self.array()?).into()),
            0xcd => Value::Int(u16::from_be_bytes(self.array()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.array()?).into()),
            0xcf => {
                let number = u64::from_be_bytes(self.array()?);
                i64::try_from(number).map_or_else(|_| Value::Big(number.to_string().into()), Value::Int)
            }
            0xd0 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => return self.extension(1 << (first - 0xd4), true),
            0xd9..=0xdb => {
                let length = self.length(first - 0xd9)?;
                self.text(length)?
            }
            0xdc | 0xdd => {
                let length = self.length(first - 0xdc + 1)?;
                self.list(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(first - 0xde + 1)?;
                self.map(length, depth)?
            }
            0xe0..=0xff => Value::Int(i8::from_be_bytes([first]).into()),
        }))
    }

    fn text(&mut self, length: usize) -> Result<Value, Bad> {
        let bytes = self.take(length)?;
        // Half of a surrogate pair may stand there; JavaScript reads it as U+FFFD, too.
        Ok(Value::Str(String::from_utf8_lossy(bytes).into()))
    }

    /// So many values are claimed, of at least one byte each.
    fn claim(&self, values: usize, depth: usize) -> Result<(), Bad> {
        if depth >= DEPTH {
            return Err(self.wrong("nested deeper than 64 levels"));
        }
        let left = self.bytes.len() - self.at.min(self.bytes.len());
        if values > left {
            return Err(self.wrong(&format!("{values} values are claimed, {left} bytes are left,")));
        }
        Ok(())
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Value, Bad> {
        self.claim(length, depth)?;
        let items = (0..length).map(|_| Ok(self.value(depth + 1)?.unwrap_or(Value::None)));
        Ok(Value::List(items.collect::<Result<Vec<_>, Bad>>()?.into()))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, Bad> {
        self.claim(length.saturating_mul(2), depth)?;
        let mut pairs = Vec::new();
        for _ in 0..length {
            let key = match self.value(depth + 1)? {
                Some(Value::List(_) | Value::Dict(_) | Value::Bytes(_)) => {
                    return Err(self.wrong("a key is neither text nor a number"));
                }
                key => key.unwrap_or(Value::None),
            };
            pairs.extend(self.value(depth + 1)?.map(|value| (key, value)));
        }
        Ok(Value::Dict(pairs.into()))
    }

    fn extension(&mut self, length: usize, fixed: bool) -> Result<Option<Value>, Bad> {
        let kind = i8::from_be_bytes(self.array()?);
        let bytes = self.take(length)?;
        Ok(Some(match (kind, bytes) {
            (0, [_]) if fixed => return Ok(None),
            (0, &[a, b, c, d, e, f, g, h]) if fixed => moment::iso(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
            (0, bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
            (1, digits) if digits.len() <= 4_300 => self.digits(digits)?,
            (-1, &[a, b, c, d]) => moment::iso(i64::from(u32::from_be_bytes([a, b, c, d])) * 1_000),
            (-1, &[a, b, c, d, e, f, g, h]) => {
                let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                let nanos = u32::try_from(both >> 34).unwrap_or_default();
                let seconds = i64::try_from(both & 0x3_ffff_ffff).unwrap_or_default();
                moment::iso(seconds * 1_000 + i64::from(nanos / MILLI))
            }
            (-1, &[a, b, c, d, ref seconds @ ..]) if seconds.len() == 8 => {
                let nanos = u32::from_be_bytes([a, b, c, d]);
                let seconds = seconds.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)).cast_signed();
                moment::iso(seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / MILLI)))
            }
            (kind, bytes) => return Err(self.wrong(&format!("an extension {kind} of {} bytes", bytes.len()))),
        }))
    }

    fn digits(&self, digits: &[u8]) -> Result<Value, Bad> {
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let plain = text.strip_prefix('-').unwrap_or(text);
        match plain.as_bytes() {
            [b'0'] => Ok(Value::Int(0)),
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                Ok(text.parse().map_or_else(|_| Value::Big(text.into()), Value::Int))
            }
            _ => Err(self.wrong("an integer that is none")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn dates_undefined_and_large_numbers() {
        for (bytes, value) in [
            (&b"\xd6\xff\x65\x53\xf1\x00"[..], "2023-11-14T22:13:20.000Z".into()),
            (b"\xd7\x00\x00\x00\x01\x8b\xcf\xe5\x68\x00", "2023-11-14T22:13:20.000Z".into()),
            (b"\xd7\xff\x07\x5b\xca\x00\x65\x53\xf1\x00", "2023-11-14T22:13:20.030Z".into()),
            (b"\xc7\x0c\xff\x00\x0f\x42\x40\xff\xff\xff\xff\xff\xff\xff\xff", "1969-12-31T23:59:59.001Z".into()),
            (b"\x82\xa1a\xd4\x00\x00\xa1b\xc0", Value::Dict([("b".into(), Value::None)].into())),
            (b"\x91\xd4\x00\x00", Value::List([Value::None].into())),
            (b"\xc7\x02\x00ab", Value::Bytes(Bytes::from_static(b"ab"))),
            (b"\xc7\x02\x0142", Value::Int(42)),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Value::Big("18446744073709551615".into())),
            (b"\xff", Value::Int(-1)),
            (b"\xca\x3f\x00\x00\x00", Value::Float(0.5)),
        ] {
            assert_eq!(read(bytes).unwrap(), value, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn claims_are_checked() {
        for (bytes, why) in [
            (&b""[..], "1 bytes are claimed, 0 are left, at byte 0"),
            (b"\xdd\xff\xff\xff\xff", "4294967295 values are claimed, 0 bytes are left, at byte 5"),
            (b"\xdf\xff\xff\xff\xff\x01", "values are claimed"),
            (b"\xdb\xff\xff\xff\xffab", "4294967295 bytes are claimed, 2 are left"),
            (b"\xc1", "an unused type at byte 1"),
            (b"\x01\x02", "has ended, but not the bytes at byte 1"),
            (b"\xd4\x05\x00", "an extension 5 of 1 bytes"),
            (b"\xc7\x01\x01x", "an integer that is none"),
            (b"\x81\x90\x01", "a key is neither"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{}: {error}", bytes.escape_ascii());
        }
        let many = [&b"\xdd\x00\x03\x0d\x40"[..], &[0xc0; 200_000]].concat();
        assert!(read(&many).unwrap_err().to_string().contains("more than 200000 values"));
        assert!(read(&[0x91; 100_000]).unwrap_err().to_string().contains("deeper than 64"));
    }
}
