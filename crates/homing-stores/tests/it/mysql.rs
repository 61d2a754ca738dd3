//! Lookups in MariaDB: types, order, batches, hostile ids, forgetting.

use homing_core::lookup::Death;
use std::sync::Arc;

use homing_core::lookup::Lookup;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use crate::support::{ask, refused, stores, unique, variable};

/// Runs statements; `TABLE` in them is the test's own.
pub(crate) async fn run(table: &str, statements: &[&str]) {
    let mut connection = MySqlConnection::connect(&variable("HOMING_TEST_MYSQL_URL")).await.unwrap();
    for statement in statements {
        let sql = AssertSqlSafe(statement.replace("TABLE_", table));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    connection.close().await.unwrap();
}

pub(crate) fn config(table: &str, store: &str, keys: &str) -> String {
    let url = variable("HOMING_TEST_MYSQL_URL");
    let toml = format!("[stores.db]\nkind = 'mysql'\nurl = '{url}'\n{store}\n[lookup.x]\nstore = 'db'\n{keys}");
    toml.replace("TABLE_", table)
}

pub(crate) fn lookup(table: &str, keys: &str) -> Arc<dyn Lookup> {
    stores(&config(table, "", keys)).lookup("x").unwrap()
}

const ACCOUNT: &str = "table = 'TABLE_'\nid = 'account_id'\ncolumns = { push = 'push_status', nick = 'nick_name' }";

async fn accounts(table: &str) {
    let create =
        "CREATE TABLE TABLE_ (account_id INT PRIMARY KEY, push_status TINYINT(1), nick_name VARCHAR(40), app CHAR(8))";
    let rows = "INSERT INTO TABLE_ VALUES (1, 1, 'ann', 'higo'), (2, 0, 'bob', 'higirl'), (3, NULL, 'cé😀', 'higo')";
    run(table, &[create, rows]).await;
}

#[tokio::test]
async fn a_declared_table_answers_in_the_order_of_the_ids() {
    let t = unique("declared");
    accounts(&t).await;
    let x = lookup(&t, &format!("{ACCOUNT}\naccept = \"push == '1'\""));
    let expected = ["nick=bob push=0", "-", "nick=ann push=1", "nick=cé😀", "nick=bob push=0"];
    assert_eq!(ask(&*x, &["2", "9", "1", "3", "2"]).await, expected);
    let rows = x.rows(&["1", "2", "3", "9"]).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|rows| x.judge(rows, 0)).map(|v| (v.pass, v.seen)).collect();
    let verdict = |pass, seen: &str| (pass, seen.to_owned());
    assert_eq!(
        seen,
        [verdict(true, "push=1"), verdict(false, "push=0"), verdict(false, "push=none"), verdict(false, "missing")]
    );
    let keys =
        format!("{ACCOUNT}\nwhere = {{ app = 'higo', push_status = 1 }}\nmap.push = {{ \"1\" = 'on', \"0\" = 'off' }}");
    let x = lookup(&t, &keys);
    assert_eq!(ask(&*x, &["1", "2", "3"]).await, ["nick=ann push=on", "-", "-"]);
    run(&t, &["DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn a_query_of_ones_own_joins_and_has_many_rows() {
    let t = unique("raw");
    let device = "CREATE TABLE TABLE_ (account_id INT, xinge_token VARCHAR(64), via TINYINT, app CHAR(8), is_del INT)";
    let rows =
        "INSERT INTO TABLE_ VALUES (1,'t1',1,'higo',0),(1,'t2',2,'higo',0),(1,'t3',2,'higo',1),(2,'t4',3,'higirl',0)";
    run(&t, &[device, rows]).await;
    let keys = "query = '''SELECT account_id, xinge_token AS token, via AS platform FROM TABLE_
                WHERE account_id IN (:user_ids) AND is_del = :alive AND app <> ':x;' ORDER BY via DESC'''
                row_key = 'account_id'\nwhere = { alive = 0 }\nmap.platform = { \"1\" = 'android', \"2\" = 'ios' }";
    let x = lookup(&t, keys);
    let two = "account_id=1 platform=ios token=t2; account_id=1 platform=android token=t1";
    assert_eq!(ask(&*x, &["3", "1", "2"]).await, ["-", two, "account_id=2 platform=3 token=t4"]);
    run(&t, &["DROP TABLE TABLE_"]).await;
}

const TYPES: [(&str, &str, Option<&str>); 31] = [
    ("a_tiny1", "TINYINT(1) = 1", Some("1")),
    ("b_tiny1u", "TINYINT(1) UNSIGNED = 200", Some("200")),
    ("c_tiny", "TINYINT = -128", Some("-128")),
    ("d_small", "SMALLINT = -32768", Some("-32768")),
    ("e_medium", "MEDIUMINT = -8388608", Some("-8388608")),
    ("f_mediumu", "MEDIUMINT UNSIGNED = 16777215", Some("16777215")),
    ("g_int", "INT = -5", Some("-5")),
    ("h_intu", "INT UNSIGNED = 4294967295", Some("4294967295")),
    ("i_big", "BIGINT = -9223372036854775808", Some("-9223372036854775808")),
    ("j_bigu", "BIGINT UNSIGNED = 18446744073709551615", Some("18446744073709551615")),
    ("k_dec", "DECIMAL(20,4) = 12345678901234.5600", Some("12345678901234.5600")),
    ("l_float", "FLOAT = 1.25", Some("1.25")),
    ("m_double", "DOUBLE = 0.1", Some("0.1")),
    ("n_date", "DATE = '2026-11-21'", Some("2026-11-21")),
    ("o_dt", "DATETIME = '2026-11-21 08:09:10'", Some("2026-11-21 08:09:10")),
    ("p_dt6", "DATETIME(6) = '2026-11-21 08:09:10.000123'", Some("2026-11-21 08:09:10.000123")),
    ("q_dt0", "DATETIME = '2026-11-21'", Some("2026-11-21 00:00:00")),
    ("r_ts", "TIMESTAMP NULL = '2026-11-21 08:09:10'", Some("2026-11-21 08:09:10")),
    ("s_time", "TIME = '-30:01:02'", Some("-30:01:02")),
    ("t_time0", "TIME = '00:00:00'", Some("00:00:00")),
    ("u_year", "YEAR = 2026", Some("2026")),
    ("v_bit1", "BIT(1) = b'1'", Some("1")),
    ("w_bit12", "BIT(12) = 4095", Some("4095")),
    ("x_enum", "ENUM('on','off') = 'on'", Some("on")),
    ("y_set", "SET('a','b') = 'a,b'", Some("a,b")),
    ("z_json", "JSON = '{\"a\": 1}'", Some("{\"a\": 1}")),
    ("za_text", "TEXT = 'größe'", Some("größe")),
    ("zb_blob", "BLOB = X'6869'", Some("hi")),
    ("zc_latin", "VARCHAR(9) CHARACTER SET latin1 = 'é'", Some("é")),
    ("zd_null", "INT = NULL", None),
    ("ze_zero", "DATETIME = '0000-00-00'", None),
];

#[tokio::test]
async fn every_type_of_a_column_becomes_text() {
    let t = unique("types");
    let split = |definition: &'static str| definition.split_once(" = ").unwrap();
    let columns: Vec<String> = TYPES.iter().map(|(name, d, _)| format!("{name} {}", split(d).0)).collect();
    let values: Vec<&str> = TYPES.iter().map(|(_, d, _)| split(d).1).collect();
    let create = format!("CREATE TABLE TABLE_ (id BIGINT UNSIGNED PRIMARY KEY, {})", columns.join(", "));
    let insert = format!("SET sql_mode=''; INSERT INTO TABLE_ VALUES (18446744073709551615, {})", values.join(", "));
    // The driver's sessions are in UTC, and so is what they read of a TIMESTAMP.
    run(&t, &[&create, &insert]).await;
    let expected: Vec<String> =
        TYPES.iter().filter_map(|(name, _, text)| text.map(|text| format!("{name}={text}"))).collect();
    let names: Vec<&str> = TYPES.iter().map(|(name, _, _)| *name).collect();
    let aliases: Vec<String> = names.iter().map(|name| format!("{name} = '{name}'")).collect();
    let declared = lookup(&t, &format!("table = 'TABLE_'\nid = 'id'\ncolumns = {{ {} }}", aliases.join(", ")));
    let id = "18446744073709551615";
    assert_eq!(ask(&*declared, &[id]).await, [expected.join(" ")]);
    let query =
        format!("query = 'SELECT {}, id AS zz FROM TABLE_ WHERE id IN (:user_ids)'\nrow_key = 'zz'", names.join(", "));
    let raw = lookup(&t, &query);
    assert_eq!(ask(&*raw, &[id]).await, [format!("{} zz={id}", expected.join(" "))]);
    run(&t, &["DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn a_column_may_change_its_type_while_we_run() {
    let t = unique("drift");
    accounts(&t).await;
    let x = lookup(&t, ACCOUNT);
    assert_eq!(ask(&*x, &["1"]).await, ["nick=ann push=1"]);
    run(&t, &["ALTER TABLE TABLE_ MODIFY push_status VARCHAR(10), MODIFY account_id VARCHAR(20)"]).await;
    assert_eq!(ask(&*x, &["1"]).await, ["nick=ann push=1"]);
    run(&t, &["ALTER TABLE TABLE_ MODIFY push_status DECIMAL(5,1), MODIFY account_id BIGINT UNSIGNED ZEROFILL"]).await;
    assert_eq!(ask(&*x, &["1"]).await, ["nick=ann push=1.0"]);
    run(&t, &["DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn more_ids_than_a_statement_holds_come_back_in_order() {
    let t = unique("many");
    let rows: Vec<String> = (0..1_300).map(|id| format!("({id}, {}, 'n{id}', 'x')", id % 2)).collect();
    accounts(&t).await;
    run(&t, &["DELETE FROM TABLE_", &format!("INSERT INTO TABLE_ VALUES {}", rows.join(","))]).await;
    let x = lookup(&t, ACCOUNT);
    let ids: Vec<String> = (0..1_501).rev().chain(0..3).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answer = ask(&*x, &ids).await;
    assert_eq!(answer.len(), 1_504);
    for (id, row) in ids.iter().zip(&answer) {
        let number: u32 = id.parse().unwrap();
        let expected = if number < 1_300 { format!("nick=n{id} push={}", number % 2) } else { "-".to_owned() };
        assert_eq!(*row, expected, "{id}");
    }
    run(&t, &["DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn hostile_ids_find_nothing_and_break_nothing() {
    let t = unique("hostile");
    accounts(&t).await;
    let ids = [
        "1 OR 1=1",
        "1) OR (1=1",
        "1'; DROP TABLE TABLE_; -- ",
        "1' OR '1'='1",
        "\\' OR 1=1 -- ",
        "1abc",
        "1e0",
        "01",
        " 1",
        "1 ",
        "1.0",
        "?",
        ":user_ids",
        "0x31",
        "`",
        "\"",
        "1/**/",
        "%",
        "NULL",
        "",
        "1\0",
        "1\n",
        "😀",
        "1",
    ];
    let ids: Vec<String> = ids.iter().map(|id| id.replace("TABLE_", &t)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let expected: Vec<&str> = ids.iter().map(|id| if *id == "1" { "nick=ann push=1" } else { "-" }).collect();
    let raw =
        "query = 'SELECT account_id, nick_name FROM TABLE_ WHERE account_id IN (:user_ids)'\nrow_key = 'account_id'";
    for _ in 0..2 {
        assert_eq!(ask(&*lookup(&t, ACCOUNT), &ids).await, expected);
        assert_eq!(ask(&*lookup(&t, raw), &ids).await.iter().filter(|rows| *rows != "-").count(), 1);
        run(&t, &["ALTER TABLE TABLE_ MODIFY account_id VARCHAR(30)"]).await;
    }
    run(&t, &["DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn an_id_that_cannot_be_compared_does_not_hold_up_the_others() {
    let t = unique("collation");
    let create =
        "CREATE TABLE TABLE_ (name VARCHAR(30) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, v INT)";
    run(&t, &[create, "INSERT INTO TABLE_ VALUES ('ann', 1), ('Bob', 2), ('café', 3)"]).await;
    let x = lookup(&t, "table = 'TABLE_'\nid = 'name'\ncolumns = { v = 'v' }");
    let ids = ["ann", "😀", "bob", "Bob", "名", "café", "ann "];
    let expected = ["v=1", "-", "-", "v=2", "-", "v=3", "-"];
    assert_eq!(ask(&*x, &ids).await, expected, "ids are compared letter for letter");
    // The server takes all of these for the same; they stand in different statements.
    let mut many = vec!["Bob".to_owned()];
    many.extend((0..499).map(|n| format!("x{n}")));
    many.extend(["bob".to_owned(), "BOB ".to_owned()]);
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = ask(&*x, &many).await;
    assert_eq!(answer[0], "v=2");
    assert!(answer[1..].iter().all(|rows| rows == "-"));
    run(&t, &["DROP TABLE TABLE_"]).await;
}

const DEVICES: &str = "table = 'TABLE_'\nid = 'account_id'\ncolumns = { token = 'token' }\nwhere = { is_del = 0 }\n\
    invalidate = 'UPDATE TABLE_ SET is_del = 1 WHERE token = :token AND account_id = :user AND is_del = :is_del'\n";

#[tokio::test]
async fn a_dead_token_is_taken_out_only_while_it_is_that_users() {
    let t = unique("forget");
    let create = "CREATE TABLE TABLE_ (account_id INT, token VARCHAR(40), is_del INT)";
    run(&t, &[create, "INSERT INTO TABLE_ VALUES (1,'a',0),(1,'b',0),(2,'c',0)"]).await;
    let keys = format!("{DEVICES}cache = '60s'");
    let x = stores(&config(&t, "allow_write = true", &keys)).lookup("x").unwrap();
    assert_eq!(ask(&*x, &["1", "2"]).await, ["token=a; token=b", "token=c"]);
    assert!(!x.forget("2", "a", &Death::default()).await.unwrap(), "the token is another user's");
    assert!(!x.forget("1", "c' OR '1'='1", &Death::default()).await.unwrap());
    assert!(!x.forget("1 OR 1=1", "a", &Death::default()).await.unwrap());
    assert!(!x.forget("bob", "a", &Death::default()).await.unwrap(), "where ids are numbers, bob has no token");
    assert!(
        !x.forget("", "a", &Death::default()).await.unwrap() && !x.forget("1", "", &Death::default()).await.unwrap()
    );
    assert_eq!(ask(&*x, &["1", "2"]).await, ["token=a; token=b", "token=c"]);
    assert!(x.forget("1", "a", &Death::default()).await.unwrap());
    assert_eq!(ask(&*x, &["1", "2"]).await, ["token=b", "token=c"], "the cached rows are forgotten too");
    assert!(!x.forget("1", "a", &Death::default()).await.unwrap(), "the second time there is nothing to do");
    run(&t, &["UPDATE TABLE_ SET account_id = 2 WHERE token = 'b'"]).await;
    assert!(!x.forget("1", "b", &Death::default()).await.unwrap(), "it has moved");
    run(&t, &["DROP TABLE TABLE_"]).await;
}

#[tokio::test]
async fn forgetting_needs_to_be_allowed() {
    let t = unique("forbidden");
    let message = refused(&config(&t, "", DEVICES));
    assert!(message.contains("[lookup.x] invalidate") && message.contains("allow_write"), "{message}");
    run(&t, &["CREATE TABLE TABLE_ (account_id INT, token VARCHAR(40), is_del INT)"]).await;
    let keys = "table = 'TABLE_'\nid = 'account_id'\ncolumns = { token = 'token' }";
    let x = stores(&config(&t, "allow_write = true", keys)).lookup("x").unwrap();
    assert!(!x.forget("1", "a", &Death::default()).await.unwrap(), "there is no statement for it");
    run(&t, &["DROP TABLE TABLE_"]).await;
}
