//! The notice board as a process sees it: one task reads it when something changed, and puts notices up.
//!
//! | notice | text |
//! |---|---|
//! | `pause:{channel}:{route}` | until when nothing is sent there, in milliseconds since 1970; see [`gates`](crate::gates) |
//! | `migration:{name}` | a migration's state, as JSON |
//! | `migration-error:{name}:{arm}` | the last error of a side of it, in words |
//!
//! Whoever reads it asks [`Board::now`], which costs no round trip, or waits on [`Board::subscribe`]. What is put up is
//! tried until it stands; nobody waits for that.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use homing_core::{
    clock::{Clock, Millis},
    queue::{Error, MAX_NOTICES, Queue},
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Key to text.
pub type Notices = BTreeMap<String, String>;

/// What the key of a pause begins with.
pub(crate) const PAUSE: &str = "pause:";

/// How often the board is looked at though nothing was announced, and how often what may wait is put up.
const EVERY: Duration = Duration::from_secs(1);

/// Changes that come together are read together.
const TOGETHER: Duration = Duration::from_millis(5);

/// A pause that is over by so much is taken down by whoever sees it: clocks may differ, in milliseconds.
const OVER: Millis = 60_000;

/// See the module.
pub struct Board {
    seen: watch::Sender<Arc<Notices>>,
    has_looked: AtomicBool,
    wanted: Mutex<Wanted>,
    urgent: Notify,
}

#[derive(Default)]
struct Wanted {
    /// To be put up or taken down; of several for a key the last.
    notices: BTreeMap<String, Option<String>>,
    /// As `notices`, but at most once a second.
    later: BTreeMap<String, String>,
    /// Pauses that this process found: they are put up again should somebody have taken them down.
    pauses: BTreeMap<String, Millis>,
}

impl Board {
    /// Reads the board of `queue` from now on until `stop`. Pauses that are over by `clock` are taken down.
    pub fn start(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, stop: CancellationToken) -> Arc<Self> {
        let board = Arc::new(Self::still(Notices::new()));
        board.has_looked.store(false, Ordering::Release);
        let task = Arc::clone(&board);
        tokio::spawn(async move { task.follow(&*queue, &*clock, &stop).await });
        board
    }

    /// A board that nobody changes, for tools and tests.
    pub fn still(notices: Notices) -> Self {
        Self {
            seen: watch::Sender::new(Arc::new(notices)),
            has_looked: AtomicBool::new(true),
            wanted: Mutex::default(),
            urgent: Notify::new(),
        }
    }

    /// What stood there at the last look; empty before the first.
    pub fn now(&self) -> Arc<Notices> {
        Arc::clone(&self.seen.borrow())
    }

    /// Is signalled after each change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Notices>> {
        self.seen.subscribe()
    }

    /// Ends when the board was read for the first time.
    pub async fn first_look(&self) {
        let mut seen = self.subscribe();
        while !self.has_looked.load(Ordering::Acquire) {
            if seen.changed().await.is_err() {
                return;
            }
        }
    }

    /// Puts a notice up, or takes it down, as soon as it can be.
    pub fn post(&self, key: impl Into<String>, notice: Option<String>) {
        let mut wanted = self.wanted();
        if wanted.notices.len() < MAX_NOTICES {
            wanted.notices.insert(key.into(), notice);
            drop(wanted);
            self.urgent.notify_one();
        }
    }

    /// Puts a notice up within a second or so: of many in that time the last.
    pub fn post_later(&self, key: String, notice: String) {
        let mut wanted = self.wanted();
        if wanted.later.len() < MAX_NOTICES && self.now().get(&key) != Some(&notice) {
            wanted.later.insert(key, notice);
        }
    }

    /// Puts a pause up; one that stands there and ends later is left.
    pub(crate) fn pause(&self, key: String, until: Millis) {
        let mut wanted = self.wanted();
        if wanted.pauses.len() < MAX_NOTICES && wanted.pauses.get(&key).is_none_or(|known| *known < until) {
            wanted.pauses.insert(key, until);
            drop(wanted);
            self.urgent.notify_one();
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(&self, queue: &dyn Queue, clock: &dyn Clock, stop: &CancellationToken) {
        let mut troubled = false;
        let mut flushed = Instant::now();
        loop {
            let looked = Instant::now();
            let mut trouble = self.look(queue, clock.now()).await.err();
            if flushed.elapsed() >= EVERY || stop.is_cancelled() {
                flushed = Instant::now();
                let mut wanted = self.wanted();
                let later = std::mem::take(&mut wanted.later);
                wanted.notices.extend(later.into_iter().map(|(key, notice)| (key, Some(notice))));
            }
            if trouble.is_none() {
                trouble = self.put_up(queue, clock.now()).await.err();
            }
            match &trouble {
                Some(error) if !troubled => {
                    warn!(%error, "The notice board cannot be used; other processes may not know of pauses.")
                }
                None if troubled => info!("The notice board works again."),
                _ => {}
            }
            troubled = trouble.is_some();
            tokio::select! {
                () = stop.cancelled() => {
                    // What came in the meantime; nobody waits for a server that is away.
                    self.put_up(queue, clock.now()).await.ok();
                    return;
                }
                // The first of many is looked at without delay.
                () = queue.noticed() => sleep_until(looked + TOGETHER).await,
                () = self.urgent.notified(), if !troubled => {}
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self, queue: &dyn Queue, now: Millis) -> Result<(), Error> {
        let notices = queue.notices().await?;
        let mut wanted = self.wanted();
        for (key, until) in notices.iter().filter_map(|(key, until)| Some((key, pause(key, until)?))) {
            if until + OVER < now {
                wanted.notices.entry(key.clone()).or_insert(None);
            }
        }
        wanted.pauses.retain(|_, until| *until > now);
        let Wanted { notices: posts, pauses, .. } = &mut *wanted;
        for (key, until) in pauses {
            if notices.get(key).and_then(|text| pause(key, text)).is_none_or(|there| there < *until) {
                posts.insert(key.clone(), Some(until.to_string()));
            }
        }
        drop(wanted);
        let first = !self.has_looked.swap(true, Ordering::AcqRel);
        if first || **self.seen.borrow() != notices {
            self.seen.send_replace(Arc::new(notices));
        }
        Ok(())
    }

    async fn put_up(&self, queue: &dyn Queue, now: Millis) -> Result<(), Error> {
        {
            let mut wanted = self.wanted();
            let seen = self.now();
            let Wanted { notices, pauses, .. } = &mut *wanted;
            for (key, until) in pauses.iter().filter(|(_, until)| **until > now) {
                if seen.get(key).and_then(|text| pause(key, text)).is_none_or(|there| there < *until) {
                    notices.insert(key.clone(), Some(until.to_string()));
                }
            }
        }
        let posts = std::mem::take(&mut self.wanted().notices);
        let mut failed = None;
        for (key, notice) in posts {
            match queue.post(&key, notice.as_deref()).await {
                Ok(()) => {}
                Err(Error::Unavailable(error)) => {
                    // A newer one for the same key counts more.
                    self.wanted().notices.entry(key).or_insert(notice);
                    failed = Some(Error::Unavailable(error));
                }
                // It will not be taken next time either: a board that is full, or a text that is too long.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Until when the notice `key` pauses; `None` where it is another or no number.
pub(crate) fn pause(key: &str, text: &str) -> Option<Millis> {
    key.strip_prefix(PAUSE)?;
    text.parse().ok()
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
