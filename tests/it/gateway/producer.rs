//! The websockets design: producers PUBLISH and ZADD to a plain Redis, clients come with an opaque cookie on any path of a
//! port of their own, and log in by a frame.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    raw::Raw,
    site::{Plan, Site},
    tab::Tab,
};
use crate::support::{free_port, until};

const NODES: usize = 3;

/// Nodes with the producer channel, and a second address each.
async fn site() -> (Site, Vec<u16>) {
    let ports: Vec<(u16, u16)> = (0..NODES).map(|_| (free_port(), free_port())).collect();
    let redis = free_port();
    let more = |node: usize| {
        let (first, second) = ports[node];
        format!(
            "[gateway]\nlisten = ['127.0.0.1:{first}', '127.0.0.1:{second}']\n\
             [gateway.plain]\nws_paths = ['*']\n\
             [gateway.auth]\nmissing = 'wait'\n\
             [gateway.auth.session_cookie]\nname = 'sessionid'\n\
             lookup.redis = {{ url = 'redis://127.0.0.1:{redis}/0', key = 'session:{{value}}', json_path = 'user.id' }}\n\
             [[gateway.emitters]]\nkind = 'producer-channel'\nurl = 'redis://127.0.0.1:{redis}/0'\n"
        )
    };
    let site = Site::plan(Plan { nodes: NODES, redis: Some(redis), more: Some(&more), ..Plan::default() }).await;
    (site, ports.into_iter().flat_map(|(first, second)| [first, second]).collect())
}

/// Kinds and contents of what a tab has seen, each with its number.
fn shown(tab: &Tab) -> BTreeMap<String, usize> {
    let mut shown = BTreeMap::new();
    tab.seen(|seen| {
        for frame in &seen.frames {
            *shown.entry(format!("{} {}", frame["msg_type"].as_str().unwrap(), frame["data"])).or_default() += 1;
        }
    });
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_three_nodes_hear_comes_once_to_each_tab() {
    const USERS: usize = 12;
    const EACH: usize = 20;
    let (site, ports) = site().await;
    // Two tabs of each user, on the addresses of two nodes; a stranger who never logs in hears nothing.
    let tabs: Vec<Tab> = (0..2 * USERS)
        .map(|n| Tab::open(&(n % USERS).to_string(), vec![ports[(n + 2 * (n / USERS)) % ports.len()]], |_| false))
        .collect();
    until("all tabs are connected", async || tabs.iter().all(|tab| tab.seen(|s| s.connects) > 0)).await;
    let mut stranger = Raw::open(ports[0], "/ws", &[]).await.unwrap();

    let mut producer = site.redis().await;
    let mut publish = async |body: String| {
        let nodes: usize =
            redis::cmd("PUBLISH").arg("websocket:producer:channel").arg(body).query_async(&mut producer).await.unwrap();
        assert_eq!(nodes, NODES);
    };
    let mut wanted = BTreeMap::new();
    for n in 0..EACH {
        for user in 0..USERS {
            // Users as numbers and as text.
            let to = if n % 2 == 0 { json!(user) } else { json!(user.to_string()) };
            publish(json!({"msg_type": "order", "to_user_id": to, "data": {"n": n, "text": "你好"}}).to_string()).await;
        }
        wanted.insert(format!("order {}", json!({"n": n, "text": "你好"})), 1);
        publish(json!({"msg_type": "notice", "to_user_id": null, "data": n}).to_string()).await;
        wanted.insert(format!("notice {n}"), 1);
    }
    // The same publication twice is two messages.
    for _ in 0..2 {
        for user in 0..USERS {
            publish(json!({"msg_type": "poke", "to_user_id": user}).to_string()).await;
        }
    }
    wanted.insert("poke null".to_owned(), 2);
    publish("no publication".to_owned()).await;
    publish(r#"{"msg_type":"end","data":null}"#.to_owned()).await;
    wanted.insert("end null".to_owned(), 1);

    let count: usize = wanted.values().sum();
    until("everything is there", async || tabs.iter().all(|tab| tab.seen(|s| s.frames.len()) >= count)).await;
    for tab in &tabs {
        tab.once();
        assert_eq!(shown(tab), wanted, "user {}", tab.user);
    }
    stranger.say("ping").await;
    assert_eq!(stranger.text().await, "pong", "nothing was shown to who is nobody");
    println!(
        "{} publications over {NODES} nodes: each once on each of {} tabs, equal ones twice",
        (EACH + 2) * USERS + EACH + 1,
        tabs.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_and_a_login_on_any_path_are_enough() {
    let (site, ports) = site().await;
    let mut redis = site.redis().await;
    let session = |user: Value| json!({"user": {"id": user}, "theme": "dark"}).to_string();
    for (cookie, user) in [("a1b2", json!(42)), ("c3d4", json!("43"))] {
        redis::cmd("SET").arg(format!("session:{cookie}")).arg(session(user)).exec_async(&mut redis).await.unwrap();
    }
    // As browsers send it: among others. The second address of each node.
    let mut clients = Vec::new();
    for (n, path) in ["/", "/chat/room?x=1", "/ws"].into_iter().enumerate() {
        let cookies = [("cookie", "theme=dark; sessionid=a1b2; csrftoken=x")];
        let mut client = Raw::open(ports[2 * n + 1], path, &cookies).await.unwrap();
        client.say(r#"{"msg_type":"login"}"#).await;
        clients.push(client);
    }
    for client in &mut clients {
        // Whether the lookup or the frame was first decides their order.
        let mut frames = [client.hear().await, client.hear().await];
        frames.sort_by_key(|frame| frame["msg_type"].to_string());
        let [connected, login] = frames;
        assert_eq!(login, json!({"msg_type": "login", "data": {"user": "42"}}));
        assert_eq!((&connected["msg_type"], &connected["data"]["user"]), (&json!("connected"), &json!("42")));
        client.say("ping").await;
        assert_eq!(client.text().await, "pong");
        client.say(r#"{"type":"ping"}"#).await;
        assert_eq!(client.hear().await, json!({"type": "pong"}));
        client.say(r#"{"msg_type":"ping"}"#).await;
        assert_eq!(client.hear().await, json!({"msg_type": "pong"}));
    }

    // What a producer has scheduled, and what it publishes, comes to each of them once.
    let mut pipe = redis::pipe();
    pipe.cmd("ZADD").arg("websocket:producer:zset").arg(1).arg(r#"{"msg_type":"later","to_user_id":42,"data":"due"}"#);
    pipe.cmd("PUBLISH")
        .arg("websocket:producer:channel")
        .arg(r#"{"msg_type":"now","to_user_id":42,"data":"published"}"#);
    pipe.exec_async(&mut redis).await.unwrap();
    for client in &mut clients {
        let mut heard = [client.hear().await, client.hear().await]
            .map(|frame| (frame["msg_type"].as_str().unwrap().to_owned(), frame["data"].as_str().unwrap().to_owned()));
        heard.sort();
        assert_eq!(heard, [("later".to_owned(), "due".to_owned()), ("now".to_owned(), "published".to_owned())]);
        client.say("ping").await;
        assert_eq!(client.text().await, "pong", "nothing came twice");
    }

    // Nobody has this cookie; and a page of somebody else's cannot use a browser's.
    for (cookie, origin) in [("sessionid=9999", None), ("sessionid=c3d4", Some("https://evil.example"))] {
        let mut headers = vec![("cookie", cookie)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        match Raw::open(ports[1], "/any", &headers).await {
            Ok(mut client) => {
                client.say(r#"{"msg_type":"login"}"#).await;
                assert_eq!(client.closed().await, (4101, Vec::new()), "{cookie}");
            }
            Err(status) => assert_eq!(status, 403, "{cookie}"),
        }
    }
    println!(
        "3 clients by an opaque cookie on 3 paths of the second addresses: logged in, told once; 2 others refused"
    );
}
