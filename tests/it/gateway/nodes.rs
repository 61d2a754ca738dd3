//! Several nodes, and one of them dies: nothing is lost, nothing shown twice, what was read stays read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    site::{SECRET, Site},
    tab::Tab,
};
use crate::support::until;

/// Calls a method of JSON-RPC on a node.
async fn call(http: &reqwest::Client, site: &Site, node: usize, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let request = http.post(format!("{}/rpc", site.http(node))).bearer_auth(SECRET).body(body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].clone()
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Does a tab read a message at once? About a third are never read.
fn is_read_at_once(id: &str) -> bool {
    let number: usize = id.strip_prefix("m-").unwrap().parse().unwrap();
    !(number / USERS).is_multiple_of(3)
}

const USERS: usize = 40;
const MESSAGES: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_loses_nothing_and_what_was_read_stays_read() {
    let mut site = Site::new(3).await;
    let http = client();
    let user = |n: usize| format!("user-{n}");
    // Two tabs of each user, on different nodes; one of them reads. The other only looks.
    let tabs: Vec<(Tab, Tab)> = (0..USERS)
        .map(|n| {
            let ports = |first: usize| (0..3).map(|i| site.port((first + i) % 3)).collect::<Vec<_>>();
            (Tab::open(&user(n), ports(n % 3), is_read_at_once), Tab::open(&user(n), ports((n + 1) % 3), |_| false))
        })
        .collect();
    until("all tabs are connected", async || {
        tabs.iter().all(|(a, b)| a.seen(|s| s.connects) > 0 && b.seen(|s| s.connects) > 0)
    })
    .await;

    let mut posted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut killed_at = None;
    for n in 0..MESSAGES {
        let (to, id) = (user(n % USERS), format!("m-{n}"));
        // The callers' node is not the one that dies: an answer that does not come is for their own retries.
        let params = json!({"user": to, "type": "n", "data": {"n": n}, "id": id});
        call(&http, &site, 1 + n % 2, "push.user", params).await;
        posted.entry(to).or_default().insert(id);
        if n == MESSAGES / 3 {
            site.kill(0);
            killed_at = Some(Instant::now());
        }
        if n == MESSAGES * 2 / 3 {
            site.start(0).await;
        }
    }
    println!("{MESSAGES} messages to {USERS} users; a node killed {:?} before the last", killed_at.unwrap().elapsed());

    let all = |tab: &Tab| tab.seen(|s| s.messages.len()) >= posted[&tab.user].len();
    until("every tab has every message", async || tabs.iter().all(|(a, b)| all(a) && all(b))).await;
    sleep(Duration::from_millis(300)).await;
    let mut resumed = 0;
    for (reader, other) in &tabs {
        let of_user = &posted[&reader.user];
        for tab in [reader, other] {
            assert_eq!(&tab.once(), of_user, "each message once on a tab of {}", tab.user);
            assert_eq!(tab.seen(|s| s.gaps), 0, "every place was still known");
            resumed += tab.seen(|s| s.connects) - 1;
        }
        let wanted: BTreeSet<String> = of_user.iter().filter(|id| is_read_at_once(id)).cloned().collect();
        until("reads are confirmed", async || reader.seen(|s| s.acked.len()) >= wanted.len()).await;
        assert_eq!(reader.seen(|s| s.acked.clone()), wanted);
        // The notice goes over the bus; a tab that was away at that moment does not hear it, and sees it at the next replay.
        assert!(other.seen(|s| s.read.is_subset(&wanted)), "nothing else was read");
    }
    assert!(resumed >= USERS / 2, "{resumed} tabs came back");

    // A fresh tab of each, on the node that died and lives again: exactly what is unread.
    let fresh: Vec<Tab> = (0..USERS).map(|n| Tab::open(&user(n), vec![site.port(0)], |_| false)).collect();
    let unread = |tab: &Tab| -> BTreeSet<String> {
        posted[&tab.user].iter().filter(|id| !is_read_at_once(id)).cloned().collect()
    };
    until("fresh tabs have what is unread", async || {
        fresh.iter().all(|tab| tab.seen(|s| s.messages.len()) >= unread(tab).len())
    })
    .await;
    sleep(Duration::from_millis(200)).await;
    let shown: usize = fresh
        .iter()
        .map(|tab| {
            assert_eq!(tab.once(), unread(tab));
            unread(tab).len()
        })
        .sum();

    // What one tab reads now goes from the others, on whatever node.
    for (reader, other) in &tabs {
        let id = unread(reader).into_iter().next().unwrap();
        reader.read(&id);
        until("the other tab hears of it", async || other.seen(|s| s.read.contains(&id))).await;
    }
    println!("{resumed} tabs came back and resumed; lost 0, twice 0; {shown} unread ones replayed to fresh tabs");
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_messages_are_published_once_and_in_time_though_a_node_dies() {
    const ALL: usize = 1_000;
    let mut site = Site::new(3).await;
    let tabs: Vec<Tab> = (0..20).map(|n| Tab::open(&format!("s-{n}"), vec![site.port(1 + n % 2)], |_| false)).collect();
    until("all tabs are connected", async || tabs.iter().all(|tab| tab.seen(|s| s.connects) > 0)).await;
    let mut redis =
        redis::Client::open(site.redis_url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut redis).await.unwrap();
    let began = Instant::now();
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 in microseconds are exact")]
    let now = seconds as f64 + micros as f64 / 1e6;
    // As the producers of the websockets design do: ZADD, and nothing else. Most have no id by which a repeat would be known.
    let due = |n: usize| Duration::from_micros(1_500_000 + 2_000 * u64::try_from(n).unwrap());
    let mut pipe = redis::pipe();
    for n in 0..ALL {
        let mut member = json!({"msg_type": "later", "to_user_id": format!("s-{}", n % 20), "data": n});
        if n.is_multiple_of(7) {
            member["id"] = json!(format!("z-{n}"));
        }
        pipe.cmd("ZADD")
            .arg("websocket:producer:zset")
            .arg(now + due(n).as_secs_f64())
            .arg(member.to_string())
            .ignore();
    }
    pipe.query_async::<()>(&mut redis).await.unwrap();
    sleep(Duration::from_millis(2_500).saturating_sub(began.elapsed())).await;
    site.kill(0);
    until("everything is published", async || {
        tabs.iter().map(|tab| tab.seen(|s| s.messages.len())).sum::<usize>() >= ALL
    })
    .await;
    sleep(Duration::from_millis(300)).await;
    let mut late: Vec<Duration> = Vec::new();
    for tab in &tabs {
        tab.seen(|seen| {
            let came: Vec<usize> = seen.frames.iter().map(|frame| frame["data"].as_u64().unwrap() as usize).collect();
            assert_eq!(came.iter().collect::<BTreeSet<_>>().len(), came.len(), "each once");
            assert_eq!(came.len(), ALL / 20);
            for (n, (_, at)) in came.into_iter().zip(&seen.messages) {
                late.push(at.duration_since(began).saturating_sub(due(n)));
                assert!(at.duration_since(began) + Duration::from_millis(2) >= due(n), "{n} came before its time");
            }
        });
    }
    late.sort_unstable();
    assert_eq!(late.len(), ALL);
    let left: usize = redis::cmd("ZCARD").arg("websocket:producer:zset").query_async(&mut redis).await.unwrap();
    assert_eq!(left, 0);
    println!(
        "{ALL} scheduled, each published once; late by p50 {:?}, p99 {:?}, at most {:?} (limit of p99: 50 ms)",
        late[ALL / 2],
        late[ALL * 99 / 100],
        late[ALL - 1]
    );
}
