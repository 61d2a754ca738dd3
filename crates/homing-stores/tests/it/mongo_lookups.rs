//! Lookups and enumerators in MongoDB.

use homing_core::lookup::Death;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use homing_core::lookup::Lookup;
use homing_stores::Level;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId, uuid::Uuid};
use mongodb::{Client, Collection, Database, IndexModel};

use crate::sql_members::{each_once, listed, members};
use crate::support::{Server, ask, refused, stores, story, unique, variable};

struct Mongo {
    database: Database,
}

impl Mongo {
    async fn new(test: &str) -> Self {
        let client = Client::with_uri_str(variable("HOMING_TEST_MONGO_URL")).await.unwrap();
        let database = client.database(&unique(test));
        database.drop().await.unwrap();
        Self { database }
    }

    fn collection(&self) -> Collection<Document> {
        self.database.collection("x")
    }

    fn toml(&self, store: &str, table: &str, keys: &str) -> String {
        let (url, database) = (variable("HOMING_TEST_MONGO_URL"), self.database.name());
        format!(
            "[stores.im]\nkind = 'mongo'\nurl = '{url}'\n{store}\n\
             [{table}]\nstore = 'im'\ndatabase = '{database}'\ncollection = 'x'\n{keys}"
        )
    }

    fn lookup(&self, store: &str, keys: &str) -> Arc<dyn Lookup> {
        stores(&self.toml(store, "lookup.x", keys)).lookup("x").unwrap()
    }
}

#[tokio::test]
async fn documents_are_rows_whatever_the_type_of_their_id() {
    let mongo = Mongo::new("rows").await;
    let (oid, uuid) = (ObjectId::new(), Uuid::new());
    let documents = vec![
        doc! { "uid": 1, "s": { "push": true, "nick": "ann" }, "at": DateTime::from_millis(1_447_212_345_000) },
        doc! { "uid": "2", "s": { "push": 0 }, "gone": Bson::Null, "list": [1, { "a": "b" }] },
        doc! { "uid": 3_i64, "s": { "push": 1.5 } },
        doc! { "uid": 3.0, "s": { "push": "second" } },
        doc! { "uid": oid, "s": { "push": "oid" } },
        doc! { "uid": uuid, "s": { "push": "uuid" } },
        doc! { "uid": 4, "s": { "push": "x" }, "deleted": 1 },
        doc! { "uid": [1, 2], "s": { "push": "a list is nobody" } },
    ];
    mongo.collection().insert_many(documents).await.unwrap();
    let keys = "id = 'uid'\ncolumns = { push = 's.push', nick = 's.nick', at = 'at', gone = 'gone', list = 'list' }\n\
                filter = { deleted = { \"$ne\" = 1 } }\nmap.push = { true = '1' }";
    let x = mongo.lookup("", keys);
    let (oid, uuid) = (oid.to_hex(), uuid.to_string());
    let ids = ["2", "1", "3", &oid, &uuid, "4", "9", "' OR 1=1", "{\"$gt\":\"\"}", "01", "1\0", "2"];
    let two = "list=[1,{\"a\":\"b\"}] push=0";
    let expected = [
        two,
        "at=1447212345 nick=ann push=1",
        "push=1.5; push=second",
        "push=oid",
        "push=uuid",
        "-",
        "-",
        "-",
        "-",
        "-",
        "-",
        two,
    ];
    assert_eq!(ask(&*x, &ids).await, expected);
    let told = x.explain("1").await.unwrap();
    assert!(
        told.asked.contains(".x.find({") && told.asked.contains("\"1\"") && told.asked.contains("$in"),
        "{}",
        told.asked
    );
    assert!(told.raw.contains("\"nick\":\"ann\""), "{}", told.raw);
    assert_eq!(told.rows[0]["push"], "1", "mapped");
    assert_eq!(x.explain("9").await.unwrap().raw, "no documents");
    mongo.database.drop().await.unwrap();
}

#[tokio::test]
async fn ten_thousand_ids_are_one_call() {
    let mongo = Mongo::new("many").await;
    let documents: Vec<Document> = (0..6_000).map(|n| doc! { "_id": 2 * n, "n": format!("n{n}") }).collect();
    mongo.collection().insert_many(documents).await.unwrap();
    let x = mongo.lookup("", "columns = { n = 'n' }");
    let ids: Vec<String> = (0..10_000).rev().map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answer = ask(&*x, &ids).await;
    for (id, row) in ids.iter().zip(&answer) {
        let n: u32 = id.parse().unwrap();
        assert_eq!(*row, if n.is_multiple_of(2) { format!("n=n{}", n / 2) } else { "-".to_owned() });
    }
    assert_eq!(answer.len(), 10_000);
    mongo.database.drop().await.unwrap();
}

#[tokio::test]
async fn a_dead_token_is_taken_out_only_while_it_is_that_users() {
    let mongo = Mongo::new("forget").await;
    let token = "0f744707bebcf74f9b7c25d48e3358945f6aa01d";
    for (how, left) in [("delete", 1), (r#"{"$set":{"is_del":1}}"#, 2)] {
        mongo.collection().drop().await.unwrap();
        let documents = vec![doc! { "u": 1, "d": { "t": token } }, doc! { "u": "2", "d": { "t": "b" } }];
        mongo.collection().insert_many(documents).await.unwrap();
        let keys = format!(
            "id = 'u'\ncolumns = {{ token = 'd.t' }}\nfilter = {{ is_del = {{ \"$ne\" = 1 }} }}\ninvalidate = '{how}'\ncache = '60s'"
        );
        let message = refused(&mongo.toml("", "lookup.x", &keys));
        assert!(message.contains("[lookup.x] invalidate") && message.contains("allow_write"), "{message}");
        let x = mongo.lookup("allow_write = true", &keys);
        assert_eq!(ask(&*x, &["1", "2"]).await, [format!("token={token}"), "token=b".to_owned()]);
        let told = x.explain("1").await.unwrap();
        assert!(told.raw.contains("…a01d") && !told.raw.contains(token), "{}", told.raw);
        assert!(
            !x.forget("2", token, &Death::default()).await.unwrap()
                && !x.forget("1", "b", &Death::default()).await.unwrap()
        );
        assert!(x.forget("1", token, &Death::default()).await.unwrap());
        assert!(!x.forget("1", token, &Death::default()).await.unwrap(), "the second time there is nothing to do");
        assert_eq!(ask(&*x, &["1", "2"]).await, ["-", "token=b"]);
        assert_eq!(mongo.collection().count_documents(doc! {}).await.unwrap(), left);
    }
    for (how, word) in [("nonsense", "delete"), (r#"{"a":1}"#, "update"), ("{}", "update")] {
        let keys = format!("columns = {{ token = 't' }}\ninvalidate = '{how}'");
        let message = refused(&mongo.toml("allow_write = true", "lookup.x", &keys));
        assert!(message.contains("[lookup.x] invalidate") && message.contains(word), "{message}");
    }
    mongo.database.drop().await.unwrap();
}

#[tokio::test]
async fn who_stays_is_listed_once_whoever_comes_and_goes() {
    let mongo = Mongo::new("members").await;
    let oids: Vec<ObjectId> = (0..100).map(|_| ObjectId::new()).collect();
    let id = |n: usize| match n % 3 {
        _ if n < 100 => Bson::ObjectId(oids[n]),
        0 => Bson::Int32(i32::try_from(n).unwrap()),
        1 => Bson::Int64(i64::try_from(n).unwrap()),
        _ => Bson::String(format!("{}{n:05}", ["a", "B", "ü"][n % 7 % 3])),
    };
    let text = |n: usize| match id(n) {
        Bson::ObjectId(oid) => oid.to_hex(),
        Bson::String(text) => text,
        _ => n.to_string(),
    };
    let documents =
        (0..12_345).map(|n| doc! { "g": if n % 2 == 0 { Bson::Int32(9) } else { "9".into() }, "u": { "id": id(n) } });
    let mut documents: Vec<Document> = documents.collect();
    documents.push(doc! { "g": 8, "u": { "id": 99_999 } });
    documents.push(doc! { "g": 9, "u": { "id": 102 } }); // twice
    documents.push(doc! { "g": 9, "u": { "id": Bson::Null } });
    mongo.collection().insert_many(documents).await.unwrap();
    mongo.collection().create_index(IndexModel::builder().keys(doc! { "g": 1, "u.id": 1 }).build()).await.unwrap();
    let m = members(&mongo.toml("", "members.m", "of = 'g'\nmember = 'u.id'"));
    let (mut seen, mut after, mut turn, mut left) = (Vec::new(), None::<String>, 0, BTreeSet::new());
    loop {
        let page = m.page("9", after.as_deref(), 1_000).await.unwrap();
        assert!(page.members.len() <= 1_000);
        let last = page.members.last().cloned();
        seen.extend(page.members);
        let Some(next) = page.next else { break };
        after = Some(next);
        let gone = (100..12_345).find(|n| Some(text(*n)) == last);
        for n in gone.into_iter().chain([200 + 30 * turn, 9_000 + turn]) {
            mongo.collection().delete_many(doc! { "u.id": id(n) }).await.unwrap();
            left.insert(text(n));
        }
        let come = vec![
            doc! { "g": 9, "u": { "id": -i64::try_from(turn).unwrap() } },
            doc! { "g": 9, "u": { "id": format!("c{turn}") } },
        ];
        mongo.collection().insert_many(come).await.unwrap();
        turn += 1;
    }
    assert!(turn >= 12, "{turn}");
    let distinct = each_once(&seen);
    let missed: Vec<String> =
        (0..12_345).map(text).filter(|id| !left.contains(id) && !distinct.contains(id.as_str())).collect();
    assert_eq!(missed, Vec::<String>::new());
    assert!(!distinct.contains("99999"), "group 8 is another");
    assert!(m.page("' OR 1=1", None, 10).await.unwrap().members.is_empty());
    let everyone =
        listed(|| members(&mongo.toml("", "members.m", "member = 'u.id'\nfilter = { g = 8 }")), "", 10).await;
    assert_eq!(everyone.unwrap(), ["99999"]);
    mongo.collection().insert_one(doc! { "g": 7, "u": { "id": 1.5 } }).await.unwrap();
    let down = m.page("7", None, 10).await.unwrap_err();
    assert!(story(&down).contains("is no member"), "{}", story(&down));
    mongo.database.drop().await.unwrap();
}

#[tokio::test]
async fn check_looks_at_the_indexes() {
    let mongo = Mongo::new("check").await;
    let both = format!(
        "{}[members.m]\nstore = 'im'\ndatabase = '{}'\ncollection = 'x'\nof = 'g'\nmember = 'u'\n",
        mongo.toml("", "lookup.x", "id = 'u'\ncolumns = { a = 'a' }\n"),
        mongo.database.name()
    );
    let levels = async || {
        let lines = stores(&both).check().await;
        let of =
            |subject: &str| lines.iter().filter(|line| line.subject == subject).map(|line| line.level).max().unwrap();
        ((of("lookup.x"), of("members.m")), format!("{lines:?}"))
    };
    assert_eq!(levels().await.0, (Level::Warning, Level::Warning), "no collection yet");
    mongo.collection().insert_one(doc! { "g": 9, "u": 1, "a": 1 }).await.unwrap();
    let (level, text) = levels().await;
    assert_eq!(level, (Level::Warning, Level::Warning));
    assert!(
        text.contains("create { \\\"g\\\": 1, \\\"u\\\": 1 }") && text.contains("create { \\\"u\\\": 1 }"),
        "{text}"
    );
    mongo.collection().create_index(IndexModel::builder().keys(doc! { "u": -1, "x": 1 }).build()).await.unwrap();
    mongo.collection().create_index(IndexModel::builder().keys(doc! { "g": 1, "u": 1 }).build()).await.unwrap();
    assert_eq!(levels().await.0, (Level::Ok, Level::Ok));
    mongo.database.drop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_mongod_is_down_and_heals() {
    let server = Server::mongod().await;
    let url = format!("mongodb://127.0.0.1:{}/?directConnection=true", server.port);
    let toml = format!(
        "[stores.im]\nkind = 'mongo'\nurl = '{url}'\ntimeout = '700ms'\n\
         [lookup.x]\nstore = 'im'\ndatabase = 'd'\ncollection = 'x'\ncolumns = {{ a = 'a' }}\n\
         [members.m]\nstore = 'im'\ndatabase = 'd'\ncollection = 'x'\nmember = 'u'\n"
    );
    let stores = stores(&toml);
    let (x, m) = (stores.lookup("x").unwrap(), stores.members("m").unwrap());
    // The first call makes the client, which takes a heartbeat.
    let mut first = x.rows(&["1"]).await;
    for _ in 0..20 {
        if first.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        first = x.rows(&["1"]).await;
    }
    assert_eq!(first.unwrap(), [vec![]]);
    server.signal("STOP");
    assert!(story(&x.rows(&["1"]).await.unwrap_err()).contains("within 700ms"));
    assert!(story(&m.page("", None, 10).await.unwrap_err()).contains("within 700ms"));
    server.signal("CONT");
    for _ in 0..100 {
        if x.rows(&["1"]).await.is_ok() && m.page("", None, 10).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not found again");
}
