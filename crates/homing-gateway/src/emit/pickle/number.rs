//! Integers of pickles, of any length that Python would print.

use super::{super::value::Value, What};

/// Digits that Python turns into text (`sys.int_info.default_max_str_digits`); its JSON writer refuses longer integers.
const DIGITS: usize = 4_300;
/// Bytes that are certainly more digits than that.
const BYTES: usize = 1_786;
const LIMB: u64 = 1_000_000_000;

/// Decimal digits with a sign, as INT and LONG have them.
pub(super) fn decimal(line: &[u8]) -> Result<Value, What> {
    let (sign, digits) = match line {
        [b'-', rest @ ..] => ("-", rest),
        rest => ("", rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("its line is no decimal integer".into());
    }
    if digits.len() > DIGITS {
        return Err(too_long());
    }
    let digits: String = digits.iter().map(|&digit| char::from(digit)).collect();
    let digits = match digits.trim_start_matches('0') {
        "" => return Ok(Value::Int(0)),
        digits => digits,
    };
    let text = format!("{sign}{digits}");
    Ok(text.parse().map_or_else(|_| Value::Big(text.into()), Value::Int))
}

/// Two's complement, the lowest byte first, as LONG1 and LONG4 have it.
pub(super) fn long(bytes: &[u8]) -> Result<Value, What> {
    let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
    if bytes.len() <= 8 {
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        return Ok(Value::Int(i64::from_le_bytes(whole)));
    }
    if bytes.len() > BYTES {
        return Err(too_long());
    }
    // The magnitude, four bytes at a time, the highest first; then as digits, nine at a time.
    let mut carry = negative;
    let magnitude: Vec<u8> = bytes
        .iter()
        .map(|&byte| {
            if !negative {
                return byte;
            }
            let (inverse, overflow) = (!byte).overflowing_add(u8::from(carry));
            carry = overflow;
            inverse
        })
        .collect();
    let mut limbs: Vec<u64> = Vec::new();
    for chunk in magnitude.chunks(4).rev() {
        let mut carry = chunk.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        let shift = 8 * chunk.len();
        for limb in &mut limbs {
            let value = (*limb << shift) + carry;
            (*limb, carry) = (value % LIMB, value / LIMB);
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
    }
    let mut text = String::from(if negative { "-" } else { "" });
    let Some(top) = limbs.pop() else { return Ok(Value::Int(0)) };
    text.push_str(&top.to_string());
    for limb in limbs.iter().rev() {
        text.push_str(&format!("{limb:09}"));
    }
    if text.trim_start_matches('-').len() > DIGITS {
        return Err(too_long());
    }
    Ok(text.parse().map_or_else(|_| Value::Big(text.into()), Value::Int))
}

fn too_long() -> What {
    format!("an integer of more than {DIGITS} digits").into()
}

/// A float's line.
pub(super) fn float(line: &[u8]) -> Result<Value, What> {
    let text = std::str::from_utf8(line).ok();
    text.and_then(|text| text.parse().ok()).map(Value::Float).ok_or_else(|| "its line is no float".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact() {
        for (bytes, text) in [
            (&[][..], "0"),
            (&[0xff], "-1"),
            (&[0, 0x80], "-32768"),
            (&[0xff, 0], "255"),
            (&[5, 0, 0, 0, 0, 0, 0, 0x80, 0], "9223372036854775813"),
            (&[0, 0, 0, 0, 0, 0, 0, 0x80], "-9223372036854775808"),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff], "-9223372036854775809"),
            (&[0; 20], "0"),
            (&[0xff; 20], "-1"),
        ] {
            let (Value::Int(_) | Value::Big(_)) = long(bytes).unwrap() else { panic!("{bytes:?}") };
            let found = match long(bytes).unwrap() {
                Value::Int(number) => number.to_string(),
                Value::Big(digits) => digits.to_string(),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, text, "{bytes:?}");
        }
        // 2^1000, checked by its remainder: 2^1000 mod 1,000,000,007 = 688423210.
        let mut bytes = vec![0; 126];
        bytes[125] = 1;
        let Value::Big(digits) = long(&bytes).unwrap() else { panic!() };
        assert_eq!(digits.len(), 302);
        let rest = digits.bytes().fold(0_u64, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 1_000_000_007);
        assert_eq!(rest, 688_423_210);
    }

    #[test]
    fn lines_are_read_and_bounded() {
        assert_eq!(decimal(b"-007").unwrap(), Value::Int(-7));
        assert_eq!(decimal(b"-0").unwrap(), Value::Int(0));
        assert_eq!(decimal(b"9223372036854775808").unwrap(), Value::Big("9223372036854775808".into()));
        for line in [&b""[..], b"-", b"1_0", b"0x10", b" 1", b"1.0"] {
            decimal(line).unwrap_err();
        }
        decimal(&[b'9'; DIGITS]).unwrap();
        decimal(&[b'9'; DIGITS + 1]).unwrap_err();
        long(&[0x7f; BYTES]).unwrap_err();
        long(&[0x7f; BYTES + 1]).unwrap_err();
        assert_eq!(float(b"1e+16").unwrap(), Value::Float(1e16));
        float(b"").unwrap_err();
    }
}
