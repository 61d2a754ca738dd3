//! Where a scanner's chats come from, where they go to, and what a chat is as an event.

use std::sync::Arc;

use bytes::Bytes;
use homing_core::{
    chat::{Chat, ChatSource, Unreadable},
    clock::Millis,
    ledger::Counts,
    queue::{Append, Commit, Destination, MAX_ITEM, QueueName},
    record::{Fate, Record, Stage},
    wire::DeadLetter,
};
use serde::Serialize;

use crate::lane::Shards;

/// A source and the entry queues of its chats.
#[derive(Clone)]
pub struct Feed {
    /// Name of the source in the configuration: `group`. Ids of events begin with it.
    pub source_name: String,
    /// The shard that holds the cursor and the ids; only its owner scans.
    pub seat: QueueName,
    /// Where chats are stored.
    pub source: Arc<dyn ChatSource>,
    /// The lane's entry queues.
    pub entry: Shards,
    /// Their bound in items.
    pub high_water: u64,
    /// The event type that chats become.
    pub kind: String,
    /// Who is told of a chat.
    pub recipients: Recipients,
    /// A chat may appear so late (ms) behind the cursor and is still found.
    pub overlap: Millis,
    /// So long (ms) the ids of chats are remembered, for the audit; at least the overlap.
    pub audit: Millis,
}

/// Who is told of a chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipients {
    /// The owner of the group.
    #[default]
    GroupOwner,
    /// Every member of the group.
    GroupMembers,
    /// The user that the chat names.
    User,
}

/// A chat as an item of the entry queue: the documented event, in MessagePack.
#[derive(Serialize)]
struct ChatEvent<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    to: To<'a>,
    author: &'a str,
    /// Marks the event as Homing's own: a lane's map does not apply to it.
    accepted_at: Millis,
    data: ChatData<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum To<'a> {
    Owner { group: &'a str },
    Members { group: &'a str, members: bool },
    User { user: &'a str },
}

#[derive(Serialize)]
struct ChatData<'a> {
    chat_id: &'a str,
    group_id: &'a str,
    author: &'a str,
    chat_type: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    text: String,
}

impl Feed {
    /// The id of a chat's event.
    pub fn id(&self, chat: &str) -> String {
        format!("{}:{chat}", self.source_name)
    }

    /// The chat as an item, and the entry queue of its conversation (of its recipient, if it is private); or why it
    /// cannot be one.
    ///
    /// # Errors
    /// Names what is missing or too large.
    pub fn item(&self, chat: &Chat, now: Millis) -> Result<(QueueName, Bytes), String> {
        let group = chat.conversation.as_str();
        let (to, key) = match self.recipients {
            Recipients::GroupOwner => (To::Owner { group }, group),
            Recipients::GroupMembers => (To::Members { group, members: true }, group),
            Recipients::User => {
                let user = chat.to.as_deref().ok_or("to: the source does not say for whom the chat is")?;
                (To::User { user }, user)
            }
        };
        let text = match &chat.body {
            serde_json::Value::String(text) => text.clone(),
            body => body.get("text").and_then(|t| t.as_str()).map_or_else(|| body.to_string(), str::to_owned),
        };
        let data = ChatData {
            chat_id: &chat.id,
            group_id: group,
            author: &chat.author,
            chat_type: chat.kind,
            seq: chat.seq,
            text,
        };
        let (id, author) = (self.id(&chat.id), chat.author.as_str());
        let event = ChatEvent { id, kind: &self.kind, to, author, accepted_at: now, data };
        let item = rmp_serde::to_vec_named(&event).map_err(|e| e.to_string())?;
        if item.len() > MAX_ITEM {
            return Err(format!("the message has {} bytes, more than an item may have ({MAX_ITEM})", item.len()));
        }
        Ok((self.entry.of(key), item.into()))
    }

    /// Adds what is read to a commit: an event, or a dead letter. Answers whether it became an event.
    pub(super) fn add(&self, read: &Result<Chat, Unreadable>, now: Millis, commit: &mut Commit) -> bool {
        let (id, error) = match read {
            Ok(chat) => match self.item(chat, now) {
                Ok((queue, item)) => {
                    self.append(queue, item, commit);
                    let id = self.id(&chat.id);
                    let fate = Fate::Received;
                    commit.counts.add("scan.received", 1);
                    commit.records.push(Record { at: now, id, stage: Stage::Entry, fate, target: None, reason: None });
                    return true;
                }
                Err(error) => (&chat.id, error),
            },
            Err(unreadable) => (&unreadable.id, unreadable.error.clone()),
        };
        self.bury(id, error, now, commit);
        false
    }

    fn append(&self, queue: QueueName, item: Bytes, commit: &mut Commit) {
        let to = Destination::Queue(queue);
        match commit.append.iter_mut().find(|a| a.to == to) {
            Some(append) => append.items.push(item),
            None => commit.append.push(Append {
                to,
                items: vec![item],
                high_water: self.high_water,
                counts: Counts::default(),
            }),
        }
    }

    fn bury(&self, chat: &str, error: String, now: Millis, commit: &mut Commit) {
        let id = self.id(chat);
        let letter = DeadLetter {
            id: id.clone(),
            reason: "invalid".to_owned(),
            error: error.clone(),
            at: now,
            tries: 0,
            queue: self.seat.to_string(),
            seq: 0,
            body: chat.as_bytes().to_vec(),
        };
        commit.bury.push(letter.encode());
        commit.counts.add("items.buried", 1);
        commit.counts.add("scan.invalid", 1);
        let fate = Fate::Invalid { error };
        commit.records.push(Record { at: now, id, stage: Stage::Entry, fate, target: None, reason: None });
    }
}
