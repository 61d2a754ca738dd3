//! MessagePack, both ways. An own reader, because `rmpv` has no positions, no bound on the number of elements and no
//! common form for `str` and `bin`.
//!
//! `str` and `bin` both become [`Value::Str`]: Python 2 sends any bytes as `str`. Extension types have no counterpart in
//! a [`Value`] and are refused.

#[cfg(test)]
mod tests;

use crate::{
    Codec, Key, MAX_DEPTH, Result, Value,
    input::{Input, reserve},
    repeats::last_wins,
};

/// Reads the one value in `bytes`, which [`crate::decode`] has measured.
pub(crate) fn read(bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader { input: Input::new(bytes, Codec::Msgpack) };
    let value = reader.value(0)?;
    reader.input.finish()?;
    Ok(value)
}

struct Reader<'a> {
    input: Input<'a>,
}

impl Reader<'_> {
    /// The value that begins here, inside `depth` containers.
    fn value(&mut self, depth: usize) -> Result<Value> {
        let start = self.input.at;
        let Some([marker]) = self.input.take_array() else {
            return self.input.fail(start, "expected a value");
        };
        Ok(match marker {
            0x00..=0x7f => Value::Int(marker.into()),
            0x80..=0x8f => self.map(start, (marker & 0x0f).into(), depth)?,
            0x90..=0x9f => self.list(start, (marker & 0x0f).into(), depth)?,
            0xa0..=0xbf => self.bytes(start, (marker & 0x1f).into())?,
            0xc0 => Value::Null,
            0xc1 => return self.input.fail(start, "the byte 0xc1 begins no value"),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4 | 0xd9 => {
                let length = u8::from_be_bytes(self.number()?);
                self.bytes(start, length.into())?
            }
            0xc5 | 0xda => {
                let length = u16::from_be_bytes(self.number()?);
                self.bytes(start, length.into())?
            }
            0xc6 | 0xdb => {
                let length = u32::from_be_bytes(self.number()?);
                self.bytes(start, length as usize)?
            }
            0xc7..=0xc9 | 0xd4..=0xd8 => return self.input.fail(start, "an extension type, which no value is made of"),
            0xca => Value::Float(f32::from_be_bytes(self.number()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.number()?)),
            0xcc => Value::Int(u8::from_be_bytes(self.number()?).into()),
            0xcd => Value::Int(u16::from_be_bytes(self.number()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.number()?).into()),
            0xcf => {
                let number = u64::from_be_bytes(self.number()?);
                i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)
            }
            0xd0 => Value::Int(i8::from_be_bytes(self.number()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.number()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.number()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.number()?)),
            0xdc => {
                let count = u16::from_be_bytes(self.number()?);
                self.list(start, count.into(), depth)?
            }
            0xdd => {
                let count = u32::from_be_bytes(self.number()?);
                self.list(start, count as usize, depth)?
            }
            0xde => {
                let count = u16::from_be_bytes(self.number()?);
                self.map(start, count.into(), depth)?
            }
            0xdf => {
                let count = u32::from_be_bytes(self.number()?);
                self.map(start, count as usize, depth)?
            }
            0xe0..=0xff => Value::Int(i64::from(marker as i8)),
        })
    }

    /// The bytes of a number, big-endian.
    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.input.take_array() {
            Some(bytes) => Ok(bytes),
            None => self.input.fail(self.input.at, format!("expected a number of {N} bytes")),
        }
    }

    fn bytes(&mut self, start: usize, length: usize) -> Result<Value> {
        match self.input.take(length) {
            Some(bytes) => Ok(Value::Str(bytes.to_vec())),
            None => {
                let left = self.input.remaining();
                self.input.fail(start, format!("a string of {length} bytes, but {left} are left"))
            }
        }
    }

    fn open(&self, start: usize, what: &str, count: usize, size: usize, depth: usize) -> Result<()> {
        if depth >= MAX_DEPTH {
            return self.input.fail(start, format!("nested deeper than {MAX_DEPTH}"));
        }
        let left = self.input.remaining();
        if count > left / size {
            return self.input.fail(start, format!("{what} of {count} elements, but {left} bytes are left"));
        }
        Ok(())
    }

    fn list(&mut self, start: usize, count: usize, depth: usize) -> Result<Value> {
        self.open(start, "an array", count, 1, depth)?;
        let mut values = Vec::with_capacity(reserve(count));
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::List(values))
    }

    fn map(&mut self, start: usize, count: usize, depth: usize) -> Result<Value> {
        self.open(start, "a map", count, 2, depth)?;
        let mut entries = Vec::with_capacity(reserve(count));
        for _ in 0..count {
            let place = self.input.at;
            // A container is refused as a key before it is read.
            let scalar = !matches!(self.input.peek(), Some(0x80..=0x9f | 0xdc..=0xdf));
            let key = match scalar.then(|| self.value(depth)).transpose()? {
                Some(Value::Int(number)) => Key::Int(number),
                Some(Value::Str(bytes)) => Key::Str(bytes),
                _ => return self.input.fail(place, "expected a key, an integer of 64 bits or a string"),
            };
            entries.push((key, self.value(depth + 1)?));
        }
        Ok(Value::Map(last_wins(entries).0))
    }
}

/// MessagePack in its shortest forms. Strings are written as `str` if they are UTF-8 and as `bin` if not, so that every
/// reader understands them; floats as 64 bits. (Beyond 2^32 - 1 bytes or elements, which the format cannot say, the
/// rest is left out.)
pub fn to_msgpack(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(own) => out.push(if *own { 0xc3 } else { 0xc2 }),
        Value::Int(number) => integer(out, *number),
        Value::Float(number) => {
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Str(bytes) => string(out, bytes),
        Value::List(values) => {
            let count = head(out, values.len(), Some((0x90, 15)), None, 0xdc);
            values.iter().take(count).for_each(|value| write(out, value));
        }
        Value::Map(entries) => {
            let count = head(out, entries.len(), Some((0x80, 15)), None, 0xde);
            for (key, value) in entries.iter().take(count) {
                match key {
                    Key::Int(number) => integer(out, *number),
                    Key::Str(bytes) => string(out, bytes),
                }
                write(out, value);
            }
        }
    }
}

/// Writes a length with the first of these that holds it: inside a fix marker (base, most), after the marker `m8` in 8
/// bits, after `m16` in 16 or after the one that follows it in 32. Returns the length written.
fn head(out: &mut Vec<u8>, length: usize, fix: Option<(u8, u32)>, m8: Option<u8>, m16: u8) -> usize {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    if let Some((base, most)) = fix
        && length <= most
    {
        out.push(base | length as u8);
    } else if let (Some(marker), Ok(short)) = (m8, u8::try_from(length)) {
        out.extend_from_slice(&[marker, short]);
    } else if let Ok(short) = u16::try_from(length) {
        out.push(m16);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(m16 + 1);
        out.extend_from_slice(&length.to_be_bytes());
    }
    length as usize
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = if std::str::from_utf8(bytes).is_ok() {
        head(out, bytes.len(), Some((0xa0, 31)), Some(0xd9), 0xda)
    } else {
        head(out, bytes.len(), None, Some(0xc4), 0xc5)
    };
    out.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
}

fn integer(out: &mut Vec<u8>, number: i64) {
    if let Ok(small) = u8::try_from(number) {
        if small > 0x7f {
            out.push(0xcc);
        }
        out.push(small);
    } else if let Ok(small) = u16::try_from(number) {
        out.push(0xcd);
        out.extend_from_slice(&small.to_be_bytes());
    } else if let Ok(small) = u32::try_from(number) {
        out.push(0xce);
        out.extend_from_slice(&small.to_be_bytes());
    } else if number > 0 {
        out.push(0xcf);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(small) = i8::try_from(number) {
        if small < -32 {
            out.push(0xd0);
        }
        out.push(small as u8);
    } else if let Ok(small) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&small.to_be_bytes());
    } else if let Ok(small) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&small.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}
