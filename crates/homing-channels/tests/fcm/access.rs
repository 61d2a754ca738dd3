//! The access token: one fetch for all, renewed before its end, once more when it is refused.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn one_fetch_serves_two_hundred_calls_and_is_renewed_before_its_end() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"latency_ms": 20}));
    let tokens: Vec<String> = (0..200).map(|n| format!("token-{n}")).collect();
    let answers = join_all(tokens.iter().map(|token| send(&channel, token))).await;
    answers.iter().for_each(assert_delivered);
    assert_eq!((scene.count("deliveries"), scene.count("tokens_lent")), (200, 1));
    scene.pass(2_900_000);
    assert_delivered(&send(&channel, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 1, "48 minutes");
    scene.pass(150_000);
    assert_delivered(&send(&channel, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 2, "ten minutes before its end");
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    assert_delivered(&send(&channel, "token-1").await);
    scene.script(json!({"own": {"revoked": 1}}));
    let answers = join_all((0..50).map(|_| send(&channel, "token-1"))).await;
    let corrected = answers.iter().filter(|answer| answer.outcome == Outcome::Corrected).count();
    assert!(
        corrected > 0
            && answers
                .iter()
                .all(|a| a.outcome == Outcome::Corrected || matches!(a.outcome, Outcome::Delivered { .. }))
    );
    assert_delivered(&send(&channel, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 2);

    scene.script(json!({"own": {"revoked": 99}}));
    assert_eq!(send(&channel, "token-1").await.outcome, Outcome::Corrected);
    for _ in 0..2 {
        let answer = send(&channel, "token-1").await;
        assert_eq!(answer.outcome, Outcome::Config, "the next one is refused as well: {}", answer.detail);
        assert!(!answer.detail.contains("ya29"), "{}", answer.detail);
    }
    scene.script(json!({}));
    assert_delivered(&send(&channel, "token-1").await);
}

#[tokio::test]
async fn a_short_life_is_used_by_half() {
    let scene = Scene::new().await;
    let channel = scene.channel();
    scene.script(json!({"own": {"lent_s": 600}}));
    assert_delivered(&send(&channel, "token-1").await);
    scene.pass(290_000);
    assert_delivered(&send(&channel, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 1);
    scene.pass(20_000);
    assert_delivered(&send(&channel, "token-1").await);
    assert_eq!(scene.count("tokens_lent"), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let scene = Scene::new().await;
    let wrong = keys::google(PROJECT, 1, "https://oauth2.googleapis.com/token");
    let channel = scene.channel_of(&section(&scene.base, &scene.base, &wrong, ""));
    let answers = join_all((0..20).map(|_| send(&channel, "token-1"))).await;
    for answer in &answers {
        assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
        assert_eq!(answer.detail, "no access token (HTTP 400): invalid_grant Invalid JWT Signature.");
    }
    assert_eq!(scene.count("assertions_refused"), 1, "all of them were answered by one refusal");
    for (status, seconds, expected) in [
        (503, Some(4), Outcome::Retry { after: Some(4_000) }),
        (429, None, Outcome::limited(Some(60_000))),
        (500, None, RETRY),
        (400, None, Outcome::Config),
    ] {
        scene.pass(2_000);
        let channel = scene.channel();
        scene.script(json!({"call": "token", "http_status": status, "retry_after": seconds}));
        let answer = send(&channel, "token-1").await;
        assert_eq!(answer.outcome, expected, "{}", answer.detail);
    }
    assert_eq!(scene.count("deliveries"), 0);
}

#[tokio::test]
async fn a_token_service_that_answers_nonsense_costs_a_retry() {
    let scene = Scene::new().await;
    for reply in [
        rude::reply(200, "<html>"),
        rude::reply(200, "{}"),
        rude::reply(200, r#"{"access_token":7}"#),
        rude::reply(200, r#"{"access_token":""}"#),
        rude::reply(200, r#"{"access_token":"a\nb"}"#),
        rude::reply(200, &format!(r#"{{"access_token":"{}"}}"#, "x".repeat(20_000))),
        rude::reply(200, &" ".repeat(100_000)),
        rude::reply(302, ""),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let auth = rude::answering(reply.clone()).await;
        let channel = scene.channel_of(&section(&scene.base, &auth, &scene.key_file(), ""));
        let answer = send(&channel, "token-1").await;
        assert_eq!(answer.outcome, RETRY, "{reply}: {}", answer.detail);
    }
    for life in ["-5", "\"3600\"", "1e99", "99999999999999999999", "null"] {
        let body = format!(r#"{{"access_token":"made-up-token","expires_in":{life}}}"#);
        let auth = rude::answering(rude::reply(200, &body)).await;
        let channel = scene.channel_of(&section(&scene.base, &auth, &scene.key_file(), ""));
        let answer = send(&channel, "token-1").await;
        assert_eq!(answer.outcome, Outcome::Corrected, "the token was used, and refused: {}", answer.detail);
    }
    assert_eq!(scene.count("deliveries"), 0);
}
