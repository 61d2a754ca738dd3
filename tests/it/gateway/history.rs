//! The history of the Tornado design: a Redis hash per user, message id to message and state. It is shown before what is
//! new, and reading writes its state back.

use std::collections::BTreeMap;

use redis::AsyncCommands as _;
use serde_json::{Value, json};

use super::{
    calls::Calls,
    raw::Raw,
    site::{Plan, Site},
    tab::{Tab, token},
};
use crate::support::until;

const OLD: usize = 10;

async fn site() -> Site {
    let more = |_| "[live.old_history]\nkey = 'user:{user}:history'\nmessage = 'content'\nat = 'time'\n".to_owned();
    Site::plan(Plan { nodes: 2, more: Some(&more), ..Plan::default() }).await
}

/// What stands in the hash: those whose number divides by 3 were read before. The times are not in the order of the ids.
fn entries() -> BTreeMap<String, String> {
    let entry = |n: usize| {
        let (time, state) = (1_447_212_345 + (n * 7) % OLD, usize::from(n.is_multiple_of(3)));
        // Spaces and order as Python's json writes them.
        let text = format!(r#"{{"content": {{"n": {n}, "text": "你好"}}, "state": {state}, "time": {time}}}"#);
        (n.to_string(), text)
    };
    (0..OLD).map(entry).collect()
}

/// Ids that are unread, as they are to be shown.
fn unread() -> Vec<String> {
    let mut unread: Vec<usize> = (0..OLD).filter(|n| !n.is_multiple_of(3)).collect();
    unread.sort_by_key(|n| (n * 7) % OLD);
    unread.into_iter().map(|n| n.to_string()).collect()
}

fn ids(tab: &Tab) -> Vec<String> {
    tab.seen(|seen| seen.messages.iter().map(|(id, _)| id.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_in_the_old_hash_is_shown_first_and_its_state_is_written_back() {
    let (site, calls) = (site().await, Calls::new());
    let mut redis = site.redis().await;
    let hash = |user: &str| format!("user:{user}:history");
    let all = entries();
    for user in ["42", "43"] {
        let _: () = redis.hset_multiple(hash(user), &all.iter().collect::<Vec<_>>()).await.unwrap();
        for id in ["new-1", "new-2"] {
            calls.call(&site.http(0), "push.user", json!({"user": user, "type": "n", "id": id})).await;
        }
    }
    let wanted: Vec<String> = unread().into_iter().chain(["new-1".to_owned(), "new-2".to_owned()]).collect();
    let tab = Tab::open("42", vec![site.port(0)], |_| false);
    let other = Tab::open("42", vec![site.port(1)], |_| false);
    for tab in [&tab, &other] {
        until("the replay", async || ids(tab).len() >= wanted.len()).await;
        assert_eq!(ids(tab), wanted);
        tab.seen(|seen| {
            let first = &seen.frames[0];
            let n: usize = wanted[0].parse().unwrap();
            assert_eq!((&first["msg_type"], &first["data"]), (&json!("message"), &json!({"n": n, "text": "你好"})));
        });
    }

    // Reading one writes its state, and nothing else, and tells the other tab.
    let read = &wanted[0];
    tab.read(read);
    until("it is read", async || tab.seen(|s| s.acked.contains(read)) && other.seen(|s| s.read.contains(read))).await;
    let after: BTreeMap<String, String> = redis.hgetall(hash("42")).await.unwrap();
    let mut expected = all.clone();
    expected.insert(read.clone(), all[read].replace(r#""state": 0"#, r#""state": 1"#));
    assert_eq!(after, expected);

    // A later connection is shown the others; with a place it is shown what is new alone.
    let later = Tab::open("42", vec![site.port(1)], |_| false);
    until("the replay", async || ids(&later).len() >= wanted.len() - 1).await;
    assert_eq!(ids(&later), wanted[1..]);
    calls.call(&site.http(1), "push.user", json!({"user": "42", "type": "n", "id": "new-3"})).await;
    until("the new one", async || [&tab, &other, &later].iter().all(|tab| ids(tab).ends_with(&["new-3".to_owned()])))
        .await;
    assert_eq!((ids(&tab).len(), ids(&later).len()), (wanted.len() + 1, wanted.len()));

    // What a service reads for the user is read in the hash, too.
    let service = calls.call(&site.http(0), "history.unread", json!({"user": "43"})).await;
    let listed: Vec<&Value> = service["messages"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(listed, wanted.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    let done = calls.call(&site.http(0), "history.read", json!({"user": "43", "all": true})).await;
    assert_eq!(done["ids"].as_array().unwrap().len(), wanted.len());
    assert_eq!(calls.unread(&site.http(1), "43").await, 0);
    let after: BTreeMap<String, String> = redis.hgetall(hash("43")).await.unwrap();
    assert!(after.values().all(|entry| entry.contains(r#""state": 1"#)), "{after:?}");
    println!(
        "{} old unread ones before {} new ones on each tab; a read one's state is written back, and its entry is else the same",
        OLD - 4,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_has_an_old_history_alone_can_read_all_of_it() {
    let site = site().await;
    let mut redis = site.redis().await;
    let _: () = redis.hset_multiple("user:42:history", &entries().iter().collect::<Vec<_>>()).await.unwrap();
    let path = format!("/ws?token={}", token("42"));
    let mut client = Raw::open(site.port(0), &path, &[]).await.unwrap();
    assert_eq!(client.hear().await["msg_type"], "connected");
    for id in unread() {
        assert_eq!(client.hear().await["id"], id);
    }
    client.say(r#"{"msg_type":"read_all"}"#).await;
    let mut acked = Vec::new();
    while acked.is_empty() {
        let frame = client.hear().await;
        if frame["msg_type"] == "acked" && frame["stream"] == "u:42" {
            acked = serde_json::from_value::<Vec<String>>(frame["ids"].clone()).unwrap();
        }
    }
    assert_eq!(acked, unread());
    let mut again = Raw::open(site.port(1), &path, &[]).await.unwrap();
    assert_eq!(again.hear().await["msg_type"], "connected");
    again.say("ping").await;
    assert_eq!(again.text().await, "pong", "nothing is unread any more");
}
