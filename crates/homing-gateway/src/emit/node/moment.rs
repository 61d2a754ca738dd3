//! Dates as `JSON.stringify` writes them.

use super::super::value::Value;

/// The furthest date of JavaScript, in milliseconds on either side of 1970.
const LIMIT: i64 = 8_640_000_000_000_000;
const DAY: i64 = 86_400_000;

/// `2023-11-14T22:13:20.000Z`; None for what is no date there.
pub(super) fn iso(millis: i64) -> Value {
    if !(-LIMIT..=LIMIT).contains(&millis) {
        return Value::None;
    }
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    // Days since 0000-03-01, so that a leap day is the last of its year; eras are 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let year = match year {
        0..=9_999 => format!("{year:04}"),
        ..0 => format!("-{:06}", -year),
        _ => format!("+{year:06}"),
    };
    let (hour, minute, second, millis) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
    Value::Str(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_in_javascript() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (LIMIT, "+275760-09-13T00:00:00.000Z"),
            (-LIMIT, "-271821-04-20T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso(millis), text.into());
        }
        assert_eq!(iso(LIMIT + 1), Value::None);
        assert_eq!(iso(i64::MIN), Value::None);
    }
}
