//! `accept_time`: the hours in which a message may be shown. Several windows are OR-ed; the time zone is Beijing.
//! (Xinge v2 REST documentation, 2018 edition, "accept_time"; hours and minutes are strings without padding there, the
//! PHP SDK may write numbers.)

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::message::Field;

/// One window, both ends included. It cannot cross midnight: the SDK refuses that, so it must be split in two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// From.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub start: Field<HourMin>,
    /// To.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub end: Field<HourMin>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A time of day: `{"hour":"9","min":"0"}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HourMin {
    /// 0 to 23.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub hour: Field<String>,
    /// 0 to 59.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub min: Field<String>,
    /// What else was there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

// === impl Window ===

impl Window {
    /// A window from numbers.
    pub fn new(from: (u8, u8), to: (u8, u8)) -> Self {
        Self { start: Field::Known(HourMin::new(from)), end: Field::Known(HourMin::new(to)), rest: Map::new() }
    }

    /// Whether both ends are times of day and the end is not before the start.
    pub fn is_valid(&self) -> bool {
        match (minute_of_day(&self.start), minute_of_day(&self.end)) {
            (Some(start), Some(end)) => start <= end,
            _ => false,
        }
    }
}

// === impl HourMin ===

impl HourMin {
    /// A time of day from numbers.
    pub fn new((hour, min): (u8, u8)) -> Self {
        Self { hour: Field::Known(hour.to_string()), min: Field::Known(min.to_string()), rest: Map::new() }
    }
}

fn minute_of_day(time: &Field<HourMin>) -> Option<u64> {
    let time = time.known()?;
    Some(number(&time.hour, 23)? * 60 + number(&time.min, 59)?)
}

fn number(field: &Field<String>, max: u64) -> Option<u64> {
    let number = match field {
        Field::Known(text) => text.parse().ok()?,
        Field::Other(value) => value.as_u64()?,
        Field::Absent => return None,
    };
    (number <= max).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: serde_json::Value, valid: bool) {
        let window: Window = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(window.is_valid(), valid);
        assert_eq!(serde_json::to_value(window).unwrap(), json);
    }

    #[test]
    fn windows_are_times_of_one_day() {
        use serde_json::json;
        check(json!({"start": {"hour": "9", "min": "30"}, "end": {"hour": "11", "min": "30"}}), true);
        check(json!({"start": {"hour": "09", "min": "00"}, "end": {"hour": "09", "min": "00"}}), true);
        check(json!({"start": {"hour": 9, "min": 0}, "end": {"hour": 23, "min": 59}}), true);
        check(json!({"start": {"hour": "22", "min": "0"}, "end": {"hour": "8", "min": "0"}}), false);
        check(json!({"start": {"hour": "0", "min": "0"}, "end": {"hour": "24", "min": "0"}}), false);
        check(json!({"start": {"hour": "0", "min": "60"}, "end": {"hour": "2", "min": "0"}}), false);
        check(json!({"start": {"hour": "-1", "min": "0"}, "end": {"hour": "2", "min": "0"}}), false);
        check(json!({"start": {"hour": "0", "min": "0"}}), false);
        check(json!({"start": [], "end": null, "zone": 8}), false);
    }
}
