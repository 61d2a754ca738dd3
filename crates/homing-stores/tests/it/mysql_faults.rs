//! A MariaDB that is away, silent or slow, and sessions that cannot write.

use std::time::{Duration, Instant};

use homing_core::lookup::Lookup;

use crate::mysql::{config, lookup, run};
use crate::support::{Proxy, ask, silence, stores, story, unique, variable};

async fn down(lookup: &dyn Lookup, word: &str) {
    let began = Instant::now();
    let error = lookup.rows(&["1"]).await.unwrap_err();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    let story = story(&error);
    assert!(story.contains(word) && !story.contains("hunter2"), "{story}");
}

fn at(port: u16) -> std::sync::Arc<dyn Lookup> {
    let toml = format!(
        "[stores.db]\nkind = 'mysql'\nurl = 'mysql://u:hunter2@127.0.0.1:{port}/d'\ntimeout = '500ms'\n\
         [lookup.x]\nstore = 'db'\ntable = 't'\nid = 'id'\ncolumns = {{ a = 'a' }}"
    );
    stores(&toml).lookup("x").unwrap()
}

#[tokio::test]
async fn nobody_at_the_port_is_down_in_time() {
    let lookup = at(1);
    down(&*lookup, "within 500ms").await;
    down(&*lookup, "no connection").await;
}

#[tokio::test]
async fn a_silent_server_is_down_in_time() {
    let (_listener, port) = silence().await;
    let lookup = at(port);
    let all = (0..8).map(|_| down(&*lookup, "within 500ms"));
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn a_slow_query_is_cut_off_and_the_next_one_is_well() {
    let t = unique("slow");
    let query = "query = \"SELECT '1' AS id, SLEEP(IF('1' IN (:user_ids), 3, 0)) AS s\"\nrow_key = 'id'";
    let x = stores(&config(&t, "timeout = '400ms'\npool = 2", query)).lookup("x").unwrap();
    futures_util::future::join_all((0..6).map(|_| down(&*x, "db"))).await;
    assert_eq!(ask(&*x, &["2"]).await, ["-"]);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_for_a_while_is_found_again_at_once() {
    let t = unique("stalled");
    let query = "query = \"SELECT '1' AS id, CONNECTION_ID() AS c FROM dual WHERE '1' IN (:user_ids)\"\nrow_key = 'id'";
    let url = variable("HOMING_TEST_MYSQL_URL");
    let port = url.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1;
    let proxy = Proxy::to("127.0.0.1", port.parse().unwrap()).await;
    let toml = config(&t, "timeout = '400ms'\npool = 2", query).replace(port, &proxy.port.to_string());
    let x = stores(&toml).lookup("x").unwrap();
    for _ in 0..2 {
        assert_eq!(x.rows(&["1"]).await.unwrap()[0].len(), 1);
        proxy.stall();
        futures_util::future::join_all((0..6).map(|_| down(&*x, "within 400ms"))).await;
        proxy.resume();
        assert_eq!(x.rows(&["1"]).await.unwrap()[0].len(), 1);
    }
    proxy.lose();
    down(&*x, "within 400ms").await; // one call for each connection of the pool, at most
    x.rows(&["1"]).await.unwrap();
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let url = variable("HOMING_TEST_MYSQL_URL");
    let (user, host) = url.rsplit_once('@').unwrap();
    let wrong = format!("{}:hunter2@{host}", user.rsplit_once(':').unwrap().0);
    let toml = config("t", "", "table = 't'\nid = 'id'\ncolumns = { a = 'a' }").replace(&url, &wrong);
    down(&*stores(&toml).lookup("x").unwrap(), "Access denied").await;
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let query = "query = \"SELECT '1' AS id, seq FROM seq_1_to_300000 WHERE '1' IN (:user_ids)\"\nrow_key = 'id'";
    let x = stores(&config("t", "timeout = '9s'", query)).lookup("x").unwrap();
    let error = x.rows(&["1"]).await.unwrap_err();
    assert!(story(&error).contains("more than 200000 rows"), "{}", story(&error));
    assert_eq!(ask(&*x, &["2"]).await, ["-"]);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_pool_well() {
    let t = unique("dropped");
    let query = "query = \"SELECT '2' AS id, SLEEP(IF('1' IN (:user_ids), 3, 0)) AS s\"\nrow_key = 'id'";
    let x = stores(&config(&t, "timeout = '1s'\npool = 1", query)).lookup("x").unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(100), x.rows(&["1"])).await.is_err());
        assert_eq!(ask(&*x, &["2"]).await, ["id=2 s=0"], "with one connection in the pool");
    }
}

#[tokio::test]
async fn a_connection_that_was_killed_costs_no_error() {
    let t = unique("killed");
    let query = "query = \"SELECT '1' AS id, CONNECTION_ID() AS c FROM dual WHERE '1' IN (:user_ids)\"\nrow_key = 'id'";
    let x = stores(&config(&t, "pool = 1", query)).lookup("x").unwrap();
    let connection = x.rows(&["1"]).await.unwrap()[0][0]["c"].clone();
    run(&t, &[&format!("KILL CONNECTION {connection}")]).await;
    let other = x.rows(&["1"]).await.unwrap()[0][0]["c"].clone();
    assert_ne!(connection, other);
}

#[tokio::test]
async fn sessions_that_look_up_cannot_write() {
    let t = unique("readonly");
    let function = "CREATE FUNCTION TABLE_f() RETURNS INT BEGIN INSERT INTO TABLE_ VALUES (1); RETURN 1; END";
    run(&t, &["CREATE TABLE TABLE_ (id INT)", function]).await;
    let query = "query = \"SELECT '1' AS id, TABLE_f() AS f FROM dual WHERE '1' IN (:user_ids)\"\nrow_key = 'id'";
    let read_only = lookup(&t, query);
    let error = read_only.rows(&["1"]).await.unwrap_err();
    assert!(story(&error).contains("READ ONLY"), "{}", story(&error));
    let writing = stores(&config(&t, "read_only = false", query)).lookup("x").unwrap();
    assert_eq!(ask(&*writing, &["1"]).await, ["f=1 id=1"], "it is the session that forbids it");
    // Another store may write, and still does not while looking up.
    let both = stores(&config(&t, "allow_write = true", query)).lookup("x").unwrap();
    assert!(both.rows(&["1"]).await.is_err());
    run(&t, &["DROP FUNCTION TABLE_f", "DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn a_mapping_that_does_not_fit_is_named() {
    let t = unique("unfit");
    run(&t, &["CREATE TABLE TABLE_ (id INT, a INT)", "INSERT INTO TABLE_ VALUES (1, 1)"]).await;
    let wrong = lookup(&t, "table = 'TABLE_'\nid = 'id'\ncolumns = { a = 'b' }");
    down(&*wrong, "Unknown column 'b'").await;
    let wrong = lookup(&t, "query = 'SELECT a FROM TABLE_ WHERE id IN (:user_ids)'\nrow_key = 'id'");
    down(&*wrong, "row_key `id` is not among the selected columns: a").await;
    run(&t, &["DROP TABLE TABLE_"]).await;
}
