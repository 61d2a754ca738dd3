//! Silent messages, rehearsals, and looks at credentials, in every flavour.

use homing_channels::simulator::Flavour;
use homing_core::channel::Health;
use serde_json::Value;

use super::{support::app_of, *};

const FLAVOURS: [&str; 4] = ["v2", "v3", "tpns hmac", "tpns basic"];

fn ids(flavour: &str) -> [&'static str; 2] {
    match flavour {
        "v2" => ["2100012345", "2200012345"],
        "v3" => ["a1b2c3d4e5f60", "i1b2c3d4e5f60"],
        _ => ["1500012345", "1600012345"],
    }
}

fn name(flavour: &str) -> (&str, Flavour) {
    match flavour.split_once(' ').map_or(flavour, |(name, _)| name) {
        "v2" => ("v2", Flavour::V2),
        "v3" => ("v3", Flavour::V3),
        _ => ("tpns", Flavour::Tpns),
    }
}

fn accounts_of(flavour: &str, base_url: &str, android_key: &str) -> Vec<Account> {
    let keys = [("android", android_key), ("ios", IOS_KEY)];
    let each = keys.iter().zip(ids(flavour)).map(|((platform, key), id)| {
        let mut account = json!({"flavour": name(flavour).0, "platform": platform, "app": "higo", "access_id": id,
            "secret": key, "base_url": base_url});
        if let Some((_, auth)) = flavour.split_once(' ') {
            account["auth"] = json!(auth);
        }
        serde_json::from_value(account).unwrap()
    });
    each.collect()
}

async fn started(flavour: &str) -> (Running, Xinge) {
    let [android, ios] = ids(flavour);
    let flavour_of = name(flavour).1;
    let apps = vec![
        app_of(flavour_of, android, ANDROID_KEY, Platform::Android),
        app_of(flavour_of, ios, IOS_KEY, Platform::Ios),
    ];
    let simulator = Running::start(SimulatorConfig::new(apps)).await;
    let channel = channel_of(accounts_of(flavour, &base_url(&simulator), ANDROID_KEY));
    (simulator, channel)
}

/// A page of devices whose tokens fit the flavour.
fn page(flavour: &str, platform: Platform, count: usize) -> Notification {
    let mut page = page_of(platform, count);
    if flavour != "v2" {
        for (number, target) in page.targets.iter_mut().enumerate() {
            target.token = format!("03345b8a9d1ba5e5b690{number:016x}");
        }
    }
    page
}

fn silent(flavour: &str, platform: Platform, count: usize) -> Notification {
    Notification { silent: true, ..page(flavour, platform, count) }
}

#[tokio::test]
async fn a_silent_message_is_handed_to_the_app() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        for platform in [Platform::Android, Platform::Ios] {
            let first = silent(flavour, platform, 1).targets.remove(0).token;
            for count in [1, 3] {
                let sent = silent(flavour, platform, count);
                let outcomes = send_page(&channel, &sent).await;
                let delivered = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. });
                assert!(outcomes.iter().all(delivered), "{flavour}: {outcomes:?}");
            }
            let phone = simulator.get(&format!("/_sim/phones/{first}?limit=1")).await;
            let delivery = &phone["deliveries"][0];
            let expected = match (flavour, platform) {
                ("v2", Platform::Ios) => json!(12),
                ("v2", _) => json!(2),
                _ => json!("message"),
            };
            assert_eq!(delivery["message_type"], expected, "{flavour}");
            let message: Value = serde_json::from_str(delivery["message"].as_str().unwrap()).unwrap();
            let aps = if flavour == "v2" { &message["aps"] } else { &message["ios"]["aps"] };
            if platform == Platform::Ios {
                assert_eq!(aps, &json!({"content-available": 1}), "{flavour}");
                assert_eq!(delivery["title"], json!(""), "{flavour}");
            } else {
                assert!(message.get("action").is_none() && message["android"].get("n_id").is_none(), "{flavour}");
            }
            assert_eq!(delivery["custom"]["order_id"], json!("A1001"), "{flavour}");
            assert_eq!(delivery["id"], json!("m-1"), "{flavour}");
        }
    }
}

#[tokio::test]
async fn the_documented_type_of_ios_holds_for_silent_messages_too() {
    let (simulator, _) = started("v2").await;
    let options = Options { ios_message_type: 0, ..Options::default() };
    let accounts = accounts_of("v2", &base_url(&simulator), ANDROID_KEY);
    let channel = channel_with(accounts, &options, Arc::new(SystemClock::default()));
    assert!(matches!(send_page(&channel, &silent("v2", Platform::Ios, 1)).await[0], Outcome::Delivered { .. }));
    assert_eq!(simulator.get("/_sim/deliveries").await["deliveries"][0]["message_type"], json!(0));
}

#[tokio::test]
async fn a_rehearsal_builds_and_sends_nothing() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        let mut sent = page(flavour, Platform::Android, 3);
        sent.targets[1].token = "x".repeat(70);
        let answers = channel.rehearse(&sent, &sent.targets).await;
        let outcomes: Vec<&str> = answers.iter().map(|answer| answer.outcome.name()).collect();
        // TPNS does not say how long its tokens are.
        let second = if flavour.starts_with("tpns") { "unknown" } else { "token_invalid" };
        assert_eq!(outcomes, ["unknown", second, "unknown"], "{flavour}");
        assert!(answers[0].detail.contains("built and signed"), "{}", answers[0].detail);
        sent.body = "长".repeat(4_000);
        for answer in channel.rehearse(&sent, &sent.targets).await {
            assert_eq!(answer.outcome, Outcome::Payload, "{flavour}");
        }
        sent.app = "higirl".to_owned();
        assert_eq!(channel.rehearse(&sent, &sent.targets).await[0].outcome, Outcome::Config);
        assert_eq!(simulator.get("/_sim/stats").await["total"], json!(0), "{flavour}: no call was made");
    }
}

#[tokio::test]
async fn an_examination_tells_good_from_refused() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        let seen = channel.examine().await;
        assert_eq!(
            seen.iter().map(|seen| &*seen.account).collect::<Vec<_>>(),
            ["account higo/android", "account higo/ios"]
        );
        assert!(seen.iter().all(|seen| seen.health == Health::Good), "{flavour}: {seen:?}");
        let wrong = "0123456789abcdef0123456789abcdef";
        let other = channel_of(accounts_of(flavour, &base_url(&simulator), wrong));
        let seen = other.examine().await;
        assert_eq!((seen[0].health, seen[1].health), (Health::Refused, Health::Good), "{flavour}: {seen:?}");
        assert!(!format!("{seen:?}").contains(wrong));
        simulator.faults(json!({"http_status": 503})).await;
        assert_eq!(channel.examine().await[0].health, Health::Unknown, "{flavour}");
        assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(0), "{flavour}: nobody was shown anything");
    }
}

#[tokio::test]
async fn an_examination_names_a_clock_that_is_off() {
    for flavour in ["v2", "tpns hmac"] {
        let (simulator, _) = started(flavour).await;
        let accounts = accounts_of(flavour, &base_url(&simulator), ANDROID_KEY);
        let clock = Arc::new(SystemClock::with_offset(-3_600_000));
        let seen = channel_with(accounts, &Options::default(), clock).examine().await;
        assert_eq!(seen[0].health, Health::Doubtful, "{flavour}: {seen:?}");
        assert!(seen[0].detail.contains("clock"), "{}", seen[0].detail);
    }
}

#[tokio::test]
async fn every_message_has_its_key_on_android() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        for (collapse, key) in [(None, "m-1"), (Some("order-A1001"), "order-A1001")] {
            let mut sent = page(flavour, Platform::Android, 1);
            sent.collapse = collapse.map(str::to_owned);
            send_page(&channel, &sent).await;
            let phone = simulator.get(&format!("/_sim/phones/{}?limit=1", sent.targets[0].token)).await;
            let message: Value = serde_json::from_str(phone["deliveries"][0]["message"].as_str().unwrap()).unwrap();
            let style = if flavour == "v2" { &message } else { &message["android"] };
            assert_eq!(style["n_id"], json!(homing_channels::xinge::n_id(key)), "{flavour}");
        }
    }
}
