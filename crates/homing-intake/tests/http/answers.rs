//! What is accepted, and that it is accepted once.

use std::collections::HashSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Rig, event, fresh, told};

#[tokio::test]
async fn an_event_stands_in_its_list_before_it_is_answered() {
    let rig = Rig::start().await;
    let (status, body) = told(rig.post("/v1/events").json(&event(42)).send().await.unwrap()).await;
    assert_eq!(status, 202);
    let list = rig.list(rig.lanes[0].of("42").unwrap()).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["id"], body["id"]);
    assert_eq!(body["id"].as_str().unwrap().len(), 36, "a uuid: {body}");
    assert_eq!(list[0]["data"], json!({"goods": "coat"}));
    assert!(list[0]["accepted_at"].as_i64().unwrap() > 1_600_000_000_000);
}

#[tokio::test]
async fn a_batch_is_spread_and_answered_in_order() {
    let rig = Rig::start().await;
    let events: Vec<Value> = (0..200).map(event).collect();
    let (status, body) = told(rig.post("/v1/events").json(&events).send().await.unwrap()).await;
    assert_eq!(status, 202);
    let ids: Vec<&str> = body["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200);
    let mut found = 0;
    for name in &rig.lanes[0].entry {
        let list = rig.list(name).await;
        assert!(!list.is_empty(), "{name}");
        for item in list {
            let user: usize = item["to"]["user"].as_str().unwrap().parse().unwrap();
            assert_eq!(ids[user], item["id"].as_str().unwrap());
            assert_eq!(rig.lanes[0].of(&user.to_string()), Some(name));
            found += 1;
        }
    }
    assert_eq!(found, 200);
    let wrapped = json!({"events": [event(1)]});
    let (status, body) = told(rig.post("/v1/events").json(&wrapped).send().await.unwrap()).await;
    assert_eq!((status, body["ids"].as_array().unwrap().len()), (202, 1));
}

#[tokio::test]
async fn messagepack_is_read_by_its_content_type() {
    let rig = Rig::start().await;
    let bytes = rmp_serde::to_vec_named(&json!([event(1), event(2)])).unwrap();
    let request = rig.post("/v1/events").header("content-type", "application/msgpack").body(bytes.clone());
    let (status, body) = told(request.send().await.unwrap()).await;
    assert_eq!((status, body["ids"].as_array().unwrap().len()), (202, 2));
    let (status, body) = told(rig.post("/v1/events").body(bytes).send().await.unwrap()).await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(rig.items(0).await, 2);
}

#[tokio::test]
async fn the_lane_is_the_types_else_the_requests() {
    let rig = Rig::start().await;
    let chat = json!({"type": 1, "to": {"group": "9", "members": true}});
    assert_eq!(told(rig.post("/v1/events").json(&chat).send().await.unwrap()).await.0, 202);
    assert_eq!(told(rig.post("/v1/events?lane=group").json(&event(1)).send().await.unwrap()).await.0, 202);
    assert_eq!((rig.items(0).await, rig.items(1).await), (0, 2));
    let (status, body) = told(rig.post("/v1/events?lane=nowhere").json(&event(1)).send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        json!({"error": {"field": "lane", "message": "there is no lane nowhere; there are system, group"}})
    );
}

#[tokio::test]
async fn a_hundred_posts_with_one_key_make_one_item() {
    let rig = Rig::start().await;
    let key = fresh();
    let post = || rig.post("/v1/events").header("Idempotency-Key", &key).json(&event(42)).send();
    let answers = join_all((0..100).map(|_| post())).await;
    let (mut ids, mut replays) = (HashSet::new(), 0);
    for answer in answers {
        let answer = answer.unwrap();
        replays += usize::from(answer.headers().get("idempotent-replayed").is_some_and(|v| v == "true"));
        let (status, body) = told(answer).await;
        assert_eq!(status, 202, "{body}");
        ids.insert(body["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), replays, rig.items(0).await), (1, 99, 1));
    // Another caller's key of the same text is another key.
    let chat = json!({"type": 1, "to": {"user": "42"}});
    let other = rig.request(Method::POST, "/v1/events").header("X-API-Key", crate::support::CHAT);
    let answer = other.header("Idempotency-Key", &key).json(&chat).send().await.unwrap();
    assert!(answer.headers().get("idempotent-replayed").is_none());
    assert!(!ids.contains(told(answer).await.1["id"].as_str().unwrap()));
}

#[tokio::test]
async fn a_batch_with_a_key_is_accepted_once_and_completed() {
    let rig = Rig::start().await;
    let key = fresh();
    let events: Vec<Value> = (0..50).map(event).collect();
    let post = || rig.post("/v1/events").header("Idempotency-Key", &key).json(&events).send();
    let (_, first) = told(post().await.unwrap()).await;
    let again = post().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(told(again).await, (202, first));
    assert_eq!(rig.items(0).await, 50);
}

#[tokio::test]
async fn an_id_of_its_own_is_accepted_once() {
    let rig = Rig::start().await;
    let mut own = event(42);
    own["id"] = json!("order-1001");
    let first = rig.post("/v1/events").json(&own).send().await.unwrap();
    assert!(first.headers().get("idempotent-replayed").is_none());
    assert_eq!(told(first).await, (202, json!({"id": "order-1001"})));
    let again = rig.post("/v1/events").json(&own).send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(told(again).await, (202, json!({"id": "order-1001"})));
    assert_eq!(rig.items(0).await, 1);
}

#[tokio::test]
async fn a_key_that_comes_with_another_request_is_refused() {
    let rig = Rig::start().await;
    let key = fresh();
    let post = |user| rig.post("/v1/events").header("Idempotency-Key", &key).json(&event(user)).send();
    assert_eq!(told(post(1).await.unwrap()).await.0, 202);
    let (status, body) = told(post(2).await.unwrap()).await;
    assert_eq!((status, body["error"]["field"].as_str()), (422, Some("Idempotency-Key")));
    assert_eq!(rig.items(0).await, 1);
    let long = rig.post("/v1/events").header("Idempotency-Key", "x".repeat(256)).json(&event(1));
    assert_eq!(told(long.send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn one_wrong_event_and_nothing_of_the_batch_is_accepted() {
    let rig = Rig::start().await;
    let events = json!([event(1), {"type": 99, "to": {"user": "1"}}, event(2), {"type": 7, "to": {}}]);
    let (status, body) = told(rig.post("/v1/events").json(&events).send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["field"], "events.1.type");
    assert_eq!(body["error"]["message"], "99 is not in the catalogue of push types");
    let places: Vec<_> = body["errors"].as_array().unwrap().iter().map(|e| (&e["event"], &e["field"])).collect();
    assert_eq!(places, [(&json!(1), &json!("type")), (&json!(3), &json!("to"))]);
    assert_eq!(rig.items(0).await, 0);
    let missing = json!({"type": 7, "to": {"user": "1"}});
    let (status, body) = told(rig.post("/v1/events").json(&missing).send().await.unwrap()).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("data")));
}

#[tokio::test]
async fn gorush_bodies_are_accepted() {
    let rig = Rig::start().await;
    // The example of gorush's README, its huawei part left out.
    let body = json!({"notifications": [
        {"tokens": ["token_a", "token_b"], "platform": 1, "message": "Hello World iOS!", "title": "Gorush with iOS"},
        {"tokens": ["token_a", "token_b"], "platform": 2, "message": "Hello World Android!", "title": "Gorush with Android"}
    ]});
    let (status, answer) = told(rig.post("/api/push").json(&body).send().await.unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!((&answer["success"], &answer["counts"], &answer["logs"]), (&json!("ok"), &json!(4), &json!([])));
    assert_eq!((answer["ids"].as_array().unwrap().len(), rig.items(0).await), (2, 2));
    let list = rig.list(rig.lanes[0].of("token_a").unwrap()).await;
    assert_eq!(
        list[0]["to"]["tokens"][1],
        json!({"token": "token_b", "platform": "ios", "app": "higo", "env": "prod"})
    );
    assert_eq!((&list[1]["type"], &list[1]["body"]), (&json!("DEFAULT"), &json!("Hello World Android!")));

    let refused = async |body: Value| told(rig.post("/api/push").json(&body).send().await.unwrap()).await;
    let huawei = json!({"notifications": [body["notifications"][0], {"tokens": ["t"], "platform": 3, "message": "m"}]});
    let (status, answer) = refused(huawei).await;
    assert_eq!((status, &answer["error"]["field"]), (400, &json!("notifications.1.platform")));
    assert_eq!(refused(json!({"notification": []})).await.1["error"]["field"], "notifications");
    let many = json!({"notifications": vec![body["notifications"][0].clone(); 101]});
    assert_eq!(refused(many).await.1["error"]["message"], "expected at most 100");
    assert_eq!(rig.items(0).await, 2);
}
