#![allow(clippy::unwrap_used)]

use mongodb::bson::{RawDocumentBuf, oid::ObjectId};
use serde_json::json;
use std::time::Duration;

use super::*;
use crate::config::CursorType;

fn cursor() -> CursorConfig {
    CursorConfig {
        field: "createAt".to_owned(),
        kind: CursorType::StringSeconds,
        tie: "_id".to_owned(),
        overlap: Duration::ZERO,
    }
}

fn fields() -> ChatFields {
    ChatFields {
        id: "_id".to_owned(),
        conversation: Some("group_id".to_owned()),
        to: None,
        seq: None,
        author: "user.user_id".to_owned(),
        kind: Some("type".to_owned()),
        body: "data".to_owned(),
    }
}

fn good() -> Document {
    let id = ObjectId::parse_str("5641f9d9e4b0c2a1b3d4e5f6").unwrap();
    doc! { "_id": id, "createAt": "1447212345", "group_id": 7_i64, "user": { "user_id": 42 }, "type": 1.0, "data": "hello" }
}

fn read(document: &Document) -> Result<Chat, Unreadable> {
    let raw = RawDocumentBuf::try_from(document).unwrap();
    let position = position(&raw, &cursor()).unwrap();
    chat(&raw, &position, &cursor(), &fields())
}

#[track_caller]
fn unreadable(change: impl FnOnce(&mut Document), error: &str) {
    let mut document = good();
    change(&mut document);
    let unreadable = read(&document).unwrap_err();
    assert_eq!(unreadable.error, error);
    assert!(unreadable.cursor.0.contains("createAt") || unreadable.cursor.0.contains("\"at\""));
}

#[test]
fn a_document_is_a_chat() {
    let chat = read(&good()).unwrap();
    assert_eq!(chat.id, "5641f9d9e4b0c2a1b3d4e5f6");
    assert_eq!((chat.conversation.as_str(), chat.author.as_str(), chat.kind), ("7", "42", 1));
    assert_eq!(chat.body, json!("hello"));
    assert_eq!(chat.created_at, 1_447_212_345_000);
    assert_eq!(chat.cursor.0, r#"{"at":"1447212345","id":{"$oid":"5641f9d9e4b0c2a1b3d4e5f6"}}"#);
}

#[test]
fn ids_and_types_may_be_stored_in_many_ways() {
    let mut document = good();
    document.insert("_id", mongodb::bson::Uuid::from_bytes([0xab; 16]));
    document.insert("group_id", 7.0);
    document.insert("user", doc! { "user_id": "bob" });
    document.insert("type", "3");
    document.insert("data", doc! { "text": "x", "n": 5_i64, "photo": { "w": 1 } });
    let chat = read(&document).unwrap();
    assert_eq!(chat.id, "abababab-abab-abab-abab-abababababab");
    assert_eq!((chat.conversation.as_str(), chat.author.as_str(), chat.kind), ("7", "bob", 3));
    assert_eq!(chat.body, json!({ "text": "x", "n": 5, "photo": { "w": 1 } }));
}

#[test]
fn what_is_missing_or_ill_typed_is_named() {
    unreadable(|d| drop(d.remove("group_id")), "group_id: missing");
    unreadable(|d| drop(d.insert("user", "42")), "user.user_id: missing");
    unreadable(|d| drop(d.insert("user", doc! { "user_id": [1] })), "user.user_id: is of type array, not an id");
    unreadable(|d| drop(d.insert("group_id", "")), "group_id: is empty");
    unreadable(|d| drop(d.insert("group_id", 1.5)), "group_id: is of type double, not an id");
    unreadable(|d| drop(d.insert("type", "x")), "type: is of type string, not a whole number");
    unreadable(|d| drop(d.insert("data", 5)), "data: is of type int, not text or an object");
    unreadable(|d| drop(d.insert("data", Bson::Null)), "data: is of type null, not text or an object");
    unreadable(|d| drop(d.insert("createAt", "yesterday")), "createAt: \"yesterday\" is no time");
}

#[test]
fn text_that_is_no_utf8_spoils_only_its_document() {
    let mut bytes = RawDocumentBuf::try_from(&good()).unwrap().into_bytes();
    let at = bytes.windows(5).position(|w| w == b"hello").unwrap();
    bytes[at] = 0xff;
    let raw = RawDocumentBuf::from_bytes(bytes).unwrap();
    let position = position(&raw, &cursor()).unwrap();
    let unreadable = chat(&raw, &position, &cursor(), &fields()).unwrap_err();
    assert!(unreadable.error.starts_with("data: unreadable"), "{}", unreadable.error);
    assert_eq!(unreadable.id, "5641f9d9e4b0c2a1b3d4e5f6");
}

#[test]
fn a_private_chat_names_its_recipient() {
    let fields = ChatFields { conversation: None, to: Some("to.user_id".into()), seq: Some("seq".into()), ..fields() };
    let mut document = good();
    document.insert("to", doc! { "user_id": 43_i64 });
    document.insert("seq", 9_i64);
    let read = |document: &Document| {
        let raw = RawDocumentBuf::try_from(document).unwrap();
        chat(&raw, &position(&raw, &cursor()).unwrap(), &cursor(), &fields)
    };
    let chat = read(&document).unwrap();
    assert_eq!((chat.to.as_deref(), chat.conversation.as_str(), chat.seq), (Some("43"), "43", Some(9)));
    document.remove("to");
    let unreadable = read(&document).unwrap_err();
    assert_eq!((unreadable.error.as_str(), unreadable.created_at), ("to.user_id: missing", Some(1_447_212_345_000)));
}

#[test]
fn a_place_is_no_more_than_an_index_holds() {
    assert_eq!(place(&cursor(), &fields()), doc! { "_id": 1, "createAt": 1 });
    let other = CursorConfig { tie: "n".into(), ..cursor() };
    assert_eq!(place(&other, &ChatFields { id: "n".into(), ..fields() }), doc! { "_id": 0, "createAt": 1, "n": 1 });
    assert_eq!(place(&other, &fields()), doc! { "_id": 1, "createAt": 1, "n": 1 });
}

#[test]
fn a_projection_never_names_a_path_and_its_inside() {
    let mut fields = fields();
    assert_eq!(
        projection(&cursor(), &fields),
        doc! { "_id": 1, "createAt": 1, "group_id": 1, "user.user_id": 1, "data": 1, "type": 1 }
    );
    fields.body = "user".to_owned();
    fields.id = "_id.k".to_owned();
    assert_eq!(projection(&cursor(), &fields), doc! { "_id": 1, "createAt": 1, "group_id": 1, "user": 1, "type": 1 });
}
