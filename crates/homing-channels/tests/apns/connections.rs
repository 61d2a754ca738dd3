//! The connection: warm-up, streams, GOAWAY, breaks. Nothing is lost, and nothing that arrived is reported as unsent.

use std::collections::HashSet;

use homing_channels::apns::Apns;
use homing_core::channel::{Answer, Outcome};
use serde_json::json;

use super::bench::*;

fn tokens(count: usize) -> Vec<String> {
    (0..count).map(|number| token("aa", number)).collect()
}

/// Counts of delivered, surely unsent and ambiguous, checked against what arrived.
fn tally(bench: &Bench, tokens: &[String], answers: &[Answer]) -> (usize, usize, usize) {
    let reached = bench.simulator.reached();
    let (mut delivered, mut unsent, mut ambiguous) = (0, 0, 0);
    for (token, answer) in tokens.iter().zip(answers) {
        match answer.outcome {
            Outcome::Delivered { .. } => {
                delivered += 1;
                assert!(reached.contains(token), "reported as delivered and not arrived");
            }
            Outcome::Retry { .. } => {
                unsent += 1;
                assert!(!reached.contains(token), "arrived and reported as not sent: {}", answer.detail);
            }
            Outcome::Ambiguous => ambiguous += 1,
            _ => panic!("{:?}: {}", answer.outcome, answer.detail),
        }
    }
    assert_eq!(delivered + unsent + ambiguous, tokens.len());
    (delivered, unsent, ambiguous)
}

/// Sends what is not delivered again until all is; how many rounds it took.
async fn until_all_arrived(channel: &Apns, tokens: &[String], answers: &[Answer]) -> usize {
    let mut open: Vec<String> = tokens
        .iter()
        .zip(answers)
        .filter(|(_, answer)| !is_delivered(answer))
        .map(|(token, _)| token.clone())
        .collect();
    let mut rounds = 0;
    while !open.is_empty() {
        rounds += 1;
        assert!(rounds < 50, "{} are left", open.len());
        let answers = send_all(channel, &open, 500).await;
        open =
            open.into_iter().zip(answers).filter(|(_, answer)| !is_delivered(answer)).map(|(token, _)| token).collect();
    }
    rounds
}

#[tokio::test]
async fn a_cold_burst_uses_one_connection_and_warms_it_up() {
    let bench = bench().await;
    let channel = bench.channel();
    let tokens = tokens(3_000);
    let answers = send_all(&channel, &tokens, 3_000).await;
    assert_eq!(tally(&bench, &tokens, &answers), (3_000, 0, 0));
    let stats = bench.simulator.stand.stats();
    println!("cold burst of 3,000: {} connections, {} streams at once", stats["connections"], stats["most_streams"]);
    assert_eq!(stats["connections"], json!(1));
    assert_eq!(bench.simulator.count("early_streams"), 0);
    assert!((2..=500).contains(&bench.simulator.count("most_streams")));
    bench.simulator.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_when_every_connection_takes_two_hundred_one_by_one() {
    let bench = bench().await;
    let channel = bench.channel();
    bench.simulator.script(json!({ "own": { "goaway_every": 200, "max_streams": 1 } }));
    let tokens = tokens(3_000);
    let answers = send_all(&channel, &tokens, 3_000).await;
    let (delivered, unsent, ambiguous) = tally(&bench, &tokens, &answers);
    let simulator = &bench.simulator;
    println!(
        "GOAWAY every 200, one stream: {delivered} delivered, {unsent} surely not sent, {ambiguous} ambiguous; {} \
         connections, {} at once, {} streams at once",
        simulator.count("connections"),
        simulator.count("most_connections"),
        simulator.count("most_streams"),
    );
    assert_eq!((delivered, ambiguous), (3_000, 0));
    let rounds = until_all_arrived(&channel, &tokens, &answers).await;
    assert_eq!((simulator.reached().len(), simulator.count("repeats")), (3_000, 0), "after {rounds} rounds");
    assert_eq!((simulator.count("early_streams"), simulator.count("most_streams")), (0, 1));
    assert!(simulator.count("goaways") >= 14);
    assert!(simulator.count("most_connections") <= 3);
}

#[tokio::test]
async fn goaway_with_many_streams_loses_and_repeats_nothing() {
    let bench = bench().await;
    let channel = bench.channel();
    bench.simulator.script(json!({ "latency_ms": 2, "jitter_ms": 20, "own": { "goaway_every": 200 } }));
    let tokens = tokens(3_000);
    let answers = send_all(&channel, &tokens, 3_000).await;
    let (delivered, unsent, ambiguous) = tally(&bench, &tokens, &answers);
    println!("GOAWAY every 200, many streams: {delivered} delivered, {unsent} surely not sent, {ambiguous} ambiguous");
    assert_eq!(ambiguous, 0);
    until_all_arrived(&channel, &tokens, &answers).await;
    assert_eq!((bench.simulator.reached().len(), bench.simulator.count("repeats")), (3_000, 0));
    assert_eq!(bench.simulator.count("early_streams"), 0, "each new connection is warmed up");
}

#[tokio::test]
async fn a_connection_killed_in_mid_flight_leaves_its_requests_ambiguous() {
    let bench = bench().await;
    let channel = bench.channel();
    bench.simulator.script(json!({ "latency_ms": 5, "jitter_ms": 20, "own": { "kill_every": 500 } }));
    let tokens = tokens(3_000);
    let answers = send_all(&channel, &tokens, 3_000).await;
    let (delivered, unsent, ambiguous) = tally(&bench, &tokens, &answers);
    let (kills, reached) = (bench.simulator.count("kills"), bench.simulator.reached());
    let arrived = tokens
        .iter()
        .zip(&answers)
        .filter(|(token, answer)| answer.outcome == Outcome::Ambiguous && reached.contains(*token))
        .count();
    println!(
        "{kills} connections killed: {delivered} delivered, {unsent} surely not sent, {ambiguous} ambiguous, of which \
         {arrived} had arrived"
    );
    assert!(kills >= 3 && arrived as u64 >= kills && ambiguous >= arrived);
    assert_eq!(reached.len(), delivered + arrived, "whatever arrived is delivered or ambiguous");
    bench.simulator.script(json!({}));
    until_all_arrived(&channel, &tokens, &answers).await;
    // Who arrived without an answer got it twice, under the same apns-id.
    assert_eq!(bench.simulator.reached().len(), 3_000);
    assert_eq!(bench.simulator.count("repeats"), arrived as u64);
    let ids: HashSet<String> = {
        let all = bench.simulator.stand.after(0, 10_000);
        all.iter().map(|delivery| delivery.push["apns_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids.len(), 3_000);
}

#[tokio::test]
async fn cut_and_late_answers_are_ambiguous() {
    let bench = bench().await;
    let channel = bench.channel_of(&bench.section_with("request_timeout_ms", 300));
    for (number, (script, arrives)) in [
        (json!({ "drop_before": 1.0 }), false),
        (json!({ "drop_after": 1.0 }), true),
        (json!({ "latency_ms": 30_000 }), false),
        (json!({}), true),
    ]
    .into_iter()
    .enumerate()
    {
        // A connection that was closed at once is not made again within a second, and nothing is sent meanwhile.
        bench.simulator.script(json!({}));
        let mut waits = 0;
        while !is_delivered(&send(&channel, &token("aa", 0)).await) {
            waits += 1;
            assert!(waits < 200);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        bench.simulator.script(script);
        let device = token("ab", number);
        let answer = send(&channel, &device).await;
        assert_eq!(answer.outcome == Outcome::Ambiguous, number < 3, "{}", answer.detail);
        assert_eq!(bench.simulator.reached().contains(&device), arrives);
    }
}

#[tokio::test]
async fn who_waits_for_a_turn_is_not_late_and_surely_not_sent() {
    let bench = bench().await;
    let channel = bench.channel_of(&bench.section_with("request_timeout_ms", 1_500));
    // One after another: the last of ten waits longer than one request may take.
    bench.simulator.script(json!({ "latency_ms": 200, "own": { "max_streams": 1 } }));
    let ten = tokens(10);
    let answers = send_all(&channel, &ten, 10).await;
    assert_eq!(tally(&bench, &ten, &answers), (10, 0, 0));
    let thirty: Vec<String> = (100..130).map(|number| token("ab", number)).collect();
    let answers = send_all(&channel, &thirty, 30).await;
    let (delivered, unsent, ambiguous) = tally(&bench, &thirty, &answers);
    assert!(delivered > 1 && unsent > 1 && ambiguous == 0, "{delivered} {unsent} {ambiguous}");
    let late = answers.iter().find(|answer| answer.outcome == RETRY).unwrap();
    assert!(late.detail.starts_with("not sent: no turn"), "{}", late.detail);
}

#[tokio::test]
async fn without_a_server_nothing_was_sent() {
    let bench = bench().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut section = bench.section();
    section["endpoint"]["base_url"] = format!("https://localhost:{}", listener.local_addr().unwrap().port()).into();
    drop(listener);
    let answer = send(&bench.channel_of(&section), &token("ab", 1)).await;
    assert_eq!(answer.outcome, RETRY);
    assert!(answer.detail.starts_with("connection failed"), "{}", answer.detail);
    // A server that we do not trust: ours to repair.
    let mut section = bench.section();
    section["endpoint"].as_table_mut().unwrap().remove("ca_file");
    let answer = send(&bench.channel_of(&section), &token("ab", 1)).await;
    assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
    // Apple's name, at another address.
    let mut section = bench.section_with("resolve", bench.simulator.address.to_string());
    section["endpoint"]["base_url"] = "https://api.push.apple.com".into();
    assert!(is_delivered(&send(&bench.channel_of(&section), &token("ab", 1)).await));
}
