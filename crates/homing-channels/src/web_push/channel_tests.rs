#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use homing_core::{channel::Scope, clock::SystemClock};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::simulator::web_push::Browser;

/// Every name is at one address; the port is the one that the URL says.
struct At(SocketAddr);

impl Names for At {
    fn look_up(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let found = if name.starts_with("gone.") { Err(io::Error::other("no such name")) } else { Ok(vec![self.0]) };
        Box::pin(std::future::ready(found))
    }
}

fn channel(settings: &str, names: At) -> WebPush {
    rustls::crypto::ring::default_provider().install_default().ok();
    let (key, _) = super::super::generate_vapid();
    let account = format!("[account.a]\napp = 'higo'\nkey = '{key}'\nsubject = 'mailto:ops@example.com'\n");
    let tools = Tools::new(Arc::new(SystemClock::default()));
    WebPush::new(toml::from_str(&format!("{settings}\n{account}")).unwrap(), &tools, Arc::new(names)).unwrap()
}

fn token(endpoint: &str) -> String {
    let browser = Browser::draw();
    json!({ "endpoint": endpoint, "keys": { "p256dh": browser.p256dh(), "auth": browser.auth() } }).to_string()
}

async fn send(channel: &WebPush, endpoint: &str) -> Answer {
    let now = SystemClock::default().now();
    let notification = Notification { app: "higo".to_owned(), expires_at: now + 60_000, ..Notification::default() };
    let targets = [Target::new("1", token(endpoint))];
    channel.send(&notification, &targets).await.pop().unwrap()
}

/// A server on this machine that counts who comes.
async fn trap() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (address, count)
}

/// The names are public ones and their addresses are ours: nothing may arrive there.
#[tokio::test]
async fn a_name_that_leads_home_is_not_called() {
    let (address, count) = trap().await;
    let port = address.port();
    let settings = format!("public = true\nallow = ['named.example.com', 'named.example.com:{port}']");
    let wide = channel(&settings, At(address));
    let known = send(&wide, &format!("https://named.example.com:{port}/x")).await;
    assert_eq!(known.outcome, Outcome::Retry { after: None }, "{known:?}: DNS lies, the subscription may be good");
    let stranger = send(&wide, "https://stranger.example.com/x").await;
    assert_eq!(stranger.outcome, Outcome::NoDevice, "{stranger:?}");
    assert!(known.detail.contains("has no public address") && stranger.detail.contains("has no public address"));
    let nowhere = send(&wide, "https://gone.example.com/x").await;
    let waits = Outcome::RateLimited { after: Some(60_000), scope: Scope::Token };
    assert_eq!(nowhere.outcome, waits, "{nowhere:?}: one user's host does not pause the app");
    assert_eq!(count.load(Ordering::SeqCst), 0);

    // The trap works: an origin that the operator answers for is called, private as it is. (It speaks no TLS.)
    let vouched = channel(&format!("allow = ['https://hub.corp.example:{port}']"), At(address));
    send(&vouched, &format!("https://hub.corp.example:{port}/x")).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_that_dns_does_not_know_is_tried_again_where_the_operator_named_it() {
    let (address, _) = trap().await;
    let named = channel("allow = ['gone.example.com']", At(address));
    let answer = send(&named, "https://gone.example.com/x").await;
    assert_eq!(answer.outcome, Outcome::Retry { after: None }, "{answer:?}");
}

#[tokio::test]
async fn refused_endpoints_have_the_documented_outcomes() {
    let (address, count) = trap().await;
    let narrow = channel("", At(address));
    for (endpoint, expected) in [
        (format!("http://{address}/x"), Outcome::NoDevice),
        ("https://169.254.169.254/latest".to_owned(), Outcome::NoDevice),
        ("https://u:p@fcm.googleapis.com/x".to_owned(), Outcome::NoDevice),
        ("https://stranger.example.com/x".to_owned(), Outcome::NoDevice),
        ("https://fcm.googleapis.com:8443/x".to_owned(), Outcome::NoDevice),
    ] {
        let answer = send(&narrow, &endpoint).await;
        assert_eq!(answer.outcome, expected, "{endpoint}: {answer:?}");
        assert!(answer.detail.starts_with("not sent: "), "{answer:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn topics_fit_and_differ() {
    let topics: std::collections::HashSet<String> = (0..1_000).map(|n| topic_of(&format!("chat:{n}"))).collect();
    assert_eq!(topics.len(), 1_000);
    assert!(topics.iter().all(|topic| topic.len() == 32));
    assert_eq!(topic_of("chat:1"), topic_of("chat:1"));
}
