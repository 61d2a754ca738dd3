//! One message, one attention: a device with tokens of two providers is told once, by the other one where the first does
//! not serve it.

use serde_json::json;

use super::town::{Row, Town};
use crate::support::until;

const ROUTES: &str = "[sender]\npause = '1s'\n[channel.fcm]\nramp_ms = 0\n\
    [[route]]\napp = 'higo'\nchannel = 'fcm'\nfallback = ['xinge']\n\
    [[route]]\napp = 'higirl'\nchannel = 'fcm'\n";

fn by_xinge(user: u64) -> String {
    format!("{user:0>40x}")
}

/// Users whose device has a token of both providers; that of FCM begins with `fcm`.
fn both<'a>(users: std::ops::Range<u64>, fcm: &str, app: &'a str) -> Vec<Row<'a>> {
    let rows = users.flat_map(|user| {
        let of_fcm = (user, "phone", "fcm", format!("{fcm}-{user}"), app, "prod");
        [(user, "phone", "xinge", by_xinge(user), app, "prod"), of_fcm]
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_two_tokens_is_told_once() {
    let town = Town::start(&["xinge", "fcm"], ROUTES).await;
    town.register(&both(1..201, "live", "higo"), "android");
    town.register(&both(201..301, "dead", "higo"), "android");
    // A second device of somebody, with a token of Xinge alone.
    town.register(&[(1, "tablet", "xinge", by_xinge(9_001), "higo", "prod")], "android");
    town.faults("fcm", json!({ "dead_prefix": "dead" })).await;
    let (_distributor, sender) = (town.daemon("distributor").await, town.daemon("sender").await);
    town.push("a", "DEFAULT", 1..301).await;
    let ledger = town.settled(0).await;
    let (fcm, xinge) = (town.arrived("fcm", "").await, town.arrived("xinge", "").await);
    let id = |user: u64| format!("a-{user}");
    let told = |user: u64| (fcm.get(&(id(user), format!("live-{user}"))), xinge.get(&(id(user), by_xinge(user))));
    assert!((1..201).all(|user| told(user) == (Some(&1), None)), "by the first");
    assert!((201..301).all(|user| told(user) == (None, Some(&1))), "by the second where the first token is dead");
    assert_eq!(xinge.get(&(id(1), by_xinge(9_001))), Some(&1), "each device by its own way");
    assert_eq!((fcm.len(), xinge.len()), (200, 101));
    let fates = &ledger["lanes"]["town"]["send"]["fates"];
    assert_eq!((&fates["delivered"], &fates["bad_token"]), (&json!(301), &json!(100)), "{fates}");
    let gone = town.sql("SELECT COUNT(*), SUM(token LIKE 'dead-%') FROM devices WHERE gone = 1;");
    let gone: Vec<&str> = gone.split_whitespace().collect();
    assert_eq!(gone, ["100", "100"], "dead tokens are removed, live ones never: {}", sender.log());

    let (code, trace) = town.homing(&["trace", "a-250"]);
    println!("{trace}");
    assert_eq!(code, 0);
    for word in ["queued", "bad_token", "UNREGISTERED", "by its next way", "delivered"] {
        assert!(trace.contains(word), "{word}: {trace}");
    }

    // Without that token the other one comes at once.
    town.push("b", "DEFAULT", 201..301).await;
    let ledger = town.settled(0).await;
    assert_eq!(ledger["lanes"]["town"]["send"]["fates"]["bad_token"], 100);
    assert_eq!(town.arrived("xinge", "b-").await.len(), 100);
    let (_, text) = town.homing(&["explain", "--user", "7"]);
    println!("{text}");
    assert!(text.contains("route[0]: fcm as [channel.fcm.account.higo], else xinge"), "{text}");
    let (_, text) = town.homing(&["explain", "--user", "250"]);
    assert!(text.contains("route[0]: xinge as [account.android_higo]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_send_on_or_park() {
    let town = Town::start(&["xinge", "fcm"], ROUTES).await;
    town.register(&both(1..201, "live", "higo"), "android");
    town.register(&both(201..301, "live", "higirl"), "android");
    town.credentials("higo", false);
    town.credentials("higirl", false);
    let _distributor = town.daemon("distributor").await;
    let sender = town.daemon("sender").await;
    town.push("a", "DEFAULT", 1..301).await;
    // Those without another way wait for their app.
    let ledger = town.settled(100).await;
    let fates = &ledger["lanes"]["town"]["send"]["fates"];
    assert_eq!((&fates["rerouted"], &fates["delivered"]), (&json!(200), &json!(200)), "{fates}");
    let xinge = town.arrived("xinge", "a-").await;
    assert_eq!((xinge.len(), xinge.values().sum::<u64>()), (200, 200), "each by the second, once");
    assert!((1..201).all(|user| xinge.contains_key(&(format!("a-{user}"), by_xinge(user)))));
    assert_eq!(town.stats("fcm").await["deliveries"], 0);
    assert_eq!(town.sql("SELECT COUNT(*) FROM devices WHERE gone = 1;").trim(), "0", "no token is blamed");

    let (_, trace) = town.homing(&["trace", "a-7"]);
    println!("{trace}");
    for word in ["queued", "rerouted", "by its next way", "delivered"] {
        assert!(trace.contains(word), "{word}: {trace}");
    }
    let (_, trace) = town.homing(&["trace", "a-250"]);
    println!("{trace}");
    assert!(trace.contains("waits until its app is served again") && !trace.contains("delivered"), "{trace}");
    let (_, text) = town.homing(&["explain", "--user", "250"]);
    assert!(text.contains("route[1]: fcm as [channel.fcm.account.higirl]"), "{text}");

    // Repaired: what waited goes out by the way that it was meant for.
    town.credentials("higo", true);
    town.credentials("higirl", true);
    assert!(sender.stop().await.success());
    let _sender = town.daemon("sender").await;
    town.settled(0).await;
    let fcm = town.arrived("fcm", "a-").await;
    assert_eq!((fcm.len(), fcm.values().sum::<u64>()), (100, 100));
    assert!((201..301).all(|user| fcm.contains_key(&(format!("a-{user}"), format!("live-{user}")))));
    until("the app is served again", async || {
        town.push("b", "DEFAULT", [1]).await;
        town.settled(0).await;
        town.got("fcm", "live-1", "b-1").await == 1
    })
    .await;
}
