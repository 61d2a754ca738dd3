//! `homing scan audit`: was anything skipped between two times?
//!
//! The source is walked in pages, and each chat is looked up in the record of ids that the scanner keeps in its seat. Two
//! bounds keep it honest while the scanner works on:
//! - what is not older than the last sweep less the overlap may still be found by the scanner itself: it is *waiting*;
//! - what is older than the record reaches may have been taken in long ago: of it nothing can be said.
//!
//! A repair appends the event with its id, which the entry queue accepts once, and then leaves a tombstone of the id in the
//! seat: neither a later audit nor the scanner takes it for missing any more. Dying in between is harmless within the time
//! that the entry queue remembers ids.

use homing_core::{
    chat::{Chat, Cursor, Start, Unreadable},
    clock::Millis,
    lookup::StoreDown,
    queue::{self, Budget, Mark, NewItem, Queue, QueueName},
};
use serde::Serialize;

use super::{Feed, PAGE_BYTES, id_of, progress::Progress, time_of};

/// Chats per page.
const PAGE: usize = 1_000;
/// A report names at most so many ids.
const NAMED: usize = 20;
/// So long (ms) a repaired id is remembered: 30 days.
const REPAIRED: Millis = 30 * 24 * 3_600_000;

/// What is to be audited.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// The first time, in milliseconds since 1970.
    pub from: Millis,
    /// The last time.
    pub to: Millis,
    /// Take in what is missing?
    pub repair: bool,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Chats between the two times.
    pub in_source: u64,
    /// Of these, on record: taken in by the scanner, or history when it first started.
    pub taken_in: u64,
    /// Repaired by an earlier audit.
    pub repaired_before: u64,
    /// The scanner may still find them: they are too new, or it has not come so far.
    pub waiting: u64,
    /// Not on record, and older than the record reaches.
    pub cannot_say: u64,
    /// Skipped.
    pub missing: u64,
    /// The first of them.
    pub missing_ids: Vec<String>,
    /// Of the missing, appended by this audit.
    pub repaired: u64,
    /// Of the missing, appended by an audit that died before it could note that.
    pub accepted_before: u64,
    /// The record reaches back to this time (ms); `None` = to the beginning.
    pub record_reaches: Option<Millis>,
    /// What is newer than this (ms) is left to the scanner; `None` = all of it.
    pub judged_until: Option<Millis>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The scanner has never run.
    #[error("the scanner has no record: it has never started")]
    NoRecord,
    /// The source.
    #[error("the chats cannot be read")]
    Source(#[from] StoreDown),
    /// The queue.
    #[error("the record cannot be read, or the repair cannot be written")]
    Queue(#[from] queue::Error),
}

impl Report {
    /// Is nothing missing any more?
    pub fn is_complete(&self) -> bool {
        self.missing == self.repaired + self.accepted_before
    }
}

impl Feed {
    /// Audits, and repairs if that is asked for. It changes nothing else and needs no lease: the scanner works on.
    ///
    /// # Errors
    /// A server cannot be reached; what was repaired by then stays so, and an audit may be repeated.
    pub async fn audit(&self, queue: &dyn Queue, audit: Audit, now: Millis) -> Result<Report, AuditError> {
        let progress = self.progress(queue).await?;
        let judged_until = progress.swept.map(|swept| swept.saturating_sub(self.overlap));
        let mut report = Report { judged_until, ..Report::default() };
        let mut cursor = self.source.start(Start::At(audit.from)).await?;
        let mut reach = progress.reach;
        loop {
            let page = self.source.read(cursor.as_ref(), Budget { items: PAGE, bytes: PAGE_BYTES }).await?;
            let Some(end) = page.chats.last().map(super::cursor_of).cloned() else { break };
            let mut last = None;
            let chats: Vec<_> = page
                .chats
                .into_iter()
                .filter(|chat| {
                    last = time_of(chat).or(last);
                    last.is_none_or(|at| (audit.from..=audit.to).contains(&at))
                })
                .collect();
            reach = self.judge(queue, chats, audit, now, &mut report).await?.unwrap_or(reach);
            cursor = Some::<Cursor>(end);
            if !page.more || last.is_some_and(|at| at > audit.to) {
                break;
            }
        }
        report.record_reaches = (reach > Millis::MIN).then_some(reach);
        Ok(report)
    }

    async fn progress(&self, queue: &dyn Queue) -> Result<Progress, AuditError> {
        let values = queue.inspect(&self.seat).await?.values;
        Progress::read(&values, self.audit).ok_or(AuditError::NoRecord)
    }

    /// Judges one page; answers how far the record reached when it was judged, if that had to be asked.
    async fn judge(
        &self,
        queue: &dyn Queue,
        chats: Vec<Result<Chat, Unreadable>>,
        audit: Audit,
        now: Millis,
        report: &mut Report,
    ) -> Result<Option<Millis>, AuditError> {
        let ids: Vec<&str> = chats.iter().map(id_of).collect();
        let marks = queue.marks(&self.seat, &ids).await?;
        report.in_source += marks.len() as u64;
        if marks.iter().all(|mark| mark.seen) {
            report.taken_in += marks.len() as u64;
            return Ok(None);
        }
        // Asked after the marks: what the scanner forgot between the two questions is older than this.
        let reach = self.progress(queue).await?.reach;
        let mut missing = Vec::new();
        let mut last = audit.from;
        for (chat, mark) in chats.into_iter().zip(marks) {
            last = time_of(&chat).unwrap_or(last);
            match mark {
                Mark { seen: true, .. } => report.taken_in += 1,
                Mark { cancelled: true, .. } => report.repaired_before += 1,
                _ if report.judged_until.is_none_or(|until| last >= until) => report.waiting += 1,
                _ if last < reach => report.cannot_say += 1,
                _ => {
                    report.missing += 1;
                    if report.missing_ids.len() < NAMED {
                        report.missing_ids.push(id_of(&chat).to_owned());
                    }
                    missing.extend(chat.ok());
                }
            }
        }
        if audit.repair {
            self.repair(queue, &missing, now, report).await?;
        }
        Ok(Some(reach))
    }

    async fn repair(
        &self,
        queue: &dyn Queue,
        missing: &[Chat],
        now: Millis,
        report: &mut Report,
    ) -> Result<(), AuditError> {
        let mut by_queue: Vec<(QueueName, Vec<NewItem>, Vec<&str>)> = Vec::new();
        for chat in missing {
            // What cannot be an event stays missing.
            let Ok((to, body)) = self.item(chat, now) else { continue };
            let item = NewItem { id: Some(self.id(&chat.id)), body };
            match by_queue.iter_mut().find(|(queue, ..)| *queue == to) {
                Some((_, items, ids)) => {
                    items.push(item);
                    ids.push(&chat.id);
                }
                None => by_queue.push((to, vec![item], vec![&chat.id])),
            }
        }
        for (to, items, ids) in by_queue {
            let new = queue.append(&to, &items, self.high_water, now).await?;
            for (id, new) in ids.into_iter().zip(new) {
                queue.cancel(&self.seat, id, now, now.saturating_add(REPAIRED)).await?;
                if new {
                    report.repaired += 1;
                } else {
                    report.accepted_before += 1;
                }
            }
        }
        Ok(())
    }
}
