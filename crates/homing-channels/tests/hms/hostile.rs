//! Answers that no provider should give.

use super::*;

#[tokio::test]
async fn answers_that_cannot_be_read_do_no_harm() {
    let scene = Scene::new().await;
    let huge = "x".repeat(2_000_000);
    for (reply, expected) in [
        (rude::reply(200, "<html>"), Outcome::Ambiguous),
        (rude::reply(200, ""), Outcome::Ambiguous),
        (rude::reply(200, "{\"code\":{}}"), Outcome::Ambiguous),
        (rude::reply(200, "{\"code\":\"800"), Outcome::Ambiguous),
        (rude::reply(200, &"[".repeat(60_000)), Outcome::Ambiguous),
        (rude::reply(200, &huge), Outcome::Ambiguous),
        (rude::reply(204, ""), Outcome::Ambiguous),
        (rude::reply(200, r#"{"code":"80100000","msg":"{\"illegal_tokens\":\"all\"}"}"#), Outcome::Ambiguous),
        (rude::reply(200, r#"{"code":"","msg":[]}"#), Outcome::Unknown),
        (rude::reply(200, r#"{"code":"ok"}"#), Outcome::Unknown),
        (rude::reply(400, "<html>"), Outcome::Unknown),
        (rude::reply(400, r#"{"code":"80000000"}"#), Outcome::Unknown),
        (rude::reply(500, &huge), RETRY),
        (rude::reply(503, &huge), Outcome::limited(None)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":\"80000000\"}".to_owned(), Outcome::Ambiguous),
        ("nonsense\r\n\r\n".to_owned(), Outcome::Ambiguous),
        (String::new(), Outcome::Ambiguous),
    ] {
        let short: String = reply.chars().take(120).collect();
        let base = rude::answering(reply).await;
        let channel = scene.channel_of(&section(&base, &scene.base, SECRET, &keys::huawei(PROJECT, 0), "", ""));
        for notification in [android(json!({})), harmony(json!({}))] {
            for answer in page(&channel, &notification, &["token-1", "token-2"]).await {
                assert_eq!(answer.outcome, expected, "{short}: {}", answer.detail);
                assert!(answer.detail.len() < 500, "{}", answer.detail);
            }
        }
    }
}

#[tokio::test]
async fn a_token_service_that_answers_nonsense_costs_a_retry() {
    let scene = Scene::new().await;
    for reply in [
        rude::reply(200, "<html>"),
        rude::reply(200, r#"{"access_token":[]}"#),
        rude::reply(200, r#"{"access_token":"with blanks"}"#),
        rude::reply(302, ""),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(),
        String::new(),
    ] {
        let auth = rude::answering(reply.clone()).await;
        let channel = scene.channel_of(&section(&scene.base, &auth, SECRET, &keys::huawei(PROJECT, 0), "", ""));
        assert_eq!(send(&channel, &android(json!({})), "token-1").await.outcome, RETRY, "{reply}");
    }
    let told = format!(r#"{{"error":1101,"sub_error":20042,"error_description":"not {SECRET}"}}"#);
    let auth = rude::answering(rude::reply(200, &told)).await;
    let channel = scene.channel_of(&section(&scene.base, &auth, SECRET, &keys::huawei(PROJECT, 0), "", ""));
    let answer = send(&channel, &android(json!({})), "token-1").await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert_eq!(answer.detail, "no access token (HTTP 200): 1101 20042 not ..");
}
