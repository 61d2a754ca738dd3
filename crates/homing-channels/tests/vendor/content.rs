//! What arrives on the phone: texts, keys, times, taps, categories, silence.

use homing_core::notification::{Action, Priority};

use super::*;

/// A field of what a device got, by the vendor's names.
fn field(vendor: &str, push: &Value, name: &str) -> Value {
    let path = match (vendor, name) {
        ("xiaomi", "body") => "/description",
        ("oppo", "body") | ("vivo", "body") => "/content",
        ("honor", "title") => "/android/notification/title",
        ("honor", "body") => "/android/notification/body",
        ("xiaomi", "ttl") => "/time_to_live",
        ("oppo", "ttl") => "/off_line_ttl",
        ("vivo", "ttl") => "/timeToLive",
        ("honor", "ttl") => "/android/ttl",
        ("xiaomi", "key") | ("oppo", "key") => "/notify_id",
        ("vivo", "key") => "/notifyId",
        ("honor", "key") => "/android/notification/tag",
        ("xiaomi", "custom") => "/payload",
        ("oppo", "custom") => "/action_parameters",
        ("vivo", "custom") => "/clientCustomMap",
        ("honor", "custom") => "/data",
        (_, other) => return push[other].clone(),
    };
    push.pointer(path).cloned().unwrap_or_default()
}

/// What the device got of it.
async fn arrived(scene: &Scene, notification: &Notification) -> Value {
    let answer = scene.send(notification).await.pop().unwrap();
    assert_eq!(answer.outcome.name(), DELIVERED, "{}: {}", scene.vendor, answer.detail);
    scene.push(&notification.targets[0].token)
}

#[tokio::test]
async fn texts_and_fields_arrive_as_they_were() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let sent = to(&["good-1"]);
        let push = arrived(&scene, &sent).await;
        assert_eq!(field(vendor, &push, "title"), json!(sent.title), "{vendor}");
        assert_eq!(field(vendor, &push, "body"), json!(sent.body), "{vendor}");
        let custom = field(vendor, &push, "custom");
        let custom: Value = custom.as_str().map_or(custom.clone(), |text| serde_json::from_str(text).unwrap());
        let number = |number: i64| if vendor == "vivo" { json!(number.to_string()) } else { json!(number) };
        assert_eq!(custom["order_id"], "A1001", "{vendor}");
        assert_eq!((&custom["count"], &custom["push_type"], &custom["id"]), (&number(3), &number(15), &json!("m-1")));
        assert_eq!(scene.stand.after(0, 1)[0].id.as_deref(), Some("m-1"), "{vendor}");
    }
}

#[tokio::test]
async fn long_texts_end_in_an_ellipsis_within_the_vendors_limit() {
    // Title and text in characters that count as one, as the vendor's limits are.
    for (vendor, title, body) in [("xiaomi", 49, 127), ("oppo", 50, 128), ("vivo", 20, 50), ("honor", 50, 256)] {
        let scene = Scene::of(vendor).await;
        let mut sent = to(&["good-1"]);
        sent.title = "题".repeat(400);
        sent.body = "文".repeat(400);
        let push = arrived(&scene, &sent).await;
        for (name, most) in [("title", title), ("body", body)] {
            let text = field(vendor, &push, name).as_str().unwrap().to_owned();
            assert_eq!(text.chars().count(), most, "{vendor} {name}");
            assert!(text.ends_with('…'), "{vendor} {name}");
        }
        sent.title = String::new();
        let push = arrived(&scene, &sent).await;
        assert_eq!(field(vendor, &push, "title"), json!("higo"), "{vendor}: the app's name where there is no title");
        sent.body = "  ".to_owned();
        assert_eq!(names(&scene.send(&sent).await), ["payload"], "{vendor}");
    }
    let scene = Scene::with("oppo", "", "title = 'HIGO 商城'").await;
    let mut sent = to(&["good-1"]);
    sent.title = String::new();
    let push = arrived(&scene, &sent).await;
    assert_eq!(
        (&push["title"], &push["style"]),
        (&json!("HIGO 商城"), &json!(1)),
        "a short text has the standard style"
    );
}

#[tokio::test]
async fn the_time_to_live_is_in_the_vendors_unit() {
    for (vendor, hour, month, short) in [
        ("xiaomi", json!("3600000"), json!("1209600000"), json!("5500")),
        ("oppo", json!(3600), json!(864_000), json!(5)),
        ("vivo", json!(3600), json!(604_800), json!(60)),
        ("honor", json!("3600s"), json!("1296000s"), json!("5s")),
    ] {
        let scene = Scene::of(vendor).await;
        for (left, expected) in [(HOUR, hour), (30 * 24 * HOUR, month), (5_500, short)] {
            let mut sent = to(&["good-1"]);
            sent.expires_at = NOW + left;
            assert_eq!(field(vendor, &arrived(&scene, &sent).await, "ttl"), expected, "{vendor}");
        }
    }
}

#[tokio::test]
async fn the_key_is_the_collapse_key_or_the_id() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let mut sent = to(&["good-1"]);
        let by_id = field(vendor, &arrived(&scene, &sent).await, "key");
        sent.collapse = Some("order-A1001".to_owned());
        let by_key = field(vendor, &arrived(&scene, &sent).await, "key");
        sent.id = "m-2".to_owned();
        assert_eq!(field(vendor, &arrived(&scene, &sent).await, "key"), by_key, "{vendor}: it replaces the first");
        assert_ne!(by_id, by_key);
        let number = homing_channels::xinge::n_id("order-A1001");
        let expected = match vendor {
            "honor" => json!("order-A1001"),
            "xiaomi" => json!(number.to_string()),
            _ => json!(number),
        };
        assert_eq!(by_key, expected, "{vendor}");
    }
}

#[tokio::test]
async fn a_tap_does_what_the_message_says() {
    let page = "intent:#Intent;component=com.higo/com.higo.Order;end";
    let taps = [
        Action::Activity("com.higo.Order".into()),
        Action::Url("https://higo.example/o/1".into()),
        Action::Intent("xg://o".into()),
    ];
    let expected = |vendor: &str| match vendor {
        "xiaomi" => [
            ("/extra.intent_uri", page),
            ("/extra.web_uri", "https://higo.example/o/1"),
            ("/extra.intent_uri", "xg://o"),
        ],
        "oppo" => [
            ("/click_action_activity", "com.higo.Order"),
            ("/click_action_url", "https://higo.example/o/1"),
            ("/click_action_url", "xg://o"),
        ],
        "vivo" => [("/skipContent", page), ("/skipContent", "https://higo.example/o/1"), ("/skipContent", "xg://o")],
        _ => [
            ("/android/notification/clickAction/intent", page),
            ("/android/notification/clickAction/url", "https://higo.example/o/1"),
            ("/android/notification/clickAction/intent", "xg://o"),
        ],
    };
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        for (tap, (path, value)) in taps.iter().zip(expected(vendor)) {
            let sent = Notification { action: Some(tap.clone()), ..to(&["good-1"]) };
            let push = arrived(&scene, &sent).await;
            assert_eq!(push.pointer(path), Some(&json!(value)), "{vendor}: {push}");
        }
    }
}

#[tokio::test]
async fn a_category_is_translated() {
    let table = "categories = { order = 'ORDER', campaign = { name = 'MARKETING', channel_id = 'promo', level = 2 } }";
    for (vendor, categories, paths) in [
        (
            "xiaomi",
            "categories = { order = 'orders', campaign = { channel_id = 'promo' } }",
            [("/extra.channel_id", json!("orders"), json!("promo")); 1].to_vec(),
        ),
        (
            "oppo",
            table,
            vec![
                ("/category", json!("ORDER"), json!("MARKETING")),
                ("/channel_id", json!("orders"), json!("promo")),
                ("/notify_level", Value::Null, json!(2)),
            ],
        ),
        (
            "vivo",
            table,
            vec![("/category", json!("ORDER"), json!("MARKETING")), ("/classification", json!(1), json!(0))],
        ),
        (
            "honor",
            "categories = { order = 'NORMAL', campaign = { marketing = true } }",
            vec![("/android/notification/importance", json!("NORMAL"), json!("LOW"))],
        ),
    ] {
        let scene = Scene::with(vendor, "", categories).await;
        for (category, second) in [("order", false), ("campaign", true)] {
            let sent = Notification { category: Some(category.to_owned()), ..to(&["good-1"]) };
            let push = arrived(&scene, &sent).await;
            for (path, order, campaign) in &paths {
                let found = push.pointer(path).cloned().unwrap_or_default();
                assert_eq!(&found, if second { campaign } else { order }, "{vendor} {category} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_silent_message_shows_nothing_or_is_refused() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let mut sent = to(&["good-1"]);
        sent.silent = true;
        (sent.title, sent.body) = (String::new(), String::new());
        match vendor {
            "oppo" | "vivo" => {
                let answer = scene.send(&sent).await.pop().unwrap();
                assert_eq!(answer.outcome, Outcome::Payload, "{vendor}");
                assert!(answer.detail.contains("a silent message cannot be sent"), "{}", answer.detail);
                assert_eq!(scene.count("calls"), 0, "{vendor}");
            }
            _ => {
                let push = arrived(&scene, &sent).await;
                assert_eq!(field(vendor, &push, "title"), Value::Null, "{vendor}");
                assert_eq!(field(vendor, &push, "body"), Value::Null, "{vendor}");
                let custom: Value = serde_json::from_str(field(vendor, &push, "custom").as_str().unwrap()).unwrap();
                assert_eq!(custom["order_id"], "A1001");
                assert!(vendor != "xiaomi" || push["pass_through"] == "1");
            }
        }
    }
}

#[tokio::test]
async fn a_low_priority_is_quiet() {
    for (vendor, name, normal, low) in
        [("xiaomi", "notify_type", json!("-1"), json!("4")), ("vivo", "notifyType", json!(4), json!(1))]
    {
        let scene = Scene::of(vendor).await;
        assert_eq!(arrived(&scene, &to(&["good-1"])).await[name], normal);
        let sent = Notification { priority: Priority::Low, ..to(&["good-1"]) };
        assert_eq!(arrived(&scene, &sent).await[name], low);
    }
}

#[tokio::test]
async fn too_many_custom_fields_are_named() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let mut sent = to(&["good-1"]);
        sent.custom.insert("text".to_owned(), json!("长".repeat(4_200)));
        let answer = scene.send(&sent).await.pop().unwrap();
        assert_eq!(answer.outcome, Outcome::Payload, "{vendor}");
        assert!(answer.detail.contains("custom fields"), "{vendor}: {}", answer.detail);
        assert_eq!(scene.count("calls"), 0, "{vendor}");
    }
}

#[tokio::test]
async fn a_message_sent_twice_has_one_name_at_xiaomi_and_oppo() {
    for (vendor, name) in [("xiaomi", "extra.jobkey"), ("oppo", "app_message_id")] {
        let scene = Scene::of(vendor).await;
        let first = arrived(&scene, &to(&["good-1"])).await[name].clone();
        scene.clock.set(NOW + 60_000);
        assert_eq!(arrived(&scene, &to(&["good-1"])).await[name], first);
        let other = Notification { id: "m-2".to_owned(), ..to(&["good-1"]) };
        assert_ne!(arrived(&scene, &other).await[name], first);
    }
}
