//! A process that appends and commits is killed with SIGKILL again and again: what it had been told is there, once.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use homing_core::queue::{NewItem, Queue, QueueName};
use homing_queue::sqlite::SqliteQueue;

use super::support::{Held, LONG};

const FILE: &str = "HOMING_QUEUE_TEST_FILE";
const ROUND: &str = "HOMING_QUEUE_TEST_ROUND";

/// The child. It does nothing when it runs as one of the tests.
#[tokio::test]
async fn a_process_that_is_killed() {
    let (Ok(path), Ok(round)) = (std::env::var(FILE), std::env::var(ROUND)) else { return };
    let queue = Arc::new(SqliteQueue::open(path, super::options(LONG)).unwrap());
    let (q, done) = (QueueName::new("q"), QueueName::new("done"));
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    for producer in 0..4 {
        let (queue, q, round) = (Arc::clone(&queue), q.clone(), round.clone());
        tokio::spawn(async move {
            for batch in 0.. {
                let name = |i| format!("{round}.{producer}.{batch}.{i}");
                let items: Vec<NewItem> =
                    (0..3).map(|i| NewItem { id: Some(name(i)), body: Bytes::from(name(i)) }).collect();
                queue.append(&q, &items, 0, 1).await.unwrap();
                (0..3).for_each(|i| say(format!("\naccepted {}", name(i))));
            }
        });
    }
    let mut held = Held::take(&*queue, &q).await;
    loop {
        let mut seqs = held.peek().await;
        if seqs.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        // Out of order, so that checkpoints have something to remember.
        seqs.reverse();
        for some in seqs.chunks(7) {
            let commit = held.hand_over(some, &done);
            held.commit(&commit).await;
            say(format!("\ncommitted {}", some.len()));
        }
    }
}

#[test]
fn a_killed_process_loses_and_repeats_nothing() {
    let file = super::file();
    let (mut accepted, mut committed, mut kills) = (Vec::new(), 0, 0);
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::a_process_that_is_killed", "--exact", "--nocapture"])
            .env(FILE, &file.path)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let mut after = 20 + i64::try_from(chance % 400).unwrap();
        for line in lines {
            let Ok(line) = line else { break };
            if let Some(name) = line.strip_prefix("accepted ") {
                accepted.push(Bytes::from(name.to_owned()));
            } else if let Some(n) = line.strip_prefix("committed ") {
                committed += n.parse::<usize>().unwrap();
            } else {
                continue;
            }
            // What it had said before is still read.
            after -= 1;
            if after == 0 {
                child.kill().unwrap();
                kills += 1;
            }
        }
        child.wait().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = SqliteQueue::open(&file.path, super::options(LONG)).unwrap();
        let (q, done) = (QueueName::new("q"), QueueName::new("done"));
        let mut held = Held::take(&queue, &q).await;
        assert!(held.shard.opened().epoch > 0, "the lease of the dead is taken at once");
        let rest = held.peek().await;
        let commit = held.hand_over(&rest, &done);
        held.commit(&commit).await;
        let mut there: BTreeMap<Bytes, usize> = BTreeMap::new();
        for item in super::Backend::contents(&file, &done).await {
            *there.entry(item).or_default() += 1;
        }
        let missing = accepted.iter().filter(|item| !there.contains_key(*item)).count();
        let double = there.values().filter(|n| **n > 1).count();
        println!(
            "kills {kills}, accepted {}, committed {committed}, there {}, missing {missing}, double {double}",
            accepted.len(),
            there.len()
        );
        assert_eq!((kills, missing, double), (10, 0, 0));
        assert!(accepted.len() > 100 && committed > 100);
        assert!(there.len() >= committed);
        let snapshot = queue.inspect(&q).await.unwrap();
        assert_eq!(snapshot.counts.get("entry.expanded"), i64::try_from(there.len()).unwrap());
        tokio::time::timeout(Duration::from_secs(5), held.shard.release()).await.unwrap().unwrap();
    });
}
