//! Provider tokens over hours, wrong clocks, refused keys, and what `homing check` sees.

use homing_channels::{apns::Apns, registry::Tools};
use homing_core::channel::{Channel, Health, Outcome};
use serde_json::json;

use super::bench::*;

#[tokio::test]
async fn a_token_lasts_between_twenty_and_sixty_minutes_for_all_who_share_the_key() {
    let bench = bench().await;
    // Two processes with one key.
    let (one, other) = (bench.channel(), bench.channel());
    for step in 0..96 {
        bench.clock.set(NOW + step * 5 * MIN);
        let number = usize::try_from(step).unwrap();
        for (channel, prefix) in [(&one, "aa"), (&other, "ab")] {
            let answer = send(channel, &token(prefix, number)).await;
            assert!(is_delivered(&answer), "minute {}: {}", step * 5, answer.detail);
        }
    }
    // 8 hours, one every 35 minutes; the simulator refuses more than one in 20 and older than 60.
    assert_eq!(bench.simulator.count("tokens_seen"), 14);
    assert_eq!(bench.simulator.stand.stats()["by_code"], json!({ "200": 192 }));
    println!("8 hours, two processes, 192 pushes: 14 provider tokens");
}

#[tokio::test]
async fn a_clock_that_is_behind_is_corrected_once() {
    let bench = bench().await;
    let behind = Hand::at(NOW - 90 * MIN);
    let channel = channel(&bench.section(), behind);
    let first = send(&channel, &token("aa", 1)).await;
    assert_eq!(first.outcome, Outcome::Corrected, "{}", first.detail);
    assert!(first.detail.contains("this machine's clock is 5400 s behind"), "{}", first.detail);
    assert!(is_delivered(&send(&channel, &token("aa", 1)).await));
    let seen = channel.examine().await;
    assert_eq!(seen[0].health, Health::Doubtful);
    assert!(seen[0].detail.contains("clock"), "{}", seen[0].detail);
}

#[tokio::test]
async fn a_token_that_is_called_expired_is_renewed_once_and_not_within_twenty_minutes() {
    let bench = bench().await;
    let channel = bench.channel();
    let device = token("cc", 1);
    bench.simulator.script(json!({ "codes": { &device: "ExpiredProviderToken" } }));
    // It is used for the first time. 20 minutes later there is a younger one.
    let answer = send(&channel, &device).await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(answer.detail.contains("no younger"), "{}", answer.detail);
    bench.clock.set(NOW + 20 * MIN);
    assert_eq!(send(&channel, &device).await.outcome, Outcome::Corrected);
    assert_eq!(send(&channel, &device).await.outcome, Outcome::Config, "once");
    assert!(is_delivered(&send(&channel, &token("aa", 1)).await));
    assert_eq!(bench.simulator.count("tokens_seen"), 1 + 1);
}

#[tokio::test]
async fn changing_the_token_too_often_pauses_the_route() {
    let bench = bench().await;
    assert!(is_delivered(&send(&bench.channel(), &token("aa", 1)).await));
    // A process whose clock runs ahead has the next token already; that of a third is from the future.
    let ahead = channel(&bench.section(), Hand::at(NOW + 31 * MIN));
    let answer = send(&ahead, &token("aa", 2)).await;
    assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
    assert!(answer.detail.contains("clock is 1860 s ahead of APNs'"), "{}", answer.detail);
    let behind = channel(&bench.section(), Hand::at(NOW - 11 * MIN));
    assert_eq!(send(&behind, &token("aa", 3)).await.outcome, Outcome::limited(Some(20 * MIN)));
}

#[tokio::test]
async fn credentials_are_tried_with_a_device_that_does_not_exist() {
    let bench = bench().await;
    let good = bench.channel().examine().await;
    assert_eq!((good.len(), good[0].account.as_str()), (1, "channel.apns.account.higo"));
    assert_eq!((good[0].health, good[0].expires_at), (Health::Good, None), "{}", good[0].detail);
    for (change, expected) in [
        (("key", p8()), "InvalidProviderToken"),
        (("team_id", "TEAM000000".to_owned()), "InvalidProviderToken"),
        (("topic", "com.other".to_owned()), "TopicDisallowed"),
    ] {
        let mut section = bench.section();
        section["account"]["higo"][change.0] = change.1.into();
        let channel = bench.channel_of(&section);
        let seen = channel.examine().await;
        assert_eq!(seen[0].health, Health::Refused);
        assert!(seen[0].detail.contains(expected), "{}", seen[0].detail);
        assert_eq!(send(&channel, &token("aa", 1)).await.outcome, Outcome::Config);
    }
    assert!(bench.simulator.reached().is_empty());
    let mut section = bench.section();
    section["endpoint"]["base_url"] = "https://localhost:1".into();
    assert_eq!(bench.channel_of(&section).examine().await[0].health, Health::Unknown);
}

#[tokio::test]
async fn keys_are_checked_before_anything_is_sent_and_never_shown() {
    let bench = bench().await;
    let channel = bench.channel();
    let shown = format!("{channel:?}");
    let secret = bench.key.lines().nth(1).unwrap();
    assert!(shown.contains("com.higo") && !shown.contains(secret), "{shown}");
    let tools = || Tools::new(bench.clock.clone());
    let refused = |change: &dyn Fn(&mut toml::Table)| {
        let mut section = bench.section();
        change(&mut section);
        let problem = Apns::new(&section, &tools()).map(drop).unwrap_err().to_string();
        assert!(!problem.contains(secret), "{problem}");
        problem
    };
    let problem = refused(&|section| section["account"]["higo"]["key"] = secret.into());
    assert!(problem.starts_with("channel.apns.account.higo.key: is no signing key"), "{problem}");
    let problem = refused(&|section| section["endpoint"]["ca_file"] = "/nowhere/ca.pem".into());
    assert!(problem.starts_with("channel.apns.endpoint.ca_file: /nowhere/ca.pem"), "{problem}");
    let problem = refused(&|section| section["endpoint"]["base_url"] = "https://localhost/3/device".into());
    assert!(problem.starts_with("channel.apns.endpoint.base_url"), "{problem}");
    let problem = refused(&|section| drop(section.insert("codes".into(), "/nowhere.toml".into())));
    assert!(problem.starts_with("channel.apns.codes"), "{problem}");
    // One key id, two keys.
    let problem = refused(&|section| {
        let mut second = section["account"]["higo"].clone();
        (second["app"], second["key"]) = ("higirl".into(), p8().into());
        section["account"].as_table_mut().unwrap().insert("second".into(), second);
    });
    assert!(problem.contains("another key with the key_id KEY1234567"), "{problem}");
}

#[tokio::test]
async fn accounts_of_one_key_share_connection_and_token() {
    let bench = bench().await;
    let mut section = bench.section();
    let mut second = section["account"]["higo"].clone();
    second["app"] = "higirl".into();
    section["account"].as_table_mut().unwrap().insert("second".into(), second);
    let channel = bench.channel_of(&section);
    let mut other = notification("m-2");
    other.app = "higirl".into();
    assert!(is_delivered(&send(&channel, &token("aa", 1)).await));
    let targets = [homing_core::notification::Target::new("1", token("aa", 2))];
    assert!(is_delivered(&channel.send(&other, &targets).await[0]));
    assert_eq!((bench.simulator.count("connections"), bench.simulator.count("tokens_seen")), (1, 1));
}
