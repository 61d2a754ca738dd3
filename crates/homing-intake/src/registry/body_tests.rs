#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn read(json: &str) -> Result<Device, Invalid> {
    device(&object(json.as_bytes())?, None, &[])
}

#[track_caller]
fn refused(json: &str, expected: &str) {
    assert_eq!(read(json).unwrap_err().to_string(), expected, "{json}");
}

#[test]
fn a_device_is_read() {
    let json = r#"{"id":"i-1","app":"higo","platform":"iphone","env":"dev","locale":"zh_Hans_CN","model":"iPhone 17",
        "tokens":{"apns":"t","web_push":{"endpoint":"https://push.example/x","keys":{"auth":"a"}}},"topics":["sale","sale",7]}"#;
    let device = read(json).unwrap();
    assert_eq!(
        (device.id.as_str(), device.platform, device.environment),
        ("i-1", Platform::Ios, Environment::Development)
    );
    assert_eq!(device.tokens["apns"], "t");
    assert_eq!(device.tokens["web_push"], r#"{"endpoint":"https://push.example/x","keys":{"auth":"a"}}"#);
    assert_eq!(device.topics, ["sale", "7"]);
    assert_eq!(device.locale.as_deref(), Some("zh_Hans_CN"));
}

#[test]
fn what_is_wrong_is_named() {
    refused("", "body: is empty: expected an object");
    refused("[]", "body: expected an object, found a list");
    refused("{", "body: json: EOF while parsing an object at line 1 column 1");
    refused("{}", "id: is missing: the installation's own, made by the app");
    refused(r#"{"id":7}"#, "id: expected text, found a number");
    refused(r#"{"id":"a\nb"}"#, "id: has control characters");
    refused(r#"{"id":"i"}"#, "app: is missing: its name, as the accounts have it");
    let with = |rest: &str| format!(r#"{{"id":"i","app":"a"{rest}}}"#);
    refused(&with(""), "platform: is missing: android, ios, harmony, web, mqtt, webhook, socket");
    refused(
        &with(r#","platform":"symbian""#),
        "platform: is none of android, ios, harmony, web, mqtt, webhook, socket",
    );
    refused(
        &with(r#","plattform":"ios""#),
        "plattform: is not known; there are id, app, platform, env, tokens, locale, model, topics",
    );
    let with = |rest: &str| format!(r#"{{"id":"i","app":"a","platform":"ios"{rest}}}"#);
    refused(&with(r#","env":"test""#), "env: is neither prod nor dev");
    refused(&with(""), "tokens: is missing: an object of channel to token");
    refused(&with(r#","tokens":["t"]"#), "tokens: expected an object of channel to token, found a list");
    refused(&with(r#","tokens":{}"#), "tokens: expected 1 to 8 channels, found 0");
    refused(
        &with(r#","tokens":{"APNs":"t"}"#),
        "tokens.APNs: names no channel: 1 to 64 small letters, digits, _ and -",
    );
    refused(&with(r#","tokens":{"apns":""}"#), "tokens.apns: expected 1 to 4096 bytes, found 0");
    refused(&with(r#","tokens":{"apns":"a\u0000"}"#), "tokens.apns: has control characters");
    refused(
        &with(r#","tokens":{"apns":{}}"#),
        "tokens.apns: expected text, or a browser's subscription, found an object",
    );
    let long = format!(r#","tokens":{{"apns":"{}"}}"#, "x".repeat(4_097));
    refused(&with(&long), "tokens.apns: expected 1 to 4096 bytes, found 4097");
    let many: Vec<String> = (0..9).map(|n| format!(r#""c{n}":"t""#)).collect();
    refused(&with(&format!(r#","tokens":{{{}}}"#, many.join(","))), "tokens: expected 1 to 8 channels, found 9");
    let with = |rest: &str| format!(r#"{{"id":"i","app":"a","platform":"ios","tokens":{{"apns":"t"}}{rest}}}"#);
    refused(&with(r#","locale":"e n""#), "locale: is no language such as en or zh-CN");
    refused(&with(r#","topics":"sale""#), "topics: expected a list, found text");
    refused(&with(r#","topics":["a",{}]"#), "topics.1: expected text, found an object");
    refused(&with(r#","topics":["a",""]"#), "topics.1: expected 1 to 128 bytes, found 0");
    let topics = vec!["\"a\""; 101].join(",");
    refused(&with(&format!(r#","topics":[{topics}]"#)), "topics: expected at most 100, found 101");
    let error = device(&object(with("").as_bytes()).unwrap(), Some("j"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "id: is not the one of the path");
    let error = device(&object(with("").as_bytes()).unwrap(), None, &["fcm".into(), "hms".into()]).unwrap_err();
    assert_eq!(error.to_string(), "tokens.apns: is no channel of this installation: fcm, hms");
}

#[test]
fn preferences_are_read_field_by_field() {
    let read = |json: &str| preferences(&object(json.as_bytes()).unwrap(), |name| name == "SALE" || name == "7");
    let all = r#"{"locale":"de","time_zone":"Europe/Berlin","quiet_from":"22:30","quiet_to":"7","muted":["SALE",7]}"#;
    let wanted = read(all).unwrap();
    assert_eq!((wanted.quiet_to.as_deref(), wanted.muted.len()), (Some("7"), 2));
    assert_eq!(read("{}").unwrap(), Preferences::default());
    for (json, expected) in [
        (r#"{"time_zone":"Mars/Base"}"#, "time_zone: `Mars/Base` is not a time zone such as Asia/Shanghai"),
        (r#"{"quiet_from":"25:00"}"#, "quiet_from: quiet_from `25:00` is not a time of day such as 23:00"),
        (r#"{"quiet_to":"8:99"}"#, "quiet_to: quiet_to `8:99` is not a time of day such as 08:00"),
        (r#"{"muted":["SALE","X"]}"#, "muted.1: is no type of the catalogue, by name or code"),
        (r#"{"muted":["SALE,7"]}"#, "muted.0: is no type of the catalogue, by name or code"),
        (r#"{"zone":"x"}"#, "zone: is not known; there are locale, time_zone, quiet_from, quiet_to, muted"),
    ] {
        assert_eq!(read(json).unwrap_err().to_string(), expected);
    }
}
