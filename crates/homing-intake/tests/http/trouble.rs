//! A queue that is full, short of memory, or away.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{OwnServer, Plan, Rig, event, fresh, told};

async fn command(url: &str, words: &[&str]) -> String {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut cmd = redis::cmd(words[0]);
    for word in &words[1..] {
        cmd.arg(*word);
    }
    cmd.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_full_list_is_429_and_what_it_has_is_still_answered() {
    let rig = Plan { high_water: 3, ..Plan::default() }.start().await;
    let key = fresh();
    let keyed = || rig.post("/v1/events").header("Idempotency-Key", &key).json(&event(42)).send();
    let (_, first) = told(keyed().await.unwrap()).await;
    for _ in 0..2 {
        assert_eq!(told(rig.post("/v1/events").json(&event(42)).send().await.unwrap()).await.0, 202);
    }
    let full = rig.post("/v1/events").json(&event(42)).send().await.unwrap();
    assert_eq!(full.headers()["retry-after"], "5");
    let (status, body) = told(full).await;
    assert_eq!((status, &body["error"]["field"]), (429, &json!("queue")));
    assert_eq!(told(keyed().await.unwrap()).await, (202, first), "a replay needs no room");
    assert_eq!(rig.items(0).await, 3);

    // A key whose request was refused for want of room is free for another.
    let key = fresh();
    let post = |user| rig.post("/v1/events").header("Idempotency-Key", &key).json(&event(user)).send();
    assert_eq!(told(post(42).await.unwrap()).await.0, 429);
    let other = (0..).find(|user| rig.lanes[0].of(&format!("{user}")) != rig.lanes[0].of("42")).unwrap();
    assert_eq!(told(post(other).await.unwrap()).await.0, 202);
}

#[tokio::test]
async fn a_batch_that_half_fits_says_which_half() {
    let rig = Plan { high_water: 2, ..Plan::default() }.start().await;
    let (full, free) = (rig.lanes[0].of("42").unwrap(), rig.lanes[0].entry.clone());
    let other = (0..1_000).find(|user| rig.lanes[0].of(&format!("{user}")) != Some(full)).unwrap();
    let mut batch = vec![event(42), event(42), event(42), event(other)];
    batch[3]["id"] = json!("fits");
    let (status, body) = told(rig.post("/v1/events").json(&batch).send().await.unwrap()).await;
    assert_eq!((status, &body["accepted"]), (429, &json!(["fits"])));
    assert_eq!((rig.list(full).await.len(), rig.items(0).await), (0, 1), "of one list all or none");
    assert!(free.len() > 1);
}

#[tokio::test]
async fn without_its_server_nothing_is_half_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let server = OwnServer::start(dir.path()).await;
    let mut rig = Plan { url: server.url.clone(), ..Plan::default() }.start().await;
    assert_eq!(told(rig.post("/v1/events").json(&event(0)).send().await.unwrap()).await.0, 202);
    let mut server = server;
    server.end();
    let keys: Vec<String> = (0..20).map(|_| fresh()).collect();
    let post = |rig: &Rig, user: usize| {
        let request = rig.post("/v1/events").header("Idempotency-Key", &keys[user]);
        request.json(&event(user)).send()
    };
    for answer in join_all((0..20).map(|user| post(&rig, user))).await {
        let answer = answer.unwrap();
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(told(answer).await.0, 503);
    }
    assert_eq!(rig.get("/readyz").send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.get("/healthz").send().await.unwrap().status(), StatusCode::OK);
    for path in ["/v1/events/x", "/v1/ledger"] {
        assert_eq!(rig.get(path).send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let _server = server.again(dir.path()).await;
    rig.url = _server.url.clone();
    for user in 0..20 {
        // It comes back by itself.
        let mut status = 503;
        for _ in 0..100 {
            status = told(post(&rig, user).await.unwrap()).await.0;
            if status != 503 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(status, 202);
    }
    assert_eq!(rig.items(0).await, 21, "one before, and each of the twenty once");
    assert_eq!(rig.get("/readyz").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_short_of_memory_takes_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let server = OwnServer::start(dir.path()).await;
    let rig = Plan { url: server.url.clone(), ..Plan::default() }.start().await;
    assert_eq!(told(rig.post("/v1/events").json(&event(0)).send().await.unwrap()).await.0, 202);
    command(&server.url, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    command(&server.url, &["CONFIG", "SET", "maxmemory", "1mb"]).await;
    // The figure is a second old at most; before it is asked for, the server itself refuses.
    let mut retry = String::new();
    for _ in 0..100 {
        let answer = rig.post("/v1/events").json(&event(0)).send().await.unwrap();
        retry = answer.headers()["retry-after"].to_str().unwrap().to_owned();
        let (status, body) = told(answer).await;
        assert_eq!(status, 503);
        if retry == "10" {
            assert_eq!(body["error"]["message"], "the queue server is short of memory");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(retry, "10");
    command(&server.url, &["CONFIG", "SET", "maxmemory", "0"]).await;
    let mut status = 0;
    for _ in 0..100 {
        status = told(rig.post("/v1/events").json(&event(0)).send().await.unwrap()).await.0;
        if status == 202 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((status, rig.items(0).await), (202, 2));
}

#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let rig = Rig::start().await;
    let posts = (0..50).map(|user| rig.post("/v1/events").json(&event(user)).send());
    let stop = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        rig.stop.cancel();
    };
    let (answers, ()) = tokio::join!(join_all(posts), stop);
    let accepted = answers.iter().filter(|a| a.as_ref().is_ok_and(|a| a.status() == StatusCode::ACCEPTED)).count();
    let (address, items): (SocketAddr, u64) = (rig.address, rig.items(0).await);
    assert!(items as usize >= accepted, "{accepted} were accepted, {items} are there");
    tokio::time::timeout(Duration::from_secs(30), rig.served).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it listens no more");
}
