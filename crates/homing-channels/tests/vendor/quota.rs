//! The day's quota: until midnight in China nothing of that kind is sent.

use homing_core::channel::Scope;

use super::*;

/// The code of a used-up day.
fn day(vendor: &str) -> Option<&'static str> {
    match vendor {
        "xiaomi" => Some("10034"),
        "oppo" => Some("33"),
        "vivo" => Some("10070"),
        _ => None,
    }
}

#[tokio::test]
async fn a_used_up_day_waits_until_midnight_in_china() {
    for vendor in VENDORS {
        let Some(code) = day(vendor) else { continue };
        let scene = Scene::of(vendor).await;
        scene.clock.set(NOW + 1_234);
        scene.script(json!({ "codes": { "full": code } }));
        let outcome = scene.one("full").await.outcome;
        assert_eq!(outcome, Outcome::limited(Some(HOUR - 1_234)), "{vendor}");
        let calls = scene.count("calls");
        scene.clock.set(NOW + HOUR - 1);
        let mut later = to(&["good-1"]);
        later.expires_at = NOW + 9 * HOUR;
        let held = scene.send(&later).await.pop().unwrap();
        assert_eq!(after_of(&held.outcome), Some(1), "{vendor}: {}", held.detail);
        assert_eq!(scene.count("calls"), calls, "{vendor}: the vendor is not asked again that day");
        scene.clock.set(NOW + HOUR);
        assert_eq!(names(&scene.send(&later).await), [DELIVERED], "{vendor}: a new day");
    }
}

#[tokio::test]
async fn one_kinds_quota_does_not_hold_up_another() {
    for vendor in VENDORS {
        let Some(code) = day(vendor) else { continue };
        let categories = match vendor {
            "xiaomi" => "categories = { campaign = 'promo', default = 'orders' }",
            _ => "categories = { campaign = 'MARKETING', default = 'ORDER' }",
        };
        let scene = Scene::with(vendor, "", categories).await;
        scene.script(json!({ "codes": { "full": code } }));
        let campaign = |token: &str| Notification { category: Some("campaign".to_owned()), ..to(&[token]) };
        let limited = Outcome::RateLimited { after: Some(HOUR), scope: Scope::Token };
        assert_eq!(scene.send(&campaign("full")).await[0].outcome, limited, "{vendor}");
        assert_eq!(scene.send(&campaign("good-1")).await[0].outcome, limited, "{vendor}: of the same kind");
        assert_eq!(scene.one("good-1").await.outcome.name(), DELIVERED, "{vendor}: of another kind");
    }
}

#[tokio::test]
async fn operators_messages_wait_for_the_morning_at_vivo() {
    let scene = Scene::of("vivo").await;
    scene.script(json!({ "codes": { "night": "10071" } }));
    // It is 23:00 in China.
    assert_eq!(scene.one("night").await.outcome, Outcome::limited(Some(8 * HOUR)));
}

#[tokio::test]
async fn a_device_of_a_page_may_use_up_the_day_at_oppo() {
    let scene = Scene::of("oppo").await;
    scene.script(json!({ "codes": { "full": "33" } }));
    let answers = scene.send(&to(&["good-1", "full"])).await;
    assert_eq!(names(&answers), [DELIVERED, "rate_limited"]);
    assert_eq!(after_of(&answers[1].outcome), Some(HOUR));
    assert_eq!(scene.one("good-2").await.outcome.name(), "rate_limited");
}
