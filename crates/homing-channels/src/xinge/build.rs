//! A v2 message from a notification.
//!
//! `push_type` (the event's kind) and `id` (the message's id) travel with every message: clients route by the first, and
//! both ends find a message again by the second. They win over custom fields of the same names.

use std::collections::BTreeMap;

use homing_core::notification::{Notification, Platform};
use serde_json::{Map, Value, json};

use super::message::{Action, Alert, Android, Aps, AtyAttr, Field, Ios, Message};

/// Top-level keys of an iOS message that are not custom ones. `xg` is overwritten by the service.
const RESERVED: [&str; 3] = ["aps", "xg", "accept_time"];

/// The message for a notification's platform.
pub fn build(notification: &Notification) -> Message {
    match notification.platform {
        Platform::Android => Message::Notification(Box::new(android(notification))),
        Platform::Ios => Message::Ios(ios(notification)),
    }
}

/// The SDK's message with its style: default builder, sound, vibration and light on, may be swiped away, a tap opens the
/// app.
fn android(notification: &Notification) -> Android {
    Android {
        title: Field::Known(notification.title.clone()),
        content: Field::Known(notification.body.clone()),
        builder_id: Field::Known(0),
        n_id: Field::Known(0),
        ring: Field::Known(1),
        ring_raw: Field::Known(String::new()),
        vibrate: Field::Known(1),
        lights: Field::Known(1),
        clearable: Field::Known(1),
        icon_type: Field::Known(0),
        icon_res: Field::Known(String::new()),
        style_id: Field::Known(1),
        small_icon: Field::Known(String::new()),
        custom_content: Field::Known(texts(notification)),
        accept_time: Field::Absent,
        action: Field::Known(open_app()),
        rest: Map::new(),
    }
}

fn open_app() -> Action {
    let flags = AtyAttr { intent_flags: Field::Known(0), pending_flags: Field::Known(0), rest: Map::new() };
    Action {
        action_type: Field::Known(1),
        activity: Field::Known(String::new()),
        aty_attr: Field::Known(flags),
        ..Action::default()
    }
}

/// `custom_content` holds texts only: other values go as their JSON text, `null` does not go.
fn texts(notification: &Notification) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (key, value) in &notification.custom {
        match value {
            Value::Null => {}
            Value::String(text) => drop(texts.insert(key.clone(), text.clone())),
            other => drop(texts.insert(key.clone(), other.to_string())),
        }
    }
    texts.insert("push_type".to_owned(), notification.kind.to_string());
    texts.insert("id".to_owned(), notification.id.clone());
    texts
}

fn ios(notification: &Notification) -> Ios {
    let alert = if notification.title.is_empty() {
        Alert::Text(notification.body.clone())
    } else {
        let title = ("title".to_owned(), json!(notification.title));
        let body = ("body".to_owned(), json!(notification.body));
        Alert::Parts([title, body].into_iter().collect())
    };
    let aps = Aps {
        alert: Field::Known(alert),
        badge: Field::Known(1),
        sound: Field::Known("default".to_owned()),
        ..Aps::default()
    };
    let custom = notification.custom.iter().filter(|(key, _)| !RESERVED.contains(&key.as_str()));
    let mut custom: Map<_, _> = custom.map(|(key, value)| (key.clone(), value.clone())).collect();
    custom.insert("push_type".to_owned(), json!(notification.kind));
    custom.insert("id".to_owned(), json!(notification.id));
    Ios { aps: Field::Known(aps), accept_time: Field::Absent, custom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(platform: Platform, title: &str, custom: Value, expected: Value) {
        let notification: Notification = serde_json::from_value(json!({
            "id": "m1", "kind": 15, "app": "higo", "platform": platform, "title": title, "body": "新订单", "custom": custom,
            "created_at": 0, "expires_at": 0, "targets": [{"user": "7", "token": "t"}],
        }))
        .unwrap();
        let built = build(&notification);
        let value = serde_json::to_value(&built).unwrap();
        assert_eq!(value, expected);
        assert_eq!(serde_json::from_value::<Message>(value).unwrap(), built);
    }

    #[test]
    fn an_android_message_is_the_sdks_with_texts_as_custom_content() {
        check(
            Platform::Android,
            "HIGO",
            json!({"order": "A1", "n": 3, "deep": {"a": [1]}, "none": null, "id": "theirs"}),
            json!({
                "title": "HIGO", "content": "新订单", "builder_id": 0, "n_id": 0, "ring": 1, "ring_raw": "", "vibrate": 1,
                "lights": 1, "clearable": 1, "icon_type": 0, "icon_res": "", "style_id": 1, "small_icon": "",
                "action": {"action_type": 1, "activity": "", "aty_attr": {"if": 0, "pf": 0}},
                "custom_content": {"order": "A1", "n": "3", "deep": "{\"a\":[1]}", "id": "m1", "push_type": "15"},
            }),
        );
    }

    #[test]
    fn an_ios_message_keeps_reserved_keys() {
        check(
            Platform::Ios,
            "HIGO",
            json!({"order": 7, "aps": {"alert": "theirs"}, "xg": 1, "accept_time": []}),
            json!({
                "aps": {"alert": {"title": "HIGO", "body": "新订单"}, "badge": 1, "sound": "default"},
                "order": 7, "push_type": 15, "id": "m1",
            }),
        );
        check(
            Platform::Ios,
            "",
            json!({}),
            json!({"aps": {"alert": "新订单", "badge": 1, "sound": "default"}, "push_type": 15, "id": "m1"}),
        );
    }
}
