//! Every answer of a push service, and what it means.

use super::*;

#[tokio::test]
async fn every_status_has_its_outcome() {
    let scene = Scene::new().await;
    let delivered = Outcome::Delivered { provider_id: None };
    let after = |seconds: i64| Some(seconds * 1000);
    for (status, retry_after, expected) in [
        (200, None, delivered.clone()),
        (201, None, delivered.clone()),
        (202, None, delivered.clone()),
        (204, None, delivered),
        (301, None, Outcome::Unknown),
        (307, None, Outcome::Unknown),
        (400, None, Outcome::Payload),
        (404, None, Outcome::DEAD),
        (405, None, Outcome::Unknown),
        (410, None, Outcome::DEAD),
        (413, None, Outcome::Payload),
        (418, None, Outcome::Unknown),
        (429, None, only_this(None)),
        (429, Some(7), only_this(after(7))),
        (500, None, RETRY),
        (502, None, RETRY),
        (503, Some(30), Outcome::Retry { after: after(30) }),
        (507, None, RETRY),
    ] {
        let target = scene.subscribe("browser", 1).await.pop().unwrap();
        scene.script(json!({ "http_status": status, "retry_after": retry_after, "call": "/push" }));
        let answer = scene.send_one(&target).await;
        assert_eq!(answer.outcome, expected, "{status}: {answer:?}");
        assert!(answer.detail.contains(&status.to_string()), "{answer:?}");
        scene.script(json!({}));
    }
    assert_eq!(scene.stand.stats()["deliveries"], 0);
}

#[tokio::test]
async fn the_states_of_subscriptions_have_theirs() {
    let scene = Scene::new().await;
    scene.script(json!({ "dead_prefix": "dead", "foreign_prefix": "other", "throttled_prefix": "slow",
        "retry_after": 3, "codes": {"odd-5": "404"} }));
    let mut targets = Vec::new();
    for name in ["good", "dead", "other", "slow", "odd"] {
        targets.append(&mut scene.subscribe(name, 1).await);
    }
    let first = scene.send_one(&targets[0]).await;
    assert!(is_delivered(&first), "{first:?}");
    let mut outcomes: Vec<Outcome> =
        scene.send(&notification(), &targets[1..]).await.into_iter().map(|answer| answer.outcome).collect();
    outcomes.push(scene.send_one(&targets[3]).await.outcome);
    let again = outcomes.pop().unwrap();
    assert!(matches!(again, Outcome::Delivered { .. }), "the second try passes: {again:?}");
    assert_eq!(outcomes, [Outcome::DEAD, Outcome::NoDevice, only_this(Some(3_000)), Outcome::DEAD]);

    let url = serde_json::from_str::<Value>(&targets[0].token).unwrap()["endpoint"].as_str().unwrap().to_owned();
    assert_eq!(client().delete(url).send().await.unwrap().status(), 204);
    let gone = scene.send_one(&targets[0]).await;
    assert_eq!(gone.outcome, Outcome::DEAD, "the permission was withdrawn: {gone:?}");
    assert!(!gone.detail.contains("good-1"), "the endpoint stays out of the records: {gone:?}");
}

/// One user can subscribe with a key of their own: that message ends, the app goes on.
#[tokio::test]
async fn a_subscription_of_another_key_does_not_stop_the_others() {
    let scene = Scene::new().await;
    let (_, other) = generate_vapid();
    let foreign = scene.subscribe_with(json!({ "count": 1, "applicationServerKey": other })).await.pop().unwrap();
    let good = scene.subscribe("good", 1).await.pop().unwrap();
    let early = scene.send_one(&foreign).await;
    assert_eq!(early.outcome, only_this(Some(5_000)), "too early to say whose fault it is: {early:?}");
    assert!(is_delivered(&scene.send_one(&good).await));
    let later = scene.send_one(&foreign).await;
    assert_eq!(later.outcome, Outcome::NoDevice, "{later:?}");
    assert!(is_delivered(&scene.send_one(&good).await));
}

#[tokio::test]
async fn a_wrong_key_is_a_matter_of_configuration() {
    let scene = Scene::new().await;
    let targets = scene.subscribe("good", 10).await;
    let channel = scene.again(&generate_vapid().0, clock());
    let answers = channel.send(&notification(), &targets).await;
    let configs = answers.iter().filter(|answer| answer.outcome == Outcome::Config).count();
    let waiting = answers.iter().filter(|answer| answer.outcome == only_this(Some(5_000))).count();
    assert_eq!((configs, waiting), (2, 8), "every fifth: {answers:?}");
    assert_eq!(scene.stand.stats()["deliveries"], 0);
}

#[tokio::test]
async fn a_clock_that_is_off_shows_as_a_refused_key() {
    let scene = Scene::new().await;
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    for (hours, words) in [(24, "exp is more than 24 hours away"), (-13, "exp is over")] {
        let wrong: Arc<dyn Clock> = Arc::new(SystemClock::with_offset(hours * 3_600_000));
        let mut message = notification();
        message.expires_at += 200 * 3_600_000;
        let answers = scene.again(&scene.private, wrong).send(&message, std::slice::from_ref(&target)).await;
        assert_eq!(answers[0].outcome, only_this(Some(5_000)));
        assert!(answers[0].detail.contains(words), "{answers:?}");
    }
    for hours in [-11, 11] {
        let wrong: Arc<dyn Clock> = Arc::new(SystemClock::with_offset(hours * 3_600_000));
        let answers = scene.again(&scene.private, wrong).send(&notification(), std::slice::from_ref(&target)).await;
        assert!(is_delivered(&answers[0]), "half a day is taken: {answers:?}");
    }
}

#[tokio::test]
async fn a_cut_connection_leaves_the_fate_open_and_none_at_all_does_not() {
    let scene = Scene::new().await;
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    for cut in ["drop_before", "drop_after"] {
        scene.script(json!({ cut: 1.0 }));
        let answer = scene.send_one(&target).await;
        assert_eq!(answer.outcome, Outcome::Ambiguous, "{cut}: {answer:?}");
    }
    assert_eq!(scene.stand.stats()["deliveries"], 1, "the second was taken");
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    let channel = scene.again_at(&nobody);
    let moved = Target::new("1", target.token.replace(&scene.base, &nobody));
    let answers = channel.send(&notification(), &[moved]).await;
    assert_eq!(answers[0].outcome, RETRY, "{answers:?}");
}

#[tokio::test]
async fn no_answer_in_time_leaves_the_fate_open() {
    let scene = Scene::new().await;
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    scene.script(json!({ "latency_ms": 5_000 }));
    let text = format!("endpoint = {{ request_timeout_ms = 100 }}\n{}", section(&scene.base, &scene.private));
    let answers = open(&text, clock()).unwrap().send(&notification(), &[target]).await;
    assert_eq!(answers[0].outcome, Outcome::Ambiguous, "{answers:?}");
}

#[tokio::test]
async fn an_endless_reply_is_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(|request: axum::extract::Request| async move {
        let status = if request.uri().path().ends_with("gone") { 410 } else { 201 };
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 8 * 1024]));
        (axum::http::StatusCode::from_u16(status).unwrap(), axum::body::Body::from_stream(chunks))
    });
    tokio::spawn(serve(listener, app, std::future::pending()));
    let scene = Scene::new().await;
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    let channel = scene.again_at(&base);
    let moved = |path: &str| Target::new("1", target.token.replace(&format!("{}/push/good-1", scene.base), path));
    let answers = channel.send(&notification(), &[moved(&format!("{base}/x")), moved(&format!("{base}/gone"))]).await;
    assert_eq!(answers[0].outcome, Outcome::Ambiguous, "{answers:?}");
    assert_eq!(answers[1].outcome, Outcome::DEAD, "the status says enough: {answers:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_answered_without_a_call() {
    let scene = Scene::new().await;
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    let mut long = notification();
    long.body = "x".repeat(3_000);
    let answer = scene.send(&long, std::slice::from_ref(&target)).await.pop().unwrap();
    assert_eq!(answer.outcome, Outcome::Payload);
    assert!(answer.detail.contains("more than 3072"), "{answer:?}");

    let mut other = notification();
    other.app = "higirl".to_owned();
    let answer = scene.send(&other, std::slice::from_ref(&target)).await.pop().unwrap();
    let config = Answer::new(Outcome::Config, "no account for app higirl, web, prod");
    assert_eq!(answer, config);

    for token in ["", "abc", "{}", &target.token.replace("auth\":\"", "auth\":\"!")] {
        let answer = scene.send_one(&Target::new("1", token)).await;
        assert_eq!(answer.outcome, Outcome::DEAD, "{token}: {answer:?}");
    }
    let elsewhere = target.token.replace(&scene.base, "https://push.example.org");
    assert_eq!(scene.send_one(&Target::new("1", elsewhere)).await.outcome, Outcome::NoDevice);
    let home = target.token.replace(&scene.base, "https://10.0.0.1");
    assert_eq!(scene.send_one(&Target::new("1", home)).await.outcome, Outcome::NoDevice);
    assert_eq!(scene.stand.stats()["calls"], 0);
}
