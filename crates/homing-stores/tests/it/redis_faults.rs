//! A Redis that is away, silent, stopped, old, or somebody else's.

use std::time::{Duration, Instant};

use homing_core::lookup::Lookup;

use crate::support::{Proxy, Server, ask, silence, stores, story};

fn login(url: &str, keys: &str) -> std::sync::Arc<dyn Lookup> {
    let toml =
        format!("[stores.r]\nkind = 'redis'\nurl = '{url}'\ntimeout = '500ms'\n[lookup.login]\nstore = 'r'\n{keys}");
    stores(&toml).lookup("login").unwrap()
}

const STRING: &str = "type = 'string'\nkey = 'login:{id}'";

/// `StoreDown`, after the timeout and not much later, without the password.
async fn down(lookup: &dyn Lookup, word: &str) {
    let began = Instant::now();
    let error = lookup.rows(&["1"]).await.unwrap_err();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert_eq!(error.lookup, "login");
    let story = story(&error);
    assert!(story.contains(word) && !story.contains("hunter2"), "{story}");
}

#[tokio::test]
async fn nobody_at_the_port_is_down_in_time() {
    down(&*login("redis://u:hunter2@127.0.0.1:1/0", STRING), "refused").await;
}

#[tokio::test]
async fn a_silent_server_is_down_in_time() {
    let (_listener, port) = silence().await;
    down(&*login(&format!("redis://u:hunter2@127.0.0.1:{port}/0"), STRING), "within 500ms").await;
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let server = Server::redis(None, &["--requirepass", "right"]).await;
    down(&*login(&format!("redis://:hunter2@127.0.0.1:{}/0", server.port), STRING), "AuthenticationFailed").await;
    let lookup = login(&format!("redis://:right@127.0.0.1:{}/0", server.port), STRING);
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
}

#[tokio::test]
async fn a_server_that_came_back_is_found_again() {
    let server = Server::redis(None, &[]).await;
    let port = server.port;
    let lookup = login(&format!("redis://127.0.0.1:{port}/0"), STRING);
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
    drop(server);
    down(&*lookup, "refused").await;
    let _server = Server::redis(Some(port), &[]).await;
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"], "at the first call");
}

#[tokio::test]
async fn a_server_that_was_replaced_between_two_calls_costs_no_error() {
    let server = Server::redis(None, &[]).await;
    let port = server.port;
    let lookup = login(&format!("redis://127.0.0.1:{port}/0"), STRING);
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
    drop(server);
    let _server = Server::redis(Some(port), &[]).await;
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
}

#[tokio::test]
async fn a_stopped_server_is_down_in_time_and_heals() {
    let server = Server::redis(None, &[]).await;
    let lookup = login(&format!("redis://127.0.0.1:{}/0", server.port), STRING);
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
    server.signal("STOP");
    down(&*lookup, "within 500ms").await;
    down(&*lookup, "within 500ms").await;
    server.signal("CONT");
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
}

#[tokio::test]
async fn a_connection_that_was_lost_without_a_word_is_replaced() {
    let server = Server::redis(None, &[]).await;
    let proxy = Proxy::to("127.0.0.1", server.port).await;
    let lookup = login(&format!("redis://127.0.0.1:{}/0", proxy.port), STRING);
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
    proxy.lose();
    down(&*lookup, "within 500ms").await;
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
    proxy.stall();
    futures_util::future::join_all((0..50).map(|_| down(&*lookup, "within 500ms"))).await;
    proxy.resume();
    assert_eq!(ask(&*lookup, &["1"]).await, ["-"]);
}

#[tokio::test]
async fn many_ids_are_one_round_trip() {
    let server = Server::redis(None, &[]).await;
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let ids: Vec<String> = (0..3_000).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for keys in [STRING, "type = 'zset'\nkey = 'z'\nmember = '{id}'", "type = 'set'\nkey = 's'\nmember = '{id}'"] {
        assert_eq!(ask(&*login(&url, keys), &ids).await.len(), 3_000);
    }
    let keys = "type = 'hash'\nkey = 'h:{id}'\nfield = 'f'";
    assert_eq!(ask(&*login(&url, keys), &ids).await.len(), 3_000);
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    for command in ["mget:calls=1,", "zmscore:calls=1,", "smismember:calls=1,", "hmget:calls=3000,"] {
        assert!(stats.contains(&format!("cmdstat_{command}")), "{command} {stats}");
    }
}

#[tokio::test]
async fn a_server_before_6_2_is_asked_in_a_pipeline() {
    let old = ["--rename-command", "ZMSCORE", "", "--rename-command", "SMISMEMBER", ""];
    let server = Server::redis(None, &old).await;
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::pipe().zadd("z", "2", 7).sadd("s", "2").exec_async(&mut connection).await.unwrap();
    let zset = login(&url, "type = 'zset'\nkey = 'z'\nmember = '{id}'");
    let set = login(&url, "type = 'set'\nkey = 's'\nmember = '{id}'");
    for _ in 0..2 {
        assert_eq!(ask(&*zset, &["1", "2", "3"]).await, ["-", "value=7", "-"]);
        assert_eq!(ask(&*set, &["1", "2", "3"]).await, ["-", "value=1", "-"]);
    }
}
