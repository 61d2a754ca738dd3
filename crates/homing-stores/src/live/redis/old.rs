//! A history from before Homing, in hashes of the same server.

use std::sync::Arc;

use homing_core::live::{Announcement, LiveDown, Stored, Stream};
use redis::Value;

use super::{
    MOST_DONE, RedisLive,
    link::Ask,
    millis,
    script::{array, bytes, text},
};
use crate::live::old::Shape;

const PART: &str = "old history";

/// Entries that one HSCAN looks at, about.
const PAGE: usize = 1_000;

impl RedisLive {
    /// What is unread in a user's hash, in order, and whether there is more than may be looked at.
    pub(super) async fn old_unread(&self, shape: &Shape, user: &str) -> Result<(Vec<Stored>, bool), LiveDown> {
        let (mut cursor, mut looked, mut found) = ("0".to_owned(), 0, Vec::new());
        loop {
            let mut cmd = redis::cmd("HSCAN");
            cmd.arg(shape.key(user)).arg(&cursor).arg("COUNT").arg(PAGE);
            let answer = self.reads.ask(Ask::Command(&cmd)).await.map_err(|error| self.down(PART, error))?;
            let (next, page) = page(answer).ok_or_else(|| self.down(PART, "unexpected answer to HSCAN"))?;
            looked += page.len();
            found.extend(page.iter().filter_map(|(id, entry)| shape.unread(id, entry)));
            let cut = looked >= shape.most() && next != "0";
            if cut || next == "0" {
                return Ok((Shape::ordered(found), cut));
            }
            cursor = next;
        }
    }

    /// Marks entries as read; answers those that were unread until now.
    pub(super) async fn old_mark(
        &self,
        shape: &Shape,
        user: &str,
        ids: &[Arc<str>],
    ) -> Result<Vec<Arc<str>>, LiveDown> {
        let mut fresh = Vec::new();
        for id in ids {
            // Whoever changes the entry at the same time may have read it as well.
            for _ in 0..3 {
                let mut cmd = redis::cmd("HGET");
                cmd.arg(shape.key(user)).arg(&**id);
                let answer = self.writes.ask(Ask::Command(&cmd)).await.map_err(|error| self.down(PART, error))?;
                let Value::BulkString(entry) = answer else { break };
                let Some(after) = shape.marked(&entry) else { break };
                if self.old_write(shape, user, id, &entry, &after).await? {
                    fresh.push(Arc::clone(id));
                    break;
                }
            }
        }
        Ok(fresh)
    }

    async fn old_write(
        &self,
        shape: &Shape,
        user: &str,
        id: &Arc<str>,
        before: &[u8],
        after: &str,
    ) -> Result<bool, LiveDown> {
        let script = &self.scripts.old;
        let said = Announcement::Read { user: user.into(), ids: vec![Arc::clone(id)] };
        let mut cmd = script.call(2);
        cmd.arg(shape.key(user)).arg(self.keys.done(user)).arg(&**id).arg(before).arg(after);
        cmd.arg(millis(self.settings.id_window)).arg(MOST_DONE);
        cmd.arg(self.keys.channel(Stream::User(user.into()).shard())).arg(said.encode().as_ref());
        let answer = self.writes.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
        Ok(matches!(answer, Value::Int(1)))
    }
}

/// Id and value.
type Entry = (String, Vec<u8>);

/// The next cursor and the entries of a page.
fn page(answer: Value) -> Option<(String, Vec<Entry>)> {
    let [cursor, flat]: [Value; 2] = array(answer)?.try_into().ok()?;
    let mut entries = Vec::new();
    let mut flat = array(flat)?.into_iter();
    while let (Some(id), Some(entry)) = (flat.next(), flat.next()) {
        // An id that is no text names none of our messages.
        if let (Some(id), Some(entry)) = (text(id), bytes(entry)) {
            entries.push((id, entry));
        }
    }
    Some((text(cursor)?, entries))
}
