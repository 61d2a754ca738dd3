//! Where a MongoDB source stands: the order value and the tie-breaking id of a document.
//!
//! The text is JSON, `{"at": ..., "id": ...}`, in canonical extended JSON, so that a long stays a long, a double keeps
//! every digit and a date stays a date: MongoDB compares only within a type.

use homing_core::{chat::Cursor, clock::Millis};
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::config::CursorType;

/// The order value and the id of one document.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Position {
    pub(crate) at: Bson,
    pub(crate) id: Bson,
}

/// Canonical extended JSON of a value. (The driver's own needs a feature that it does not let through.)
struct Canonical<'a>(&'a Bson);

/// The types of ids in MongoDB's order. Two ids of different types are ordered by this.
const ORDER: [&[&str]; 9] = [
    &["null"],
    &["int", "long", "double", "decimal"],
    &["symbol", "string"],
    &["object"],
    &["binData"],
    &["objectId"],
    &["bool"],
    &["date"],
    &["timestamp"],
];

// === impl Position ===

impl Position {
    /// As the core keeps it.
    pub(crate) fn cursor(&self) -> Cursor {
        let at_and_id = std::collections::BTreeMap::from([("at", Canonical(&self.at)), ("id", Canonical(&self.id))]);
        // Keys are text and values are written by us: nothing here can fail.
        Cursor(serde_json::to_string(&at_and_id).unwrap_or_default())
    }

    /// Reads it again; the reason when it does not belong to a cursor of this type.
    pub(crate) fn read(cursor: &Cursor, kind: CursorType) -> Result<Self, String> {
        let position: Self =
            serde_json::from_str(&cursor.0).map_err(|error| format!("the stored cursor is unreadable: {error}"))?;
        if kind.fits(&position.at) {
            return Ok(position);
        }
        let (is, expected) = (type_name(&position.at), kind.describe());
        Err(format!(
            "the stored cursor is of type {is}, but the source says {expected}; reset the cursor or correct the type"
        ))
    }

    /// The documents behind this one, in (field, tie) order.
    ///
    /// The first condition bounds the scan of an index. The last one is for ids of mixed types: `$gt` sees only those of
    /// its own type, and the others with an equal order value would be lost.
    pub(crate) fn behind(&self, field: &str, tie: &str) -> Document {
        let (at, id) = (self.at.clone(), self.id.clone());
        let mut either = vec![doc! { field: { "$gt": at.clone() } }, doc! { field: at.clone(), tie: { "$gt": id } }];
        let higher: Vec<&str> = ORDER
            .iter()
            .skip_while(|types| !types.contains(&type_name(&self.id)))
            .skip(1)
            .flat_map(|t| t.iter().copied())
            .collect();
        if !higher.is_empty() {
            either.push(doc! { field: at.clone(), tie: { "$type": higher } });
        }
        doc! { field: { "$gte": at, "$not": { "$type": "array" } }, "$or": either }
    }

    /// Before every document of this time or later: nothing has a lower id than null.
    pub(crate) fn before(millis: Millis, kind: CursorType) -> Self {
        Self { at: kind.value(millis), id: Bson::Null }
    }

    /// The documents from a time up to this place and all of an equal order value; none of these where the place stands
    /// [before](Self::before) them. An index alone answers this.
    pub(crate) fn since(&self, from: Millis, kind: CursorType, field: &str) -> Document {
        let to = if self.id == Bson::Null { "$lt" } else { "$lte" };
        doc! { field: { "$gte": kind.value(from), to: self.at.clone() } }
    }
}

// === impl CursorType ===

impl CursorType {
    /// Is the value of this type?
    pub(crate) fn fits(self, value: &Bson) -> bool {
        match self {
            Self::StringSeconds => matches!(value, Bson::String(_)),
            Self::Seconds | Self::Millis => {
                matches!(value, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_))
            }
            Self::Date => matches!(value, Bson::DateTime(_)),
            Self::Objectid => matches!(value, Bson::ObjectId(_)),
        }
    }

    /// The documents whose order value is of this type: all that can be put in order.
    pub(crate) fn all(self, field: &str) -> Document {
        let least = match self {
            Self::StringSeconds => Bson::String(String::new()),
            Self::Seconds | Self::Millis => Bson::Double(f64::NEG_INFINITY),
            Self::Date => Bson::DateTime(DateTime::MIN),
            Self::Objectid => Bson::ObjectId(ObjectId::from_bytes([0; 12])),
        };
        doc! { field: { "$gte": least, "$not": { "$type": "array" } } }
    }

    /// The least value that says this time or a later one.
    pub(crate) fn value(self, millis: Millis) -> Bson {
        let seconds = millis.div_euclid(1_000);
        match self {
            Self::StringSeconds if millis < 0 => Bson::String(String::new()),
            Self::StringSeconds => {
                let text = format!("{seconds}.{:03}", millis.rem_euclid(1_000));
                Bson::String(text.trim_end_matches('0').trim_end_matches('.').to_owned())
            }
            #[allow(clippy::cast_precision_loss, reason = "times of this age are exact to the millisecond")]
            Self::Seconds => Bson::Double(millis as f64 / 1_000.0),
            Self::Millis => Bson::Int64(millis),
            Self::Date => Bson::DateTime(DateTime::from_millis(millis)),
            Self::Objectid => {
                // An ObjectId has whole seconds.
                let up = seconds.saturating_add(i64::from(millis.rem_euclid(1_000) > 0)).clamp(0, i64::from(u32::MAX));
                let [a, b, c, d] = u32::try_from(up).unwrap_or(u32::MAX).to_be_bytes();
                Bson::ObjectId(ObjectId::from_bytes([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]))
            }
        }
    }

    /// The time that a value of this type says.
    pub(crate) fn millis(self, value: &Bson) -> Option<Millis> {
        match (self, value) {
            (Self::StringSeconds, Bson::String(text)) => decimal_millis(text),
            (Self::Seconds, Bson::Int32(n)) => Some(i64::from(*n) * 1_000),
            (Self::Seconds, Bson::Int64(n)) => n.checked_mul(1_000),
            (Self::Seconds, Bson::Double(n)) => rounded(n * 1_000.0),
            (Self::Seconds, Bson::Decimal128(n)) => rounded(n.to_string().parse::<f64>().ok()? * 1_000.0),
            (Self::Millis, Bson::Int32(n)) => Some(i64::from(*n)),
            (Self::Millis, Bson::Int64(n)) => Some(*n),
            (Self::Millis, Bson::Double(n)) => rounded(*n),
            (Self::Millis, Bson::Decimal128(n)) => rounded(n.to_string().parse().ok()?),
            (Self::Date, Bson::DateTime(date)) => Some(date.timestamp_millis()),
            (Self::Objectid, Bson::ObjectId(id)) => Some(id.timestamp().timestamp_millis()),
            _ => None,
        }
    }

    /// In words.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::StringSeconds => "string-seconds (string)",
            Self::Seconds => "seconds (a number)",
            Self::Millis => "millis (a number)",
            Self::Date => "date (date)",
            Self::Objectid => "objectid (objectId)",
        }
    }
}

// === impl Canonical ===

impl Serialize for Canonical<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let tagged = |to: S, tag: &'static str, text: String| {
            let mut map = to.serialize_map(Some(1))?;
            map.serialize_entry(tag, &text)?;
            map.end()
        };
        match self.0 {
            Bson::Int32(n) => tagged(to, "$numberInt", n.to_string()),
            Bson::Int64(n) => tagged(to, "$numberLong", n.to_string()),
            Bson::Double(n) if n.is_nan() => tagged(to, "$numberDouble", "NaN".to_owned()),
            Bson::Double(n) if n.is_infinite() => {
                tagged(to, "$numberDouble", if *n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
            }
            Bson::Double(n) => tagged(to, "$numberDouble", format!("{n:?}")),
            Bson::Decimal128(n) => tagged(to, "$numberDecimal", n.to_string()),
            Bson::DateTime(date) => {
                let millis = std::collections::BTreeMap::from([("$numberLong", date.timestamp_millis().to_string())]);
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("$date", &millis)?;
                map.end()
            }
            Bson::Document(document) => {
                let mut map = to.serialize_map(Some(document.len()))?;
                for (key, value) in document {
                    map.serialize_entry(key, &Canonical(value))?;
                }
                map.end()
            }
            Bson::Array(values) => {
                let mut seq = to.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&Canonical(value))?;
                }
                seq.end()
            }
            other => other.serialize(to),
        }
    }
}

/// MongoDB's name of a value's type.
pub(crate) fn type_name(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) => "double",
        Bson::String(_) => "string",
        Bson::Array(_) => "array",
        Bson::Document(_) => "object",
        Bson::Boolean(_) => "bool",
        Bson::Null => "null",
        Bson::RegularExpression(_) => "regex",
        Bson::Int32(_) => "int",
        Bson::Int64(_) => "long",
        Bson::Timestamp(_) => "timestamp",
        Bson::Binary(_) => "binData",
        Bson::ObjectId(_) => "objectId",
        Bson::DateTime(_) => "date",
        Bson::Symbol(_) => "symbol",
        Bson::Decimal128(_) => "decimal",
        _ => "another type",
    }
}

fn rounded(millis: f64) -> Option<Millis> {
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    (millis.abs() < 9.0e15).then(|| millis.round() as i64)
}

/// `1447212345`, `1447212345.67`: exact, where a float of today's seconds would round.
fn decimal_millis(text: &str) -> Option<Millis> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let (whole, millis): (i64, i64) = (whole.parse().ok()?, digits.parse().ok()?);
    whole.checked_mul(1_000)?.checked_add(if text.starts_with('-') { -millis } else { millis })
}

#[cfg(test)]
#[path = "mongo_cursor_tests.rs"]
mod tests;
