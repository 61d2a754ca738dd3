//! Every class of every code table through HTTP.

use homing_core::channel::Scope;

use super::*;

/// A class and its codes.
type Class = (&'static str, &'static [&'static str]);

/// What a code means when one device is answered with it, by vendor and class.
const CODES: [(&str, &[Class]); 4] = [
    (
        "xiaomi",
        &[
            ("token_invalid", &["20301", "10029", "bad_regids"]),
            ("payload", &["10008", "10016", "10017", "65009", "65014", "65015"]),
            ("config", &["21301", "21302", "22000", "22006", "22007", "22022", "27001", "10031", "10036"]),
            ("rate_limited", &["10027", "21303", "26004", "10034"]),
            ("retry", &["-1", "1", "10001", "10002", "10003", "65029"]),
            ("unknown", &["4711"]),
        ],
    ),
    (
        "oppo",
        &[
            ("token_invalid", &["10000"]),
            ("payload", &["40", "41", "67"]),
            ("config", &["14", "16", "19", "26", "27", "28", "30"]),
            ("corrected", &["11", "29"]),
            ("rate_limited", &["-2", "13", "55", "33"]),
            ("retry", &["-1"]),
            ("unknown", &["4711"]),
        ],
    ),
    (
        "vivo",
        &[
            ("token_invalid", &["10302", "status 1", "status 2"]),
            ("no_device", &["status 3"]),
            ("payload", &["10085", "10104"]),
            ("config", &["10094", "status 4"]),
            ("corrected", &["10000"]),
            ("rate_limited", &["10071", "10072", "10070", "10073", "10252", "10254"]),
            ("unknown", &["4711"]),
        ],
    ),
    (
        "honor",
        &[
            ("token_invalid", &["expireTokens", "80300007"]),
            ("payload", &["80100001", "80100003", "80100016", "80300008", "80300010"]),
            ("config", &["80200001", "80300002", "80300011", "80600003"]),
            ("corrected", &["80200003", "401"]),
            ("rate_limited", &["80100017"]),
            ("retry", &["81000001"]),
            ("unknown", &["failTokens", "4711"]),
            ("ambiguous", &["80100000"]),
        ],
    ),
];

#[tokio::test]
async fn every_code_has_its_class() {
    let mut checked = 0;
    for (vendor, classes) in CODES {
        for (class, codes) in classes {
            for code in *codes {
                // A scene each: a used-up day would hold up the next code.
                let scene = Scene::of(vendor).await;
                scene.script(json!({ "codes": { "reg-x": code } }));
                let answer = scene.one("reg-x").await;
                assert_eq!(&answer.outcome.name(), class, "{vendor} {code}: {}", answer.detail);
                assert_eq!(scene.count("deliveries"), 0);
                checked += 1;
            }
        }
    }
    assert!(checked > 70, "{checked}");
}

#[tokio::test]
async fn good_dead_foreign_and_throttled_devices() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        scene.script(
            json!({ "dead_prefix": "dead", "foreign_prefix": "other", "throttled_prefix": "slow", "retry_after": 7 }),
        );
        let good = scene.one("good-1").await;
        assert!(
            matches!(&good.outcome, Outcome::Delivered { provider_id: Some(id) } if !id.is_empty()),
            "{vendor}: {good:?}"
        );
        assert_eq!(scene.one("dead-1").await.outcome, Outcome::DEAD, "{vendor}");
        let foreign = scene.one("other-1").await;
        assert_eq!(foreign.outcome.name(), if vendor == "honor" { "unknown" } else { "token_invalid" }, "{vendor}");
        let slow = scene.one("slow-1").await;
        assert_eq!(slow.outcome, Outcome::limited(Some(7_000)), "{vendor}: {}", slow.detail);
        assert_eq!(scene.one("slow-1").await.outcome.name(), DELIVERED, "{vendor}: the second try passes");
        assert_eq!(scene.count("deliveries"), 2, "{vendor}");
    }
}

#[tokio::test]
async fn a_status_without_a_code_has_a_class() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED);
        let lends = vendor != "xiaomi";
        for (status, expected) in [
            (500, Outcome::Retry { after: Some(9_000) }),
            (503, Outcome::Retry { after: Some(9_000) }),
            (429, Outcome::limited(Some(9_000))),
            (403, Outcome::Config),
            (404, Outcome::Config),
            (302, Outcome::Config),
            (413, Outcome::Payload),
            (400, Outcome::Payload),
            (204, Outcome::Ambiguous),
            (401, if lends { Outcome::Corrected } else { Outcome::Config }),
        ] {
            scene.script(json!({ "http_status": status, "retry_after": 9 }));
            assert_eq!(scene.one("good-1").await.outcome, expected, "{vendor} {status}");
        }
    }
}

#[tokio::test]
async fn a_cut_connection_is_ambiguous_and_a_refused_one_is_not() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED);
        for (fault, arrives) in [("drop_before", 0), ("drop_after", 1)] {
            scene.script(json!({ fault: 1.0 }));
            let before = scene.count("deliveries");
            assert_eq!(scene.one("good-2").await.outcome, Outcome::Ambiguous, "{vendor} {fault}");
            assert_eq!(scene.count("deliveries") - before, arrives, "{vendor} {fault}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let channel = try_build(vendor, &section(vendor, nobody, "", ""), Hand::at(NOW)).unwrap();
        let sent = to(&["good-1", "good-2"]);
        let answers = channel.send(&sent, &sent.targets).await;
        assert_eq!(names(&answers), ["retry", "retry"], "{vendor}: {}", answers[0].detail);
    }
}

#[tokio::test]
async fn without_an_account_nothing_is_sent() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        for change in [json!({ "app": "higirl" }), json!({ "platform": "ios" })] {
            let mut text = serde_json::to_value(to(&["good-1"])).unwrap();
            text.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let other: Notification = serde_json::from_value(text).unwrap();
            let answer = scene.send(&other).await.pop().unwrap();
            assert_eq!(answer.outcome, Outcome::Config);
            assert!(answer.detail.contains(&format!("no account for app {}, {}", other.app, other.platform.name())));
        }
        assert_eq!(scene.count("calls"), 0, "{vendor}");
    }
}

#[tokio::test]
async fn a_codes_file_is_laid_over_the_table() {
    let folder = std::env::temp_dir().join(format!("homing-vendor-codes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("codes.toml");
    std::fs::write(&file, "[rate_token]\nfailTokens = 'this device got too much today'\n").unwrap();
    let scene = Scene::with("honor", &format!("codes = '{}'", file.display()), "").await;
    scene.script(json!({ "foreign_prefix": "other" }));
    let answer = scene.one("other-1").await;
    assert_eq!(answer.outcome, Outcome::RateLimited { after: None, scope: Scope::Token });
    assert!(answer.detail.contains("this device got too much today"), "{}", answer.detail);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn details_show_neither_tokens_nor_secrets() {
    let repeats = axum::Router::new().fallback(async |body: String| {
        // A server that answers with everything that it was told.
        axum::Json(json!({ "code": 4711, "result": 4711, "message": body, "desc": body, "reason": body }))
    });
    let address = listen(repeats).await;
    for vendor in VENDORS {
        let channel = try_build(vendor, &section(vendor, address, "", ""), Hand::at(NOW)).unwrap();
        let token = "CN_906bf7b0d76a5c0001668ddc410ab903";
        for sent in [to(&[token]), to(&[token, "CN_b457331fd7874d0200c595ebb8d39de8"])] {
            let answers = channel.send(&sent, &sent.targets).await;
            for answer in answers {
                for hidden in ["s3cret-of-higo", "906bf7b0d76a5c0001668ddc410ab903", "b457331fd7874d0200c595ebb8d39de8"]
                {
                    assert!(!answer.detail.contains(hidden), "{vendor}: {}", answer.detail);
                }
            }
        }
    }
}
