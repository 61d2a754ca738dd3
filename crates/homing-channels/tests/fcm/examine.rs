//! What `homing check` learns of an account.

use homing_core::channel::{Credential, Health};

use super::*;

async fn examined(channel: &Fcm) -> Credential {
    let mut all = channel.examine().await;
    assert_eq!(all.len(), 1);
    let found = all.pop().unwrap();
    assert_eq!((found.account.as_str(), found.expires_at), ("channel.fcm.account.higo", None));
    assert!(!found.detail.contains("ya29") && !found.detail.contains("PRIVATE"), "{}", found.detail);
    found
}

#[tokio::test]
async fn a_good_account_is_good_and_nobody_is_told() {
    let scene = Scene::new().await;
    let found = examined(&scene.channel()).await;
    assert_eq!(found.health, Health::Good, "{}", found.detail);
    assert_eq!((scene.count("deliveries"), scene.count("tokens_lent")), (0, 1));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let scene = Scene::new().await;
    let wrong_key = keys::google(PROJECT, 1, "https://oauth2.googleapis.com/token");
    let found = examined(&scene.channel_of(&section(&scene.base, &scene.base, &wrong_key, ""))).await;
    assert_eq!(found.health, Health::Refused);
    assert!(found.detail.contains("Invalid JWT Signature"), "{}", found.detail);

    let found = examined(&scene.channel_of(&scene.section("project = 'somebody-elses'"))).await;
    assert_eq!(found.health, Health::Refused);
    assert!(found.detail.contains("NOT_FOUND"), "{}", found.detail);

    for (script, health) in [
        (json!({"call": "messages:send", "http_status": 403}), Health::Refused),
        (json!({"call": "messages:send", "http_status": 500}), Health::Unknown),
        (json!({"call": "messages:send", "http_status": 429}), Health::Doubtful),
        (json!({"call": "token", "http_status": 503}), Health::Unknown),
        (json!({"drop_before": 1.0}), Health::Unknown),
    ] {
        scene.script(script.clone());
        let found = examined(&scene.channel()).await;
        assert_eq!(found.health, health, "{script}: {}", found.detail);
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_named() {
    let scene = Scene::new().await;
    // The token service's own clock, by its Date header, is 2015.
    let body = r#"{"access_token":"made-up-token"}"#;
    let reply = format!(
        "HTTP/1.1 200 OK\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let auth = rude::answering(reply).await;
    let base = rude::answering(rude::reply(
        404,
        r#"{"error":{"details":[{"@type":
        "type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#,
    ))
    .await;
    let channel = scene.channel_of(&section(&base, &auth, &scene.key_file(), ""));
    let found = examined(&channel).await;
    assert_eq!(found.health, Health::Doubtful);
    assert!(found.detail.contains("ahead of Google's"), "{}", found.detail);
}
