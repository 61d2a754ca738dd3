//! 20,000 frames, pipelined and one by one: what must arrive, arrives once, and nothing else does.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    people::{self, Jobs, KINDS, arguments},
    site::{Publication, Site},
};
use crate::support::Producer;

/// Runs clients beside each other: `(mode, first, count, kinds)`; the jobs that they sent, all of them acknowledged.
pub(super) fn send(site: &Site, clients: &[(&str, u64, u64, usize)]) -> Jobs {
    let start = |(mode, first, count, kinds): &(&str, u64, u64, usize)| {
        let own =
            ["send", "--mode", mode, "--first", &first.to_string(), "--count", &count.to_string()].map(str::to_owned);
        let args: Vec<String> = own.into_iter().chain(arguments(&KINDS[*kinds])).collect();
        site.sending(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let running: Vec<Producer> = clients.iter().map(start).collect();
    for (client, (.., count, _)) in running.into_iter().zip(clients) {
        let said: serde_json::Value = serde_json::from_str(&client.finish()).unwrap();
        assert_eq!((&said["acked"], &said["again"]), (&(*count).into(), &0.into()), "{said}");
    }
    jobs(clients)
}

pub(super) fn jobs(clients: &[(&str, u64, u64, usize)]) -> Jobs {
    clients.iter().flat_map(|(_, first, count, kinds)| (*first..first + count).map(|n| (n, &KINDS[*kinds]))).collect()
}

/// A group's messages come in the order in which a client sent them.
#[track_caller]
pub(super) fn in_order(seen: &[Publication], clients: &[(&str, u64, u64, usize)]) -> usize {
    let mut last: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let groups = seen.iter().filter(|seen| seen.topic.starts_with("group/"));
    for seen in groups.clone() {
        let n = seen.data["n"].as_u64().unwrap();
        let client = clients.iter().map(|(_, first, ..)| *first).filter(|first| *first <= n).max().unwrap();
        let before = last.insert((&seen.topic, client), n);
        assert!(before.is_none_or(|before| before < n), "{}: {n} came behind {before:?}", seen.topic);
    }
    groups.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_frames_reach_everybody_they_are_for() {
    let site = Site::start("").await;
    people::settle(&site).await;
    let (code, said) = site.homing(&["check"]);
    assert_eq!(code, 0, "{said}");
    for line in ["ok      daemons: distributor sender intake", "apns.account.im:", "apns.account.im_develop:", "mqtt"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("error") && !said.contains("AGENT_SILENT"), "{said}");
    let subscriber = site.subscriber().await;
    let daemons = site.daemons().await;
    let began = Instant::now();
    let pipelined = [("pipelined", 0, 10_000, 0)];
    let one = [0, 1, 2, 3].map(|n| ("one", 10_000 + n * 2_500, 2_500, 1));
    let mut jobs = send(&site, &pipelined);
    let taken = began.elapsed();
    jobs.extend(send(&site, &one));
    let all_taken = began.elapsed();
    let lines = site.settled(20_000).await;
    let took = began.elapsed();
    assert_eq!(lines["entry"]["in"], 20_000);
    let expected = people::expected(&jobs);
    // A subscriber may be a little behind the broker's acknowledgement.
    let publications = expected.publications.values().sum::<u64>();
    subscriber.heard(usize::try_from(publications).unwrap()).await;
    let told = people::arrived(&site, &subscriber, &jobs).await;
    assert_eq!(told.check(&expected), 0, "nothing comes twice");
    let ordered = in_order(&subscriber.seen(), &[&pipelined[..], &one].concat());
    println!(
        "frames 10,000 pipelined in {taken:.1?}, 10,000 one by one by 4 clients in {:.1?}, all told after {took:.1?}: {}; lost 0, \
         beyond 0, repeats 0; {ordered} publications of groups in order",
        all_taken.checked_sub(taken).unwrap_or(Duration::ZERO),
        told.figures(),
    );
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_does_the_same() {
    let site = Site::start("").await;
    people::settle(&site).await;
    let subscriber = site.subscriber().await;
    let up = site.daemon("up").await;
    let clients = [("pipelined", 0, 500, 0), ("one", 500, 500, 1)];
    let jobs = send(&site, &clients);
    site.settled(1_000).await;
    let expected = people::expected(&jobs);
    subscriber.heard(usize::try_from(expected.publications.values().sum::<u64>()).unwrap()).await;
    let told = people::arrived(&site, &subscriber, &jobs).await;
    assert_eq!(told.check(&expected), 0);
    assert_eq!(in_order(&subscriber.seen(), &clients), 334);
    println!("homing up, 1,000 frames: {}; lost 0, beyond 0, repeats 0", told.figures());
    assert!(up.stop().await.success());
}
