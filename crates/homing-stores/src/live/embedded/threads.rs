//! The thread that writes and the one that reads. The first takes all requests that wait into one transaction, each in
//! a savepoint of its own, syncs once, announces what they posted, and answers them: many small requests cost one sync
//! together. The second sees what is committed and on disk, and waits for nobody.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use homing_core::{
    clock::{Clock, Millis},
    live::{Announcement, LiveDown},
};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{hub::Hub, sweep};
use crate::live::{Settings, failure::down};

/// How often what has ended is forgotten, a little at a time.
const SWEEP: Duration = Duration::from_secs(5);

/// Most requests of one transaction, or of one snapshot.
const MOST: usize = 1_000;

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
enum Fail {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("the transaction was rolled back")]
    RolledBack,
}

type Failure = Arc<Fail>;
/// A request: does its step, answers whether it is to stay, and what to do once the transaction is decided.
type Write = Box<dyn FnOnce(Result<&mut Tx<'_>, Failure>) -> (bool, Settle) + Send>;
/// Gets the reason when the transaction failed.
type Settle = Box<dyn FnOnce(Option<&Failure>) + Send>;
type Read = Box<dyn FnOnce(Result<&View<'_>, Failure>) + Send>;

/// What a step sees of the transaction.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    pub(super) now: Millis,
    pub(super) settings: &'a Settings,
    /// To be announced after the transaction.
    pub(super) said: &'a mut Vec<Announcement>,
    /// The schedule is another: whoever waits is told after the transaction.
    pub(super) changed: &'a mut bool,
}

/// What a look sees.
pub(super) struct View<'a> {
    pub(super) db: &'a Connection,
    pub(super) now: Millis,
}

/// Gives requests to the thread, which ends when this is dropped.
pub(super) struct Writer(Sender<Write>);

/// As [`Writer`].
pub(super) struct Reader(Sender<Read>);

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        db: Connection,
        settings: Settings,
        clock: Arc<dyn Clock>,
        hub: Arc<Hub>,
    ) -> std::io::Result<Self> {
        let (tx, rx) = std::sync::mpsc::channel();
        let run = move || Thread { db, settings, clock, hub, swept: Instant::now() }.run(&rx);
        thread::Builder::new().name("live-writer".to_owned()).spawn(run)?;
        Ok(Self(tx))
    }

    /// Runs a step in the next transaction. An error undoes the step; the answer comes when the transaction is on disk.
    /// A step whose caller went away before is left out.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        what: &str,
        step: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LiveDown> {
        let (tx, rx) = oneshot::channel();
        let write: Write = Box::new(move |transaction| {
            let answer = match transaction {
                Ok(transaction) => step(transaction).map_err(failure),
                Err(why) => Err(why),
            };
            let stays = answer.is_ok();
            let settle = move |failed: Option<&Failure>| {
                let answer = match failed {
                    Some(why) if stays => Err(Arc::clone(why)),
                    _ => answer,
                };
                // The caller may have gone.
                drop(tx.send(answer));
            };
            (stays, Box::new(settle) as Settle)
        });
        let stopped = || down(what, "its writer has stopped");
        self.0.send(write).map_err(|_| stopped())?;
        rx.await.map_err(|_| stopped())?.map_err(|error| told(what, error))
    }
}

impl Reader {
    /// Starts the thread.
    pub(super) fn start(db: Connection, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let (tx, rx) = std::sync::mpsc::channel();
        thread::Builder::new().name("live-reader".to_owned()).spawn(move || serve(&db, &*clock, &rx))?;
        Ok(Self(tx))
    }

    /// Reads from a snapshot that is not older than this call.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        what: &str,
        look: impl FnOnce(&View<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LiveDown> {
        let (tx, rx) = oneshot::channel();
        let read: Read = Box::new(move |view| {
            // The caller may have gone.
            drop(tx.send(view.and_then(|view| look(view).map_err(failure))));
        });
        let stopped = || down(what, "its reader has stopped");
        self.0.send(read).map_err(|_| stopped())?;
        rx.await.map_err(|_| stopped())?.map_err(|error| told(what, error))
    }
}

fn failure(error: rusqlite::Error) -> Failure {
    Arc::new(error.into())
}

fn told(what: &str, error: Failure) -> LiveDown {
    match &*error {
        Fail::Sql(full) if full.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
            down(what, format!("the disk is full: {full}"))
        }
        _ => down(what, error),
    }
}

fn serve(db: &Connection, clock: &dyn Clock, requests: &Receiver<Read>) {
    let execute = |sql: &str| db.prepare_cached(sql)?.execute([]).map(drop);
    while let Ok(first) = requests.recv() {
        // All are taken before the snapshot is: it must not be older than any of them.
        let waiting: Vec<Read> = std::iter::once(first).chain(requests.try_iter().take(MOST - 1)).collect();
        let began: Result<(), Failure> = execute("BEGIN").map_err(failure);
        let view = View { db, now: clock.now() };
        for read in waiting {
            read(began.as_ref().map(|()| &view).map_err(Arc::clone));
        }
        if !db.is_autocommit() && execute("COMMIT").is_err() {
            // A snapshot that stays open would show the same for ever.
            drop(execute("ROLLBACK"));
        }
    }
}

struct Thread {
    db: Connection,
    settings: Settings,
    clock: Arc<dyn Clock>,
    hub: Arc<Hub>,
    swept: Instant,
}

impl Thread {
    fn run(mut self, requests: &Receiver<Write>) {
        loop {
            match requests.recv_timeout(SWEEP) {
                Ok(first) => self.transaction(first, requests),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.swept.elapsed() >= SWEEP {
                self.swept = Instant::now();
                if let Err(error) = sweep::some(&mut self.db, &self.settings, self.clock.now()) {
                    tracing::warn!(%error, "What has ended could not be taken out of the live store.");
                }
            }
        }
    }

    fn transaction(&self, first: Write, requests: &Receiver<Write>) {
        let mut all = std::iter::once(first).chain(requests.try_iter().take(MOST - 1));
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            let why = failure(error);
            for write in all {
                let (_, settle) = write(Err(Arc::clone(&why)));
                settle(None);
            }
            return;
        }
        let now = self.clock.now();
        let (mut said, mut changed, mut settled, mut failed) = (Vec::new(), false, Vec::new(), None);
        for write in all.by_ref() {
            failed = self.savepoint(write, now, &mut said, &mut changed, &mut settled).err().map(failure);
            // A full disk or a failed read may end the whole transaction.
            if failed.is_none() && self.db.is_autocommit() {
                failed = Some(Arc::new(Fail::RolledBack));
            }
            if failed.is_some() {
                break;
            }
        }
        if failed.is_none() {
            failed = self.execute("COMMIT").err().map(failure);
        }
        if failed.is_some() && !self.db.is_autocommit() {
            // It fails only if there is nothing to roll back.
            drop(self.execute("ROLLBACK"));
        }
        if failed.is_none() {
            self.hub.say(said);
            if changed {
                self.hub.changed();
            }
        }
        for settle in settled {
            settle(failed.as_ref());
        }
    }

    fn savepoint(
        &self,
        write: Write,
        now: Millis,
        said: &mut Vec<Announcement>,
        changed: &mut bool,
        settled: &mut Vec<Settle>,
    ) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT step")?;
        let before = said.len();
        let mut tx = Tx { db: &self.db, now, settings: &self.settings, said, changed };
        let (stays, settle) = write(Ok(&mut tx));
        settled.push(settle);
        if self.db.is_autocommit() {
            return Ok(());
        }
        if !stays {
            said.truncate(before);
            self.execute("ROLLBACK TO step")?;
        }
        self.execute("RELEASE step")
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }
}
