//! The credential doctor, and settings that cannot work.

use homing_core::channel::{Credential, Health};

use super::*;

fn with_probe(base: &str, key: &str, probe: &str) -> String {
    // A JSON object and an inline table of TOML differ by their colons.
    let probe: Value = serde_json::from_str(probe).unwrap();
    let (endpoint, keys) = (&probe["endpoint"], &probe["keys"]);
    format!(
        "{}probe = {{ endpoint = {endpoint}, keys = {{ p256dh = {}, auth = {} }} }}\n",
        section(base, key),
        keys["p256dh"],
        keys["auth"]
    )
}

async fn look(channel: &Arc<dyn Channel>) -> Credential {
    let mut all = channel.examine().await;
    assert_eq!(all.len(), 1);
    all.pop().unwrap()
}

#[tokio::test]
async fn a_key_is_tried_where_a_probe_is_named() {
    let scene = Scene::new().await;
    let unknown = look(&scene.channel).await;
    assert_eq!((unknown.health, unknown.account.as_str()), (Health::Unknown, "channel.web_push.account.higo"));
    assert!(unknown.detail.contains(&scene.public) && !unknown.detail.contains(&scene.private), "{unknown:?}");
    assert_eq!(scene.stand.stats()["calls"], 0);

    let target = scene.subscribe("probe", 1).await.pop().unwrap();
    let good = look(&open(&with_probe(&scene.base, &scene.private, &target.token), clock()).unwrap()).await;
    assert_eq!(good.health, Health::Good, "{good:?}");
    let delivery = scene.stand.after(0, 1).pop().unwrap();
    assert_eq!(delivery.push["payload"], json!({ "probe": true, "silent": true }));
    assert_eq!(delivery.push["headers"]["ttl"], 0);

    let (other, _) = generate_vapid();
    let refused = look(&open(&with_probe(&scene.base, &other, &target.token), clock()).unwrap()).await;
    assert_eq!(refused.health, Health::Refused, "{refused:?}");
    scene.script(json!({ "dead_prefix": "probe" }));
    let gone = look(&open(&with_probe(&scene.base, &scene.private, &target.token), clock()).unwrap()).await;
    assert_eq!(gone.health, Health::Unknown);
    assert!(gone.detail.contains("subscribe it again"), "{gone:?}");
}

#[tokio::test]
async fn a_subject_that_nobody_can_reach_is_doubtful() {
    let scene = Scene::new().await;
    let target = scene.subscribe("probe", 1).await.pop().unwrap();
    let text = with_probe(&scene.base, &scene.private, &target.token).replace("ops@example.com", "ops@localhost");
    let found = look(&open(&text, clock()).unwrap()).await;
    assert_eq!(found.health, Health::Doubtful);
    assert!(found.detail.contains("Apple"), "{found:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let (key, public) = generate_vapid();
    let account = format!("[account.a]\napp = 'higo'\nkey = '{key}'\nsubject = 'mailto:ops@example.com'\n");
    let two = account.replace("account.a", "account.b");
    for (text, words) in [
        ("colour = 1".to_owned(), "channel.web_push.colour: unknown field"),
        ("allow = ['http://10.0.0.1:80']".to_owned(), "channel.web_push.allow: \"http://10.0.0.1:80\" is plain HTTP"),
        ("endpoint = { base_url = 'https://x.example' }".to_owned(), "channel.web_push.endpoint.base_url: "),
        ("endpoint = { request_timeout_ms = 0 }".to_owned(), "channel.web_push.endpoint.request_timeout_ms: 0"),
        (account.replace(&key, &public), "channel.web_push.account.a.key: has 65 bytes"),
        (account.replace("mailto:", ""), "channel.web_push.account.a.subject: "),
        (account.replace("'higo'", "''"), "channel.web_push.account.a.app: is empty"),
        (format!("{account}probe = {{ endpoint = 'x', keys = {{ p256dh = '', auth = '' }} }}"), "account.a.probe: "),
        (format!("{account}{two}"), "channel.web_push.account.b: channel.web_push.account.a serves app higo"),
    ] {
        let error = open(&text, clock()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains(&key), "{text}: {error}");
    }
    let both = format!("{account}environment = 'prod'\n{two}environment = 'dev'\n");
    open(&both, clock()).unwrap();
    open("", clock()).unwrap();
}
