//! The items of a batch become events, or dead letters that say why not.

use homing_codec::{Codec, decode};
use homing_core::{
    clock::Millis,
    event::{Event, MAX_USERS},
    queue::{Log, MAX_ITEM, Opened, QueueName, Seq},
    window::Window,
    wire::{DeadLetter, Envelope},
};

use super::{Lane, Place};

/// From so many owners in a row that died at the same item on, items are worked one at a time.
pub(super) const CAREFUL: u32 = 3;
/// From so many on, the item that was being worked is taken for the cause and buried.
pub(super) const GUILTY: u32 = 6;

/// An event in hand.
pub(super) struct Entry {
    /// The message's id, the same on every try.
    pub(super) id: String,
    pub(super) event: Event,
    /// When it was first seen: its time to live counts from here.
    pub(super) first_at: Millis,
    pub(super) task: Task,
    /// Its bytes as the producer wrote them.
    pub(super) body: bytes::Bytes,
    pub(super) seq: Seq,
}

/// What is to be done for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// All of it: it comes from the main list.
    New,
    /// All of it: it waited for its time.
    Returned,
    /// Only these recipients: they were deferred.
    Deferred(Deferred),
    /// The next recipients of many, behind this place.
    Further { after: Option<String>, worked: u64 },
}

/// Recipients whom a rule held back for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deferred {
    pub(super) users: Vec<String>,
    /// The rule's name.
    pub(super) by: String,
    /// When they were judged for the first time.
    pub(super) judged_at: Millis,
}

/// Where an item came from, for the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The main list.
    Main,
    /// An own list, where we had put the event.
    Returned,
    /// An own list, where we had put so many recipients of an event.
    Deferred(usize),
    /// An own list, where somebody else had put it: it never came in.
    Foreign,
}

impl Entry {
    pub(super) fn origin(&self) -> Origin {
        match &self.task {
            Task::New => Origin::Main,
            Task::Returned | Task::Further { .. } => Origin::Returned,
            Task::Deferred(held) => Origin::Deferred(held.users.len()),
        }
    }

    /// Is all of it still to be done? What has begun goes on, also when the clock was set back.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.task, Task::New | Task::Returned)
    }

    /// The recipients who were held back, where it is about such.
    pub(super) fn deferred(&self) -> Option<&Deferred> {
        match &self.task {
            Task::Deferred(held) => Some(held),
            _ => None,
        }
    }

    /// Is its id to be compared with those that were dealt with?
    pub(super) fn has_own_id(&self) -> bool {
        self.task == Task::New && self.event.id.is_some()
    }
}

/// What a peek brought.
#[derive(Default)]
pub(super) struct Batch {
    /// The entry queue, for dead letters.
    pub(super) queue: String,
    pub(super) entries: Vec<Entry>,
    pub(super) invalid: Vec<(DeadLetter, Origin)>,
    /// Items that were taken from the main list, and from the shard's own lists.
    pub(super) main: i64,
    pub(super) own: i64,
}

impl Batch {
    /// How many items it took.
    pub(super) fn items(&self) -> usize {
        usize::try_from(self.main + self.own).unwrap_or(0)
    }
}

/// A batch ends with the event that brings it to so many bytes, if each recipient gets the event's own.
const MAX_BYTES: usize = 32 << 20;

/// Reads the items at `places`, from the first on, as many as fit a batch: it ends with the event that brings it to
/// [`MAX_USERS`] recipients or [`MAX_BYTES`], so that what is looked up and committed at once is bounded.
pub(super) fn read(
    lane: &Lane,
    opened: &Opened,
    queue: &QueueName,
    windows: &[Window],
    places: &[Place],
    guilty: bool,
    now: Millis,
) -> Batch {
    let mut batch = Batch { queue: queue.to_string(), ..Batch::default() };
    let (mut recipients, mut bytes) = (0, 0);
    for (i, seq) in places {
        if recipients >= MAX_USERS || bytes >= MAX_BYTES {
            break;
        }
        let Some(window) = windows.get(*i) else { continue };
        let Some(item) = window.body(*seq) else { continue };
        let own = *window.log() != Log::MAIN;
        *(if own { &mut batch.own } else { &mut batch.main }) += 1;
        let anonymous = |body: &[u8]| {
            // The identity of an item that carries none: its place and its bytes, the same on every redelivery. The
            // hash keeps a position that is used again after the server lost its tail from being taken for the
            // earlier item.
            format!("{queue}:{}:{seq}:{:08x}", opened.first_epoch, crc32fast::hash(body))
        };
        let letter = |id: String, reason: &str, error: String, tries: u32, body: &[u8]| DeadLetter {
            id,
            reason: reason.to_owned(),
            error,
            at: now,
            tries,
            queue: queue.to_string(),
            seq: *seq,
            body: body.to_vec(),
        };
        let (mut read, tries) = match own.then(|| Envelope::decode(item)) {
            None => (Read::new(anonymous(item), item.clone(), now, Task::New), 0),
            Some(Ok(envelope)) => {
                let task = if *window.log() == Log::FANOUT {
                    Task::Further { after: envelope.after, worked: envelope.worked }
                } else if envelope.only.is_empty() {
                    Task::Returned
                } else {
                    // An older envelope does not say; then it was as early as can be.
                    let judged_at = envelope.judged_at.unwrap_or(envelope.first_at);
                    Task::Deferred(Deferred { users: envelope.only, by: envelope.why, judged_at })
                };
                (Read::new(envelope.id, envelope.body.into(), envelope.first_at, task), envelope.tries)
            }
            Some(Err(error)) => {
                let letter = letter(anonymous(item), "invalid", error.to_string(), 0, item);
                batch.invalid.push((letter, Origin::Foreign));
                continue;
            }
        };
        let suspect = guilty && batch.main + batch.own == 1;
        let event = if suspect {
            Err(format!("{} workers in a row died with this item at the head", opened.suspicion))
        } else {
            read.event(lane, now)
        };
        match event {
            Ok(entry) => {
                let own = match &entry.task {
                    Task::Deferred(held) => held.users.len(),
                    _ => entry.event.to.recipients(),
                };
                recipients += own;
                bytes += own * entry.body.len();
                batch.entries.push(Entry { seq: *seq, ..entry });
            }
            Err(error) => {
                let origin = read.origin();
                let reason = if suspect { "suspect" } else { "invalid" };
                batch.invalid.push((letter(read.id, reason, error, tries, &read.body), origin));
            }
        }
    }
    batch
}

/// An item that is being read.
struct Read {
    id: String,
    body: bytes::Bytes,
    first_at: Millis,
    task: Task,
}

impl Read {
    fn new(id: String, body: bytes::Bytes, first_at: Millis, task: Task) -> Self {
        Self { id, body, first_at, task }
    }

    fn origin(&self) -> Origin {
        match &self.task {
            Task::New => Origin::Main,
            Task::Returned | Task::Further { .. } => Origin::Returned,
            Task::Deferred(held) => Origin::Deferred(held.users.len()),
        }
    }

    fn event(&mut self, lane: &Lane, now: Millis) -> Result<Entry, String> {
        if self.body.len() > MAX_ITEM {
            return Err(format!("the item has {} bytes, the limit is {MAX_ITEM}", self.body.len()));
        }
        let value = decode(&self.body, codec_of(lane.codec, &self.body)).map_err(|e| e.to_string())?;
        let event = Event::read(&value, &lane.map).map_err(|e| {
            // An event that is wrong elsewhere is found by its own id all the same.
            let own = value.path(&lane.map.id).and_then(|id| id.text().map(std::borrow::Cow::into_owned));
            if let Some(id) = own.filter(|id| (1..=256).contains(&id.len())) {
                self.id = id;
            }
            e.to_string()
        })?;
        if let Some(id) = &event.id {
            self.id.clone_from(id);
        }
        // The intake knows when it accepted the event. A clock that runs ahead must not make it live longer.
        let first_at = match (&self.task, event.accepted_at) {
            (Task::New, Some(accepted)) => accepted.clamp(0, now),
            _ => self.first_at,
        };
        Ok(Entry { id: self.id.clone(), event, first_at, task: self.task.clone(), body: self.body.clone(), seq: 0 })
    }
}

/// How an item of a lane is written. Homing's own events are MessagePack in every lane: no JSON or PHP text begins with
/// such a byte.
pub fn codec_of(lane: Codec, body: &[u8]) -> Codec {
    match body.first() {
        Some(0x80..=0x8f | 0xde | 0xdf) => Codec::Msgpack,
        _ => lane,
    }
}
