//! Two networks, and an account that is configured for the wrong one.

use homing_channels::simulator::apns::{Authority, Config};
use homing_core::{
    channel::{Channel, Health, Outcome},
    notification::{Environment, Target},
};
use serde_json::json;

use super::bench::*;

#[tokio::test]
async fn no_token_of_a_misconfigured_app_is_called_dead() {
    let bench = bench().await;
    let channel = bench.channel();
    bench.simulator.script(json!({ "foreign_prefix": "a" }));
    let tokens: Vec<String> = (0..1_000).map(|number| token("a", number)).collect();
    let answers = send_all(&channel, &tokens, 64).await;
    let config = answers.iter().filter(|answer| answer.outcome == Outcome::Config).count();
    let held = answers.iter().filter(|answer| answer.outcome == Outcome::Retry { after: Some(5_000) }).count();
    assert_eq!((held, config), (19, 981));
    let detail = &answers.last().unwrap().detail;
    assert!(detail.contains("looks like the wrong environment (they are sandbox's"), "{detail}");
    let seen = channel.examine().await;
    assert_eq!(seen[0].health, Health::Doubtful);
    assert!(seen[0].detail.contains("wrong environment"), "{}", seen[0].detail);
    println!("1,000 live tokens on the wrong environment: 0 removed, {held} held back, {config} say so");
    // The account is repaired: good traffic makes it good again.
    bench.simulator.script(json!({}));
    let tokens: Vec<String> = (0..300).map(|number| token("b", number)).collect();
    assert!(send_all(&channel, &tokens, 64).await.iter().all(is_delivered));
    assert_eq!(channel.examine().await[0].health, Health::Good);
}

#[tokio::test]
async fn a_wrong_topic_is_recognised_in_the_same_way() {
    let bench = bench().await;
    let channel = bench.channel();
    let tokens: Vec<String> = (0..40).map(|number| token("a", number)).collect();
    let codes: serde_json::Map<_, _> =
        tokens.iter().map(|token| (token.clone(), json!("DeviceTokenNotForTopic"))).collect();
    bench.simulator.script(json!({ "codes": codes }));
    let answers = send_all(&channel, &tokens, 1).await;
    assert!(answers.iter().all(|answer| !matches!(answer.outcome, Outcome::TokenInvalid { .. })));
    assert_eq!(answers.last().unwrap().outcome, Outcome::Config);
}

#[tokio::test]
async fn production_and_sandbox_have_states_of_their_own() {
    setup();
    let (clock, key) = (Hand::at(NOW), p8());
    let (folder, authority) = (tempfile::TempDir::new().unwrap(), Authority::new().unwrap());
    let mut running = Vec::new();
    for environment in [Environment::Production, Environment::Development] {
        let mut config = Config::new(environment, vec![key_of(&key)], clock.clone()).unwrap();
        config.authority = authority.clone();
        config.ca_file = Some(folder.path().join("ca.pem"));
        running.push(Running::start(config).await);
    }
    let [production, sandbox] = running.as_slice() else { panic!() };
    // The simulators write the authority's certificate before they take a connection.
    for simulator in &running {
        tokio::net::TcpStream::connect(simulator.address).await.unwrap();
    }
    while std::fs::read_to_string(folder.path().join("ca.pem")).unwrap_or_default() != authority.pem() {
        tokio::task::yield_now().await;
    }
    let account = |environment: &str, simulator: &Running| {
        json!({ "app": "higo", "topic": "com.higo", "environment": environment, "base_url": simulator.base_url(),
            "key": key, "key_id": "KEY1234567", "team_id": "TEAM123456" })
    };
    let channel = channel(
        &table(json!({
            "endpoint": { "ca_file": folder.path().join("ca.pem") },
            "account": { "live": account("prod", production), "test": account("dev", sandbox) },
        })),
        clock.clone(),
    );
    production.script(json!({ "dead_prefix": "dead" }));
    let targets = [Target::new("1", token("dead", 1))];
    let mut sent = notification("m-1");
    let answer = &channel.send(&sent, &targets).await[0];
    assert_eq!(answer.outcome, Outcome::TokenInvalid { since: Some(NOW) }, "{}", answer.detail);
    sent.environment = Environment::Development;
    let answer = &channel.send(&sent, &targets).await[0];
    assert!(is_delivered(answer), "{}", answer.detail);
    assert_eq!((production.reached().len(), sandbox.reached().len()), (0, 1));
}
