//! The simulator against requests of our own.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{rand::SystemRandom, signature};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::*;

/// A JWT of our own making.
fn signed(number: usize, how: &'static dyn signature::RsaEncoding, header: &Value, claims: &Value) -> String {
    let der = PrivatePkcs8KeyDer::from_pem_slice(keys::rsa(number).as_bytes()).unwrap().secret_pkcs8_der().to_vec();
    let key = signature::RsaKeyPair::from_pkcs8(&der).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(how, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn post(url: &str, bearer: &str, push_type: Option<&str>, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut call = client.post(url).bearer_auth(bearer).body(body.to_string());
    if let Some(kind) = push_type {
        call = call.header("push-type", kind);
    }
    let reply = call.send().await.unwrap();
    let status = reply.status().as_u16();
    (status, reply.json().await.unwrap_or_default())
}

#[tokio::test]
async fn v3_checks_the_jwt_and_the_message() {
    let scene = Scene::new().await;
    let url = format!("{}/v3/{PROJECT}/messages:send", scene.base);
    let now = scene.clock.now() / 1_000;
    let header = json!({"alg": "PS256", "typ": "JWT", "kid": "kid0"});
    let aud = "https://oauth-login.cloud.huawei.com/oauth2/v3/token";
    let claims = json!({"iss": "sub0", "aud": aud, "iat": now, "exp": now + 3_600});
    let notification = json!({"category": "MARKETING", "title": "T", "body": "B", "clickAction": {"actionType": 0}});
    let body = json!({"payload": {"notification": notification}, "target": {"token": ["token-1"]}});
    let good = signed(0, &signature::RSA_PSS_SHA256, &header, &claims);
    let (status, answer) = post(&url, &good, Some("0"), &body).await;
    assert_eq!((status, &answer["code"]), (200, &json!("80000000")), "{answer}");
    let pss: &'static dyn signature::RsaEncoding = &signature::RSA_PSS_SHA256;
    let wrong = [
        signed(1, pss, &header, &claims),
        signed(0, &signature::RSA_PKCS1_SHA256, &header, &claims),
        signed(0, pss, &keys::merged(header.clone(), &json!({"alg": "RS256"})), &claims),
        signed(0, pss, &keys::merged(header.clone(), &json!({"kid": "other"})), &claims),
        signed(0, pss, &header, &keys::merged(claims.clone(), &json!({"iss": "other"}))),
        signed(0, pss, &header, &keys::merged(claims.clone(), &json!({"aud": "other"}))),
        signed(0, pss, &header, &keys::merged(claims.clone(), &json!({"exp": now + 4_000}))),
        signed(0, pss, &header, &keys::merged(claims.clone(), &json!({"exp": null}))),
        "a.b.c".to_owned(),
        "an-oauth-token".to_owned(),
    ];
    for bearer in &wrong {
        let (status, answer) = post(&url, bearer, Some("0"), &body).await;
        assert_eq!((status, &answer["code"]), (401, &json!("80200001")), "{answer}");
    }
    let old = keys::merged(claims.clone(), &json!({"iat": now - 3_600, "exp": now - 1}));
    let (_, answer) = post(&url, &signed(0, pss, &header, &old), Some("0"), &body).await;
    assert_eq!(answer["code"], json!("80200005"));
    for (kind, path, value) in [
        (None, "", json!(null)),
        (Some("9"), "", json!(null)),
        (Some("6"), "", json!(null)),
        (Some("0"), "/payload/notification/category", json!("NEWS")),
        (Some("0"), "/payload/notification/title", json!("")),
        (Some("0"), "/payload/notification/clickAction", json!({"actionType": 1})),
    ] {
        let mut body = body.clone();
        if let Some(place) = body.pointer_mut(path).filter(|_| !path.is_empty()) {
            *place = value;
        }
        let (_, answer) = post(&url, &good, kind, &body).await;
        assert_eq!(answer["code"], json!("80100003"), "{kind:?} {path}: {answer}");
    }
    for (tokens, code) in [(json!([]), "80300010"), (json!(vec!["t"; 1_001]), "80300010"), (json!([7]), "80300010")] {
        let body = keys::merged(body.clone(), &json!({"target": {"token": tokens}}));
        assert_eq!(post(&url, &good, Some("0"), &body).await.1["code"], json!(code));
    }
    let long = json!({"payload": {"notification": {"body": "x".repeat(4_096)}}, "target": {"token": ["token-1"]}});
    assert_eq!(post(&url, &good, Some("0"), &long).await.1["code"], json!("80300008"));
    let unknown = format!("{}/v3/7/messages:send", scene.base);
    assert_eq!(post(&unknown, &good, Some("0"), &body).await.0, 404);
    assert_eq!(scene.count("deliveries"), 1);
}

#[tokio::test]
async fn v1_checks_the_token_and_the_message() {
    let scene = Scene::new().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |id: &str, secret: &str| {
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        let reply = client.post(format!("{}/oauth2/v3/token", scene.base)).form(&form).send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap_or_default())
    };
    assert_eq!(ask("7", SECRET).await.0, 400);
    assert_eq!(ask(APP, "wrong").await.1["sub_error"], json!(20_042));
    let (status, lent) = ask(APP, SECRET).await;
    assert_eq!((status, &lent["expires_in"]), (200, &json!(3_600)));
    let bearer = lent["access_token"].as_str().unwrap();
    let url = format!("{}/v1/{APP}/messages:send", scene.base);
    let message = json!({
        "token": ["token-1"], "notification": {"title": "T", "body": "B"},
        "android": {"ttl": "60s", "notification": {"click_action": {"type": 3}}},
    });
    let of = |change: Value| json!({"message": keys::merged(message.clone(), &change)});
    assert_eq!(post(&url, bearer, None, &of(json!({}))).await.1["code"], json!("80000000"));
    for (change, code) in [
        (json!({"colour": 1}), "80100003"),
        (json!({"data": {}}), "80100003"),
        (json!({"android": null}), "80100003"),
        (json!({"android": {"ttl": "60"}}), "80100003"),
        (json!({"android": {"ttl": "1296001s"}}), "80100003"),
        (json!({"android": {"collapse_key": "a"}}), "80100003"),
        (json!({"android": {"urgency": "SOON"}}), "80100003"),
        (json!({"android": {}}), "80100003"),
        (json!({"android": {"notification": {"click_action": {"type": 1}}}}), "80100003"),
        (
            json!({"android": {"notification": {"click_action": {"type": 3}, "notify_id": 4_294_967_296_i64}}}),
            "80100003",
        ),
        (json!({"notification": {"title": "T"}}), "80100003"),
        (json!({"notification": {"title": "T", "body": "x".repeat(4_100)}}), "80300008"),
        (json!({"token": "token-1"}), "80300010"),
        (json!({"token": vec!["t"; 1_001]}), "80300010"),
    ] {
        let (_, answer) = post(&url, bearer, None, &of(change.clone())).await;
        assert_eq!(answer["code"], json!(code), "{change}: {answer}");
    }
    assert_eq!(post(&url, "nobody", None, &of(json!({}))).await.1["code"], json!("80200001"));
    scene.pass(3_600_000);
    assert_eq!(post(&url, bearer, None, &of(json!({}))).await.1["code"], json!("80200003"));
    assert_eq!(scene.count("deliveries"), 1);
}

#[tokio::test]
async fn an_app_may_fetch_a_thousand_tokens_in_five_minutes() {
    let scene = Scene::new().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = [("grant_type", "client_credentials"), ("client_id", APP), ("client_secret", SECRET)];
    let mut seen = std::collections::BTreeMap::<u16, u32>::new();
    for _ in 0..1_010 {
        let reply = client.post(format!("{}/oauth2/v3/token", scene.base)).form(&form).send().await.unwrap();
        *seen.entry(reply.status().as_u16()).or_default() += 1;
    }
    assert_eq!(seen, [(200, 1_000), (503, 10)].into_iter().collect());
}
