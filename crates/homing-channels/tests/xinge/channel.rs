//! What the channel makes of healthy and of refusing services.

use futures_util::future::join_all;
use homing_channels::Error;
use homing_core::notification::Environment;
use secrecy::SecretString;

use super::*;

#[tokio::test]
async fn android_and_ios_are_delivered_with_their_texts() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    assert_eq!((channel.name(), channel.page()), ("xinge", 1000));
    for platform in [Platform::Android, Platform::Ios] {
        let token = token(platform, 1);
        let sent = notification(platform, &token);
        assert_eq!(send(&channel, &sent).await, Answer { outcome: DELIVERED, detail: "ret_code 0".to_owned() });

        let phone = simulator.get(&format!("/_sim/phones/{token}")).await;
        let delivery = &phone["deliveries"][0];
        assert_eq!(delivery["title"], json!(sent.title));
        assert_eq!(delivery["content"], json!(sent.body));
        assert_eq!(delivery["id"], json!("m-1"));
        assert_eq!(delivery["platform"], json!(platform.name()));
        let (kind, count) = match platform {
            Platform::Ios => (json!(15), json!(3)),
            _ => (json!("15"), json!("3")),
        };
        assert_eq!((&delivery["custom"]["push_type"], &delivery["custom"]["count"]), (&kind, &count));
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["by_code"]["0"]), (&json!(2), &json!(2)));
    simulator.stop().await;
}

#[tokio::test]
async fn the_documented_ios_message_type_is_possible() {
    let simulator = Running::start(config()).await;
    let options = Options { ios_message_type: 0, ..Options::default() };
    let channel = channel_with(accounts(&base_url(&simulator)), &options, Arc::new(SystemClock::default()));
    let token = token(Platform::Ios, 1);
    assert_eq!(send(&channel, &notification(Platform::Ios, &token)).await.outcome, DELIVERED);
    assert_eq!(simulator.get("/_sim/deliveries").await["deliveries"][0]["message_type"], json!(0));
}

#[tokio::test]
async fn a_signed_host_of_its_own_is_sent_as_host() {
    let simulator = Running::start(config()).await;
    let mut accounts = accounts(&base_url(&simulator));
    for account in &mut accounts {
        account.sign_host = Some("openapi.xg.qq.com".to_owned());
        account.valid_time = Some(60);
    }
    let token = token(Platform::Android, 1);
    assert_eq!(send(&channel_of(accounts), &notification(Platform::Android, &token)).await.outcome, DELIVERED);
}

#[tokio::test]
async fn a_wrong_secret_is_a_matter_of_configuration() {
    let simulator = Running::start(config()).await;
    let mut accounts = accounts(&base_url(&simulator));
    accounts[0].secret = SecretString::from("not-the-key");
    let channel = channel_of(accounts);
    let token = token(Platform::Android, 1);
    let answer = send(&channel, &notification(Platform::Android, &token)).await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(answer.detail.contains("-103") && !answer.detail.contains("not-the-key"), "{}", answer.detail);
}

#[tokio::test]
async fn dead_tokens_and_wrong_lengths_are_invalid() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    let dead = token(Platform::Android, 7);
    simulator.faults(json!({"dead_tokens": [&dead], "dead_prefix": "dead"})).await;
    let prefixed = format!("dead{}", "0".repeat(36));
    for (token, code) in [(dead.as_str(), "40"), (&prefixed, "40"), ("short", "14")] {
        let answer = send(&channel, &notification(Platform::Android, token)).await;
        assert_eq!(answer.outcome, Outcome::DEAD, "{}", answer.detail);
        assert!(answer.detail.starts_with(&format!("ret_code {code}")), "{}", answer.detail);
        assert!(!answer.detail.contains(token), "{}", answer.detail);
    }
    let alive = token(Platform::Android, 8);
    assert_eq!(send(&channel, &notification(Platform::Android, &alive)).await.outcome, DELIVERED);
}

#[tokio::test]
async fn every_class_of_code_has_its_outcome() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    let sent = notification(Platform::Android, &token(Platform::Android, 1));
    let limited = Outcome::limited(None);
    let table: [(&[i64], &str, Outcome); 9] = [
        (&[-4, -5, 5, 15, 63, 71, -104], "", RETRY),
        (&[76], "", limited),
        (&[20, 100, -103, -106], "", Outcome::Config),
        (&[-1, 2, 7, 19, 73, 75, 78, 83, 91, 92, -101], "", Outcome::Payload),
        (&[6, 14, 40], "", Outcome::DEAD),
        (&[48], "", Outcome::NoDevice),
        (&[1, 10_000, -77], "", Outcome::Unknown),
        (&[-3], "server error", RETRY),
        (&[-3], "invalid Sign", Outcome::Config),
    ];
    for (codes, text, expected) in table {
        for code in codes {
            simulator.faults(json!({"answer": code, "answer_text": text})).await;
            let answer = send(&channel, &sent).await;
            assert_eq!(answer.outcome, expected, "{}", answer.detail);
            assert!(answer.detail.starts_with(&format!("ret_code {code} (")), "{}", answer.detail);
        }
    }
    assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(0));
}

#[tokio::test]
async fn too_long_a_message_never_leaves() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    for platform in [Platform::Android, Platform::Ios] {
        let mut sent = notification(platform, &token(platform, 1));
        sent.body = "店".repeat(1400);
        let answer = send(&channel, &sent).await;
        assert_eq!(answer.outcome, Outcome::Payload);
        assert!(answer.detail.contains("4096"), "{}", answer.detail);
    }
    assert_eq!(simulator.get("/_sim/stats").await["total"], json!(0));
}

#[tokio::test]
async fn a_missing_account_is_named() {
    let simulator = Running::start(config()).await;
    let mut accounts = accounts(&base_url(&simulator));
    accounts.pop();
    let channel = channel_of(accounts);
    let mut sent = notification(Platform::Ios, &token(Platform::Ios, 1));
    let answer = send(&channel, &sent).await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert_eq!(answer.detail, "not sent: no account for app higo, ios, prod");
    sent.app = "higirl".to_owned();
    assert!(send(&channel, &sent).await.detail.contains("app higirl"));
}

#[test]
fn bad_configuration_is_refused_before_anything_is_sent() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let clock = || Arc::new(SystemClock::default());
    let problem = |accounts, options: Options| match Xinge::new(accounts, &options, clock()) {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    };
    let mut swapped = accounts("http://localhost");
    swapped[0].access_id = IOS.to_string();
    assert!(problem(swapped, Options::default()).to_string().contains("account higo/android: access_id 2200012345"));
    let twice = [accounts("http://localhost"), accounts("http://localhost")].concat();
    assert!(problem(twice, Options::default()).to_string().contains("two accounts"));
    let silent = Options { ios_message_type: 12, ..Options::default() };
    assert!(matches!(problem(vec![], silent), Error::Option { name: "ios_message_type", .. }));
    let missing = Options { codes: Some("/nowhere/codes.toml".into()), ..Options::default() };
    assert!(problem(vec![], missing).to_string().contains("/nowhere/codes.toml"));
}

#[tokio::test]
async fn two_hundred_requests_at_once_are_all_delivered() {
    let simulator = Running::start(config()).await;
    simulator.faults(json!({"latency_ms": 5, "jitter_ms": 20})).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    let platform = |number: usize| if number.is_multiple_of(2) { Platform::Android } else { Platform::Ios };
    let all: Vec<_> = (0..200)
        .map(|number| {
            let mut sent = notification(platform(number), &token(platform(number), number));
            sent.id = format!("m-{number}");
            sent
        })
        .collect();
    let answers = join_all(all.iter().map(|sent| send(&channel, sent))).await;
    assert!(answers.iter().all(|answer| answer.outcome == DELIVERED));
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["distinct_ids"], &stats["repeats"]), (&json!(200), &json!(0)));
}

#[tokio::test]
async fn the_test_network_has_accounts_of_its_own() {
    let mut config = config();
    config.apps.push(app(IOS + 1, "the-key-of-the-test-network"));
    let simulator = Running::start(config).await;
    let mut accounts = accounts(&base_url(&simulator));
    let mut second = accounts[1].clone();
    second.environment = Environment::Development;
    second.access_id = (IOS + 1).to_string();
    second.secret = SecretString::from("the-key-of-the-test-network");
    accounts.push(second);
    let channel = channel_of(accounts);
    let mut sent = notification(Platform::Ios, &token(Platform::Ios, 1));
    for (environment, access_id, code) in
        [(Environment::Production, IOS, "1"), (Environment::Development, IOS + 1, "2")]
    {
        sent.environment = environment;
        assert_eq!(send(&channel, &sent).await.outcome, DELIVERED);
        let phone = simulator.get(&format!("/_sim/phones/{}?limit=1", sent.targets[0].token)).await;
        let delivery = &phone["deliveries"][0];
        assert_eq!((&delivery["access_id"], &delivery["environment"]), (&json!(access_id.to_string()), &json!(code)));
    }
    let mut android = notification(Platform::Android, &token(Platform::Android, 1));
    android.environment = Environment::Development;
    let answer = send(&channel, &android).await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert_eq!(answer.detail, "not sent: no account for app higo, android, dev");
}
