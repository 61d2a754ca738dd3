#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

/// The events as JSON, or the refusal in words.
fn read(body: &[u8], format: Format) -> Result<(bool, Vec<String>), String> {
    let posted = split(body, format, "events").map_err(|r| r.to_string())?;
    let events = posted.events().map(|event| match event {
        Ok(event) => Ok(event.to_json().to_string()),
        Err(fault) => Err(format!("{:?} {}: {}", fault.index, fault.field, fault.message)),
    });
    Ok((posted.batch, events.collect::<Result<_, _>>()?))
}

fn json(body: &str) -> Result<(bool, Vec<String>), String> {
    read(body.as_bytes(), Format::Json)
}

#[track_caller]
fn refused(body: &str, expected: &str) {
    assert_eq!(json(body).unwrap_err(), expected, "{body}");
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

#[test]
fn one_event_a_list_or_a_wrapped_list() {
    assert_eq!(json(" {\"type\":7}\n").unwrap(), (false, texts(&[r#"{"type":7}"#])));
    assert_eq!(json("[{\"a\":1}, {\"b\":[2]}]").unwrap(), (true, texts(&[r#"{"a":1}"#, r#"{"b":[2]}"#])));
    assert_eq!(json("{\"events\" : [ {\"a\":1} ]}").unwrap(), (true, texts(&[r#"{"a":1}"#])));
    let msgpack = |value: serde_json::Value| read(&rmp_serde::to_vec_named(&value).unwrap(), Format::Msgpack);
    assert_eq!(msgpack(serde_json::json!({"type": 7})).unwrap(), (false, texts(&[r#"{"type":7}"#])));
    assert_eq!(msgpack(serde_json::json!([{"a": 1}, {}])).unwrap(), (true, texts(&[r#"{"a":1}"#, "{}"])));
    assert_eq!(msgpack(serde_json::json!({"events": [{"a": 1}]})).unwrap(), (true, texts(&[r#"{"a":1}"#])));
}

#[test]
fn what_is_wrong_has_a_place() {
    refused("", "body: is empty: expected an event or a list of events");
    refused("  \n", "body: is empty: expected an event or a list of events");
    refused("hello", "body: json: expected `{` or `[`, found `h`");
    refused("\"text\"", "body: json: expected `{` or `[`, found `\\\"`");
    refused("[{\"a\":1},]", "body: json: trailing comma at line 1 column 10");
    refused("[{\"a\":1}] x", "body: json: trailing characters at line 1 column 11");
    refused("{\"a\":1", "None event: json: EOF while parsing an object at byte 6");
    refused("{\"a\":}", "None event: json: expected value at byte 5");
    refused("{\"events\":3}", "body: events: json: invalid type: integer `3`, expected a list at line 1 column 1");
    refused("{\"events\":[{}]} x", "body: json: trailing characters at line 1 column 17");
    refused("{\"events\":[{}],\"lane\":1}", "body: `lane` beside `events`: expected nothing else there");
    refused("[]", "events: expected at least one");
    refused("{\"events\":[]}", "events: expected at least one");
    refused(&format!("[{}]", vec!["{}"; 1_001].join(",")), "events: expected at most 1000");
    assert_eq!(json(&format!("[{}]", vec!["{}"; 1_000].join(","))).unwrap().1.len(), 1_000);
    let msgpack = |body: &[u8]| read(body, Format::Msgpack).unwrap_err();
    assert_eq!(msgpack(b""), "body: msgpack: expected a value at byte 0");
    assert_eq!(msgpack(b"{}"), "body: msgpack: expected a map or an array");
    assert_eq!(msgpack(b"\x91\x81\xa1a"), "body: msgpack: 1 values are announced, but 0 bytes are left at byte 2");
    assert_eq!(msgpack(b"\x91\x80\xc0"), "body: msgpack: 1 bytes follow the value at byte 2");
    assert_eq!(msgpack(b"\x81\xa6events\xc0"), "body: events: expected a list");
    assert_eq!(msgpack(b"\x82\xa6events\x90\x01\x02"), "body: expected nothing beside `events`");
    assert_eq!(
        msgpack(b"\x91\x81\xa1a\xd4\x01\x02"),
        "Some(0) event: msgpack: an extension type, which no value is made of at byte 4"
    );
}

#[test]
fn deep_and_long_events_are_refused_by_their_place() {
    let deep = format!("[{{}},{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(json(&deep).unwrap_err(), "Some(1) event: json: nested deeper than 64 at byte 68");
    let deep = format!("{}{}", "{\"a\":".repeat(50_000), "1");
    assert!(json(&deep).unwrap_err().starts_with("None event: json: nested deeper than 64"));
    let long = format!("[{{\"a\":\"{}\"}},{{}}]", "x".repeat(MAX_INPUT));
    let posted = split(long.as_bytes(), Format::Json, "events").unwrap();
    let events: Vec<_> = posted.events().collect();
    assert!(events[0].as_ref().unwrap_err().too_large);
    assert!(events[1].is_ok());
    let three = format!("[{}]", vec![format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000)); 3].join(","));
    assert_eq!(json(&three).unwrap().1.len(), 3, "a batch may be longer than an event");
}

#[test]
fn bytes_of_any_kind_are_answered() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let valid = rmp_serde::to_vec_named(&serde_json::json!({"events": [{"type": 7, "to": {"users": ["1"]}}]})).unwrap();
    let text = br#"{"events":[{"type":7,"to":{"users":["1"]},"x":[1.5,null]}]}"#;
    let mut refusals = 0;
    for _ in 0..20_000 {
        for (sample, format) in [(&valid[..], Format::Msgpack), (&text[..], Format::Json)] {
            let mut body = sample.to_vec();
            for _ in 0..=random() % 3 {
                let place = (random() % body.len() as u64) as usize;
                body[place] = random().to_be_bytes()[0];
            }
            body.truncate(body.len() - (random() % 4) as usize);
            refusals += usize::from(read(&body, format).is_err());
        }
    }
    assert!(refusals > 10_000, "{refusals}");
}

#[test]
fn the_content_type_says_msgpack() {
    let format = |text: &'static str| {
        format_of(&[(header::CONTENT_TYPE, axum::http::HeaderValue::from_static(text))].into_iter().collect())
    };
    assert_eq!(format("application/msgpack"), Format::Msgpack);
    assert_eq!(format("Application/X-Msgpack; x=1"), Format::Msgpack);
    assert_eq!(format("application/x-www-form-urlencoded"), Format::Json);
    assert_eq!(format_of(&HeaderMap::new()), Format::Json);
}
