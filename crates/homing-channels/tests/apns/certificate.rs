//! Certificate mode: the connection says who we are.

use homing_channels::simulator::apns::{Account, Config, Who};
use homing_core::{
    channel::{Channel, Health, Outcome},
    notification::Environment,
};
use serde_json::json;

use super::bench::*;

/// Certificate and key in PEM.
fn certificate(name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    // NOW is in April 2026.
    params.not_after = rcgen::date_time_ymd(2026, 12, 1);
    format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn registered(pem: &str, environment: Environment) -> Account {
    let who = Who::Certificate { pem: pem.to_owned().into() };
    Account { who, topics: vec!["com.higo".into()], environments: vec![environment] }
}

#[tokio::test]
async fn a_registered_certificate_pushes_and_others_are_refused() {
    setup();
    let (clock, folder) = (Hand::at(NOW), tempfile::TempDir::new().unwrap());
    let (ours, sandbox, unknown) = (certificate("com.higo"), certificate("com.higo"), certificate("com.higo"));
    let accounts = vec![registered(&ours, Environment::Production), registered(&sandbox, Environment::Development)];
    let config = Config::new(Environment::Production, accounts, clock.clone()).unwrap();
    let simulator = Running::start(config).await;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, simulator.authority.pem()).unwrap();
    let channel_with = |pem: &str| {
        channel(
            &table(json!({ "endpoint": { "base_url": simulator.base_url(), "ca_file": ca },
                "account": { "higo": { "app": "higo", "topic": "com.higo", "certificate": pem } } })),
            clock.clone(),
        )
    };
    let good = channel_with(&ours);
    let all: Vec<String> = (0..100).map(|number| token("aa", number)).collect();
    assert!(send_all(&good, &all, 100).await.iter().all(is_delivered));
    assert_eq!((simulator.count("connections"), simulator.count("early_streams")), (1, 0));
    let seen = good.examine().await;
    assert_eq!((seen[0].health, seen[0].expires_at), (Health::Good, Some(1_796_083_200_000)), "{}", seen[0].detail);
    for (pem, reason) in [(&unknown, "BadCertificate "), (&sandbox, "BadCertificateEnvironment")] {
        let channel = channel_with(pem);
        let answer = send(&channel, &token("aa", 1)).await;
        assert_eq!(answer.outcome, Outcome::Config);
        assert!(answer.detail.contains(reason), "{}", answer.detail);
        assert_eq!(channel.examine().await[0].health, Health::Refused);
    }
    assert!(!format!("{good:?}").contains(ours.lines().nth(1).unwrap()));
    clock.set(1_796_083_200_000 - 10 * 86_400_000);
    let seen = good.examine().await;
    assert_eq!(seen[0].health, Health::Doubtful);
    assert!(seen[0].detail.contains("expires in 10 days"), "{}", seen[0].detail);
}
