//! Spans of time as people write them: `500ms`, `2s`, `5m`, `24h`, `30d`. For fields of a configuration:
//!
//! ```
//! # use std::time::Duration;
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     #[serde(with = "homing_core::duration")]
//!     ttl: Duration,
//! }
//! # let config: Config = toml::from_str("ttl = '24h'").unwrap();
//! # assert_eq!(config.ttl, Duration::from_secs(86_400));
//! ```

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

/// Units with their length in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration; write a whole number and ms, s, m, h or d, such as 500ms or 24h")]
pub struct NotADuration {
    /// The text.
    pub text: String,
}

/// Reads a whole number with one unit: `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// It is something else.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let trimmed = text.trim();
    let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = trimmed.strip_prefix(digits).unwrap_or_default();
    let millis = UNITS.iter().find(|(name, _)| *name == unit).and_then(|(_, millis)| {
        // `parse` would take a sign.
        let number = digits.trim_end();
        let number: u64 = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok())??;
        number.checked_mul(*millis)
    });
    millis.map(Duration::from_millis).ok_or_else(|| NotADuration { text: text.to_owned() })
}

/// Writes it in the largest unit that divides it, in a form that [`parse_duration`] reads. What is below a millisecond is
/// cut off.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, length) =
        UNITS.into_iter().find(|(_, length)| millis.is_multiple_of(u128::from(*length))).unwrap_or(("ms", 1));
    if millis == 0 { "0s".to_owned() } else { format!("{}{unit}", millis / u128::from(length)) }
}

/// For `#[serde(with = "homing_core::duration")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// For `#[serde(with = "homing_core::duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

/// For `#[serde(default, with = "homing_core::duration::option")]`: a span of time that may be absent.
pub mod option {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    /// Writes the duration, or none.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the duration that stands there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"500ms\", \"2s\", \"5m\", \"24h\" or \"30d\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).map_err(E::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written() {
        for (text, millis) in
            [("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("24h", 86_400_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
            assert_eq!(
                parse_duration(&format_duration(Duration::from_millis(millis))).unwrap(),
                Duration::from_millis(millis)
            );
        }
        assert_eq!(parse_duration(" 2 s ").unwrap(), Duration::from_secs(2));
        assert_eq!(parse_duration("0s").unwrap(), Duration::ZERO);
        for (millis, text) in [(0, "0s"), (1, "1ms"), (1_500, "1500ms"), (90_000, "90s"), (86_400_000, "1d")] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn an_error_names_the_text() {
        for text in
            ["", "5", "s", "-5s", "+5s", "1.5s", "5x", "5 minutes", "1h30m", "99999999999999999999d", "ms5", "5ß"]
        {
            let error = parse_duration(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{text:?} is not a duration; write a whole number and ms, s, m, h or d, such as 500ms or 24h")
            );
        }
    }

    #[test]
    fn a_field_may_be_absent() {
        #[derive(serde::Deserialize, serde::Serialize)]
        struct Config {
            #[serde(default, skip_serializing_if = "Option::is_none", with = "option")]
            ttl: Option<Duration>,
        }
        let config: Config = toml::from_str("ttl = '90s'").unwrap();
        assert_eq!(config.ttl, Some(Duration::from_secs(90)));
        assert_eq!(toml::to_string(&config).unwrap(), "ttl = \"90s\"\n");
        assert_eq!(toml::from_str::<Config>("").unwrap().ttl, None);
        let error = toml::from_str::<Config>("ttl = 5").map(|_| ()).unwrap_err();
        assert_eq!(
            error.message(),
            "invalid type: integer `5`, expected a duration such as \"500ms\", \"2s\", \"5m\", \"24h\" or \"30d\""
        );
    }
}
