//! Who may use the registry, and what comes of requests that no app would make.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    Desks, phone,
    support::{CHAT, Rig, SHOP, event, told},
};

#[tokio::test]
async fn a_key_opens_what_it_is_good_for() {
    let desks = Desks::start("").await;
    let path = "/v1/users/1/devices";
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = desks.rig.request(method.clone(), path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(status(desks.rig.request(method.clone(), path).bearer_auth("nobody-0123456789")).await, 401);
        // A key of a lane's producer sees nobody's devices.
        let (status, body) = told(desks.rig.request(method, path).bearer_auth(CHAT).send().await.unwrap()).await;
        assert_eq!((status, &body["error"]["message"]), (403, &json!("chat has no key for the registry")));
    }
    assert_eq!(status(desks.rig.request(Method::GET, path).bearer_auth(SHOP)).await, 200);
    // And the registry's key does not push.
    for (method, path) in [
        (Method::POST, "/v1/events"),
        (Method::GET, "/v1/ledger"),
        (Method::POST, "/api/push"),
        (Method::GET, "/v1/events/x"),
    ] {
        let request = desks.request(method, path).json(&event(1));
        let (status, body) = told(request.send().await.unwrap()).await;
        assert_eq!((status, &body["error"]["message"]), (403, &json!("devices has no key for events")), "{path}");
    }
    // Without a registry there is none.
    let rig = Rig::start().await;
    let (status, body) = told(rig.get(path).send().await.unwrap()).await;
    assert_eq!((status, &body["error"]["field"]), (404, &json!("path")));
    assert!(rig.intake.probe().await.is_ok());
}

#[tokio::test]
async fn what_no_app_would_send_is_answered_with_its_field() {
    let desks = Desks::start("max_devices = 2").await;
    let long = "x".repeat(300);
    let put =
        async |path: &str, body: Vec<u8>| told(desks.request(Method::PUT, path).body(body).send().await.unwrap()).await;
    let nested = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut seen = 0;
    for (path, body, status, field) in [
        ("/v1/users/42/devices", "", 400, "body"),
        ("/v1/users/42/devices", "nonsense", 400, "body"),
        ("/v1/users/42/devices", "{\"id\":\"i\"", 400, "body"),
        ("/v1/users/42/devices", "{\"id\":\"\u{7f}\"}", 400, "id"),
        ("/v1/users/42/devices", "{}", 400, "id"),
        ("/v1/users/42/devices/i", "{\"id\":\"j\"}", 400, "id"),
        ("/v1/users/42/devices/i", &nested, 400, "body"),
        ("/v1/users/42/devices/i", "{\"app\":\"a\",\"platform\":\"ios\",\"tokens\":{\"x\":null}}", 400, "tokens.x"),
        ("/v1/users/42/devices/%00", "{}", 400, "device"),
        ("/v1/users/%0a/devices/i", "{}", 400, "id"),
        ("/v1/users/%ff/devices/i", "{}", 400, "path"),
        (&format!("/v1/users/{long}/devices/i"), "{}", 400, "id"),
        (&format!("/v1/users/42/devices/{long}"), "{}", 400, "device"),
        ("/v1/users/42/preferences", "{\"quiet_from\":\"24:00\"}", 400, "quiet_from"),
        ("/v1/users/42/preferences", "{\"time_zone\":\"../../etc/passwd\"}", 400, "time_zone"),
        ("/v1/users/42/preferences", "[1]", 400, "body"),
    ] {
        let (found, answer) = put(path, body.as_bytes().to_vec()).await;
        assert_eq!((found, answer["error"]["field"].as_str()), (status, Some(field)), "{path} {answer}");
        seen += 1;
    }
    assert_eq!(seen, 16);
    let (status, answer) = put("/v1/users/42/devices/i", vec![b' '; 65 << 10]).await;
    assert_eq!((status, &answer["error"]["field"]), (413, &json!("body")));
    let (status, _) = put("/v1/users/42/devices/i", b"\xff\xfe".to_vec()).await;
    assert_eq!(status, 400);
    for n in 0..2 {
        assert_eq!(desks.put(&format!("/v1/users/42/devices/{n}"), &phone(&format!("t{n}"))).await.0, 201);
    }
    let (status, answer) = desks.put("/v1/users/42/devices/2", &phone("t2")).await;
    assert_eq!((status, &answer["error"]["field"]), (409, &json!("devices")), "{answer}");
    // Words of SQL are a name like others.
    let evil = "/v1/users/1'%20OR%20'1'%3D'1/devices";
    assert_eq!(desks.call(Method::DELETE, evil).await.1, json!({"deleted": 0}));
    assert_eq!(desks.call(Method::GET, "/v1/users/42/devices").await.1["devices"].as_array().unwrap().len(), 2);
    assert_eq!(desks.call(Method::PATCH, "/v1/users/42/devices").await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_leave_a_token_with_one() {
    let desks = Desks::start("").await;
    let paths: Vec<String> = (0..32).map(|n| format!("/v1/users/{n}/devices/i")).collect();
    let body = phone("shared-token-0123");
    let puts = paths.iter().map(|path| desks.put(path, &body));
    let answers = join_all(puts).await;
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
    assert_eq!(answers.iter().map(|(_, body)| body["moved"].as_u64().unwrap()).sum::<u64>(), 31);
    let ids: Vec<String> = (0..32).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = desks.stores.lookup("registry.devices").unwrap().rows(&ids).await.unwrap();
    assert_eq!(rows.iter().filter(|rows| !rows.is_empty()).count(), 1);
}
