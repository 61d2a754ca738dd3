//! Lists of devices: partial failures, sizes, order.

use super::*;

#[tokio::test]
async fn a_thousand_devices_are_one_call() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let sent = page(1000);
        let answers = scene.send(&sent).await;
        assert!(answers.iter().all(|answer| answer.outcome.name() == DELIVERED), "{vendor}: {:?}", answers[0]);
        let calls = match vendor {
            "xiaomi" => 1,
            "vivo" => 3, // a token, a task, a list
            _ => 2,
        };
        assert_eq!((scene.count("deliveries"), scene.count("calls")), (1000, calls), "{vendor}");
    }
}

#[tokio::test]
async fn some_of_a_page_fail() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let mut sent = page(1000);
        let token = |number: usize| sent.targets[number].token.clone();
        scene.script(json!({ "dead": [token(3), token(999), token(500)], "foreign_prefix": "other" }));
        sent.targets[7].token = "other-7".to_owned();
        sent.targets[8].token = "no, token".to_owned();
        sent.targets[9].token = String::new();
        let answers = scene.send(&sent).await;
        for (number, answer) in answers.iter().enumerate() {
            let expected = match number {
                3 | 8 | 9 | 500 | 999 => "token_invalid",
                7 if vendor == "honor" => "unknown",
                7 => "token_invalid",
                _ => DELIVERED,
            };
            assert_eq!(answer.outcome.name(), expected, "{vendor} {number}: {}", answer.detail);
        }
        assert_eq!(scene.count("deliveries"), 994, "{vendor}");
        assert_eq!(scene.push("other-7"), Value::Null);
    }
}

#[tokio::test]
async fn a_page_of_dead_devices_is_dead() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        scene.script(json!({ "dead_prefix": "reg" }));
        let answers = scene.send(&page(20)).await;
        assert!(answers.iter().all(|answer| answer.outcome == Outcome::DEAD), "{vendor}: {:?}", answers[0]);
    }
}

#[tokio::test]
async fn a_call_refused_for_one_device_does_not_kill_the_others() {
    // OPPO names each device; the others refuse the call as a whole.
    for (vendor, code) in [("vivo", "10302"), ("honor", "81000001"), ("xiaomi", "10029")] {
        let scene = Scene::of(vendor).await;
        let sent = page(10);
        scene.script(json!({ "codes": { sent.targets[4].token.clone(): code } }));
        for answer in scene.send(&sent).await {
            assert!(matches!(answer.outcome.name(), "unknown" | "retry"), "{vendor}: {answer:?}");
        }
    }
    let scene = Scene::of("oppo").await;
    let sent = page(4);
    scene.script(json!({ "codes": { sent.targets[1].token.clone(): "10000", sent.targets[2].token.clone(): "-1" } }));
    assert_eq!(names(&scene.send(&sent).await), [DELIVERED, "token_invalid", "retry", DELIVERED]);
}

#[tokio::test]
async fn smaller_pages_are_several_calls_with_the_answers_in_order() {
    for vendor in VENDORS {
        let scene = Scene::with(vendor, "page = 7", "").await;
        assert_eq!(scene.channel.page(), 7);
        let mut sent = page(40);
        scene.script(json!({ "dead_prefix": "dead", "jitter_ms": 20 }));
        for number in [0, 6, 7, 39] {
            sent.targets[number].token = format!("dead-{number}");
        }
        let answers = scene.send(&sent).await;
        for (number, answer) in answers.iter().enumerate() {
            let dead = [0, 6, 7, 39].contains(&number);
            assert_eq!(answer.outcome.name(), if dead { "token_invalid" } else { DELIVERED }, "{vendor} {number}");
        }
        assert_eq!(scene.count("deliveries"), 36, "{vendor}");
    }
}

#[tokio::test]
async fn what_breaks_before_a_list_is_named_is_tried_again() {
    let scene = Scene::of("vivo").await;
    assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED, "an access token is there");
    for (call, outcome) in [("saveListPayload", "retry"), ("pushToList", "ambiguous")] {
        scene.script(json!({ "call": call, "drop_after": 1.0 }));
        assert_eq!(names(&scene.send(&page(2)).await), [outcome, outcome]);
    }
    assert_eq!(scene.count("deliveries"), 3);
    let tasks = scene.count("tasks");
    scene.script(json!({}));
    for _ in 0..2 {
        scene.send(&page(2)).await;
    }
    assert_eq!(scene.count("tasks"), tasks + 2, "each page has a task of its own");
}

#[tokio::test]
async fn a_device_that_the_reply_leaves_out_is_open() {
    let silent = axum::Router::new().fallback(async || {
        let entries =
            json!([{ "messageId": "m", "registrationId": "reg-1" }, { "messageId": "m", "registrationId": 7 }]);
        axum::Json(json!({ "code": 0, "data": entries }))
    });
    let auth = axum::Router::new().route(
        "/server/v1/auth",
        axum::routing::post(async || axum::Json(json!({ "code": 0, "data": { "auth_token": "a" } }))),
    );
    let address = listen(auth.merge(silent)).await;
    let channel = try_build("oppo", &section("oppo", address, "", ""), Hand::at(NOW)).unwrap();
    let sent = to(&["reg-1", "reg-2"]);
    assert_eq!(names(&channel.send(&sent, &sent.targets).await), [DELIVERED, "ambiguous"]);
}
