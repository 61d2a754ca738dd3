//! PHP `serialize`: what stands between types and braces.

use super::Reader;
use crate::{Key, Result, Value};

impl<'a> Reader<'a> {
    pub(super) fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<()> {
        if self.input.peek() != Some(byte) {
            return self.input.fail(self.input.at, otherwise);
        }
        self.input.at += 1;
        Ok(())
    }

    pub(super) fn colon(&mut self) -> Result<()> {
        self.expect(b':', "expected ':' after the type")
    }

    pub(super) fn boolean(&mut self) -> Result<Value> {
        self.colon()?;
        let value = match self.input.peek() {
            Some(b'0') => false,
            Some(b'1') => true,
            _ => return self.input.fail(self.input.at, "expected 0 or 1"),
        };
        self.input.at += 1;
        Ok(Value::Bool(value))
    }

    pub(super) fn integer(&mut self) -> Result<i64> {
        let start = self.input.at;
        let negative = self.input.peek() == Some(b'-');
        if negative || self.input.peek() == Some(b'+') {
            self.input.at += 1;
        }
        let digits = self.input.at;
        let mut value = 0_i64;
        while let Some(byte @ b'0'..=b'9') = self.input.peek() {
            let digit = i64::from(byte - b'0');
            // Down or up from the start, because the smallest integer has no positive twin.
            let next = value
                .checked_mul(10)
                .and_then(|tens| if negative { tens.checked_sub(digit) } else { tens.checked_add(digit) });
            let Some(next) = next else {
                return self.input.fail(start, "an integer beyond 64 bits");
            };
            value = next;
            self.input.at += 1;
        }
        if self.input.at == digits {
            return self.input.fail(digits, "expected a digit");
        }
        Ok(value)
    }

    /// PHP writes INF, -INF, NAN and 1.0E+25, Python inf, -inf, nan and 1e+25.
    pub(super) fn float(&mut self) -> Result<Value> {
        self.colon()?;
        let start = self.input.at;
        let length = self.input.rest().iter().position(|&byte| byte == b';').unwrap_or(self.input.remaining());
        let token = self.input.take(length).unwrap_or_default();
        let (sign, size) = match token {
            [b'-', size @ ..] => (-1.0, size),
            size => (1.0, size),
        };
        let value = if size.eq_ignore_ascii_case(b"inf") {
            sign * f64::INFINITY
        } else if token.eq_ignore_ascii_case(b"nan") {
            f64::NAN
        } else {
            // Rust's parser also knows words; here a float is written in these.
            let plain = token.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            match std::str::from_utf8(token).ok().filter(|_| plain).and_then(|text| text.parse().ok()) {
                Some(value) => value,
                None => return self.input.fail(start, "expected a float"),
            }
        };
        Ok(Value::Float(value))
    }

    /// A length or a count.
    pub(super) fn unsigned(&mut self) -> Result<usize> {
        let start = self.input.at;
        if !self.input.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.input.fail(start, "expected a digit");
        }
        let number = self.integer()?;
        usize::try_from(number).or_else(|_| self.input.fail(start, "a number too large"))
    }

    /// `:3:"abc"` of a string or a name.
    pub(super) fn quoted(&mut self, what: &'static str) -> Result<&'a [u8]> {
        self.colon()?;
        let start = self.input.at;
        let length = self.unsigned()?;
        self.expect(b':', "expected ':' after a length")?;
        self.expect(b'"', "expected '\"' before the bytes")?;
        match self.input.take(length) {
            Some(bytes) => {
                self.expect(b'"', "expected '\"' after the bytes")?;
                Ok(bytes)
            }
            None => {
                let left = self.input.remaining();
                self.input.fail(start, format!("a {what} of {length} bytes, but {left} are left"))
            }
        }
    }

    /// The key of an array; or of an object, which is a property's name without the mark of its visibility.
    pub(super) fn key(&mut self, property: bool) -> Result<Key> {
        let start = self.input.at;
        let key = match self.input.take_array() {
            Some([b'i']) => {
                self.colon()?;
                Key::Int(self.integer()?)
            }
            Some([b's']) => {
                let name = self.quoted("key")?;
                // "\0Class\0name" is private and "\0*\0name" protected.
                let bare = match name {
                    [0, marked @ ..] if property => marked.splitn(2, |&byte| byte == 0).nth(1),
                    _ => None,
                };
                Key::normalised(bare.unwrap_or(name))
            }
            _ => return self.input.fail(start, "expected a key, an integer or a string"),
        };
        self.expect(b';', "expected ';' after a key")?;
        Ok(key)
    }
}
