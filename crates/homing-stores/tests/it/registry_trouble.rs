//! The registry under contention, with other versions, and with a configuration that does not fit.

use std::sync::Arc;

use futures_util::future::join_all;
use homing_core::registry::Registry;

use crate::registry::{NOW, TOLD, device, rig, rigs, toml};
use crate::sql::all;
use crate::support::{refused, stores};

#[tokio::test(flavor = "multi_thread")]
async fn one_token_registered_by_many_at_once_is_ones_own() {
    for rig in rigs("race", TOLD) {
        let kind = rig.db.kind;
        for round in 0..5 {
            let put = |n: usize| {
                let registry = Arc::clone(&rig.registry);
                // Half of them have a second token of their own.
                let own = format!("own-{round}-{n}");
                let token = format!("t-{round}");
                let both = [("apns", token.as_str()), ("fcm", own.as_str())];
                let device = device("phone", if n.is_multiple_of(2) { &both[..] } else { &both[..1] });
                async move { registry.put(&n.to_string(), &device, NOW + round).await.map_err(|error| error.to_string()) }
            };
            let ends = join_all((0..12).map(put).map(tokio::spawn)).await;
            for end in ends {
                assert!(end.unwrap().is_ok_and(|put| put.created == (round == 0)), "{kind}, round {round}");
            }
            let users: Vec<String> = (0..12).map(|n| n.to_string()).collect();
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            let rows = rig.devices(&users).await;
            let holders = rows.iter().filter(|rows| rows.contains(&format!("token=t-{round}"))).count();
            assert_eq!(holders, 1, "{kind}, round {round}: {rows:#?}");
            let own = rows.iter().filter(|rows| rows.contains(&format!("token=own-{round}-"))).count();
            assert_eq!(own, 6, "{kind}, round {round}");
        }
        // Every round, all but one lost the token again: the outbox says of each.
        let moved = rig.changes().await.iter().filter(|change| change.starts_with("token_moved")).count();
        assert_eq!(moved, 5 * 11, "{kind}");
        rig.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_registered_many_times_at_once_is_one() {
    for rig in rigs("same", "max_devices = 3") {
        let kind = rig.db.kind;
        let put = |n: usize| {
            let registry = Arc::clone(&rig.registry);
            let device = device(&format!("d{}", n % 6), &[("apns", &format!("t{n}"))]);
            async move { registry.put("1", &device, NOW).await }
        };
        let ends = join_all((0..24).map(put).map(tokio::spawn)).await;
        let good = ends.into_iter().filter(|end| end.as_ref().unwrap().is_ok()).count();
        assert_eq!(good, 12, "{kind}: of six devices three had room, four times each");
        let held = rig.registry.list("1").await.unwrap();
        assert_eq!((held.len(), held.iter().map(|held| held.tokens.len()).sum::<usize>()), (3, 3), "{kind}");
        rig.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn death_and_registration_at_once_leave_what_was_registered_later() {
    for rig in rigs("later", "") {
        let kind = rig.db.kind;
        let phone = device("d", &[("apns", "t")]);
        rig.put("1", &phone, NOW).await;
        for round in 1..=10 {
            let at = NOW + round * 10;
            // The provider's word is of a moment before this registration.
            let put = rig.put("1", &phone, at);
            let (_, _) = tokio::join!(put, rig.forget("1", "t", "apns", Some(at - 1)));
            assert_ne!(rig.devices(&["1"]).await, ["-"], "{kind}, round {round}");
        }
        rig.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_who_start_at_once_make_the_tables_once() {
    for db in all("start") {
        let toml = toml(&db, "");
        let registries: Vec<Arc<dyn Registry>> = (0..4).map(|_| stores(&toml).registry().unwrap()).collect();
        let puts = registries.iter().enumerate().map(|(n, registry)| {
            let registry = Arc::clone(registry);
            tokio::spawn(async move {
                let phone = device("d", &[("apns", &format!("t{n}"))]);
                registry.put(&n.to_string(), &phone, NOW).await.map_err(|error| format!("{error:?}"))
            })
        });
        for end in join_all(puts).await {
            assert!(end.unwrap().unwrap().created, "{}", db.kind);
        }
        rig(db, "").drop().await;
    }
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    for made in rigs("newer", "") {
        made.put("1", &device("d", &[("apns", "t")]), NOW).await;
        made.db.run(&["INSERT INTO TABLE__schema (version) VALUES (7)"]).await;
        let error = stores(&toml(&made.db, "")).registry().unwrap().list("1").await.unwrap_err().to_string();
        assert!(error.contains("of version 7, and this Homing knows 1"), "{}: {error}", made.db.kind);
        made.drop().await;
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_down() {
    let store =
        "[stores.db]\nkind = 'mysql'\nurl = 'mysql://a:secret@127.0.0.1:1/x'\nallow_write = true\ntimeout = '200ms'";
    let stores = stores(&format!("{store}\n[registry]\nstore = 'db'"));
    let error = stores.registry().unwrap().put("1", &device("d", &[("apns", "t")]), NOW).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("gave no answer") && !text.contains("secret"), "{text}");
    let down = stores.lookup("registry.devices").unwrap().rows(&["1"]).await.unwrap_err();
    assert!(!down.refused && down.lookup == "registry.devices");
}

#[tokio::test]
async fn a_file_that_was_removed_is_not_written_to_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registry.db");
    let toml = format!(
        "[stores.db]\nkind = 'sqlite'\nurl = 'sqlite:{}'\nallow_write = true\ntimeout = '20s'\n[registry]\nstore = 'db'",
        file.display()
    );
    let (first, phone) = (stores(&toml), device("d", &[("apns", "t")]));
    let registry = first.registry().unwrap();
    registry.put("1", &phone, NOW).await.unwrap();
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", file.display())).ok();
    }
    // What was written now would be gone with the process.
    assert!(registry.put("2", &phone, NOW).await.is_err());
    assert!(first.lookup("registry.devices").unwrap().rows(&["1"]).await.is_err());
    // Whoever starts anew makes the tables, and both work with the file that is there.
    stores(&toml).registry().unwrap().put("3", &phone, NOW).await.unwrap();
    registry.put("4", &phone, NOW).await.unwrap();
    assert_eq!((registry.list("1").await.unwrap().len(), registry.list("3").await.unwrap().len()), (0, 1));
}

#[test]
fn a_registry_that_does_not_fit_is_refused() {
    let sqlite = "[stores.db]\nkind = 'sqlite'\nurl = 'sqlite:/nowhere/x.db'\n";
    let write = "allow_write = true\n";
    for (store, registry, part) in [
        (sqlite.to_owned(), "", "[registry] store: needs allow_write = true in [stores.db]"),
        (format!("{sqlite}{write}"), "prefix = 'a-b'", "[registry] prefix: is at most 40 small letters"),
        (format!("{sqlite}{write}"), "prefix = 'x; DROP'", "[registry] prefix"),
        (format!("{sqlite}{write}"), "undo = '31d'", "[registry] keep: is shorter than `undo`"),
        (format!("{sqlite}{write}"), "max_devices = 0", "[registry] max_devices: is 1 to 1000"),
        (format!("{sqlite}{write}"), "hooks = ['crm']", "[registry] hooks: and events_lane belong together"),
        (format!("{sqlite}{write}"), "events_lane = 'x'", "[registry] hooks: and events_lane belong together"),
        (format!("{sqlite}{write}"), "inactive_after = '0s'", "[registry] inactive_after: must be above 0"),
        (format!("{sqlite}{write}"), "keeep = '1d'", "unknown field `keeep`"),
        (
            "[stores.db]\nkind = 'redis'\nurl = 'redis://h'\n".to_owned(),
            "",
            "db is not of kind sqlite, mysql or postgres",
        ),
        (String::new(), "", "there is no [stores.db]"),
    ] {
        let message = refused(&format!("{store}[registry]\nstore = 'db'\n{registry}"));
        assert!(message.contains(part), "{message}");
    }
    let taken = "[lookup.'registry.devices']\nstore = 'db'\ntable = 't'\nid = 'i'\ncolumns = { a = 'a' }";
    let message = refused(&format!("{sqlite}{write}[registry]\nstore = 'db'\n{taken}"));
    assert!(message.contains("[lookup.registry.devices] name: is the registry's own name"), "{message}");
}
