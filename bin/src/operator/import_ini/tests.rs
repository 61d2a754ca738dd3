use std::path::Path;

use secrecy::ExposeSecret as _;

use super::{super::imported::write, *};
use crate::config::Config;

/// In the manner of HIGO's: no key of it is anybody's.
const HIGO: &str = "\u{feff}; push\r\n[redis]\r\nhost = 10.0.0.5\r\nport: 6380\r\ndb=2\r\n\r\n\
    [mongo]\r\nmongo_host = 10.0.0.6\r\nmongo_db = im_chat\r\n\
    [mysql]\r\nhost = 10.0.0.7 ; the replica\r\nuser = push\r\npasswd = p@ss;w#rd\r\ndb = higo_main\r\n\
    [queue]\r\nmessage_queue = hg_message_queue\r\nxg_queue = hg_xg\r\ngroup_queue = higo_group_chat_message%d\r\n\
    group_xg_queue = hg_group_xg\r\nqueue_max = 8\r\nprivate_queue_max = 3\r\n\
    [xinge]\r\nandroid_higo_appid = 2100000011\r\nandroid_higo_skey = made-up-1\r\n\
    ios_higo_appid = 2200000011\r\nios_higo_skey = made-up-2\r\n\
    android_higirl_appid = 2100000012\r\nandroid_higirl_skey = made-up-3\r\n\
    ios_higirl_appid = 2200000012\r\nios_higirl_skey = made-up-4\r\n\
    local_ios_higo_appid = 2200000013\r\nlocal_ios_higo_skey = made-up-5\r\nlocal_ios_higirl_appid = 2200000014\r\n\
    [log]\r\nlog_dir = %(home)s/logs\r\nlevel = DEBUG\r\n\
    [misc]\r\nhome = /data/%(user)s\r\nhg_magic_word = made-up-6\r\nscan_interval = 10\r\n";

/// The configuration as the programs read it, with its secrets in their files.
fn load(imported: &Imported) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("higo.toml");
    write(&out, imported, false).unwrap();
    Config::load(&[out]).unwrap_or_else(|error| panic!("{error:#}\n{}", imported.toml))
}

#[track_caller]
fn remarked(imported: &Imported, remark: &str) {
    assert!(imported.remarks.iter().any(|r| r == remark), "{remark:?} is not in {:#?}", imported.remarks);
    assert!(imported.toml.contains(&format!("#   {remark}\n")), "{remark:?} is not in\n{}", imported.toml);
}

#[test]
fn higos_file_becomes_a_configuration_that_can_be_used() {
    let imported = import("push.ini", HIGO.as_bytes()).unwrap();
    let config = load(&imported);
    assert_eq!(config.redis.url.expose_secret(), "redis://10.0.0.5:6380/2");
    let store = |name: &str| config.stores.get(name).unwrap().url.expose_secret().to_owned();
    assert_eq!(store("main_redis"), "redis://10.0.0.5:6380/2");
    assert_eq!(store("account_db"), "mysql://push:p%40ss%3Bw%23rd@10.0.0.7:3306/higo_main");
    assert_eq!(store("im"), "mongodb://10.0.0.6:27017/im_chat");
    let lists = |lane: &str| {
        let lane = config.lane.get(lane).unwrap();
        let delivery = lane.delivery.get("xinge").unwrap();
        (lane.entry.name.clone(), lane.entry.shards, delivery.name.clone(), delivery.shards)
    };
    let of = |entry: &str, n, delivery: &str, m| (entry.to_owned(), n, delivery.to_owned(), m);
    assert_eq!(lists("system"), of("hg_message_queue", 1, "hg_xg", 1));
    assert_eq!(lists("group"), of("higo_group_chat_message{n}", 8, "hg_group_xg{n}", 8));
    assert_eq!(lists("private"), of("higo_private_chat_message{n}", 3, "higo_private_xinge_queue{n}", 3));
    let accounts: Vec<String> = config
        .account
        .iter()
        .map(|(name, account)| {
            account.validate().unwrap();
            format!("{name} {} {} {}", account.label(), account.access_id, account.secret.expose_secret())
        })
        .collect();
    assert_eq!(
        accounts,
        [
            "android_higirl higirl/android 2100000012 made-up-3",
            "android_higo higo/android 2100000011 made-up-1",
            "ios_higirl higirl/ios 2200000012 made-up-4",
            "ios_higo higo/ios 2200000011 made-up-2",
            "local_ios_higo higo/ios/dev 2200000013 made-up-5",
        ]
    );
    assert_eq!(config.log.filter, "debug");
    crate::operator::shards(&config).unwrap();
    remarked(&imported, "[misc] hg_magic_word: not understood");
    remarked(&imported, "[misc] home: not understood");
    remarked(&imported, "account local_ios_higirl: no secret key was found; it is left out");
    remarked(&imported, "no list of the lane private was found: [lane.private] has HIGO's own names");
    assert!(imported.remarks.iter().any(|r| r.starts_with("[log] log_dir: not needed")), "{:?}", imported.remarks);
    assert!(imported.remarks.iter().any(|r| r.starts_with("[misc] scan_interval: not needed")));
}

#[test]
fn no_secret_stands_in_the_configuration_or_in_a_remark() {
    let imported = import("push.ini", HIGO.as_bytes()).unwrap();
    for secret in ["made-up", "p@ss", "p%40ss"] {
        assert!(!imported.toml.contains(secret), "{secret}\n{}", imported.toml);
        assert!(!format!("{imported:?}").contains(secret));
    }
    let names: Vec<&str> = imported.secrets.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["mysql_url", "android_higirl", "ios_higirl", "android_higo", "ios_higo", "local_ios_higo"];
    assert_eq!(names, expected.map(|name| format!("secrets/{name}")));
}

#[test]
fn secrets_are_their_owners_alone_and_nothing_is_replaced_unasked() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("higo.toml"), dir.path().join("secrets/ios_higo"));
    let imported = import("push.ini", HIGO.as_bytes()).unwrap();
    write(&out, &imported, false).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&dir.path().join("secrets"))), (0o600, 0o700));
    assert_eq!(fs::read_to_string(&file).unwrap(), "made-up-2");
    let error = write(&out, &imported, false).unwrap_err().to_string();
    assert!(error.contains("higo.toml is there already"), "{error}");
    fs::remove_file(&out).unwrap();
    let error = write(&out, &imported, false).unwrap_err().to_string();
    assert!(error.contains("secrets/mysql_url is there already") && !out.exists(), "{error}");
    fs::write(&file, "old").unwrap();
    write(&out, &imported, true).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "made-up-2");
}

#[test]
fn keys_may_be_spelt_otherwise() {
    let ini = "android_higo_app_id = 2100000011\nandroid_higo_secret_key = a\n[iphone_higirl]\nappid = 2200000012\n\
               skey = b\n[test]\nhigo_ios_access_id = 2200000013\nhigo_ios_secret = c\n[RedisServer]\n\
               queueHost = q.example\nonline_host = o.example:7000\nstats_host = s.example\n";
    let imported = import("x.ini", ini.as_bytes()).unwrap();
    let config = load(&imported);
    let labels: Vec<String> = config.account.values().map(homing_channels::xinge::Account::label).collect();
    assert_eq!(labels, ["higo/android", "higirl/ios", "higo/ios/dev"]);
    assert_eq!(config.redis.url.expose_secret(), "redis://q.example:6379/0");
    assert_eq!(config.stores.get("main_redis").unwrap().url.expose_secret(), "redis://o.example:7000/0");
    assert_eq!(config.stores.get("redis_stats").unwrap().url.expose_secret(), "redis://s.example:6379/0");
}

#[test]
fn pythons_reader_is_followed() {
    // No section, continued lines, ` ;` comments, equal keys, interpolation, keys without values, other encodings.
    let ini = b"; \xc4\xe3\xba\xc3\nredis_host = 10.0.0.1\nredis_host = 10.0.0.2 ; this one\nmysql_host = %(db)s\n\
                mongo_host =\nmore = a\n  b = c\nios_higo_skey = a;b#c\nios_higo_appid = 2200000011\nlonely\n";
    let imported = import("x.ini", ini).unwrap();
    let config = load(&imported);
    assert_eq!(config.redis.url.expose_secret(), "redis://10.0.0.2:6379/0");
    assert_eq!(config.account.get("ios_higo").unwrap().secret.expose_secret(), "a;b#c");
    remarked(&imported, "mysql_host: its value refers to another key by %(..)s: write it out");
    remarked(&imported, "mongo_host: it has no value");
    remarked(&imported, "lonely: it has no value");
    remarked(&imported, "more: its value has several lines");
}

#[test]
fn what_cannot_be_is_said() {
    let error = |text: &str| import("x.ini", text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error("[redis]\nhost = a\n[mongo\n"),
        "x.ini: line 3: Found opening bracket for section name but no closing bracket"
    );
    assert_eq!(error("[a]\nb = c\n"), "x.ini: no key in it is understood: is it HIGO's ini file?");
    assert_eq!(error(""), "x.ini: no key in it is understood: is it HIGO's ini file?");
    let imported =
        import("x.ini", b"ios_a_appid = 2100000001\nios_a_skey = x\nandroid_b_appid = abc\nandroid_b_skey = y\n")
            .unwrap();
    remarked(&imported, "account ios_a: its access id 2100000001 is that of an Android app");
    remarked(&imported, "account android_b: taken for v3 by its access id; correct `flavour` if it is another's");
    remarked(&imported, "no Redis server was found: [redis] is the pattern's");
}
