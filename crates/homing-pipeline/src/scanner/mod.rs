//! The scanner: new chats from their store into the entry queues.
//!
//! ```text
//! begin ─► sweep ─► look ─► pause ─┐     look: a page behind the cursor
//!            ▲                     │     sweep: the ids of the overlap behind the cursor; the unknown ones are late chats
//!            └─────────────────────┘     pause: until `poll` is over or the source wakes us
//! ```
//!
//! The cursor (how far the source has been read), the ids that were taken in and the events stand in one commit: a crash
//! between reading and committing reads the same page again, and a commit that ran is never repeated. The set of ids lives
//! in the seat, the shard that holds the cursor; a window of it is kept in memory (`known`), and what is not there is asked
//! for before it counts as late. What is guaranteed, and what it costs, is in `docs/scanner.md`.

mod audit;
mod begin;
mod feed;
mod known;
mod progress;
mod sweep;

use std::time::Duration;

use futures_util::future::BoxFuture;
use homing_core::{
    chat::{Chat, Cursor, Unreadable},
    clock::Millis,
    lookup::StoreDown,
    queue::{self, Budget, Commit, QueueName, Shard},
    steps::Step,
};
use tokio::time::{Instant, sleep};
use tracing::warn;

pub use audit::{Audit, AuditError, Report};
pub use feed::{Feed, Recipients};

use self::{known::Window, progress::Progress, sweep::Sweeps};
use crate::{context::Context, keeper::Worker, meter};

/// What a scanner does, beside where its chats come from and go to.
pub struct Scanner {
    /// The source and the queues.
    pub feed: Feed,
    /// Chats per page and commit.
    pub page: usize,
    /// Time between looks at the source.
    pub poll: Duration,
    /// Where the very first start begins.
    pub from: From,
    /// Shared.
    pub cx: Context,
}

/// Where a scanner begins at its first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// Behind the newest message: history is not pushed.
    #[default]
    Newest,
    /// At the oldest.
    Beginning,
    /// At the first of this time or later.
    At(Millis),
}

/// A page is cut at so many bytes of documents.
const PAGE_BYTES: usize = 8 << 20;
/// Wake-ups in a storm are gathered for so long.
const GATHER: Duration = Duration::from_millis(5);

/// Where a scanner stands.
struct Run {
    cursor: Option<Cursor>,
    progress: Progress,
    known: Window,
    sweeps: Sweeps,
    looked: Instant,
    warned_ahead: bool,
}

impl Worker for Scanner {
    fn shard(&self) -> &QueueName {
        &self.feed.seat
    }

    fn work<'a>(&'a mut self, shard: &'a mut dyn Shard) -> BoxFuture<'a, queue::Result<()>> {
        Box::pin(self.scan(shard))
    }
}

impl Scanner {
    async fn scan(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        let Some(mut run) = self.begin(shard).await? else { return Ok(()) };
        while !self.cx.stop.is_cancelled() {
            if !self.cx.room(shard).await? {
                return Ok(());
            }
            if run.sweeps.is_due(&run, self) && self.sweep(shard, &mut run).await?.is_none() {
                return Ok(());
            }
            let Some(more) = self.look(shard, &mut run).await? else { return Ok(()) };
            if !more && !run.sweeps.is_due(&run, self) {
                self.pause(shard, &mut run).await?;
            }
        }
        Ok(())
    }

    /// One page behind the cursor: the chats become events, and the cursor moves behind the last. Answers whether there
    /// is more; `None` when the process stops.
    async fn look(&self, shard: &mut dyn Shard, run: &mut Run) -> queue::Result<Option<bool>> {
        run.looked = Instant::now();
        let budget = Budget { items: self.page, bytes: PAGE_BYTES };
        let read = || self.feed.source.read(run.cursor.as_ref(), budget);
        let Some(page) = self.until_answered(shard, read).await? else { return Ok(None) };
        self.cx.steps.at(Step::Peeked);
        let now = self.cx.clock.now();
        run.sweeps.explained(page.chats.len());
        if let Some(end) = page.chats.last().map(cursor_of).cloned() {
            let first = run.cursor.is_none();
            // What was taken in as late stands here once more if its time equals the cursor's.
            let new = page.chats.into_iter().filter(|chat| !run.known.contains(id_of(chat))).collect::<Vec<_>>();
            if first {
                run.progress.begin(new.iter().find_map(time_of).unwrap_or(now).min(now));
            }
            run.sweeps.read(new.len());
            self.take(shard, run, new, Some(end), now).await?;
        }
        if let Some(at) = run.cursor.as_ref().and_then(|cursor| self.feed.source.time_of(cursor)) {
            meter::scanner_lag(&self.feed.source_name, now - at);
            self.warn_ahead(run, at, now);
        }
        Ok(Some(page.more))
    }

    /// Takes chats in, in one commit: events, ids, and the cursor if it moves.
    async fn take(
        &self,
        shard: &mut dyn Shard,
        run: &mut Run,
        chats: Vec<Result<Chat, Unreadable>>,
        end: Option<Cursor>,
        now: Millis,
    ) -> queue::Result<()> {
        let mut commit = Commit::default();
        let mut ids = Vec::with_capacity(chats.len());
        let (mut received, mut unreadable) = (0, 0);
        for chat in chats {
            // The time of one that cannot be read is not far from its neighbours'.
            let at = time_of(&chat).or_else(|| ids.last().map(|(_, at)| *at)).unwrap_or(now);
            ids.push((id_of(&chat).to_owned(), at));
            if self.feed.add(&chat, now, &mut commit) {
                received += 1;
            } else {
                unreadable += 1;
            }
        }
        for (_, at) in &ids {
            run.progress.note(*at, now);
        }
        commit.seen = ids;
        if let Some(end) = &end {
            run.progress.at(end);
            commit.put.push((progress::CURSOR.to_owned(), end.0.clone().into()));
        }
        commit.put.push(run.progress.put());
        self.cx.steps.at(Step::Decided);
        self.cx.commit(shard, &commit).await?;
        self.cx.steps.at(Step::Committed);
        meter::committed("scan", received);
        meter::scanned(&self.feed.source_name, "received", received);
        meter::scanned(&self.feed.source_name, "unreadable", unreadable);
        for (id, at) in commit.seen {
            run.known.insert(id, at);
        }
        if let Some(end) = end {
            run.cursor = Some(end);
        }
        Ok(())
    }

    /// Waits for the next look.
    async fn pause(&self, shard: &mut dyn Shard, run: &mut Run) -> queue::Result<()> {
        let wait = run.sweeps.wait().map_or(self.poll, |wait| wait.min(self.poll)).max(Duration::from_millis(1));
        let pause = async {
            tokio::select! {
                () = sleep(wait) => 0,
                () = self.cx.stop.cancelled() => 0,
                news = self.feed.source.changed() => news,
            }
        };
        let news = self.cx.keeping(shard, pause).await?;
        if news > 0 {
            run.sweeps.woken(news);
            sleep(GATHER.saturating_sub(run.looked.elapsed())).await;
        }
        Ok(())
    }

    fn warn_ahead(&self, run: &mut Run, at: Millis, now: Millis) {
        let ahead = at > now.saturating_add(self.feed.overlap);
        if ahead && !run.warned_ahead {
            let seconds = (at - now) / 1_000;
            warn!(source = %self.feed.source_name, seconds, "A chat is of the future. Until then chats are found by their ids in the overlap, which costs more.");
        }
        run.warned_ahead = ahead;
    }

    /// Asks a store until it answers, keeping the lease; `None` when the process stops first.
    async fn until_answered<'b, T>(
        &self,
        shard: &mut dyn Shard,
        ask: impl Fn() -> BoxFuture<'b, Result<T, StoreDown>>,
    ) -> queue::Result<Option<T>> {
        self.cx.until_answered(shard, &format!("source {}", self.feed.source_name), ask).await
    }
}

fn id_of(read: &Result<Chat, Unreadable>) -> &str {
    read.as_ref().map_or_else(|unreadable| unreadable.id.as_str(), |chat| chat.id.as_str())
}

fn time_of(read: &Result<Chat, Unreadable>) -> Option<Millis> {
    read.as_ref().map_or_else(|unreadable| unreadable.created_at, |chat| Some(chat.created_at))
}

fn cursor_of(read: &Result<Chat, Unreadable>) -> &Cursor {
    read.as_ref().map_or_else(|unreadable| &unreadable.cursor, |chat| &chat.cursor)
}
