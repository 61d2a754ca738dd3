//! Chats in a MongoDB: order, ties, types, documents that cannot be read.

use std::sync::Arc;

use homing_core::chat::{Chat, ChatSource, Cursor, Start, Unreadable};
use homing_core::queue::Budget;
use mongodb::bson::{Bson, DateTime, Decimal128, Document, RawDocumentBuf, doc, oid::ObjectId};
use mongodb::{Client, Database};

use crate::support::{stores, story, unique, variable};

pub(crate) struct Mongo {
    pub(crate) database: Database,
}

impl Mongo {
    pub(crate) async fn new(test: &str) -> Self {
        let client = Client::with_uri_str(variable("HOMING_TEST_MONGO_URL")).await.unwrap();
        let database = client.database(&unique(test));
        database.drop().await.unwrap();
        Self { database }
    }

    pub(crate) async fn insert(&self, documents: Vec<Document>) {
        self.database.collection("chats").insert_many(documents).await.unwrap();
    }

    pub(crate) async fn index(&self, index: mongodb::IndexModel) {
        self.database.collection::<Document>("chats").create_index(index).await.unwrap();
    }

    pub(crate) fn toml(&self, kind: &str, keys: &str) -> String {
        let (url, database) = (variable("HOMING_TEST_MONGO_URL"), self.database.name());
        format!(
            "[stores.im]\nkind = 'mongo'\nurl = '{url}'\n\
             [source.group]\nkind = 'mongo'\nstore = 'im'\ndatabase = '{database}'\ncollection = 'chats'\n\
             cursor = {{ field = 'createAt', type = '{kind}' }}\n\
             fields = {{ group = 'group_id', sender = 'user.user_id', type = 'type', body = 'data' }}\n{keys}"
        )
    }

    pub(crate) fn source(&self, kind: &str, keys: &str) -> Arc<dyn ChatSource> {
        stores(&self.toml(kind, keys)).source("group").unwrap()
    }

    pub(crate) async fn drop(self) {
        self.database.drop().await.unwrap();
    }
}

pub(crate) fn chat(id: impl Into<Bson>, at: impl Into<Bson>) -> Document {
    doc! {
        "_id": id, "createAt": at, "group_id": 7, "user": { "user_id": 42, "nick": "x" },
        "type": 1, "data": "hello", "unneeded": "x",
    }
}

/// A page of so many messages.
pub(crate) fn pages(items: usize) -> Budget {
    Budget { items, bytes: 8 << 20 }
}

/// All of a source, page by page; each page is read by a new source from the text of the cursor alone.
async fn all(make: impl Fn() -> Arc<dyn ChatSource>, limit: usize) -> Vec<Result<Chat, Unreadable>> {
    let mut seen = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = make().read(cursor.as_ref(), pages(limit)).await.unwrap_or_else(|down| panic!("{}", story(&down)));
        assert!(page.chats.len() <= limit && page.more == (page.chats.len() == limit));
        let page = page.chats;
        let Some(last) = page.last() else { return seen };
        cursor = Some(match last {
            Ok(chat) => chat.cursor.clone(),
            Err(unreadable) => unreadable.cursor.clone(),
        });
        seen.extend(page);
    }
}

fn ids(seen: &[Result<Chat, Unreadable>]) -> Vec<&str> {
    seen.iter().map(|read| read.as_ref().map_or_else(|bad| bad.id.as_str(), |chat| chat.id.as_str())).collect()
}

#[tokio::test]
async fn five_thousand_chats_of_one_second_are_each_read_once() {
    let mongo = Mongo::new("equal").await;
    let oids: Vec<ObjectId> = (0..5_000).map(|_| ObjectId::new()).collect();
    mongo.insert(oids.iter().rev().map(|id| chat(*id, "1447212345")).collect()).await;
    let seen = all(|| mongo.source("string-seconds", ""), 700).await;
    let mut expected: Vec<String> = oids.iter().map(|id| id.to_hex()).collect();
    expected.sort_unstable();
    assert_eq!(ids(&seen), expected);
    let first = seen[0].as_ref().unwrap();
    assert_eq!((first.conversation.as_str(), first.author.as_str(), first.kind), ("7", "42", 1));
    assert_eq!((first.created_at, first.body.as_str()), (1_447_212_345_000, Some("hello")));
    mongo.drop().await;
}

#[tokio::test]
async fn every_type_of_cursor_reads_in_its_order() {
    let at = |n: i64| DateTime::from_millis(n);
    let oid = |n: u8| Bson::ObjectId(ObjectId::from_bytes([n; 12]));
    let cases: [(&str, Vec<Bson>); 5] = [
        ("string-seconds", vec!["1447212345".into(), "1447212345.5".into(), "1447212346".into()]),
        (
            "seconds",
            vec![
                1.into(),
                1.5.into(),
                2_i64.into(),
                Bson::Decimal128("2.25".parse::<Decimal128>().unwrap()),
                3.0.into(),
            ],
        ),
        (
            "millis",
            vec![9_007_199_254_740_991_i64.into(), 9_007_199_254_740_992_i64.into(), 9_007_199_254_740_993_i64.into()],
        ),
        ("date", vec![at(-1).into(), at(0).into(), at(5).into()]),
        ("objectid", vec![oid(1), oid(2), oid(3)]),
    ];
    for (kind, values) in cases {
        let mongo = Mongo::new("types").await;
        // Twice each, and the later value with the lower id.
        let count = values.len() as i32;
        let documents = values
            .iter()
            .zip(0..)
            .flat_map(|(value, n)| [chat(2 * (count - n), value.clone()), chat(2 * (count - n) + 1, value.clone())]);
        mongo.insert(documents.collect()).await;
        let mut expected = Vec::new();
        (1..=count).rev().for_each(|n| expected.extend([(2 * n).to_string(), (2 * n + 1).to_string()]));
        for limit in [1, 2, 3, 100] {
            assert_eq!(ids(&all(|| mongo.source(kind, ""), limit).await), expected, "{kind} by {limit}");
        }
        let newest = mongo.source(kind, "").start(Start::Newest).await.unwrap().unwrap();
        assert!(
            mongo.source(kind, "").read(Some(&newest), pages(10)).await.unwrap().chats.is_empty(),
            "nothing is behind the newest"
        );
        mongo.drop().await;
    }
}

#[tokio::test]
async fn the_id_itself_may_be_the_cursor() {
    let mongo = Mongo::new("by_id").await;
    mongo
        .insert((1..=7).rev().map(|n| chat(ObjectId::from_bytes([n; 12]), "x")).chain([chat("other", "x")]).collect())
        .await;
    let toml = mongo.toml("objectid", "").replace("'createAt'", "'_id'");
    let source = || stores(&toml).source("group").unwrap();
    let expected: Vec<String> = (1..=7).map(|n| ObjectId::from_bytes([n; 12]).to_hex()).collect();
    for limit in [1, 3, 7, usize::MAX] {
        assert_eq!(ids(&all(source, limit).await), expected);
    }
    let index = &stores(&toml).check().await[2];
    assert!(index.text.contains(r#"has an index on { "_id": 1 }"#), "{index:?}");
    mongo.drop().await;
}

#[tokio::test]
async fn ids_of_mixed_types_are_all_read() {
    let mongo = Mongo::new("mixed_ids").await;
    let mixed: Vec<Bson> = vec![
        3.into(),
        4.5.into(),
        5_i64.into(),
        "a".into(),
        "b".into(),
        Bson::Document(doc! { "z": 1, "a": 2 }),
        mongodb::bson::Uuid::from_bytes([1; 16]).into(),
        ObjectId::from_bytes([1; 12]).into(),
        ObjectId::from_bytes([2; 12]).into(),
        true.into(),
        DateTime::from_millis(1).into(),
    ];
    mongo.insert(mixed.iter().rev().map(|id| chat(id.clone(), "1447212345")).collect()).await;
    let keys = "[source.group.filter]\n";
    for limit in [1, 2, 5] {
        let seen = all(|| mongo.source("string-seconds", keys), limit).await;
        assert_eq!(seen.len(), mixed.len(), "by {limit}: {:?}", ids(&seen));
        let positions: Vec<&str> = seen
            .iter()
            .map(|read| read.as_ref().map_or_else(|bad| bad.cursor.0.as_str(), |chat| chat.cursor.0.as_str()))
            .collect();
        let distinct: std::collections::BTreeSet<&&str> = positions.iter().collect();
        assert_eq!(distinct.len(), mixed.len());
    }
    mongo.drop().await;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_passed_over_by_name() {
    let mongo = Mongo::new("unreadable").await;
    let change = |id: i32, change: fn(&mut Document)| {
        let mut document = chat(id, (1_447_212_345 + id).to_string());
        change(&mut document);
        document
    };
    mongo
        .insert(vec![
            chat(1, "1447212346"),
            change(2, |d| drop(d.remove("group_id"))),
            change(3, |d| drop(d.insert("user", doc! { "user_id": [1, 2] }))),
            change(4, |d| drop(d.insert("type", doc! {}))),
            change(5, |d| drop(d.insert("data", Bson::Null))),
            change(6, |d| drop(d.insert("createAt", "1447212351x"))),
            // Other types cannot be put in order with strings: not read.
            change(7, |d| drop(d.insert("createAt", 1_447_212_352_i64))),
            change(8, |d| drop(d.insert("createAt", ["1447212353"]))),
            change(9, |d| drop(d.remove("createAt"))),
            chat(10, "1447212399"),
        ])
        .await;
    for limit in [1, 3, 100] {
        let seen = all(|| mongo.source("string-seconds", ""), limit).await;
        let story: Vec<String> = seen
            .iter()
            .map(|read| read.as_ref().map_or_else(|bad| bad.error.clone(), |chat| chat.id.clone()))
            .collect();
        let expected = [
            "1",
            "group_id: missing",
            "user.user_id: is of type array, not an id",
            "type: is of type object, not a whole number",
            "data: is of type null, not text or an object",
            "createAt: \"1447212351x\" is no time",
            "10",
        ];
        assert_eq!(story, expected, "by {limit}");
        assert_eq!(ids(&seen), ["1", "2", "3", "4", "5", "6", "10"]);
    }
    mongo.drop().await;
}

#[tokio::test]
async fn text_that_is_no_utf8_spoils_only_its_document() {
    let mongo = Mongo::new("utf8").await;
    mongo.insert(vec![chat(1, "1"), chat(3, "3")]).await;
    let mut bytes = RawDocumentBuf::try_from(&chat(2, "2")).unwrap().into_bytes();
    let at = bytes.windows(5).position(|w| w == b"hello").unwrap();
    bytes[at] = 0xff;
    let broken = RawDocumentBuf::from_bytes(bytes).unwrap();
    mongo.database.collection::<RawDocumentBuf>("chats").insert_one(broken).await.unwrap();
    let seen = all(|| mongo.source("string-seconds", ""), 2).await;
    assert_eq!(ids(&seen), ["1", "2", "3"]);
    assert!(seen[1].as_ref().unwrap_err().error.starts_with("data: unreadable"));
    mongo.drop().await;
}

#[tokio::test]
async fn the_configured_filter_holds_on_every_page() {
    let mongo = Mongo::new("filter").await;
    let oid = ObjectId::from_bytes([9; 12]);
    let documents = (0..20).map(|n| {
        let mut document = chat(n, "1447212345");
        document.insert("type", n % 4);
        document.insert("owner", if n < 10 { Bson::ObjectId(oid) } else { Bson::Null });
        document
    });
    mongo.insert(documents.collect()).await;
    let by_type = "filter = { type = { \"$in\" = [1, 2] } }";
    let seen = all(|| mongo.source("string-seconds", by_type), 3).await;
    assert_eq!(ids(&seen), ["1", "2", "5", "6", "9", "10", "13", "14", "17", "18"]);
    let by_owner =
        format!("filter = {{ owner = {{ \"$oid\" = '{oid}' }}, \"$or\" = [{{ type = 1 }}, {{ type = 3 }}] }}");
    let seen = all(|| mongo.source("string-seconds", &by_owner), 2).await;
    assert_eq!(ids(&seen), ["1", "3", "5", "7", "9"]);
    assert!(mongo.source("string-seconds", "filter = { type = 9 }").start(Start::Newest).await.unwrap().is_none());
    mongo.drop().await;
}

#[tokio::test]
async fn newest_proves_the_type_of_the_cursor() {
    let mongo = Mongo::new("newest").await;
    assert!(mongo.source("date", "").start(Start::Newest).await.unwrap().is_none(), "no collection, no newest");
    mongo.insert(vec![chat(1, "1447212345"), chat(3, "1447212346"), chat(2, "1447212346")]).await;
    let newest = mongo.source("string-seconds", "").start(Start::Newest).await.unwrap().unwrap();
    assert_eq!(newest.0, r#"{"at":"1447212346","id":{"$numberInt":"3"}}"#);
    for kind in ["seconds", "millis", "date", "objectid"] {
        let story = story(&mongo.source(kind, "").start(Start::Newest).await.unwrap_err());
        for word in ["createAt", "string", kind, "id 3"] {
            assert!(story.contains(word), "{kind}: {word} is not in {story}");
        }
        let refused = mongo.source(kind, "").read(Some(&newest), pages(5)).await.unwrap_err();
        assert!(refused.source.to_string().contains("stored cursor"), "{refused}");
    }
    let elsewhere = mongo.toml("seconds", "").replace("'createAt'", "'created_at'");
    let story = story(&stores(&elsewhere).source("group").unwrap().start(Start::Newest).await.unwrap_err());
    assert!(story.contains("no document has the cursor field created_at"), "{story}");
    mongo.drop().await;
}

#[tokio::test]
async fn a_later_chat_is_found_behind_the_newest() {
    let mongo = Mongo::new("later").await;
    mongo.insert(vec![chat(5, "1447212345")]).await;
    let source = mongo.source("string-seconds", "");
    let start = source.start(Start::Newest).await.unwrap().unwrap();
    assert!(source.read(Some(&start), pages(0)).await.unwrap().chats.is_empty());
    mongo.insert(vec![chat(6, "1447212345"), chat(1, "1447212346"), chat(4, "1447212345")]).await;
    let page = source.read(Some(&start), pages(10)).await.unwrap().chats;
    assert_eq!(ids(&page), ["6", "1"], "4 is earlier in the order, and the scanner's overlap is for that");
    assert_eq!(source.read(Some(&start), pages(1)).await.unwrap().chats.len(), 1);
    mongo.drop().await;
}
