//! What is wrong with a section is named before anything is sent.

use super::*;

#[track_caller]
fn refused(scene: &Scene, section: &toml::Table, expected: &str) {
    let error = Fcm::new(section, &scene.tools()).expect_err("it was not refused");
    let story = error.to_string();
    assert!(story.contains(expected), "{story}");
    assert!(!story.contains("PRIVATE KEY-----\n"), "{story}");
}

fn with(scene: &Scene, key: &str, value: impl Into<toml::Value>) -> toml::Table {
    let mut section = scene.section("");
    section.insert(key.to_owned(), value.into());
    section
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let scene = Scene::new().await;
    refused(&scene, &with(&scene, "rate", 0), "channel.fcm.rate");
    refused(&scene, &with(&scene, "rate", -1), "channel.fcm.rate");
    refused(&scene, &with(&scene, "ramp_ms", -1), "channel.fcm.ramp_ms");
    refused(&scene, &with(&scene, "codes", "/nowhere/codes.toml"), "/nowhere/codes.toml");
    refused(&scene, &with(&scene, "speed", 1), "channel.fcm");
    refused(&scene, &scene.section("colour = 'red'"), "channel.fcm.account.higo");
    refused(&scene, &scene.section("project = 'a/b'"), "channel.fcm.account.higo.project: `a/b`");
    refused(&scene, &scene.section("environment = 'night'"), "channel.fcm.account.higo.environment");
    let mut twice = scene.section("");
    let account = twice["account"]["higo"].clone();
    twice["account"].as_table_mut().unwrap().insert("other".to_owned(), account);
    refused(&scene, &twice, "channel.fcm.account.other: channel.fcm.account.higo is for the same app and environment");
    let no_key = section(&scene.base, &scene.base, "{}", "");
    refused(&scene, &no_key, "channel.fcm.account.higo.service_account: lacks `private_key`");
    let torn = scene.key_file().replace("client_email", "client_mail");
    let torn = section(&scene.base, &scene.base, &torn, "");
    refused(&scene, &torn, "channel.fcm.account.higo.service_account: lacks `client_email`");
}

#[tokio::test]
async fn an_account_that_names_the_network_goes_before_one_that_does_not() {
    let scene = Scene::new().await;
    let mut section = scene.section("channel_id = 'both'");
    let mut dev = section["account"]["higo"].clone();
    let table = dev.as_table_mut().unwrap();
    table.insert("environment".to_owned(), "dev".into());
    table.insert("channel_id".to_owned(), "dev".into());
    section["account"].as_table_mut().unwrap().insert("test".to_owned(), dev);
    let channel = scene.channel_of(&section);
    for environment in ["prod", "dev"] {
        let answers = send_to(&channel, &notification(json!({ "environment": environment })), &["token-1"]).await;
        assert_delivered(&answers[0]);
    }
    let pushes = scene.stand.after(0, 9);
    let channel_of = |n: usize| pushes[n].push["android"]["notification"]["channel_id"].clone();
    assert_eq!((channel_of(0), channel_of(1)), (json!("both"), json!("dev")));
}

#[tokio::test]
async fn codes_are_data() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("codes.toml");
    std::fs::write(&file, "[payload]\nUNREGISTERED = 'we keep them'\n").unwrap();
    let channel = scene.channel_of(&with(&scene, "codes", file.to_str().unwrap()));
    scene.script(json!({"dead_prefix": "dead"}));
    assert_eq!(send(&channel, "dead-1").await.outcome, Outcome::Payload);
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, "token-1").await);
    let shown = format!("{channel:?}");
    let key = keys::rsa(0);
    let secret = key.lines().nth(3).unwrap();
    assert!(shown.contains("higo") && !shown.contains(secret) && !shown.contains("ya29"), "{shown}");
}
