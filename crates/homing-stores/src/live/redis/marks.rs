//! What was read.

use std::sync::Arc;

use homing_core::live::{LiveDown, MAX_ID, Marks, Stream};
use redis::Value;

use super::{
    MOST_DONE, MOST_MARKED, RedisLive,
    inbox::json,
    link::Ask,
    millis,
    script::{array, text},
};
use crate::live::failure::{check_name, check_stream};

/// Ids that one call of the script marks, and pairs that one asks for.
const IDS: usize = 1_000;

const PART: &str = "inbox";

impl RedisLive {
    pub(super) async fn mark_read(
        &self,
        user: &str,
        streams: &[Stream],
        marks: &Marks,
    ) -> Result<Vec<Arc<str>>, LiveDown> {
        check_name(&self.what(PART), user)?;
        let own = Stream::User(user.into());
        match marks {
            Marks::Ids(ids) => {
                let mut all = vec![&own];
                all.extend(streams.iter().filter(|stream| **stream != own));
                // Ids that no store takes were never stored.
                let ids: Vec<&str> = ids.iter().map(|id| &**id).filter(|id| id.len() <= MAX_ID).collect();
                let (mut fresh, mut unknown) = (Vec::new(), Vec::new());
                for ids in ids.chunks(IDS) {
                    let mut words = vec!["ids".to_owned()];
                    words.extend(ids.iter().map(|id| (*id).to_owned()));
                    let (new, not_found) = self.mark_some(user, &all, words).await?;
                    fresh.extend(new);
                    unknown.extend(not_found);
                }
                if let Some(shape) = &self.old {
                    fresh.extend(self.old_mark(shape, user, &unknown).await?);
                }
                Ok(fresh)
            }
            Marks::UpTo(stream, to) => {
                let words = vec!["upto".to_owned(), to.epoch.to_string(), to.offset.to_string()];
                let (mut fresh, _) = self.mark_some(user, &[stream], words).await?;
                if let Some(shape) = &self.old
                    && *stream == own
                {
                    // All of it is older.
                    let (old, _) = self.old_unread(shape, user).await?;
                    let ids: Vec<Arc<str>> = old.into_iter().map(|stored| stored.id).collect();
                    fresh.splice(0..0, self.old_mark(shape, user, &ids).await?);
                }
                Ok(fresh)
            }
        }
    }

    /// Answers the ids that were unread until now, and those that no stream knows.
    async fn mark_some(
        &self,
        user: &str,
        streams: &[&Stream],
        words: Vec<String>,
    ) -> Result<(Vec<Arc<str>>, Vec<Arc<str>>), LiveDown> {
        let script = &self.scripts.mark;
        let mut cmd = script.call(streams.len() + 1);
        cmd.arg(self.keys.user(user));
        for stream in streams {
            check_stream(&self.what(PART), stream)?;
            cmd.arg(self.keys.stream(stream));
        }
        let name = format!("u:{user}");
        cmd.arg(self.keys.channel(Stream::User(user.into()).shard()));
        cmd.arg(format!("{{\"k\":\"r\",\"s\":{},\"ids\":[", json(&name)));
        cmd.arg(millis(self.settings.meta_ttl)).arg(millis(self.settings.id_window)).arg(MOST_MARKED).arg(MOST_DONE);
        for stream in streams {
            cmd.arg(stream.to_string());
        }
        for word in words {
            cmd.arg(word);
        }
        let answer = self.writes.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
        let ids = |value: Value| -> Option<Vec<Arc<str>>> {
            array(value)?.into_iter().map(|id| text(id).map(Arc::from)).collect()
        };
        let read = |answer: Value| {
            let [fresh, unknown]: [Value; 2] = array(answer)?.try_into().ok()?;
            Some((ids(fresh)?, ids(unknown)?))
        };
        read(answer).ok_or_else(|| self.unexpected(PART, script, &Value::Nil))
    }

    pub(super) async fn ask_read(&self, pairs: &[(&str, &str)]) -> Result<Vec<bool>, LiveDown> {
        let script = &self.scripts.were_read;
        let mut all = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(IDS) {
            let mut cmd = script.call(pairs.len() + 1);
            cmd.arg(self.keys.stream(&Stream::Everyone));
            for (user, _) in pairs {
                check_name(&self.what(PART), user)?;
                cmd.arg(self.keys.user(user));
            }
            for (user, id) in pairs {
                cmd.arg(format!("u:{user}")).arg(id);
            }
            let answer = self.reads.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
            match answer {
                Value::Array(bits) if bits.len() == pairs.len() => {
                    all.extend(bits.iter().map(|bit| matches!(bit, Value::Int(1))));
                }
                other => return Err(self.unexpected(PART, script, &other)),
            }
        }
        Ok(all)
    }
}
