//! One receipt as it is posted.

use homing_codec::Value;
use homing_core::{
    clock::Millis,
    event::Invalid,
    queue::Receipt,
    record::{Fate, Record, Seen, Stage},
};

/// The longest id in bytes.
const MAX_ID: usize = 256;
/// From here on a number is milliseconds since 1970.
const MILLIS: i64 = 100_000_000_000;
/// Up to the year 9999.
const LAST: Millis = 253_402_300_800_000;
/// Parts the parts of a key: no id has it.
const UNIT: char = '\u{1f}';

/// What a device said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) device: String,
    pub(super) how: Seen,
    /// By the device's own clock.
    pub(super) at: Option<Millis>,
    pub(super) proof: Option<String>,
}

impl Said {
    /// Reads a decoded receipt. Fields that are not known are left for later versions.
    pub(super) fn read(item: &Value) -> Result<Self, Invalid> {
        if !matches!(item, Value::Map(_)) {
            return Err(Invalid::new("receipt", "expected an object with fields"));
        }
        let id = text(item, "id")?.ok_or_else(|| Invalid::new("id", "is missing: the message's id"))?;
        let how = match text(item, "event")?.as_deref() {
            Some("shown") => Seen::Shown,
            Some("clicked") => Seen::Clicked,
            None => return Err(Invalid::new("event", "is missing: shown or clicked")),
            Some(_) => return Err(Invalid::new("event", "expected shown or clicked")),
        };
        Ok(Self {
            id,
            user: text(item, "user")?.unwrap_or_default(),
            device: text(item, "device")?.unwrap_or_default(),
            how,
            at: time(item)?,
            proof: text(item, "proof")?,
        })
    }

    /// As it is counted and traced. The trace has this machine's time, so that it stays in order; the device's own is
    /// in the reason.
    pub(super) fn receipt(self, now: Millis) -> Receipt {
        let Self { id, user, device, how, at, .. } = self;
        let key = [id.as_str(), &user, &device, how.name()].join(&UNIT.to_string());
        let target = match (user.as_str(), device.as_str()) {
            ("", "") => None,
            (user, "") => Some(user.to_owned()),
            (user, device) => Some(format!("{user}/{device}")),
        };
        let reason = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let reason = reason.map(|at| format!("at {at} by the device's clock"));
        Receipt { key, record: Record { at: now, id, stage: Stage::Client, fate: Fate::Seen { how }, target, reason } }
    }
}

fn text(item: &Value, field: &str) -> Result<Option<String>, Invalid> {
    let value = match item.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(value @ (Value::Str(_) | Value::Int(_))) => value,
        Some(_) => return Err(Invalid::new(field, "expected text")),
    };
    let text = value.text().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_ID {
        return Err(Invalid::new(field, format!("expected at most {MAX_ID} bytes")));
    }
    if text.contains(char::is_control) {
        return Err(Invalid::new(field, "has control characters"));
    }
    Ok(Some(text.into_owned()))
}

/// RFC 3339, or seconds or milliseconds since 1970.
fn time(item: &Value) -> Result<Option<Millis>, Invalid> {
    let wrong =
        || Invalid::new("at", "expected RFC 3339 (2026-11-21T09:00:00+08:00), or seconds or milliseconds since 1970");
    let value = match item.get("at") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    if let Some(number) = value.int() {
        let millis = if number >= MILLIS { Some(number) } else { number.checked_mul(1_000) };
        return millis.filter(|at| (0..LAST).contains(at)).map(Some).ok_or_else(wrong);
    }
    let text = value.text().ok_or_else(wrong)?;
    let at = text.parse::<jiff::Timestamp>().map_err(|_| wrong())?.as_millisecond();
    if (0..LAST).contains(&at) { Ok(Some(at)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn read(json: &str) -> Result<Said, Invalid> {
        Said::read(&Value::from_json(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn a_receipt_becomes_a_line_of_the_trace() {
        let said = read(r#"{"id":"o-1","user":42,"device":"i","event":"clicked","at":1795222800,"x":[1]}"#).unwrap();
        let Receipt { key, record } = said.receipt(7);
        assert_eq!(key, "o-1\u{1f}42\u{1f}i\u{1f}clicked");
        assert_eq!((record.at, record.stage, record.fate), (7, Stage::Client, Fate::Seen { how: Seen::Clicked }));
        assert_eq!(record.target.as_deref(), Some("42/i"));
        assert_eq!(record.reason.as_deref(), Some("at 2026-11-21T01:00:00Z by the device's clock"));
        let bare = read(r#"{"id":"o-1","event":"shown","user":null,"proof":""}"#).unwrap().receipt(7);
        assert_eq!((bare.record.target, bare.record.reason), (None, None));
        assert_ne!(read(r#"{"id":"a","user":"b","event":"shown"}"#).unwrap().receipt(7).key, bare.key);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, field) in [
            ("[]", "receipt"),
            ("{}", "id"),
            (r#"{"id":"","event":"shown"}"#, "id"),
            (r#"{"id":"a"}"#, "event"),
            (r#"{"id":"a","event":"seen"}"#, "event"),
            (r#"{"id":"a","event":["shown"]}"#, "event"),
            (r#"{"id":"a\u0000","event":"shown"}"#, "id"),
            (r#"{"id":"a","user":"a\u001fb","event":"shown"}"#, "user"),
            (r#"{"id":"a","user":{},"event":"shown"}"#, "user"),
            (r#"{"id":"a","device":true,"event":"shown"}"#, "device"),
            (r#"{"id":"a","event":"shown","at":"soon"}"#, "at"),
            (r#"{"id":"a","event":"shown","at":-1}"#, "at"),
            (r#"{"id":"a","event":"shown","at":9223372036854775807}"#, "at"),
        ] {
            assert_eq!(read(json).unwrap_err().field, field, "{json}");
        }
        let long = format!(r#"{{"id":"{}","event":"shown"}}"#, "x".repeat(257));
        assert_eq!(read(&long).unwrap_err().to_string(), "id: expected at most 256 bytes");
    }
}
