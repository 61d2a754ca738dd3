//! The configuration as a whole: the example of the documents, mistakes, `check`.

use homing_core::lookup::Death;
use homing_core::queue::Budget;
use homing_stores::{CheckLine, Level};
use mongodb::IndexModel;
use mongodb::bson::doc;

use crate::mongo::{Mongo, chat};
use crate::mysql::run;
use crate::support::{refused, stores, unique, variable};

/// What an installation writes, complete.
const EXAMPLE: &str = include_str!("example.toml");

#[tokio::test]
async fn the_example_works() {
    let t = unique("example");
    run(
        &t,
        &[
            "CREATE TABLE TABLE_account (account_id INT PRIMARY KEY, push_status TINYINT(1), nick_name VARCHAR(40))",
            "INSERT INTO TABLE_account VALUES (42, 1, 'ann'), (43, 0, 'bob')",
            "CREATE TABLE TABLE_device (account_id INT, xinge_token VARCHAR(64), via TINYINT, app CHAR(8), is_del INT)",
            "INSERT INTO TABLE_device VALUES (42, 't1', 1, 'higo', 0), (42, 't2', 2, 'higo', 0)",
        ],
    )
    .await;
    let mongo = Mongo::new("example").await;
    mongo.insert(vec![chat(1, "1447212345")]).await;
    let database = mongo.toml("date", "").lines().find(|line| line.starts_with("database")).unwrap().to_owned();
    let toml = EXAMPLE
        .replace("redis://127.0.0.1:6379/0", &variable("HOMING_TEST_REDIS_URL"))
        .replace("mysql://homing:secret@127.0.0.1:3306/higo", &variable("HOMING_TEST_MYSQL_URL"))
        .replace("mongodb://127.0.0.1:27017/im", &variable("HOMING_TEST_MONGO_URL"))
        .replace("# database = \"im\"", &database)
        .replace("t_account", &format!("{t}account"))
        .replace("t_device", &format!("{t}device"))
        .replace("login_status:", &format!("{t}:"))
        .replace("\"User:", &format!("\"{t}:User:"));
    let stores = stores(&toml);
    let client = redis::Client::open(variable("HOMING_TEST_REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SET").arg(format!("{t}:42")).arg("1").exec_async(&mut connection).await.unwrap();
    for (name, id, pass, seen) in [
        ("login", "42", true, "value=1"),
        ("login", "43", false, "missing"),
        ("online", "42", true, "missing"),
        ("account", "42", true, "push_status=1"),
        ("account", "43", false, "push_status=0"),
        ("account", "44", false, "missing"),
        ("tokens", "42", true, "rows=2"),
        ("focus", "42", true, "missing"),
    ] {
        let lookup = stores.lookup(name).unwrap();
        let rows = lookup.rows(&[id]).await.unwrap();
        let verdict = lookup.judge(&rows[0], 1_447_212_345_000);
        assert_eq!((verdict.pass, verdict.seen.as_str()), (pass, seen), "{name} of {id}");
    }
    let tokens = stores.lookup("tokens").unwrap();
    assert!(tokens.forget("42", "t1", &Death::default()).await.unwrap());
    assert_eq!(tokens.rows(&["42"]).await.unwrap()[0].len(), 1);
    let budget = Budget { items: 10, bytes: 1 << 20 };
    assert_eq!(stores.source("group").unwrap().read(None, budget).await.unwrap().chats.len(), 1);
    assert!(stores.lookup("nothing").is_none() && stores.source("nothing").is_none());
    let lines = stores.check().await;
    let errors: Vec<&CheckLine> = lines.iter().filter(|line| line.level == Level::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(lines.len(), 3 + 5 + 2);
    assert!(!format!("{stores:?}").contains("mysql://"));
    redis::cmd("DEL").arg(format!("{t}:42")).exec_async(&mut connection).await.unwrap();
    run(&t, &["DROP TABLE TABLE_account", "DROP TABLE TABLE_device"]).await;
    mongo.drop().await;
}

#[track_caller]
fn mistake(toml: &str, words: &[&str]) {
    let stores = "[stores.r]\nkind = 'redis'\nurl = 'redis://h'\n[stores.d]\nkind = 'mysql'\nurl = 'mysql://u:hunter2@h/d'\n\
                  [stores.m]\nkind = 'mongo'\nurl = 'mongodb://h'\n";
    let message = refused(&format!("{stores}{toml}"));
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn mistakes_name_the_table_and_the_key() {
    let source = "[source.g]\nkind = 'mongo'\nfields = { group = 'g', sender = 's', body = 'b' }\n";
    let cursor = "cursor = { field = 'f', type = 'date' }\ncollection = 'c'\n";
    mistake("[stores.x]\nkind = 'redis'\nurl = 'http://u:hunter2@h'", &["[stores.x] url"]);
    mistake("[stores.x]\nkind = 'mysql'\nurl = 'redis://u:hunter2@h'", &["[stores.x] url", "mysql://"]);
    mistake("[stores.x]\nkind = 'mysql'\nurl = 'mysql://u:hunter2@h:port/d'", &["[stores.x] url"]);
    mistake("[stores.x]\nkind = 'mongo'\nurl = 'mongodb://u:hunter2@h:port/d'", &["[stores.x] url"]);
    mistake("[stores.x]\nkind = 'oracle'\nurl = 'x'", &["oracle", "redis", "mysql", "mongo"]);
    mistake("[stores.x]\nkind = 'redis'\nurl = 'redis://h'\ntimeout = '0s'", &["[stores.x] timeout"]);
    mistake("[stores.x]\nkind = 'mysql'\nurl = 'mysql://h/d'\npool = 0", &["[stores.x] pool"]);
    mistake("[stores.x]\nkind = 'redis'\nurl = 'redis://h'\npool = 3", &["[stores.x] pool"]);

    mistake("[lookup.l]\nstore = 'nope'", &["[lookup.l] store", "nope", "d, m, r"]);
    mistake("[lookup.l]\nstore = 'm'", &["[lookup.l] database"]);
    mistake("[lookup.l]\nstore = 'r'\nkey = 'a:{id}'", &["[lookup.l] type", "bitmap"]);
    mistake("[lookup.l]\nstore = 'r'\ntype = 'list'\nkey = 'a:{id}'", &["list", "json", "zset"]);
    mistake("[lookup.l]\nstore = 'r'\ntype = 'string'", &["[lookup.l] key"]);
    mistake("[lookup.l]\nstore = 'r'\ntype = 'string'\nkey = 'a'", &["[lookup.l] key", "{user_id}"]);
    mistake("[lookup.l]\nstore = 'r'\ntype = 'string'\nkey = 'a{uid}'", &["[lookup.l] key", "character 2", "{uid}"]);
    mistake("[lookup.l]\nstore = 'r'\ntype = 'set'\nkey = 'a:{id}'", &["[lookup.l] member"]);
    mistake("[lookup.l]\nstore = 'r'\ntype = 'hash'\nkey = 'a:{id}'", &["[lookup.l] field"]);
    mistake(
        "[lookup.l]\nstore = 'r'\ntype = 'string'\nkey = 'a:{id}'\ntable = 't'",
        &["[lookup.l] table", "[stores.r]"],
    );
    mistake("[lookup.l]\nstore = 'd'\ntable = 't'\nid = 'i'\ncolumns = { a = 'a' }\nkey = 'x'", &["[lookup.l] key"]);
    mistake("[lookup.l]\nstore = 'd'", &["[lookup.l] table", "query"]);
    mistake("[lookup.l]\nstore = 'd'\ntable = 't'", &["[lookup.l] id"]);
    mistake("[lookup.l]\nstore = 'd'\ntable = 't`'\nid = 'i'\ncolumns = { a = 'a' }", &["[lookup.l] table", "t`"]);
    mistake("[lookup.l]\nstore = 'd'\nquery = 'SELECT 1; SELECT 2'", &["[lookup.l] query", "character 9", ";"]);
    mistake("[lookup.l]\nstore = 'd'\nquery = 'SELECT a FROM t WHERE a IN (:user_ids)'", &["[lookup.l] row_key"]);
    let declared = "[lookup.l]\nstore = 'd'\ntable = 't'\nid = 'i'\ncolumns = { a = 'a' }\n";
    mistake(
        &format!("{declared}accept = 'b == 1'"),
        &["[lookup.l] accept", "line 1, column 1", "`b`", "a, now and rows"],
    );
    mistake(&format!("{declared}where = {{ a = 1.5 }}"), &["a constant", "whole number"]);
    mistake("[lookup.l]\nstore = 'd'\ntable = 't'\nid = 'i'\ncolumns = { now = 'a' }", &["[lookup.l]", "called now"]);
    mistake(&format!("{declared}map.b = {{ x = 'y' }}"), &["[lookup.l] map.b"]);
    mistake(&format!("{source}{cursor}store = 'm'"), &["[source.g] database"]);
    mistake(&format!("{source}{cursor}store = 'd'"), &["[source.g] store", "mongo"]);
    mistake(&format!("{source}{cursor}store = 'x'"), &["[source.g] store", "[stores.x]"]);
    let dated = format!("{source}{cursor}store = 'm'\ndatabase = 'd'\nfilter = {{ a = 2026-11-21T00:00:00Z }}");
    mistake(&dated, &["[source.g] filter", "$date"]);
    let path =
        format!("{source}store = 'm'\ndatabase = 'd'\ncollection = 'c'\ncursor = {{ field = 'type.', type = 'date' }}");
    mistake(&path, &["[source.g] cursor.field"]);
    let kind = format!("{source}store = 'm'\ncollection = 'c'\ncursor = {{ field = 'f', type = 'text' }}");
    mistake(&kind, &["text", "string-seconds", "objectid"]);
}

fn lines(lines: &[CheckLine]) -> Vec<(&str, Level, &str)> {
    lines.iter().map(|line| (line.subject.as_str(), line.level, line.text.as_str())).collect()
}

#[tokio::test]
async fn check_says_what_is_wrong() {
    let url = variable("HOMING_TEST_REDIS_URL");
    let key = unique("check");
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SET").arg(&key).arg("x").exec_async(&mut connection).await.unwrap();
    let toml = format!(
        "[stores.up]\nkind = 'redis'\nurl = '{url}'\n\
         [stores.away]\nkind = 'mysql'\nurl = 'mysql://u:hunter2@127.0.0.1:1/d'\ntimeout = '300ms'\n\
         [lookup.a]\nstore = 'up'\ntype = 'bitmap'\nkey = 'nothing:at:all'\nmember = '{{id}}'\n\
         [lookup.b]\nstore = 'up'\ntype = 'zset'\nkey = '{key}'\nmember = '{{id}}'\n\
         [lookup.c]\nstore = 'away'\ntable = 't'\nid = 'i'\ncolumns = {{ a = 'a' }}\n"
    );
    let checked = stores(&toml).check().await;
    let checked = lines(&checked);
    let down = "store away gave no answer within 300ms (last: no connection)";
    assert_eq!(
        checked,
        [
            ("stores.away", Level::Error, down),
            ("stores.up", Level::Ok, "answers"),
            ("lookup.a", Level::Ok, "answers; the id 0 has 0 rows"),
            (
                "lookup.b",
                Level::Error,
                format!("the key {key} holds a string, but the lookup reads a zset: change `type` or `key`").as_str()
            ),
            ("lookup.c", Level::Error, down),
        ]
    );
    redis::cmd("DEL").arg(&key).exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn check_looks_at_the_indexes_of_a_source() {
    let mongo = Mongo::new("indexes").await;
    let source = stores(&mongo.toml("string-seconds", ""));
    let level = |checked: &[CheckLine], n: usize| (checked[n].level, checked[n].text.clone());
    let checked = source.check().await;
    assert_eq!(level(&checked, 1).0, Level::Warning, "nothing there yet");
    assert_eq!(level(&checked, 2), (Level::Warning, "the collection does not exist".to_owned()));
    mongo.insert(vec![chat(1, "1447212345")]).await;
    let checked = source.check().await;
    assert_eq!(level(&checked, 1).0, Level::Ok);
    assert!(level(&checked, 2).1.contains("create { \"createAt\": 1, \"_id\": 1 }"), "{checked:?}");
    mongo.index(IndexModel::builder().keys(doc! { "createAt": -1, "x": 1 }).build()).await;
    let checked = source.check().await;
    assert!(checked[2].level == Level::Warning && checked[2].text.contains("only"), "{checked:?}");
    mongo.index(IndexModel::builder().keys(doc! { "createAt": 1, "_id": -1 }).build()).await;
    assert_eq!(source.check().await[2].level, Level::Warning, "the tie runs against it");
    mongo.index(IndexModel::builder().keys(doc! { "createAt": -1.0, "_id": -1.0 }).build()).await;
    assert_eq!(source.check().await[2].level, Level::Ok);
    let wrong = stores(&mongo.toml("date", "")).check().await;
    assert!(wrong[1].level == Level::Error && wrong[1].text.contains("string"), "{wrong:?}");
    mongo.drop().await;
}

/// The page of the documents, complete.
const PAGE: &str = include_str!("../../../../docs/lookups.md");

#[test]
fn the_examples_of_the_documents_are_taken() {
    let servers = "[stores.main_redis]\nkind = 'redis'\nurl = 'redis://h'\n\
                   [stores.account_db]\nkind = 'mysql'\nurl = 'mysql://h/d'\n\
                   [stores.im]\nkind = 'mongo'\nurl = 'mongodb://h/d'\n";
    let blocks = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut taken = 0;
    for block in blocks.filter(|block| block.starts_with('[')) {
        let built = stores(&format!("{servers}{block}"));
        for name in block.lines().filter_map(|line| line.strip_prefix('[')?.split(']').next()) {
            let found = match name.split_once('.').unwrap() {
                ("lookup", name) => built.lookup(name).is_some(),
                ("members", name) => built.members(name).is_some(),
                _ => continue,
            };
            assert!(found, "{name}");
            taken += 1;
        }
    }
    assert!(taken >= 9, "{taken} tables");
}
