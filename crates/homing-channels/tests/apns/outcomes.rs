//! What an answer of APNs means for the message.

use homing_core::{
    channel::{Channel, Outcome, Scope},
    notification::{Environment, Target},
};
use serde_json::json;

use super::bench::*;

const CONFIG: Outcome = Outcome::Config;
const PAYLOAD: Outcome = Outcome::Payload;

#[tokio::test]
async fn a_push_arrives_with_texts_headers_and_a_repeatable_id() {
    let bench = bench().await;
    let channel = bench.channel();
    assert_eq!((channel.name(), channel.page()), ("apns", 64));
    let token = token("ab", 1);
    let answer = send(&channel, &token).await;
    let Outcome::Delivered { provider_id: Some(id) } = answer.outcome else { panic!("{}", answer.detail) };
    let deliveries = bench.simulator.stand.after(0, 10);
    assert_eq!((deliveries.len(), deliveries[0].id.as_deref()), (1, Some(format!("m-{token}").as_str())));
    let seen = &deliveries[0].push;
    assert_eq!(
        (&seen["topic"], &seen["push_type"], &seen["priority"]),
        (&json!("com.higo"), &json!("alert"), &json!("10"))
    );
    assert_eq!(seen["expiration"], json!(((NOW + 3_600_000) / 1000).to_string()));
    assert_eq!(seen["apns_id"], json!(id));
    assert_eq!(seen["collapse_id"].as_str().unwrap().len(), 64, "a key of 66 characters is hashed");
    let aps = json!({ "alert": { "title": "HIGO 新订单", "body": "您有一笔新订单" }, "sound": "default" });
    let homing = json!({ "id": format!("m-{token}"), "type": 15 });
    assert_eq!(seen["payload"], json!({ "aps": aps, "order_id": "A1001", "homing": homing }));
    let Outcome::Delivered { provider_id } = send(&channel, &token).await.outcome else { panic!() };
    assert_eq!(provider_id, Some(id), "the same message to the same device");
    assert_eq!(bench.simulator.count("repeats"), 1);
    bench.simulator.stop().await;
}

#[tokio::test]
async fn a_silent_push_is_one_of_the_background() {
    let bench = bench().await;
    let mut silent = notification("m-1");
    (silent.silent, silent.collapse) = (true, Some("chat-7".into()));
    let targets = [Target::new("1", token("ab", 1)), Target::new("2", token("ab", 2))];
    let answers = bench.channel().send(&silent, &targets).await;
    assert!(answers.len() == 2 && answers.iter().all(is_delivered));
    let seen = &bench.simulator.stand.after(0, 10)[0].push;
    assert_eq!((&seen["push_type"], &seen["priority"]), (&json!("background"), &json!("5")));
    assert_eq!(seen["collapse_id"], json!("silent:chat-7"));
    assert_eq!(seen["payload"]["aps"], json!({ "content-available": 1 }));
    assert_eq!(seen["payload"]["data"], json!({ "order_id": "A1001" }));
}

#[tokio::test]
async fn every_reason_has_its_outcome() {
    let bench = bench().await;
    let channel = bench.channel();
    let good: Vec<String> = (0..100).map(|number| token("aa", number)).collect();
    assert!(send_all(&channel, &good, 50).await.iter().all(is_delivered));
    let dead_since_now = Outcome::TokenInvalid { since: Some(NOW) };
    let token_limited = Outcome::RateLimited { after: None, scope: Scope::Token };
    let table: [(&[&str], Outcome); 10] = [
        (&["Unregistered", "ExpiredToken", "410"], dead_since_now),
        (&["BadDeviceToken", "DeviceTokenNotForTopic", "MissingDeviceToken"], Outcome::DEAD),
        (&["BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "DuplicateHeaders"], PAYLOAD),
        (
            &["InvalidPushType", "PayloadEmpty", "BadPath", "MethodNotAllowed", "PayloadTooLarge", "400 New", "405"],
            PAYLOAD,
        ),
        (&["BadTopic", "MissingTopic", "TopicDisallowed", "BadCertificate", "BadCertificateEnvironment"], CONFIG),
        (&["InvalidProviderToken", "MissingProviderToken", "Forbidden", "UnrelatedKeyIdInToken", "403 New"], CONFIG),
        // The clock is right and the token ten minutes old: another would be no younger.
        (&["BadEnvironmentKeyIdInToken", "ExpiredProviderToken"], CONFIG),
        (&["TooManyRequests"], token_limited),
        (&["TooManyProviderTokenUpdates"], Outcome::limited(Some(20 * MIN))),
        (&["IdleTimeout", "InternalServerError", "ServiceUnavailable", "Shutdown", "502"], RETRY),
    ];
    let mut rows = 0;
    for (reasons, expected) in table {
        for reason in reasons {
            let device = token("cc", rows);
            bench.simulator.script(json!({ "codes": { &device: reason } }));
            let answer = send(&channel, &device).await;
            assert_eq!(answer.outcome, expected, "{reason}: {}", answer.detail);
            let word = reason.split(' ').next_back().unwrap();
            assert!(answer.detail.contains(word) && !answer.detail.contains(&device), "{}", answer.detail);
            rows += 1;
        }
    }
    assert_eq!((rows, bench.simulator.reached().len()), (37, 100));
    println!("{rows} reasons and statuses have the documented outcome");
}

#[tokio::test]
async fn states_of_devices_and_retry_after_are_obeyed() {
    let bench = bench().await;
    let channel = bench.channel();
    bench.simulator.script(json!({ "dead_prefix": "dead", "throttled_prefix": "51", "retry_after": 7 }));
    let started = NOW;
    bench.clock.set(NOW + MIN);
    let dead = send(&channel, &token("dead", 1)).await;
    assert_eq!(dead.outcome, Outcome::TokenInvalid { since: Some(started) });
    let limited = Outcome::RateLimited { after: Some(7_000), scope: Scope::Token };
    assert_eq!(send(&channel, &token("51", 1)).await.outcome, limited);
    assert!(is_delivered(&send(&channel, &token("51", 1)).await), "the second try passes");
    bench.simulator.script(json!({ "http_status": 503, "retry_after": 9, "times": 1 }));
    assert_eq!(send(&channel, &token("aa", 1)).await.outcome, Outcome::Retry { after: Some(9_000) });
    assert!(is_delivered(&send(&channel, &token("aa", 1)).await));
}

#[tokio::test]
async fn what_cannot_arrive_is_not_sent() {
    let bench = bench().await;
    let channel = bench.channel();
    let targets = [Target::new("1", token("ab", 1))];
    let mut long = notification("m-1");
    long.body = "店".repeat(1_400);
    assert_eq!(channel.send(&long, &targets).await[0].outcome, PAYLOAD);
    for change in ["app", "environment", "platform"] {
        let mut sent = notification("m-1");
        match change {
            "app" => sent.app = "higirl".into(),
            "environment" => sent.environment = Environment::Development,
            _ => sent.platform = homing_core::notification::Platform::Android,
        }
        let answer = &channel.send(&sent, &targets).await[0];
        assert_eq!(answer.outcome, CONFIG);
        assert!(answer.detail.starts_with("not sent: no account for app hi"), "{}", answer.detail);
    }
    // Not hexadecimal: nothing is sent, and it is believed no more than APNs' own word.
    assert_eq!(send(&channel, "../../x").await.outcome, Outcome::Retry { after: Some(5_000) });
    let rehearsed = channel.rehearse(&notification("m-1"), &targets).await;
    assert!(is_delivered(&rehearsed[0]) && rehearsed[0].detail.contains("cannot validate"));
    assert_eq!(channel.rehearse(&long, &targets).await[0].outcome, PAYLOAD);
    assert_eq!((bench.simulator.count("calls"), bench.simulator.count("connections")), (0, 0));
}

/// 5,000 devices of all kinds, with a sender that obeys: every one has its documented end.
#[tokio::test]
async fn five_thousand_mixed_devices_end_as_documented() {
    let bench = bench().await;
    let channel = bench.channel();
    bench.simulator.script(json!({ "dead_prefix": "dead", "foreign_prefix": "f0", "throttled_prefix": "51" }));
    let kind = |number: usize| match number % 20 {
        0 => "f0",
        // The very first ones, too.
        1 | 7 => "dead",
        5 => "51",
        _ => "aa",
    };
    let mut open: Vec<String> = (0..5_000).map(|number| token(kind(number), number)).collect();
    let (mut delivered, mut removed, mut rounds) = (0, Vec::new(), 0);
    while !open.is_empty() {
        rounds += 1;
        assert!(rounds < 20, "{} are left", open.len());
        let answers = send_all(&channel, &open, 300).await;
        let mut left = Vec::new();
        for (token, answer) in open.into_iter().zip(answers) {
            match answer.outcome {
                Outcome::Delivered { .. } => delivered += 1,
                Outcome::TokenInvalid { .. } => removed.push(token),
                Outcome::Retry { .. } | Outcome::RateLimited { scope: Scope::Token, .. } => left.push(token),
                other => panic!("{other:?}: {}", answer.detail),
            }
        }
        open = left;
    }
    let of = |prefix: &str| removed.iter().filter(|token| token.starts_with(prefix)).count();
    assert_eq!((delivered, removed.len(), of("dead"), of("f0")), (4_250, 750, 500, 250));
    assert_eq!((bench.simulator.reached().len(), bench.simulator.count("repeats")), (4_250, 0));
    println!("5,000 devices: 4,250 reached, 500 dead and 250 foreign removed, in {rounds} rounds");
}
