//! A chat in a group of 100,000 members: everybody who may be told is told, in pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mongodb::bson::{Document, doc, oid::ObjectId};

use crate::support::{Chats, Crowd, Fate, GROUP_CHATS, World, wait_for_cursor};

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_in_a_group_of_a_hundred_thousand_reaches_the_thirty_thousand_who_may_be_told() {
    let world =
        World::start("[lane.group]\nmembers = 'group_members'\n[scanner.group]\nrecipients = 'group.members'\n").await;
    Crowd::fill(&world).await;
    world.insert_chats(1, 1, 60);
    assert_eq!(Chats::stored(&world, "group").await.len(), 1);
    let _daemons = [world.daemon("scanner").await, world.daemon("distributor").await, world.daemon("sender").await];
    wait_for_cursor(&world, "group").await;

    let client = mongodb::Client::with_uri_str(&world.mongo_url).await.unwrap();
    let chats = client.database(&world.mongo_database).collection::<Document>(GROUP_CHATS);
    let id = ObjectId::new();
    // Written by a member who would not be told anyway.
    let author = 200_003;
    let began = now();
    chats
        .insert_one(doc! {
            "_id": id, "seq": 1, "group_id": Crowd::GROUP.to_string(), "createAt": (began / 1000).to_string(),
            "type": 1, "data": { "text": "大家好" }, "user": { "user_id": author.to_string() },
        })
        .await
        .unwrap();
    let expected = Crowd::expected();
    assert_eq!((Crowd::fate(author), expected.len()), (Fate::NotLoggedIn, 30_000));
    let ledger = world.settled(&[("group", 1)], Duration::from_secs(120)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");

    let simulated = world.deliveries().await;
    let id = format!("group:{}", id.to_hex());
    let arrived: BTreeSet<String> = simulated.arrived.keys().map(|(_, token)| token.clone()).collect();
    assert!(simulated.arrived.keys().all(|(got, _)| *got == id));
    assert_eq!(arrived.difference(&expected).count(), 0, "nobody else was told");
    assert_eq!(expected.difference(&arrived).count(), 0, "everybody was told");
    assert_eq!(simulated.repeats(), 0);
    // A page of the provider's is what came with one list call.
    let pages: Vec<u64> = simulated.deliveries.iter().map(|d| d["page"].as_u64().unwrap()).collect();
    assert!(pages.iter().all(|page| (1..=1_000).contains(page)), "{:?}", pages.iter().max());
    let last = simulated.deliveries.iter().map(|d| d["received_at_ms"].as_i64().unwrap()).max().unwrap();
    let stats = world.stats().await;
    assert_eq!(stats["largest_page"], *pages.iter().max().unwrap());
    println!(
        "group of 100,000: {} targets in {} ms from the insert to the last arrival; largest page {}, calls {}",
        arrived.len(),
        last - began,
        stats["largest_page"],
        stats["calls"],
    );

    // Why the others were not told, in the ledger by number and in the trace by sample.
    let rules = &ledger["lanes"]["group"]["rules"]["fates"];
    let counts: BTreeMap<&str, u64> = [
        // A quarter of them without a device.
        ("passed", 40_000),
        ("skipped.author", 1),
        ("skipped.login", 19_999),
        ("skipped.online", 20_000),
        ("skipped.account", 10_000),
        ("skipped.dnd", 10_000),
    ]
    .into();
    for (fate, n) in counts {
        assert_eq!(rules[fate], n, "{fate}: {rules:#}");
    }
    let send = &ledger["lanes"]["group"]["send"]["fates"];
    assert_eq!((&send["delivered"], &send["no_device"]), (&30_000.into(), &10_000.into()), "{send:#}");
    let (code, trace) = world.homing(&["trace", &id]);
    assert!(code == 0 && trace.contains("all members of group 9000: 100000 recipients"), "{trace}");
    assert!(trace.contains("such as"), "{trace}");
}
