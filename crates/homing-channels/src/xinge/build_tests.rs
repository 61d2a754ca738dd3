use super::*;

fn notification(more: Value) -> Notification {
    let mut value = json!({
        "id": "m1", "kind": 15, "app": "higo", "platform": "android", "title": "HIGO", "body": "新订单", "custom": {},
        "created_at": 0, "expires_at": 0, "targets": [{"user": "7", "token": "t"}],
    });
    for (key, more) in more.as_object().unwrap() {
        value[key] = more.clone();
    }
    serde_json::from_value(value).unwrap()
}

#[track_caller]
fn check(more: Value, expected: Value) {
    let built = build(&notification(more));
    let value = serde_json::to_value(&built).unwrap();
    assert_eq!(value, expected);
    assert_eq!(serde_json::from_value::<Message>(value).unwrap(), built);
}

#[track_caller]
fn check_app(flavour: Flavour, more: Value, expected: Value) {
    let built = build_app(&notification(more), flavour);
    let value = serde_json::to_value(&built).unwrap();
    assert_eq!(value, expected);
    assert_eq!(serde_json::from_value::<AppMessage>(value).unwrap(), built);
}

#[test]
fn an_android_message_is_the_sdks_with_texts_as_custom_content() {
    check(
        json!({"custom": {"order": "A1", "n": 3, "deep": {"a": [1]}, "none": null, "id": "theirs"}}),
        json!({
            "title": "HIGO", "content": "新订单", "builder_id": 0, "n_id": n_id("m1"), "ring": 1, "ring_raw": "", "vibrate": 1,
            "lights": 1, "clearable": 1, "icon_type": 0, "icon_res": "", "style_id": 1, "small_icon": "",
            "action": {"action_type": 1, "activity": "", "aty_attr": {"if": 0, "pf": 0}},
            "custom_content": {"order": "A1", "n": "3", "deep": "{\"a\":[1]}", "id": "m1", "push_type": "15"},
        }),
    );
}

#[test]
fn an_ios_message_keeps_reserved_keys() {
    check(
        json!({"platform": "ios", "custom": {"order": 7, "aps": {"alert": "theirs"}, "xg": 1, "accept_time": []}}),
        json!({
            "aps": {"alert": {"title": "HIGO", "body": "新订单"}, "badge": 1, "sound": "default"},
            "order": 7, "push_type": 15, "id": "m1",
        }),
    );
    check(
        json!({"platform": "ios", "title": ""}),
        json!({"aps": {"alert": "新订单", "badge": 1, "sound": "default"}, "push_type": 15, "id": "m1"}),
    );
}

#[test]
fn v3_has_objects_and_tpns_has_texts_as_custom_fields() {
    let style = |custom: Value| {
        json!({
            "title": "HIGO", "content": "新订单",
            "android": {
                "builder_id": 0, "n_id": n_id("m1"), "ring": 1, "vibrate": 1, "lights": 1, "clearable": 1, "icon_type": 0,
                "style_id": 1, "action": {"action_type": 1, "activity": "", "aty_attr": {"if": 0, "pf": 0}},
                "custom_content": custom,
            },
        })
    };
    let more = json!({"custom": {"n": 3}});
    check_app(Flavour::V3, more.clone(), style(json!({"n": "3", "id": "m1", "push_type": "15"})));
    check_app(Flavour::Tpns, more, style(json!(r#"{"id":"m1","n":"3","push_type":"15"}"#)));
    let aps = json!({"badge_type": -2, "sound": "default"});
    let more = json!({"platform": "ios", "custom": {"n": 3, "xg": 1}});
    check_app(
        Flavour::V3,
        more.clone(),
        json!({
            "title": "HIGO", "content": "新订单",
            "ios": {"aps": aps, "custom": {"n": 3, "id": "m1", "push_type": 15}},
        }),
    );
    let built = build_app(&notification(more), Flavour::Tpns);
    let Field::Known(ios) = built.ios else { panic!("no iOS part") };
    let Field::Known(text) = ios.custom_content else { panic!("no custom fields") };
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"n": 3, "id": "m1", "push_type": 15}));
    assert!(ios.custom.is_absent());
}

#[test]
fn a_tap_does_what_the_notification_says() {
    for (action, android, ios) in [
        (
            json!({"do": "activity", "with": "com.example.Order"}),
            json!({"action_type": 1, "activity": "com.example.Order", "aty_attr": {"if": 0, "pf": 0}}),
            json!({"activity": "com.example.Order"}),
        ),
        (
            json!({"do": "url", "with": "https://m.example.test/o?id=1"}),
            json!({"action_type": 2, "browser": {"url": "https://m.example.test/o?id=1", "confirm": 0}}),
            json!({"url": "https://m.example.test/o?id=1"}),
        ),
        (
            json!({"do": "intent", "with": "xgscheme://com.xg.push/notify_detail?order=1"}),
            json!({"action_type": 3, "intent": "xgscheme://com.xg.push/notify_detail?order=1"}),
            json!({"intent": "xgscheme://com.xg.push/notify_detail?order=1"}),
        ),
    ] {
        let built = serde_json::to_value(build(&notification(json!({"action": action})))).unwrap();
        assert_eq!(built["action"], android);
        let built = serde_json::to_value(build_app(&notification(json!({"action": action})), Flavour::Tpns)).unwrap();
        assert_eq!(built["android"]["action"], android);
        let built = serde_json::to_value(build(&notification(json!({"action": action, "platform": "ios"})))).unwrap();
        assert_eq!(built["action"], ios);
    }
    let theirs = json!({"action": {"do": "url", "with": "u"}, "platform": "ios", "custom": {"action": "theirs"}});
    assert_eq!(serde_json::to_value(build(&notification(theirs))).unwrap()["action"], json!("theirs"));
}

#[test]
fn a_collapse_key_has_one_positive_id_for_ever() {
    assert_eq!(n_id("order-A1001"), n_id("order-A1001"));
    assert_ne!(n_id("order-A1001"), n_id("order-A1002"));
    // The offset basis of FNV-1a without its highest bit.
    assert_eq!(n_id(""), 0x011c_9dc5);
    // "a" hashes to 0xe40c292c.
    assert_eq!(n_id("a"), 0x640c_292c);
    for number in 0..10_000 {
        assert!((1..=i64::from(i32::MAX)).contains(&n_id(&format!("key-{number}"))));
    }
    let built = serde_json::to_value(build(&notification(json!({"collapse": "a"})))).unwrap();
    assert_eq!(built["n_id"], json!(0x640c_292c));
}

#[test]
fn a_silent_message_has_nothing_to_show() {
    let silent = json!({"silent": true, "custom": {"n": 3}});
    check(
        silent.clone(),
        json!({"title": "HIGO", "content": "新订单", "custom_content": {"n": "3", "id": "m1", "push_type": "15"}}),
    );
    let ios = json!({"silent": true, "custom": {"n": 3}, "platform": "ios"});
    check(ios.clone(), json!({"aps": {"content-available": 1}, "n": 3, "push_type": 15, "id": "m1"}));
    check_app(
        Flavour::V3,
        silent.clone(),
        json!({"title": "HIGO", "content": "新订单",
            "android": {"custom_content": {"n": "3", "id": "m1", "push_type": "15"}}}),
    );
    check_app(
        Flavour::Tpns,
        silent,
        json!({"title": "HIGO", "content": "新订单",
            "android": {"custom_content": r#"{"id":"m1","n":"3","push_type":"15"}"#}}),
    );
    check_app(
        Flavour::V3,
        ios,
        json!({"ios": {"aps": {"content-available": 1}, "custom": {"n": 3, "id": "m1", "push_type": 15}}}),
    );
}
