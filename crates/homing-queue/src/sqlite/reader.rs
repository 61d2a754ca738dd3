//! The thread that reads. A reader of a WAL file sees what is committed and on disk, and waits for nobody.

use std::{
    sync::mpsc::{Receiver, Sender},
    thread,
};

use homing_core::queue::Result;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::{Fail, unavailable};

/// Most requests that share a snapshot.
const MOST: usize = 256;

type Request = Box<dyn FnOnce(Result<&Connection, &str>) + Send>;

/// Gives requests to the thread, which ends when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Reader(Sender<Request>);

impl Reader {
    /// Starts the thread.
    pub(super) fn start(db: Connection) -> std::io::Result<Self> {
        let (tx, rx) = std::sync::mpsc::channel();
        thread::Builder::new().name("queue-reader".to_owned()).spawn(move || serve(&db, &rx))?;
        Ok(Self(tx))
    }

    /// Reads from a snapshot that is not older than this call.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        let (tx, rx) = oneshot::channel();
        let request: Request = Box::new(move |db| {
            let answer = match db {
                Ok(db) => look(db).map_err(homing_core::queue::Error::from),
                Err(why) => Err(unavailable(why)),
            };
            // The caller may have gone.
            drop(tx.send(answer));
        });
        self.0.send(request).map_err(|_| unavailable("the queue's reader has stopped"))?;
        rx.await.map_err(|_| unavailable("the queue's reader has stopped"))?
    }
}

fn serve(db: &Connection, requests: &Receiver<Request>) {
    let execute = |sql: &str| db.prepare_cached(sql)?.execute([]).map(drop);
    while let Ok(first) = requests.recv() {
        // All are taken before the snapshot is: it must not be older than any of them.
        let waiting: Vec<Request> = std::iter::once(first).chain(requests.try_iter().take(MOST - 1)).collect();
        let began: rusqlite::Result<()> = execute("BEGIN");
        let why = began.err().map(|e| e.to_string());
        for request in waiting {
            request(why.as_deref().map_or(Ok(db), Err));
        }
        if !db.is_autocommit() && execute("COMMIT").is_err() {
            // A snapshot that stays open would show the same for ever.
            drop(execute("ROLLBACK"));
        }
    }
}
