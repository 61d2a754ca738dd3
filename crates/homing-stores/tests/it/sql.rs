//! Lookups in every SQL server: the same questions, the same answers.

use homing_core::lookup::Death;
use std::sync::Arc;
use std::time::{Duration, Instant};

use homing_core::lookup::Lookup;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::support::{ask, refused, stores, story, unique, variable};

/// A server, and a prefix of its tables that is this test's own.
pub(crate) struct Db {
    pub(crate) kind: &'static str,
    pub(crate) url: String,
    pub(crate) table: String,
    _dir: TempDir,
}

/// MariaDB, PostgreSQL and a SQLite file.
pub(crate) fn all(test: &str) -> Vec<Db> {
    ["mysql", "postgres", "sqlite"].map(|kind| Db::new(kind, test)).into()
}

impl Db {
    pub(crate) fn new(kind: &'static str, test: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = match kind {
            "mysql" => variable("HOMING_TEST_MYSQL_URL"),
            "postgres" => variable("HOMING_TEST_POSTGRES_URL"),
            _ => format!("sqlite:{}", dir.path().join("test.db").display()),
        };
        Self { kind, url, table: unique(test), _dir: dir }
    }

    /// Runs statements; `TABLE_` in them is the test's own.
    pub(crate) async fn run(&self, statements: &[&str]) {
        let sql = |statement: &str| AssertSqlSafe(statement.replace("TABLE_", &self.table));
        match self.kind {
            "mysql" => {
                let mut c = MySqlConnection::connect(&self.url).await.unwrap();
                for statement in statements {
                    let done = sqlx::raw_sql(sql(statement)).execute(&mut c).await;
                    done.unwrap_or_else(|error| panic!("{error}: {statement}"));
                }
                c.close().await.unwrap();
            }
            "postgres" => {
                let mut c = PgConnection::connect(&self.url).await.unwrap();
                for statement in statements {
                    let done = sqlx::raw_sql(sql(statement)).execute(&mut c).await;
                    done.unwrap_or_else(|error| panic!("{error}: {statement}"));
                }
                c.close().await.unwrap();
            }
            _ => {
                let mut c = SqliteConnection::connect(&format!("{}?mode=rwc", self.url)).await.unwrap();
                for statement in statements {
                    let done = sqlx::raw_sql(sql(statement)).execute(&mut c).await;
                    done.unwrap_or_else(|error| panic!("{error}: {statement}"));
                }
                c.close().await.unwrap();
            }
        }
    }

    pub(crate) fn toml(&self, store: &str, rest: &str) -> String {
        let toml = format!("[stores.db]\nkind = '{}'\nurl = '{}'\n{store}\n{rest}", self.kind, self.url);
        toml.replace("TABLE_", &self.table)
    }

    pub(crate) fn lookup(&self, store: &str, keys: &str) -> Arc<dyn Lookup> {
        stores(&self.toml(store, &format!("[lookup.x]\nstore = 'db'\n{keys}"))).lookup("x").unwrap()
    }

    pub(crate) async fn drop(&self) {
        self.run(&["DROP TABLE TABLE_"]).await;
    }
}

const ACCOUNT: &str = "table = 'TABLE_'\nid = 'account_id'\ncolumns = { push = 'push_status', nick = 'nick_name' }";

async fn accounts(db: &Db) {
    let create =
        "CREATE TABLE TABLE_ (account_id INT PRIMARY KEY, push_status SMALLINT, nick_name VARCHAR(40), app CHAR(8))";
    let rows = "INSERT INTO TABLE_ VALUES (1, 1, 'ann', 'higo'), (2, 0, 'bob', 'higirl'), (3, NULL, 'cé😀', 'higo')";
    db.run(&[create, rows]).await;
}

#[tokio::test]
async fn a_declared_table_answers_in_the_order_of_the_ids() {
    for db in all("declared") {
        accounts(&db).await;
        let x = db.lookup("", &format!("{ACCOUNT}\naccept = \"push == '1'\""));
        let expected = ["nick=bob push=0", "-", "nick=ann push=1", "nick=cé😀", "nick=bob push=0"];
        assert_eq!(ask(&*x, &["2", "9", "1", "3", "2"]).await, expected, "{}", db.kind);
        let keys = format!(
            "{ACCOUNT}\nwhere = {{ app = 'higo', push_status = 1 }}\nmap.push = {{ \"1\" = 'on', \"0\" = 'off' }}"
        );
        let x = db.lookup("", &keys);
        assert_eq!(ask(&*x, &["1", "2", "3"]).await, ["nick=ann push=on", "-", "-"], "{}", db.kind);
        let text = db.lookup("", "table = 'TABLE_'\nid = 'nick_name'\ncolumns = { id = 'account_id' }");
        assert_eq!(ask(&*text, &["ann", "ANN", "cé😀", "x"]).await, ["id=1", "-", "id=3", "-"], "{}", db.kind);
        db.drop().await;
    }
}

#[tokio::test]
async fn a_query_of_ones_own_keeps_its_order_and_its_names() {
    for db in all("raw") {
        let device = "CREATE TABLE TABLE_ (account_id INT, token VARCHAR(64), via SMALLINT, is_del INT)";
        let rows = "INSERT INTO TABLE_ VALUES (1,'t1',1,0),(1,'t2',2,0),(1,'t3',2,1),(2,'t4',3,0)";
        db.run(&[device, rows]).await;
        let keys = "query = '''SELECT account_id, token, via AS platform, token AS again FROM TABLE_
                    WHERE account_id IN (:user_ids) AND is_del = :alive AND token <> ':x;' ORDER BY via DESC'''
                    row_key = 'account_id'\nwhere = { alive = 0 }\nmap.platform = { \"1\" = 'android', \"2\" = 'ios' }";
        let x = db.lookup("", keys);
        let two = "account_id=1 again=t2 platform=ios token=t2; account_id=1 again=t1 platform=android token=t1";
        let expected = ["-", two, "account_id=2 again=t4 platform=3 token=t4"];
        assert_eq!(ask(&*x, &["3", "1", "2"]).await, expected, "{}", db.kind);
        db.drop().await;
    }
}

#[tokio::test]
async fn every_type_of_a_postgres_column_becomes_text() {
    let db = Db::new("postgres", "types");
    let types = [
        ("INT8 = -9223372036854775808", "-9223372036854775808"),
        ("NUMERIC(20,4) = 12345678901234.56", "12345678901234.5600"),
        ("BOOLEAN = true", "true"),
        ("REAL = 1.25", "1.25"),
        ("DOUBLE PRECISION = 0.1", "0.1"),
        ("DATE = '2026-11-21'", "2026-11-21"),
        ("TIMESTAMP = '2026-11-21 08:09:10'", "2026-11-21 08:09:10"),
        ("TIME = '08:09:10'", "08:09:10"),
        ("UUID = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("JSONB = '{\"a\": 1}'", "{\"a\": 1}"),
        ("TEXT[] = '{a,b}'", "{a,b}"),
        ("CHAR(3) = 'ab'", "ab"),
    ];
    let split = |definition: &'static str| definition.split_once(" = ").unwrap();
    let columns: Vec<String> = types.iter().enumerate().map(|(n, (d, _))| format!("c{n} {}", split(d).0)).collect();
    let values: Vec<&str> = types.iter().map(|(d, _)| split(d).1).collect();
    let create = format!("CREATE TABLE TABLE_ (id BIGINT PRIMARY KEY, {}, n INT)", columns.join(", "));
    db.run(&[&create, &format!("INSERT INTO TABLE_ VALUES (7, {}, NULL)", values.join(", "))]).await;
    let aliases: Vec<String> = (0..types.len()).map(|n| format!("c{n} = 'c{n}'")).collect();
    let declared =
        db.lookup("", &format!("table = 'TABLE_'\nid = 'id'\ncolumns = {{ {}, n = 'n' }}", aliases.join(", ")));
    let raw = db.lookup("", "query = 'SELECT * FROM TABLE_ WHERE id IN (:user_ids)'\nrow_key = 'id'");
    for x in [declared, raw] {
        let rows = x.rows(&["7"]).await.unwrap();
        for (n, (definition, text)) in types.iter().enumerate() {
            assert_eq!(rows[0][0][&format!("c{n}")], *text, "{definition}");
        }
        assert!(!rows[0][0].contains_key("n"));
    }
    db.drop().await;
}

#[tokio::test]
async fn ids_of_other_types_than_the_column_have_no_rows() {
    let db = Db::new("postgres", "uuid");
    let (one, two) = ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b811-9dad-11d1-80b4-00c04fd430c8");
    db.run(&["CREATE TABLE TABLE_ (id UUID PRIMARY KEY, v INT)", &format!("INSERT INTO TABLE_ VALUES ('{one}', 1)")])
        .await;
    let x = db.lookup("", "table = 'TABLE_'\nid = 'id'\ncolumns = { v = 'v' }");
    let upper = one.to_uppercase();
    let ids = [one, "bob", two, "", "6ba7b810", &upper, "x' OR 1=1"];
    assert_eq!(ask(&*x, &ids).await, ["v=1", "-", "-", "-", "-", "-", "-"]);
    // A value of the data that does not fit is no missing row.
    let wrong = "query = \"SELECT id, ('x' || v)::int AS n FROM TABLE_ WHERE id IN (:user_ids)\"\nrow_key = 'id'";
    let down = db.lookup("", wrong).rows(&[one]).await.unwrap_err();
    assert!(story(&down).contains("invalid input syntax"), "{}", story(&down));
    // Types change while we run.
    assert_eq!(ask(&*x, &[one]).await, ["v=1"]);
    db.run(&["ALTER TABLE TABLE_ ALTER COLUMN id TYPE text, ALTER COLUMN v TYPE numeric(4,1)"]).await;
    assert_eq!(ask(&*x, &[one, "bob"]).await, ["v=1.0", "-"]);
    db.run(&["INSERT INTO TABLE_ VALUES ('bob', 2)"]).await;
    assert_eq!(ask(&*x, &[one, "bob"]).await, ["v=1.0", "v=2.0"]);
    db.drop().await;
}

#[tokio::test]
async fn hostile_ids_find_nothing_and_break_nothing() {
    for db in all("hostile") {
        accounts(&db).await;
        let long = "9".repeat(512);
        let ids = [
            "1 OR 1=1",
            "' OR 1=1",
            "1) OR (1=1",
            "1'; DROP TABLE TABLE_; -- ",
            "\\' OR 1=1 -- ",
            "$1",
            "1::int",
            "1abc",
            "1e0",
            "01",
            " 1",
            "+1",
            "1.0",
            "?",
            ":user_ids",
            "99999999999",
            "-9223372036854775809",
            "NULL",
            "",
            "1\0",
            "1\n",
            "😀",
            &long,
            "1",
        ];
        let expected: Vec<&str> = ids.iter().map(|id| if *id == "1" { "nick=ann push=1" } else { "-" }).collect();
        let raw = "query = 'SELECT account_id, nick_name FROM TABLE_ WHERE account_id IN (:user_ids)'\nrow_key = 'account_id'";
        assert_eq!(ask(&*db.lookup("", ACCOUNT), &ids).await, expected, "{}", db.kind);
        let found = ask(&*db.lookup("", raw), &ids).await;
        assert_eq!(found.iter().filter(|rows| *rows != "-").count(), 1, "{}", db.kind);
        db.drop().await;
    }
}

#[tokio::test]
async fn ten_thousand_ids_are_one_call() {
    for db in all("many") {
        let rows: Vec<String> = (0..12_000).step_by(2).map(|id| format!("({id}, 'n{id}')")).collect();
        let insert = format!("INSERT INTO TABLE_ VALUES {}", rows.join(","));
        db.run(&["CREATE TABLE TABLE_ (id INT PRIMARY KEY, nick VARCHAR(40))", &insert]).await;
        let x = db.lookup("", "table = 'TABLE_'\nid = 'id'\ncolumns = { nick = 'nick' }");
        let ids: Vec<String> = (0..10_000).rev().map(|id| id.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let answer = ask(&*x, &ids).await;
        assert_eq!(answer.len(), 10_000);
        for (id, row) in ids.iter().zip(&answer) {
            let expected = if id.parse::<u32>().unwrap() % 2 == 0 { format!("nick=n{id}") } else { "-".to_owned() };
            assert_eq!(*row, expected, "{} {id}", db.kind);
        }
        db.drop().await;
    }
}

#[tokio::test]
async fn ids_may_be_spread_over_tables() {
    for db in all("shard") {
        for n in 0..4 {
            let create = format!("CREATE TABLE TABLE_{n} (id INT PRIMARY KEY, v VARCHAR(9))");
            let insert = format!("INSERT INTO TABLE_{n} VALUES ({n}, 'a{n}'), ({}, 'b{n}')", n + 4);
            db.run(&[&create, &insert]).await;
        }
        let keys = "table = 'TABLE_'\nshard = 'TABLE_{user_id%4}'\nid = 'id'\ncolumns = { v = 'v' }";
        let x = db.lookup("", keys);
        let ids = ["5", "0", "bob", "3", "7", "8", "2"];
        assert_eq!(ask(&*x, &ids).await, ["v=b1", "v=a0", "-", "v=a3", "v=b3", "-", "v=a2"], "{}", db.kind);
        let told = x.explain("6").await.unwrap();
        assert!(told.asked.contains(&format!("{}2", db.table)) && told.asked.contains("IN ('6')"), "{}", told.asked);
        for n in 0..4 {
            db.run(&[&format!("DROP TABLE TABLE_{n}")]).await;
        }
        for (shard, word) in [("t_{user_id}", "user_id%N"), ("t_{id/10}", "user_id%N"), ("t-{id%4}", "no name")] {
            let keys = format!("[lookup.x]\nstore = 'db'\nshard = '{shard}'\nid = 'id'\ncolumns = {{ v = 'v' }}");
            let message = refused(&db.toml("", &keys));
            assert!(message.contains("[lookup.x] shard") && message.contains(word), "{message}");
        }
    }
}

#[tokio::test]
async fn a_dead_token_is_taken_out_only_while_it_is_that_users() {
    for db in all("forget") {
        let create = "CREATE TABLE TABLE_ (account_id INT, token VARCHAR(40), is_del INT)";
        db.run(&[create, "INSERT INTO TABLE_ VALUES (1,'a',0),(1,'b',0),(2,'c',0)"]).await;
        let keys = "table = 'TABLE_'\nid = 'account_id'\ncolumns = { token = 'token' }\nwhere = { is_del = 0 }\ncache = '60s'\n\
            invalidate = 'UPDATE TABLE_ SET is_del = 1 WHERE token = :token AND account_id = :user AND is_del = :is_del'";
        let message = refused(&db.toml("", &format!("[lookup.x]\nstore = 'db'\n{keys}")));
        assert!(message.contains("[lookup.x] invalidate") && message.contains("allow_write"), "{message}");
        let x = db.lookup("allow_write = true", keys);
        assert_eq!(ask(&*x, &["1", "2"]).await, ["token=a; token=b", "token=c"]);
        for (user, token) in [("2", "a"), ("1", "c' OR '1'='1"), ("1 OR 1=1", "a"), ("bob", "a"), ("", "a"), ("1", "")]
        {
            assert!(!x.forget(user, token, &Death::default()).await.unwrap(), "{} {user} {token}", db.kind);
        }
        assert_eq!(ask(&*x, &["1", "2"]).await, ["token=a; token=b", "token=c"], "{}", db.kind);
        assert!(x.forget("1", "a", &Death::default()).await.unwrap(), "{}", db.kind);
        assert!(!x.forget("1", "a", &Death::default()).await.unwrap(), "the second time there is nothing to do");
        assert_eq!(ask(&*x, &["1", "2"]).await, ["token=b", "token=c"], "the cached rows are forgotten too");
        db.run(&["UPDATE TABLE_ SET account_id = 2 WHERE token = 'b'"]).await;
        assert!(!x.forget("1", "b", &Death::default()).await.unwrap(), "it has moved");
        db.drop().await;
    }
}

#[tokio::test]
async fn explain_shows_the_statement_and_hides_the_token() {
    for db in all("explain") {
        let token = "0f744707bebcf74f9b7c25d48e3358945f6aa01d";
        let insert = format!("INSERT INTO TABLE_ VALUES (42, '{token}', 1)");
        db.run(&["CREATE TABLE TABLE_ (account_id INT, xinge VARCHAR(64), via INT)", &insert]).await;
        let declared = "table = 'TABLE_'\nid = 'account_id'\ncolumns = { token = 'xinge', platform = 'via' }\n\
                        map.platform = { \"1\" = 'android' }\ncache = '60s'";
        let raw = "query = 'SELECT account_id, xinge AS token, via AS platform FROM TABLE_ WHERE account_id IN (:user_ids)'\n\
                   row_key = 'account_id'\nmap.platform = { \"1\" = 'android' }";
        for keys in [declared, raw] {
            let x = db.lookup("", keys);
            assert_eq!(x.rows(&["42", "43"]).await.unwrap()[1].len(), 0);
            let told = x.explain("42").await.unwrap();
            assert_eq!(told.store, "db");
            assert!(told.asked.contains("IN ('42')") && told.asked.contains("SELECT"), "{}", told.asked);
            assert!(told.raw.contains("…a01d") && !told.raw.contains(token), "{}", told.raw);
            assert_eq!(told.rows[0]["token"], token, "the rows are whole: rules and devices are told by them");
            assert_eq!(told.rows[0]["platform"], "android");
            let told = x.explain("43").await.unwrap();
            assert_eq!((told.raw.as_str(), told.rows.len()), ("no rows", 0));
            assert!(x.explain("43' OR 1=1").await.unwrap().rows.is_empty());
        }
        // Past the cache.
        let x = db.lookup("", declared);
        x.rows(&["42"]).await.unwrap();
        db.run(&["UPDATE TABLE_ SET via = 2"]).await;
        assert_eq!(x.rows(&["42"]).await.unwrap()[0][0]["platform"], "android");
        assert_eq!(x.explain("42").await.unwrap().rows[0]["platform"], "2");
        db.drop().await;
    }
}

#[tokio::test]
async fn check_names_what_does_not_fit() {
    for db in all("check") {
        db.run(&["CREATE TABLE TABLE_ (id INT, a INT)"]).await;
        for (keys, words) in [
            ("table = 'TABLE_'\nid = 'id'\ncolumns = { a = 'b' }", ["b", "compare table, id, columns"]),
            ("table = 'TABLE_x'\nid = 'id'\ncolumns = { a = 'a' }", ["TABLE_x", "compare table"]),
            ("query = 'SELECT a FROM TABLE_ WHERE id IN (:user_ids)'\nrow_key = 'id'", ["row_key `id`", "columns: a"]),
        ] {
            let lines = stores(&db.toml("", &format!("[lookup.x]\nstore = 'db'\n{keys}"))).check().await;
            let line = lines.iter().find(|line| line.subject == "lookup.x").unwrap();
            assert_eq!(line.level, homing_stores::Level::Error, "{} {keys}", db.kind);
            for word in words {
                assert!(line.text.contains(&word.replace("TABLE_", &db.table)), "{}: {}", db.kind, line.text);
            }
        }
        let keys = "[lookup.x]\nstore = 'db'\ntable = 'TABLE_'\nid = 'id'\ncolumns = { a = 'a' }";
        let lines = stores(&db.toml("", keys)).check().await;
        assert!(lines.iter().all(|line| line.level == homing_stores::Level::Ok), "{lines:?}");
        db.drop().await;
    }
}

#[tokio::test]
async fn an_old_mysql_is_treated_gently() {
    let db = Db::new("mysql", "compat");
    accounts(&db).await;
    let x = db.lookup("compat = 'mysql55'", ACCOUNT);
    assert_eq!(ask(&*x, &["1", "9"]).await, ["nick=ann push=1", "-"]);
    let message = refused("[stores.db]\nkind = 'sqlite'\nurl = 'sqlite:x'\ncompat = 'mysql55'");
    assert!(message.contains("[stores.db] compat"), "{message}");
    db.drop().await;
}

/// `StoreDown`, after the timeout and not much later, without the password.
pub(crate) async fn down(lookup: &dyn Lookup, word: &str) {
    let began = Instant::now();
    let error = lookup.rows(&["1"]).await.unwrap_err();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let story = story(&error);
    assert!(story.contains(word) && !story.contains("hunter2"), "`{word}` is not in {story}");
}
