//! The registry as lookups and enumerators.

use homing_core::lookup::Death;
use homing_stores::Level;

use crate::registry::{NOW, Rig, device, rig, rigs};
use crate::sql::all;
use crate::support::{ask, story};

/// Users 0 to `users`, each with a phone that has two tokens, put there by hand.
async fn many(rig: &Rig, users: usize) {
    rig.put("first", &device("d", &[("apns", "t")]), NOW).await;
    let all: Vec<usize> = (0..users).collect();
    for some in all.chunks(500) {
        let row = |n: &usize, channel: &str| {
            format!(
                "('{n}', 'd', '{channel}', '{channel}-{n}', '{channel}-{n}', 'higo', 'ios', 'prod', 1, 0, '', '', 0)"
            )
        };
        let rows: Vec<String> = some.iter().flat_map(|n| [row(n, "apns"), row(n, "fcm")]).collect();
        let columns = "user_id, device, channel, hash, token, app, platform, env, registered_at, died_at, died_why, \
                       died_by, died_since";
        let topics: Vec<String> = some.iter().map(|n| format!("('sale', '{n}', 1)")).collect();
        rig.db
            .run(&[
                &format!("INSERT INTO TABLE__token ({columns}) VALUES {}", rows.join(", ")),
                &format!("INSERT INTO TABLE__topic (topic, user_id, followed_at) VALUES {}", topics.join(", ")),
            ])
            .await;
    }
}

#[tokio::test]
async fn five_thousand_users_are_one_question() {
    for rig in rigs("many", "") {
        let kind = rig.db.kind;
        many(&rig, 5_000).await;
        let ids: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let devices = rig.stores.lookup("registry.devices").unwrap();
        let rows = devices.rows(&ids).await.unwrap();
        assert_eq!(rows.len(), 5_000, "{kind}");
        for (id, rows) in ids.iter().zip(&rows) {
            let tokens: Vec<&str> = rows.iter().map(|row| row["token"].as_str()).collect();
            assert_eq!(tokens, [format!("apns-{id}"), format!("fcm-{id}")], "{kind}");
        }
        // More than one statement takes, with strangers among them.
        let more: Vec<String> = (0..12_000).map(|n| (n * 3).to_string()).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let found = devices.rows(&more).await.unwrap();
        assert_eq!(found.iter().filter(|rows| !rows.is_empty()).count(), 1_667, "{kind}");
        assert_eq!(rig.stores.lookup("registry.profile").unwrap().rows(&ids).await.unwrap().len(), 5_000, "{kind}");

        for (name, of, extra) in [("registry.topic", "sale", None), ("registry.everyone", "", Some("first"))] {
            let members = rig.stores.members(name).unwrap();
            let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let page = members.page(of, after.as_deref(), 700).await.unwrap();
                assert!(page.members.len() <= 700, "{kind}");
                seen.extend(page.members);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let mut expected: Vec<String> = ids.iter().copied().chain(extra).map(str::to_owned).collect();
            expected.sort();
            assert_eq!(seen, expected, "{kind}: {name}, each once and in order");
        }
        rig.drop().await;
    }
}

#[tokio::test]
async fn an_enumerator_is_asked_for_what_it_lists() {
    for rig in rigs("asked", "") {
        rig.put("1", &device("d", &[("apns", "t")]), NOW).await;
        let (topic, everyone) =
            (rig.stores.members("registry.topic").unwrap(), rig.stores.members("registry.everyone").unwrap());
        assert_eq!((topic.name(), everyone.name()), ("registry.topic", "registry.everyone"));
        assert_eq!(topic.page("", None, 10).await.unwrap().members, Vec::<String>::new());
        assert_eq!(topic.page(&"x".repeat(300), None, 10).await.unwrap().members, Vec::<String>::new());
        let error = everyone.page("9", None, 10).await.unwrap_err();
        assert!(error.refused && story(&error).contains("lists everyone"), "{}", story(&error));
        assert_eq!(everyone.page("", None, 10).await.unwrap().members, ["1"]);
        // Who has no live device is nobody to tell.
        assert!(rig.forget("1", "t", "apns", None).await);
        assert_eq!(everyone.page("", None, 10).await.unwrap().members, Vec::<String>::new());
        rig.drop().await;
    }
}

#[tokio::test]
async fn explain_shows_the_question_and_no_token() {
    for rig in rigs("explain", "") {
        let kind = rig.db.kind;
        let token = "0f744707bebcf74f9b7c25d48e3358945f6aa01d";
        rig.put("o'x", &device("d", &[("apns", token)]), NOW).await;
        let told = rig.stores.lookup("registry.devices").unwrap().explain("o'x").await.unwrap();
        assert_eq!((told.store.as_str(), told.rows.len()), ("db", 1), "{kind}");
        assert!(told.asked.contains("user_id IN ('o''x')") && told.asked.contains("_token"), "{kind}: {}", told.asked);
        assert!(told.raw.contains("token=…a01d") && !told.raw.contains(token), "{kind}: {}", told.raw);
        let told = rig.stores.lookup("registry.profile").unwrap().explain("2").await.unwrap();
        assert_eq!((told.raw.as_str(), told.rows.len()), ("no rows", 0), "{kind}");
        let devices = rig.stores.lookup("registry.devices").unwrap();
        assert_eq!(devices.explain("\n").await.unwrap().raw, "nothing: this is nobody's id");
        assert!(devices.judge(&devices.rows(&["o'x"]).await.unwrap()[0], 0).pass && !devices.judge(&[], 0).pass);
        let profile = rig.stores.lookup("registry.profile").unwrap();
        assert!(!profile.forget("o'x", token, &Death::default()).await.unwrap(), "{kind}: it holds no token");
        assert!(devices.clean("o'x").await.unwrap(), "{kind}");
        assert_eq!(ask(&*devices, &["o'x"]).await, ["-"]);
        rig.drop().await;
    }
}

#[tokio::test]
async fn check_looks_for_the_tables_and_makes_none() {
    for db in all("check") {
        let rig = rig(db, "");
        let kind = rig.db.kind;
        let line = async || {
            let lines = rig.stores.check().await;
            let line = lines.iter().find(|line| line.subject == "registry").unwrap();
            (line.level, line.text.clone())
        };
        // A SQLite file that nobody has made yet cannot be opened for reading.
        if kind != "sqlite" {
            for _ in 0..2 {
                let (level, text) = line().await;
                assert!(level == Level::Warning && text.contains("has no tables yet"), "{kind}: {text}");
            }
        }
        rig.put("1", &device("d", &[("apns", "t")]), NOW).await;
        assert_eq!(line().await, (Level::Ok, "its tables are there, version 1".into()), "{kind}");
        rig.drop().await;
    }
}
