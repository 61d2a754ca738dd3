//! The simulator by requests of our own: it refuses what Apple refuses.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_channels::simulator::apns::{Account, Config};
use homing_core::notification::Environment;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};

use super::bench::*;

fn jwt(pem: &str, head: &Value, claims: &Value) -> String {
    let rng = SystemRandom::new();
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &rng).unwrap();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(&rng, signed.as_bytes()).unwrap());
    format!("bearer {signed}.{signature}")
}

fn proof(bench: &Bench) -> String {
    jwt(&bench.key, &json!({ "alg": "ES256", "kid": "KEY1234567" }), &json!({ "iss": "TEAM123456", "iat": NOW / 1000 }))
}

fn client(bench: &Bench) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(bench.simulator.authority.pem().as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().http2_prior_knowledge().tls_certs_merge([ca]).build().unwrap()
}

struct Ask {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Ask {
    fn good(proof: &str) -> Self {
        let headers = [("authorization", proof), ("apns-topic", "com.higo"), ("apns-push-type", "alert")];
        Self {
            path: format!("/3/device/{}", token("ab", 1)),
            headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
            body: json!({ "aps": { "alert": "hello" } }).to_string(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    async fn send(self, client: &reqwest::Client, base: &str) -> String {
        let mut request = client.post(format!("{base}{}", self.path)).body(self.body);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        format!("{status} {}", body["reason"].as_str().unwrap_or_default()).trim_end().to_owned()
    }
}

#[tokio::test]
async fn requests_are_checked_as_apple_checks_them() {
    let bench = bench().await;
    let (client, base, proof) = (client(&bench), bench.simulator.base_url(), proof(&bench));
    let good = || Ask::good(&proof);
    let path = |path: &str| Ask { path: path.to_owned(), ..good() };
    let body = |body: String| Ask { body, ..good() };
    let device = format!("/3/device/{}", token("ab", 1));
    let table = [
        (good(), "200"),
        (good().with("apns-id", "b5e4a6e0-0000-4000-8000-000000000001"), "200"),
        (good().with("apns-push-type", "background").with("apns-priority", "5"), "200"),
        (good().with("apns-collapse-id", &"k".repeat(64)), "200"),
        (good().without("apns-topic"), "400 MissingTopic"),
        (good().with("apns-topic", "com.other"), "400 TopicDisallowed"),
        (good().with("apns-push-type", "loud"), "400 InvalidPushType"),
        (good().with("apns-push-type", "background"), "400 BadPriority"),
        (good().with("apns-priority", "7"), "400 BadPriority"),
        (good().with("apns-expiration", "tomorrow"), "400 BadExpirationDate"),
        (good().with("apns-collapse-id", &"k".repeat(65)), "400 BadCollapseId"),
        (good().with("apns-id", "7"), "400 BadMessageId"),
        (path("/3/device/"), "400 MissingDeviceToken"),
        (path("/3/device/zz"), "400 BadDeviceToken"),
        (path(&format!("/3/device/{}", "0".repeat(64))), "400 BadDeviceToken"),
        (path("/2/device/ab"), "404 BadPath"),
        (body(String::new()), "400 PayloadEmpty"),
        (body("{}".to_owned()), "400 PayloadEmpty"),
        (body(json!({ "aps": {}, "x": "y".repeat(4_100) }).to_string()), "413 PayloadTooLarge"),
        (good().without("authorization"), "403 MissingProviderToken"),
        (good().with("authorization", "bearer x.y.z"), "403 InvalidProviderToken"),
    ];
    let rows = table.len();
    for (ask, expected) in table {
        assert_eq!(ask.send(&client, &base).await, expected);
    }
    let twice = client.post(format!("{base}{device}")).header("authorization", &proof);
    let twice =
        twice.header("apns-topic", "com.higo").header("apns-topic", "com.higo").body("{}").send().await.unwrap();
    assert!(twice.text().await.unwrap().contains("DuplicateHeaders"));
    let got = client.get(format!("{base}{device}")).send().await.unwrap();
    assert_eq!(got.status(), 405);
    assert_eq!((rows, bench.simulator.reached().len()), (21, 1));
    assert_eq!(bench.simulator.count("deliveries"), 4);
}

#[tokio::test]
async fn provider_tokens_are_verified() {
    let bench = bench().await;
    let (client, base) = (client(&bench), bench.simulator.base_url());
    let (head, now) = (json!({ "alg": "ES256", "kid": "KEY1234567" }), NOW / 1000);
    let claims = |iat: i64| json!({ "iss": "TEAM123456", "iat": iat });
    let other = json!({ "alg": "ES256", "kid": "KEY0000000" });
    let table = [
        (jwt(&p8(), &head, &claims(now)), "403 InvalidProviderToken"),
        (jwt(&bench.key, &other, &claims(now)), "403 InvalidProviderToken"),
        (jwt(&bench.key, &json!({ "alg": "none", "kid": "KEY1234567" }), &claims(now)), "403 InvalidProviderToken"),
        (jwt(&bench.key, &head, &json!({ "iss": "TEAM000000", "iat": now })), "403 InvalidProviderToken"),
        (jwt(&bench.key, &head, &json!({ "iss": "TEAM123456" })), "403 InvalidProviderToken"),
        (jwt(&bench.key, &head, &claims(now + 120)), "403 InvalidProviderToken"),
        (jwt(&bench.key, &head, &claims(now - 3_601)), "403 ExpiredProviderToken"),
        (jwt(&bench.key, &head, &claims(now - 3_599)), "200"),
        (jwt(&bench.key, &head, &claims(now - 60)), "429 TooManyProviderTokenUpdates"),
    ];
    for (proof, expected) in table {
        assert_eq!(Ask::good(&proof).send(&client, &base).await, expected);
    }
    bench.clock.set(NOW + 20 * MIN);
    let later = jwt(&bench.key, &head, &claims(now));
    assert_eq!(Ask::good(&later).send(&client, &base).await, "200", "20 minutes later");
}

#[tokio::test]
async fn keys_of_one_environment_are_refused_on_the_other() {
    setup();
    let key = p8();
    let account = Account { environments: vec![Environment::Development], ..key_of(&key) };
    let config = Config::new(Environment::Production, vec![account], Hand::at(NOW)).unwrap();
    let simulator = Running::start(config).await;
    let folder = tempfile::TempDir::new().unwrap();
    let bench = Bench { simulator, clock: Hand::at(NOW), key, folder };
    let (client, base) = (client(&bench), bench.simulator.base_url());
    assert_eq!(Ask::good(&proof(&bench)).send(&client, &base).await, "403 BadEnvironmentKeyIdInToken");
}

#[tokio::test]
async fn a_new_connection_takes_one_request_until_it_knows_who_calls() {
    let bench = bench().await;
    let (client, base, proof) = (client(&bench), bench.simulator.base_url(), proof(&bench));
    bench.simulator.script(json!({ "latency_ms": 500 }));
    let ask = |number: usize| {
        let url = format!("{base}/3/device/{}", token("ab", number));
        let request = client.post(url).header("authorization", &proof).header("apns-topic", "com.higo");
        request.body(r#"{"aps":{}}"#).send()
    };
    let answers = futures_util::future::join_all((0..10).map(ask)).await;
    let good = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200)).count();
    assert!(good >= 1 && bench.simulator.count("early_streams") >= 1, "{good} were accepted");
    bench.simulator.script(json!({}));
    assert!(ask(11).await.unwrap().status().is_success(), "and then it is known");
}

#[tokio::test]
async fn the_stand_answers_on_the_same_port_and_on_a_plain_one() {
    setup();
    let (key, folder) = (p8(), tempfile::TempDir::new().unwrap());
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_url = format!("http://{}", plain.local_addr().unwrap());
    let mut config = Config::new(Environment::Production, vec![key_of(&key)], Hand::at(NOW)).unwrap();
    config.plain = Some(plain);
    let bench = Bench { simulator: Running::start(config).await, clock: Hand::at(NOW), key, folder };
    let (client, base) = (client(&bench), bench.simulator.base_url());
    let script = json!({ "dead_prefix": "dead", "own": { "goaway_every": 7 } }).to_string();
    let by_http1 = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = by_http1.post(format!("{plain_url}/_sim/script")).body(script).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let dead = Ask { path: format!("/3/device/{}", token("dead", 1)), ..Ask::good(&proof(&bench)) };
    assert_eq!(dead.send(&client, &base).await, "410 Unregistered");
    for (client, base) in [(&client, &base), (&by_http1, &plain_url)] {
        let stats: Value =
            serde_json::from_str(&client.get(format!("{base}/_sim/stats")).send().await.unwrap().text().await.unwrap())
                .unwrap();
        assert_eq!(stats["by_code"], json!({ "410 Unregistered": 1 }));
    }
    bench.simulator.stop().await;
}

#[test]
fn accounts_follow_from_the_channels_section() {
    let section = table(json!({ "account": {
        "a": { "app": "higo", "topic": "com.higo", "key": p8(), "key_id": "K1", "team_id": "T1" },
        "b": { "app": "higo", "environment": "dev", "topic": "com.higo", "certificate": "PEM" },
    } }));
    let accounts = Account::of_section(&section).unwrap();
    assert_eq!(accounts.len(), 2);
    assert_eq!(accounts[1].environments, [Environment::Development]);
    assert!(!format!("{accounts:?}").contains("PRIVATE"));
    let bare = table(json!({ "account": { "a": { "topic": "com.higo" } } }));
    assert!(Account::of_section(&bare).unwrap_err().contains("channel.apns.account.a.key_id"));
}
