//! Each type of a Redis lookup: order, missing ids, values.

use homing_core::lookup::Death;
use homing_core::lookup::{Lookup, Verdict};
use redis::aio::MultiplexedConnection;

use crate::support::{ask, stores, story, unique, variable};

async fn redis() -> MultiplexedConnection {
    let client = redis::Client::open(variable("HOMING_TEST_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Runs commands; `PREFIX` in them is the test's own.
async fn run(prefix: &str, commands: &[&str]) {
    let mut connection = redis().await;
    for command in commands {
        let command = command.replace("PREFIX", prefix);
        let mut words = command.split_whitespace();
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async::<redis::Value>(&mut connection).await.unwrap();
    }
}

async fn clean(prefix: &str) {
    let mut connection = redis().await;
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut connection).await.unwrap();
    for key in keys {
        redis::cmd("DEL").arg(key).query_async::<i64>(&mut connection).await.unwrap();
    }
}

fn lookup(prefix: &str, keys: &str) -> std::sync::Arc<dyn Lookup> {
    let url = variable("HOMING_TEST_REDIS_URL");
    let toml = format!("[stores.r]\nkind = 'redis'\nurl = '{url}'\n[lookup.x]\nstore = 'r'\n{keys}");
    stores(&toml.replace("PREFIX", prefix)).lookup("x").unwrap()
}

#[tokio::test]
async fn a_string_is_the_value() {
    let p = unique("string");
    run(&p, &["SET PREFIX:1 1", "SET PREFIX:2 0", "SET PREFIX:b:c yes", "HSET PREFIX:9 a b"]).await;
    let login = lookup(&p, "type = 'string'\nkey = 'PREFIX:{user_id}'\naccept = \"value == '1'\"");
    let ids = ["2", "1", "3", "1", "b:c", "9"];
    let expected = ["value=0", "value=1", "-", "value=1", "value=yes", "-"];
    assert_eq!(ask(&*login, &ids).await, expected, "in the order of the ids, twice for twice");
    assert_eq!(login.name(), "x");
    assert!(login.rows(&[]).await.unwrap().is_empty());
    let rows = login.rows(&["1", "2", "3"]).await.unwrap();
    let verdicts: Vec<Verdict> = rows.iter().map(|rows| login.judge(rows, 0)).collect();
    let verdict = |pass, seen: &str| Verdict { pass, seen: seen.to_owned() };
    assert_eq!(verdicts, [verdict(true, "value=1"), verdict(false, "value=0"), verdict(false, "missing")]);
    assert!(!login.forget("1", "token", &Death::default()).await.unwrap());
    clean(&p).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_do_not_hurt() {
    let p = unique("bytes");
    let mut connection = redis().await;
    redis::cmd("SET").arg(format!("{p}:1")).arg(&[0xff_u8, b'a'][..]).exec_async(&mut connection).await.unwrap();
    let x = lookup(&p, "type = 'string'\nkey = 'PREFIX:{id}'");
    assert_eq!(ask(&*x, &["1"]).await, ["value=\u{fffd}a"]);
    clean(&p).await;
}

#[tokio::test]
async fn a_hash_gives_its_fields() {
    let p = unique("hash");
    let set = ["HSET PREFIX:1 app_token t1 app_ident higo", "HSET PREFIX:2 app_ident higirl", "HSET PREFIX:3 other x"];
    run(&p, &set).await;
    run(&p, &["SET PREFIX:4 text"]).await;
    let ids = ["1", "2", "3", "4", "5"];
    let one = lookup(&p, "type = 'hash'\nkey = 'PREFIX:{user_id}'\nfield = 'app_token'");
    assert_eq!(ask(&*one, &ids).await, ["value=t1", "-", "-", "-", "-"]);
    let list = lookup(&p, "type = 'hash'\nkey = 'PREFIX:{user_id}'\nfields = ['app_token', 'app_ident']");
    let expected = ["app_ident=higo app_token=t1", "app_ident=higirl", "-", "-", "-"];
    assert_eq!(ask(&*list, &ids).await, expected);
    let keys = "type = 'hash'\nkey = 'PREFIX:{user_id}'\nfields = { token = 'app_token', app = 'app_ident' }\n\
                map.app = { higirl = 'seller' }\naccept = \"token is not none\"";
    let table = lookup(&p, keys);
    assert_eq!(ask(&*table, &ids).await, ["app=higo token=t1", "app=seller", "-", "-", "-"]);
    let rows = table.rows(&["1", "2"]).await.unwrap();
    assert!(table.judge(&rows[0], 0).pass && !table.judge(&rows[1], 0).pass);
    clean(&p).await;
}

#[tokio::test]
async fn a_set_and_a_sorted_set_know_their_members() {
    let p = unique("sets");
    run(&p, &["SADD PREFIX:vip 1 3", "SADD PREFIX:g:1 5", "ZADD PREFIX:on 1447212345 1 -2.5 3", "ZADD PREFIX:z:1 7 5"])
        .await;
    let ids = ["1", "2", "3", "x"];
    let shared = lookup(&p, "type = 'set'\nkey = 'PREFIX:vip'\nmember = '{user_id}'");
    assert_eq!(ask(&*shared, &ids).await, ["value=1", "-", "value=1", "-"]);
    let own = lookup(&p, "type = 'set'\nkey = 'PREFIX:g:{id}'\nmember = '5'");
    assert_eq!(ask(&*own, &ids).await, ["value=1", "-", "-", "-"]);
    let keys = "type = 'zset'\nkey = 'PREFIX:on'\nmember = '{user_id}'\non_missing = 'allow'\n\
                accept = \"now - value|int > 90\"";
    let online = lookup(&p, keys);
    assert_eq!(ask(&*online, &ids).await, ["value=1447212345", "-", "value=-2.5", "-"]);
    let rows = online.rows(&["1", "2"]).await.unwrap();
    assert!(!online.judge(&rows[0], 1_447_212_400_000).pass, "online: no push");
    assert!(online.judge(&rows[0], 1_447_212_436_000).pass, "91 s later");
    assert!(online.judge(&rows[1], 0).pass, "never seen");
    let own = lookup(&p, "type = 'zset'\nkey = 'PREFIX:z:{id}'\nmember = '5'");
    assert_eq!(ask(&*own, &ids).await, ["value=7", "-", "-", "-"]);
    let none = lookup(&p, "type = 'zset'\nkey = 'PREFIX:nothing'\nmember = '{id}'");
    assert_eq!(ask(&*none, &ids).await, ["-", "-", "-", "-"]);
    clean(&p).await;
}

#[tokio::test]
async fn a_bitmap_and_an_existing_key_say_one_or_nothing() {
    let p = unique("bits");
    run(&p, &["SETBIT PREFIX:login 7 1", "SETBIT PREFIX:part:1 5 1", "SET PREFIX:tab:7 0"]).await;
    let ids = ["7", "8", "1005", "bob", "-1", "99999999999", "18446744073709551616"];
    let bitmap = lookup(&p, "type = 'bitmap'\nkey = 'PREFIX:login'\nmember = '{user_id}'");
    assert_eq!(ask(&*bitmap, &ids).await, ["value=1", "-", "-", "-", "-", "-", "-"]);
    let parts = lookup(&p, "type = 'bitmap'\nkey = 'PREFIX:part:{user_id/1000}'\nmember = '{user_id%1000}'");
    assert_eq!(ask(&*parts, &ids).await, ["-", "-", "value=1", "-", "-", "-", "-"]);
    let exists = lookup(&p, "type = 'exists'\nkey = 'PREFIX:tab:{user_id}'");
    assert_eq!(ask(&*exists, &ids).await, ["value=1", "-", "-", "-", "-", "-", "-"]);
    clean(&p).await;
}

#[tokio::test]
async fn an_id_that_is_no_number_has_no_place_in_arithmetic() {
    let p = unique("arithmetic");
    run(&p, &["SET PREFIX:5:0042 1"]).await;
    let x = lookup(&p, "type = 'string'\nkey = 'PREFIX:{user_id%37}:{user_id|pad(4)}'");
    assert_eq!(ask(&*x, &["42", "bob", "43"]).await, ["value=1", "-", "-"]);
    assert_eq!(ask(&*x, &["bob"]).await, ["-"], "and no store is asked");
    clean(&p).await;
}

#[tokio::test]
async fn a_key_of_another_type_is_missing_or_an_error() {
    let p = unique("drift");
    run(&p, &["SADD PREFIX:1 5", "SET PREFIX:2 text", "SET PREFIX:all text"]).await;
    let own = lookup(&p, "type = 'set'\nkey = 'PREFIX:{id}'\nmember = '5'");
    assert_eq!(ask(&*own, &["1", "2"]).await, ["value=1", "-"]);
    for keys in ["type = 'set'", "type = 'zset'"] {
        let shared = lookup(&p, &format!("{keys}\nkey = 'PREFIX:all'\nmember = '{{id}}'"));
        let down = shared.rows(&["1"]).await.unwrap_err();
        assert!(story(&down).contains("WRONGTYPE"), "{}", story(&down));
    }
    clean(&p).await;
}

#[tokio::test]
async fn hostile_ids_stay_ids() {
    let p = unique("hostile");
    run(&p, &["SET PREFIX:1 1"]).await;
    let x = lookup(&p, "type = 'string'\nkey = 'PREFIX:{id}'");
    let long = "9".repeat(513);
    let ids = ["1\r\nDEL x", "", "a b", "*", "1\0", &long, "{id}", "1"];
    assert_eq!(ask(&*x, &ids).await, ["-", "-", "-", "-", "-", "-", "-", "value=1"]);
    clean(&p).await;
}

#[tokio::test]
async fn a_cached_answer_is_reused_for_its_time() {
    let p = unique("cache");
    run(&p, &["SET PREFIX:1 a"]).await;
    let x = lookup(&p, "type = 'string'\nkey = 'PREFIX:{id}'\ncache = '300ms'\nmap.value = { a = 'A' }");
    assert_eq!(ask(&*x, &["1", "2"]).await, ["value=A", "-"]);
    run(&p, &["SET PREFIX:1 b", "SET PREFIX:2 c", "SET PREFIX:3 d"]).await;
    assert_eq!(ask(&*x, &["3", "2", "1"]).await, ["value=d", "-", "value=A"], "missing is cached too");
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    assert_eq!(ask(&*x, &["1", "2"]).await, ["value=b", "value=c"]);
    clean(&p).await;
}
