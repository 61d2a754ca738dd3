//! Access tokens: one fetch for all, renewal, refusals; examination and rehearsal.

use homing_core::channel::Health;

use super::*;

const LENDERS: [&str; 3] = ["oppo", "vivo", "honor"];

#[tokio::test]
async fn a_hundred_sends_fetch_one_token() {
    for vendor in LENDERS {
        let scene = Scene::of(vendor).await;
        scene.script(json!({ "call": "auth", "latency_ms": 50 }));
        let tokens: Vec<String> = (0..100).map(|number| format!("reg-{number}")).collect();
        let sends = tokens.iter().map(|token| scene.one(token));
        let answers = futures_util::future::join_all(sends).await;
        assert!(answers.iter().all(|answer| answer.outcome.name() == DELIVERED), "{vendor}: {:?}", answers[0]);
        assert_eq!(scene.count("tokens_lent"), 1, "{vendor}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    for vendor in LENDERS {
        let scene = Scene::of(vendor).await;
        scene.one("good-1").await;
        scene.clock.set(NOW + 54 * 60_000);
        assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED);
        assert_eq!(scene.count("tokens_lent"), 1, "{vendor}");
        scene.clock.set(NOW + HOUR);
        assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED);
        assert_eq!(scene.count("tokens_lent"), 2, "{vendor}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_corrected_once_for_all() {
    for vendor in LENDERS {
        let scene = Scene::of(vendor).await;
        assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED);
        scene.script(json!({ "own": { "revoked": 1 } }));
        let (one, two, three) = (page(1), page(2), page(3));
        let refused = futures_util::future::join3(scene.send(&one), scene.send(&two), scene.send(&three)).await;
        for answer in [refused.0, refused.1, refused.2].concat() {
            assert!(matches!(answer.outcome.name(), "corrected" | DELIVERED), "{vendor}: {answer:?}");
        }
        assert_eq!(names(&scene.send(&page(3)).await), [DELIVERED; 3], "{vendor}: the second try passes");
        assert_eq!(scene.count("tokens_lent"), 2, "{vendor}: one renewal");
    }
}

#[tokio::test]
async fn wrong_credentials_are_config_and_asked_about_once() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let text = section(vendor, scene.address, "", "").replace("s3cret-of-higo", "an-old-one");
        let channel = try_build(vendor, &text, Arc::clone(&scene.clock) as Arc<dyn Clock>).unwrap();
        for _ in 0..3 {
            let sent = to(&["good-1", "good-2"]);
            let answers = channel.send(&sent, &sent.targets).await;
            assert_eq!(names(&answers), ["config", "config"], "{vendor}: {}", answers[0].detail);
            assert!(!answers[0].detail.contains("an-old-one"));
        }
        if vendor != "xiaomi" {
            assert_eq!(scene.count("calls"), 1, "{vendor}: the refusal holds for a moment");
        }
    }
}

#[tokio::test]
async fn what_breaks_while_a_token_is_fetched_is_tried_again() {
    for vendor in LENDERS {
        for (script, outcome) in [
            (json!({ "drop_after": 1.0 }), Outcome::Retry { after: None }),
            (json!({ "http_status": 503, "retry_after": 4 }), Outcome::Retry { after: Some(4_000) }),
            (json!({ "http_status": 429, "retry_after": 4 }), Outcome::limited(Some(4_000))),
            (json!({ "http_status": 204 }), Outcome::Retry { after: None }),
            (json!({ "http_status": 401 }), Outcome::Config),
        ] {
            let scene = Scene::of(vendor).await;
            scene.script(script.clone());
            let answer = scene.one("good-1").await;
            assert_eq!(answer.outcome, outcome, "{vendor} {script}: {}", answer.detail);
        }
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    for vendor in ["oppo", "vivo"] {
        let scene = Scene::of(vendor).await;
        let text = section(vendor, scene.address, "", "");
        let channel = try_build(vendor, &text, Hand::at(NOW - 11 * 60_000)).unwrap();
        let sent = to(&["good-1"]);
        let answer = channel.send(&sent, &sent.targets).await.pop().unwrap();
        assert_eq!(answer.outcome, Outcome::Config, "{vendor}");
        assert!(answer.detail.contains("this machine's clock differs by -"), "{}", answer.detail);
    }
}

#[tokio::test]
async fn an_examination_tells_good_from_refused() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let seen = scene.channel.examine().await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].account, format!("channel.{vendor}.account.higo"));
        assert_eq!(seen[0].health, Health::Good, "{}", seen[0].detail);
        let build = |change: &dyn Fn(String) -> String| {
            let text = change(section(vendor, scene.address, "", ""));
            try_build(vendor, &text, Arc::clone(&scene.clock) as Arc<dyn Clock>).unwrap()
        };
        let wrong = build(&|text| text.replace("s3cret-of-higo", "an-old-one")).examine().await;
        assert_eq!(wrong[0].health, Health::Refused, "{vendor}: {}", wrong[0].detail);
        assert!(!wrong[0].detail.contains("an-old-one"));
        scene.script(json!({ "http_status": 503 }));
        assert_eq!(build(&|text| text).examine().await[0].health, Health::Unknown, "{vendor}");
        assert_eq!(scene.count("deliveries"), 0, "{vendor}: nobody was shown anything");
    }
}

#[tokio::test]
async fn a_rehearsal_builds_and_shows_nobody_anything() {
    for vendor in VENDORS {
        let scene = Scene::of(vendor).await;
        let sent = to(&["good-1", "not a token"]);
        let answers = scene.channel.rehearse(&sent, &sent.targets).await;
        let first = if vendor == "xiaomi" { "unknown" } else { DELIVERED };
        assert_eq!(names(&answers), [first, "token_invalid"], "{vendor}: {}", answers[0].detail);
        let mut empty = to(&["good-1"]);
        empty.body = " ".to_owned();
        assert_eq!(names(&scene.channel.rehearse(&empty, &empty.targets).await), ["payload"], "{vendor}");
        let mut other = to(&["good-1"]);
        other.app = "higirl".to_owned();
        assert_eq!(names(&scene.channel.rehearse(&other, &other.targets).await), ["config"], "{vendor}");
        assert_eq!(scene.count("deliveries"), 0, "{vendor}");
    }
    let scene = Scene::of("oppo").await;
    let text = section("oppo", scene.address, "", "").replace("s3cret-of-higo", "an-old-one");
    let wrong = try_build("oppo", &text, Arc::clone(&scene.clock) as Arc<dyn Clock>).unwrap();
    let sent = to(&["good-1"]);
    assert_eq!(names(&wrong.rehearse(&sent, &sent.targets).await), ["config"]);
}
