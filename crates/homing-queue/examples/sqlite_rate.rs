//! How many items a second the SQLite backend moves, beside a bare rusqlite loop in the same run.
//!
//! `cargo run --release -p homing-queue --example sqlite_rate [FOLDER] [SECONDS]` (the folder decides which disk)

#![allow(clippy::print_stdout, reason = "it is what a measurement is for")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use homing_core::{
    queue::{Budget, Commit, Log, NewItem, Queue, QueueName},
    window::Window,
};
use homing_queue::sqlite::{Options, SqliteQueue};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const BATCH: usize = 100;
const SIZE: usize = 500;
const PRODUCERS: usize = 64;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(2), |s| s.parse())?;
    let (folder, each) = (tempfile::tempdir_in(base)?, Duration::from_secs(seconds));
    println!("items of {SIZE} bytes, {seconds} s a line, in {}", folder.path().display());
    for round in 1..=3 {
        let path = |name: &str| folder.path().join(format!("{name}-{round}.db"));
        let bare = bare(&path("bare"), each)?;
        let batches = batches(&path("batches"), each).await?;
        let (producers, mut waits) = producers(&path("producers"), each).await?;
        waits.sort_unstable();
        let at = |part: usize| waits.get(waits.len() * part / 1_000).copied().unwrap_or_default();
        println!("{round} bare rusqlite, insert {BATCH} | select and delete {BATCH}: {bare:>9.0} items/s");
        println!(
            "{round} append({BATCH}) + peek + commit({BATCH}):                 {batches:>9.0} items/s = {:.2} of bare",
            batches / bare
        );
        println!(
            "{round} {PRODUCERS} producers, append(1) each, answered on disk: {producers:>9.0} items/s = {:.2} of bare, p50 {:?}, p99 {:?}",
            producers / bare,
            at(500),
            at(990)
        );
    }
    Ok(())
}

fn body() -> Bytes {
    Bytes::from(vec![b'x'; SIZE])
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
fn rate(items: usize, since: Instant) -> f64 {
    items as f64 / since.elapsed().as_secs_f64()
}

/// The least that a queue of this kind does: one transaction that inserts, one that reads and deletes.
fn bare(path: &Path, each: Duration) -> Result<f64> {
    let mut db = rusqlite::Connection::open(path)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB);",
    )?;
    let (body, since, mut items) = (body(), Instant::now(), 0);
    while since.elapsed() < each {
        let tx = db.transaction()?;
        let mut insert = tx.prepare_cached("INSERT INTO item (body) VALUES (?1)")?;
        for _ in 0..BATCH {
            insert.execute([&*body])?;
        }
        drop(insert);
        tx.commit()?;
        let tx = db.transaction()?;
        let mut select = tx.prepare_cached("SELECT id, body FROM item ORDER BY id LIMIT ?1")?;
        let rows =
            select.query_map([i64::try_from(BATCH)?], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let last = rows.collect::<Result<Vec<_>, _>>()?.last().map_or(0, |row| row.0);
        drop(select);
        items += tx.prepare_cached("DELETE FROM item WHERE id <= ?1")?.execute([last])?;
        tx.commit()?;
    }
    Ok(rate(items, since))
}

async fn batches(path: &Path, each: Duration) -> Result<f64> {
    let queue = SqliteQueue::open(path, Options::default())?;
    let name = QueueName::new("message_queue_1");
    let mut shard = queue.acquire(&name).await?;
    let main = shard.opened().logs.first().ok_or("no list")?;
    let mut window = Window::open(main);
    let offered = vec![NewItem { id: None, body: body() }; BATCH];
    let (since, mut items) = (Instant::now(), 0);
    while since.elapsed() < each {
        queue.append(&name, &offered, 1_000_000, 0).await?;
        let found = shard.peek(&Log::MAIN, window.next(), Budget { items: BATCH, bytes: 8 << 20 }).await?;
        let seqs = window.accept(found);
        items += seqs.len();
        seqs.iter().for_each(|seq| window.finish(*seq));
        let mut commit = Commit { advance: window.advance().into_iter().collect(), ..Commit::default() };
        commit.counts.add("items.done", i64::try_from(seqs.len())?);
        commit.counts.add("send.delivered", i64::try_from(seqs.len())?);
        shard.commit(&commit).await?;
        commit.advance.iter().for_each(|advance| window.applied(advance));
    }
    Ok(rate(items, since))
}

/// Answers the rate and how long each append took.
async fn producers(path: &Path, each: Duration) -> Result<(f64, Vec<Duration>)> {
    let queue = Arc::new(SqliteQueue::open(path, Options::default())?);
    let (stop, since) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let producer = |n: usize| {
        let (queue, stop) = (Arc::clone(&queue), Arc::clone(&stop));
        tokio::spawn(async move {
            let name = QueueName::new(format!("message_queue_{}", n % 4));
            let offered = [NewItem { id: None, body: body() }];
            let mut waits = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                queue.append(&name, &offered, 0, 0).await?;
                waits.push(asked.elapsed());
            }
            Ok::<_, homing_core::queue::Error>(waits)
        })
    };
    let running: Vec<_> = (0..PRODUCERS).map(producer).collect();
    tokio::time::sleep(each).await;
    stop.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for producer in running {
        waits.extend(producer.await??);
    }
    Ok((rate(waits.len(), since), waits))
}
