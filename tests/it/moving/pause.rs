//! A 429 with Retry-After is obeyed by all senders together.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::town::{Row, Town};
use crate::support::until;

const EVENTS: u64 = 9_000;
const RETRY_AFTER: i64 = 3;

/// Of `[channel.fcm]`: messages per second of a process, and the seconds until it may send as many.
const RATE: f64 = 500.0;
const RAMP: f64 = 5.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_is_obeyed_by_all_senders() {
    let more =
        format!("[channel.fcm]\nrate = {}\nramp_ms = {}\n[[route]]\nchannel = 'fcm'\n", RATE * 60.0, RAMP * 1_000.0);
    let town = Town::start(&["fcm"], &more).await;
    let rows: Vec<Row<'_>> =
        (1..=EVENTS).map(|user| (user, "phone", "fcm", format!("fcm-{user}"), "higo", "prod")).collect();
    town.register(&rows, "android");
    let mut daemons = vec![town.daemon("distributor").await];
    for shards in ["1-2", "3-4", "5-6"] {
        daemons.push(town.spawn_with("sender", &["--shards", shards]).ready().await);
    }
    // In full flow: every process owns shards and sends.
    town.push("m", "DEFAULT", 1..=EVENTS).await;
    until("full flow", async || town.stats("fcm").await["deliveries"].as_u64().unwrap() > EVENTS / 4).await;
    let script = json!({ "call": "messages:send", "http_status": 429, "retry_after": RETRY_AFTER, "times": 1,
        "own": { "grace_ms": 1_000 } });
    town.faults("fcm", script).await;
    town.settled(0).await;
    let stats = town.stats("fcm").await;
    let deliveries = town.deliveries("fcm").await;
    let at = |delivery: &Value| delivery["received_at_ms"].as_i64().unwrap();
    let mut times: Vec<i64> = deliveries.iter().map(at).collect();
    times.sort_unstable();
    let (rest, first) = times.windows(2).map(|pair| (pair[1] - pair[0], pair[1])).max().unwrap();

    let mut told: BTreeMap<&str, u64> = BTreeMap::new();
    for delivery in &deliveries {
        *told.entry(delivery["token"].as_str().unwrap()).or_default() += 1;
    }
    let mut seconds = vec![0_u64; usize::try_from((times[times.len() - 1] - first) / 1_000 + 1).unwrap()];
    for time in times.iter().filter(|time| **time >= first) {
        seconds[usize::try_from((time - first) / 1_000).unwrap()] += 1;
    }
    println!(
        "{EVENTS} events, 3 senders of 2 shards: told {}, repeats {}, silence {rest} ms, calls before the Retry-After was over: \
         {} under way, {} later, the last {} ms after the 429; then by seconds {seconds:?}",
        told.len(),
        stats["repeats"],
        stats["under_way"],
        stats["early_calls"],
        stats["latest_early_ms"],
    );
    assert_eq!((told.len() as u64, &stats["repeats"]), (EVENTS, &json!(0)), "everybody once");
    assert_eq!(stats["early_calls"].as_u64().unwrap_or(0), 0, "{stats}");
    assert!(rest > RETRY_AFTER * 1_000 - 1_000, "{rest}");
    let total: u64 = seconds.iter().sum();
    assert!(total > EVENTS / 3, "the pause came too late to show anything: {seconds:?}");
    // The pace is that of each process. A second's end is what counts; a tenth of a second may have been saved up, and
    // each process has its probe.
    for (second, sent) in (1..).zip(&seconds) {
        let bound = (RATE * (f64::from(second) / RAMP).min(1.0) * 1.1 + 2.0) * 3.0;
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let sent = *sent as f64;
        assert!(sent <= bound, "second {second}: {sent}, at most {bound}: {seconds:?}");
    }
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
}
