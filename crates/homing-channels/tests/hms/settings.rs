//! What is wrong with a section is named before anything is sent.

use super::*;

#[track_caller]
fn refused(scene: &Scene, account: &str, expected: &str) {
    let section: toml::Table = toml::from_str(account).unwrap();
    let error = Hms::new(&section, &scene.tools()).expect_err("it was not refused");
    let story = error.to_string();
    assert!(story.contains(expected), "{story}");
    assert!(!story.contains("hush"), "{story}");
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let scene = Scene::new().await;
    refused(&scene, "rate = 0", "channel.hms.rate");
    refused(&scene, "speed = 1", "channel.hms");
    refused(&scene, "[account.a]\nflavour = 'v2'\napp = 'higo'", "channel.hms.account.a.flavour");
    refused(&scene, "[account.a]\nflavour = 'v1'\napp = 'higo'", "channel.hms.account.a.app_id: is missing");
    refused(
        &scene,
        "[account.a]\nflavour = 'v1'\napp = 'higo'\napp_id = 7",
        "channel.hms.account.a.secret: is missing",
    );
    refused(&scene, "[account.a]\nflavour = 'v1'\napp = 'higo'\napp_id = 7\nsecret = ' '", "a.secret: is empty");
    refused(&scene, "[account.a]\nflavour = 'v1'\napp = 'higo'\napp_id = 'a/b'\nsecret = 'hush'", "a.app_id: `a/b`");
    refused(&scene, "[account.a]\nflavour = 'v1'\napp = ''\napp_id = 7\nsecret = 'hush'", "a.app: is empty");
    refused(
        &scene,
        "[account.a]\nflavour = 'v1'\napp = 'h'\nservice_account = 'hush'",
        "a.service_account: is not for v1",
    );
    refused(&scene, "[account.a]\nflavour = 'v3'\napp = 'h'\nsecret = 'hush'", "a.secret: is not for v3");
    refused(&scene, "[account.a]\nflavour = 'v3'\napp = 'h'", "a.service_account: is missing");
    refused(
        &scene,
        "[account.a]\nflavour = 'v3'\napp = 'h'\nservice_account = 'hush'",
        "a.service_account: is not JSON",
    );
    let v1 = |name: &str| format!("[account.{name}]\nflavour = 'v1'\napp = 'higo'\napp_id = 7\nsecret = 'hush'\n");
    refused(&scene, &(v1("a") + &v1("b")), "channel.hms.account.b: channel.hms.account.a is for the same");
}

#[tokio::test]
async fn codes_are_data() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("codes.toml");
    std::fs::write(&file, "[config]\n\"80300007\" = 'we keep them'\n").unwrap();
    let mut section = scene.section("", "");
    section.insert("codes".to_owned(), file.to_str().unwrap().into());
    scene.script(json!({"dead_prefix": "dead"}));
    assert_eq!(send(&scene.channel_of(&section), &android(json!({})), "dead-1").await.outcome, Outcome::Config);
}

#[tokio::test]
async fn debug_shows_no_secret_and_the_pace_is_set() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, &android(json!({})), "token-1").await);
    let key = keys::rsa(0);
    let shown = format!("{channel:?}");
    assert!(shown.contains("account.android") && !shown.contains(SECRET), "{shown}");
    assert!(!shown.contains(key.lines().nth(3).unwrap()) && !shown.contains("DQEB"), "{shown}");
    assert_eq!(channel.pace(&android(json!({}))), None);
    let mut section = scene.section("", "");
    section.insert("rate".to_owned(), 3_000.into());
    let pace = scene.channel_of(&section).pace(&android(json!({}))).unwrap();
    assert_eq!((pace.per_second, pace.ramp), (3_000.0, 0));
}
