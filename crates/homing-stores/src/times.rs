//! When something was, in whatever form a table has it.

use homing_core::clock::Millis;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// From here on a number is milliseconds since 1970; below, seconds (until the year 5138).
const MILLIS: i64 = 100_000_000_000;

/// The latest moment that a text may mean, in milliseconds since 1970: whole seconds stand for all of their second.
/// Seconds or milliseconds as a number, RFC 3339, or what SQL prints (without a zone it is UTC).
pub(crate) fn latest(text: &str) -> Option<Millis> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return if number >= MILLIS { Some(number) } else { number.checked_mul(1_000)?.checked_add(999) };
    }
    if let Ok(number) = text.parse::<f64>() {
        let millis = (number * if number.abs() < 1e11 { 1e3 } else { 1.0 }).ceil();
        #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
        return (millis.abs() < 9.0e15).then_some(millis as i64);
    }
    let whole = !text.contains('.');
    let end = |at: Millis| if whole { at + 999 } else { at };
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(end(at.as_millisecond()));
    }
    let local = text.parse::<DateTime>().ok()?;
    Some(end(local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_read() {
        for (text, expected) in [
            ("1447212345", Some(1_447_212_345_999)),
            ("1447212345678", Some(1_447_212_345_678)),
            ("1447212345.5", Some(1_447_212_345_500)),
            ("2015-11-11 03:25:45", Some(1_447_212_345_999)),
            ("2015-11-11 03:25:45.678000", Some(1_447_212_345_678)),
            ("2015-11-11 03:25:45+00", Some(1_447_212_345_999)),
            ("2015-11-11 11:25:45.5+08", Some(1_447_212_345_500)),
            ("2015-11-11T03:25:45Z", Some(1_447_212_345_999)),
            ("2015-11-11", Some(1_447_200_000_999)),
            ("yesterday", None),
            ("", None),
            ("nan", None),
            ("inf", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(latest(text), expected, "{text}");
        }
    }
}
