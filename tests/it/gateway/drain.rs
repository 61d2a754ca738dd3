//! A node that stops, one that is full, and one whose Redis dies: tabs are told, come back, and miss nothing.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    calls::Calls,
    raw::Raw,
    site::{Plan, Site},
    tab::{Tab, token},
};
use crate::support::until;

fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("user-{n}")).collect()
}

async fn connected(tabs: &[Tab]) {
    until("all tabs are connected", async || tabs.iter().all(|tab| tab.seen(|s| s.connects) > 0)).await;
}

/// Pushes a message to each of the users, by an id that begins with `name`.
async fn push(calls: &Calls, node: &str, users: &[String], name: &str) {
    for some in users.chunks(500) {
        let params = json!({"users": some, "type": "n", "id": name});
        let pushed = calls.call(node, "push.users", params).await;
        assert_eq!(pushed["pushed"].as_array().unwrap().len(), some.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_sends_its_tabs_away_one_after_another() {
    const TABS: usize = 300;
    const BUCKETS: usize = 10;
    let window = Duration::from_secs(2);
    let more = |_| "[gateway.hub]\ndrain = '2s'\n".to_owned();
    let mut site = Site::plan(Plan { nodes: 2, more: Some(&more), ..Plan::default() }).await;
    let (calls, users, other) = (Calls::new(), users(TABS), site.http(1));
    let ports = vec![site.port(0), site.port(1)];
    let tabs: Vec<Tab> = users.iter().map(|user| Tab::open(user, ports.clone(), |_| false)).collect();
    connected(&tabs).await;
    push(&calls, &other, &users, "before").await;

    site.node(0).signal("TERM");
    let left = || tabs.iter().filter(|tab| tab.seen(|s| !s.closes.is_empty())).count();
    let mut ids = BTreeSet::from(["before".to_owned()]);
    let mut at_push = Vec::new();
    for n in 0.. {
        // While some have gone and others have not, and once more when all have.
        until("the next ones are sent away", async || left() >= (TABS / 5 * n).min(TABS)).await;
        at_push.push(left());
        let id = format!("during-{n}");
        push(&calls, &other, &users, &id).await;
        ids.insert(id);
        if n == 5 {
            break;
        }
    }
    assert!(at_push[2] < TABS, "all were sent away at once: {at_push:?}");
    assert!(site.node(0).ended().await.success());
    until("everything is there", async || tabs.iter().all(|tab| tab.seen(|s| s.messages.len()) >= ids.len())).await;

    let mut closes = Vec::new();
    for tab in &tabs {
        assert_eq!(tab.once(), ids, "{}", tab.user);
        tab.seen(|seen| {
            let codes: Vec<u16> = seen.closes.iter().map(|(code, _)| *code).collect();
            // One try to come back may have hit the node before its port was closed.
            assert!(!codes.is_empty() && codes.iter().all(|code| *code == 1012), "{codes:?}");
            assert_eq!((seen.gaps, seen.connects), (0, 2), "{}", tab.user);
            closes.push(seen.closes[0].1);
        });
    }
    let sessions = calls.sessions(&other, &users).await;
    assert_eq!(sessions, vec![1; TABS], "all are back on the other node, and nobody is counted twice");
    closes.sort_unstable();
    let spread = closes[TABS - 1] - closes[0];
    assert!(spread >= window / 2, "{spread:?}");
    let mut histogram = [0; BUCKETS];
    for close in &closes {
        let part = (*close - closes[0]).as_secs_f64() / window.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number, not below 0")]
        let bucket = (part * BUCKETS as f64) as usize;
        histogram[bucket.min(BUCKETS - 1)] += 1;
    }
    println!(
        "{TABS} tabs closed with 1012 over {spread:.1?} (window {window:?}), by tenths {histogram:?}; all came back, {} messages \
         each, lost 0, twice 0",
        ids.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_full_says_so_and_lets_others_in_when_some_have_gone() {
    const ROOM: usize = 20;
    let more = |_| format!("[gateway.hub]\nmax_sockets = {ROOM}\n");
    let site = Site::plan(Plan { nodes: 1, more: Some(&more), ..Plan::default() }).await;
    let (calls, port) = (Calls::new(), site.port(0));
    let path = format!("/ws?token={}", token("42"));
    let mut inside = Vec::new();
    for _ in 0..ROOM {
        let mut socket = Raw::open(port, &path, &[]).await.unwrap();
        assert_eq!(socket.hear().await["msg_type"], "connected");
        inside.push(socket);
    }
    for _ in 0..5 {
        assert_eq!(Raw::open(port, &path, &[]).await.err(), Some(503));
    }
    let polling = format!("{}/socket.io/?EIO=4&transport=polling", site.http(0));
    assert_eq!(calls.http.get(&polling).send().await.unwrap().status(), 503);
    // Services are served all the same, and so is who is there.
    push(&calls, &site.http(0), &["42".to_owned()], "still").await;
    for socket in &mut inside {
        assert_eq!(socket.hear().await["id"], "still");
    }
    inside.truncate(ROOM - 2);
    until("there is room again", async || match Raw::open(port, &path, &[]).await {
        Ok(socket) => {
            inside.push(socket);
            true
        }
        Err(status) => {
            assert_eq!(status, 503);
            false
        }
    })
    .await;
    println!("{ROOM} sockets let in, 5 more and a poll refused with 503, one let in when two had gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_stay_while_redis_dies_and_hear_what_comes_after() {
    const TABS: usize = 60;
    let ttl = Duration::from_secs(3);
    let more = |_| {
        "[live]\npresence_ttl = '3s'\ntimeout = '500ms'\n[gateway.node]\nbeat = '500ms'\nlook = '500ms'\n".to_owned()
    };
    let mut site = Site::plan(Plan { nodes: 3, more: Some(&more), ..Plan::default() }).await;
    let (calls, users) = (Calls::new(), users(TABS));
    let nodes = [site.http(0), site.http(1)];
    // Nobody is on the third.
    let admins = [0, 1, 2].map(|node| site.node(node).admin());
    let mut tabs: Vec<Tab> =
        users.iter().enumerate().map(|(n, user)| Tab::open(user, vec![site.port(n % 2)], |_| true)).collect();
    connected(&tabs).await;
    push(&calls, &nodes[0], &users, "before").await;
    until("it is read", async || tabs.iter().all(|tab| tab.seen(|s| s.acked.len()) == 1)).await;

    site.kill_redis();
    let ready = async |admin: &str| {
        let answer = calls.http.get(format!("{admin}/readyz")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let mut said = String::new();
    for admin in &admins {
        until("the node says that its stores are away", async || {
            let (status, text) = ready(admin).await;
            let parts: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
            let away: BTreeSet<&str> = parts.iter().filter_map(|part| part["part"].as_str()).collect();
            said = format!("{status} {away:?}");
            status == 503 && away.contains("presence") && away.contains("schedule")
        })
        .await;
        assert_eq!(calls.http.get(format!("{admin}/healthz")).send().await.unwrap().status(), 200);
    }
    let params = json!({"user": users[0], "type": "n", "id": "while it was away"});
    assert_eq!(calls.answer(&nodes[0], "push.user", params).await["error"]["code"], -32002);
    // Who comes now is sent away, for a while.
    let mut early = Raw::open(site.port(2), &format!("/ws?token={}", token("early")), &[]).await.unwrap();
    assert_eq!(early.closed().await, (1013, Vec::new()));
    let (_, text) = ready(&admins[2]).await;
    assert!(text.contains(r#""inbox""#), "{text}");
    // Some go meanwhile: nobody can be told now.
    let gone = tabs.split_off(TABS - 10);
    drop(gone);

    site.start_redis().await;
    let back = Instant::now();
    for admin in &admins {
        until("the node is ready", async || ready(admin).await.0 == 200).await;
    }
    push(&calls, &nodes[1], &users, "after").await;
    until("it is there", async || tabs.iter().all(|tab| tab.seen(|s| s.acked.len()) == 2)).await;
    let wanted = BTreeSet::from(["before".to_owned(), "after".to_owned()]);
    for tab in &tabs {
        assert_eq!(tab.once(), wanted);
        tab.seen(|seen| assert_eq!((seen.connects, seen.closes.len()), (1, 0), "{} stayed", tab.user));
    }
    let present: Vec<u64> = (0..TABS).map(|n| u64::from(n < TABS - 10)).collect();
    until("presence is right", async || {
        calls.sessions(&nodes[0], &users).await == present && calls.sessions(&nodes[1], &users).await == present
    })
    .await;
    println!(
        "Redis killed under three nodes (/readyz: {said}): {} tabs stayed and heard what came after; presence right {:.1?} after \
         it was back (limit {ttl:?})",
        tabs.len(),
        back.elapsed()
    );
    // Who was away reads what was stored meanwhile.
    let late = Tab::open(&users[TABS - 1], vec![site.port(0)], |_| false);
    until("the replay", async || late.seen(|s| !s.messages.is_empty())).await;
    assert_eq!(late.once(), BTreeSet::from(["after".to_owned()]));
}
