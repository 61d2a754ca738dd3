//! The contract over SQLite files, and what only this backend can show.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "the suite is shared by the tests of every backend")]

#[path = "support/board.rs"]
mod board;
#[path = "support/contract.rs"]
mod contract;
#[path = "support/ids.rs"]
mod ids;
#[path = "support/killed.rs"]
mod killed;
#[path = "support/resync.rs"]
mod resync;
#[path = "support/mod.rs"]
mod support;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    ledger::Role,
    queue::{Budget, Commit, Delayed, Error, Log, NewItem, Queue, QueueName},
    record::{Fate, Record, Stage},
};
use homing_queue::sqlite::{OpenError, Options, SqliteQueue};
use support::{ALL, Backend, Held, LONG, fresh, items, plain};

/// A file of one test. Every handle stands for a process of its own.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file() -> File {
    let dir = tempfile::tempdir().unwrap();
    File { path: dir.path().join("queue.db"), _dir: dir }
}

fn options(lease: Duration) -> Options {
    Options { lease, margin: lease / 5, ..Options::default() }
}

impl File {
    fn open(&self, options: Options) -> SqliteQueue {
        SqliteQueue::open(&self.path, options).unwrap()
    }

    /// As another program sees the file. It is one of ours first.
    fn plain(&self) -> rusqlite::Connection {
        if !self.path.exists() {
            drop(self.open(Options::default()));
        }
        let db = rusqlite::Connection::open(&self.path).unwrap();
        db.busy_timeout(Duration::from_secs(20)).unwrap();
        db
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> usize {
        self.plain().execute(sql, params).unwrap()
    }

    fn list(&self, shard: &QueueName, log: &Log) -> i64 {
        let sql = "SELECT id FROM list WHERE shard = ?1 AND log = ?2";
        self.plain().query_row(sql, [shard.as_str(), log.name()], |row| row.get(0)).unwrap()
    }
}

impl Backend for File {
    fn queue(&self, lease: Duration) -> Arc<dyn Queue> {
        Arc::new(self.open(options(lease)))
    }

    fn foreign_push<'a>(&'a self, list: &'a QueueName, items: &'a [Bytes]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut db = self.plain();
            let tx = db.transaction().unwrap();
            for item in items {
                tx.execute("INSERT INTO queue (name, body) VALUES (?1, ?2)", (list.as_str(), &**item)).unwrap();
            }
            tx.commit().unwrap();
        })
    }

    fn foreign_pop<'a>(&'a self, list: &'a QueueName) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let id = self.list(list, &Log::MAIN);
            let sql = "DELETE FROM item WHERE id = (SELECT min(id) FROM item WHERE id >> 40 = ?1)";
            assert_eq!(self.execute(sql, [id]), 1);
        })
    }

    fn foreign_unshift<'a>(&'a self, list: &'a QueueName, item: &'a Bytes) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let id = self.list(list, &Log::MAIN);
            let sql = "INSERT INTO item SELECT min(id) - 1, ?2 FROM item WHERE id >> 40 = ?1";
            assert_eq!(self.execute(sql, (id, &**item)), 1);
        })
    }

    fn foreign_delete<'a>(&'a self, shard: &'a QueueName, log: &'a Log) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.execute("DELETE FROM item WHERE id >> 40 = ?1", [self.list(shard, log)]);
        })
    }

    fn contents<'a>(&'a self, list: &'a QueueName) -> BoxFuture<'a, Vec<Bytes>> {
        Box::pin(async move {
            let db = self.plain();
            let mut all = db.prepare("SELECT body FROM queue WHERE name = ?1 ORDER BY seq").unwrap();
            let all = all.query_map([list.as_str()], |row| row.get::<_, Vec<u8>>(0)).unwrap();
            all.map(|body| Bytes::from(body.unwrap())).collect()
        })
    }
}

contract!(file());

/// A commit that ran and whose answer nobody heard is sent again: it runs once.
#[tokio::test]
async fn a_commit_that_is_sent_again_runs_once() {
    let file = file();
    let queue = file.queue(LONG);
    let (q, next) = (fresh("again"), fresh("next"));
    let twice: Vec<Bytes> = items(0, 200).into_iter().flat_map(|i| [i.clone(), i]).collect();
    file.foreign_push(&q, &twice).await;
    let mut held = Held::take(&*queue, &q).await;
    let mut unheard = 0;
    for (round, seq) in held.peek().await.into_iter().enumerate() {
        let mut commit = held.hand_over(&[seq], &next);
        commit.delay.push(Delayed { due: 1, body: Bytes::from_static(b"equal") });
        commit.bury.push(Bytes::from_static(b"equal"));
        if round % 2 == 0 {
            // The future is polled once, so the request is with the writer, and dropped.
            let answer = futures_util::FutureExt::now_or_never(held.shard.commit(&commit));
            if let Some(answer) = answer {
                answer.unwrap();
                commit.advance.iter().for_each(|advance| held.window.applied(advance));
                continue;
            }
            unheard += 1;
        }
        held.commit(&commit).await;
    }
    assert!(unheard > 0, "{unheard} answers were not waited for");
    assert_eq!(file.contents(&next).await, twice);
    let snapshot = queue.inspect(&q).await.unwrap();
    assert_eq!((snapshot.counts.get("entry.expanded"), snapshot.delayed, snapshot.dead), (400, 400, 400));
}

/// The lease was given and nobody heard of it: the same handle takes it anyway.
#[tokio::test]
async fn an_acquire_that_nobody_waited_for_is_repeated() {
    let file = file();
    let (queue, q) = (file.queue(LONG), fresh("unheard"));
    for _ in 0..20 {
        drop(futures_util::FutureExt::now_or_never(queue.acquire(&q)));
        drop(queue.acquire(&q).await.unwrap());
    }
    let held = queue.acquire(&q).await.unwrap();
    assert!(matches!(queue.acquire(&q).await, Err(Error::Held { .. })), "it is held now");
    held.release().await.unwrap();
}

/// An older copy of the file under a worker, as a restored backup: noticed by the number of the commit.
#[tokio::test]
async fn a_file_that_went_back_is_noticed() {
    let file = file();
    let queue = file.queue(LONG);
    let (q, next) = (fresh("rollback"), fresh("next"));
    file.foreign_push(&q, &items(0, 4)).await;
    let mut held = Held::take(&*queue, &q).await;
    let seqs = held.peek().await;
    for seq in &seqs[..2] {
        let commit = held.hand_over(&[*seq], &next);
        held.commit(&commit).await;
    }
    file.execute("UPDATE shard SET commits = 0", []);
    let commit = held.hand_over(&seqs[2..], &next);
    assert!(matches!(held.shard.commit(&commit).await, Err(Error::RolledBack(_))));
    assert_eq!(file.contents(&next).await.len(), 2);
}

/// A gap anywhere is noticed: by a peek, and by the commit that would trim it.
#[tokio::test]
async fn an_item_that_was_deleted_in_the_middle_is_noticed() {
    let file = file();
    let queue = file.queue(LONG);
    let (q, next) = (fresh("gap"), fresh("next"));
    let mut held = resync::entry(&file, &*queue, &q, 10, &[0]).await;
    let id = file.list(&q, &Log::MAIN);
    let sql = "DELETE FROM item WHERE id = (SELECT id FROM item WHERE id >> 40 = ?1 ORDER BY id LIMIT 1 OFFSET 4)";
    assert_eq!(file.execute(sql, [id]), 1);
    assert_eq!(held.shard.peek(&Log::MAIN, 1, ALL).await.unwrap().len(), 4, "up to the gap");
    let at_gap = held.shard.peek(&Log::MAIN, 5, ALL).await;
    assert!(matches!(at_gap, Err(Error::Foreign { expected: 5, .. })), "{at_gap:?}");
    let commit = held.hand_over(&[1, 2, 3, 4, 5, 6], &next);
    assert!(matches!(held.shard.commit(&commit).await, Err(Error::Foreign { .. })));
    assert_eq!((file.contents(&q).await.len(), file.contents(&next).await.len()), (8, 0), "nothing half done");
    drop(held);
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.shard.resync().await.unwrap(), 1);
    resync::balanced(&queue.inspect(&q).await.unwrap(), Role::Entry);
    held.shard.release().await.unwrap();
    let mut held = Held::take(&*queue, &q).await;
    assert_eq!(held.peek().await.len(), 8);
}

/// A file at its bound refuses producers and drains; beyond the reserve commits wait, and succeed once there is room.
#[tokio::test]
async fn a_full_file_refuses_producers_and_drains() {
    let file = file();
    let queue = file.open(Options { max_bytes: 1 << 20, ..options(LONG) });
    let (q, next) = (fresh("full"), fresh("next"));
    let large = |n: usize| vec![Bytes::from(vec![b'x'; 10_000]); n];
    let mut accepted = 0;
    let refused = loop {
        match queue.append(&q, &plain(&large(5)), 0, 1).await {
            Ok(_) => accepted += 5,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, Error::Unavailable(e) if e.to_string().contains("bound")), "{refused}");
    assert!((80..=110).contains(&accepted), "{accepted} items of 10 kB");
    let memory = queue.memory().await.unwrap();
    assert!(memory.limit == 1 << 20 && memory.used >= memory.limit, "{memory:?}");

    let mut held = Held::take(&queue, &q).await;
    let seqs = held.peek().await;
    assert_eq!(seqs.len(), accepted);
    let before = queue.inspect(&q).await.unwrap();
    // Twice as much as there is room for.
    let mut too_much = held.hand_over(&[], &next);
    too_much.append.clear();
    too_much.bury = large(100);
    too_much.put.push(("cursor".to_owned(), Bytes::from_static(b"1")));
    too_much.counts.add("items.buried", 100);
    for _ in 0..2 {
        let refused = held.shard.commit(&too_much).await;
        assert!(matches!(&refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert_eq!(queue.inspect(&q).await.unwrap(), before, "nothing half done");
    }
    // The same commit again, once somebody made room: here the bound itself is gone.
    drop(held);
    let mut held = Held::take(&queue, &q).await;
    held.peek().await;
    let commit = held.hand_over(&seqs[..20], &next);
    held.commit(&commit).await;
    held.shard.renew().await.unwrap();
    assert_eq!(file.contents(&next).await.len(), 20, "a hand-over passes: it trims as much as it appends");
    for seq in &seqs[20..] {
        held.window.finish(*seq);
    }
    let sent = Commit { advance: held.window.advance().into_iter().collect(), ..Commit::default() };
    held.commit(&sent).await;
    assert_eq!(queue.append(&q, &plain(&large(5)), 0, 1).await.unwrap(), [true; 5], "there is room again");
    too_much.bury.truncate(60);
    held.commit(&too_much).await;
    assert_eq!(queue.inspect(&q).await.unwrap().dead, 60);
}

/// One that is refused takes none of the others with it that share its transaction.
#[tokio::test]
async fn a_refused_request_harms_no_other_of_its_transaction() {
    let file = file();
    let queue = file.queue(LONG);
    let full = fresh("full");
    queue.append(&full, &plain(&items(0, 5)), 5, 0).await.unwrap();
    let offer = |i: usize| {
        let (queue, q) = (Arc::clone(&queue), if i.is_multiple_of(3) { full.clone() } else { fresh("open") });
        tokio::spawn(async move { (i, queue.append(&q, &plain(&items(i, 2)), 5, 0).await) })
    };
    for answer in futures_util::future::join_all((0..300).map(offer)).await {
        match answer.unwrap() {
            (i, Ok(_)) => assert_ne!(i % 3, 0),
            (i, Err(Error::Full(_))) => assert_eq!(i % 3, 0),
            (_, Err(other)) => panic!("{other}"),
        }
    }
    assert_eq!(file.contents(&full).await, items(0, 5));
}

#[tokio::test]
async fn only_our_files_of_a_known_version_are_opened() {
    let file = file();
    drop(file.open(Options::default()));
    drop(file.open(Options::default()));
    file.execute("PRAGMA user_version = 7", []);
    let refused = SqliteQueue::open(&file.path, Options::default()).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 7, known: 1, .. }), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("queue.db") && told.contains("version 7") && told.contains("up to 1"), "{told}");

    let other = file.path.with_file_name("other.db");
    let db = rusqlite::Connection::open(&other).unwrap();
    db.execute_batch("CREATE TABLE users (id INTEGER)").unwrap();
    let refused = SqliteQueue::open(&other, Options::default()).err().unwrap();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
    let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "it was not touched");

    let text = file.path.with_file_name("text.db");
    std::fs::write(&text, "no database at all, but long enough to be read as the header of one, which has 100 bytes")
        .unwrap();
    let refused = SqliteQueue::open(&text, Options::default()).err().unwrap();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
    let nowhere = file.path.with_file_name("no/such/folder.db");
    let refused = SqliteQueue::open(&nowhere, Options::default()).err().unwrap();
    assert!(refused.to_string().contains("no/such/folder.db"), "{refused}");
}

#[tokio::test]
async fn the_trace_is_bounded_in_entries_and_bytes() {
    let file = file();
    let q = fresh("trace");
    let write = async |options: Options, from: i64, n: i64| {
        let queue = file.open(options);
        let mut held = Held::take(&queue, &q).await;
        for at in from..from + n {
            let mut commit = Commit::default();
            let fate = Fate::Invalid { error: "e".repeat(500) };
            commit.record(Record { at, id: "m".into(), stage: Stage::Entry, fate, target: None, reason: None }, 1);
            held.commit(&commit).await;
        }
        held.shard.release().await.unwrap();
        queue.trace(&q, "m").await.unwrap().iter().map(|r| r.at).collect::<Vec<_>>()
    };
    let entries = Options { trace_entries: 5, ..options(LONG) };
    assert_eq!(write(entries, 0, 12).await, (7..12).collect::<Vec<_>>());
    let bytes = Options { trace_bytes: 10_000, ..options(LONG) };
    let left = write(bytes, 12, 40).await;
    assert!((15..=20).contains(&left.len()) && left.last() == Some(&51), "{left:?}");
}

/// What other programs wrote into `queue`: text and numbers, too.
#[tokio::test]
async fn any_program_may_insert() {
    let file = file();
    let queue = file.queue(LONG);
    let q = fresh("insert");
    file.plain()
        .execute_batch(&format!(
            "INSERT INTO queue (name, body) VALUES ('{q}', '{{\"type\":7}}'), ('{q}', 42), ('{q}', x'00ff'), ('{q}', '发')"
        ))
        .unwrap();
    let mut held = Held::take(&*queue, &q).await;
    let items = held.shard.peek(&Log::MAIN, 0, Budget { items: 10, bytes: 1_000 }).await.unwrap();
    let bodies: Vec<&[u8]> = items.iter().map(|i| &*i.body).collect();
    assert_eq!(bodies, [&b"{\"type\":7}"[..], b"42", b"\x00\xff", "发".as_bytes()]);
    let named = [NewItem { id: Some("a".into()), body: Bytes::from_static(b"ours") }];
    assert_eq!(queue.append(&q, &named, 0, 0).await.unwrap(), [true]);
    assert_eq!(held.peek().await, [0, 1, 2, 3, 4]);
}

/// The lease of a process that was killed on this host need not be waited out.
#[tokio::test]
async fn a_board_is_bounded_in_notices() {
    board::a_board_is_bounded_in_notices(&*file().queue(LONG)).await;
}

/// A file from before there was a board gets one when it is opened.
#[tokio::test]
async fn an_older_file_gets_a_board() {
    let file = file();
    assert_eq!(file.execute("DROP TABLE notice", []), 0);
    let queue = file.queue(LONG);
    queue.post("a", Some("1")).await.unwrap();
    assert_eq!(file.queue(LONG).notices().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_lease_of_a_dead_process_is_taken_at_once() {
    let file = file();
    let (queue, q) = (file.queue(LONG), fresh("dead_owner"));
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    drop(queue.acquire(&q).await.unwrap());
    let ours: String = file.plain().query_row("SELECT token FROM shard", [], |row| row.get(0)).unwrap();
    let mut parts: Vec<String> = ours.split('|').map(str::to_owned).collect();
    (parts[1], parts[5], parts[6]) = ("00".to_owned(), child.id().to_string(), start);
    file.execute("UPDATE shard SET token = ?1", [parts.join("|")]);
    let other = file.queue(LONG);
    assert!(matches!(other.acquire(&q).await, Err(Error::Held { .. })), "the process lives");
    child.kill().unwrap();
    child.wait().unwrap();
    other.acquire(&q).await.unwrap();
}
