//! Each of HIGO's two stages can be replaced alone: Homing's sender reads what HIGO's distributor writes, and HIGO's
//! sender reads what Homing's distributor writes. Both of HIGO's are played by PHP.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    main_path::{php_expected, php_user},
    support::{Company, Producer, World},
};

const N: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn higos_distributor_writes_for_homings_sender() {
    let world = World::start("").await;
    let _sender = world.daemon("sender").await;
    world.php_pushing("rpush_xinge.php", "hg_xinge_queue", N, 0).finish();
    let ledger = world.settled(&[("system", 0)], Duration::from_secs(30)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let send = &ledger["lanes"]["system"]["send"];
    assert_eq!((&send["in"], &send["fates"]["delivered"]), (&json!(N), &json!(N)), "{ledger:#}");

    let simulated = world.deliveries().await;
    assert_eq!(simulated.deliveries.len() as u64, N);
    let mut by_order: BTreeMap<String, &Value> = BTreeMap::new();
    for delivery in &simulated.deliveries {
        by_order.insert(delivery["custom"]["order_id"].as_str().unwrap().to_owned(), delivery);
    }
    for i in 0..N {
        let delivery = by_order[&format!("A{i}")];
        let user = 1000 + i % 2000;
        assert_eq!(delivery["token"], Company::token(user), "{delivery:#}");
        assert_eq!(delivery["platform"], if Company::via(user) == "iphone" { "ios" } else { "android" });
        let id = delivery["id"].as_str().unwrap();
        let own = id == format!("xg-{i}");
        assert!(if i % 20 == 7 { id.starts_with("hg_xinge_queue:") } else { own }, "{id}");
        let title = delivery["title"].as_str().unwrap();
        let content = delivery["content"].as_str().unwrap();
        if i % 10 == 9 {
            // Its type's own words.
            assert!(!content.is_empty() && !content.starts_with("内容"), "{delivery:#}");
        } else {
            assert_eq!((title, content), (format!("标题 {i}").as_str(), format!("内容 {i}").as_str()));
        }
    }
    println!("{N} items of HIGO's distributor: delivered {}, repeats {}", by_order.len(), simulated.repeats());
}

#[tokio::test(flavor = "multi_thread")]
async fn homings_distributor_writes_for_higos_sender() {
    let world = World::start("[lane.system.delivery.xinge]\ncodec = 'php'\n").await;
    let distributor = world.daemon("distributor").await;
    // It is not Homing's to send.
    let sender = world.daemon("sender").await;
    let expected = php_expected(0..N);
    let port = world.redis_port.to_string();
    let old = Producer::php("lpop_xinge.php", &["127.0.0.1", &port, "hg_xinge_queue", &expected.len().to_string()]);
    world.php_push("hg_message_queue", N, 0);
    let text = old.finish();
    let items: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let got: BTreeSet<(String, String)> = items
        .iter()
        .map(|i| (i["id"].as_str().unwrap().to_owned(), i["xinge_token"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(got, expected);
    for item in &items {
        let i: u64 = item["id"].as_str().unwrap().strip_prefix("php-").unwrap().parse().unwrap();
        let user = php_user(i);
        assert_eq!(item["via"], Company::via(user), "{item}");
        assert_eq!(item["app"], Company::app(user), "{item}");
        assert_eq!(item["user_id"], user.to_string(), "{item}");
        assert!(item["type"].is_i64() && item["title"].is_string() && item["content"].is_string(), "{item}");
        assert!(item["expires_at"].is_i64(), "{item}");
    }
    let custom = |item: &Value| item["custom"]["order_id"].as_str().map(str::to_owned);
    assert!(items.iter().filter_map(custom).all(|order| order.starts_with('A')), "{items:?}");
    let goods = items.iter().find(|item| item["type"] == 7).unwrap();
    assert_eq!(goods["title"], "已发货", "{goods}");
    println!("{N} events for HIGO's sender: {} items read by PHP's unserialize", items.len());

    // The entry side's books are whole; what a foreign sender took off the delivery list is its own.
    let ledger = world.ledger();
    let entry = &ledger["lanes"]["system"]["entry"];
    assert_eq!((&entry["in"], &entry["waiting"]), (&json!(N), &json!(0)));
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    assert_eq!(world.stats().await["deliveries"], 0);
    assert!(distributor.stop().await.success() && sender.stop().await.success());
}
