//! v3 and TPNS: single targets, pages, and every class of code.

use homing_channels::simulator::Flavour;
use secrecy::SecretString;
use serde_json::Value;

use super::{support::app_of, *};

const FLAVOURS: [&str; 3] = ["v3", "tpns hmac", "tpns basic"];

fn ids(flavour: &str) -> (&'static str, &'static str) {
    if flavour == "v3" { ("a1b2c3d4e5f60", "i1b2c3d4e5f60") } else { ("1500012345", "1600012345") }
}

fn accounts_of(flavour: &str, base_url: &str) -> Vec<Account> {
    let (name, auth) = flavour.split_once(' ').unwrap_or((flavour, ""));
    let (android, ios) = ids(flavour);
    let mut accounts = json!([
        {"flavour": name, "platform": "android", "app": "higo", "access_id": android, "secret": ANDROID_KEY, "base_url": base_url},
        {"flavour": name, "platform": "ios", "app": "higo", "access_id": ios, "secret": IOS_KEY, "base_url": base_url, "environment": "dev"},
    ]);
    if !auth.is_empty() {
        accounts[0]["auth"] = json!(auth);
        accounts[1]["auth"] = json!(auth);
    }
    serde_json::from_value(accounts).unwrap()
}

async fn started(flavour: &str) -> (Running, Xinge) {
    let name = if flavour == "v3" { Flavour::V3 } else { Flavour::Tpns };
    let (android, ios) = ids(flavour);
    let apps = vec![app_of(name, android, ANDROID_KEY, Platform::Android), app_of(name, ios, IOS_KEY, Platform::Ios)];
    let simulator = Running::start(SimulatorConfig::new(apps)).await;
    let channel = channel_of(accounts_of(flavour, &base_url(&simulator)));
    (simulator, channel)
}

/// A page of `count` devices whose tokens fit every flavour.
fn page(platform: Platform, count: usize) -> Notification {
    let mut page = page_of(platform, count);
    for (number, target) in page.targets.iter_mut().enumerate() {
        target.token = format!("03345b8a9d1ba5e5b690{number:016x}");
    }
    if platform == Platform::Ios {
        page.environment = homing_core::notification::Environment::Development;
    }
    page
}

fn id_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Delivered { provider_id: Some(id) } => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn android_and_ios_are_delivered_with_their_texts() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        for platform in [Platform::Android, Platform::Ios] {
            let sent = page(platform, 1);
            let answer = send(&channel, &sent).await;
            assert!(!id_of(&answer.outcome).is_empty(), "{flavour}");
            let phone = simulator.get(&format!("/_sim/phones/{}?limit=1", sent.targets[0].token)).await;
            let delivery = &phone["deliveries"][0];
            assert_eq!((&delivery["title"], &delivery["content"]), (&json!(sent.title), &json!(sent.body)));
            assert_eq!((&delivery["id"], &delivery["message_type"]), (&json!("m-1"), &json!("notify")));
            let (environment, kind, count) = match platform {
                Platform::Ios => ("dev", json!(15), json!(3)),
                _ => ("product", json!("15"), json!("3")),
            };
            assert_eq!(delivery["environment"], json!(environment));
            assert_eq!((&delivery["custom"]["push_type"], &delivery["custom"]["count"]), (&kind, &count), "{flavour}");
            let message: Value = serde_json::from_str(delivery["message"].as_str().unwrap()).unwrap();
            let custom = match platform {
                Platform::Ios if flavour == "v3" => &message["ios"]["custom"],
                Platform::Ios => &message["ios"]["custom_content"],
                _ => &message["android"]["custom_content"],
            };
            assert_eq!(custom.is_string(), flavour != "v3", "{flavour}: {custom}");
        }
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_page_is_one_call() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        let sent = page(Platform::Android, 1000);
        let first = send_page(&channel, &sent).await;
        assert!(first.iter().all(|outcome| outcome == &first[0]), "{flavour}");
        let second = send_page(&channel, &sent).await;
        assert_ne!(id_of(&first[0]), id_of(&second[0]), "{flavour}: each page is a task of its own");
        let stats = simulator.get("/_sim/stats").await;
        assert_eq!((&stats["deliveries"], &stats["total"]), (&json!(2000), &json!(2)), "{flavour}");
        assert_eq!(stats["largest_page"], json!(1000));
        assert_eq!(stats["most_pages_of_a_task"], json!(0), "a task is begun and never gone on with");
        assert_eq!(stats["tasks"], json!(if flavour == "v3" { 2 } else { 0 }));
    }
}

#[tokio::test]
async fn tpns_answers_for_each_device_of_a_page() {
    let (simulator, channel) = started("tpns hmac").await;
    let sent = page(Platform::Android, 1000);
    let token = |number: usize| sent.targets[number].token.clone();
    let codes = json!({token(9): 10_110_008, token(10): 1_008_028, token(11): 4711, token(12): 1_008_004});
    simulator.faults(json!({"dead_tokens": [token(3), token(999)], "token_codes": codes})).await;
    let mut sent = sent;
    sent.targets[20].token = "x".repeat(37);
    let answers = channel.send(&sent, &sent.targets).await;
    for (number, answer) in answers.iter().enumerate() {
        let expected = match number {
            3 | 20 | 999 => Outcome::DEAD,
            9 => Outcome::NoDevice,
            10 => Outcome::limited(None),
            11 => Outcome::Unknown,
            12 => RETRY,
            _ => answers[0].outcome.clone(),
        };
        assert_eq!(answer.outcome, expected, "{number}: {}", answer.detail);
    }
    id_of(&answers[0].outcome);
    assert!(answers[3].detail.ends_with("for this target 1008006 (bad token)"), "{}", answers[3].detail);
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["unreached"]), (&json!(993), &json!(7)));

    let mut dead = page(Platform::Android, 2);
    dead.targets.iter_mut().for_each(|target| target.token.clone_from(&sent.targets[3].token));
    assert_eq!(send_page(&channel, &dead).await, [Outcome::DEAD, Outcome::DEAD], "1008027");
    dead.targets.pop();
    assert_eq!(send_page(&channel, &dead).await, [Outcome::DEAD], "1008006");
}

#[tokio::test]
async fn v3_tells_dead_tokens_on_single_sends_only() {
    let (simulator, channel) = started("v3").await;
    let mut sent = page(Platform::Android, 3);
    simulator.faults(json!({"dead_tokens": [&sent.targets[0].token]})).await;
    assert!(send_page(&channel, &sent).await.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. })));
    sent.targets[1].token = "x".repeat(65);
    let outcomes = send_page(&channel, &sent).await;
    assert_eq!(outcomes[1], Outcome::DEAD, "it cannot be a token, and would have the page refused");
    id_of(&outcomes[2]);
    sent.targets.truncate(1);
    let answer = send(&channel, &sent).await;
    assert_eq!(answer.outcome, Outcome::DEAD);
    assert!(answer.detail.starts_with("ret_code 10110 (device not registered)"), "{}", answer.detail);
    assert!(!answer.detail.contains(&sent.targets[0].token));
}

#[tokio::test]
async fn part_of_a_list_that_failed_is_told_by_the_result_or_open() {
    for (flavour, partial, token_code) in
        [("v3", 10_302, 10_110), ("v3", 10_304, 10_110), ("tpns hmac", 1_008_026, 1_008_006)]
    {
        let (simulator, channel) = started(flavour).await;
        let sent = page(Platform::Android, 3);
        let codes = format!("[0,{token_code},{partial}]");
        for (result, expected) in [
            (json!(codes), None),
            (serde_json::from_str(&codes).unwrap(), None),
            (json!("[0]"), Some(Outcome::Ambiguous)),
            (json!(null), Some(Outcome::Ambiguous)),
        ] {
            simulator.faults(json!({"answer": partial, "answer_result": result})).await;
            let expected = expected.map_or_else(
                || vec![Outcome::Delivered { provider_id: None }, Outcome::DEAD, Outcome::Unknown],
                |outcome| vec![outcome; 3],
            );
            assert_eq!(send_page(&channel, &sent).await, expected, "{flavour} {partial} {result}");
        }
    }
    let (simulator, channel) = started("tpns basic").await;
    let sent = page(Platform::Android, 2);
    // All failed, and a page refused for one token's sake: the other may try again.
    for (code, result, expected) in [
        (1_008_027, json!(null), [Outcome::Unknown, Outcome::Unknown]),
        (1_008_027, json!("[1008006,1008006]"), [Outcome::DEAD, Outcome::DEAD]),
        (1_008_006, json!("[0,1008006]"), [RETRY, Outcome::DEAD]),
        (1_008_006, json!(null), [Outcome::Unknown, Outcome::Unknown]),
        (10_010_005, json!(null), [Outcome::Unknown, Outcome::Unknown]),
    ] {
        simulator.faults(json!({"answer": code, "answer_result": result})).await;
        assert_eq!(send_page(&channel, &sent).await, expected, "{code} {result}");
    }
}

#[tokio::test]
async fn every_class_of_code_has_its_outcome() {
    let limited = Outcome::limited(None);
    let v3: [(&[i64], Outcome); 7] = [
        (&[10_100, 10_101, 10_108, 10_113, 10_205, 10_301, 10_404, 10_700, 11_003], RETRY),
        (&[10_102, 10_103, 10_106, 10_107, 10_115, 10_117, 10_202], Outcome::Payload),
        (&[10_104, 10_105, 10_606], Outcome::Config),
        (&[10_110], Outcome::DEAD),
        (&[10_116], Outcome::NoDevice),
        (&[10_302], Outcome::Unknown),
        (&[40, 10_800, -1], Outcome::Unknown),
    ];
    let tpns: [(&[i64], Outcome); 8] = [
        (&[1_008_004], RETRY),
        (&[1_008_001, 1_008_002, 1_008_007, 1_008_015, 1_008_016, 1_008_019, 10_010_012], Outcome::Payload),
        (&[1_008_003, 10_030_002, 1_008_023, 1_008_013, 1_008_020, 1_008_030, 1_008_031, 1_010_001], Outcome::Config),
        (&[1_008_006, 1_008_029], Outcome::DEAD),
        (&[10_010_005, 10_110_008], Outcome::NoDevice),
        (&[1_008_028], limited),
        (&[10_010_018], DELIVERED),
        (&[40, 1_008_005], Outcome::Unknown),
    ];
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        let sent = page(Platform::Android, 1);
        let table: &[_] = if flavour == "v3" { &v3 } else { &tpns };
        for (codes, expected) in table {
            for code in *codes {
                simulator.faults(json!({"answer": code, "answer_text": "because"})).await;
                let answer = send(&channel, &sent).await;
                assert_eq!(&answer.outcome, expected, "{flavour}: {}", answer.detail);
                assert!(answer.detail.starts_with(&format!("ret_code {code} (")), "{}", answer.detail);
                assert!(answer.detail.ends_with(": because"), "{}", answer.detail);
            }
        }
        assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(0));
    }
}

#[tokio::test]
async fn a_wrong_secret_is_a_matter_of_configuration() {
    for (flavour, code) in [("v3", 10_104), ("tpns hmac", 1_008_003), ("tpns basic", 10_030_002)] {
        let (simulator, _) = started(flavour).await;
        let mut accounts = accounts_of(flavour, &base_url(&simulator));
        accounts[0].secret = SecretString::from("not-the-key");
        let channel = channel_of(accounts);
        for count in [1, 2] {
            let sent = page(Platform::Android, count);
            for answer in channel.send(&sent, &sent.targets).await {
                assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
                assert!(answer.detail.starts_with(&format!("ret_code {code} (")), "{}", answer.detail);
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_under_hmac() {
    let (simulator, channel) = started("tpns hmac").await;
    simulator.faults(json!({"accept_skew_s": 7200})).await;
    let sent = page(Platform::Android, 2);
    assert_eq!(send_page(&channel, &sent).await, [Outcome::Corrected, Outcome::Corrected]);
    for _ in 0..2 {
        id_of(&send_page(&channel, &sent).await[0]);
    }
    // With the right time the same code speaks of the key.
    simulator.faults(json!({"accept_skew_s": 7200, "answer": 1_008_003})).await;
    assert_eq!(send_page(&channel, &sent).await, [Outcome::Config, Outcome::Config]);
    // A wrong key and a clock that is off: one correction, then it is the key.
    let (simulator, _) = started("tpns hmac").await;
    simulator.faults(json!({"accept_skew_s": -7200})).await;
    let mut accounts = accounts_of("tpns hmac", &base_url(&simulator));
    accounts[0].secret = SecretString::from("not-the-key");
    let channel = channel_of(accounts);
    assert_eq!(send_page(&channel, &sent).await, [Outcome::Corrected, Outcome::Corrected]);
    assert_eq!(send_page(&channel, &sent).await, [Outcome::Config, Outcome::Config]);
    // Basic carries no time.
    let (simulator, channel) = started("tpns basic").await;
    simulator.faults(json!({"accept_skew_s": 7200})).await;
    id_of(&send_page(&channel, &sent).await[0]);
}

#[tokio::test]
async fn broken_connections_and_statuses_have_their_outcomes() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        for count in [1, 3] {
            let sent = page(Platform::Ios, count);
            for (faults, expected) in [
                (json!({"drop_before": 1.0}), Outcome::Ambiguous),
                (json!({"drop_after": 1.0}), Outcome::Ambiguous),
                (json!({"http_status": 500}), RETRY),
                (json!({"http_status": 503, "retry_after": 3}), Outcome::Retry { after: Some(3000) }),
                (json!({"http_status": 429, "retry_after": 3}), Outcome::limited(Some(3000))),
            ] {
                simulator.faults(faults.clone()).await;
                assert_eq!(send_page(&channel, &sent).await, vec![expected; count], "{flavour}: {faults}");
            }
        }
        assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(4), "{flavour}: drop_after delivers");
    }
}

#[tokio::test]
async fn too_long_a_message_never_leaves() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        for platform in [Platform::Android, Platform::Ios] {
            let mut sent = page(platform, 2);
            sent.body = "店".repeat(1400);
            let answers = channel.send(&sent, &sent.targets).await;
            assert!(answers.iter().all(|answer| answer.outcome == Outcome::Payload));
            assert!(answers[0].detail.contains("bytes long and at most 4096 pass"), "{}", answers[0].detail);
        }
        assert_eq!(simulator.get("/_sim/stats").await["total"], json!(0));
    }
}

#[tokio::test]
async fn the_largest_message_that_may_leave_is_taken() {
    for flavour in FLAVOURS {
        let (simulator, channel) = started(flavour).await;
        let mut sent = page(Platform::Android, 1);
        let size = |sent: &Notification| {
            let flavour = if flavour == "v3" {
                homing_channels::xinge::Flavour::V3
            } else {
                homing_channels::xinge::Flavour::Tpns
            };
            serde_json::to_string(&homing_channels::xinge::build_app(sent, flavour)).unwrap().len()
        };
        sent.body = "x".repeat(sent.body.len() + 4096 - size(&sent));
        let missing = 4096 - size(&sent);
        sent.body.push_str(&"x".repeat(missing));
        assert_eq!(size(&sent), 4096);
        id_of(&send(&channel, &sent).await.outcome);
        assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(1));
    }
}
