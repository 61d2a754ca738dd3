//! Browser tabs on the gateway in a real Chromium: two of one user, one of another, through the whole demo: an event, the
//! distributor, the channel `websocket`, the stream, the gateway, the page's own client.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    Demo,
    chromium::{Chromium, Target},
    folder,
};

/// Opens a user's tab; its session with the browser.
async fn open(chromium: &Chromium, demo: &Demo, user: &str) -> String {
    let target = chromium.call(None, "Target.createTarget", json!({"url": "about:blank"})).await;
    let session = chromium.attach(&target["targetId"]).await;
    let page = chromium.target(&session);
    page.call("Page.enable", json!({})).await;
    page.call("Page.navigate", json!({"url": format!("{}/tab?user={user}", demo.base)})).await;
    is(page, "document.querySelector('#state')?.textContent", &json!("connected")).await;
    session
}

/// Waits until an expression has this value.
async fn is(page: Target<'_>, expression: &str, value: &Value) {
    let began = Instant::now();
    loop {
        let found = page.evaluate(expression).await;
        if found == *value {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{expression} is {found}, not {value}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const IDS: &str = "[...document.querySelectorAll('#messages li')].map((line) => line.dataset.id)";

async fn shows(page: Target<'_>, ids: &[&str]) {
    is(page, IDS, &json!(ids)).await;
    is(page, "document.querySelector('#unread').textContent", &json!(ids.len().to_string())).await;
}

async fn reads(page: Target<'_>, id: &str) {
    page.evaluate(&format!("document.querySelector('li[data-id={}] button').click()", json!(id))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_is_shown_on_every_tab_and_read_on_one_is_read_on_all() {
    let dir = folder();
    let data = dir.path().join("data");
    let demo = Demo::start(dir.path(), Some(&data)).await;
    let chromium = Chromium::start(dir.path());
    // The demo itself has sent one event to user 42 before anybody was here.
    let first = open(&chromium, &demo, "42").await;
    let first = chromium.target(&first);
    is(first, &format!("{IDS}.length > 0"), &json!(true)).await;
    let greeted = first.evaluate(IDS).await;
    for id in greeted.as_array().unwrap() {
        reads(first, id.as_str().unwrap()).await;
    }
    shows(first, &[]).await;

    let second = open(&chromium, &demo, "42").await;
    let second = chromium.target(&second);
    let other = open(&chromium, &demo, "1").await;
    let other = chromium.target(&other);
    let others: Vec<String> = serde_json::from_value(other.evaluate(IDS).await).unwrap();
    shows(second, &[]).await;

    // A push to one user reaches both of the tabs, at once, and nobody else.
    let send = async |to: Value, text: &str| {
        let event = json!({"type": "GOODS_SENT", "to": to, "body": text, "data": {"order_id": "A1"}});
        demo.post("system", &event).await["id"].as_str().unwrap().to_owned()
    };
    let sent = Instant::now();
    let a = send(json!({"user": "42"}), "包裹已寄出").await;
    shows(first, &[&a]).await;
    shows(second, &[&a]).await;
    println!("from the event to both tabs: {:?}", sent.elapsed());
    assert!(first.text("#messages").await.contains("包裹已寄出"));
    let b = send(json!({"users": ["42", "1"]}), "for both").await;
    shows(first, &[&a, &b]).await;
    shows(second, &[&a, &b]).await;
    let mut of_other: Vec<&str> = others.iter().map(String::as_str).collect();
    of_other.push(&b);
    shows(other, &of_other).await;

    // Read on one tab, gone from the other; the other user's stays.
    reads(second, &b).await;
    shows(first, &[&a]).await;
    shows(second, &[&a]).await;
    shows(other, &of_other).await;

    // A tab that comes later, and one that comes back, see what is unread and nothing else.
    let third = open(&chromium, &demo, "42").await;
    shows(chromium.target(&third), &[&a]).await;
    first.call("Page.reload", json!({})).await;
    is(first, "document.querySelector('#state')?.textContent", &json!("connected")).await;
    shows(first, &[&a]).await;
    first.evaluate("document.querySelector('#all').click()").await;
    for tab in [first, second, chromium.target(&third)] {
        shows(tab, &[]).await;
    }
    assert_eq!(chromium.errors(), Vec::<Value>::new(), "the consoles are silent");

    chromium.close().await;
    demo.ends().await;
}
