//! The simulator against requests of our own: what it refuses, and in which shape.

use super::*;

async fn token(scene: &Scene) -> String {
    // The channel asks for it; here it is only needed to get past the door.
    assert_delivered(&send(&scene.channel(), "token-1").await);
    let crc = |text: &str| format!("{:08x}", crc32fast::hash(text.as_bytes()));
    let number = scene.count("tokens_lent");
    format!("ya29.simulated-{number}-{}", crc(&format!("{PROJECT}{number}")))
}

async fn post(url: &str, bearer: &str, body: String) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = client.post(url).bearer_auth(bearer).body(body).send().await.unwrap();
    let status = reply.status().as_u16();
    (status, reply.json().await.unwrap_or_default())
}

#[tokio::test]
async fn messages_are_checked_as_google_does() {
    let scene = Scene::new().await;
    let bearer = token(&scene).await;
    let url = format!("{}/v1/projects/{PROJECT}/messages:send", scene.base);
    let with = |more: Value| keys::merged(json!({"token": "token-1"}), &more);
    let table = [
        (with(json!({"data": {"n": 12}})), "message.data[0].value"),
        (with(json!({"data": {"from": "7"}})), "message.data"),
        (with(json!({"data": {"gcm.x": "7"}})), "message.data"),
        (with(json!({"data": {"message_type": "7"}})), "message.data"),
        (with(json!({"topic": "news"})), "message"),
        (json!({"data": {}}), "message"),
        (with(json!({"colour": "red"})), "message"),
        (with(json!({"android": {"ttl": 3_600}})), "message.android.ttl"),
        (with(json!({"android": {"ttl": "3600"}})), "message.android.ttl"),
        (with(json!({"android": {"ttl": "2419201s"}})), "message.android.ttl"),
        (with(json!({"android": {"priority": "urgent"}})), "message.android.priority"),
        (with(json!({"android": {"notification": {"tag": 7}}})), "message.android.notification.tag"),
        (with(json!({"apns": {"headers": {"apns-priority": 10}}})), "message.apns.headers.apns-priority"),
        (with(json!({"notification": {"body": "x".repeat(4_097)}})), "message"),
    ];
    for (message, field) in table {
        let (status, body) = post(&url, &bearer, json!({"message": message}).to_string()).await;
        assert_eq!((status, &body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{message}: {body}");
        let details = body["error"]["details"].as_array().unwrap();
        let violation = details.iter().find(|detail| detail["@type"] == "type.googleapis.com/google.rpc.BadRequest");
        assert_eq!(violation.unwrap()["fieldViolations"][0]["field"], json!(field), "{message}: {body}");
    }
    for body in ["", "{", "[]", "7", "{\"message\":7}", "{\"message\":{},\"validate_only\":1}"] {
        let (status, answer) = post(&url, &bearer, body.to_owned()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(400)), "{body}: {answer}");
    }
    let (status, body) = post(&url, &bearer, json!({"message": {"token": "a b"}}).to_string()).await;
    assert_eq!(
        (status, body["error"]["message"].as_str().unwrap()),
        (400, "The registration token is not a valid FCM registration token")
    );
    let (status, body) = post(&url, "nobody", json!({"message": {"token": "token-1"}}).to_string()).await;
    assert_eq!((status, &body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let other = format!("{}/v1/projects/unknown/messages:send", scene.base);
    let (status, body) = post(&other, &bearer, json!({"message": {"token": "token-1"}}).to_string()).await;
    assert_eq!((status, &body["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert_eq!(scene.count("deliveries"), 1, "only the channel's own");
}

#[tokio::test]
async fn assertions_are_checked() {
    let scene = Scene::new().await;
    let url = format!("{}/token", scene.base);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let now = scene.clock.now() / 1_000;
    let claims = json!({
        "iss": format!("homing@{PROJECT}.iam.gserviceaccount.com"), "aud": "https://oauth2.googleapis.com/token",
        "scope": "https://www.googleapis.com/auth/firebase.messaging", "iat": now, "exp": now + 3_600,
    });
    let ask = async |key: usize, alg: &str, change: Value| {
        let assertion = signed(&keys::rsa(key), alg, &keys::merged(claims.clone(), &change));
        let form = [("grant_type", grant), ("assertion", &assertion)];
        let reply = client.post(&url).form(&form).send().await.unwrap();
        let status = reply.status().as_u16();
        (status, reply.json::<Value>().await.unwrap())
    };
    let (status, body) = ask(0, "RS256", json!({})).await;
    assert_eq!((status, &body["token_type"], &body["expires_in"]), (200, &json!("Bearer"), &json!(3_599)), "{body}");
    for (key, alg, change) in [
        (1, "RS256", json!({})),
        (0, "HS256", json!({})),
        (0, "RS256", json!({"iss": "somebody@else"})),
        (0, "RS256", json!({"aud": "https://elsewhere/"})),
        (0, "RS256", json!({"scope": "https://www.googleapis.com/auth/drive"})),
        (0, "RS256", json!({"exp": now + 3_601})),
        (0, "RS256", json!({"iat": now - 7_200, "exp": now - 3_600})),
        (0, "RS256", json!({"iat": now + 3_600, "exp": now + 7_200})),
        (0, "RS256", json!({"iat": null})),
    ] {
        let (status, body) = ask(key, alg, change.clone()).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "{key} {alg} {change}: {body}");
    }
    assert_eq!((scene.count("tokens_lent"), scene.count("assertions_refused")), (1, 9));
    for form in [vec![("grant_type", "password")], vec![], vec![("grant_type", grant), ("assertion", "a.b.c")]] {
        let reply = client.post(&url).form(&form).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), 400);
    }
}

/// A JWT of our own making.
fn signed(pem: &str, alg: &str, claims: &Value) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = ring::signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"alg": alg, "typ": "JWT"})), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let rng = ring::rand::SystemRandom::new();
    key.sign(&ring::signature::RSA_PKCS1_SHA256, &rng, text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
