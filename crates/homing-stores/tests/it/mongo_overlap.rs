//! What a scanner needs beside reading forward: the overlap, late chats, months, wake-ups.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use homing_core::chat::{ChatSource, Cursor, Overlap, Start, Stub};
use homing_core::queue::Budget;
use mongodb::bson::{Bson, DateTime, Decimal128, Document, doc, oid::ObjectId};

use crate::mongo::{Mongo, chat, pages};
use crate::support::{Server, refused, stores};

const SECOND: i64 = 1_447_212_345;

async fn overlap(source: &dyn ChatSource, from: i64, to: &Cursor, limit: usize, known: &[&str]) -> Overlap {
    source.overlap(from, to, limit, &|id| known.contains(&id)).await.unwrap()
}

fn ids(stubs: &[Stub]) -> Vec<&str> {
    stubs.iter().map(|stub| stub.id.as_str()).collect()
}

#[tokio::test]
async fn the_overlap_holds_the_ids_of_a_time() {
    type Time = fn(i64) -> Bson;
    let times: [(&str, Time); 6] = [
        ("string-seconds", |s| s.to_string().into()),
        ("string-seconds", |s| format!("{s}.000").into()),
        ("seconds", |s| Bson::Decimal128(s.to_string().parse::<Decimal128>().unwrap())),
        ("seconds", |s| (s as i32).into()),
        ("millis", |s| (s * 1_000).into()),
        ("date", |s| DateTime::from_millis(s * 1_000).into()),
    ];
    for (kind, time) in times {
        let mongo = Mongo::new("overlap").await;
        mongo.insert((0..10).map(|n| chat(n, time(SECOND + i64::from(n)))).collect()).await;
        // Not the newest by id, and not of the type: an array is in no order.
        mongo.insert(vec![chat(-1, time(SECOND + 9)), chat(99, Bson::Array(vec![time(SECOND + 5)]))]).await;
        let source = mongo.source(kind, "");
        let newest = source.start(Start::Newest).await.unwrap().unwrap();
        assert_eq!(source.time_of(&newest), Some((SECOND + 9) * 1_000));
        let all = overlap(&*source, (SECOND + 7) * 1_000, &newest, 100, &[]).await;
        assert_eq!((ids(&all.unknown), all.read), (vec!["9", "-1", "8", "7"], 4), "{kind}");
        assert_eq!((all.reaches, all.unknown[2].created_at), ((SECOND + 7) * 1_000, (SECOND + 8) * 1_000));
        let new = overlap(&*source, (SECOND + 7) * 1_000, &newest, 100, &["9", "8"]).await;
        assert_eq!((ids(&new.unknown), new.read), (vec!["-1", "7"], 4));
        let cut = overlap(&*source, 0, &newest, 3, &[]).await;
        assert_eq!((ids(&cut.unknown), cut.reaches), (vec!["9", "-1", "8"], (SECOND + 8) * 1_000 + 1));
        assert_eq!(overlap(&*source, 0, &newest, 11, &[]).await.reaches, 0, "all of it, and no more");

        let whole = source.fetch(&new.unknown, pages(10)).await.unwrap();
        let chats: Vec<_> = whole.chats.into_iter().map(Result::unwrap).collect();
        assert_eq!(chats.iter().map(|chat| chat.id.as_str()).collect::<Vec<_>>(), ["7", "-1"], "in their order");
        assert_eq!(chats[0].body, "hello");
        mongo.drop().await;
    }
}

#[tokio::test]
async fn the_overlap_of_ids_with_a_time() {
    let mongo = Mongo::new("overlap_ids").await;
    let id = |second: i64, n: u8| {
        let [a, b, c, d] = u32::try_from(second).unwrap().to_be_bytes();
        ObjectId::from_bytes([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, n])
    };
    mongo.insert((0..10).map(|n| chat(id(SECOND + i64::from(n), n), "x")).collect()).await;
    let toml = mongo.toml("objectid", "").replace("'createAt'", "'_id'");
    let source = stores(&toml).source("group").unwrap();
    let newest = source.start(Start::Newest).await.unwrap().unwrap();
    let all = overlap(&*source, (SECOND + 8) * 1_000 - 1, &newest, 100, &[]).await;
    let (last, before) = (id(SECOND + 9, 9).to_hex(), id(SECOND + 8, 8).to_hex());
    assert_eq!(ids(&all.unknown), [last.as_str(), before.as_str()]);
    let start = source.start(Start::At((SECOND + 8) * 1_000)).await.unwrap().unwrap();
    assert_eq!(source.read(Some(&start), pages(10)).await.unwrap().chats.len(), 2);
    mongo.drop().await;
}

#[tokio::test]
async fn a_start_at_a_time_stands_before_it() {
    let mongo = Mongo::new("start_at").await;
    let time = |n: i64| DateTime::from_millis(SECOND * 1_000 + n);
    mongo.insert((0..6).map(|n| chat(n, time(i64::from(n) / 2))).collect()).await;
    let source = mongo.source("date", "");
    let start = source.start(Start::At(SECOND * 1_000 + 1)).await.unwrap().unwrap();
    let page = source.read(Some(&start), pages(10)).await.unwrap();
    let read: Vec<String> = page.chats.into_iter().map(|chat| chat.unwrap().id).collect();
    assert_eq!(read, ["2", "3", "4", "5"]);
    let before = overlap(&*source, 0, &start, 10, &[]).await;
    assert_eq!(ids(&before.unknown), ["1", "0"], "what has the time itself is not before it");
    mongo.drop().await;
}

#[tokio::test]
async fn an_index_alone_answers_for_the_overlap() {
    let mongo = Mongo::new("covered").await;
    mongo.index(mongodb::IndexModel::builder().keys(doc! { "createAt": 1, "_id": 1 }).build()).await;
    mongo.insert((0..500).map(|n| chat(n, (SECOND + i64::from(n)).to_string())).collect()).await;
    let source = mongo.source("string-seconds", "");
    let newest = source.start(Start::Newest).await.unwrap().unwrap();
    mongo.database.run_command(doc! { "profile": 2 }).await.unwrap();
    assert_eq!(overlap(&*source, (SECOND + 100) * 1_000, &newest, 1_000, &[]).await.read, 400);
    mongo.database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = mongo.database.collection::<Document>("system.profile");
    let find = doc! { "op": "query", "command.find": "chats" };
    let found: Vec<Document> = profile.find(find).await.unwrap().try_collect().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].get_i32("docsExamined").unwrap(), found[0].get_i32("keysExamined").unwrap()), (0, 400));
    mongo.drop().await;
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes() {
    let mongo = Mongo::new("bytes").await;
    let large = |n: i32| {
        let mut chat = chat(n, (SECOND + i64::from(n)).to_string());
        chat.insert("data", "x".repeat(100_000));
        chat
    };
    mongo.insert((0..20).map(large).collect()).await;
    let source = mongo.source("string-seconds", "");
    let mut cursor: Option<Cursor> = None;
    let (mut read, mut pages) = (0, 0);
    loop {
        let page = source.read(cursor.as_ref(), Budget { items: 100, bytes: 350_000 }).await.unwrap();
        assert!(page.chats.len() <= 4);
        (read, pages) = (read + page.chats.len(), pages + 1);
        cursor = page.chats.last().map(|chat| chat.as_ref().unwrap().cursor.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!((read, pages), (20, 6), "four of 100 kB pass 350 kB, and the sixth page finds nothing more");
    mongo.drop().await;
}

#[tokio::test]
async fn months_are_read_as_one_source() {
    let mongo = Mongo::new("months").await;
    // 2026-11-01T00:00:00Z.
    let november = 1_793_491_200;
    let day = 24 * 3_600;
    let insert = async |name: &str, documents: Vec<Document>| {
        mongo.database.collection(name).insert_many(documents).await.unwrap();
    };
    let at = |second: i64| second.to_string();
    insert("chats_202609", vec![chat("sep", at(november - 35 * day))]).await;
    insert("chats_202610", (0..6).map(|n| chat(n, at(november - 12 + 4 * i64::from(n)))).collect()).await;
    insert("chats_202611", (10..16).map(|n| chat(n, at(november - 10 + 4 * i64::from(n - 10)))).collect()).await;
    insert("chats_other", vec![chat("other", at(november))]).await;
    let toml = mongo.toml("string-seconds", "").replace("'chats'", "'chats_{yyyyMM}'");
    for limit in [1, 2, 3, 5, 100] {
        let source = stores(&toml).source("group").unwrap();
        let mut read = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = source.read(cursor.as_ref(), pages(limit)).await.unwrap();
            let Some(last) = page.chats.last() else { break };
            cursor = Some(last.as_ref().unwrap().cursor.clone());
            read.extend(page.chats.into_iter().map(|chat| chat.unwrap().id));
        }
        let merged = ["sep", "0", "10", "1", "11", "2", "12", "3", "13", "4", "14", "5", "15"];
        assert_eq!(read, merged, "by {limit}");
    }
    let source = stores(&toml).source("group").unwrap();
    let newest = source.start(Start::Newest).await.unwrap().unwrap();
    assert_eq!(source.time_of(&newest), Some((november + 10) * 1_000));
    let overlap = overlap(&*source, (november + 3) * 1_000, &newest, 100, &["14"]).await;
    let found: BTreeSet<&str> = ids(&overlap.unknown).into_iter().collect();
    assert_eq!((found, overlap.read), (BTreeSet::from(["15", "5", "4"]), 4));
    assert_eq!(source.fetch(&overlap.unknown, pages(100)).await.unwrap().chats.len(), 3);
    let index = &stores(&toml).check().await[2];
    assert!(index.text.contains("has no index"), "{index:?}");
    mongo.drop().await;
}

#[tokio::test]
async fn an_insert_wakes_and_the_stream_heals() {
    let mongo = Mongo::new("wakes").await;
    let source = mongo.source("string-seconds", "");
    let patience = Duration::from_secs(30);
    // It opens at the first question, and who comes before it is open is not told of.
    let insert = async |n: i32| {
        let one = tokio::time::timeout(Duration::from_millis(300), source.changed());
        let wake = async {
            mongo.insert(vec![chat(n, SECOND.to_string())]).await;
        };
        tokio::join!(one, wake).0.is_ok()
    };
    let mut n = 0;
    let mut wakes = async |least: i32| {
        let began = n;
        let woken = async {
            let mut woken = 0;
            while woken < least {
                n += 1;
                woken += i32::from(insert(n).await);
            }
        };
        tokio::time::timeout(patience, woken).await.expect("it wakes");
        n - began
    };
    wakes(3).await;
    // A dropped collection ends its stream for good.
    mongo.database.collection::<Document>("chats").drop().await.unwrap();
    wakes(3).await;
    mongo.drop().await;
}

#[tokio::test]
async fn months_wake_too() {
    let mongo = Mongo::new("month_wakes").await;
    let toml = mongo.toml("string-seconds", "").replace("'chats'", "'chats_{yyyyMM}'");
    let source = stores(&toml).source("group").unwrap();
    let woken = async {
        for n in 0.. {
            mongo.database.collection("unconcerned").insert_one(doc! { "n": n }).await.unwrap();
            mongo.database.collection("chats_202611").insert_one(chat(n, SECOND.to_string())).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(300), source.changed()).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), woken).await.expect("it wakes");
    mongo.drop().await;
}

#[tokio::test]
async fn a_standalone_server_wakes_nobody_and_is_read_as_ever() {
    let server = Server::mongod().await;
    let url = format!("mongodb://127.0.0.1:{}/im", server.port);
    let toml = format!(
        "[stores.im]\nkind = 'mongo'\nurl = '{url}'\n[source.group]\nkind = 'mongo'\nstore = 'im'\ncollection = 'chats'\n\
         cursor = {{ field = 'createAt', type = 'string-seconds' }}\n\
         fields = {{ group = 'group_id', sender = 'user.user_id', body = 'data' }}"
    );
    let source = stores(&toml).source("group").unwrap();
    let client = mongodb::Client::with_uri_str(url).await.unwrap();
    for n in 0..5 {
        client.database("im").collection("chats").insert_one(chat(n, SECOND.to_string())).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(200), source.changed()).await.is_err());
    }
    assert_eq!(source.read(None, pages(10)).await.unwrap().chats.len(), 5);
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let toml = |collection: &str, overlap: &str, fields: &str| {
        format!(
            "[stores.im]\nkind = 'mongo'\nurl = 'mongodb://127.0.0.1:1/im'\n\
             [source.group]\nkind = 'mongo'\nstore = 'im'\ncollection = '{collection}'\n\
             cursor = {{ field = 'a', type = 'date', overlap = '{overlap}' }}\n\
             fields = {{ {fields}sender = 's', body = 'b' }}"
        )
    };
    let check = |toml: String, words: &[&str]| {
        let error = refused(&toml);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    check(toml("c_{MM}", "60s", "group = 'g', "), &["[source.group] collection", "yyyyMM"]);
    check(toml("c", "25h", "group = 'g', "), &["[source.group] cursor.overlap", "day"]);
    check(toml("c", "60s", ""), &["[source.group] fields", "to"]);
    check(toml("c", "60s", "to = 'a..b', "), &["fields.to", "path"]);
    check(toml("c", "soon", "group = 'g', "), &["soon"]);
}
