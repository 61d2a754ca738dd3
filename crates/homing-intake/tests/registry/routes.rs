//! Every route does what it says.

use homing_core::lookup::Death;
use reqwest::Method;
use serde_json::json;

use crate::{Desks, phone};

const TOKEN: &str = "0f744707bebcf74f9b7c25d48e3358945f6aa01d";

#[tokio::test]
async fn a_device_lives_dies_and_comes_back() {
    let desks = Desks::start("").await;
    let one = "/v1/users/42/devices/i-1";
    assert_eq!(desks.put(one, &phone(TOKEN)).await, (201, json!({"device": "i-1", "created": true, "moved": 0})));
    assert_eq!(desks.put(one, &phone(TOKEN)).await, (200, json!({"device": "i-1", "created": false, "moved": 0})));
    let mut body = phone("other-token");
    body["id"] = json!("i-2");
    body["model"] = json!("Pixel 9");
    assert_eq!(desks.put("/v1/users/42/devices", &body).await.0, 201);

    let (status, list) = desks.call(Method::GET, "/v1/users/42/devices").await;
    assert_eq!((status, &list["user"], list["devices"].as_array().unwrap().len()), (200, &json!("42"), 2));
    assert!(!list.to_string().contains(TOKEN) && !list.to_string().contains("other-token"), "{list}");
    let (status, shown) = desks.call(Method::GET, one).await;
    assert_eq!((status, &shown["state"], &shown["tokens"][0]["token"]), (200, &json!("live"), &json!("..a01d")));
    assert!(shown["seen_at"].as_str().unwrap().ends_with('Z'), "{shown}");
    assert_eq!(desks.call(Method::GET, "/v1/users/42/devices/x").await.0, 404);
    assert_eq!(desks.call(Method::GET, "/v1/users/43/devices").await.1, json!({"user": "43", "devices": []}));

    // A provider calls the token dead; somebody takes that back.
    let devices = desks.stores.lookup("registry.devices").unwrap();
    let death = Death { channel: "apns".into(), why: "Unregistered".into(), since: None };
    assert!(devices.forget("42", TOKEN, &death).await.unwrap());
    let (_, shown) = desks.call(Method::GET, one).await;
    assert_eq!((&shown["state"], &shown["tokens"][0]["dead"]["why"]), (&json!("dead"), &json!("Unregistered")));
    assert_eq!(desks.call(Method::POST, &format!("{one}/restore")).await, (200, json!({"tokens": 1})));
    assert_eq!(desks.call(Method::GET, one).await.1["state"], "live");
    let (status, body) = desks.call(Method::POST, "/v1/users/42/devices/x/restore").await;
    assert_eq!((status, &body["error"]["field"]), (404, &json!("device")));

    assert_eq!(desks.call(Method::DELETE, one).await, (200, json!({"deleted": 1})));
    assert_eq!(desks.call(Method::DELETE, one).await, (200, json!({"deleted": 0})));
    assert_eq!(desks.call(Method::GET, one).await.1["gone"]["why"], "deleted");
    assert_eq!(desks.call(Method::DELETE, "/v1/users/42/devices").await, (200, json!({"deleted": 1})));
    assert_eq!(desks.call(Method::DELETE, "/v1/users/42").await, (200, json!({"erased": true})));
    assert_eq!(desks.call(Method::GET, "/v1/users/42/devices").await.1["devices"], json!([]));
}

#[tokio::test]
async fn a_token_moves_to_who_logged_in_last() {
    let desks = Desks::start("").await;
    desks.put("/v1/users/ann/devices/i", &phone(TOKEN)).await;
    let (status, body) = desks.put("/v1/users/bob/devices/i", &phone(TOKEN)).await;
    assert_eq!((status, &body["moved"]), (201, &json!(1)));
    assert_eq!(desks.call(Method::GET, "/v1/users/ann/devices/i").await.1["tokens"], json!([]));
}

#[tokio::test]
async fn preferences_and_topics() {
    let desks = Desks::start("max_topics = 2").await;
    let path = "/v1/users/42/preferences";
    let none = json!({"locale": null, "time_zone": null, "quiet_from": null, "quiet_to": null, "muted": []});
    assert_eq!(desks.call(Method::GET, path).await, (200, none.clone()));
    let wanted = json!({"locale": "zh-CN", "time_zone": "Asia/Shanghai", "quiet_from": "23:00", "quiet_to": "08:00", "muted": ["CHAT", "55"]});
    assert_eq!(desks.put(path, &wanted).await, (200, wanted.clone()));
    assert_eq!(desks.call(Method::GET, path).await.1, wanted);
    assert_eq!(desks.put(path, &json!({})).await, (200, none));
    let (status, body) = desks.put(path, &json!({"muted": ["CHAT", "NOBODY_KNOWS"]})).await;
    assert_eq!((status, &body["error"]["field"]), (400, &json!("muted.1")));

    let topic = |name: &str| format!("/v1/users/42/topics/{name}");
    assert_eq!(desks.call(Method::PUT, &topic("sale")).await, (201, json!({"topic": "sale", "new": true})));
    assert_eq!(desks.call(Method::PUT, &topic("sale")).await.0, 200);
    assert_eq!(desks.call(Method::PUT, &topic("%E4%B8%8A%2Fnew")).await.1["topic"], "上/new");
    assert_eq!(desks.call(Method::GET, "/v1/users/42/topics").await.1, json!({"topics": ["sale", "上/new"]}));
    let (status, body) = desks.call(Method::PUT, &topic("third")).await;
    assert_eq!((status, &body["error"]["field"]), (409, &json!("topics")), "{body}");
    assert_eq!(desks.call(Method::DELETE, &topic("sale")).await.1, json!({"topic": "sale", "removed": true}));
    assert_eq!(desks.call(Method::DELETE, &topic("sale")).await.1["removed"], false);
}

#[tokio::test]
async fn a_browser_registers_as_it_is() {
    let desks = Desks::of_channels("", &["web_push"]).await;
    let subscription =
        json!({"endpoint": "https://push.example/abc", "expirationTime": null, "keys": {"p256dh": "B", "auth": "a"}});
    let body = json!({"app": "shop", "platform": "web", "tokens": {"web_push": subscription}});
    assert_eq!(desks.put("/v1/users/42/devices/b", &body).await.0, 201);
    let rows = desks.stores.lookup("registry.devices").unwrap().rows(&["42"]).await.unwrap();
    let token: serde_json::Value = serde_json::from_str(&rows[0][0]["token"]).unwrap();
    assert_eq!((&token, rows[0][0]["channel"].as_str()), (&subscription, "web_push"));
    let (status, answer) = desks.put("/v1/users/42/devices/b", &phone("t")).await;
    assert_eq!((status, &answer["error"]["field"]), (400, &json!("tokens.apns")), "{answer}");
}
