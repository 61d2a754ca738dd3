//! A 429 closes the project for all callers, and the simulator measures whether it does.

use futures_util::future::join_all;

use super::*;

fn sent(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| matches!(answer.outcome, Outcome::Delivered { .. })).count()
}

#[tokio::test]
async fn a_wish_for_less_is_obeyed_by_all_together() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, "token-1").await);
    scene.script(json!({"call": "messages:send", "http_status": 429, "retry_after": 30, "times": 1}));
    let limited = send(&channel, "token-1").await;
    assert_eq!(limited.outcome, Outcome::limited(Some(30_000)), "{}", limited.detail);
    for ms in [0, 1_000, 28_000] {
        scene.pass(ms);
        let tokens: Vec<String> = (0..100).map(|n| format!("token-{n}")).collect();
        let answers = join_all(tokens.iter().map(|token| send(&channel, token))).await;
        for answer in answers {
            let Outcome::RateLimited { after: Some(after), .. } = answer.outcome else { panic!("{answer:?}") };
            assert!((1..=30_000).contains(&after), "{after}");
        }
    }
    scene.pass(1_500);
    assert_delivered(&send(&channel, "token-1").await);
    assert_eq!((scene.count("early_calls"), scene.count("under_way"), scene.count("deliveries")), (0, 0, 2));
}

#[tokio::test]
async fn calls_under_way_are_told_from_calls_that_are_early() {
    let scene = Scene::new().await;
    let (one, other) = (scene.channel(), scene.channel());
    assert_delivered(&send(&one, "token-1").await);
    assert_delivered(&send(&other, "token-1").await);
    scene.script(json!({"call": "messages:send", "http_status": 429, "retry_after": 60, "times": 1,
        "own": {"grace_ms": 10_000}}));
    assert_eq!(send(&one, "token-1").await.outcome, Outcome::limited(Some(60_000)));
    // Another process does not know yet.
    assert_eq!(send(&other, "token-1").await.outcome, Outcome::limited(Some(60_000)));
    assert_eq!((scene.count("early_calls"), scene.count("under_way")), (0, 1));
    scene.pass(20_000);
    let stranger = scene.channel();
    let late = send(&stranger, "token-1").await;
    assert!(matches!(late.outcome, Outcome::RateLimited { after: Some(38_000..=40_000), .. }), "{late:?}");
    assert_eq!((scene.count("early_calls"), scene.count("under_way")), (1, 1));
}

#[tokio::test]
async fn a_device_that_gets_too_much_holds_up_nobody_else() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"throttled_prefix": "slow", "retry_after": 5, "own": {"grace_ms": 4_000}}));
    let answers = send_to(&channel, &notification(json!({})), &["slow-1", "token-1"]).await;
    assert_eq!(sent(&answers), 1);
    assert_eq!(answers[0].outcome.name(), "rate_limited");
    assert_delivered(&send(&channel, "token-2").await);
    assert_eq!(scene.count("early_calls"), 0);
    assert_eq!(send(&channel, "slow-1").await.outcome.name(), "rate_limited");
    assert_eq!(scene.count("under_way"), 1, "the device's wish is measured, too");
    scene.pass(6_000);
    assert_delivered(&send(&channel, "slow-1").await);
}

#[tokio::test]
async fn no_more_than_two_hundred_calls_of_a_project_are_under_way() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, "token-1").await);
    scene.script(json!({"latency_ms": 100}));
    let tokens: Vec<String> = (0..600).map(|n| format!("token-{n}")).collect();
    let answers = join_all(tokens.iter().map(|token| send(&channel, token))).await;
    assert_eq!(sent(&answers), 600);
    let most = scene.count("most_at_once");
    assert!((2..=200).contains(&most), "{most}");
}

#[tokio::test]
async fn the_pace_is_the_quota_with_a_ramp() {
    let scene = Scene::new().await;
    let pace = scene.channel().pace(&notification(json!({}))).unwrap();
    assert_eq!((pace.per_second, pace.ramp), (10_000.0, 60_000));
    let mut section = scene.section("");
    section.insert("rate".to_owned(), 1_200.into());
    section.insert("ramp_ms".to_owned(), 0.into());
    let pace = scene.channel_of(&section).pace(&notification(json!({}))).unwrap();
    assert_eq!((pace.per_second, pace.ramp), (20.0, 0));
}
