//! kill -9 of the intake in the middle of a flow, again and again, and of the distributor and the sender: what was
//! answered arrives.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    flow::jobs,
    people::{self, KINDS, arguments},
    site::Site,
};
use crate::support::Producer;

/// Modes, first jobs, counts and kinds of the clients.
const CLIENTS: [(&str, u64, u64, usize); 6] = [
    ("pipelined", 0, 5_000, 0),
    ("pipelined", 5_000, 5_000, 1),
    ("one", 10_000, 2_500, 0),
    ("one", 12_500, 2_500, 1),
    ("one", 15_000, 2_500, 0),
    ("one", 17_500, 2_500, 1),
];
const FRAMES: u64 = 20_000;

/// When so many of the frames are answered, this daemon is killed.
const KILLS: [(&str, u64); 9] = [
    ("intake", 1_000),
    ("distributor", 3_000),
    ("intake", 5_000),
    ("sender", 7_000),
    ("intake", 9_000),
    ("intake", 11_500),
    ("intake", 14_000),
    ("intake", 16_500),
    ("sender", 17_500),
];

/// Lines of the clients' logs: a line is a job that was answered.
fn answered(logs: &[PathBuf]) -> u64 {
    let lines =
        |path: &PathBuf| std::fs::read(path).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count());
    logs.iter().map(lines).sum::<usize>() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_arrives_whoever_is_killed() {
    let site = Site::start("").await;
    people::settle(&site).await;
    let subscriber = site.subscriber().await;
    let [intake, distributor, sender] = site.daemons().await;
    let mut daemons =
        std::collections::BTreeMap::from([("intake", intake), ("distributor", distributor), ("sender", sender)]);
    let began = Instant::now();
    let log = |first: u64| site.dir.path().join(format!("client-{first}.log"));
    let logs: Vec<PathBuf> = CLIENTS.iter().map(|(_, first, ..)| log(*first)).collect();
    let start = |(mode, first, count, kinds): &(&str, u64, u64, usize)| {
        let own = ["send", "--mode", mode, "--window", "200", "--again", "0.1"].map(str::to_owned);
        let which = ["--first".to_owned(), first.to_string(), "--count".to_owned(), count.to_string()];
        let log = ["--log".to_owned(), log(*first).display().to_string()];
        let args: Vec<String> = own.into_iter().chain(which).chain(log).chain(arguments(&KINDS[*kinds])).collect();
        site.sending(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let clients: Vec<Producer> = CLIENTS.iter().map(start).collect();
    let mut at = Vec::new();
    for (victim, share) in KILLS {
        let since = Instant::now();
        while answered(&logs) < share {
            assert!(since.elapsed() < Duration::from_secs(60), "the clients stand still at {}", answered(&logs));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        daemons.remove(victim).unwrap().kill();
        let n = answered(&logs);
        assert!(n < FRAMES, "it was killed too late to show anything");
        at.push((victim, n));
        daemons.insert(victim, site.daemon(victim).await);
    }
    let mut again = 0;
    for (client, (_, _, count, _)) in clients.into_iter().zip(CLIENTS) {
        let said: serde_json::Value = serde_json::from_str(&client.finish()).unwrap();
        assert_eq!(said["acked"], count, "{said}");
        again += said["again"].as_u64().unwrap();
    }
    assert_eq!(answered(&logs), FRAMES);
    assert!(again > 0, "no client lost its connection");
    let lines = site.settled(FRAMES).await;
    let came_in = lines["entry"]["in"].as_u64().unwrap();
    let jobs = jobs(&CLIENTS);
    let expected = people::expected(&jobs);
    // All that the books call delivered has to be seen.
    let mut told = people::arrived(&site, &subscriber, &jobs).await;
    let since = Instant::now();
    while told.publications.len() < expected.publications.len() && since.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        told = people::arrived(&site, &subscriber, &jobs).await;
    }
    let repeats = told.check(&expected);
    println!(
        "frames {FRAMES}, killed at {at:?}: connections made again {again}, frames that stood twice {}, all told after {:.1?}: {}; \
         lost 0, beyond 0, repeats {repeats}, of them {} pushes of senders that were killed",
        came_in - FRAMES,
        began.elapsed(),
        told.figures(),
        told.again,
    );
    for daemon in daemons.into_values() {
        assert!(daemon.stop().await.success());
    }
}
