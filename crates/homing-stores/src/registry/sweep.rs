//! What nobody saw for long goes; what is gone for long enough is cleared away.

use homing_core::clock::Millis;
use homing_core::registry::{ChangeKind, Swept};

use crate::registry::outbox::Note;
use crate::registry::tables::{marks, text, values};
use crate::registry::{SqlRegistry, Stop};
use crate::sql::Session;

/// Acknowledged changes are kept this long.
const DONE: Millis = 86_400_000;

/// The most rows of a kind in one transaction.
const MOST: usize = 500;

impl SqlRegistry {
    pub(super) async fn expire_once(&self, now: Millis, limit: usize) -> Result<Swept, Stop> {
        let limit = limit.clamp(1, MOST);
        let expired = self.inactive(now, limit).await?;
        let kept = now.saturating_sub(self.keep);
        let old = |column: &str| format!("{column} > 0 AND {column} < ?");
        let mut removed = self.clear("@token", &["user_id", "device", "channel"], &old("died_at"), kept, limit).await?;
        removed += self.clear("@device", &["user_id", "device"], &old("gone_at"), kept, limit).await?;
        let done = now.saturating_sub(DONE);
        let told = self.clear("@change", &["seq"], &old("done_at"), done, limit).await?;
        let dropped = self.clear("@change", &["seq"], "done_at = 0 AND at < ?", kept, limit).await?;
        if dropped > 0 {
            tracing::warn!(dropped, "Changes of the registry that nobody took were dropped: they are too old.");
        }
        Ok(Swept { expired, removed: removed + told, dropped })
    }

    async fn inactive(&self, now: Millis, limit: usize) -> Result<u64, Stop> {
        let mut session = self.tables.begin().await?;
        let end = self.inactive_in(&mut *session, now, limit).await;
        let expired = self.ended(session, end).await?;
        if expired > 0 {
            self.tell();
        }
        Ok(expired)
    }

    async fn inactive_in(&self, session: &mut (dyn Session + '_), now: Millis, limit: usize) -> Result<u64, Stop> {
        let tables = &self.tables;
        let before = now.saturating_sub(self.inactive_after);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // What is registered at this moment is locked by who does it, and is looked at again by its time.
        let select = format!(
            "SELECT user_id, device FROM @device WHERE gone_at = 0 AND seen_at < ? ORDER BY seen_at LIMIT ?{}",
            tables.locked()
        );
        let found = tables.select(session, &select, values().number(before).number(limit)).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let pairs = vec!["(?, ?)"; found.len()].join(", ");
        let keys: Vec<(String, String)> = found.iter().map(|row| (text(row, 0), text(row, 1))).collect();
        let named = || keys.iter().flat_map(|(user, device)| [user.as_str(), device.as_str()]);
        let died = format!(
            "UPDATE @token SET died_at = ?, died_why = 'inactive', died_by = '', died_since = 0 \
             WHERE died_at = 0 AND (user_id, device) IN ({})",
            tables.list(&pairs)
        );
        tables.run(session, &died, values().number(now).texts(named())).await?;
        let gone = format!(
            "UPDATE @device SET gone_at = ?, gone_why = 'inactive' WHERE gone_at = 0 AND (user_id, device) IN ({})",
            tables.list(&pairs)
        );
        tables.run(session, &gone, values().number(now).texts(named())).await?;
        let kind = ChangeKind::DeviceExpired;
        let note = |(user, device): &(String, String)| Note {
            kind,
            user: user.clone(),
            device: device.clone(),
            channel: String::new(),
            why: "inactive",
        };
        let notes: Vec<Note<'_>> = keys.iter().map(note).collect();
        self.note(session, &notes, now).await?;
        Ok(u64::try_from(keys.len()).unwrap_or(u64::MAX))
    }

    /// Deletes some rows of a table for which a condition over a time holds.
    async fn clear(
        &self,
        table: &str,
        key: &[&str],
        condition: &str,
        before: Millis,
        limit: usize,
    ) -> Result<u64, Stop> {
        let tables = &self.tables;
        let number = key == ["seq"];
        let columns = if number { "#seq".to_owned() } else { key.join(", ") };
        let select = format!("SELECT {columns} FROM {table} WHERE {condition} LIMIT ?");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = tables.rows(&select, values().number(before).number(limit)).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let mut session = tables.begin().await?;
        let (which, named) = if number {
            let seqs = found.iter().filter_map(|row| text(row, 0).parse().ok());
            (format!("seq IN ({})", marks(found.len())), values().numbers(seqs))
        } else {
            let one = format!("({})", marks(key.len()));
            let all = vec![one.as_str(); found.len()].join(", ");
            let keys: Vec<String> = found.iter().flat_map(|row| (0..key.len()).map(|n| text(row, n))).collect();
            (
                format!("({}) IN ({})", key.join(", "), tables.list(&all)),
                values().texts(keys.iter().map(String::as_str)),
            )
        };
        // The condition once more: what was registered in between is not old any more.
        let delete = format!("DELETE FROM {table} WHERE {which} AND {condition}");
        let end = tables.run(&mut *session, &delete, named.number(before)).await.map_err(Stop::from);
        self.ended(session, end).await
    }
}
