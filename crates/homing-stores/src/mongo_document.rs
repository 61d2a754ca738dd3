//! Reading a chat out of a document, field by field.
//!
//! Fields are read from the raw bytes, so that one that cannot be read (text that is no UTF-8 is found in old data) spoils
//! its own document at most, never the page.

use homing_core::chat::{Chat, Unreadable};
use mongodb::bson::{Bson, Document, RawDocument, doc};

use crate::config::{ChatFields, CursorConfig};
use crate::mongo_cursor::{Position, type_name};

/// Whole numbers beyond this have no exact form as a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The value at a path such as `user.user_id`; `None` where there is none.
pub(crate) fn at(document: &RawDocument, path: &str) -> Result<Option<Bson>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{path}: unreadable ({error})");
    let mut inside = document;
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let Some(value) = inside.get(name).map_err(|error| unreadable(&error))? else { return Ok(None) };
        if names.peek().is_none() {
            return Bson::try_from(value).map(Some).map_err(|error| unreadable(&error));
        }
        match value.as_document() {
            Some(document) => inside = document,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Where a document stands; the reason if it cannot be said.
pub(crate) fn position(document: &RawDocument, cursor: &CursorConfig) -> Result<Position, String> {
    let needed = |path: &str| at(document, path)?.ok_or_else(|| format!("{path}: missing"));
    Ok(Position { at: needed(&cursor.field)?, id: needed(&cursor.tie)? })
}

/// A document as a chat, or why not.
pub(crate) fn chat(
    document: &RawDocument,
    position: &Position,
    cursor: &CursorConfig,
    fields: &ChatFields,
) -> Result<Chat, Unreadable> {
    let created_at = cursor.kind.millis(&position.at);
    let read = || -> Result<Chat, String> {
        let id = text(document, &fields.id)?;
        let conversation = fields.conversation.as_deref().map(|path| text(document, path)).transpose()?;
        let to = fields.to.as_deref().map(|path| text(document, path)).transpose()?;
        Ok(Chat {
            id,
            conversation: conversation.or_else(|| to.clone()).unwrap_or_default(),
            to,
            author: text(document, &fields.author)?,
            kind: fields.kind.as_deref().map_or(Ok(0), |path| integer(document, path))?,
            seq: fields.seq.as_deref().map(|path| integer(document, path)).transpose()?,
            body: body(document, &fields.body)?,
            created_at: created_at.ok_or_else(|| format!("{}: {} is no time", cursor.field, position.at))?,
            cursor: position.cursor(),
        })
    };
    read().map_err(|error| Unreadable {
        id: identity(document, position, fields),
        error,
        created_at,
        cursor: position.cursor(),
    })
}

/// The identity of a document, whether or not it can be read as a chat.
pub(crate) fn identity(document: &RawDocument, position: &Position, fields: &ChatFields) -> String {
    text(document, &fields.id).unwrap_or_else(|_| position.id.to_string())
}

/// What a page has to bring along. A path inside another one comes with it; naming both is an error to MongoDB.
pub(crate) fn projection(cursor: &CursorConfig, fields: &ChatFields) -> Document {
    let ChatFields { id, conversation, to, author, kind, seq, body } = fields;
    let named = [conversation, to, kind, seq].into_iter().flatten();
    project([&cursor.field, &cursor.tie, id, author, body].into_iter().chain(named).collect())
}

/// What the place of a document has to bring along: nothing that an index on (field, tie) does not hold.
pub(crate) fn place(cursor: &CursorConfig, fields: &ChatFields) -> Document {
    let paths = vec![&cursor.field, &cursor.tie, &fields.id];
    let mut places = project(paths.clone());
    if !paths.iter().any(|path| *path == "_id" || path.starts_with("_id.")) {
        places.insert("_id", 0);
    }
    places
}

fn project(paths: Vec<&String>) -> Document {
    let inside = |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    let mut projection = doc! { "_id": 1 };
    for path in &paths {
        if !paths.iter().any(|other| inside(path, other)) && !path.starts_with("_id.") {
            projection.insert(path.as_str(), 1);
        }
    }
    projection
}

fn ill_typed(path: &str, value: &Bson, expected: &str) -> String {
    format!("{path}: is of type {}, not {expected}", type_name(value))
}

fn needed(document: &RawDocument, path: &str) -> Result<Bson, String> {
    at(document, path)?.ok_or_else(|| format!("{path}: missing"))
}

/// An id as text: text, whole numbers, ObjectId, UUID.
fn text(document: &RawDocument, path: &str) -> Result<String, String> {
    let value = needed(document, path)?;
    match &value {
        Bson::String(text) if !text.is_empty() => Ok(text.clone()),
        Bson::ObjectId(id) => Ok(id.to_hex()),
        Bson::String(_) => Err(format!("{path}: is empty")),
        Bson::Binary(binary) => binary.to_uuid().map(|id| id.to_string()).map_err(|_| ill_typed(path, &value, "an id")),
        other => whole(other).map(|n| n.to_string()).ok_or_else(|| ill_typed(path, other, "an id")),
    }
}

fn integer(document: &RawDocument, path: &str) -> Result<i64, String> {
    let value = needed(document, path)?;
    let number = match &value {
        Bson::String(text) => text.trim().parse().ok(),
        value => whole(value),
    };
    number.ok_or_else(|| ill_typed(path, &value, "a whole number"))
}

/// Whole numbers; JavaScript stores them as doubles.
fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and within the exact range")]
        Bson::Double(n) if n.fract() == 0.0 && n.abs() <= EXACT => Some(*n as i64),
        _ => None,
    }
}

/// Text or an object; values in it that JSON does not have take their extended form.
fn body(document: &RawDocument, path: &str) -> Result<serde_json::Value, String> {
    let value = needed(document, path)?;
    if !matches!(value, Bson::String(_) | Bson::Document(_)) {
        return Err(ill_typed(path, &value, "text or an object"));
    }
    serde_json::to_value(&value).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
#[path = "mongo_document_tests.rs"]
mod tests;
