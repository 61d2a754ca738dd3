//! Dead tokens: `app_token` is removed if it is still that token, and nothing else is.

use serde_json::{Value, json};

use super::site::Site;
use crate::support::until;

fn token(kind: &str, n: u64) -> String {
    format!("{kind}{n:0>60x}")
}

async fn register(site: &Site, user: &str, token: &str, version: &str) {
    let fields = [("app_token", token), ("app_ident", "com.example.im"), ("app_version", version), ("name", user)];
    let mut set = redis::cmd("HSET");
    set.arg(format!("User:{user}"));
    for (field, value) in fields {
        set.arg(field).arg(value);
    }
    set.exec_async(&mut site.redis().await).await.unwrap();
}

fn to(user: &str, n: u64) -> Value {
    json!([2, user, { "n": n, "push_type": "news" }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_is_removed_only_while_it_is_that_token() {
    let site = Site::start("").await;
    let subscriber = site.subscriber().await;
    let daemons = site.daemons().await;
    register(&site, "dead", &token("dead", 1), "release").await;
    register(&site, "new_phone", &token("dead", 2), "release").await;
    register(&site, "developer", &token("dead", 3), "develop").await;
    register(&site, "well", &token("900d", 1), "release").await;
    let before = [site.user("new_phone").await, site.user("well").await];
    // A connection has one request under way before its first answer: that is this one.
    site.send(&[to("well", 1)]).await;
    site.accepted("prod", 1).await;
    // Apple takes its time over the answers.
    site.script("prod", &json!({ "dead_prefix": "dead", "latency_ms": 3_000 })).await;
    site.script("dev", &json!({ "dead_prefix": "dead" })).await;
    site.send(&[to("dead", 2), to("new_phone", 3), to("developer", 4)]).await;
    until("both pushes are on the way", async || site.stats("prod").await["calls"] == 3).await;
    assert_eq!(site.stats("prod").await["by_code"], json!({ "200": 1 }), "the answers came too soon");
    let mut redis = site.redis().await;
    let new = token("900d", 2);
    redis::cmd("HSET").arg("User:new_phone").arg("app_token").arg(&new).exec_async(&mut redis).await.unwrap();
    let lines = site.settled(4).await;
    assert_eq!(lines["send"]["fates"], json!({ "delivered": 1, "bad_token": 3 }));
    assert_eq!(site.stats("prod").await["by_code"], json!({ "200": 1, "410 Unregistered": 2 }));
    for user in ["dead", "developer"] {
        let left = site.user(user).await;
        assert!(!left.contains_key("app_token"), "{user}: {left:?}");
        assert_eq!(left.keys().collect::<Vec<_>>(), ["app_ident", "app_version", "name"]);
    }
    let [mut changed, well] = before;
    changed.insert("app_token".to_owned(), new.clone());
    assert_eq!([site.user("new_phone").await, site.user("well").await], [changed, well]);

    // From now on they are told where they can be reached.
    site.send(&[to("dead", 5), to("new_phone", 6), to("developer", 7)]).await;
    site.settled(7).await;
    let heard = subscriber.heard(2).await;
    let mut topics: Vec<_> = heard.iter().map(|seen| (seen.topic.as_str(), &seen.data["n"])).collect();
    topics.sort_by_key(|(topic, _)| *topic);
    assert_eq!(topics, [("user/dead", &json!(5)), ("user/developer", &json!(7))]);
    let pushes = site.accepted("prod", 2).await;
    assert_eq!((&pushes[1].0, &pushes[1].1["payload"]["data"]["n"]), (&new, &json!(6)));
    assert!(site.deliveries("dev").await.is_empty());
    println!("dead tokens 3: removed 2, kept 1 that was another one by then; of the living 0 removed");
    for daemon in daemons {
        assert!(daemon.stop().await.success());
    }
}
