//! Late chats: the ids of the overlap, read again and again.
//!
//! A sweep reads the ids from (where the cursor stood at the last sweep, less the overlap) up to the cursor. So a chat that
//! appears up to `overlap` behind the cursor is in the next sweep, however far the cursor has moved since. The cursor of a
//! source whose clock runs ahead is taken for our own time.
//!
//! When: at the start, every `max(poll, overlap/10)`, when a wake-up was not explained by the chats that a look found, and
//! when the cursor has moved far; never more than a twentieth of the time.

use std::time::Duration;

use homing_core::{
    chat::Stub,
    clock::Millis,
    queue::{self, Budget, Commit, Shard},
};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{PAGE_BYTES, Run, Scanner, id_of, known::MAX_IDS, known::Window};
use crate::meter;

/// A sweep is worth so many chats that the cursor has passed.
const FAR: usize = 20_000;
/// Of this many milliseconds a sweep may take one.
const SHARE: u32 = 20;
/// The shortest time between two sweeps.
const LEAST: Duration = Duration::from_millis(50);
/// Ids per question and chats per commit.
const CHUNK: usize = 1_000;
/// A sweep that found nothing is written down if the last written one is older than this (ms).
const NOTE: Millis = 1_000;

/// When the last sweep was, and what happened since.
#[derive(Default)]
pub(super) struct Sweeps {
    last: Option<(Instant, Duration)>,
    /// Messages that the source told of and no look has found.
    unexplained: u64,
    /// Chats that the cursor has passed.
    passed: usize,
    /// What the seat has of [`Progress::swept`](super::progress::Progress::swept).
    noted: Option<Millis>,
    shortened: bool,
}

impl Sweeps {
    pub(super) fn woken(&mut self, news: u64) {
        self.unexplained = self.unexplained.saturating_add(news);
    }

    pub(super) fn explained(&mut self, chats: usize) {
        self.unexplained = self.unexplained.saturating_sub(chats as u64);
    }

    pub(super) fn read(&mut self, chats: usize) {
        self.passed += chats;
    }

    pub(super) fn is_due(&self, run: &Run, scanner: &Scanner) -> bool {
        let Some(cursor) = &run.cursor else { return false };
        let Some((at, took)) = self.last else { return true };
        if self.passed >= FAR.max(run.known.len() / 2) {
            return true;
        }
        let since = at.elapsed();
        if since < gap(took) {
            return false;
        }
        // While the cursor stands in the future, chats of the present are only found here.
        let ahead = scanner.feed.source.time_of(cursor).is_none_or(|at| at > scanner.cx.clock.now());
        let overlap = Duration::from_millis(u64::try_from(scanner.feed.overlap).unwrap_or(0));
        self.unexplained > 0 || since >= (overlap / 10).max(scanner.poll) || (ahead && since >= scanner.poll)
    }

    /// How long until a sweep that is wanted may begin.
    pub(super) fn wait(&self) -> Option<Duration> {
        let (at, took) = self.last?;
        (self.unexplained > 0).then(|| gap(took).saturating_sub(at.elapsed()))
    }
}

fn gap(took: Duration) -> Duration {
    (took * SHARE).max(LEAST)
}

impl Scanner {
    /// One sweep. `None` when the process stops.
    pub(super) async fn sweep(&self, shard: &mut dyn Shard, run: &mut Run) -> queue::Result<Option<()>> {
        let Some(cursor) = run.cursor.clone() else { return Ok(Some(())) };
        let began = Instant::now();
        let (news, passed) = (run.sweeps.unexplained, run.sweeps.passed);
        let now = self.cx.clock.now();
        let anchor = self.feed.source.time_of(&cursor).unwrap_or(now).min(now);
        let from = run.progress.swept.unwrap_or(anchor).min(anchor).saturating_sub(self.feed.overlap);
        let overlap = {
            let known = |id: &str| run.known.contains(id);
            let read = || self.feed.source.overlap(from, &cursor, MAX_IDS, &known);
            self.until_answered(shard, read).await?
        };
        let Some(overlap) = overlap else { return Ok(None) };
        // To take in what is found is no cost of looking for it.
        let took = began.elapsed();
        self.tell_shortened(run, overlap.reaches > from);
        let mut unknown = overlap.unknown;
        unknown.reverse();
        let mut late = 0;
        for chunk in unknown.chunks(CHUNK) {
            let missing = self.missing(shard, &mut run.known, chunk).await?;
            match self.take_late(shard, run, missing, now).await? {
                Some(taken) => late += taken,
                None => return Ok(None),
            }
        }
        run.progress.swept = Some(anchor);
        // What stays are the ids that the next sweep reads.
        run.known.prune(anchor.saturating_sub(self.feed.overlap).min(overlap.reaches.max(from)));
        run.sweeps.unexplained = run.sweeps.unexplained.saturating_sub(news);
        run.sweeps.passed = run.sweeps.passed.saturating_sub(passed);
        run.sweeps.last = Some((Instant::now(), took));
        if late > 0 {
            debug!(source = %self.feed.source_name, late, "Took in late chats.");
        }
        if late > 0 || run.sweeps.noted.is_none_or(|noted| (anchor - noted).abs() >= NOTE) {
            run.sweeps.noted = Some(anchor);
            self.forget(shard, run, anchor).await?;
        }
        Ok(Some(()))
    }

    /// Those of the chunk that were not taken in yet, by the seat's word.
    async fn missing(&self, shard: &mut dyn Shard, known: &mut Window, chunk: &[Stub]) -> queue::Result<Vec<Stub>> {
        let ids: Vec<&str> = chunk.iter().map(|stub| stub.id.as_str()).collect();
        let marks = shard.marks(&ids).await?;
        let mut missing = Vec::new();
        for (stub, mark) in chunk.iter().zip(marks) {
            // An audit that repaired it took it out of our hands.
            if mark.seen || mark.cancelled {
                known.insert(stub.id.clone(), stub.created_at);
            } else {
                missing.push(stub.clone());
            }
        }
        Ok(missing)
    }

    /// Fetches and takes in what came late; answers how many. `None` when the process stops.
    async fn take_late(
        &self,
        shard: &mut dyn Shard,
        run: &mut Run,
        mut missing: Vec<Stub>,
        now: Millis,
    ) -> queue::Result<Option<usize>> {
        let mut late = 0;
        while !missing.is_empty() {
            let budget = Budget { items: CHUNK, bytes: PAGE_BYTES };
            let read = || self.feed.source.fetch(&missing, budget);
            let Some(page) = self.until_answered(shard, read).await? else { return Ok(None) };
            let more = page.more && !page.chats.is_empty();
            if !page.chats.is_empty() {
                late += page.chats.len();
                meter::scanned(&self.feed.source_name, "late", page.chats.len());
                let ids: std::collections::HashSet<String> = page.chats.iter().map(|c| id_of(c).to_owned()).collect();
                self.take(shard, run, page.chats, None, now).await?;
                missing.retain(|stub| !ids.contains(&stub.id));
            }
            // What is left was deleted meanwhile.
            if !more {
                break;
            }
        }
        Ok(Some(late))
    }

    /// Writes down how far the sweeps have come and forgets what nobody will ask for.
    async fn forget(&self, shard: &mut dyn Shard, run: &mut Run, anchor: Millis) -> queue::Result<()> {
        let before = anchor.saturating_sub(self.feed.audit.max(self.feed.overlap));
        run.progress.forget(before);
        let put = vec![run.progress.put()];
        self.cx.commit(shard, &Commit { put, forget_seen: Some(before), ..Commit::default() }).await
    }

    fn tell_shortened(&self, run: &mut Run, shortened: bool) {
        let source = &self.feed.source_name;
        match (run.sweeps.shortened, shortened) {
            (false, true) => {
                warn!(%source, ids = MAX_IDS, "More chats in the overlap than are kept in mind: it is shortened to the newest of them.")
            }
            (true, false) => info!(%source, "The whole overlap is read again."),
            _ => {}
        }
        run.sweeps.shortened = shortened;
    }
}
