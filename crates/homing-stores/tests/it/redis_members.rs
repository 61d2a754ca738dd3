//! Enumerators in Redis, decoded values, explain.

use std::collections::BTreeSet;

use homing_core::lookup::Lookup;
use homing_stores::Level;
use redis::aio::MultiplexedConnection;

use crate::sql_members::{each_once, listed, members};
use crate::support::{Server, ask, refused, stores, story, unique, variable};

async fn redis() -> MultiplexedConnection {
    let client = redis::Client::open(variable("HOMING_TEST_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

fn toml(keys: &str) -> String {
    let url = variable("HOMING_TEST_REDIS_URL");
    format!("[stores.r]\nkind = 'redis'\nurl = '{url}'\ntimeout = '5s'\n[members.m]\nstore = 'r'\n{keys}")
}

fn lookup(keys: &str) -> std::sync::Arc<dyn Lookup> {
    let url = variable("HOMING_TEST_REDIS_URL");
    stores(&format!("[stores.r]\nkind = 'redis'\nurl = '{url}'\n[lookup.x]\nstore = 'r'\n{keys}")).lookup("x").unwrap()
}

#[tokio::test]
async fn a_set_is_read_whole_and_cut_into_pages() {
    let (key, mut c) = (unique("set"), redis().await);
    let names: Vec<String> = (0..12_345).map(|n| n.to_string()).collect();
    for names in names.chunks(5_000) {
        redis::cmd("SADD").arg(format!("{key}:9")).arg(names).exec_async(&mut c).await.unwrap();
    }
    redis::cmd("SADD").arg(format!("{key}:9")).arg(&b"\xff\xfe"[..]).arg("").exec_async(&mut c).await.unwrap();
    let m = members(&toml(&format!("type = 'set'\nkey = '{key}:{{id}}'")));
    let (mut seen, mut after, mut turn) = (Vec::new(), None::<String>, 0);
    loop {
        let page = m.page("9", after.as_deref(), 1_000).await.unwrap();
        seen.extend(page.members);
        let Some(next) = page.next else { break };
        redis::cmd("SREM").arg(format!("{key}:9")).arg(&next).exec_async(&mut c).await.unwrap();
        redis::cmd("SADD").arg(format!("{key}:9")).arg(format!("x{turn}")).exec_async(&mut c).await.unwrap();
        after = Some(next);
        turn += 1;
    }
    assert_eq!(turn, 12);
    let distinct = each_once(&seen);
    assert!(names.iter().all(|name| distinct.contains(name.as_str())));
    assert!(!distinct.contains(""), "an empty member is nobody");
    assert!(seen.is_sorted(), "by bytes");
    assert!(m.page("8", None, 10).await.unwrap().members.is_empty());
    // A place may be given back to another process, or much later.
    let again = listed(|| members(&toml(&format!("type = 'set'\nkey = '{key}:{{id}}'"))), "9", 1_000).await.unwrap();
    assert_eq!(each_once(&again).len(), 12_345);
    redis::cmd("DEL").arg(format!("{key}:9")).exec_async(&mut c).await.unwrap();
}

#[tokio::test]
async fn a_set_above_its_bound_points_elsewhere() {
    let (key, mut c) = (unique("big"), redis().await);
    redis::cmd("SADD").arg(&key).arg(&["1", "2", "3", "4"]).exec_async(&mut c).await.unwrap();
    let m = members(&toml(&format!("type = 'set'\nkey = '{key}'\nmax = 3")));
    let story = story(&m.page("", None, 10).await.unwrap_err());
    for word in ["4 members", "up to 3", "SQL", "MongoDB", "sorted set", &key] {
        assert!(story.contains(word), "{word}: {story}");
    }
    let message = refused(&toml("type = 'zset'\nkey = 'x'\nmax = 3"));
    assert!(message.contains("[members.m] max"), "{message}");
    redis::cmd("DEL").arg(&key).exec_async(&mut c).await.unwrap();
}

/// Equal scores, different ones, and members that go and come before, at and behind the place of a page.
#[tokio::test]
async fn a_sorted_set_is_read_in_pages_whoever_comes_and_goes() {
    let mut c = redis().await;
    for same_score in [true, false] {
        let key = unique("zset");
        let score = |n: usize| if same_score { 0.0 } else { (n / 7) as f64 - 100.5 };
        let id = |n: usize| format!("{n:06}");
        for chunk in (0..12_345).collect::<Vec<usize>>().chunks(2_000) {
            let mut pipe = redis::pipe();
            for n in chunk {
                pipe.zadd(format!("{key}:9"), id(2 * n), score(2 * n));
            }
            pipe.exec_async(&mut c).await.unwrap();
        }
        let m = members(&toml(&format!("type = 'zset'\nkey = '{key}:{{id}}'")));
        let (mut seen, mut after, mut turn, mut left) = (Vec::new(), None::<String>, 0, BTreeSet::new());
        loop {
            let page = m.page("9", after.as_deref(), 1_000).await.unwrap();
            assert!(page.members.len() <= 1_000);
            seen.extend(page.members);
            let Some(next) = page.next else { break };
            after = Some(next);
            // Every third of what was read goes, the last of all among it; a few of what is to come; and many come.
            let mut gone: Vec<String> = seen.iter().rev().step_by(3).take(500).cloned().collect();
            gone.extend((0..5).map(|k| id(24_000 + 10 * turn + 2 * k)));
            let mut pipe = redis::pipe();
            for member in &gone {
                pipe.zrem(format!("{key}:9"), member);
            }
            for k in 0..50 {
                let n = 2 * ((turn * 977 + k * 211) % 12_345) + 1;
                pipe.zadd(format!("{key}:9"), id(n), score(n));
            }
            pipe.exec_async(&mut c).await.unwrap();
            left.extend(gone);
            turn += 1;
        }
        assert!(turn >= 11, "{turn}");
        let distinct = each_once(&seen);
        let stayed = (0..12_345).map(|n| id(2 * n)).filter(|id| !left.contains(id));
        let missed: Vec<String> = stayed.filter(|id| !distinct.contains(id.as_str())).collect();
        assert_eq!(missed, Vec::<String>::new(), "same score: {same_score}");
        let down = m.page("9", Some("nonsense"), 10).await.unwrap_err();
        assert!(story(&down).contains("begins"), "{}", story(&down));
        redis::cmd("DEL").arg(format!("{key}:9")).exec_async(&mut c).await.unwrap();
    }
}

#[tokio::test]
async fn infinite_scores_and_strange_members_are_in_order() {
    let (key, mut c) = (unique("strange"), redis().await);
    let scores =
        [("a", "-inf"), ("b:c", "-1e300"), ("d e", "0.1"), ("ü", "0.30000000000000004"), ("f", "+inf"), ("g", "+inf")];
    for (member, score) in scores {
        redis::cmd("ZADD").arg(&key).arg(score).arg(member).exec_async(&mut c).await.unwrap();
    }
    for limit in 1..=7 {
        let seen = listed(|| members(&toml(&format!("type = 'zset'\nkey = '{key}'"))), "", limit).await.unwrap();
        assert_eq!(seen, ["a", "b:c", "d e", "ü", "f", "g"], "{limit}");
    }
    redis::cmd("DEL").arg(&key).exec_async(&mut c).await.unwrap();
}

#[tokio::test]
async fn a_stopped_redis_is_down_for_enumerators_and_heals() {
    let server = Server::redis(None, &[]).await;
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    for kind in ["set", "zset"] {
        let toml = format!(
            "[stores.r]\nkind = 'redis'\nurl = '{url}'\ntimeout = '300ms'\n[members.m]\nstore = 'r'\ntype = '{kind}'\nkey = 'x'"
        );
        let m = members(&toml);
        assert!(m.page("", None, 10).await.unwrap().members.is_empty());
        server.signal("STOP");
        let down = m.page("", None, 10).await.unwrap_err();
        assert!(story(&down).contains("within 300ms"), "{}", story(&down));
        assert_eq!(down.lookup, "m");
        server.signal("CONT");
        assert!(m.page("", None, 10).await.unwrap().members.is_empty());
    }
}

#[tokio::test]
async fn php_and_json_are_decoded() {
    let (p, mut c) = (unique("decode"), redis().await);
    for (key, value) in [
        ("1", r#"a:2:{s:11:"push_status";i:1;s:5:"prefs";a:1:{s:2:"tz";s:13:"Europe/Berlin";}}"#),
        ("2", r#"a:1:{s:11:"push_status";b:0;}"#),
        ("3", "no php at all"),
    ] {
        redis::cmd("SET").arg(format!("{p}:{key}")).arg(value).exec_async(&mut c).await.unwrap();
    }
    let ids = ["1", "2", "3", "4"];
    let php = lookup(&format!(
        "type = 'string'\nkey = '{p}:{{id}}'\ndecode = 'php'\npath = 'push_status'\naccept = 'value|truthy'"
    ));
    assert_eq!(ask(&*php, &ids).await, ["value=1", "value=false", "-", "-"]);
    let rows = php.rows(&ids).await.unwrap();
    assert_eq!(rows.iter().map(|rows| php.judge(rows, 0).pass).collect::<Vec<_>>(), [true, false, false, false]);
    let many = lookup(&format!(
        "type = 'string'\nkey = '{p}:{{id}}'\ndecode = 'php'\nfields = {{ push = 'push_status', time_zone = 'prefs.tz' }}\n\
         accept = \"push == '1'\""
    ));
    assert_eq!(ask(&*many, &ids).await, ["push=1 time_zone=Europe/Berlin", "push=false", "-", "-"]);
    let json = r#"{"devices":[{"token":"abcdefghijklmnop","platform":"ios"},{"token":"t2"}]}"#;
    redis::cmd("HSET").arg(format!("{p}:h:1")).arg("blob").arg(json).exec_async(&mut c).await.unwrap();
    let devices = lookup(&format!(
        "type = 'hash'\nkey = '{p}:h:{{id}}'\nfield = 'blob'\ndecode = 'json'\npath = 'devices'\nfields = ['token', 'platform']"
    ));
    assert_eq!(ask(&*devices, &["1", "2"]).await, ["platform=ios token=abcdefghijklmnop; token=t2", "-"]);
    let told = devices.explain("1").await.unwrap();
    assert_eq!(told.asked, format!("HMGET {p}:h:1 blob"));
    assert!(told.raw.contains("…mnop") && told.raw.contains("ios") && !told.raw.contains("abcdefgh"), "{}", told.raw);
    assert_eq!(told.rows.len(), 2);
    redis::cmd("SET").arg(format!("{p}:j:1")).arg(r#"{"a":{"b":7}}"#).exec_async(&mut c).await.unwrap();
    let json = lookup(&format!("type = 'json'\nkey = '{p}:j:{{id}}'\npath = 'a.b'"));
    assert_eq!(ask(&*json, &["1", "2"]).await, ["value=7", "-"]);
    for key in ["1", "2", "3", "h:1", "j:1"] {
        redis::cmd("DEL").arg(format!("{p}:{key}")).exec_async(&mut c).await.unwrap();
    }
}

#[tokio::test]
async fn explain_shows_the_command_of_each_type() {
    let (p, mut c) = (unique("explain"), redis().await);
    let mut pipe = redis::pipe();
    pipe.set(format!("{p}:s:42"), "1").sadd(format!("{p}:set"), "42").zadd(format!("{p}:z"), "42", 7);
    pipe.cmd("SETBIT").arg(format!("{p}:b")).arg(42).arg(1);
    pipe.hset(format!("{p}:h:42"), "app_token", "0123456789abcdef").hset(format!("{p}:h:42"), "app", "higo");
    pipe.exec_async(&mut c).await.unwrap();
    for (keys, asked, raw, value) in [
        (format!("type = 'string'\nkey = '{p}:s:{{id}}'\ncache = '60s'"), format!("GET {p}:s:42"), "1", "1"),
        (format!("type = 'set'\nkey = '{p}:set'\nmember = '{{id}}'"), format!("SISMEMBER {p}:set 42"), "1", "1"),
        (format!("type = 'zset'\nkey = '{p}:z'\nmember = '{{id}}'"), format!("ZSCORE {p}:z 42"), "7", "7"),
        (format!("type = 'bitmap'\nkey = '{p}:b'\nmember = '{{id}}'"), format!("GETBIT {p}:b 42"), "1", "1"),
        (format!("type = 'exists'\nkey = '{p}:s:{{id}}'"), format!("EXISTS {p}:s:42"), "1", "1"),
    ] {
        let told = lookup(&keys).explain("42").await.unwrap();
        assert_eq!((told.store.as_str(), told.asked.as_str(), told.raw.as_str()), ("r", asked.as_str(), raw));
        assert_eq!(told.rows[0]["value"], value);
        let told = lookup(&keys).explain("41").await.unwrap();
        assert!(told.rows.is_empty() && ["(nil)", "0"].contains(&told.raw.as_str()), "{told:?}");
    }
    let hash = lookup(&format!("type = 'hash'\nkey = '{p}:h:{{id}}'\nfields = {{ token = 'app_token', app = 'app' }}"));
    let told = hash.explain("42").await.unwrap();
    assert_eq!(told.asked, format!("HMGET {p}:h:42 app app_token"));
    assert_eq!(told.raw, "app=higo app_token=…cdef");
    assert_eq!(told.rows[0]["token"], "0123456789abcdef");
    let none = lookup(&format!("type = 'string'\nkey = '{p}:{{id%10}}'")).explain("bob").await.unwrap();
    assert!(none.asked.contains("no place"), "{none:?}");
    for key in ["s:42", "set", "z", "b", "h:42"] {
        redis::cmd("DEL").arg(format!("{p}:{key}")).exec_async(&mut c).await.unwrap();
    }
}

#[tokio::test]
async fn check_looks_at_one_key_that_is_there() {
    let server = Server::redis(None, &[]).await;
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let mut c = redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut pipe = redis::pipe();
    pipe.hset("login:77", "a", "b").sadd("all", "1").set("group:9", "x");
    pipe.exec_async(&mut c).await.unwrap();
    let toml = format!(
        "[stores.r]\nkind = 'redis'\nurl = '{url}'\n\
         [lookup.a]\nstore = 'r'\ntype = 'string'\nkey = 'login:{{id}}'\n\
         [lookup.b]\nstore = 'r'\ntype = 'string'\nkey = 'nothing:{{id}}'\n\
         [members.c]\nstore = 'r'\ntype = 'zset'\nkey = 'all'\n\
         [members.d]\nstore = 'r'\ntype = 'set'\nkey = 'all'\n"
    );
    let lines = stores(&toml).check().await;
    let line = |subject: &str| lines.iter().find(|line| line.subject == subject).unwrap();
    assert_eq!(line("stores.r").level, Level::Ok);
    assert_eq!(line("lookup.a").level, Level::Error);
    assert_eq!(
        line("lookup.a").text,
        "the key login:77 holds a hash, but the lookup reads a string: change `type` or `key`"
    );
    assert_eq!(line("lookup.b").level, Level::Ok);
    assert!(line("members.c").level == Level::Error && line("members.c").text.contains("holds a set"), "{lines:?}");
    assert_eq!(
        (line("members.d").level, line("members.d").text.as_str()),
        (Level::Ok, "answers; the first member is 1")
    );
}
