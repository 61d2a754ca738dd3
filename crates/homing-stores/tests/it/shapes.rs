//! `rename`, `constant`, maps with a default, and tokens that were registered after their death, in every kind of store.

use homing_core::lookup::Death;
use redis::AsyncCommands;

use crate::sql::all;
use crate::support::{ask, stores, unique, variable};

fn died(since: Option<i64>) -> Death {
    Death { channel: "apns".into(), why: "410".into(), since }
}

#[tokio::test]
async fn sql_rows_get_names_constants_and_defaults() {
    for db in all("shapes") {
        let table = "CREATE TABLE TABLE_ (account_id INT, device VARCHAR(64), version VARCHAR(20))";
        db.run(&[table, "INSERT INTO TABLE_ VALUES (1, 't1', 'develop'), (2, 't2', '3.1'), (3, 't3', NULL)"]).await;
        let keys = "query = 'SELECT account_id, device, version FROM TABLE_ WHERE account_id IN (:user_ids)'
                    row_key = 'account_id'\nrename = { token = 'device', env = 'version' }
                    constant = { platform = 'ios', app = 'higo' }\nmap.env = { develop = 'dev', '*' = 'prod' }";
        let x = db.lookup("", keys);
        let row = |n, env| format!("account_id={n} app=higo env={env} platform=ios token=t{n}");
        assert_eq!(ask(&*x, &["1", "2", "3", "4"]).await, [row(1, "dev"), row(2, "prod"), row(3, "prod"), "-".into()]);
        assert_eq!(x.explain("3").await.unwrap().rows[0]["env"], "prod", "{}", db.kind);
        db.drop().await;
    }
}

#[tokio::test]
async fn a_token_registered_after_its_death_stays() {
    for db in all("since") {
        let column = match db.kind {
            "mysql" => "DATETIME",
            "postgres" => "TIMESTAMPTZ",
            _ => "TEXT",
        };
        let table = format!("CREATE TABLE TABLE_ (account_id INT, token VARCHAR(64), at {column}, seconds BIGINT)");
        // 2026-11-21 08:00:00 UTC is 1795248000.
        let rows = "INSERT INTO TABLE_ VALUES (1, 't1', '2026-11-21 08:00:00', 1795248000), (1, 't2', NULL, NULL)";
        db.run(&[&table, rows]).await;
        for column in ["at", "seconds"] {
            let keys = format!(
                "table = 'TABLE_'\nid = 'account_id'\ncolumns = {{ token = 'token', registered_at = '{column}' }}\n\
                 invalidate = 'UPDATE TABLE_ SET account_id = account_id WHERE account_id = :user AND token = :token'\n\
                 cache = '60s'"
            );
            let x = db.lookup("allow_write = true", &keys);
            let told = async |token: &str, since| x.forget("1", token, &died(since)).await.unwrap();
            assert!(!told("t1", Some(1_795_247_999_000)).await, "{} {column}: registered later", db.kind);
            assert!(!told("t1", Some(1_795_248_000_500)).await, "{} {column}: perhaps in that second", db.kind);
            assert!(told("t1", Some(1_795_248_001_000)).await, "{} {column}", db.kind);
            assert!(told("t1", None).await && told("t2", Some(1)).await, "{} {column}: nothing tells", db.kind);
            assert!(!told("t3", Some(1)).await, "{} {column}", db.kind);
        }
        db.drop().await;
    }
}

#[tokio::test]
async fn redis_tells_when_a_token_was_registered() {
    let (url, p) = (variable("HOMING_TEST_REDIS_URL"), unique("since"));
    let mut c = redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let toml = format!(
        "[stores.r]\nkind = 'redis'\nurl = '{url}'\nallow_write = true\n[lookup.x]\nstore = 'r'\ntype = 'hash'\n\
         key = '{p}:{{id}}'\nfields = ['token', 'registered_at']\ninvalidate = 'delete'"
    );
    let x = stores(&toml).lookup("x").unwrap();
    let _: () = c.hset_multiple(format!("{p}:1"), &[("token", "t"), ("registered_at", "1795248000123")]).await.unwrap();
    assert!(!x.forget("1", "t", &died(Some(1_795_248_000_122))).await.unwrap());
    assert!(x.forget("1", "t", &died(Some(1_795_248_000_123))).await.unwrap());
    // A time that cannot be read proves nothing: the token stays where the provider names a time.
    let _: () = c.hset_multiple(format!("{p}:2"), &[("token", "t"), ("registered_at", "yesterday")]).await.unwrap();
    assert!(!x.forget("2", "t", &died(Some(i64::MAX))).await.unwrap());
    assert!(x.forget("2", "t", &died(None)).await.unwrap());
}

#[tokio::test]
async fn mongodb_rows_get_names_and_constants() {
    let url = variable("HOMING_TEST_MONGO_URL");
    let database = unique("shapes").replace('-', "_");
    let client = mongodb::Client::with_uri_str(&url).await.unwrap();
    let devices = client.database(&database).collection::<mongodb::bson::Document>("devices");
    let at = mongodb::bson::DateTime::from_millis(1_795_248_000_000);
    devices.insert_one(mongodb::bson::doc! { "user": 1, "t": "t1", "at": at }).await.unwrap();
    let toml = format!(
        "[stores.m]\nkind = 'mongo'\nurl = '{url}'\nallow_write = true\n[lookup.x]\nstore = 'm'\n\
         database = '{database}'\ncollection = 'devices'\nid = 'user'\ncolumns = {{ token = 't', at = 'at', env = 'env' }}\n\
         rename = {{ registered_at = 'at' }}\nconstant = {{ platform = 'ios' }}\nmap.env = {{ '*' = 'prod' }}\n\
         invalidate = 'delete'"
    );
    let x = stores(&toml).lookup("x").unwrap();
    let row = "env=prod platform=ios registered_at=1795248000 token=t1";
    assert_eq!(ask(&*x, &["1", "2"]).await, [row, "-"]);
    assert!(!x.forget("1", "t1", &died(Some(1_795_247_000_000))).await.unwrap());
    assert!(x.forget("1", "t1", &died(Some(1_795_249_000_000))).await.unwrap());
    assert_eq!(ask(&*x, &["1"]).await, ["-"]);
    client.database(&database).drop().await.unwrap();
}
