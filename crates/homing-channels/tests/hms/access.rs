//! v1's access token and v3's JWT: one for all, renewed before its end, once more when it is refused.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn one_fetch_serves_two_hundred_calls_and_is_renewed_before_its_end() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"latency_ms": 20}));
    let notification = android(json!({}));
    let tokens: Vec<String> = (0..200).map(|n| format!("token-{n}")).collect();
    let answers = join_all(tokens.iter().map(|token| send(&channel, &notification, token))).await;
    answers.iter().for_each(assert_delivered);
    assert_eq!((scene.count("deliveries"), scene.count("tokens_lent")), (200, 1));
    scene.pass(2_900_000);
    assert_delivered(&send(&channel, &notification, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 1);
    scene.pass(150_000);
    assert_delivered(&send(&channel, &notification, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 2, "ten minutes before its end");
}

#[tokio::test]
async fn an_expired_token_is_renewed_once() {
    let scene = Scene::new().await;
    let (channel, notification) = (scene.channel(), android(json!({})));
    assert_delivered(&send(&channel, &notification, "token-1").await);
    scene.script(json!({"own": {"revoked": 1}}));
    let answer = send(&channel, &notification, "token-1").await;
    assert_eq!(answer.outcome, Outcome::Corrected, "{}", answer.detail);
    assert!(answer.detail.starts_with("80200003 (HTTP 401)"), "{}", answer.detail);
    assert_delivered(&send(&channel, &notification, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 2);
    scene.script(json!({"own": {"revoked": 99}}));
    assert_eq!(send(&channel, &notification, "token-1").await.outcome, Outcome::Corrected);
    assert_eq!(send(&channel, &notification, "token-1").await.outcome, Outcome::Config);
    scene.script(json!({}));
    assert_delivered(&send(&channel, &notification, "token-1").await);
}

#[tokio::test]
async fn a_jwt_is_signed_once_and_renewed_before_its_end() {
    let scene = Scene::new().await;
    let (channel, notification) = (scene.channel(), harmony(json!({})));
    for ms in [0, 2_900_000, 200_000, 3_500_000, 90_000_000] {
        scene.pass(ms);
        assert_delivered(&send(&channel, &notification, "token-1").await);
    }
    assert_eq!(scene.count("tokens_lent"), 0, "nobody lends anything here");
}

#[tokio::test]
async fn a_jwt_that_has_expired_is_signed_again_once() {
    let scene = Scene::new().await;
    // Huawei's clock runs; ours stands still far behind it.
    let slow = Arc::new(Moved(SystemClock::default(), AtomicI64::new(-4_000_000)));
    rustls::crypto::ring::default_provider().install_default().ok();
    let tools = Tools::new(Arc::clone(&slow) as Arc<dyn Clock>);
    let channel = Hms::new(&scene.section("", ""), &tools).unwrap();
    let notification = harmony(json!({}));
    let answer = send(&channel, &notification, "token-1").await;
    assert_eq!(answer.outcome, Outcome::Corrected);
    assert!(answer.detail.starts_with("80200005"), "{}", answer.detail);
    slow.1.fetch_add(1_000, Ordering::Relaxed);
    assert_eq!(send(&channel, &notification, "token-1").await.outcome, Outcome::Config, "a new one is no better");
    slow.1.store(0, Ordering::Relaxed);
    assert_delivered(&send(&channel, &notification, "token-1").await);
}

#[tokio::test]
async fn wrong_credentials_are_a_matter_of_configuration() {
    let scene = Scene::new().await;
    let wrong = section(&scene.base, &scene.base, "not-the-secret", &keys::huawei(PROJECT, 1), "", "");
    let channel = scene.channel_of(&wrong);
    let answer = send(&channel, &android(json!({})), "token-1").await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(answer.detail.contains("invalid client_secret") && !answer.detail.contains("not-the"), "{}", answer.detail);
    let answer = send(&channel, &harmony(json!({})), "token-1").await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(answer.detail.contains("80200001 (HTTP 401)"), "{}", answer.detail);
    for (status, expected) in [(503, Outcome::limited(None)), (500, RETRY), (400, Outcome::Config)] {
        scene.pass(2_000);
        let channel = scene.channel();
        scene.script(json!({"call": "token", "http_status": status}));
        assert_eq!(send(&channel, &android(json!({})), "token-1").await.outcome, expected, "{status}");
    }
    assert_eq!(scene.count("deliveries"), 0);
}
