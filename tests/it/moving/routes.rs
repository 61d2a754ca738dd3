//! Four channels in one lane: the first route that matches decides.

use std::collections::BTreeMap;

use super::town::{Row, Town};

const ROUTES: &str = "[channel.fcm]\nramp_ms = 0\n\
    [[route]]\ntype = ['NEW_ORDER', 'GOODS_SENT']\nplatform = 'android'\napp = 'higo'\nenv = 'prod'\nchannel = 'hms'\n\
    [[route]]\nenv = 'dev'\nchannel = 'xiaomi'\n\
    [[route]]\ntype = 'NEW_ORDER'\nchannel = 'xinge'\n\
    [[route]]\napp = 'higirl'\nchannel = 'fcm'\nfallback = ['hms']\n\
    [[route]]\nplatform = 'ios'\nchannel = 'hms'\n";

const CHANNELS: [&str; 4] = ["fcm", "hms", "xiaomi", "xinge"];

/// A token for a user; Xinge's have forty characters.
fn token(user: u64) -> String {
    format!("{user:0>40x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_route_that_matches_decides() {
    let town = Town::start(&CHANNELS, ROUTES).await;
    let rows: [Row<'_>; 9] = [
        // Tokens that any channel may use.
        (1, "phone", "", token(1), "higo", "prod"),
        (2, "phone", "", token(2), "higo", "dev"),
        (3, "phone", "", token(3), "higirl", "prod"),
        // One that names its channel where no route is for it, and one where a route is.
        (4, "phone", "fcm", token(4), "higo", "prod"),
        (5, "phone", "hms", token(5), "higirl", "prod"),
        (6, "phone", "xiaomi", token(6), "higirl", "prod"),
        // Two devices of one user.
        (7, "phone", "", token(7), "higirl", "prod"),
        (7, "tablet", "xinge", token(71), "higo", "prod"),
        // Another channel by its row.
        (8, "phone", "xinge", token(8), "higo", "prod"),
    ];
    town.register(&rows, "android");
    town.register(&[(9, "iphone", "", token(9), "higo", "prod")], "ios");
    let _daemons = [town.daemon("distributor").await, town.daemon("sender").await];
    for (kind, users) in [("NEW_ORDER", 1..=8), ("GOODS_SENT", 1..=9), ("DEFAULT", 1..=9)] {
        town.push(kind, kind, users).await;
    }
    let ledger = town.settled(0).await;

    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for channel in CHANNELS {
        for delivery in town.deliveries(channel).await {
            // Xiaomi and HMS carry the id among the custom fields.
            let id = delivery["id"].as_str().unwrap_or_else(|| panic!("{delivery:#}"));
            let token = u64::from_str_radix(delivery["token"].as_str().unwrap(), 16).unwrap();
            told.entry(format!("{id} {token}")).or_default().push(channel);
        }
    }
    let expected = [
        // Type, platform, app and network all hold.
        ("NEW_ORDER-1 1", "hms"),
        ("GOODS_SENT-1 1", "hms"),
        // The network does not: the next.
        ("NEW_ORDER-2 2", "xiaomi"),
        ("GOODS_SENT-2 2", "xiaomi"),
        ("DEFAULT-2 2", "xiaomi"),
        // The app does not; the type alone does.
        ("NEW_ORDER-3 3", "xinge"),
        ("GOODS_SENT-3 3", "fcm"),
        ("DEFAULT-3 3", "fcm"),
        // No route: what the row names.
        ("DEFAULT-4 4", "fcm"),
        ("DEFAULT-8 8", "xinge"),
        // A route whose channel has no token here: its fallback.
        ("GOODS_SENT-5 5", "hms"),
        ("DEFAULT-5 5", "hms"),
        // Each device by itself.
        ("NEW_ORDER-7 7", "xinge"),
        ("GOODS_SENT-7 7", "fcm"),
        ("DEFAULT-7 7", "fcm"),
        ("DEFAULT-7 71", "xinge"),
    ];
    let expected: BTreeMap<String, Vec<&str>> =
        expected.iter().map(|(what, channel)| ((*what).to_owned(), vec![*channel])).collect();
    assert_eq!(told, expected);

    // Whoever is not told has a reason.
    for (id, reason) in [
        ("DEFAULT-1", "no route for android devices of app higo: the lane delivers by fcm, hms, xiaomi, xinge"),
        ("GOODS_SENT-4", "the device (android, higo) has no token for hms"),
        ("NEW_ORDER-5", "the device (android, higirl) has no token for xinge"),
        ("DEFAULT-6", "the device (android, higirl) has no token for fcm, hms"),
        ("DEFAULT-9", "the lane has no lists for ios devices by hms"),
    ] {
        let (code, trace) = town.homing(&["trace", id]);
        assert!(code == 0 && trace.contains("no_device") && trace.contains(reason), "{id}: {trace}");
    }
    let fates = &ledger["lanes"]["town"]["send"]["fates"];
    println!("four channels, {} told, fates {fates}", told.len());
    assert_eq!(fates["delivered"], told.len());

    let (_, text) = town.homing(&["explain", "--user", "1", "--type", "GOODS_SENT"]);
    assert!(text.contains("route[0]: hms as [channel.hms.account.higo]"), "{text}");
    let (_, text) = town.homing(&["explain", "--user", "2", "--type", "GOODS_SENT"]);
    assert!(text.contains("route[1]: xiaomi as [channel.xiaomi.account.higo]"), "{text}");
    let (_, text) = town.homing(&["explain", "--user", "4"]);
    assert!(text.contains(": fcm as [channel.fcm.account.higo]") && !text.contains("route["), "{text}");
    let (_, text) = town.homing(&["explain", "--user", "6"]);
    assert!(text.contains("has no token for fcm, hms"), "{text}");
}
