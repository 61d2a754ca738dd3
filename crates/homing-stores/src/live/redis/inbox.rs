//! Streams: storing, what was missed, what is unread.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{Backlog, Inbox, LiveDown, Marks, Once, Position, Post, Posted, Stored, Stream, Unread},
};
use redis::Value;

use super::{
    MOST_IDS, RedisLive,
    link::Ask,
    millis, random,
    script::{array, bytes, number},
};
use crate::live::failure::{check_name, check_posts, check_stream};

/// Messages and bytes that one call of the script stores: the server does nothing else meanwhile.
const POSTS: usize = 256;
const BYTES: usize = 4 << 20;
/// Streams that one call of a script reads.
const STREAMS: usize = 64;

const PART: &str = "inbox";

impl Inbox for RedisLive {
    fn post<'a>(&'a self, posts: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        Box::pin(self.store(posts))
    }

    fn after<'a>(
        &'a self,
        asks: &'a [(Stream, Position)],
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        Box::pin(self.read_after(asks, limit))
    }

    fn unread<'a>(
        &'a self,
        user: &'a str,
        streams: &'a [Stream],
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        Box::pin(self.read_unread(user, streams, limit))
    }

    fn mark<'a>(
        &'a self,
        user: &'a str,
        streams: &'a [Stream],
        marks: &'a Marks,
    ) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        Box::pin(self.mark_read(user, streams, marks))
    }

    fn were_read<'a>(&'a self, pairs: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        Box::pin(self.ask_read(pairs))
    }
}

impl RedisLive {
    async fn store(&self, posts: &[Post]) -> Result<Vec<Posted>, LiveDown> {
        check_posts(&self.what(PART), posts)?;
        let mut all = Vec::with_capacity(posts.len());
        let mut rest = posts;
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |post: &&Post| {
                size += post.body.len();
                size <= BYTES
            };
            let n = rest.iter().take(POSTS).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(n);
            self.store_some(now, &mut all).await?;
            rest = later;
        }
        Ok(all)
    }

    async fn store_some(&self, posts: &[Post], all: &mut Vec<Posted>) -> Result<(), LiveDown> {
        let settings = &self.settings;
        let script = &self.scripts.post;
        let mut cmd = script.call(posts.len() + 2);
        cmd.arg(self.keys.schedule()).arg(self.keys.schedule_ids());
        for post in posts {
            cmd.arg(self.keys.stream(&post.stream));
        }
        cmd.arg(epoch()).arg(millis(settings.ttl)).arg(millis(settings.meta_ttl)).arg(millis(settings.id_window));
        cmd.arg(millis(settings.copy_window)).arg(settings.max_bytes);
        cmd.arg(MOST_IDS.max(settings.max_messages).max(settings.everyone_messages));
        cmd.arg(settings.schedule.unit.millis());
        for post in posts {
            let most = match post.stream {
                Stream::Everyone => settings.everyone_messages,
                Stream::User(_) | Stream::Group(_) => settings.max_messages,
            };
            let head = format!("{{\"k\":\"m\",\"s\":{},\"e\":", json(&post.stream.to_string()));
            cmd.arg(most).arg(self.keys.channel(post.stream.shard())).arg(head).arg(&*post.id);
            cmd.arg(post.expires_at.map_or(0, |at| at.max(1)));
            match &post.once {
                Once::Id => cmd.arg("i").arg("").arg(""),
                Once::Copy { hash, node } => cmd.arg("c").arg(format!("{hash:016x}")).arg(&**node),
                Once::Due { member } => cmd.arg("d").arg(&**member).arg(""),
            };
            cmd.arg(&*post.body);
        }
        let answer = self.writes.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
        let Value::Array(numbers) = &answer else { return Err(self.unexpected(PART, script, &answer)) };
        let posted = |part: &[Value]| match part {
            [Value::Int(fresh), epoch, offset] => {
                let epoch = u32::try_from(number(epoch)?).ok()?;
                Some(Posted { at: Position { epoch, offset: number(offset)? }, fresh: *fresh == 1 })
            }
            _ => None,
        };
        let answers: Option<Vec<_>> = numbers.chunks(3).map(posted).collect();
        match answers {
            Some(answers) if answers.len() == posts.len() => all.extend(answers),
            _ => return Err(self.unexpected(PART, script, &answer)),
        }
        Ok(())
    }

    async fn read_after(&self, asks: &[(Stream, Position)], limit: usize) -> Result<Vec<Backlog>, LiveDown> {
        let script = &self.scripts.after;
        let mut all = Vec::with_capacity(asks.len());
        for asks in asks.chunks(STREAMS) {
            let mut cmd = script.call(asks.len());
            for (stream, _) in asks {
                check_stream(&self.what(PART), stream)?;
                cmd.arg(self.keys.stream(stream));
            }
            cmd.arg(millis(self.settings.ttl)).arg(limit);
            for (_, at) in asks {
                cmd.arg(at.epoch).arg(at.offset);
            }
            let answer = self.reads.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
            let (now, parts) = self.timed(script, answer)?;
            for part in parts {
                all.push(backlog(part, now).ok_or_else(|| self.unexpected(PART, script, &Value::Nil))?);
            }
        }
        Ok(all)
    }

    async fn read_unread(&self, user: &str, streams: &[Stream], limit: usize) -> Result<Vec<Unread>, LiveDown> {
        check_name(&self.what(PART), user)?;
        let script = &self.scripts.unread;
        let mut all = Vec::with_capacity(streams.len());
        let is_own = |stream: &Stream| matches!(stream, Stream::User(name) if **name == *user);
        for streams in streams.chunks(STREAMS) {
            let mut cmd = script.call(streams.len() + 1);
            cmd.arg(self.keys.user(user));
            for stream in streams {
                check_stream(&self.what(PART), stream)?;
                cmd.arg(self.keys.stream(stream));
            }
            cmd.arg(millis(self.settings.ttl)).arg(limit);
            for stream in streams {
                cmd.arg(stream.to_string()).arg(u8::from(is_own(stream)));
            }
            let answer = self.reads.ask(Ask::Script(script, &cmd)).await.map_err(|error| self.down(PART, error))?;
            let (_, parts) = self.timed(script, answer)?;
            for part in parts {
                all.push(unread(part).ok_or_else(|| self.unexpected(PART, script, &Value::Nil))?);
            }
        }
        if let Some(shape) = &self.old
            && let Some(own) = streams.iter().position(is_own)
            && let Some(own) = all.get_mut(own)
        {
            let (mut old, cut) = self.old_unread(shape, user).await?;
            let room = limit.saturating_sub(own.messages.len());
            let surplus = old.len().saturating_sub(room);
            own.truncated |= cut || surplus > 0;
            old.drain(..surplus);
            own.messages.splice(0..0, old);
        }
        Ok(all)
    }

    /// The time and the other parts of an answer.
    fn timed(&self, script: &super::script::Script, answer: Value) -> Result<(Millis, Vec<Value>), LiveDown> {
        match answer {
            Value::Array(mut parts) if matches!(parts.first(), Some(Value::Int(_))) => match parts.remove(0) {
                Value::Int(now) => Ok((now, parts)),
                other => Err(self.unexpected(PART, script, &other)),
            },
            other => Err(self.unexpected(PART, script, &other)),
        }
    }
}

/// An epoch for streams that are not there yet: any but 0.
fn epoch() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits")]
    let epoch = random() as u32;
    epoch.max(1)
}

/// A JSON text.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn backlog(part: Value, now: Millis) -> Option<Backlog> {
    let [all, epoch, top, first, entries]: [Value; 5] = array(part)?.try_into().ok()?;
    let first = number(&first)?;
    let top = Position { epoch: u32::try_from(number(&epoch)?).ok()?, offset: number(&top)? };
    let mut messages = Vec::new();
    for (offset, entry) in (first..).zip(array(entries)?) {
        let (stored, expires) = stored(offset, entry)?;
        if expires == 0 || expires > now {
            messages.push(stored);
        }
    }
    Some(Backlog { recovered: number(&all)? == 1, top, messages })
}

fn unread(part: Value) -> Option<Unread> {
    let [epoch, top, more, found]: [Value; 4] = array(part)?.try_into().ok()?;
    let top = Position { epoch: u32::try_from(number(&epoch)?).ok()?, offset: number(&top)? };
    let mut messages = Vec::new();
    let mut found = array(found)?.into_iter();
    while let (Some(offset), Some(entry)) = (found.next(), found.next()) {
        messages.push(stored(number(&offset)?, entry)?.0);
    }
    Some(Unread { truncated: number(&more)? == 1, top, messages })
}

/// Reads `AT EXPIRES LENGTH ID BODY`; also answers when it expires.
fn stored(offset: u64, entry: Value) -> Option<(Stored, Millis)> {
    let entry = Bytes::from(bytes(entry)?);
    let mut ends = memchr::memchr_iter(b' ', &entry);
    let (at, expires, length) = (ends.next()?, ends.next()?, ends.next()?);
    let number = |from: usize, to: usize| std::str::from_utf8(entry.get(from..to)?).ok()?.parse::<i64>().ok();
    let expires_at = number(at + 1, expires)?;
    let from = length + 1;
    let to = from.checked_add(usize::try_from(number(expires + 1, length)?).ok()?)?;
    let id = std::str::from_utf8(entry.get(from..to)?).ok()?.into();
    (entry.get(to) == Some(&b' ')).then(|| (Stored { offset, id, body: entry.slice(to + 1..) }, expires_at))
}
