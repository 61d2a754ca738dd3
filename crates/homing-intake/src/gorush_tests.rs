#![allow(clippy::unwrap_used, reason = "a test may panic")]

use homing_codec::{Codec, decode};
use homing_core::{
    event::{Audience, Event, Map},
    notification::{Environment, Platform, Priority},
};

use super::*;

const NOW: Millis = 1_795_222_800_000;

fn settings() -> Settings {
    Settings {
        gorush_app: Some("higo".into()),
        apps: [("com.example.girl".to_owned(), "higirl".to_owned())].into_iter().collect(),
        ..Settings::default()
    }
}

fn read(json: &str, settings: &Settings) -> Result<(Event, usize), Invalid> {
    let (event, count) = event(&decode(json.as_bytes(), Codec::Json).unwrap(), settings, NOW)?;
    Ok((Event::read(&event, &Map::default())?, count))
}

#[track_caller]
fn refused(json: &str, expected: &str) {
    assert_eq!(read(json, &settings()).unwrap_err().to_string(), expected, "{json}");
}

#[test]
fn a_notification_becomes_an_event() {
    let json = r#"{"tokens":["t1","t2"],"platform":1,"topic":"com.example.girl","title":"T","message":"M","badge":3,
        "data":{"k":"v"},"priority":"high","development":true,"expiration":1795222860,"sound":"default"}"#;
    let (event, count) = read(json, &settings()).unwrap();
    assert_eq!(count, 2);
    assert_eq!((event.title.as_deref(), event.body.as_deref()), (Some("T"), Some("M")));
    assert_eq!(serde_json::Value::Object(event.data), serde_json::json!({"k": "v", "badge": 3}));
    assert_eq!((event.priority, event.expires_in), (Some(Priority::High), Some(60_000)));
    let Audience::Tokens(devices) = event.to else { panic!("no tokens") };
    assert_eq!(devices.iter().map(|d| d.token.as_str()).collect::<Vec<_>>(), ["t1", "t2"]);
    let first = &devices[0];
    assert_eq!((first.platform, first.app.as_str()), (Platform::Ios, "higirl"));
    assert_eq!(first.environment, Environment::Development);

    let (event, _) = read(r#"{"tokens":["t"],"platform":2,"message":"M","time_to_live":5}"#, &settings()).unwrap();
    assert_eq!((event.title.as_deref(), event.expires_in), (Some(""), Some(5_000)));
    let Audience::Tokens(devices) = event.to else { panic!("no tokens") };
    assert_eq!((devices[0].platform, devices[0].app.as_str()), (Platform::Android, "higo"));
    let alone = Settings { apps: Default::default(), ..settings() };
    assert!(read(r#"{"tokens":["t"],"platform":1,"topic":"any","message":"M"}"#, &alone).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    refused("3", "notification: expected an object");
    refused(r#"{"platform":3,"tokens":["t"],"message":"M"}"#, "platform: 3 (huawei) is not supported");
    refused(r#"{"tokens":["t"],"message":"M"}"#, "platform: expected 1 (ios) or 2 (android)");
    refused(r#"{"platform":1,"message":"M"}"#, "tokens: expected a list of tokens");
    refused(r#"{"platform":1,"tokens":[],"message":"M"}"#, "tokens: expected at least one");
    refused(r#"{"platform":1,"tokens":["t",[]],"message":"M"}"#, "tokens.1: expected text");
    refused(r#"{"platform":1,"tokens":["t"]}"#, "message: is missing, and title too");
    refused(r#"{"platform":1,"tokens":["t"],"message":[]}"#, "message: expected text");
    refused(r#"{"platform":1,"tokens":["t"],"message":"M","topic":"x"}"#, "topic: `x` is none of intake.apps");
    refused(r#"{"platform":1,"tokens":["t"],"message":"M","expiration":1795222800}"#, "expiration: has passed");
    refused(r#"{"platform":1,"tokens":["t"],"message":"M","data":3}"#, "data: expected an object");
    let without = Settings { gorush_app: None, ..settings() };
    let error = read(r#"{"platform":1,"tokens":["t"],"message":"M"}"#, &without).unwrap_err().to_string();
    assert_eq!(error, "topic: is missing, and there is no intake.gorush_app");
}
