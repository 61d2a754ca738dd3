//! The push service refuses what a real one would: requests of our own, without the channel.

use super::*;

#[tokio::test]
async fn a_request_that_no_push_service_takes_is_refused() {
    let scene = Scene::new().await;
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    let endpoint = serde_json::from_str::<Value>(&target.token).unwrap()["endpoint"].as_str().unwrap().to_owned();
    assert!(is_delivered(&scene.send_one(&target).await));
    let client = client();
    // A header that the channel signed for this service.
    let authorization = recorded(&scene).await;
    let post = |headers: Vec<(&'static str, String)>, body: Vec<u8>| {
        let mut request = client.post(&endpoint).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let good = |change: (&'static str, &str)| -> Vec<(&'static str, String)> {
        let all = [
            ("authorization", authorization.as_str()),
            ("ttl", "60"),
            ("urgency", "high"),
            ("topic", "abc_-1"),
            ("content-encoding", "aes128gcm"),
        ];
        let changed = all.into_iter().map(|(name, value)| if name == change.0 { change } else { (name, value) });
        changed.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.to_owned())).collect()
    };
    for (change, expected) in [
        (("authorization", ""), 401),
        (("authorization", "WebPush abc"), 401),
        (("authorization", "vapid t=a.b.c, k=d"), 401),
        (("ttl", ""), 400),
        (("ttl", "soon"), 400),
        (("ttl", "-1"), 400),
        (("urgency", "extreme"), 400),
        (("topic", "abcdefghijklmnopqrstuvwxyz0123456"), 400),
        (("topic", "a+b"), 400),
        (("content-encoding", "aesgcm"), 400),
        (("content-encoding", ""), 400),
    ] {
        assert_eq!(post(good(change), vec![0; 200]).await, expected, "{change:?}");
    }
    // Its signature, broken in the middle.
    let broken = authorization.replacen(", k=", "A, k=", 1);
    assert_eq!(post(good(("authorization", &broken)), vec![0; 200]).await, 401);
    assert_eq!(post(good(("", "")), vec![0; 4_097]).await, 413);
    // A push service cannot see that this is noise; the browser drops it.
    assert_eq!(post(good(("", "")), vec![0; 200]).await, 201);
    let stats = scene.stand.stats();
    assert_eq!((&stats["undecryptable"], &stats["deliveries"]), (&json!(1), &json!(1)));
    assert_eq!(client.post(format!("{}/push/nobody", scene.base)).send().await.unwrap().status(), 404);
}

/// The header of the scene's account for the scene's service, as a proxy would see it.
async fn recorded(scene: &Scene) -> String {
    let (tx, mut rx) = tokio::sync::mpsc::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(move |headers: axum::http::HeaderMap| {
        let tx = tx.clone();
        async move {
            tx.send(headers["authorization"].to_str().unwrap().to_owned()).await.unwrap();
        }
    });
    tokio::spawn(serve(listener, app, std::future::pending()));
    // The name in `aud` is the one of the origin that the channel calls: sign for the scene, through its own address.
    let target = scene.subscribe("good", 1).await.pop().unwrap();
    let moved = Target::new("1", target.token.replace(&scene.base, &base));
    scene.again_at(&base).send(&notification(), &[moved]).await;
    let other = rx.recv().await.unwrap();
    // Signed for another origin it is refused, which is a check of its own.
    let endpoint = serde_json::from_str::<Value>(&target.token).unwrap()["endpoint"].as_str().unwrap().to_owned();
    let reply = client().post(endpoint).header("authorization", other).body("x").send().await.unwrap();
    assert_eq!(reply.status(), 401);
    assert!(reply.text().await.unwrap().contains("aud is"));
    signed_for(scene)
}

/// A header made by hand, with nothing of the channel's.
fn signed_for(scene: &Scene) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
    };
    let (private, public) = (BASE64.decode(&scene.private).unwrap(), BASE64.decode(&scene.public).unwrap());
    let rng = SystemRandom::new();
    let key = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &public, &rng)
        .unwrap();
    let exp = SystemClock::default().now() / 1000 + 3_600;
    let claims = json!({ "aud": scene.base, "exp": exp, "sub": "https://example.com" });
    let signed = format!(
        "{}.{}",
        BASE64.encode(json!({ "typ": "JWT", "alg": "ES256" }).to_string()),
        BASE64.encode(claims.to_string())
    );
    let signature = BASE64.encode(key.sign(&rng, signed.as_bytes()).unwrap());
    format!("vapid t={signed}.{signature}, k={}", scene.public)
}
