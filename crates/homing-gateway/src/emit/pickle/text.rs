//! Text of pickles: UTF-8, `raw-unicode-escape`, and the string literals of Python 2.

use bytes::Bytes;

use super::{super::value::Value, What};

/// UTF-8 as Python 3 writes it. Half of a surrogate pair (three bytes `ED A0..BF xx`) is legal there and nowhere else: two
/// halves are joined, a lone one becomes U+FFFD.
pub(super) fn utf8(bytes: &[u8]) -> Result<Value, What> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.into());
    }
    let (mut units, mut rest) = (Units::default(), bytes);
    while !rest.is_empty() {
        match rest {
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, tail @ ..] => {
                units.push(0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f))?;
                rest = tail;
            }
            _ => {
                let good = match std::str::from_utf8(rest) {
                    Ok(text) => text,
                    Err(error) => {
                        std::str::from_utf8(rest.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
                    }
                };
                if good.is_empty() {
                    return Err("text that is no UTF-8".into());
                }
                good.chars().try_for_each(|char| units.push(u32::from(char)))?;
                rest = rest.get(good.len()..).unwrap_or_default();
            }
        }
    }
    Ok(units.finish())
}

/// UNICODE: `\u` with 4 and `\U` with 8 hexadecimal digits, every other byte is Latin-1.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Result<Value, What> {
    if line.is_ascii() && memchr::memchr(b'\\', line).is_none() {
        return Ok(std::str::from_utf8(line).unwrap_or_default().into());
    }
    let (mut units, mut rest) = (Units::default(), line);
    while let [first, tail @ ..] = rest {
        rest = tail;
        let width = match (first, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            (b'\\', Some(&next)) => {
                // It escapes nothing, not even a second one.
                units.push(u32::from(b'\\'))?;
                units.push(u32::from(next))?;
                rest = tail.get(1..).unwrap_or_default();
                continue;
            }
            _ => {
                units.push(u32::from(*first))?;
                continue;
            }
        };
        let code = tail.get(1..=width).and_then(hex).ok_or("an escape without its hexadecimal digits")?;
        units.push(code)?;
        rest = tail.get(width + 1..).unwrap_or_default();
    }
    Ok(units.finish())
}

/// STRING: a literal of Python 2, in either quote.
pub(super) fn literal(line: &[u8]) -> Result<Value, What> {
    let quoted = line.len() > 1 && line.first() == line.last() && matches!(line.first(), Some(b'\'' | b'"'));
    let Some(inner) = line.get(1..line.len().saturating_sub(1)).filter(|_| quoted) else {
        return Err("its line is no quoted string".into());
    };
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner);
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, used) = escape(tail)?;
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(&[b'\\', tail.first().copied().unwrap_or_default()]),
        }
        rest = tail.get(used..).unwrap_or_default();
    }
    Ok(python2(&bytes))
}

/// The byte behind a backslash, and how many bytes say so; `None` where the backslash escapes nothing.
fn escape(tail: &[u8]) -> Result<(Option<u8>, usize), What> {
    let simple = match tail.first() {
        None => return Err("a backslash at the end".into()),
        Some(&quoted @ (b'\\' | b'\'' | b'"')) => quoted,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'a') => 7,
        Some(b'b') => 8,
        Some(b'v') => 11,
        Some(b'f') => 12,
        Some(b'x') => {
            let code = tail.get(1..3).and_then(hex).ok_or("\\x without two hexadecimal digits")?;
            return Ok((u8::try_from(code).ok(), 3));
        }
        Some(b'0'..=b'7') => {
            let digits = tail.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
            let (code, used) =
                digits.fold((0_u16, 0), |(code, used), byte| (code * 8 + u16::from(byte - b'0'), used + 1));
            return Ok((code.to_le_bytes().first().copied(), used));
        }
        Some(_) => return Ok((None, 1)),
    };
    Ok((Some(simple), 1))
}

/// A `str` of Python 2: text if it is UTF-8, else bytes.
pub(super) fn python2(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| Value::Bytes(Bytes::copy_from_slice(bytes)), Value::from)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |sum, &digit| Some(sum.checked_mul(16)? + char::from(digit).to_digit(16)?))
}

/// Code points, some of which may be halves of a surrogate pair.
#[derive(Default)]
struct Units {
    text: String,
    high: Option<u32>,
}

impl Units {
    fn push(&mut self, code: u32) -> Result<(), What> {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, code) {
            self.high = None;
            let joined = 0x1_0000 + ((high & 0x3ff) << 10) + (code & 0x3ff);
            self.text.extend(char::from_u32(joined));
            return Ok(());
        }
        self.flush();
        match code {
            0xd800..=0xdbff => self.high = Some(code),
            0xdc00..=0xdfff => self.text.push(char::REPLACEMENT_CHARACTER),
            _ => self.text.push(char::from_u32(code).ok_or("an escape beyond Unicode")?),
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.high.take().is_some() {
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn finish(mut self) -> Value {
        self.flush();
        Value::Str(self.text.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn unicode_lines() {
        for (line, text) in [
            (&b"hello"[..], "hello"),
            (b"\\u5f20\\u4e09", "张三"),
            (b"\\U0001f600", "😀"),
            (b"\\ud83d\\ude00", "😀"),
            (b"\\ud83d!", "\u{fffd}!"),
            (b"\\ude00\\ud83d", "\u{fffd}\u{fffd}"),
            (b"caf\xe9", "café"),
            (b"a\\u005cn", "a\\n"),
            (b"\\\\u0041", "\\\\u0041"),
            (b"\\", "\\"),
        ] {
            assert_eq!(raw_unicode_escape(line).unwrap(), text.into(), "{}", line.escape_ascii());
        }
        for line in [&b"\\u12"[..], b"\\uzzzz", b"\\U00110000", b"\\UFFFFFFFF"] {
            raw_unicode_escape(line).unwrap_err();
        }
    }

    #[test]
    fn literals_of_python_2() {
        for (line, text) in [
            (&b"'x'"[..], "x"),
            (b"\"it's\"", "it's"),
            (b"'\\xe5\\xbc\\xa0'", "张"),
            (b"'a\\n\\t\\\\\\'\\101\\q'", "a\n\t\\'A\\q"),
            (b"''", ""),
        ] {
            assert_eq!(literal(line).unwrap(), text.into(), "{}", line.escape_ascii());
        }
        assert_eq!(literal(b"'\\x89PNG'").unwrap(), Value::Bytes(Bytes::from_static(b"\x89PNG")));
        for line in [&b""[..], b"'", b"x", b"'x", b"'x\"", b"'\\'", b"'\\x1'"] {
            literal(line).unwrap_err();
        }
    }

    #[test]
    fn utf8_with_halves_of_pairs() {
        assert_eq!(utf8("张😀".as_bytes()).unwrap(), "张😀".into());
        assert_eq!(utf8(b"a\xed\xa0\xbd\xed\xb8\x80b").unwrap(), "a😀b".into());
        assert_eq!(utf8(b"\xed\xa0\xbd").unwrap(), "\u{fffd}".into());
        for bytes in [&b"\xff"[..], b"a\xed\xa0", b"\xc0\x80"] {
            utf8(bytes).unwrap_err();
        }
    }
}
