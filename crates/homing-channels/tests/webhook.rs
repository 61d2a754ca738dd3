//! The channel against a receiver over the loopback, and the receiver against replays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use homing_channels::{
    registry::{Tools, find},
    simulator::{
        stand::{Stand, serve},
        webhook::{Config, router},
    },
    webhook::{SIGNATURE, sign},
};
use homing_core::{
    channel::{Answer, Channel, Health, Outcome},
    clock::{Clock, SystemClock},
    notification::{Action, Notification, Platform, Target},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Scene {
    stand: Arc<Stand>,
    base: String,
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

fn open(section: &str, clock: Arc<dyn Clock>) -> Arc<dyn Channel> {
    rustls::crypto::ring::default_provider().install_default().ok();
    (find("webhook").unwrap().build)(&toml::from_str(section).unwrap(), &Tools::new(clock)).unwrap()
}

impl Scene {
    async fn new() -> Self {
        let stand = Stand::new(clock());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = router(Config::new(SECRET), Arc::clone(&stand));
        tokio::spawn(serve(listener, app, std::future::pending()));
        Self { stand, base }
    }

    /// A channel with the hooks `crm`, and what follows for it.
    fn channel(&self, more: &str) -> Arc<dyn Channel> {
        self.channel_at(more, clock())
    }

    fn channel_at(&self, more: &str, clock: Arc<dyn Clock>) -> Arc<dyn Channel> {
        let base = &self.base;
        let text = format!("[hook.crm]\nurl = '{base}/hook/crm'\nsecret = '{SECRET}'\nprivate = true\n{more}");
        open(&text, clock)
    }

    fn script(&self, script: Value) {
        self.stand.set_script(serde_json::from_value(script).unwrap()).unwrap();
    }
}

fn notification() -> Notification {
    let now = SystemClock::default().now();
    serde_json::from_value(json!({
        "id": "m-1", "kind": 7, "app": "higo", "platform": Platform::Webhook, "title": "新订单", "body": "3 件",
        "custom": {"order_id": "A1001"}, "created_at": now, "expires_at": now + 3_600_000, "targets": [],
    }))
    .unwrap()
}

async fn send(channel: &Arc<dyn Channel>, notification: &Notification, user: &str) -> Answer {
    let mut answers = channel.send(notification, &[Target::new(user, "crm")]).await;
    assert_eq!(answers.len(), 1);
    answers.pop().unwrap()
}

#[tokio::test]
async fn a_signed_event_arrives() {
    let scene = Scene::new().await;
    let channel = scene.channel("headers = { Authorization = 'Bearer x' }");
    let mut message = notification();
    message.action = Some(Action::Url("https://higo.example/o/1".to_owned()));
    let answer = send(&channel, &message, "42 a/b").await;
    assert_eq!(answer, Answer::new(Outcome::Delivered { provider_id: None }, "HTTP status 200"));
    let delivery = scene.stand.after(0, 9).pop().unwrap();
    assert_eq!((&*delivery.token, delivery.id.as_deref()), ("crm", Some("m-1:42+a%2Fb")));
    assert_eq!(
        *delivery.push,
        json!({
            "delivery": "m-1:42+a%2Fb", "id": "m-1", "type": 7, "app": "higo", "user": "42 a/b", "title": "新订单",
            "body": "3 件", "key": "m-1", "url": "https://higo.example/o/1", "created_at": message.created_at,
            "expires_at": message.expires_at, "data": {"order_id": "A1001"},
        })
    );
}

#[tokio::test]
async fn what_was_taken_already_is_answered_and_not_done_twice() {
    let scene = Scene::new().await;
    let channel = scene.channel("");
    scene.script(json!({ "drop_after": 1.0 }));
    assert_eq!(send(&channel, &notification(), "42").await.outcome, Outcome::Ambiguous);
    scene.script(json!({}));
    let again = send(&channel, &notification(), "42").await;
    assert_eq!(again.outcome, Outcome::Delivered { provider_id: None });
    let another = send(&channel, &notification(), "43").await;
    assert_eq!(another.outcome, Outcome::Delivered { provider_id: None }, "another user is another delivery");
    let stats = scene.stand.stats();
    assert_eq!((&stats["deliveries"], &stats["replays"], &stats["repeats"]), (&json!(2), &json!(1), &json!(0)));
}

#[tokio::test]
async fn a_captured_post_is_refused_when_it_is_old_changed_or_signed_by_another() {
    let scene = Scene::new().await;
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let now = SystemClock::default().now() / 1000;
    let body = json!({ "delivery": "m-1", "id": "m-1", "type": 7 }).to_string();
    let post = |signature: String, id: &str, body: &str| {
        let request = client.post(format!("{}/hook/crm", scene.base)).body(body.to_owned());
        let request = request.header(SIGNATURE, signature).header("homing-id", id);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let secret = SecretString::from(SECRET);
    let good = sign(&secret, now, body.as_bytes());
    let old = sign(&secret, now - 301, body.as_bytes());
    for (signature, body) in [
        (old.clone(), body.as_str()),
        // The time is part of what is signed.
        (old.replace(&format!("t={}", now - 301), &format!("t={now}")), &body),
        (sign(&secret, now + 302, body.as_bytes()), &body),
        (sign(&SecretString::from("another secret!!"), now, body.as_bytes()), &body),
        (good.clone(), &body.replace('7', "8")),
        (good.replace("v1=", "v0="), &body),
        (format!("t={now}"), &body),
        ("nonsense".to_owned(), &body),
    ] {
        assert_eq!(post(signature.clone(), "m-1", body).await, 401, "{signature}");
    }
    assert_eq!(post(good.clone(), "m-2", &body).await, 400, "the id in the header is not the signed one");
    assert_eq!(scene.stand.stats()["deliveries"], 0);
    // Two signatures, as while a secret is changed: one fits.
    assert_eq!(post(good.replace(",v1=", ",v1=00,v1="), "m-1", &body).await, 200);
    assert_eq!(post(good, "m-1", &body).await, 200, "known");
    let stats = scene.stand.stats();
    assert_eq!((&stats["deliveries"], &stats["replays"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn every_status_has_its_outcome() {
    let scene = Scene::new().await;
    let channel = scene.channel("");
    let after = |seconds: i64| Some(seconds * 1000);
    let mut count = 0;
    for (statuses, retry_after, expected) in [
        (&[200, 201, 202, 204][..], None, Outcome::Delivered { provider_id: None }),
        (&[301, 302, 307, 308, 401, 403, 404, 405, 410], None, Outcome::Config),
        (&[400, 406, 409, 413, 415, 418, 422, 451], None, Outcome::Payload),
        (&[408, 425, 500, 502, 503, 504], Some(9), Outcome::Retry { after: after(9) }),
        (&[408, 425, 500], None, Outcome::Retry { after: None }),
        (&[429], Some(7), Outcome::limited(after(7))),
        (&[429], None, Outcome::limited(None)),
    ] {
        for status in statuses {
            scene.script(json!({ "http_status": status, "retry_after": retry_after }));
            let answer = send(&channel, &notification(), "42").await;
            assert_eq!(answer.outcome, expected, "{status}: {answer:?}");
            assert!(answer.detail.contains(&status.to_string()), "{answer:?}");
            count += 1;
        }
    }
    assert_eq!(count, 32);
    scene.script(json!({ "dead_prefix": "crm" }));
    let gone = send(&channel, &notification(), "42").await;
    assert_eq!(gone, Answer::new(Outcome::Config, "HTTP status 410: {\"message\":\"this hook is gone\"}"));
    scene.script(json!({ "drop_before": 1.0 }));
    assert_eq!(send(&channel, &notification(), "42").await.outcome, Outcome::Ambiguous);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Scene { stand: Arc::clone(&scene.stand), base: format!("http://{free}") };
    let answer = send(&nobody.channel(""), &notification(), "42").await;
    assert_eq!(answer.outcome, Outcome::Retry { after: None }, "{answer:?}");
    assert_eq!(scene.stand.stats()["deliveries"], 0);
}

#[tokio::test]
async fn a_wrong_secret_and_a_wrong_clock_are_matters_of_configuration() {
    let scene = Scene::new().await;
    let late: Arc<dyn Clock> = Arc::new(SystemClock::with_offset(-400_000));
    let answer = send(&scene.channel_at("", late), &notification(), "42").await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(answer.detail.contains("s old"), "{answer:?}");
    let base = &scene.base;
    let other = format!("[hook.crm]\nurl = '{base}/hook/crm'\nsecret = 'another secret!!'\nprivate = true");
    let answer = send(&open(&other, clock()), &notification(), "42").await;
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(!answer.detail.contains("another secret"), "{answer:?}");
}

#[tokio::test]
async fn a_hook_that_is_not_there_or_another_apps_is_named() {
    let scene = Scene::new().await;
    let channel = scene.channel("app = 'higirl'");
    let answer = send(&channel, &notification(), "42").await;
    assert_eq!(answer, Answer::new(Outcome::Config, "hook \"crm\" is for app higirl, not for higo"));
    let answers = channel.send(&notification(), &[Target::new("1", "erp")]).await;
    assert_eq!(answers, [Answer::new(Outcome::Config, "no hook \"erp\" in channel.webhook.hook")]);
    let mut long = notification();
    long.app = "higirl".to_owned();
    long.body = "x".repeat(300_000);
    assert_eq!(send(&channel, &long, "42").await.outcome, Outcome::Payload);
    assert_eq!(scene.stand.stats()["calls"], 0);
}

#[tokio::test]
async fn a_rehearsal_posts_nothing() {
    let scene = Scene::new().await;
    let channel = scene.channel("");
    let targets = [Target::new("1", "crm"), Target::new("1", "erp")];
    let answers = channel.rehearse(&notification(), &targets).await;
    assert_eq!(answers[0].outcome, Outcome::Delivered { provider_id: None });
    assert_eq!(answers[1].outcome, Outcome::Config);
    assert_eq!(scene.stand.stats()["calls"], 0);
}

#[tokio::test]
async fn the_doctor_pings_where_it_may() {
    let scene = Scene::new().await;
    let look = async |more: &str| {
        let mut all = scene.channel(more).examine().await;
        assert_eq!((all.len(), all[0].account.as_str()), (1, "channel.webhook.hook.crm"));
        all.pop().unwrap()
    };
    assert_eq!(look("").await.health, Health::Unknown);
    assert_eq!(scene.stand.stats()["calls"], 0);
    assert_eq!(look("ping = true").await.health, Health::Good);
    assert_eq!(scene.stand.stats()["pings"], 1);
    for (status, health) in [(401, Health::Refused), (422, Health::Doubtful), (503, Health::Unknown)] {
        scene.script(json!({ "http_status": status }));
        assert_eq!(look("ping = true").await.health, health, "{status}");
    }
    assert_eq!(scene.stand.stats()["deliveries"], 0);
}
