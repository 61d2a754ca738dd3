#![allow(clippy::unwrap_used)]

use mongodb::bson::{Binary, Decimal128, Timestamp, spec::BinarySubtype};

use super::*;

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse::<Decimal128>().unwrap())
}

#[track_caller]
fn survives(kind: CursorType, at: Bson, id: Bson, text: &str) {
    let position = Position { at, id };
    let cursor = position.cursor();
    assert_eq!(cursor.0, text);
    assert_eq!(Position::read(&cursor, kind).unwrap(), position);
}

#[test]
fn type_and_precision_survive_as_text() {
    let oid = ObjectId::parse_str("5641f9d9e4b0c2a1b3d4e5f6").unwrap();
    survives(
        CursorType::StringSeconds,
        Bson::String("1447212345.67".to_owned()),
        Bson::ObjectId(oid),
        r#"{"at":"1447212345.67","id":{"$oid":"5641f9d9e4b0c2a1b3d4e5f6"}}"#,
    );
    survives(
        CursorType::Seconds,
        Bson::Double(1_447_212_345.123_456_7),
        Bson::Int32(7),
        r#"{"at":{"$numberDouble":"1447212345.1234567"},"id":{"$numberInt":"7"}}"#,
    );
    survives(
        CursorType::Millis,
        Bson::Int64(9_007_199_254_740_993),
        Bson::Int64(9_007_199_254_740_993),
        r#"{"at":{"$numberLong":"9007199254740993"},"id":{"$numberLong":"9007199254740993"}}"#,
    );
    survives(CursorType::Seconds, Bson::Double(1.0), Bson::Null, r#"{"at":{"$numberDouble":"1.0"},"id":null}"#);
    survives(
        CursorType::Seconds,
        Bson::Double(f64::INFINITY),
        Bson::Null,
        r#"{"at":{"$numberDouble":"Infinity"},"id":null}"#,
    );
    survives(
        CursorType::Date,
        Bson::DateTime(DateTime::from_millis(-5)),
        Bson::Boolean(true),
        r#"{"at":{"$date":{"$numberLong":"-5"}},"id":true}"#,
    );
    survives(
        CursorType::Seconds,
        decimal("1.10"),
        Bson::Document(doc! { "z": 1_i64, "a": "x", "l": [1_i32] }),
        r#"{"at":{"$numberDecimal":"1.10"},"id":{"z":{"$numberLong":"1"},"a":"x","l":[{"$numberInt":"1"}]}}"#,
    );
    for id in [
        Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] }),
        Bson::Timestamp(Timestamp { time: 5, increment: 6 }),
        Bson::DateTime(DateTime::MAX),
        Bson::Double(f64::MIN_POSITIVE),
    ] {
        let position = Position { at: Bson::Int32(1), id };
        assert_eq!(Position::read(&position.cursor(), CursorType::Seconds).unwrap(), position);
    }
}

#[test]
fn a_cursor_of_another_type_is_refused() {
    let text = Position { at: Bson::String("1".to_owned()), id: Bson::Int32(1) }.cursor();
    let error = Position::read(&text, CursorType::Date).unwrap_err();
    assert!(error.contains("string") && error.contains("date"), "{error}");
    assert!(Position::read(&Cursor("{}".to_owned()), CursorType::Date).is_err());
    assert!(Position::read(&Cursor("nonsense".to_owned()), CursorType::Date).is_err());
}

#[track_caller]
fn time(kind: CursorType, value: impl Into<Bson>, millis: Option<Millis>) {
    let value = value.into();
    assert_eq!(kind.millis(&value), millis, "{kind:?} {value:?}");
}

#[test]
fn every_type_tells_a_time() {
    use CursorType::{Date, Millis, Objectid, Seconds, StringSeconds};
    time(StringSeconds, "1447212345", Some(1_447_212_345_000));
    time(StringSeconds, "1447212345.67", Some(1_447_212_345_670));
    time(StringSeconds, "1447212345.6789", Some(1_447_212_345_678));
    time(StringSeconds, "-0.5", Some(-500));
    for text in ["", "abc", "1.x", "1.2.3", "99999999999999999999", "1e9"] {
        time(StringSeconds, text, None);
    }
    time(Seconds, 1_447_212_345_i32, Some(1_447_212_345_000));
    time(Seconds, 1_447_212_345_i64, Some(1_447_212_345_000));
    time(Seconds, 1_447_212_345.678, Some(1_447_212_345_678));
    time(Seconds, i64::MAX, None);
    time(Seconds, f64::INFINITY, None);
    time(Seconds, decimal("1447212345.5"), Some(1_447_212_345_500));
    time(Millis, 1_447_212_345_678_i64, Some(1_447_212_345_678));
    time(Millis, 1_447_212_345_678.0, Some(1_447_212_345_678));
    time(Date, DateTime::from_millis(5), Some(5));
    time(Objectid, ObjectId::parse_str("5641f9d90000000000000000").unwrap(), Some(1_447_164_377_000));
    time(Date, "2026-11-21", None);
}

#[test]
fn the_condition_holds_ids_of_higher_types_too() {
    let behind = Position { at: Bson::Int32(5), id: Bson::String("x".to_owned()) }.behind("t", "_id");
    let higher = vec!["object", "binData", "objectId", "bool", "date", "timestamp"];
    assert_eq!(
        behind,
        doc! {
            "t": { "$gte": 5, "$not": { "$type": "array" } },
            "$or": [
                { "t": { "$gt": 5 } },
                { "t": 5, "_id": { "$gt": "x" } },
                { "t": 5, "_id": { "$type": higher } },
            ],
        }
    );
}

#[test]
fn a_time_has_a_least_value() {
    let at = 1_447_212_345_670;
    assert_eq!(CursorType::StringSeconds.value(at), Bson::from("1447212345.67"));
    assert_eq!(CursorType::StringSeconds.value(1_447_212_340_000), Bson::from("1447212340"));
    assert_eq!(CursorType::StringSeconds.value(-1), Bson::from(""));
    assert_eq!(CursorType::Seconds.value(at), Bson::Double(1_447_212_345.67));
    assert_eq!(CursorType::Millis.value(at), Bson::Int64(at));
    assert_eq!(CursorType::Date.value(at), Bson::DateTime(DateTime::from_millis(at)));
    let oid = |text: &str| Bson::ObjectId(ObjectId::parse_str(text).unwrap());
    assert_eq!(CursorType::Objectid.value(1_447_164_377_000), oid("5641f9d90000000000000000"));
    assert_eq!(CursorType::Objectid.value(1_447_164_376_001), oid("5641f9d90000000000000000"));
    assert_eq!(CursorType::Objectid.value(i64::MIN), oid("000000000000000000000000"));
    for kind in [CursorType::StringSeconds, CursorType::Seconds, CursorType::Millis, CursorType::Date] {
        assert_eq!(kind.millis(&kind.value(at)), Some(at), "{kind:?}");
    }
}

#[test]
fn a_beginning_stands_before_all_of_its_time() {
    let kind = CursorType::Millis;
    let start = Position::before(5, kind);
    assert_eq!(start.since(1, kind, "t"), doc! { "t": { "$gte": 1_i64, "$lt": 5_i64 } });
    assert_eq!(Position::read(&start.cursor(), kind).unwrap(), start);
    let place = Position { at: Bson::Int64(5), id: Bson::Int32(1) };
    assert_eq!(place.since(1, kind, "t"), doc! { "t": { "$gte": 1_i64, "$lte": 5_i64 } });
}
