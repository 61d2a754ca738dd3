//! Every row of the table of outcomes, over HTTP.

use homing_core::channel::Scope;

use super::*;

#[tokio::test]
async fn every_error_has_its_outcome() {
    let scene = Scene::new().await;
    let limited = |scope| Outcome::RateLimited { after: Some(60_000), scope };
    let table = [
        ("UNREGISTERED", Outcome::DEAD),
        ("INVALID_ARGUMENT", Outcome::DEAD),
        ("FCM_ERROR_ONLY", Outcome::DEAD),
        ("BAD_REQUEST", Outcome::Payload),
        ("NO_DETAILS", Outcome::Payload),
        ("THIRD_PARTY_AUTH_ERROR", Outcome::Config),
        ("PERMISSION_DENIED", Outcome::Config),
        ("NOT_FOUND", Outcome::Config),
        ("UNAUTHENTICATED", Outcome::Corrected),
        ("QUOTA_EXCEEDED", limited(Scope::App)),
        ("RESOURCE_EXHAUSTED", limited(Scope::App)),
        ("DEVICE_QUOTA", limited(Scope::Token)),
        ("UNAVAILABLE", Outcome::Retry { after: Some(10_000) }),
        ("INTERNAL", RETRY),
        ("SOMETHING_NEW", Outcome::Unknown),
    ];
    for (code, expected) in table {
        // Each begins anew: what one learns is not the next one's.
        let channel = scene.channel();
        scene.script(json!({"codes": {"token-x": code}}));
        assert_delivered(&send(&channel, "token-1").await);
        let answer = send(&channel, "token-x").await;
        assert_eq!(answer.outcome, expected, "{code}: {}", answer.detail);
        assert!(!answer.detail.is_empty() && !answer.detail.contains("token-x"), "{}", answer.detail);
    }
    for (status, seconds, expected) in [
        (429, Some(7), Outcome::limited(Some(7_000))),
        (503, Some(3), Outcome::Retry { after: Some(3_000) }),
        (503, None, Outcome::Retry { after: Some(10_000) }),
        (500, None, RETRY),
        (502, None, RETRY),
        (401, None, Outcome::Corrected),
        (403, None, Outcome::Config),
        (404, None, Outcome::Config),
        (400, None, Outcome::Payload),
        (418, None, Outcome::Unknown),
        (302, None, Outcome::Config),
        (204, None, Outcome::Ambiguous),
    ] {
        let scene = Scene::new().await;
        let channel = scene.channel();
        scene.script(json!({"call": "messages:send", "http_status": status, "retry_after": seconds}));
        let answer = send(&channel, "token-1").await;
        assert_eq!(answer.outcome, expected, "{status}: {}", answer.detail);
    }
}

#[tokio::test]
async fn a_page_is_answered_per_target_and_in_order() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"latency_ms": 20, "dead_prefix": "dead", "foreign_prefix": "other", "throttled_prefix": "slow", "retry_after": 2}));
    let tokens: Vec<String> = (0..64)
        .map(|n| match n % 8 {
            0 => format!("dead-{n}"),
            3 => format!("other-{n}"),
            5 => format!("slow-{n}"),
            _ => format!("good-{n}"),
        })
        .collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let answers = send_to(&channel, &notification(json!({})), &tokens).await;
    for (token, answer) in tokens.iter().zip(&answers) {
        match token.split_once('-').unwrap().0 {
            "dead" | "other" => assert_eq!(answer.outcome, Outcome::DEAD, "{token}: {}", answer.detail),
            "slow" => {
                let expected = Outcome::RateLimited { after: Some(2_000), scope: Scope::Token };
                assert_eq!(answer.outcome, expected, "{token}: {}", answer.detail);
            }
            _ => assert_delivered(answer),
        }
    }
    assert_eq!((scene.count("deliveries"), scene.count("tokens_lent")), (40, 1));
    assert!(scene.count("most_at_once") > 1, "the calls of a page are made together");
}

#[tokio::test]
async fn what_is_delivered_is_what_was_meant() {
    let scene = Scene::new().await;
    let channel = scene.channel_of(&scene.section("channel_id = 'news'\nchannels = { order = 'orders' }"));
    for (platform, change) in [
        ("android", json!({"category": "order", "collapse": "chat-7"})),
        ("ios", json!({"platform": "ios", "priority": "high"})),
        ("web", json!({"platform": "web"})),
    ] {
        let answers = send_to(&channel, &notification(change), &[&format!("token-{platform}")]).await;
        assert_delivered(&answers[0]);
    }
    let pushes: Vec<_> = scene.stand.after(0, 9).into_iter().map(|delivery| delivery.push).collect();
    assert_eq!(pushes[0]["android"]["notification"]["channel_id"], json!("orders"));
    assert_eq!(pushes[0]["android"]["collapse_key"], json!("chat-7"));
    assert_eq!(pushes[0]["data"], json!({"order_id": "A1001", "count": "3", "push_type": "15", "id": "m-1"}));
    assert_eq!(pushes[1]["apns"]["headers"]["apns-priority"], json!("10"));
    assert_eq!(pushes[2]["webpush"]["notification"]["title"], json!("HIGO 新订单"));
    assert_eq!(scene.stand.after(0, 1)[0].id.as_deref(), Some("m-1"));
}

#[tokio::test]
async fn a_wrong_project_is_the_accounts_fault_and_no_token_is_touched() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"foreign_prefix": "t"}));
    let first = send(&channel, "t-first").await;
    assert_eq!(first.outcome, RETRY, "it is too early to say: {}", first.detail);
    let tokens: Vec<String> = (0..64).map(|n| format!("t-{n}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    for answer in send_to(&channel, &notification(json!({})), &tokens).await {
        assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
        assert!(answer.detail.contains(PROJECT), "{}", answer.detail);
    }
    // The key is replaced, and the same tokens are good.
    scene.script(json!({}));
    for answer in send_to(&channel, &notification(json!({})), &tokens).await {
        assert_delivered(&answer);
    }
    for _ in 0..3 {
        send_to(&channel, &notification(json!({})), &tokens).await;
    }
    scene.script(json!({"foreign_prefix": "other"}));
    assert_eq!(send(&channel, "other-1").await.outcome, Outcome::DEAD, "now it is the token");
}

#[tokio::test]
async fn a_message_that_no_token_can_have_is_not_the_tokens_fault() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    let tokens: Vec<String> = (0..32).map(|n| format!("t-{n}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let codes: Value = tokens.iter().map(|token| (*token, "FCM_ERROR_ONLY")).collect();
    scene.script(json!({ "codes": codes }));
    for answer in send_to(&channel, &notification(json!({})), &tokens).await {
        assert_eq!(answer.outcome, Outcome::Payload, "{}", answer.detail);
    }
}

#[tokio::test]
async fn what_cannot_pass_never_leaves() {
    let scene = Scene::new().await;
    let channel = scene.channel_of(&scene.section("environment = 'prod'"));
    let long = send_to(&channel, &notification(json!({"body": "店".repeat(1_400)})), &["token-1", "token-2"]).await;
    assert!(long.iter().all(|answer| answer.outcome == Outcome::Payload && answer.detail.contains("4096")), "{long:?}");
    for token in ["", "has blanks", "has\nlines", &"x".repeat(5_000)] {
        let answer = send(&channel, token).await;
        assert_eq!(answer.outcome, Outcome::DEAD, "{}", answer.detail);
    }
    for (change, named) in [
        (json!({"app": "higirl"}), "app higirl, android, prod"),
        (json!({"environment": "dev"}), "app higo, android, dev"),
        (json!({"platform": "harmony"}), "app higo, harmony, prod"),
    ] {
        let answers = send_to(&channel, &notification(change), &["token-1"]).await;
        assert_eq!(answers[0].outcome, Outcome::Config);
        assert_eq!(answers[0].detail, format!("not sent: no account for {named}"));
    }
    assert_eq!(scene.count("calls"), 0, "nothing left, not even for an access token");
}

#[tokio::test]
async fn a_rehearsal_is_validated_and_shown_to_nobody() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"dead_prefix": "dead"}));
    let targets = ["token-1", "dead-1"].map(|token| homing_core::notification::Target::new("42", token));
    let answers = channel.rehearse(&notification(json!({})), &targets).await;
    assert_delivered(&answers[0]);
    assert_eq!(answers[1].outcome, Outcome::DEAD);
    assert_eq!((scene.count("validated"), scene.count("deliveries")), (1, 0));
}

#[tokio::test]
async fn broken_connections_are_told_apart() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, "token-1").await);
    for faults in [json!({"drop_after": 1.0}), json!({"drop_before": 1.0})] {
        scene.script(faults);
        let answer = send(&channel, "token-1").await;
        assert_eq!(answer.outcome, Outcome::Ambiguous, "{}", answer.detail);
    }
    assert_eq!((scene.count("deliveries"), scene.count("repeats")), (2, 1));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let channel = scene.channel_of(&section(&nobody, &scene.base, &scene.key_file(), ""));
    scene.script(json!({}));
    assert_eq!(send(&channel, "token-1").await.outcome, RETRY);
}
