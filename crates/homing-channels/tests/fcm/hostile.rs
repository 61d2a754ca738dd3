//! Answers that no provider should give.

use super::*;

async fn answered(scene: &Scene, reply: String) -> Answer {
    let base = rude::answering(reply).await;
    let channel = scene.channel_of(&section(&base, &scene.base, &scene.key_file(), ""));
    send(&channel, "token-1").await
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_ambiguous() {
    let scene = Scene::new().await;
    for reply in [
        rude::reply(200, "<html>"),
        rude::reply(200, ""),
        rude::reply(200, "{}"),
        rude::reply(200, "{\"name\":[]}"),
        rude::reply(200, "{\"name\":\"projects/"),
        rude::reply(200, &"[".repeat(60_000)),
        rude::reply(200, &"x".repeat(200_000)),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"name\":\"projects/p/messages/1\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let short: String = reply.chars().take(100).collect();
        let answer = answered(&scene, reply).await;
        assert_eq!(answer.outcome, Outcome::Ambiguous, "{short}: {}", answer.detail);
        assert!(answer.detail.len() < 500, "{}", answer.detail);
    }
}

#[tokio::test]
async fn a_refusal_that_cannot_be_read_is_known_by_its_status() {
    let scene = Scene::new().await;
    let huge = "x".repeat(500_000);
    for (status, body, expected) in [
        (400, "<html>", Outcome::Unknown),
        (400, r#"{"error":{"status":7,"details":{"@type":[]}}}"#, Outcome::Unknown),
        (404, "<html>", Outcome::Config),
        (429, huge.as_str(), Outcome::limited(Some(60_000))),
        (500, huge.as_str(), RETRY),
        (599, "", RETRY),
        (301, "", Outcome::Config),
    ] {
        let answer = answered(&scene, rude::reply(status, body)).await;
        assert_eq!(answer.outcome, expected, "{status}: {}", answer.detail);
    }
    let waits = "HTTP/1.1 429 Slow\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n".to_owned();
    let answer = answered(&scene, waits).await;
    assert_eq!(answer.outcome, Outcome::limited(Some(99_999_999_999_000)), "the sender has a bound of its own");
}

#[tokio::test]
async fn an_answer_that_repeats_secrets_is_not_repeated() {
    let scene = Scene::new().await;
    let token = "token-that-is-a-secret";
    let told =
        json!({"error": {"status": "INVALID_ARGUMENT", "message": format!("bad {token}\r\nline two")}}).to_string();
    let base = rude::answering(rude::reply(400, &told)).await;
    let channel = scene.channel_of(&section(&base, &scene.base, &scene.key_file(), ""));
    let answer = send(&channel, token).await;
    assert_eq!(answer.outcome, Outcome::Payload);
    assert_eq!(answer.detail, "INVALID_ARGUMENT (HTTP 400): bad .. line two");
}
