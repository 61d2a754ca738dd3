//! The first start, and every other one.

use bytes::Bytes;
use homing_core::{
    chat::{Cursor, Start, Stub},
    clock::Millis,
    queue::{self, Budget, Commit, Shard},
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    From, Run, Scanner, id_of,
    known::{MAX_IDS, Window},
    progress::{CURSOR, Progress},
    sweep::Sweeps,
};

/// Ids per commit.
const CHUNK: usize = 1_000;

impl Scanner {
    /// Finds out where to go on. `None` when the process stops first.
    pub(super) async fn begin(&self, shard: &mut dyn Shard) -> queue::Result<Option<Run>> {
        let values = shard.opened().values.clone();
        let stored = values.iter().find(|(name, _)| name == CURSOR);
        let stored = stored.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let mut run = Run {
            cursor: stored.clone().filter(|text| !text.is_empty()).map(Cursor),
            progress: Progress::new(Millis::MIN, self.feed.audit),
            known: Window::default(),
            sweeps: Sweeps::default(),
            looked: Instant::now(),
            warned_ahead: false,
        };
        let progress = Progress::read(&values, self.feed.audit);
        match (progress, stored, run.cursor.clone()) {
            (Some(progress), Some(text), _) if progress.belongs_to(&text) => {
                run.progress = progress;
                Ok(Some(run))
            }
            // An operator set the cursor, or an older version kept no ids: what stands before it is history.
            (_, Some(_), Some(cursor)) => {
                info!(source = %self.feed.source_name, cursor = cursor.0, "Begins behind the stored cursor.");
                self.begin_at(shard, run, cursor).await
            }
            _ => self.first_start(shard, run).await,
        }
    }

    async fn first_start(&self, shard: &mut dyn Shard, mut run: Run) -> queue::Result<Option<Run>> {
        let source = &self.feed.source_name;
        let from = match self.from {
            From::Beginning => None,
            From::Newest => Some(Start::Newest),
            From::At(time) => {
                let now = self.cx.clock.now();
                if time > now {
                    warn!(%source, "The time to begin at is still to come: begins now.");
                }
                Some(Start::At(time.min(now)))
            }
        };
        if let Some(from) = from {
            let Some(start) = self.until_answered(shard, || self.feed.source.start(from)).await? else {
                return Ok(None);
            };
            if let Some(cursor) = start {
                info!(%source, from = ?self.from, "First start: what is older is history.");
                return self.begin_at(shard, run, cursor).await;
            }
        }
        // An empty source has no newest message; then everything that ever comes is new. This is written down: what comes
        // before the next start would be taken for history otherwise.
        info!(%source, "First start: begins at the beginning.");
        run.progress = Progress::new(Millis::MIN, self.feed.audit);
        let put = vec![(CURSOR.to_owned(), Bytes::new()), run.progress.put()];
        self.cx.commit(shard, &Commit { put, ..Commit::default() }).await?;
        Ok(Some(run))
    }

    /// Begins behind `cursor`: the ids of the overlap before it count as seen, so that history is not taken for late.
    async fn begin_at(&self, shard: &mut dyn Shard, mut run: Run, cursor: Cursor) -> queue::Result<Option<Run>> {
        let now = self.cx.clock.now();
        let at = self.feed.source.time_of(&cursor).unwrap_or(now);
        let anchor = at.min(now);
        let nothing = |_: &str| false;
        let history = || self.feed.source.overlap(anchor.saturating_sub(self.feed.overlap), &cursor, MAX_IDS, &nothing);
        let Some(history) = self.until_answered(shard, history).await? else { return Ok(None) };
        // Whoever came between the two questions with the cursor's own time is not history.
        let budget = Budget { items: 10_000, bytes: super::PAGE_BYTES };
        let behind = || self.feed.source.read(Some(&cursor), budget);
        let Some(behind) = self.until_answered(shard, behind).await? else { return Ok(None) };
        let behind: std::collections::HashSet<&str> = behind.chats.iter().map(id_of).collect();
        let history: Vec<Stub> = history.unknown.into_iter().filter(|s| !behind.contains(s.id.as_str())).collect();
        run.progress = Progress::new(anchor, self.feed.audit);
        run.progress.swept = Some(anchor);
        run.progress.at(&cursor);
        for chunk in history.chunks(CHUNK) {
            let seen = chunk.iter().map(|stub| (stub.id.clone(), stub.created_at)).collect();
            self.cx.commit(shard, &Commit { seen, ..Commit::default() }).await?;
        }
        for stub in history {
            run.progress.note(stub.created_at, now);
            run.known.insert(stub.id, stub.created_at);
        }
        let put = vec![(CURSOR.to_owned(), Bytes::from(cursor.0.clone())), run.progress.put()];
        self.cx.commit(shard, &Commit { put, ..Commit::default() }).await?;
        run.cursor = Some(cursor);
        Ok(Some(run))
    }
}
