//! The port of chat sources: stored messages, read forward by a cursor, and once more for those that came late.
//!
//! A message may appear behind the cursor: its writer was slow, or wrote an equal time and a smaller id. So the scanner
//! reads the ids of an *overlap* behind the cursor again and again, and fetches those that it does not know.

use futures_util::future::BoxFuture;

use crate::{clock::Millis, lookup::StoreDown, queue::Budget};

/// How far a source has been read: the order key and the tie-breaking id of the last message, in the source's own
/// encoding (JSON text). The core stores it and hands it back; it never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One stored chat message.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// Identity in the source, as text.
    pub id: String,
    /// The conversation: a group's id, or the pair's; the recipient where the source names no conversation.
    pub conversation: String,
    /// Of a private chat: for whom it is.
    pub to: Option<String>,
    /// Who wrote it.
    pub author: String,
    /// The source's own message type.
    pub kind: i64,
    /// Its number in the conversation, where the source has one.
    pub seq: Option<i64>,
    /// The body: text, or an object.
    pub body: serde_json::Value,
    /// When it was created, as far as the source's order key tells.
    pub created_at: Millis,
    /// Where the cursor stands once this message is dealt with.
    pub cursor: Cursor,
}

/// A document that could not be read as a chat: it is passed over, counted and traced, never silently.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Identity in the source.
    pub id: String,
    /// Field and reason.
    pub error: String,
    /// When it was created, if that much can be read.
    pub created_at: Option<Millis>,
    /// Where the cursor stands behind it.
    pub cursor: Cursor,
}

/// Where a scanner begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest message.
    Newest,
    /// At the first message of this time or later.
    At(Millis),
}

/// A part of what stands behind a cursor, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The messages.
    pub chats: Vec<Result<Chat, Unreadable>>,
    /// Was it cut at its bound? Then there is more.
    pub more: bool,
}

/// A message of which only the place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Identity in the source, as in [`Chat::id`].
    pub id: String,
    /// When it was created; where that cannot be read, the time of a neighbour.
    pub created_at: Millis,
    /// Its place.
    pub cursor: Cursor,
}

/// What stands in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// The messages that are not known yet, newest first.
    pub unknown: Vec<Stub>,
    /// How many there are, known or not.
    pub read: usize,
    /// Everything from this time on is in it: later than asked for when the bound cut the older ones off.
    pub reaches: Millis,
}

/// Is the message of this id known?
pub type Known<'a> = dyn Fn(&str) -> bool + Send + Sync + 'a;

/// A place where chats are stored. All calls only read; repeat and cancel freely.
pub trait ChatSource: Send + Sync {
    /// The cursor of a beginning; `None` when there is no newest message.
    fn start(&self, from: Start) -> BoxFuture<'_, Result<Option<Cursor>, StoreDown>>;

    /// The time at which a cursor stands, if it says one.
    fn time_of(&self, cursor: &Cursor) -> Option<Millis>;

    /// Messages behind `after` in (order key, id) order, from the beginning without a cursor: at most so many, and at
    /// least one if there is one.
    fn read<'a>(&'a self, after: Option<&'a Cursor>, budget: Budget) -> BoxFuture<'a, Result<Page, StoreDown>>;

    /// The ids from the time `from` up to the cursor `to`, and all of an equal time with it: the newest `limit` of them.
    fn overlap<'a>(
        &'a self,
        from: Millis,
        to: &'a Cursor,
        limit: usize,
        known: &'a Known<'a>,
    ) -> BoxFuture<'a, Result<Overlap, StoreDown>>;

    /// The messages of these places, whole and in order. What is gone by now is left out.
    fn fetch<'a>(&'a self, stubs: &'a [Stub], budget: Budget) -> BoxFuture<'a, Result<Page, StoreDown>>;

    /// Resolves when messages came in since it last resolved, with about how many; never, where the store does not tell.
    /// It may miss some and tell of too many: keep looking from time to time.
    fn changed(&self) -> BoxFuture<'_, u64>;
}
