//! Who has the app open gets silent messages by MQTT, and the state is what the apps say of themselves.

use serde_json::{Value, json};

use super::site::Site;
use crate::support::until;

const USER: &str = "42";

fn frame(n: u64, kind: u64) -> Value {
    json!([3, [USER], { "n": n, "push_type": "talk", "type": kind }])
}

fn silent(n: u64) -> Value {
    frame(n, 1)
}

/// Waits until the user's hash says so.
async fn noted(site: &Site, focus: Option<&str>) {
    until(&format!("the focus is {focus:?}"), async || {
        site.user(USER).await.get("app_focus").map(String::as_str) == focus
    })
    .await;
}

async fn open(site: &Site) -> redis::aio::MultiplexedConnection {
    let mut redis = site.redis().await;
    let token = format!("{USER:0>64}");
    let fields = ["app_token", &token, "app_ident", "com.example.im"];
    redis::cmd("HSET").arg(format!("User:{USER}")).arg(&fields).exec_async(&mut redis).await.unwrap();
    redis
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_says_decides_about_the_next_silent_message() {
    let site = Site::start("").await;
    open(&site).await;
    let subscriber = site.subscriber().await;
    let intake = site.daemon("intake").await;
    let others = [site.daemon("distributor").await, site.daemon("sender").await];
    until("the focus is heard", async || intake.log().contains("Hears the focus of apps.")).await;
    site.send(&[silent(1)]).await;
    assert_eq!(site.accepted("prod", 1).await[0].1["payload"]["data"]["n"], 1);

    site.publish("app/status", &json!({ "user_id": USER, "focus": 1 }));
    noted(&site, Some("1")).await;
    site.send(&[silent(2)]).await;
    let heard = subscriber.heard(1).await;
    assert_eq!((heard[0].topic.as_str(), &heard[0].data["n"]), ("user/42", &json!(2)));
    // What is shown is pushed all the same, and copied.
    site.send(&[frame(3, 6)]).await;
    let pushes = site.accepted("prod", 3).await;
    assert_eq!(pushes[1].1["payload"]["aps"]["alert"], json!({ "body": "设备电量低，请及时充电" }));
    assert_eq!(pushes[2].1["payload"]["aps"], json!({ "content-available": 1 }));

    site.publish("app/status", &json!("no state"));
    site.publish("app/status", &json!({ "user_id": 42, "focus": 0 }));
    noted(&site, None).await;
    assert!(intake.log().contains("A message about the focus of an app is skipped."), "{}", intake.log());
    site.send(&[silent(4)]).await;
    assert_eq!(site.accepted("prod", 4).await[3].1["payload"]["data"]["n"], 4);

    // Another daemon hears it as well as the first.
    assert!(intake.stop().await.success());
    let intake = site.daemon("intake").await;
    until("the focus is heard", async || intake.log().contains("Hears the focus of apps.")).await;
    site.publish("app/status", &json!({ "user_id": USER, "focus": true }));
    noted(&site, Some("1")).await;
    site.send(&[silent(5)]).await;
    assert_eq!(subscriber.heard(2).await[1].data["n"], 5);
    for daemon in [intake].into_iter().chain(others) {
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_focus_that_is_not_repeated_ends() {
    let site = Site::start("[agent.focus]\nttl = '2s'\n").await;
    let mut redis = open(&site).await;
    let up = site.daemon("up").await;
    until("the focus is heard", async || up.log().contains("Hears the focus of apps.")).await;
    site.publish("app/status", &json!({ "user_id": USER, "focus": 1 }));
    noted(&site, Some("1")).await;
    noted(&site, None).await;
    let left: u64 = redis::cmd("ZCARD").arg("homing:app_focus").query_async(&mut redis).await.unwrap();
    assert_eq!(left, 0);
    site.send(&[silent(1)]).await;
    assert_eq!(site.accepted("prod", 1).await[0].1["payload"]["data"]["n"], 1);
    assert!(up.stop().await.success());
}
