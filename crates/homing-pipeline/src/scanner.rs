//! The scanner: new chats from their store into the entry queues.
//!
//! The cursor (how far the source has been read) moves in the commit that appends the chats: a crash between reading
//! and committing reads the same page again, and a commit that ran is never read again. At the first start it begins
//! at the newest message, so that history is not pushed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    chat::{Chat, ChatSource, Cursor, Unreadable},
    clock::Millis,
    ledger::Counts,
    lookup::StoreDown,
    queue::{self, Append, Commit, Destination, MAX_ITEM, QueueName, Shard},
    record::{Fate, Record, Stage},
    steps::Step,
    wire::DeadLetter,
};
use serde::Serialize;
use tokio::time::sleep;
use tracing::info;

use crate::{context::Context, keeper::Worker, lane::Shards, meter};

/// What a scanner scans, and where to.
pub struct Scanner {
    /// Name of the source in the configuration: `group`.
    pub source_name: String,
    /// The shard that holds the cursor; only its owner scans.
    pub seat: QueueName,
    /// Where chats are stored.
    pub source: Arc<dyn ChatSource>,
    /// The lane's entry queues.
    pub entry: Shards,
    /// Their bound in items.
    pub high_water: u64,
    /// The event type that chats become.
    pub kind: String,
    /// Chats per page and commit.
    pub page: usize,
    /// Time between looks at the source.
    pub poll: Duration,
    /// Begin at the oldest message at the first start.
    pub from_beginning: bool,
    /// Shared.
    pub cx: Context,
}

/// Name of the value that holds the cursor.
const CURSOR: &str = "cursor";

/// A chat as an item of the entry queue: the documented event, in MessagePack.
#[derive(Serialize)]
struct ChatEvent<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    to: To<'a>,
    author: &'a str,
    data: ChatData<'a>,
}

#[derive(Serialize)]
struct To<'a> {
    group: &'a str,
}

#[derive(Serialize)]
struct ChatData<'a> {
    chat_id: &'a str,
    group_id: &'a str,
    author: &'a str,
    chat_type: i64,
    text: String,
}

impl Worker for Scanner {
    fn shard(&self) -> &QueueName {
        &self.seat
    }

    fn work<'a>(&'a mut self, shard: &'a mut dyn Shard) -> BoxFuture<'a, queue::Result<()>> {
        Box::pin(self.scan(shard))
    }
}

impl Scanner {
    async fn scan(&self, shard: &mut dyn Shard) -> queue::Result<()> {
        let stored = shard.opened().values.iter().find(|(name, _)| name == CURSOR);
        let mut cursor = stored.map(|(_, value)| Cursor(String::from_utf8_lossy(value).into_owned()));
        if cursor.is_none() && !self.from_beginning {
            let Some(newest) = self.until_answered(shard, || self.source.newest()).await? else { return Ok(()) };
            // An empty source has no newest message; then everything that ever comes is new.
            if let Some(newest) = newest {
                info!(source = %self.source_name, "First start: begins behind the newest message.");
                let put = vec![(CURSOR.to_owned(), Bytes::from(newest.0.clone()))];
                self.cx.commit(shard, &Commit { put, ..Commit::default() }).await?;
                cursor = Some(newest);
            }
        }
        while !self.cx.stop.is_cancelled() {
            if !self.cx.room(shard).await? {
                return Ok(());
            }
            let read = || self.source.read(cursor.as_ref(), self.page);
            let Some(page) = self.until_answered(shard, read).await? else { return Ok(()) };
            self.cx.steps.at(Step::Peeked);
            let full = page.len() >= self.page;
            if let Some((commit, end)) = self.decide(shard.name(), page) {
                self.cx.steps.at(Step::Decided);
                self.cx.commit(shard, &commit).await?;
                self.cx.steps.at(Step::Committed);
                meter::committed("scan", commit.append.iter().map(|a| a.items.len()).sum());
                cursor = Some(end);
            }
            if !full {
                let pause = async {
                    tokio::select! {
                        () = sleep(self.poll) => {}
                        () = self.cx.stop.cancelled() => {}
                    }
                };
                self.cx.keeping(shard, pause).await?;
            }
        }
        Ok(())
    }

    /// Asks a store until it answers, keeping the lease; `None` when the process stops first.
    async fn until_answered<'b, T>(
        &self,
        shard: &mut dyn Shard,
        ask: impl Fn() -> BoxFuture<'b, Result<T, StoreDown>>,
    ) -> queue::Result<Option<T>> {
        let part = format!("source {}", self.source_name);
        let mut wait = Duration::from_millis(100);
        while !self.cx.stop.is_cancelled() {
            match self.cx.keeping(shard, ask()).await? {
                Ok(answer) => {
                    self.cx.status.ready(&part);
                    return Ok(Some(answer));
                }
                Err(down) => self.cx.status.not_ready(&part, &describe(&down)),
            }
            let pause = async {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = self.cx.stop.cancelled() => {}
                }
            };
            self.cx.keeping(shard, pause).await?;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
        Ok(None)
    }

    /// One commit for a page: the chats go to the queues of their conversations, and the cursor moves behind the last.
    fn decide(&self, seat: &QueueName, page: Vec<Result<Chat, Unreadable>>) -> Option<(Commit, Cursor)> {
        let now = self.cx.clock.now();
        let mut commit = Commit::default();
        let mut end = None;
        for read in page {
            let unreadable = match read {
                Ok(chat) => match self.item(&chat) {
                    Ok(item) => {
                        self.take_in(&chat, item, now, &mut commit);
                        end = Some(chat.cursor);
                        continue;
                    }
                    Err(error) => Unreadable { id: chat.id, error, cursor: chat.cursor },
                },
                Err(unreadable) => unreadable,
            };
            self.bury(seat, &unreadable, now, &mut commit);
            end = Some(unreadable.cursor);
        }
        let end = end?;
        commit.put.push((CURSOR.to_owned(), Bytes::from(end.0.clone())));
        Some((commit, end))
    }

    fn bury(&self, seat: &QueueName, unreadable: &Unreadable, now: Millis, commit: &mut Commit) {
        let id = self.id_of(&unreadable.id);
        let letter = DeadLetter {
            id: id.clone(),
            reason: "invalid".to_owned(),
            error: unreadable.error.clone(),
            at: now,
            tries: 0,
            queue: seat.to_string(),
            seq: 0,
            body: unreadable.id.clone().into_bytes(),
        };
        commit.bury.push(letter.encode());
        commit.counts.add("items.buried", 1);
        commit.counts.add("scan.invalid", 1);
        let fate = Fate::Invalid { error: unreadable.error.clone() };
        commit.records.push(Record { at: now, id, stage: Stage::Entry, fate, target: None, reason: None });
    }

    fn take_in(&self, chat: &Chat, item: Bytes, now: Millis, commit: &mut Commit) {
        let to = Destination::Queue(self.entry.of(&chat.conversation));
        match commit.append.iter_mut().find(|a| a.to == to) {
            Some(append) => append.items.push(item),
            None => commit.append.push(Append {
                to,
                items: vec![item],
                high_water: self.high_water,
                counts: Counts::default(),
            }),
        }
        commit.counts.add("scan.received", 1);
        let id = self.id_of(&chat.id);
        commit.records.push(Record {
            at: now,
            id,
            stage: Stage::Entry,
            fate: Fate::Received,
            target: None,
            reason: None,
        });
    }

    fn id_of(&self, chat: &str) -> String {
        format!("{}:{chat}", self.source_name)
    }

    /// The chat as an item of its entry queue, or why it cannot be one.
    fn item(&self, chat: &Chat) -> Result<Bytes, String> {
        let text = match &chat.body {
            serde_json::Value::String(text) => text.clone(),
            body => body.get("text").and_then(|t| t.as_str()).map_or_else(|| body.to_string(), str::to_owned),
        };
        let data = ChatData {
            chat_id: &chat.id,
            group_id: &chat.conversation,
            author: &chat.author,
            chat_type: chat.kind,
            text,
        };
        let to = To { group: &chat.conversation };
        let event = ChatEvent { id: self.id_of(&chat.id), kind: &self.kind, to, author: &chat.author, data };
        let item = rmp_serde::to_vec_named(&event).map_err(|e| e.to_string())?;
        if item.len() > MAX_ITEM {
            return Err(format!("the message has {} bytes, more than an item may have ({MAX_ITEM})", item.len()));
        }
        Ok(item.into())
    }
}

/// An error and its causes in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
