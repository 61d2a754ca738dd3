//! The device registry's contract: the same suite over MariaDB, PostgreSQL and SQLite.

use std::collections::BTreeMap;
use std::sync::Arc;

use homing_core::lookup::Death;
use homing_core::notification::{Environment, Platform};
use homing_core::registry::{ChangeKind, Device, Error, Preferences, Put, Registry};
use homing_stores::Stores;

use crate::sql::{Db, all};
use crate::support::{ask, stores};

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;
/// When the tests play.
pub(crate) const NOW: i64 = 1_795_000_000_000;

/// A registry with tables of this test's own.
pub(crate) struct Rig {
    pub(crate) db: Db,
    pub(crate) stores: Stores,
    pub(crate) registry: Arc<dyn Registry>,
}

pub(crate) fn toml(db: &Db, keys: &str) -> String {
    db.toml("allow_write = true\ntimeout = '20s'", &format!("[registry]\nstore = 'db'\nprefix = 'TABLE__'\n{keys}"))
}

pub(crate) const TOLD: &str = "events_lane = 'system'\nhooks = ['crm']\n";

pub(crate) fn rig(db: Db, keys: &str) -> Rig {
    let stores = stores(&toml(&db, keys));
    let registry = stores.registry().unwrap();
    Rig { db, stores, registry }
}

pub(crate) fn rigs(test: &str, keys: &str) -> Vec<Rig> {
    all(test).into_iter().map(|db| rig(db, keys)).collect()
}

impl Rig {
    pub(crate) async fn drop(self) {
        let tables = ["user", "device", "token", "topic", "change", "schema"];
        let drops: Vec<String> = tables.iter().map(|table| format!("DROP TABLE IF EXISTS TABLE__{table}")).collect();
        self.db.run(&drops.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    pub(crate) async fn put(&self, user: &str, device: &Device, now: i64) -> Put {
        self.registry.put(user, device, now).await.unwrap_or_else(|error| panic!("{}: {error:?}", self.db.kind))
    }

    /// The devices as the lookup shows them, one text per user.
    pub(crate) async fn devices(&self, users: &[&str]) -> Vec<String> {
        ask(&*self.stores.lookup("registry.devices").unwrap(), users).await
    }

    pub(crate) async fn forget(&self, user: &str, token: &str, channel: &str, since: Option<i64>) -> bool {
        let death = Death { channel: channel.into(), why: "410 Unregistered".into(), since };
        self.stores.lookup("registry.devices").unwrap().forget(user, token, &death).await.unwrap()
    }

    /// What the outbox holds, acknowledged now: `token_moved 1/phone apns`.
    pub(crate) async fn changes(&self) -> Vec<String> {
        let changes = self.registry.changes(0, 1_000).await.unwrap();
        let seqs: Vec<u64> = changes.iter().map(|change| change.seq).collect();
        assert!(seqs.is_sorted(), "{seqs:?}");
        self.registry.acknowledge(&seqs, NOW).await.unwrap();
        let line = |change: &homing_core::registry::Change| {
            let words =
                [change.kind.name(), &format!("{}/{}", change.user, change.device), &change.channel, &change.why];
            words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
        };
        changes.iter().map(line).collect()
    }
}

pub(crate) fn device(id: &str, tokens: &[(&str, &str)]) -> Device {
    Device {
        id: id.into(),
        app: "higo".into(),
        platform: Platform::Ios,
        environment: Environment::Production,
        tokens: tokens.iter().map(|(channel, token)| ((*channel).into(), (*token).into())).collect(),
        locale: None,
        model: None,
        topics: Vec::new(),
    }
}

const PHONE: &str = "app=higo channel=apns device=phone env=prod platform=ios token=";

#[tokio::test]
async fn a_device_is_registered_confirmed_and_changed() {
    for rig in rigs("life", TOLD) {
        let kind = rig.db.kind;
        assert_eq!(rig.devices(&["1"]).await, ["-"], "{kind}");
        let phone = Device { model: Some("Pixel 9".into()), ..device("phone", &[("apns", "t1")]) };
        assert_eq!(rig.put("1", &phone, NOW).await, Put { created: true, moved: 0 }, "{kind}");
        assert_eq!(rig.put("1", &phone, NOW + 5).await, Put { created: false, moved: 0 });
        assert_eq!(rig.devices(&["1", "2", "1"]).await, [format!("{PHONE}t1"), "-".into(), format!("{PHONE}t1")]);
        assert_eq!(rig.changes().await, ["device_registered 1/phone"], "{kind}: a confirmation is no change");

        // Two channels' tokens of one device; the former token is gone.
        let both =
            Device { environment: Environment::Development, ..device("phone", &[("apns", "t2"), ("fcm", "f1")]) };
        rig.put("1", &both, NOW + 10).await;
        let dev = "app=higo channel=apns device=phone env=dev platform=ios token=t2; \
                   app=higo channel=fcm device=phone env=dev platform=ios token=f1";
        assert_eq!(rig.devices(&["1"]).await, [dev], "{kind}");
        assert_eq!(rig.changes().await, ["device_registered 1/phone"]);

        // The device that was seen last stands first.
        rig.put("1", &device("pad", &[("apns", "t3")]), NOW + 20).await;
        let rows = rig.devices(&["1"]).await.remove(0);
        assert!(rows.find("device=pad") < rows.find("device=phone"), "{rows}");
        let held = rig.registry.list("1").await.unwrap();
        let shown: Vec<_> = held.iter().map(|held| (held.device.id.as_str(), held.created_at, held.seen_at)).collect();
        assert_eq!(shown, [("pad", NOW + 20, NOW + 20), ("phone", NOW, NOW + 10)], "{kind}");
        assert_eq!((&held[1].device.model, held[1].device.tokens.len(), &held[1].gone), (&None, 2, &None));
        assert_eq!(held[1].tokens[0].registered_at, NOW + 10);
        assert_eq!(rig.registry.list("2").await.unwrap(), []);
        rig.drop().await;
    }
}

#[tokio::test]
async fn a_token_belongs_to_who_registered_it_last() {
    for rig in rigs("moves", TOLD) {
        let kind = rig.db.kind;
        rig.put("ann", &device("phone", &[("apns", "t1"), ("fcm", "f1")]), NOW).await;
        assert_eq!(rig.put("bob", &device("phone", &[("apns", "t1")]), NOW + 1).await, Put { created: true, moved: 1 });
        let ann = "app=higo channel=fcm device=phone env=prod platform=ios token=f1";
        assert_eq!(rig.devices(&["ann", "bob"]).await, [ann.to_owned(), format!("{PHONE}t1")], "{kind}");
        let expected = ["device_registered ann/phone", "token_moved ann/phone apns", "device_registered bob/phone"];
        assert_eq!(rig.changes().await, expected, "{kind}");
        // The same user with a new installation.
        assert_eq!(rig.put("bob", &device("new", &[("apns", "t1")]), NOW + 2).await.moved, 1);
        assert!(rig.devices(&["bob"]).await[0].contains("device=new"));
        // Another app or channel with the same text is another token.
        rig.put("eve", &Device { app: "higirl".into(), ..device("phone", &[("apns", "t1")]) }, NOW + 3).await;
        rig.put("eve", &device("pad", &[("xinge", "t1")]), NOW + 3).await;
        assert!(rig.devices(&["bob"]).await[0].contains("token=t1"), "{kind}");
        // A dead token that moves is told to nobody.
        rig.changes().await;
        assert!(rig.forget("bob", "t1", "apns", None).await);
        assert_eq!(rig.put("ann", &device("phone", &[("apns", "t1")]), NOW + 4).await.moved, 1);
        let expected = ["token_died bob/new apns 410 Unregistered", "device_registered ann/phone"];
        assert_eq!(rig.changes().await, expected, "{kind}");
        rig.drop().await;
    }
}

#[tokio::test]
async fn a_dead_token_is_kept_for_a_while_and_one_registered_later_lives() {
    for rig in rigs("dead", &format!("{TOLD}undo = '1d'\nkeep = '2d'")) {
        let kind = rig.db.kind;
        let phone = device("phone", &[("apns", "t1"), ("fcm", "f1")]);
        rig.put("1", &phone, NOW).await;
        assert!(!rig.forget("1", "t1", "apns", Some(NOW - 1)).await, "{kind}: it was registered later");
        assert!(!rig.forget("1", "t1", "fcm", None).await, "{kind}: it is no token of that channel");
        assert!(!rig.forget("2", "t1", "apns", None).await && !rig.forget("1", "x", "apns", None).await);
        assert!(!rig.forget("1", "", "apns", None).await && !rig.forget("", "t1", "apns", None).await);
        assert!(rig.devices(&["1"]).await[0].contains("token=t1"), "{kind}");

        assert!(rig.forget("1", "t1", "apns", Some(NOW)).await, "{kind}");
        assert!(!rig.forget("1", "t1", "apns", Some(NOW)).await, "{kind}: once");
        assert!(!rig.devices(&["1"]).await[0].contains("token=t1"), "{kind}");
        let held = rig.registry.list("1").await.unwrap().remove(0);
        let death = held.tokens[0].death.clone().unwrap();
        assert_eq!((death.why.as_str(), death.channel.as_str(), death.since), ("410 Unregistered", "apns", Some(NOW)));
        assert_eq!((held.device.tokens.len(), held.tokens.len(), &held.gone), (1, 2, &None), "{kind}");
        // The registry's own clock says when; the real one is behind NOW.
        let died = death.at;
        assert_eq!(rig.registry.restore("1", "phone", died + DAY).await.unwrap(), 1, "{kind}");
        assert_eq!(rig.registry.restore("1", "phone", died + DAY).await.unwrap(), 0);
        assert!(rig.devices(&["1"]).await[0].contains("token=t1"), "{kind}");
        assert!(rig.forget("1", "t1", "apns", Some(NOW)).await, "{kind}: a restored token is not younger");
        let died = rig.registry.list("1").await.unwrap()[0].tokens[0].death.clone().unwrap().at;
        assert_eq!(rig.registry.restore("1", "phone", died + DAY + 1).await.unwrap(), 0, "{kind}: too late");
        let expected = [
            "device_registered 1/phone",
            "token_died 1/phone apns 410 Unregistered",
            "device_restored 1/phone",
            "token_died 1/phone apns 410 Unregistered",
        ];
        assert_eq!(rig.changes().await, expected, "{kind}");

        // To register it again is enough.
        rig.put("1", &phone, NOW + 10).await;
        assert!(rig.devices(&["1"]).await[0].contains("token=t1"), "{kind}");
        assert!(!rig.forget("1", "t1", "apns", Some(NOW)).await, "{kind}");
        assert!(rig.forget("1", "t1", "", None).await, "{kind}: no channel says of whatever channel");
        let error = rig.registry.restore("1", "other", NOW).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no such device of this user", "{kind}");
        assert!(matches!(error, Error::Unknown(_)));
        rig.drop().await;
    }
}

#[tokio::test]
async fn devices_are_deleted_and_that_is_taken_back() {
    for rig in rigs("delete", &format!("{TOLD}undo = '1d'")) {
        let kind = rig.db.kind;
        for (id, token) in [("a", "t1"), ("b", "t2"), ("c", "t3")] {
            rig.put("1", &device(id, &[("apns", token)]), NOW).await;
        }
        rig.put("2", &device("a", &[("apns", "t4")]), NOW).await;
        rig.changes().await;
        assert_eq!(rig.registry.delete("1", Some("a"), NOW + 1).await.unwrap(), 1, "{kind}");
        assert_eq!(rig.registry.delete("1", Some("a"), NOW + 1).await.unwrap(), 0);
        assert_eq!(rig.registry.delete("1", Some("x"), NOW + 1).await.unwrap(), 0);
        assert_eq!(rig.registry.delete("9", None, NOW + 1).await.unwrap(), 0);
        let rows = rig.devices(&["1", "2"]).await;
        assert!(!rows[0].contains("t1") && rows[0].contains("t2") && rows[1].contains("t4"), "{kind}: {rows:?}");
        assert_eq!(rig.registry.delete("1", None, NOW + 2).await.unwrap(), 2, "{kind}");
        assert_eq!(rig.devices(&["1"]).await, ["-"]);
        let held = rig.registry.list("1").await.unwrap();
        assert_eq!(held[0].gone, Some((NOW + 1, "deleted".into())), "{kind}");
        assert_eq!(rig.changes().await.len(), 3, "{kind}");

        assert_eq!(rig.registry.restore("1", "a", NOW + DAY).await.unwrap(), 1, "{kind}");
        assert!(rig.registry.restore("1", "b", NOW + 3 + DAY).await.is_err(), "{kind}: too late");
        assert_eq!(rig.devices(&["1"]).await, ["app=higo channel=apns device=a env=prod platform=ios token=t1"]);
        assert_eq!(rig.changes().await, ["device_restored 1/a"], "{kind}");
        // A token that another has registered since is not taken from it.
        rig.put("2", &device("z", &[("apns", "t2")]), NOW + 3).await;
        assert_eq!(rig.registry.restore("1", "b", NOW + 4).await.unwrap(), 0, "{kind}");
        assert!(rig.devices(&["2"]).await[0].contains("t2"));
        rig.drop().await;
    }
}

#[tokio::test]
async fn a_user_has_so_many_devices_and_topics() {
    for rig in rigs("caps", "max_devices = 2\nmax_topics = 3") {
        let kind = rig.db.kind;
        for n in 0..2 {
            rig.put("1", &device(&format!("d{n}"), &[("apns", &format!("t{n}"))]), NOW).await;
        }
        let third = device("d2", &[("apns", "t2")]);
        let error = rig.registry.put("1", &third, NOW).await.unwrap_err();
        assert!(matches!(error, Error::Full { field: "devices", most: 2 }), "{kind}: {error:?}");
        assert_eq!(rig.registry.list("1").await.unwrap().len(), 2, "{kind}: nothing of it happened");
        rig.put("1", &device("d1", &[("apns", "t9")]), NOW).await;
        // A dead device takes no room; and one that comes back needs it.
        assert!(rig.forget("1", "t0", "apns", None).await);
        rig.put("1", &third, NOW).await;
        let died = rig.registry.list("1").await.unwrap();
        let died = died.iter().find(|held| held.device.id == "d0").unwrap().tokens[0].death.clone().unwrap().at;
        assert!(matches!(rig.registry.restore("1", "d0", died).await.unwrap_err(), Error::Full { .. }), "{kind}");
        // Topics that come with a device count too, and refuse all of it.
        let four = Device { topics: ["a", "b", "c", "d"].map(str::to_owned).into(), ..device("d1", &[("apns", "t5")]) };
        let error = rig.registry.put("1", &four, NOW).await.unwrap_err();
        assert!(matches!(error, Error::Full { field: "topics", most: 3 }), "{kind}: {error:?}");
        assert!(rig.registry.topics("1").await.unwrap().is_empty(), "{kind}");
        assert!(rig.devices(&["1"]).await[0].contains("t9"), "{kind}");
        rig.drop().await;
    }
}

#[tokio::test]
async fn what_is_not_seen_goes_and_what_is_gone_is_cleared_away() {
    for rig in rigs("expire", &format!("{TOLD}inactive_after = '10d'\nundo = '1d'\nkeep = '2d'")) {
        let kind = rig.db.kind;
        for n in 0..5 {
            rig.put(&n.to_string(), &device("d", &[("apns", &format!("t{n}"))]), NOW + n * DAY).await;
        }
        rig.changes().await;
        let at = NOW + 12 * DAY + 1;
        let swept = rig.registry.expire(at, 2).await.unwrap();
        // The five changes that were told are older than a day, too.
        assert_eq!((swept.expired, swept.removed, swept.dropped), (2, 2, 0), "{kind}: at most so many a call");
        let swept = rig.registry.expire(at, 2).await.unwrap();
        assert_eq!((swept.expired, swept.removed, swept.dropped), (1, 2, 0), "{kind}");
        assert_eq!(rig.registry.expire(at, 2).await.unwrap().removed, 1, "{kind}");
        assert_eq!(rig.registry.expire(at, 2).await.unwrap(), Default::default(), "{kind}");
        let rows = rig.devices(&["0", "1", "2", "3", "4"]).await;
        assert_eq!(rows.iter().filter(|rows| *rows == "-").count(), 3, "{kind}: {rows:?}");
        assert_eq!(rig.registry.list("0").await.unwrap()[0].gone, Some((at, "inactive".into())), "{kind}");
        let mut changes = rig.changes().await;
        changes.sort();
        assert_eq!(changes, (0..3).map(|n| format!("device_expired {n}/d inactive")).collect::<Vec<_>>(), "{kind}");
        // One is restored and counts as seen, one registers anew, one is cleared away with the changes that were told.
        assert_eq!(rig.registry.restore("0", "d", at + 1).await.unwrap(), 1, "{kind}");
        rig.put("1", &device("d", &[("apns", "t1")]), at + 1).await;
        let swept = rig.registry.expire(at + 2 * DAY + 1, 500).await.unwrap();
        assert_eq!(swept.expired, 2, "{kind}: 3 and 4");
        assert!(swept.removed >= 2, "{kind}: a token and a device, {swept:?}");
        assert_eq!(rig.registry.list("2").await.unwrap(), [], "{kind}");
        assert_eq!(rig.registry.list("0").await.unwrap()[0].gone, None, "{kind}");
        assert_eq!(rig.devices(&["0", "1"]).await.iter().filter(|rows| *rows != "-").count(), 2, "{kind}");
        // Changes that nobody takes do not grow for ever.
        let pending = rig.registry.changes(0, 100).await.unwrap().len();
        let swept = rig.registry.expire(at + 9 * DAY, 500).await.unwrap();
        assert_eq!(swept.dropped, pending as u64, "{kind}");
        assert_eq!(rig.registry.changes(0, 100).await.unwrap(), [], "{kind}");
        rig.drop().await;
    }
}

#[tokio::test]
async fn what_a_user_wants_and_follows() {
    for rig in rigs("wants", "") {
        let kind = rig.db.kind;
        let profile = rig.stores.lookup("registry.profile").unwrap();
        assert_eq!(rig.registry.preferences("1").await.unwrap(), Preferences::default(), "{kind}");
        let phone = Device { locale: Some("de".into()), topics: vec!["sale".into()], ..device("p", &[("apns", "t")]) };
        rig.put("1", &phone, NOW).await;
        assert_eq!(ask(&*profile, &["1", "2"]).await, ["locale=de", "-"], "{kind}: the device's language");
        let wanted = Preferences {
            locale: Some("zh-CN".into()),
            time_zone: Some("Asia/Shanghai".into()),
            quiet_from: Some("22:30".into()),
            quiet_to: Some("07:00".into()),
            muted: vec!["MARKETING".into(), "15".into()],
        };
        rig.registry.prefer("1", &wanted, NOW).await.unwrap();
        rig.put("1", &phone, NOW + 1).await;
        assert_eq!(rig.registry.preferences("1").await.unwrap(), wanted, "{kind}");
        let row = "locale=zh-CN muted=MARKETING,15 quiet_from=22:30 quiet_to=07:00 time_zone=Asia/Shanghai";
        assert_eq!(ask(&*profile, &["1"]).await, [row], "{kind}");
        rig.registry.prefer("1", &Preferences::default(), NOW).await.unwrap();
        assert_eq!(ask(&*profile, &["1"]).await, ["locale=de"], "{kind}");

        assert!(
            rig.registry.follow("1", "new", NOW).await.unwrap() && !rig.registry.follow("1", "new", NOW).await.unwrap()
        );
        assert_eq!(rig.registry.topics("1").await.unwrap(), ["new", "sale"], "{kind}");
        assert!(rig.registry.unfollow("1", "new").await.unwrap() && !rig.registry.unfollow("1", "new").await.unwrap());
        assert!(rig.registry.erase("1", NOW).await.unwrap() && !rig.registry.erase("1", NOW).await.unwrap(), "{kind}");
        assert_eq!(rig.registry.list("1").await.unwrap(), []);
        assert!(rig.registry.topics("1").await.unwrap().is_empty());
        assert_eq!(
            (ask(&*profile, &["1"]).await, rig.devices(&["1"]).await),
            (vec!["-".into()], vec!["-".into()]),
            "{kind}"
        );
        rig.drop().await;
    }
}

#[tokio::test]
async fn a_change_is_read_until_it_is_acknowledged() {
    for rig in rigs("outbox", TOLD) {
        let kind = rig.db.kind;
        let wake = rig.registry.wake();
        for n in 0..5 {
            rig.put("1", &device(&format!("d{n}"), &[("apns", &format!("t{n}"))]), NOW + n).await;
        }
        tokio::time::timeout(std::time::Duration::from_secs(20), wake.notified()).await.unwrap();
        let first = rig.registry.changes(0, 2).await.unwrap();
        assert_eq!((first.len(), first[0].kind, first[0].at), (2, ChangeKind::DeviceRegistered, NOW), "{kind}");
        assert_eq!(rig.registry.changes(0, 2).await.unwrap(), first, "{kind}: reading changes nothing");
        let rest = rig.registry.changes(first[1].seq, 100).await.unwrap();
        assert_eq!(rest.len(), 3, "{kind}");
        // A higher number may be done before a lower one.
        rig.registry.acknowledge(&[rest[2].seq, rest[0].seq], NOW).await.unwrap();
        rig.registry.acknowledge(&[rest[2].seq], NOW).await.unwrap();
        let left: Vec<u64> = rig.registry.changes(0, 100).await.unwrap().iter().map(|change| change.seq).collect();
        assert_eq!(left, [first[0].seq, first[1].seq, rest[1].seq], "{kind}");
        rig.registry.acknowledge(&left, NOW).await.unwrap();
        rig.registry.expire(NOW + 2 * DAY, 500).await.unwrap();
        rig.put("1", &device("d9", &[("apns", "t9")]), NOW).await;
        let next = rig.registry.changes(0, 100).await.unwrap();
        assert!(next.len() == 1 && next[0].seq > rest[2].seq, "{kind}: a number is never given again");
        rig.drop().await;
    }
    // Where nobody is told, nothing is kept.
    let rig = rigs("untold", "").remove(2);
    rig.put("1", &device("d", &[("apns", "t")]), NOW).await;
    assert_eq!(rig.registry.changes(0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn ids_are_compared_letter_for_letter() {
    for rig in rigs("ids", "") {
        let kind = rig.db.kind;
        let long = "u".repeat(256);
        let users =
            ["42", "42 ", "042", "4.2e1", "Ann", "ANN", "ann", "Änn", "💡", "a'b", "a\"b\\", "%", "_", "NULL", &long];
        for (n, user) in users.iter().enumerate() {
            let token = format!("t-{n}-'\"\\%💡");
            rig.put(user, &device("d' OR '1'='1", &[("apns", &token)]), NOW).await;
            rig.registry.follow(user, "t'💡", NOW).await.unwrap();
        }
        let rows = rig.devices(&users).await;
        for (n, rows) in rows.iter().enumerate() {
            let expected = format!("device=d' OR '1'='1 env=prod platform=ios token=t-{n}-'\"\\%💡");
            assert!(rows.ends_with(&expected) && !rows.contains(';'), "{kind}: {rows}");
        }
        let nobody = ["4", "42  ", " 42", "", "\n", &"u".repeat(257), &"u".repeat(600)];
        assert!(rig.devices(&nobody).await.iter().all(|rows| rows == "-"), "{kind}");
        assert_eq!(rig.registry.delete("42", None, NOW).await.unwrap(), 1, "{kind}");
        assert_ne!(rig.devices(&["42 "]).await, ["-"], "{kind}");
        let members = rig.stores.members("registry.topic").unwrap();
        let mut sorted: Vec<&str> = users.to_vec();
        sorted.sort_unstable();
        assert_eq!(members.page("t'💡", None, 100).await.unwrap().members, sorted, "{kind}: by their bytes");
        rig.drop().await;
    }
}

#[tokio::test]
async fn a_device_may_have_eight_channels_and_long_tokens() {
    for rig in rigs("long", "") {
        let tokens: BTreeMap<String, String> =
            (0..8).map(|n| (format!("{}{n}", "c".repeat(63)), format!("{n}{}", "x".repeat(4_095)))).collect();
        let phone = Device { tokens: tokens.clone(), ..device(&"d".repeat(128), &[]) };
        rig.put(&"u".repeat(256), &phone, NOW).await;
        let held = rig.registry.list(&"u".repeat(256)).await.unwrap().remove(0);
        assert_eq!(held.device.tokens, tokens, "{}", rig.db.kind);
        rig.drop().await;
    }
}
