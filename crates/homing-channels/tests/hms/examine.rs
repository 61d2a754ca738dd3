//! What `homing check` learns of the accounts.

use homing_core::channel::{Credential, Health};

use super::*;

async fn examined(channel: &Hms) -> [Credential; 2] {
    let all: [Credential; 2] = channel.examine().await.try_into().unwrap();
    assert_eq!(
        all.each_ref().map(|found| found.account.as_str()),
        ["channel.hms.account.android", "channel.hms.account.harmony"]
    );
    for found in &all {
        assert!(!found.detail.contains(SECRET) && !found.detail.contains("DQEB"), "{}", found.detail);
    }
    all
}

#[tokio::test]
async fn good_accounts_are_good_and_nobody_is_told() {
    let scene = Scene::new().await;
    for found in examined(&scene.channel()).await {
        assert_eq!(found.health, Health::Good, "{}: {}", found.account, found.detail);
    }
    assert_eq!(scene.count("deliveries"), 0);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let scene = Scene::new().await;
    let wrong = section(&scene.base, &scene.base, "not-the-secret", &keys::huawei(PROJECT, 1), "", "");
    for found in examined(&scene.channel_of(&wrong)).await {
        assert_eq!(found.health, Health::Refused, "{}: {}", found.account, found.detail);
    }
    let elsewhere = scene.channel_of(&scene.section("", "project = 'unknown'"));
    assert_eq!(examined(&elsewhere).await[1].health, Health::Refused);
    for (script, health) in [
        (json!({"call": "messages:send", "http_status": 503}), Health::Doubtful),
        (json!({"call": "messages:send", "http_status": 502}), Health::Unknown),
        (json!({"call": "messages:send", "http_status": 401}), Health::Refused),
        (json!({"own": {"code": "80300002"}}), Health::Doubtful),
        (json!({"drop_before": 1.0}), Health::Unknown),
    ] {
        scene.script(script.clone());
        for found in examined(&scene.channel()).await {
            assert_eq!(found.health, health, "{script}: {}: {}", found.account, found.detail);
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_named() {
    let scene = Scene::new().await;
    let body = r#"{"code":"80300007"}"#;
    let reply = format!(
        "HTTP/1.1 200 OK\r\nDate: Fri, 01 Jan 2100 07:28:00 GMT\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let base = rude::answering(reply).await;
    let channel = scene.channel_of(&section(&base, &scene.base, SECRET, &keys::huawei(PROJECT, 0), "", ""));
    let [_, harmony] = examined(&channel).await;
    assert_eq!(harmony.health, Health::Doubtful);
    assert!(harmony.detail.contains("behind Huawei's"), "{}", harmony.detail);
}
