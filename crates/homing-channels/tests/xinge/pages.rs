//! Pages of v2: one task per page, and what a broken half of it means.

use std::collections::BTreeSet;

use super::*;

const RETRYING: fn(usize) -> Vec<Outcome> = |count| vec![RETRY; count];

async fn started() -> (Running, Xinge) {
    let simulator = Running::start(config()).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    (simulator, channel)
}

#[tokio::test]
async fn a_page_is_one_task_and_one_list() {
    let (simulator, channel) = started().await;
    for platform in [Platform::Android, Platform::Ios] {
        let page = page_of(platform, 1000);
        let answers = channel.send(&page, &page.targets).await;
        assert_eq!(answers.len(), 1000);
        let first = &answers[0];
        assert!(matches!(&first.outcome, Outcome::Delivered { provider_id: Some(id) } if !id.is_empty()));
        assert_eq!(first.detail, "device_list_multiple: ret_code 0");
        assert!(answers.iter().all(|answer| answer == first), "one answer is every target's");
        let phone = simulator.get(&format!("/_sim/phones/{}", page.targets[999].token)).await;
        let delivery = &phone["deliveries"][0];
        assert_eq!((&delivery["title"], &delivery["content"]), (&json!(page.title), &json!(page.body)));
        assert_eq!((&delivery["page"], &delivery["id"]), (&json!(1000), &json!("m-1")));
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["total"]), (&json!(2000), &json!(4)));
    let calls = json!({"/v2/push/create_multipush": 2, "/v2/push/device_list_multiple": 2});
    assert_eq!((&stats["calls"], &stats["largest_page"]), (&calls, &json!(1000)));
    assert_eq!((&stats["tasks"], &stats["most_pages_of_a_task"]), (&json!(2), &json!(1)));
    simulator.stop().await;
}

#[tokio::test]
async fn a_push_id_is_never_used_for_another_page() {
    let (simulator, channel) = started().await;
    let page = page_of(Platform::Android, 3);
    let sent = futures_util::future::join_all((0..20).map(|_| channel.send(&page, &page.targets))).await;
    let ids: BTreeSet<String> = sent
        .into_iter()
        .map(|answers| match &answers[0].outcome {
            Outcome::Delivered { provider_id: Some(id) } => id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 20, "numbers and texts alike");
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["tasks"], &stats["most_pages_of_a_task"]), (&json!(20), &json!(1)));
    assert_eq!(stats["deliveries"], json!(60));
}

#[tokio::test]
async fn one_target_needs_no_task() {
    let (simulator, channel) = started().await;
    let page = page_of(Platform::Android, 1);
    assert_eq!(send_page(&channel, &page).await, [DELIVERED]);
    // A token that is none is told without a call, and would have had the whole page refused.
    let mut page = page_of(Platform::Android, 2);
    page.targets.insert(1, Target::new("9", "short"));
    let outcomes = send_page(&channel, &page).await;
    assert!(matches!(outcomes[0], Outcome::Delivered { provider_id: Some(_) }));
    assert_eq!(outcomes[1], Outcome::DEAD);
    assert_eq!(outcomes[2], outcomes[0]);
    page.targets.remove(2);
    assert_eq!(send_page(&channel, &page).await, [DELIVERED, Outcome::DEAD]);
    page.targets.iter_mut().for_each(|target| target.token = "short".to_owned());
    assert_eq!(send_page(&channel, &page).await, [Outcome::DEAD, Outcome::DEAD]);
    assert!(channel.send(&page, &[]).await.is_empty());
    let calls = &simulator.get("/_sim/stats").await["calls"];
    assert_eq!((&calls["/v2/push/single_device"], &calls["/v2/push/create_multipush"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_dead_token_does_not_show_on_a_page() {
    let (simulator, channel) = started().await;
    let page = page_of(Platform::Android, 10);
    simulator.faults(json!({"dead_tokens": [&page.targets[4].token]})).await;
    let outcomes = send_page(&channel, &page).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. })));
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["unreached"]), (&json!(9), &json!(1)));
}

#[tokio::test]
async fn whatever_befalls_the_task_nothing_was_sent() {
    let (simulator, channel) = started().await;
    let page = page_of(Platform::Android, 5);
    for faults in [
        json!({"call": "create_multipush", "drop_before": 1.0}),
        json!({"call": "create_multipush", "drop_after": 1.0}),
        json!({"call": "create_multipush", "http_status": 503}),
        json!({"call": "create_multipush", "answer": 15}),
    ] {
        simulator.faults(faults.clone()).await;
        let answers = channel.send(&page, &page.targets).await;
        assert!(answers.iter().all(|answer| answer.outcome == RETRY), "{faults}: {answers:?}");
        assert!(answers[0].detail.starts_with("create_multipush: "), "{}", answers[0].detail);
    }
    for (answer, expected) in [
        (json!({"answer": 20}), Outcome::Config),
        (json!({"answer": 73}), Outcome::Payload),
        (json!({"answer": 76}), Outcome::limited(None)),
        (json!({"http_status": 429, "retry_after": 9}), Outcome::limited(Some(9000))),
        (json!({"answer": 40}), Outcome::Unknown),
        (json!({"answer": 4711}), Outcome::Unknown),
        (json!({"answer": -2}), Outcome::Corrected),
    ] {
        let mut faults = answer;
        faults["call"] = json!("create_multipush");
        simulator.faults(faults).await;
        assert_eq!(send_page(&channel, &page).await, vec![expected; 5]);
    }
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["deliveries"], &stats["tasks"]), (&json!(0), &json!(1)), "one id is nobody's");
    assert!(stats["calls"].get("/v2/push/device_list_multiple").is_none(), "no list was sent: {stats}");
}

#[tokio::test]
async fn a_task_that_does_not_answer_in_time_is_worth_a_retry() {
    let simulator = Running::start(config()).await;
    let options = Options { request_timeout_ms: 100, ..Options::default() };
    let channel = channel_with(accounts(&base_url(&simulator)), &options, Arc::new(SystemClock::default()));
    let page = page_of(Platform::Android, 4);
    simulator.faults(json!({"call": "create_multipush", "latency_ms": 2000})).await;
    assert_eq!(send_page(&channel, &page).await, RETRYING(4));
    simulator.faults(json!({"call": "device_list_multiple", "latency_ms": 2000})).await;
    assert_eq!(send_page(&channel, &page).await, vec![Outcome::Ambiguous; 4]);
    assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(4));
}

#[tokio::test]
async fn a_list_whose_reply_is_lost_leaves_the_fate_open() {
    let (simulator, channel) = started().await;
    let page = page_of(Platform::Android, 5);
    for (faults, delivered) in [
        (json!({"call": "device_list_multiple", "drop_after": 1.0}), 5),
        (json!({"call": "device_list_multiple", "drop_before": 1.0}), 5),
    ] {
        simulator.faults(faults).await;
        let answers = channel.send(&page, &page.targets).await;
        assert!(answers.iter().all(|answer| answer.outcome == Outcome::Ambiguous), "{answers:?}");
        assert!(answers[0].detail.starts_with("device_list_multiple: "), "{}", answers[0].detail);
        assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(delivered));
    }
    simulator.faults(json!({})).await;
    assert!(matches!(send_page(&channel, &page).await[0], Outcome::Delivered { .. }));
    let stats = simulator.get("/_sim/stats").await;
    assert_eq!((&stats["repeats"], &stats["most_pages_of_a_task"]), (&json!(5), &json!(1)), "under a task of its own");
}

#[tokio::test]
async fn the_answer_to_a_list_is_every_targets() {
    let (simulator, channel) = started().await;
    let page = page_of(Platform::Android, 3);
    let secret = format!("key {ANDROID_KEY} token {}", page.targets[1].token);
    for (code, expected) in [
        (15, RETRY),
        (76, Outcome::limited(None)),
        (-103, Outcome::Config),
        (19, Outcome::Payload),
        // One of them is bad, and nobody says which: none is removed for it.
        (14, Outcome::Unknown),
        (40, Outcome::Unknown),
        (4711, Outcome::Unknown),
    ] {
        simulator.faults(json!({"call": "device_list_multiple", "answer": code, "answer_text": secret})).await;
        let answers = channel.send(&page, &page.targets).await;
        assert!(answers.iter().all(|answer| answer.outcome == expected), "{code}: {answers:?}");
        let detail = &answers[0].detail;
        assert!(detail.starts_with(&format!("device_list_multiple: ret_code {code} (")), "{detail}");
        assert!(detail.ends_with("key .. token .."), "{detail}");
    }
    assert_eq!(simulator.get("/_sim/stats").await["deliveries"], json!(0));
}

#[tokio::test]
async fn a_clock_is_corrected_by_a_page_too() {
    let (simulator, channel) = started().await;
    simulator.faults(json!({"accept_skew_s": 7200})).await;
    let page = page_of(Platform::Android, 3);
    assert_eq!(send_page(&channel, &page).await, vec![Outcome::Corrected; 3]);
    assert!(matches!(send_page(&channel, &page).await[0], Outcome::Delivered { .. }));
}

#[tokio::test]
async fn a_message_that_is_too_long_starts_no_task() {
    let (simulator, channel) = started().await;
    let mut page = page_of(Platform::Android, 3);
    page.body = "店".repeat(1400);
    let answers = channel.send(&page, &page.targets).await;
    assert!(answers.iter().all(|answer| answer.outcome == Outcome::Payload));
    assert!(answers[0].detail.contains("at most 4096 pass"), "{}", answers[0].detail);
    assert_eq!(simulator.get("/_sim/stats").await["total"], json!(0));
}

#[tokio::test]
async fn a_collapse_key_replaces_on_the_device() {
    let (simulator, channel) = started().await;
    let mut sent = notification(Platform::Android, &token(Platform::Android, 1));
    sent.collapse = Some("order-A1001".to_owned());
    assert_eq!(send(&channel, &sent).await.outcome, DELIVERED);
    let delivery = &simulator.get("/_sim/deliveries").await["deliveries"][0];
    let message: serde_json::Value = serde_json::from_str(delivery["message"].as_str().unwrap()).unwrap();
    assert_eq!(message["n_id"], json!(homing_channels::xinge::n_id("order-A1001")));
}

/// A hundred thousand devices, eight pages at a time: the counts are exact, the memory is bounded, the listing is paged.
#[tokio::test]
async fn a_hundred_thousand_devices_are_served_by_pages() {
    const ALL: usize = 100_000;
    let mut bounded = config();
    bounded.keep = 30_000;
    let simulator = Running::start(bounded).await;
    let channel = channel_of(accounts(&base_url(&simulator)));
    let all = page_of(Platform::Android, ALL);
    let began = std::time::Instant::now();
    let pages: Vec<_> = all.targets.chunks(channel.page()).collect();
    for eight in pages.chunks(8) {
        let answers = futures_util::future::join_all(eight.iter().map(|page| channel.send(&all, page))).await;
        let delivered = |answer: &Answer| matches!(answer.outcome, Outcome::Delivered { .. });
        assert!(answers.iter().flatten().all(delivered));
    }
    println!("{ALL} targets in {} pages took {:?}", pages.len(), began.elapsed());
    let stats = simulator.get("/_sim/stats").await;
    for (name, expected) in [
        ("deliveries", ALL),
        ("repeats", 0),
        ("distinct_ids", 1),
        ("largest_page", 1000),
        ("tasks", 100),
        ("most_pages_of_a_task", 1),
    ] {
        assert_eq!(stats[name], json!(expected), "{name}");
    }
    let (mut after, mut listed) = (0, BTreeSet::new());
    loop {
        let page = simulator.get(&format!("/_sim/deliveries?after={after}&limit=10000")).await;
        let deliveries = page["deliveries"].as_array().unwrap();
        if deliveries.is_empty() {
            break;
        }
        listed.extend(deliveries.iter().map(|delivery| delivery["token"].as_str().unwrap().to_owned()));
        after = page["last"].as_u64().unwrap();
    }
    assert_eq!(listed.len(), 30_000, "the latest are listed, each once");
}
