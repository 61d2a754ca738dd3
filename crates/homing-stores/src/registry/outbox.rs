//! The outbox: what changed, written by the transaction that changed it, read until it is acknowledged.
//!
//! Numbers are given before their transactions end, so a lower one may appear after a higher one. Therefore nobody
//! remembers "up to which number": a change is acknowledged by its own number. Acknowledged ones are kept for a day, so
//! that an old MySQL, which counts anew from the highest number in the table when it starts, does not give one again
//! while the entry queue still remembers it.

use homing_core::clock::Millis;
use homing_core::registry::{Change, ChangeKind};

use crate::registry::tables::{marks, number, text, values};
use crate::registry::{SqlRegistry, Stop};
use crate::sql::Session;

/// Changes in one INSERT.
const MOST: usize = 500;

/// A change that is to be told.
pub(super) struct Note<'a> {
    pub(super) kind: ChangeKind,
    pub(super) user: String,
    pub(super) device: String,
    pub(super) channel: String,
    pub(super) why: &'a str,
}

impl SqlRegistry {
    /// Writes changes down, if anybody is told of them.
    pub(super) async fn note(
        &self,
        session: &mut (dyn Session + '_),
        notes: &[Note<'_>],
        now: Millis,
    ) -> Result<(), Stop> {
        if !self.told {
            return Ok(());
        }
        for notes in notes.chunks(MOST) {
            let rows = vec!["(?, ?, ?, ?, ?, ?, 0)"; notes.len()].join(", ");
            let insert =
                format!("INSERT INTO @change (at, kind, user_id, device, channel, why, done_at) VALUES {rows}");
            let row = notes.iter().fold(values(), |row, note| {
                row.number(now).texts([note.kind.name(), &note.user, &note.device, &note.channel, note.why])
            });
            self.tables.run(session, &insert, row).await?;
        }
        Ok(())
    }

    /// Wakes who reads the outbox in this process.
    pub(super) fn tell(&self) {
        if self.told {
            self.wake.notify_one();
        }
    }

    pub(super) async fn pending(&self, after: u64, limit: usize) -> Result<Vec<Change>, Stop> {
        // Ordered by the number, and not by the text of it that is selected.
        let select = "SELECT #seq, #at, kind, user_id, device, channel, why FROM @change AS c \
                      WHERE done_at = 0 AND seq > ? ORDER BY c.seq LIMIT ?";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.clamp(1, 10_000)).unwrap_or(10_000);
        let rows = self.tables.rows(select, values().number(after).number(limit)).await?;
        let change = |row: &Vec<Option<String>>| {
            // A newer Homing may write kinds that this one does not know: those wait for it.
            Some(Change {
                seq: u64::try_from(number(row, 0)?).ok()?,
                at: number(row, 1)?,
                kind: ChangeKind::parse(&text(row, 2))?,
                user: text(row, 3),
                device: text(row, 4),
                channel: text(row, 5),
                why: text(row, 6),
            })
        };
        Ok(rows.iter().filter_map(change).collect())
    }

    pub(super) async fn acknowledge_once(&self, seqs: &[u64], now: Millis) -> Result<(), Stop> {
        for seqs in seqs.chunks(MOST) {
            let mut session = self.tables.begin().await?;
            let done = format!("UPDATE @change SET done_at = ? WHERE seq IN ({}) AND done_at = 0", marks(seqs.len()));
            let numbers = seqs.iter().map(|seq| i64::try_from(*seq).unwrap_or(i64::MAX));
            let end = self.tables.run(&mut *session, &done, values().number(now.max(1)).numbers(numbers)).await;
            self.ended(session, end.map(|_| ()).map_err(Stop::from)).await?;
        }
        Ok(())
    }
}
