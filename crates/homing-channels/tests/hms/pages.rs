//! Pages of up to a thousand tokens in one call, and partial success.

use super::*;

fn tokens(count: usize) -> Vec<String> {
    let kind = |n: usize| match n % 10 {
        3 => "dead",
        7 => "other",
        _ => "good",
    };
    (0..count).map(|n| format!("{}-{n}", kind(n))).collect()
}

#[tokio::test]
async fn a_thousand_tokens_are_one_call_with_an_answer_each() {
    for (notification, calls) in [(android(json!({})), 2), (harmony(json!({})), 1)] {
        let scene = Scene::new().await;
        let channel = scene.channel();
        assert_eq!(channel.page(), 1_000);
        scene.script(json!({"dead_prefix": "dead", "foreign_prefix": "other"}));
        let tokens = tokens(1_000);
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let answers = page(&channel, &notification, &tokens).await;
        for (token, answer) in tokens.iter().zip(&answers) {
            if token.starts_with("good") {
                assert_delivered(answer);
            } else {
                assert_eq!(answer.outcome, Outcome::DEAD, "{token}: {}", answer.detail);
                assert!(!answer.detail.contains(token), "{}", answer.detail);
            }
        }
        assert_eq!((scene.count("deliveries"), scene.count("calls")), (800, calls), "one more for the access token");
        let by_code = scene.stand.stats()["by_code"].clone();
        assert_eq!(by_code, json!({"80100000": 1}));
    }
}

#[tokio::test]
async fn all_dead_is_all_dead() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"dead_prefix": "dead"}));
    for notification in [android(json!({})), harmony(json!({}))] {
        for answer in page(&channel, &notification, &["dead-1", "dead-2"]).await {
            assert_eq!(answer.outcome, Outcome::DEAD, "{}", answer.detail);
        }
    }
    assert_eq!(scene.stand.stats()["by_code"], json!({"80300007": 2}));
}

#[tokio::test]
async fn each_list_of_v3_means_its_own() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    let names = [
        ("noRight", Outcome::DEAD),
        ("appinfoError", Outcome::DEAD),
        ("tokenFormatError", Outcome::DEAD),
        ("noPushTypeRight", Outcome::Config),
        ("disableSendHuaweiMsgBecauseOfPenalty", Outcome::Config),
        ("atomicUnableSendUnsubscribedMsg", Outcome::Config),
        ("countryNotSupport", Outcome::Payload),
        ("tokenPlatformNotSupport", Outcome::Payload),
        ("differentImgVerifyPolicy", Outcome::Payload),
        ("somethingNew", Outcome::Unknown),
    ];
    let tokens: Vec<String> =
        (0..names.len()).map(|n| format!("token-{n}")).chain(["good-1".to_owned(), "good-2".to_owned()]).collect();
    let codes: Value = names.iter().zip(&tokens).map(|((name, _), token)| (token.clone(), json!(name))).collect();
    scene.script(json!({ "codes": codes }));
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let answers = page(&channel, &harmony(json!({})), &tokens).await;
    for ((name, expected), answer) in names.iter().zip(&answers) {
        assert_eq!(answer.outcome, *expected, "{name}: {}", answer.detail);
        assert!(answer.detail.contains(name), "{}", answer.detail);
    }
    answers[names.len()..].iter().for_each(assert_delivered);
}

#[tokio::test]
async fn a_partial_success_that_names_nobody_is_ambiguous_for_all() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"dead_prefix": "dead", "own": {"unnamed": true}}));
    for notification in [android(json!({})), harmony(json!({}))] {
        for answer in page(&channel, &notification, &["dead-1", "good-1"]).await {
            assert_eq!(answer.outcome, Outcome::Ambiguous, "{}", answer.detail);
        }
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_left_out_of_the_call() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    let answers = page(&channel, &android(json!({})), &["good-1", "", "good-2", "a b"]).await;
    assert_delivered(&answers[0]);
    assert_delivered(&answers[2]);
    assert_eq!((&answers[1].outcome, &answers[3].outcome), (&Outcome::DEAD, &Outcome::DEAD));
    assert_eq!(scene.count("targets"), 2);
}

#[tokio::test]
async fn a_wrong_project_is_the_accounts_fault_and_no_token_is_touched() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"foreign_prefix": "t"}));
    assert_eq!(send(&channel, &harmony(json!({})), "t-first").await.outcome, RETRY, "it is too early to say");
    let tokens: Vec<String> = (0..50).map(|n| format!("t-{n}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    for answer in page(&channel, &harmony(json!({})), &tokens).await {
        assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
        assert!(answer.detail.contains("channel.hms.account.harmony"), "{}", answer.detail);
    }
    scene.script(json!({}));
    page(&channel, &harmony(json!({})), &tokens).await.iter().for_each(assert_delivered);
    page(&channel, &harmony(json!({})), &tokens).await.iter().for_each(assert_delivered);
    scene.script(json!({"foreign_prefix": "other"}));
    assert_eq!(send(&channel, &harmony(json!({})), "other-1").await.outcome, Outcome::DEAD, "now it is the token");
}

#[tokio::test]
async fn flow_control_is_a_wish_for_less() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"throttled_prefix": "slow", "retry_after": 2}));
    let notification = android(json!({}));
    assert_eq!(send(&channel, &notification, "slow-1").await.outcome, Outcome::limited(Some(2_000)));
    assert_delivered(&send(&channel, &notification, "slow-1").await);
}
