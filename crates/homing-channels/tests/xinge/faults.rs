//! What the channel makes of broken connections, odd replies and a clock that differs.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn android() -> Notification {
    notification(Platform::Android, &token(Platform::Android, 1))
}

#[tokio::test]
async fn nobody_listening_is_worth_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let channel = channel_of(accounts(&format!("http://{address}")));
    let answer = send(&channel, &android()).await;
    assert_eq!(answer.outcome, RETRY, "{}", answer.detail);
    assert!(answer.detail.starts_with("connection failed"), "{}", answer.detail);
}

#[tokio::test]
async fn a_connection_cut_after_writing_leaves_the_fate_open() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    for faults in [json!({"drop_after": 1.0}), json!({"drop_before": 1.0})] {
        simulator.faults(faults).await;
        let answer = send(&channel, &android()).await;
        assert_eq!(answer.outcome, Outcome::Ambiguous, "{}", answer.detail);
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!(stats["deliveries"], json!(1), "only the first was accepted");
    assert_eq!((&stats["dropped_after"], &stats["dropped_before"]), (&json!(1), &json!(1)));

    simulator.faults(json!({})).await;
    assert_eq!(send(&channel, &android()).await.outcome, DELIVERED);
    assert_eq!(simulator.get("/_sim/stats").await["repeats"], json!(1), "the repeat is seen");
}

#[tokio::test]
async fn silence_leaves_the_fate_open() {
    let simulator = Running::start(config()).await;
    let options = Options { request_timeout_ms: 100, ..Options::default() };
    let channel = channel_with(accounts(&base_url(&simulator)), &options, Arc::new(SystemClock::default()));
    simulator.faults(json!({"latency_ms": 2000})).await;
    let answer = send(&channel, &android()).await;
    assert_eq!(answer.outcome, Outcome::Ambiguous);
    assert!(answer.detail.starts_with("no answer in time"), "{}", answer.detail);
    assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(1));
}

#[tokio::test]
async fn statuses_have_their_outcomes() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    for (status, retry_after, expected) in [
        (500, None, RETRY),
        (503, Some(3), Outcome::Retry { after: Some(3000) }),
        (429, None, Outcome::limited(None)),
        (429, Some(120), Outcome::limited(Some(120_000))),
        (404, None, Outcome::Unknown),
        (302, None, Outcome::Unknown),
    ] {
        simulator.faults(json!({"http_status": status, "retry_after": retry_after})).await;
        let answer = send(&channel, &android()).await;
        assert_eq!(answer.outcome, expected);
        assert_eq!(answer.detail, format!("HTTP status {status}"));
    }
}

/// A server that reads one request and answers these bytes.
async fn answering(reply: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 16_384];
        let mut read = 0;
        while !buffer[..read].windows(5).any(|window| window == b"sign=") {
            read += stream.read(&mut buffer[read..]).await.unwrap();
        }
        stream.write_all(reply.as_bytes()).await.unwrap();
    });
    format!("http://{address}")
}

#[tokio::test]
async fn an_unreadable_reply_leaves_the_fate_open() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ret_code\":0",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "nonsense\r\n\r\n",
    ] {
        let channel = channel_of(accounts(&answering(reply).await));
        let answer = send(&channel, &android()).await;
        assert_eq!(answer.outcome, Outcome::Ambiguous, "{reply}: {}", answer.detail);
    }
}

#[tokio::test]
async fn a_misspelt_text_is_read_and_never_repeats_a_secret() {
    let reply = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
                 {\"ret_code\":\"-103\",\"erroeMsg\":\"key 00112233445566778899aabbccddeeff is no good\"}";
    let channel = channel_of(accounts(&answering(reply).await));
    let answer = send(&channel, &android()).await;
    assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
    assert!(answer.detail.ends_with("key .. is no good"), "{}", answer.detail);
}

#[tokio::test]
async fn a_clock_that_differs_is_corrected_once() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    simulator.faults(json!({"accept_skew_s": 7200})).await;
    let answer = send(&channel, &android()).await;
    assert_eq!(answer.outcome, Outcome::Corrected, "{}", answer.detail);
    for _ in 0..3 {
        assert_eq!(send(&channel, &android()).await.outcome, DELIVERED);
    }
    let ios = notification(Platform::Ios, &token(Platform::Ios, 1));
    assert_eq!(send(&channel, &ios).await.outcome, Outcome::Corrected, "each account learns for itself");
}

#[tokio::test]
async fn a_clock_that_is_refused_again_is_a_matter_of_configuration() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    for (code, expected) in [(-2, Outcome::Corrected), (-2, Outcome::Config), (-102, Outcome::Config)] {
        simulator.faults(json!({"answer": code})).await;
        assert_eq!(send(&channel, &android()).await.outcome, expected);
    }
    simulator.faults(json!({})).await;
    assert_eq!(send(&channel, &android()).await.outcome, DELIVERED, "and it recovers");
}

#[tokio::test]
async fn requests_under_way_during_a_correction_may_try_again() {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    simulator.faults(json!({"accept_skew_s": -3600, "latency_ms": 50})).await;
    let sent = android();
    let answers = futures_util::future::join_all((0..20).map(|_| send(&channel, &sent))).await;
    assert!(answers.iter().all(|answer| answer.outcome == Outcome::Corrected));
    assert_eq!(send(&channel, &sent).await.outcome, DELIVERED);
}
