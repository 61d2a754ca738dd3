//! The mark in a payload: which message it is and when it was sent, found again in whatever envelope a server puts around
//! it. `@00000012:000001234567890123@` = message 12, sent at so many nanoseconds of CLOCK_MONOTONIC, which all processes
//! of a machine share.

use rustix::time::{ClockId, clock_gettime};

/// Length of a mark.
const LENGTH: usize = 29;

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Seconds since 1970.
pub fn wall() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

/// A JSON object of `size` bytes that carries a mark; at least 46 bytes long.
pub fn payload(number: u32, sent: u64, size: usize) -> String {
    let mut text = format!("{{\"m\":\"@{number:08}:{sent:018}@\",\"pad\":\"");
    while text.len() + 2 < size {
        text.push('x');
    }
    text.push_str("\"}");
    text
}

/// The first mark in `bytes`: number and time of sending.
pub fn find(bytes: &[u8]) -> Option<(u32, u64)> {
    memchr::memchr_iter(b'@', bytes).find_map(|at| {
        let mark = bytes.get(at..at + LENGTH)?;
        if mark.get(9) != Some(&b':') || mark.get(LENGTH - 1) != Some(&b'@') {
            return None;
        }
        let number = digits(mark.get(1..9)?)?;
        Some((u32::try_from(number).ok()?, digits(mark.get(10..28)?)?))
    })
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_any_envelope() {
        let text = payload(12, 1_234_567_890_123, 200);
        assert_eq!(text.len(), 200);
        let frame = format!("42[\"a@b\",{text}]");
        assert_eq!(find(frame.as_bytes()), Some((12, 1_234_567_890_123)));
        assert_eq!(find(b"x@y@"), None);
        assert_eq!(payload(0, 0, 10).len(), 46);
    }
}
