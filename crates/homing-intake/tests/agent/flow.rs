//! Twenty thousand frames: every one that was acknowledged stands in its list, once, and in order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rig::{Rig, number};

/// What job `n` of the client is as an event.
fn expected(n: u64) -> (Value, &'static str) {
    let (user, next) = (format!("u{}", n % 100), format!("u{}", (n + 1) % 100));
    let kind = [1, 2, 3][usize::try_from(n % 3).unwrap()];
    let to = match kind {
        1 => json!({"group": format!("g{}", n % 10), "members": true}),
        kind if (kind == 3) != n.is_multiple_of(10) => json!({"users": [user, next]}),
        _ => json!({"user": user}),
    };
    (to, if n.is_multiple_of(2) { "AGENT_TALK" } else { "AGENT_SILENT" })
}

/// Every job of `first..first + count` stands there once, as it should be, and in order in each list.
#[track_caller]
fn complete(lists: &[Vec<Value>], first: u64, count: u64) {
    let mut seen = BTreeSet::new();
    for list in lists {
        let own: Vec<&Value> = list.iter().filter(|item| (first..first + count).contains(&number(item))).collect();
        assert!(own.windows(2).all(|pair| number(pair[0]) < number(pair[1])), "out of order");
        for item in own {
            let n = number(item);
            let (to, kind) = expected(n);
            assert_eq!((&item["to"], item["type"].as_str()), (&to, Some(kind)), "{n}");
            assert_eq!(item["data"]["text"], format!("你好 {n}"));
            let author = (n.is_multiple_of(3) && n.is_multiple_of(2)).then(|| format!("s{}", n % 7));
            assert_eq!(item["author"].as_str().map(str::to_owned), author, "{n}");
            assert!(item["accepted_at"].is_i64() && item["id"].as_str().unwrap().len() == 36);
            assert!(seen.insert(n), "{n} stands there twice");
        }
    }
    assert_eq!(seen.len() as u64, count);
    assert!(lists.iter().all(|list| !list.is_empty()), "all lists are used");
}

async fn twenty_thousand(mode: &str) {
    let rig = Rig::start().await;
    let told = rig.client(&["send", "--count", "20000", "--mode", mode]).await;
    assert_eq!((told["acked"].as_u64(), told["again"].as_u64()), (Some(20_000), Some(0)));
    complete(&rig.items().await, 0, 20_000);
    let seconds = told["seconds"].as_f64().unwrap();
    println!("agent: 20000 frames {mode} in {seconds:.1} s, {:.0}/s", 20_000.0 / seconds);
    rig.end().await;
}

#[tokio::test]
async fn twenty_thousand_one_by_one() {
    twenty_thousand("one").await;
}

#[tokio::test]
async fn twenty_thousand_pipelined() {
    twenty_thousand("pipelined").await;
}

#[tokio::test]
async fn clients_beside_each_other_keep_their_orders() {
    let rig = Rig::start().await;
    let client = async |first: u64| {
        let first = first.to_string();
        rig.client(&["send", "--count", "3000", "--first", &first, "--mode", "pipelined", "--window", "100"]).await
    };
    let told = tokio::join!(client(0), client(10_000), client(20_000), client(30_000));
    for told in [&told.0, &told.1, &told.2, &told.3] {
        assert_eq!(told["acked"].as_u64(), Some(3_000));
    }
    let lists = rig.items().await;
    for first in [0, 10_000, 20_000, 30_000] {
        complete(&lists, first, 3_000);
    }
}

#[tokio::test]
async fn a_bare_stream_arrives_whole_and_unanswered() {
    let rig = Rig::start().await;
    let told = rig.client(&["send", "--count", "5000", "--mode", "bare"]).await;
    assert_eq!(told["sent"].as_u64(), Some(5_000));
    complete(&rig.items().await, 0, 5_000);
}
