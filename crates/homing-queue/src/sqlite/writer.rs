//! The thread that writes. It takes all requests that wait into one transaction, each in a savepoint of its own, syncs
//! once, and answers them after that: many small requests cost one sync together.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use homing_core::queue::{QueueName, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    error::{Fail, unavailable},
    schema,
    wake::Wakes,
};

/// How often the file is looked at for commits of other processes.
pub const LOOK: Duration = Duration::from_millis(250);

/// Most requests of one transaction.
const MOST: usize = 1_000;

/// A request: does its step, answers whether it is to stay, and what to do once the transaction is decided.
type Request = Box<dyn FnOnce(Result<&mut Tx<'_>, &str>) -> (bool, Settle) + Send>;
/// Gets the reason when the transaction failed.
type Settle = Box<dyn FnOnce(Option<&str>) + Send>;

/// What a step sees of the transaction.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    /// The machine's clock, as SQLite reads it, in milliseconds since 1970.
    pub(super) now: i64,
    max_bytes: u64,
    woken: &'a mut Vec<QueueName>,
}

impl Tx<'_> {
    /// The owner of this shard is told after the transaction.
    pub(super) fn wake(&mut self, shard: &QueueName) {
        self.woken.push(shard.clone());
    }

    /// Has the file reached its bound? Producers are refused then; owners go on.
    pub(super) fn is_full(&self) -> rusqlite::Result<bool> {
        Ok(self.max_bytes > 0 && schema::used(self.db)? >= self.max_bytes)
    }
}

/// Gives requests to the thread, which ends when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Writer(Sender<Request>);

impl Writer {
    /// Starts the thread.
    pub(super) fn start(db: Connection, max_bytes: u64, wakes: Arc<Wakes>) -> std::io::Result<Self> {
        let (tx, rx) = std::sync::mpsc::channel();
        let run = move || Thread { db, max_bytes, wakes, version: 0, looked: Instant::now() }.run(&rx);
        thread::Builder::new().name("queue-writer".to_owned()).spawn(run)?;
        Ok(Self(tx))
    }

    /// Runs a step in the next transaction. An error undoes the step; the answer comes when the transaction is on disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Tx<'_>) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        let (tx, rx) = oneshot::channel();
        let request: Request = Box::new(move |transaction| {
            let answer = match transaction {
                Ok(transaction) => step(transaction).map_err(homing_core::queue::Error::from),
                Err(why) => Err(unavailable(why)),
            };
            let stays = answer.is_ok();
            let settle = move |failed: Option<&str>| {
                let answer = match failed {
                    Some(why) if stays => Err(unavailable(why)),
                    _ => answer,
                };
                // The caller may have gone.
                drop(tx.send(answer));
            };
            (stays, Box::new(settle) as Settle)
        });
        self.0.send(request).map_err(|_| unavailable("the queue's writer has stopped"))?;
        rx.await.map_err(|_| unavailable("the queue's writer has stopped"))?
    }
}

struct Thread {
    db: Connection,
    max_bytes: u64,
    wakes: Arc<Wakes>,
    /// SQLite's count of what other connections committed.
    version: i64,
    looked: Instant,
}

impl Thread {
    fn run(mut self, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(LOOK) {
                Ok(first) => self.transaction(first, requests),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.looked.elapsed() >= LOOK {
                self.look();
            }
        }
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        let version =
            self.db.prepare_cached("PRAGMA data_version").and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)));
        if let Ok(version) = version
            && version != self.version
        {
            self.version = version;
            self.wakes.tell_all();
        }
    }

    fn transaction(&self, first: Request, requests: &Receiver<Request>) {
        let mut all = std::iter::once(first).chain(requests.try_iter().take(MOST - 1));
        let now = match self.begin() {
            Ok(now) => now,
            Err(error) => {
                let why = error.to_string();
                for request in all {
                    let (_, settle) = request(Err(&why));
                    settle(None);
                }
                return;
            }
        };
        let mut woken = Vec::new();
        let mut settled: Vec<Settle> = Vec::new();
        let mut failed = None;
        for request in all.by_ref() {
            match self.savepoint(request, now, &mut woken, &mut settled) {
                Ok(()) => {}
                Err(error) => failed = Some(error.to_string()),
            }
            // A full disk or a failed read may end the whole transaction.
            if failed.is_some() || self.db.is_autocommit() {
                failed.get_or_insert_with(|| "the transaction was rolled back".to_owned());
                break;
            }
        }
        if failed.is_none() {
            failed = self.execute("COMMIT").err().map(|e| e.to_string());
        }
        if failed.is_some() && !self.db.is_autocommit() {
            // It fails only if there is nothing to roll back.
            drop(self.execute("ROLLBACK"));
        }
        if failed.is_none() {
            self.wakes.tell(&woken);
        }
        for settle in settled {
            settle(failed.as_deref());
        }
    }

    fn begin(&self) -> rusqlite::Result<i64> {
        self.execute("BEGIN IMMEDIATE")?;
        let clock = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
        let now = self.db.prepare_cached(clock).and_then(|mut s| s.query_row([], |row| row.get(0)));
        if now.is_err() {
            self.execute("ROLLBACK")?;
        }
        now
    }

    fn savepoint(
        &self,
        request: Request,
        now: i64,
        woken: &mut Vec<QueueName>,
        settled: &mut Vec<Settle>,
    ) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT step")?;
        let told = woken.len();
        let mut tx = Tx { db: &self.db, now, max_bytes: self.max_bytes, woken };
        let (stays, settle) = request(Ok(&mut tx));
        settled.push(settle);
        if self.db.is_autocommit() {
            return Ok(());
        }
        if !stays {
            woken.truncate(told);
            self.execute("ROLLBACK TO step")?;
        }
        self.execute("RELEASE step")
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }
}
