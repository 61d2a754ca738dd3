#![allow(clippy::unwrap_used, reason = "a test may panic")]

use homing_core::notification::Priority;

use super::*;

fn account(more: &str) -> AccountSettings {
    toml::from_str(&format!("app = 'higo'\ntopic = 'com.higo'\n{more}")).unwrap()
}

fn notification(more: Value) -> Notification {
    let mut all = json!({ "id": "m-1", "kind": 7, "app": "higo", "platform": "ios", "title": "HIGO", "body": "您有一笔新订单",
        "custom": { "order_id": "A1" }, "created_at": 0, "expires_at": 1_700_000_000_500_i64, "targets": [] });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

#[track_caller]
fn check(account: &AccountSettings, notification: &Notification, expected: &Value) {
    let prepared = prepare(account, notification).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&prepared.body).unwrap(), *expected);
}

#[test]
fn what_is_shown_has_alert_sound_and_the_fields_beside() {
    let aps = json!({ "alert": { "title": "HIGO", "body": "您有一笔新订单" }, "sound": "default" });
    let homing = json!({ "id": "m-1", "type": 7 });
    check(&account(""), &notification(json!({})), &json!({ "aps": aps, "order_id": "A1", "homing": homing }));
    check(
        &account("custom = 'data'"),
        &notification(json!({})),
        &json!({ "aps": aps, "data": { "order_id": "A1" }, "homing": homing }),
    );
    let hostile = notification(json!({ "custom": { "aps": { "badge": 9 }, "homing": 1, "x": 2 }, "title": "" }));
    let bare = json!({ "alert": { "body": "您有一笔新订单" }, "sound": "default" });
    check(&account(""), &hostile, &json!({ "aps": bare, "x": 2, "homing": homing }));
    let proven = notification(json!({ "custom": { "homing": { "id": "m-1", "proof": "p" } }, "title": "" }));
    let homing = json!({ "id": "m-1", "type": 7, "proof": "p" });
    check(&account(""), &proven, &json!({ "aps": bare, "homing": homing }));
    let sorted = notification(json!({ "category": "order", "custom": {},
        "action": { "do": "url", "with": "https://higo.example/1" } }));
    check(
        &account("sound = ''\nmessage_id = ''\ncategories = { order = 'ORDER' }"),
        &sorted,
        &json!({ "aps": { "alert": { "title": "HIGO", "body": "您有一笔新订单" }, "category": "ORDER" },
            "action": { "url": "https://higo.example/1" } }),
    );
}

#[test]
fn a_silent_one_has_its_fields_in_data_and_a_low_priority() {
    let silent = notification(json!({ "silent": true, "priority": "high" }));
    let aps = json!({ "content-available": 1 });
    check(&account("message_id = ''"), &silent, &json!({ "aps": aps, "data": { "order_id": "A1" } }));
    let prepared = prepare(&account(""), &silent).unwrap();
    assert_eq!((prepared.push_type.as_str(), prepared.priority), ("background", 5));
    assert_eq!(prepared.collapse, "silent:m-1");
}

#[test]
fn headers_follow_the_notification() {
    let prepared = prepare(&account("push_type = 'liveactivity'"), &notification(json!({}))).unwrap();
    assert_eq!((prepared.push_type.as_str(), prepared.priority), ("liveactivity", 10));
    assert_eq!((prepared.expiration, prepared.collapse.to_str().unwrap()), (1_700_000_000, "m-1"));
    let low = Notification { priority: Priority::Low, collapse: Some("chat-7".into()), ..notification(json!({})) };
    let prepared = prepare(&account("priority = { low = 1 }"), &low).unwrap();
    assert_eq!((prepared.priority, prepared.collapse.to_str().unwrap()), (1, "chat-7"));
    for key in ["k".repeat(65), "群聊".to_owned(), "a b".to_owned(), String::new()] {
        let id = collapse_id(&key, false);
        assert_eq!(id.len(), 64);
        assert_eq!(id, collapse_id(&key, false));
    }
    assert_eq!(collapse_id(&"k".repeat(64), false).to_str().unwrap(), "k".repeat(64));
}

#[test]
fn too_long_a_payload_is_refused_here() {
    let long = notification(json!({ "body": "店".repeat(1_400) }));
    let problem = prepare(&account(""), &long).err().unwrap();
    assert!(problem.contains("4096"), "{problem}");
    assert!(prepare(&account("push_type = 'voip'"), &long).is_ok());
}

#[test]
fn the_apns_id_is_a_uuid_that_tells_message_and_device() {
    let sent = notification(json!({}));
    let id = apns_id(&sent, "aa");
    assert_eq!(id, apns_id(&sent, "aa"));
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 8);
    assert_ne!(id, apns_id(&sent, "ab"));
    assert_ne!(id, apns_id(&Notification { id: "m-2".into(), ..sent.clone() }, "aa"));
    assert_ne!(id, apns_id(&Notification { silent: true, ..sent }, "aa"));
}

#[test]
fn device_tokens_are_hexadecimal() {
    assert!(is_token(&"0aF9".repeat(16)) && is_token(&"ab".repeat(80)));
    for bad in ["", "a", "abc", "zz", "aa/bb", "aa bb", &"ab".repeat(300)] {
        assert!(!is_token(bad), "{bad}");
    }
}
