//! The port of chat sources: stored messages, read forward by a cursor.

use futures_util::future::BoxFuture;

use crate::{clock::Millis, lookup::StoreDown};

/// How far a source has been read: the order key and the tie-breaking id of the last message, in the source's own
/// encoding (JSON text). The core stores it and hands it back; it never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One stored chat message.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// Identity in the source, as text.
    pub id: String,
    /// The conversation: a group's id, or the pair's.
    pub conversation: String,
    /// Who wrote it.
    pub author: String,
    /// The source's own message type.
    pub kind: i64,
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
    /// Where the cursor stands behind it.
    pub cursor: Cursor,
}

/// A place where chats are stored. Both calls only read; repeat and cancel freely.
pub trait ChatSource: Send + Sync {
    /// The cursor of the newest message; `None` when there is none.
    fn newest(&self) -> BoxFuture<'_, Result<Option<Cursor>, StoreDown>>;

    /// Up to `limit` messages behind `after` in (order key, id) order; from the beginning without a cursor.
    fn read<'a>(
        &'a self,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Result<Chat, Unreadable>>, StoreDown>>;
}
