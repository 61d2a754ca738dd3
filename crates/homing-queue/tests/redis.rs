//! The contract over a real redis-server, and what only this backend can show.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "the suite is shared by the tests of every backend")]

#[path = "support/board.rs"]
mod board;
#[path = "support/contract.rs"]
mod contract;
#[path = "support/ids.rs"]
mod ids;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/resync.rs"]
mod resync;
#[path = "support/mod.rs"]
mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::queue::{Commit, Delayed, Error, Log, NewItem, Queue, QueueName};
use homing_queue::redis::{Options, RedisQueue};
use support::{Backend, Held, LONG, fresh, items, plain};

struct Redis {
    url: String,
}

/// The server that `scripts/test` started.
fn server() -> Redis {
    let url = std::env::var("HOMING_TEST_REDIS_URL").expect("HOMING_TEST_REDIS_URL is not set: run scripts/test");
    Redis { url }
}

fn options(lease: Duration) -> Options {
    Options { lease, margin: lease / 5, ..Options::default() }
}

impl Redis {
    async fn cmd<T: redis::FromRedisValue>(&self, cmd: &redis::Cmd) -> T {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        cmd.query_async(&mut connection).await.unwrap()
    }
}

impl Backend for Redis {
    fn queue(&self, lease: Duration) -> Arc<dyn Queue> {
        Arc::new(RedisQueue::new(&self.url, options(lease)).unwrap())
    }

    fn foreign_push<'a>(&'a self, list: &'a QueueName, items: &'a [Bytes]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for chunk in items.chunks(500) {
                let mut cmd = redis::cmd("RPUSH");
                cmd.arg(list.as_str());
                for item in chunk {
                    cmd.arg(item.as_ref());
                }
                self.cmd::<i64>(&cmd).await;
            }
        })
    }

    fn foreign_pop<'a>(&'a self, list: &'a QueueName) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let popped: Option<Vec<u8>> = self.cmd(redis::cmd("LPOP").arg(list.as_str())).await;
            assert!(popped.is_some());
        })
    }

    fn foreign_unshift<'a>(&'a self, list: &'a QueueName, item: &'a Bytes) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.cmd::<i64>(redis::cmd("LPUSH").arg(list.as_str()).arg(item.as_ref())).await;
        })
    }

    fn foreign_delete<'a>(&'a self, shard: &'a QueueName, log: &'a Log) -> BoxFuture<'a, ()> {
        let key = if *log == Log::MAIN { shard.to_string() } else { format!("{{{shard}}}:{}", log.name()) };
        Box::pin(async move {
            self.cmd::<i64>(redis::cmd("DEL").arg(key)).await;
        })
    }

    fn contents<'a>(&'a self, list: &'a QueueName) -> BoxFuture<'a, Vec<Bytes>> {
        Box::pin(async move {
            let all: Vec<Vec<u8>> = self.cmd(redis::cmd("LRANGE").arg(list.as_str()).arg(0).arg(-1)).await;
            all.into_iter().map(Bytes::from).collect()
        })
    }
}

contract!(server());

/// Hard case 1: the script ran and its reply was lost, with equal items at the head. 1,000 times.
#[tokio::test]
async fn a_commit_whose_reply_is_lost_runs_once_a_thousand_times() {
    let server = server();
    let proxy = proxy::Proxy::start(&server.url).await;
    let queue = RedisQueue::new(&proxy.url, options(LONG)).unwrap();
    let (q, next) = (fresh("lost_reply"), fresh("lost_next"));
    // Every item twice in a row, so that a commit that ran twice would find what it expects at the head.
    let twice: Vec<Bytes> = items(0, 1_000).into_iter().flat_map(|i| [i.clone(), i]).collect();
    server.foreign_push(&q, &twice).await;
    let mut held = Held::take(&queue, &q).await;
    let seqs = held.peek().await;
    assert_eq!(seqs.len(), 2_000);
    let mut lost = 0;
    for (round, seq) in seqs.into_iter().enumerate() {
        let mut commit = held.hand_over(&[seq], &next);
        commit.delay.push(Delayed { due: 1, body: Bytes::from_static(b"equal") });
        commit.bury.push(Bytes::from_static(b"equal"));
        if round % 2 == 0 {
            proxy.lose_next_reply();
            let answer = held.shard.commit(&commit).await;
            assert!(matches!(answer, Err(Error::Unavailable(_))), "round {round}: {answer:?}");
            lost += 1;
        }
        held.commit(&commit).await;
    }
    assert_eq!((lost, proxy.lost()), (1_000, 1_000));
    assert_eq!(server.contents(&next).await, twice, "no item twice, none lost, in order");
    let snapshot = queue.inspect(&q).await.unwrap();
    assert_eq!((snapshot.counts.get("entry.expanded"), snapshot.delayed, snapshot.dead), (2_000, 2_000, 2_000));
    println!("lost replies {lost}, items {}, repeated 0, lost 0", twice.len());
}

/// The lease was given and the answer lost: the same process takes it anyway.
#[tokio::test]
async fn an_acquire_whose_reply_is_lost_is_repeated() {
    let server = server();
    let proxy = proxy::Proxy::start(&server.url).await;
    let queue = RedisQueue::new(&proxy.url, options(LONG)).unwrap();
    let q = fresh("lost_acquire");
    // The first call of a connection loads scripts and so has several replies; this one makes them known.
    queue.acquire(&q).await.unwrap().release().await.unwrap();
    proxy.lose_next_reply();
    assert!(matches!(queue.acquire(&q).await, Err(Error::Unavailable(_))));
    queue.acquire(&q).await.unwrap();
}

/// A server that went back to an older state is noticed by the number of the commit.
#[tokio::test]
async fn a_server_that_went_back_is_noticed() {
    let server = server();
    let queue = server.queue(LONG);
    let (q, next) = (fresh("rollback"), fresh("next"));
    server.foreign_push(&q, &items(0, 4)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    for seq in &seqs[..2] {
        let commit = held.hand_over(&[*seq], &next);
        held.commit(&commit).await;
    }
    server.cmd::<i64>(redis::cmd("HSET").arg(format!("{{{q}}}:state")).arg("commit").arg(0)).await;
    let commit = held.hand_over(&seqs[2..], &next);
    assert!(matches!(held.shard.commit(&commit).await, Err(Error::RolledBack(_))));
    assert_eq!(server.contents(&next).await.len(), 2);
}

#[tokio::test]
async fn a_flushed_script_cache_is_loaded_again() {
    let server = server();
    let queue = server.queue(LONG);
    let q = fresh("noscript");
    server.foreign_push(&q, &items(0, 2)).await;
    let mut held = Held::take(&*queue, &q).await;
    server.cmd::<()>(redis::cmd("SCRIPT").arg("FLUSH")).await;
    assert_eq!(held.peek().await.len(), 2);
    server.cmd::<()>(redis::cmd("SCRIPT").arg("FLUSH")).await;
    held.commit(&Commit { bury: items(0, 1), ..Commit::default() }).await;
}

/// A lease of a process that was killed on this host need not be waited out.
#[tokio::test]
async fn the_lease_of_a_dead_process_is_taken_at_once() {
    let server = server();
    let q = fresh("dead_owner");
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    let read = |p: &str| std::fs::read_to_string(p).unwrap().trim().to_owned();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let token = format!(
        "1|00|{}|{}|{}|{}|{start}",
        read("/proc/sys/kernel/hostname"),
        read("/proc/sys/kernel/random/boot_id"),
        namespace.display(),
        child.id()
    );
    server.cmd::<()>(redis::cmd("SET").arg(format!("{{{q}}}:own")).arg(&token).arg("PX").arg(60_000)).await;
    let queue = server.queue(LONG);
    assert!(matches!(queue.acquire(&q).await, Err(Error::Held { .. })), "the process lives");
    child.kill().unwrap();
    child.wait().unwrap();
    queue.acquire(&q).await.unwrap();
}

/// Hard case 7: on a full server a shard can be taken, commits that trim first still pass, and producers are refused.
#[tokio::test]
async fn a_full_server_still_drains() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let server = Redis { url: own.url.clone() };
    let (q, next) = (fresh("oom"), fresh("next"));
    server.foreign_push(&q, &vec![Bytes::from(vec![b'x'; 10_000]); 300]).await;
    server.cmd::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb")).await;
    let queue = server.queue(LONG);
    assert!(
        matches!(queue.append(&q, &plain(&items(0, 1)), 0, 0).await, Err(Error::Unavailable(e)) if e.to_string().contains("OOM"))
    );
    let memory = queue.memory().await.unwrap();
    assert!(memory.limit == 1 << 20 && memory.used > memory.limit, "{memory:?}");
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    let mut commit = held.hand_over(&seqs[..100], &next);
    commit.delay.push(Delayed { due: 1, body: Bytes::from_static(b"retry") });
    held.commit(&commit).await;
    held.shard.promote(2).await.unwrap();
    held.shard.renew().await.unwrap();
    assert_eq!((server.contents(&q).await.len(), server.contents(&next).await.len()), (200, 100));
}

/// Items with ids are refused by a full server, too, and nothing of them is remembered.
#[tokio::test]
async fn a_full_server_remembers_no_id_of_what_it_refused() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let server = Redis { url: own.url.clone() };
    let queue = server.queue(LONG);
    let q = fresh("oom_ids");
    let item = [NewItem { id: Some("a".into()), body: Bytes::from_static(b"x") }];
    server.cmd::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb")).await;
    server.cmd::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
    let refused = queue.append(&q, &item, 0, 1_000).await;
    assert!(matches!(&refused, Err(Error::Unavailable(e)) if e.to_string().contains("OOM")), "{refused:?}");
    server.cmd::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0")).await;
    assert_eq!(queue.append(&q, &item, 0, 1_000).await.unwrap(), [true]);
    assert_eq!(queue.append(&q, &item, 0, 1_000).await.unwrap(), [false]);
}

/// A full server refuses a notice and a receipt, and counts nothing of it.
#[tokio::test]
async fn a_board_is_bounded_and_a_full_server_counts_no_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let server = Redis { url: own.url.clone() };
    let queue = server.queue(LONG);
    board::a_board_is_bounded_in_notices(&*queue).await;
    let q = fresh("oom_receipts");
    let record = homing_core::record::Record {
        at: 0,
        id: "m".into(),
        stage: homing_core::record::Stage::Client,
        fate: homing_core::record::Fate::Seen { how: homing_core::record::Seen::Shown },
        target: None,
        reason: None,
    };
    let receipt = [homing_core::queue::Receipt { key: "m".into(), record }];
    server.cmd::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
    let refused = queue.tally(&q, &receipt, 1_000).await;
    assert!(matches!(&refused, Err(Error::Unavailable(e)) if e.to_string().contains("OOM")), "{refused:?}");
    assert!(matches!(queue.post("notice 2", Some("z")).await, Err(Error::Unavailable(_))));
    queue.post("notice 2", None).await.unwrap();
    server.cmd::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0")).await;
    assert_eq!(queue.inspect(&q).await.unwrap().counts.get("client.shown"), 0);
    assert_eq!(queue.tally(&q, &receipt, 1_000).await.unwrap(), [true]);
}

/// A connection that broke is opened again by the next look, and told of what changed meanwhile.
#[tokio::test]
async fn a_board_outlives_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let own = OwnServer::start(dir.path()).await;
    let server = Redis { url: own.url.clone() };
    let (queue, other) = (server.queue(LONG), server.queue(LONG));
    assert_eq!(queue.notices().await.unwrap(), BTreeMap::new());
    other.post("a", Some("1")).await.unwrap();
    server.cmd::<i64>(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes")).await;
    let expected: BTreeMap<String, String> = [("a".to_owned(), "1".to_owned())].into();
    let mut seen = BTreeMap::new();
    for _ in 0..50 {
        match queue.notices().await {
            Ok(all) => {
                seen = all;
                break;
            }
            Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(seen, expected);
}

/// What is not used leaves no key behind.
#[tokio::test]
async fn items_without_ids_touch_no_set() {
    let server = server();
    let queue = server.queue(LONG);
    let (q, next) = (fresh("no_sets"), fresh("next"));
    queue.append(&q, &plain(&items(0, 10)), 100, 1_000).await.unwrap();
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    let commit = held.hand_over(&seqs, &next);
    held.commit(&commit).await;
    assert_eq!(held.shard.marks(&["a"]).await.unwrap().len(), 1);
    for set in ["ids", "seen", "cancelled"] {
        let there: i64 = server.cmd(redis::cmd("EXISTS").arg(format!("{{{q}}}:{set}"))).await;
        assert_eq!(there, 0, "{set}");
    }
}

/// The reply of a resync is lost: it is asked again, and the books are set once.
#[tokio::test]
async fn a_resync_whose_reply_is_lost_is_done_once() {
    let server = server();
    let proxy = proxy::Proxy::start(&server.url).await;
    let (direct, queue) = (server.queue(LONG), RedisQueue::new(&proxy.url, options(LONG)).unwrap());
    let q = fresh("lost_resync");
    let mut held = resync::entry(&server, &*direct, &q, 10, &[0, 1]).await;
    held.shard.renew().await.unwrap();
    held.shard.release().await.unwrap();
    for _ in 0..3 {
        server.foreign_pop(&q).await;
    }
    let mut shard = queue.acquire(&q).await.unwrap();
    // Its connection is open and its scripts are known; the inspection is the first script that goes out.
    shard.renew().await.unwrap();
    let mut answer = None;
    for _ in 0..4 {
        proxy.lose_next_reply();
        if shard.resync().await.is_ok() {
            answer = Some(());
        }
    }
    assert!(answer.is_none(), "each lost a reply");
    shard.resync().await.unwrap();
    let snapshot = queue.inspect(&q).await.unwrap();
    resync::balanced(&snapshot, homing_core::ledger::Role::Entry);
    assert_eq!(snapshot.counts.get("entry.dead.foreign"), 3);
}

/// A redis-server of one test, killed when dropped.
struct OwnServer {
    child: std::process::Child,
    url: String,
}

impl OwnServer {
    async fn start(dir: &std::path::Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = std::env::var("HOMING_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let child = std::process::Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"])
            .arg(dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("redis-server is installed by scripts/test");
        let own = Self { child, url: format!("redis://127.0.0.1:{port}") };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return own;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("redis-server did not listen within 5 s");
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Random operations with the owner dying at random: every item is handed over once, in any order of finishing.
#[tokio::test]
async fn random_work_with_dying_owners_hands_every_item_over_once() {
    let server = server();
    let queue = server.queue(LONG);
    let (q, next) = (fresh("random"), fresh("next"));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let mut pushed = 0;
    let mut deaths = 0;
    let mut held = Held::take(&*queue, &q).await;
    let mut open = held.peek().await;
    for _ in 0..600 {
        match random(10) {
            0..=3 => {
                let n = random(20) as usize;
                server.foreign_push(&q, &items(pushed, n)).await;
                pushed += n;
                open.extend(held.peek().await);
            }
            4..=8 => {
                let mut some = Vec::new();
                for _ in 0..random(8) {
                    if !open.is_empty() {
                        some.push(open.swap_remove(random(open.len() as u64) as usize));
                    }
                }
                if !some.is_empty() {
                    let commit = held.hand_over(&some, &next);
                    if random(4) > 0 {
                        held.commit(&commit).await;
                        continue;
                    }
                    // Dies before the commit, or after the script ran and before it knows.
                    if random(2) == 0 {
                        held.shard.commit(&commit).await.unwrap();
                    }
                    deaths += 1;
                    drop(held);
                    held = Held::take(&*queue, &q).await;
                    open = held.peek().await;
                }
            }
            _ => {
                deaths += 1;
                drop(held);
                held = Held::take(&*queue, &q).await;
                open = held.peek().await;
            }
        }
    }
    let commit = held.hand_over(&open, &next);
    held.commit(&commit).await;
    let mut seen: BTreeMap<Bytes, usize> = BTreeMap::new();
    for item in server.contents(&next).await {
        *seen.entry(item).or_default() += 1;
    }
    assert!(deaths > 50 && pushed > 1_000, "{deaths} deaths, {pushed} items");
    assert_eq!(seen.len(), pushed, "none lost");
    assert!(seen.values().all(|n| *n == 1), "none twice");
    assert_eq!(queue.inspect(&q).await.unwrap().counts.get("entry.expanded"), pushed as i64);
}
