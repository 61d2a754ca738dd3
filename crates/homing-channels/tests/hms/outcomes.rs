//! Every row of the table of outcomes, over HTTP, for both generations.

use super::*;

#[tokio::test]
async fn every_code_has_its_outcome_under_both_generations() {
    let scene = Scene::new().await;
    let table: [(&[&str], Outcome); 8] = [
        (&["80300007"], Outcome::DEAD),
        (&["80200001", "80300002", "80300011", "80600003"], Outcome::Config),
        (&["80200003", "80200005"], Outcome::Corrected),
        (
            &[
                "80100001", "80100002", "80100003", "80100004", "80100013", "80100016", "80100018", "80300008",
                "80300010",
            ],
            Outcome::Payload,
        ),
        (&["81000001"], RETRY),
        (&["80100017"], Outcome::limited(None)),
        (&["80100000"], Outcome::Ambiguous),
        (&["89999999"], Outcome::Unknown),
    ];
    for (codes, expected) in table {
        for code in codes {
            for notification in [android(json!({})), harmony(json!({}))] {
                let channel = scene.channel();
                scene.script(json!({"own": {"code": code}}));
                let answer = send(&channel, &notification, "token-1").await;
                assert_eq!(answer.outcome, expected, "{code}: {}", answer.detail);
                assert!(answer.detail.starts_with(code), "{}", answer.detail);
            }
        }
    }
    for (status, seconds, expected) in [
        (503, Some(5), Outcome::limited(Some(5_000))),
        (503, None, Outcome::limited(None)),
        (502, None, RETRY),
        (500, Some(2), Outcome::Retry { after: Some(2_000) }),
        (401, None, Outcome::Config),
        (404, None, Outcome::Config),
        (400, None, Outcome::Unknown),
        (302, None, Outcome::Config),
        (200, None, Outcome::Ambiguous),
    ] {
        for notification in [android(json!({})), harmony(json!({}))] {
            let channel = scene.channel();
            scene.script(json!({"call": "messages:send", "http_status": status, "retry_after": seconds}));
            let answer = send(&channel, &notification, "token-1").await;
            assert_eq!(answer.outcome, expected, "{status}: {}", answer.detail);
        }
    }
    assert_eq!(scene.count("deliveries"), 0);
}

#[tokio::test]
async fn what_is_delivered_is_what_was_meant() {
    let scene = Scene::new().await;
    let more = "category = 'MARKETING'\ncategories = { order = 'EXPRESS' }";
    let channel = scene.channel_of(&scene.section(&format!("{more}\nchannel_id = 'news'"), more));
    let order = json!({"category": "order", "collapse": "chat-7", "priority": "high"});
    let url = json!({"action": {"do": "url", "with": "https://a.example/b"}});
    let page = json!({"action": {"do": "activity", "with": "com.a.OPEN"}, "priority": "low"});
    let silent = json!({"silent": true});
    for change in [order, url, page, silent] {
        assert_delivered(&send(&channel, &android(change.clone()), "token-1").await);
        assert_delivered(&send(&channel, &harmony(change), "token-2").await);
    }
    let pushes: Vec<Value> = scene.stand.after(0, 9).iter().map(|delivery| (*delivery.push).clone()).collect();
    let n_id = homing_channels::xinge::n_id("chat-7");
    assert_eq!(pushes[0]["notification"], json!({"title": "HIGO 新订单", "body": "您有一笔新订单"}));
    assert_eq!(
        pushes[0]["android"],
        json!({"ttl": pushes[0]["android"]["ttl"], "urgency": "HIGH", "category": "EXPRESS", "notification": {
            "tag": "chat-7", "notify_id": n_id, "channel_id": "news", "importance": "NORMAL",
            "click_action": {"type": 3} }}),
    );
    let data: Value = serde_json::from_str(pushes[0]["data"].as_str().unwrap()).unwrap();
    let custom = json!({"order_id": "A1001", "count": 3, "push_type": 15, "id": "m-1"});
    assert_eq!(data, custom);
    assert_eq!(
        pushes[1]["payload"],
        json!({"notification": {"category": "EXPRESS", "title": "HIGO 新订单", "body": "您有一笔新订单",
            "clickAction": {"actionType": 0, "data": custom}, "notifyId": n_id}}),
    );
    assert_eq!(pushes[1]["push-type"], json!("0"));
    let ttl = pushes[1]["pushOptions"]["ttl"].as_i64().unwrap();
    assert!((7_100..=7_200).contains(&ttl), "{ttl}");
    assert_eq!(pushes[2]["android"]["notification"]["click_action"], json!({"type": 2, "url": "https://a.example/b"}));
    assert_eq!(pushes[2]["android"]["category"], json!("MARKETING"));
    assert_eq!(pushes[3]["payload"]["notification"]["clickAction"]["uri"], json!("https://a.example/b"));
    assert_eq!(pushes[4]["android"]["notification"]["click_action"], json!({"type": 1, "action": "com.a.OPEN"}));
    assert_eq!(pushes[4]["android"]["notification"]["importance"], json!("LOW"));
    assert_eq!(pushes[5]["payload"]["notification"]["clickAction"]["action"], json!("com.a.OPEN"));
    assert_eq!((pushes[6].get("notification"), pushes[6]["android"].get("notification")), (None, None));
    assert_eq!((&pushes[7]["push-type"], pushes[7]["payload"].get("notification")), (&json!("6"), None));
    let extra: Value = serde_json::from_str(pushes[7]["payload"]["extraData"].as_str().unwrap()).unwrap();
    assert_eq!(extra, custom);
    assert!(scene.stand.after(0, 9).iter().all(|delivery| delivery.id.as_deref() == Some("m-1")));
}

#[tokio::test]
async fn a_message_without_a_title_gets_one_and_an_account_serves_both_networks() {
    let scene = Scene::new().await;
    let channel = scene.channel_of(&scene.section("title = 'HIGO'", ""));
    let change = json!({"title": "", "environment": "dev"});
    assert_delivered(&send(&channel, &android(change.clone()), "token-1").await);
    assert_delivered(&send(&channel, &harmony(change), "token-1").await);
    let pushes = scene.stand.after(0, 9);
    assert_eq!(pushes[0].push["notification"]["title"], json!("HIGO"));
    assert_eq!(pushes[1].push["payload"]["notification"]["title"], json!("higo"));
}

#[tokio::test]
async fn a_click_action_of_the_account_is_the_default() {
    let scene = Scene::new().await;
    let more = "click_action = 'com.a.HOME'";
    let channel = scene.channel_of(&scene.section(more, more));
    assert_delivered(&send(&channel, &android(json!({})), "token-1").await);
    assert_delivered(&send(&channel, &harmony(json!({})), "token-1").await);
    let pushes = scene.stand.after(0, 9);
    assert_eq!(pushes[0].push["android"]["notification"]["click_action"], json!({"type": 1, "action": "com.a.HOME"}));
    assert_eq!(pushes[1].push["payload"]["notification"]["clickAction"]["action"], json!("com.a.HOME"));
}

#[tokio::test]
async fn what_cannot_pass_never_leaves() {
    let scene = Scene::new().await;
    let channel = scene.channel_of(&scene.section("environment = 'prod'", "environment = 'prod'"));
    for notification in [android(json!({"body": "店".repeat(1_400)})), harmony(json!({"body": "店".repeat(1_400)}))] {
        let answer = send(&channel, &notification, "token-1").await;
        assert_eq!(answer.outcome, Outcome::Payload);
        assert!(answer.detail.contains("4096"), "{}", answer.detail);
    }
    for (change, named) in [
        (json!({"app": "higirl"}), "app higirl, android, prod"),
        (json!({"environment": "dev"}), "app higo, android, dev"),
        (json!({"platform": "ios"}), "app higo, ios, prod"),
    ] {
        let answer = send(&channel, &android(change), "token-1").await;
        assert_eq!(answer.outcome, Outcome::Config);
        assert_eq!(answer.detail, format!("not sent: no account for {named}"));
    }
    let answers = page(&channel, &android(json!({})), &["", "a b", &"x".repeat(5_000)]).await;
    assert!(answers.iter().all(|answer| answer.outcome == Outcome::DEAD), "{answers:?}");
    assert_eq!(scene.count("calls"), 0);
}

#[tokio::test]
async fn rehearsals_show_nobody_anything() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"dead_prefix": "dead"}));
    let targets = ["token-1", "dead-1"].map(|token| Target::new("42", token));
    let answers = channel.rehearse(&android(json!({})), &targets).await;
    assert_delivered(&answers[0]);
    assert_eq!(answers[1].outcome, Outcome::DEAD);
    assert_eq!(scene.count("validated"), 1);
    let calls = scene.count("calls");
    let answers = channel.rehearse(&harmony(json!({})), &targets).await;
    for answer in answers {
        assert_eq!(answer.outcome, Outcome::Unknown);
        assert!(answer.detail.contains("built and signed"), "{}", answer.detail);
    }
    assert_eq!((scene.count("deliveries"), scene.count("calls")), (0, calls));
}

#[tokio::test]
async fn broken_connections_are_told_apart() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, &android(json!({})), "token-1").await);
    for faults in [json!({"drop_after": 1.0}), json!({"drop_before": 1.0})] {
        scene.script(faults);
        assert_eq!(send(&channel, &android(json!({})), "token-1").await.outcome, Outcome::Ambiguous);
        assert_eq!(send(&channel, &harmony(json!({})), "token-1").await.outcome, Outcome::Ambiguous);
    }
    assert_eq!(scene.count("deliveries"), 3);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    scene.script(json!({}));
    let channel = scene.channel_of(&section(&nobody, &scene.base, SECRET, &keys::huawei(PROJECT, 0), "", ""));
    assert_eq!(send(&channel, &android(json!({})), "token-1").await.outcome, RETRY);
    assert_eq!(send(&channel, &harmony(json!({})), "token-1").await.outcome, RETRY);
}
