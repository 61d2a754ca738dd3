//! What arrives in the browser.

use std::time::Duration;

use homing_core::notification::{Action, Priority};

use super::*;

#[tokio::test]
async fn a_browser_reads_the_message() {
    let scene = Scene::new().await;
    let target = scene.subscribe("browser", 1).await.pop().unwrap();
    let mut message = notification();
    message.action = Some(Action::Url("https://higo.example/orders/A1001".to_owned()));
    message.collapse = Some("order:A1001".to_owned());
    message.priority = Priority::High;
    let answer = scene.send(&message, std::slice::from_ref(&target)).await.pop().unwrap();
    let Outcome::Delivered { provider_id: Some(id) } = &answer.outcome else { panic!("{answer:?}") };
    assert!(!id.is_empty() && answer.detail == "HTTP status 201", "{answer:?}");

    let delivery = scene.stand.after(0, 10).pop().unwrap();
    assert_eq!((&*delivery.token, delivery.id.as_deref()), ("browser-1", Some("m-1")));
    assert_eq!(
        delivery.push["payload"],
        json!({
            "id": "m-1", "type": 15, "app": "higo", "title": "HIGO 新订单", "body": "您有一笔新订单 😀",
            "tag": "order:A1001", "url": "https://higo.example/orders/A1001", "created_at": message.created_at,
            "data": {"order_id": "A1001", "count": 3},
        })
    );
    let headers = &delivery.push["headers"];
    assert_eq!(headers["urgency"], "high");
    assert_eq!(headers["topic"].as_str().unwrap().len(), 32);
    let ttl = headers["ttl"].as_i64().unwrap();
    assert!((3_500..=3_600).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_thousand_random_messages_are_decrypted() {
    let scene = Scene::new().await;
    let targets = scene.subscribe("browser", 64).await;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut sent = Vec::new();
    for n in 0..1_000 {
        let mut message = notification();
        message.id = format!("m-{n}");
        // At most 3 bytes each, and a length anywhere up to the limit of the plaintext.
        let length = draw(900);
        message.body = (0..length).filter_map(|_| char::from_u32(u32::try_from(draw(0x800) + 0x20).unwrap())).collect();
        message.title = format!("\"{}\\", draw(u64::MAX));
        message.silent = draw(2) == 0;
        let target = &targets[n % targets.len()];
        sent.push((message, target.clone()));
    }
    let page: Vec<_> = sent.iter().map(|(message, target)| scene.send(message, std::slice::from_ref(target))).collect();
    for chunk in futures_util::future::join_all(page).await {
        assert!(is_delivered(&chunk[0]), "{chunk:?}");
    }
    let arrived = scene.stand.after(0, 2_000);
    assert_eq!(arrived.len(), 1_000);
    assert_eq!(scene.stand.stats()["undecryptable"], Value::Null);
    for delivery in &arrived {
        let id = delivery.id.as_deref().unwrap();
        let (message, _) = &sent[id.strip_prefix("m-").unwrap().parse::<usize>().unwrap()];
        let payload = &delivery.push["payload"];
        assert_eq!(payload["body"], message.body.as_str(), "{id}");
        assert_eq!(payload["title"], message.title.as_str(), "{id}");
        assert_eq!(payload.get("silent").is_some(), message.silent, "{id}");
        assert_eq!(payload["tag"], id, "without a collapse key the message's id is its tag");
    }
    let topics: std::collections::HashSet<&str> =
        arrived.iter().filter_map(|delivery| delivery.push["headers"]["topic"].as_str()).collect();
    assert_eq!(topics.len(), 1_000);
}

#[tokio::test]
async fn a_page_is_answered_in_its_order_and_at_most_fifty_calls_are_under_way() {
    let scene = Scene::new().await;
    let mut targets = scene.subscribe("browser", 32).await;
    let dead = scene.subscribe("dead", 32).await;
    targets = targets.into_iter().zip(dead).flat_map(|(good, dead)| [good, dead]).collect();
    scene.script(json!({ "dead_prefix": "dead", "latency_ms": 300 }));
    let page = scene.send(&notification(), &targets).await;
    assert_eq!(page.len(), 64);
    for (n, answer) in page.iter().enumerate() {
        assert!(if n % 2 == 0 { is_delivered(answer) } else { answer.outcome == Outcome::DEAD }, "{n}: {answer:?}");
    }
    let most = scene.stand.stats()["most_at_once"].as_u64().unwrap();
    assert!((33..=50).contains(&most), "{most} calls at once");
    assert_eq!(scene.stand.stats()["deliveries"], 32);
}

#[tokio::test]
async fn the_header_is_signed_once_per_push_service() {
    let scene = Scene::new().await;
    let targets = scene.subscribe("browser", 3).await;
    // The header does not show in a delivery: a second service records the raw one.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (tx, mut rx) = tokio::sync::mpsc::channel(8);
    let app = axum::Router::new().fallback(move |headers: axum::http::HeaderMap| {
        let tx = tx.clone();
        async move {
            tx.send(headers["authorization"].to_str().unwrap().to_owned()).await.unwrap();
            axum::http::StatusCode::CREATED
        }
    });
    tokio::spawn(serve(listener, app, std::future::pending()));
    let channel = scene.again_at(&base);
    for target in &targets {
        let moved = Target::new("1", target.token.replace(&scene.base, &base));
        let answer = channel.send(&notification(), &[moved]).await.pop().unwrap();
        assert_eq!(answer.outcome, Outcome::Delivered { provider_id: None }, "no Location, no id");
    }
    let first = tokio::time::timeout(Duration::from_secs(30), rx.recv()).await.unwrap().unwrap();
    assert!(first.starts_with("vapid t=ey") && first.ends_with(&format!(", k={}", scene.public)), "{first}");
    assert_eq!((rx.recv().await.unwrap(), rx.recv().await.unwrap()), (first.clone(), first));
}

#[tokio::test]
async fn a_rehearsal_shows_nobody_anything() {
    let scene = Scene::new().await;
    let mut targets = scene.subscribe("browser", 2).await;
    targets.push(Target::new("3", "{}"));
    let answers = scene.channel.rehearse(&notification(), &targets).await;
    assert!(is_delivered(&answers[0]) && is_delivered(&answers[1]), "{answers:?}");
    assert_eq!(answers[2].outcome, Outcome::DEAD);
    assert_eq!(scene.stand.stats()["calls"], 0);
}

#[tokio::test]
async fn topics_may_be_for_collapse_keys_alone() {
    let scene = Scene::new().await;
    let targets = scene.subscribe("browser", 1).await;
    let text = format!("topic = 'collapse'\n{}", section(&scene.base, &scene.private));
    let channel = open(&text, clock()).unwrap();
    let mut message = notification();
    channel.send(&message, &targets).await;
    message.collapse = Some("order:1".to_owned());
    channel.send(&message, &targets).await;
    let topics: Vec<bool> =
        scene.stand.after(0, 9).iter().map(|delivery| delivery.push["headers"]["topic"].is_string()).collect();
    assert_eq!(topics, [false, true]);
}
