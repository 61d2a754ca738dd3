//! A PostgreSQL that is away, silent or slow; a SQLite file that is missing, locked or slow; sessions that cannot write.

use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};

use crate::sql::{Db, down};
use crate::support::{Proxy, ask, silence, stores, story, unique, variable};

const TABLE: &str = "table = 't'\nid = 'id'\ncolumns = { a = 'a' }";

fn at(port: u16) -> std::sync::Arc<dyn homing_core::lookup::Lookup> {
    let toml = format!(
        "[stores.db]\nkind = 'postgres'\nurl = 'postgres://u:hunter2@127.0.0.1:{port}/d'\ntimeout = '500ms'\n\
         [lookup.x]\nstore = 'db'\n{TABLE}"
    );
    stores(&toml).lookup("x").unwrap()
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_down_in_time() {
    down(&*at(1), "within 500ms").await;
    let (_listener, port) = silence().await;
    let lookup = at(port);
    futures_util::future::join_all((0..8).map(|_| down(&*lookup, "within 500ms"))).await;
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let url = variable("HOMING_TEST_POSTGRES_URL");
    let (user, host) = url.rsplit_once('@').unwrap();
    let wrong = format!("{}:hunter2@{host}", user.rsplit_once(':').unwrap().0);
    let toml = format!("[stores.db]\nkind = 'postgres'\nurl = '{wrong}'\n[lookup.x]\nstore = 'db'\n{TABLE}");
    down(&*stores(&toml).lookup("x").unwrap(), "password authentication failed").await;
}

#[tokio::test]
async fn a_postgres_that_was_cut_off_is_found_again() {
    let url = variable("HOMING_TEST_POSTGRES_URL");
    let port = url.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1;
    let proxy = Proxy::to("127.0.0.1", port.parse().unwrap()).await;
    let query = "query = \"SELECT '1' AS id, pg_backend_pid() AS c WHERE '1' IN (:user_ids)\"\nrow_key = 'id'";
    let db = Db::new("postgres", "stalled");
    let toml = db.toml("timeout = '400ms'\npool = 2", &format!("[lookup.x]\nstore = 'db'\n{query}"));
    let x = stores(&toml.replace(&format!(":{port}/"), &format!(":{}/", proxy.port))).lookup("x").unwrap();
    for _ in 0..2 {
        assert_eq!(x.rows(&["1"]).await.unwrap()[0].len(), 1);
        proxy.stall();
        futures_util::future::join_all((0..6).map(|_| down(&*x, "within 400ms"))).await;
        proxy.resume();
        assert_eq!(x.rows(&["1"]).await.unwrap()[0].len(), 1);
    }
    let pid = x.rows(&["1"]).await.unwrap()[0][0]["c"].clone();
    db.run(&[&format!("SELECT pg_terminate_backend({pid})")]).await;
    assert_eq!(x.rows(&["1"]).await.unwrap()[0].len(), 1, "a connection that was killed costs no error");
}

#[tokio::test]
async fn a_slow_statement_is_cut_off_and_the_next_one_is_well() {
    let slow = "SELECT '1' AS id, CASE WHEN '1' IN (:user_ids) THEN pg_sleep(9) END AS s";
    let x = Db::new("postgres", "slow")
        .lookup("timeout = '400ms'\npool = 1", &format!("query = \"{slow}\"\nrow_key = 'id'"));
    down(&*x, "db").await;
    assert_eq!(ask(&*x, &["2"]).await, ["-"]);
    let db = Db::new("sqlite", "slow");
    db.run(&["CREATE TABLE t (id INT)"]).await;
    let slow = "SELECT '1' AS id, (SELECT count(*) FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n \
                WHERE x < CASE WHEN '1' IN (:user_ids) THEN 1000000000 ELSE 1 END) SELECT x FROM n)) AS s";
    let x = db.lookup("timeout = '400ms'\npool = 1", &format!("query = \"{slow}\"\nrow_key = 'id'"));
    down(&*x, "db").await;
    // The place in the pool is free again, and so is the processor.
    assert_eq!(ask(&*x, &["2"]).await, ["-"]);
}

#[tokio::test]
async fn a_file_that_is_not_there_or_locked_is_down_and_heals() {
    let db = Db::new("sqlite", "locked");
    let x = db.lookup("timeout = '500ms'", TABLE);
    down(&*x, "unable to open").await;
    db.run(&["CREATE TABLE t (id INT, a TEXT)", "INSERT INTO t VALUES (1, 'x')"]).await;
    assert_eq!(ask(&*x, &["1"]).await, ["a=x"], "it was made meanwhile");
    let mut writer = SqliteConnection::connect(&db.url).await.unwrap();
    writer.execute("BEGIN EXCLUSIVE").await.unwrap();
    down(&*x, "db").await;
    writer.execute("UPDATE t SET a = 'y'").await.unwrap();
    writer.execute("COMMIT").await.unwrap();
    assert_eq!(ask(&*x, &["1"]).await, ["a=y"]);
}

#[tokio::test]
async fn sessions_that_look_up_cannot_write() {
    let db = Db::new("postgres", "readonly");
    let function =
        "CREATE FUNCTION TABLE_f() RETURNS int LANGUAGE sql AS $$ INSERT INTO TABLE_ VALUES (1) RETURNING 1 $$";
    db.run(&["CREATE TABLE TABLE_ (id INT)", function]).await;
    let query = "query = \"SELECT '1' AS id, TABLE_f() AS f WHERE '1' IN (:user_ids)\"\nrow_key = 'id'";
    for store in ["", "allow_write = true"] {
        let error = db.lookup(store, query).rows(&["1"]).await.unwrap_err();
        assert!(story(&error).contains("read-only transaction"), "{}", story(&error));
    }
    assert_eq!(ask(&*db.lookup("read_only = false", query), &["1"]).await, ["f=1 id=1"], "the session forbids it");
    db.run(&["DROP FUNCTION TABLE_f", "DROP TABLE TABLE_"]).await;
    // A SQLite query cannot write in the first place; the file is opened for reading all the same.
    let db = Db::new("sqlite", "readonly");
    db.run(&["CREATE TABLE t (id INT, a TEXT)"]).await;
    let path = db.url.strip_prefix("sqlite:").unwrap();
    let before = std::fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(ask(&*db.lookup("", TABLE), &["1"]).await, ["-"]);
    assert_eq!(std::fs::metadata(path).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_pool_well() {
    let slow = "SELECT '2' AS id, CASE WHEN '1' IN (:user_ids) THEN pg_sleep(3)::text ELSE 'x' END AS s";
    let x = Db::new("postgres", &unique("dropped"))
        .lookup("timeout = '1s'\npool = 1", &format!("query = \"{slow}\"\nrow_key = 'id'"));
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(100), x.rows(&["1"])).await.is_err());
        assert_eq!(ask(&*x, &["2"]).await, ["id=2 s=x"], "with one connection in the pool");
    }
}
