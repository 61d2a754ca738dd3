#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

const NOW: Millis = 1_700_000_000_000;

fn notification(change: Value) -> Notification {
    let mut base = json!({
        "id": "m-1", "kind": 15, "app": "higo", "platform": "android", "title": "T", "body": "B",
        "created_at": NOW, "expires_at": NOW + 3_600_000, "targets": [{"user": "42", "token": "t"}],
    });
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    serde_json::from_value(base).unwrap()
}

fn built(change: Value) -> Value {
    let look = Look { channel_id: Some("c".to_owned()), sound: "default".to_owned() };
    let draft = build(&notification(change), &look, NOW).unwrap();
    serde_json::from_str(&draft.body("to\"ken", false)).unwrap()
}

#[test]
fn android_gets_texts_a_tag_and_what_is_left_of_its_life() {
    let custom = json!({"order": "A1", "n": 3, "deep": {"a": [1]}, "no": null, "id": "theirs"});
    let body = built(json!({"custom": custom, "priority": "low", "action": {"do": "activity", "with": "com.a.B"}}));
    let expected = json!({ "validate_only": false, "message": {
        "token": "to\"ken",
        "notification": { "title": "T", "body": "B" },
        "data": { "order": "A1", "n": "3", "deep": "{\"a\":[1]}", "push_type": "15", "id": "m-1",
            "action": "{\"activity\":\"com.a.B\"}" },
        "android": { "priority": "NORMAL", "ttl": "3600s",
            "notification": { "tag": "m-1", "channel_id": "c", "sound": "default", "click_action": "com.a.B" } },
    }});
    assert_eq!(body, expected);
    let collapsed = built(json!({"collapse": "chat-7", "expires_at": NOW + 90 * 86_400_000_i64}));
    let android = &collapsed["message"]["android"];
    assert_eq!(
        (&android["collapse_key"], &android["notification"]["tag"], &android["ttl"], &android["priority"]),
        (&json!("chat-7"), &json!("chat-7"), &json!("2419200s"), &json!("HIGH")),
    );
    assert_eq!(built(json!({"expires_at": NOW - 1}))["message"]["android"]["ttl"], json!("0s"));
}

#[test]
fn what_is_silent_shows_nothing() {
    let android = built(json!({"silent": true, "custom": {"a": "b"}}));
    assert_eq!(
        android["message"],
        json!({ "token": "to\"ken", "data": { "a": "b", "push_type": "15", "id": "m-1" },
            "android": { "priority": "NORMAL", "ttl": "3600s" } }),
    );
    let ios = built(json!({"silent": true, "platform": "ios"}));
    let apns = &ios["message"]["apns"];
    assert_eq!(apns["payload"], json!({"aps": {"content-available": 1}}));
    assert_eq!(
        apns["headers"],
        json!({"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "1700003600"}),
    );
    let web = built(json!({"silent": true, "platform": "web"}));
    assert_eq!(web["message"]["webpush"].get("notification"), None);
}

#[test]
fn ios_and_browsers_get_parts_of_their_own() {
    let ios = built(json!({"platform": "ios", "collapse": "k".repeat(65)}));
    let apns = &ios["message"]["apns"];
    assert_eq!(apns["payload"], json!({"aps": {"alert": {"title": "T", "body": "B"}, "sound": "default"}}));
    let id = apns["headers"]["apns-collapse-id"].as_str().unwrap();
    assert_eq!((id.len(), id), (64, collapse_id(&"k".repeat(65)).as_str()));
    assert_eq!(apns["headers"]["apns-priority"], json!("10"));
    assert_eq!(ios["message"].get("android"), None);

    let web = built(json!({"platform": "web", "action": {"do": "url", "with": "https://a.example/b"}}));
    let web = &web["message"]["webpush"];
    assert_eq!(web["notification"], json!({"title": "T", "body": "B", "tag": "m-1"}));
    assert_eq!(web["fcm_options"], json!({"link": "https://a.example/b"}));
    assert_eq!((&web["headers"]["TTL"], &web["headers"]["Urgency"]), (&json!("3600"), &json!("normal")));
    assert_eq!(web["headers"]["Topic"].as_str().unwrap().len(), 32);
}

#[test]
fn reserved_names_move_aside_or_are_refused() {
    let custom = json!({"from": "7", "message_type": "x", "gcm.n": "1", "google_": "2", "collapse_key": "fine"});
    let data = built(json!({ "custom": custom }))["message"]["data"].clone();
    assert_eq!(
        data,
        json!({"x_from": "7", "x_message_type": "x", "x_gcm.n": "1", "x_google_": "2", "collapse_key": "fine",
            "push_type": "15", "id": "m-1"}),
    );
    let both = notification(json!({"custom": {"from": "7", "x_from": "8"}}));
    let problem = build(&both, &Look::default(), NOW).err().unwrap();
    assert!(problem.contains("`from`") && problem.contains("`x_from`"), "{problem}");
}

#[test]
fn the_limit_counts_bytes() {
    for platform in ["android", "ios", "web"] {
        let fits = notification(json!({"platform": platform, "body": "a".repeat(3_900)}));
        assert!(build(&fits, &Look::default(), NOW).is_ok(), "{platform}");
        let long = notification(json!({"platform": platform, "body": "店".repeat(1_400)}));
        assert!(build(&long, &Look::default(), NOW).err().unwrap().contains("4096"), "{platform}");
    }
}
