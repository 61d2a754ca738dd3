//! What lookups in Redis may remove: a dead token while it is still that one, and all of a user's.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use homing_core::lookup::{Death, Lookup};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::support::{ask, refused, stores, unique, variable};

async fn connection() -> MultiplexedConnection {
    let client = redis::Client::open(variable("HOMING_TEST_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

fn toml(store: &str, keys: &str) -> String {
    let url = variable("HOMING_TEST_REDIS_URL");
    format!("[stores.r]\nkind = 'redis'\nurl = '{url}'\n{store}\n[lookup.x]\nstore = 'r'\n{keys}")
}

fn lookup(keys: &str) -> Arc<dyn Lookup> {
    stores(&toml("allow_write = true", keys)).lookup("x").unwrap()
}

const AGENT: &str = "type = 'hash'
fields = { token = 'app_token', app = 'app_ident', env = 'app_version', focus = 'app_focus', clean = 'clean' }
map.env = { develop = 'dev', '*' = 'prod' }
constant = { platform = 'ios' }
invalidate = 'delete'
clean = true
";

#[tokio::test]
async fn an_agents_hash_is_read_cleaned_and_its_dead_token_goes() {
    let (mut c, p) = (connection().await, unique("agent"));
    let user = |id: &str| format!("{p}:User:{id}");
    let x = lookup(&format!("{AGENT}key = '{p}:User:{{user_id}}'"));
    let _: () =
        c.hset_multiple(user("1"), &[("app_token", "t1"), ("app_ident", "higo"), ("nick", "ann")]).await.unwrap();
    let dev =
        [("app_token", "t2"), ("app_ident", "higo"), ("app_version", "develop"), ("app_focus", "1"), ("clean", "1")];
    let _: () = c.hset_multiple(user("2"), &dev).await.unwrap();
    let _: () = c.hset_multiple(user("3"), &[("app_version", "2.4.1"), ("app_token", "t3")]).await.unwrap();
    let expected = [
        "app=higo env=prod platform=ios token=t1",
        "app=higo clean=1 env=dev focus=1 platform=ios token=t2",
        "env=prod platform=ios token=t3",
        "-",
    ];
    assert_eq!(ask(&*x, &["1", "2", "3", "4"]).await, expected);

    let dead = Death::default();
    assert!(!x.forget("1", "t2", &dead).await.unwrap() && !x.forget("4", "t1", &dead).await.unwrap());
    assert!(x.forget("1", "t1", &dead).await.unwrap() && !x.forget("1", "t1", &dead).await.unwrap());
    let left: Vec<String> = c.hkeys(user("1")).await.unwrap();
    assert_eq!(left, ["app_ident", "nick"], "the token's field alone");
    assert!(x.clean("2").await.unwrap() && !x.clean("2").await.unwrap());
    assert!(!c.exists::<_, bool>(user("2")).await.unwrap() && c.exists::<_, bool>(user("3")).await.unwrap());
    // What is no hash any more is no error.
    let _: () = c.set(user("5"), "x").await.unwrap();
    assert!(!x.forget("5", "x", &dead).await.unwrap());
    let told = x.explain("3").await.unwrap();
    assert!(!told.raw.contains("t3") && told.rows[0]["platform"] == "ios", "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_written_anew_is_never_taken() {
    let (mut c, p) = (connection().await, unique("race"));
    let x = lookup(&format!("{AGENT}key = '{p}:{{user_id}}'"));
    let key = format!("{p}:1");
    let _: () = c.hset(&key, "app_token", "t0").await.unwrap();
    // An app writes new tokens as fast as it can; a sender takes out each that it read, as if it had died meanwhile.
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (mut c, key, stop) = (c.clone(), key.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let (mut written, mut missing) = (0_u64, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                written += 1;
                let token = format!("live-{written}");
                let _: () = c.hset(&key, "app_token", &token).await.unwrap();
                if c.hget::<_, _, Option<String>>(&key, "app_token").await.unwrap().is_none() {
                    missing.push(token);
                }
            }
            (written, missing)
        })
    };
    let (mut taken, mut late) = (HashSet::new(), 0);
    while taken.len() + late < 5_000 {
        let Some(read) = c.hget::<_, _, Option<String>>(&key, "app_token").await.unwrap() else { continue };
        if x.forget("1", &read, &Death::default()).await.unwrap() {
            taken.insert(read);
        } else {
            late += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (written, missing) = writer.await.unwrap();
    assert!(late > 100, "of {written} tokens {} were taken, {late} had been written anew before", taken.len());
    let lost: Vec<&String> = missing.iter().filter(|token| !taken.contains(*token)).collect();
    assert_eq!(lost, Vec::<&String>::new(), "tokens went that nobody called dead");
}

#[tokio::test]
async fn a_string_holds_a_token_under_another_name() {
    let (mut c, p) = (connection().await, unique("string"));
    let keys = format!(
        "type = 'string'\nkey = '{p}:{{user_id}}'\nrename = {{ token = 'value' }}\ninvalidate = 'delete'\n\
         constant = {{ platform = 'android', app = 'higo' }}\naccept = \"token != '' and platform == 'android'\""
    );
    let x = lookup(&keys);
    let _: () = c.set(format!("{p}:1"), "t1").await.unwrap();
    assert_eq!(ask(&*x, &["1", "2"]).await, ["app=higo platform=android token=t1", "-"]);
    assert!(x.judge(&x.rows(&["1"]).await.unwrap()[0], 0).pass);
    assert!(!x.forget("1", "t2", &Death::default()).await.unwrap());
    assert!(x.forget("1", "t1", &Death::default()).await.unwrap());
    assert_eq!(ask(&*x, &["1"]).await, ["-"]);
    assert!(!x.clean("1").await.unwrap(), "without clean = true nothing is cleaned");
}

#[test]
fn what_cannot_be_removed_is_said() {
    for (store, keys, part) in [
        (
            "",
            "type = 'hash'\nkey = '{id}'\nfields = ['token']\ninvalidate = 'delete'",
            "invalidate: needs allow_write = true",
        ),
        ("", "type = 'hash'\nkey = '{id}'\nfields = ['token']\nclean = true", "clean: needs allow_write = true"),
        (
            "allow_write = true",
            "type = 'hash'\nkey = '{id}'\nfields = ['app']\ninvalidate = 'delete'",
            "needs the token in a",
        ),
        ("allow_write = true", "type = 'hash'\nkey = '{id}'\nfields = ['token']\ninvalidate = 'HDEL'", "is \"delete\""),
        (
            "allow_write = true",
            "type = 'set'\nkey = 'k'\nmember = '{id}'\nclean = true",
            "clean: is for a hash, string or json",
        ),
        (
            "allow_write = true",
            "type = 'set'\nkey = 'k'\nmember = '{id}'\ninvalidate = 'delete'",
            "needs the token in a",
        ),
        (
            "allow_write = true",
            "type = 'json'\nkey = '{id}'\nfields = ['token']\ninvalidate = 'delete'",
            "cannot change what is",
        ),
        ("", "type = 'string'\nkey = '{id}'\nrename = { token = 'nick' }", "rename.token: there is no column nick"),
        ("", "type = 'hash'\nkey = '{id}'\nfields = ['a', 'b']\nrename = { b = 'a' }", "two columns are called b"),
        (
            "",
            "type = 'string'\nkey = '{id}'\nconstant = { value = 'x' }",
            "constant.value: is read from the store, too",
        ),
    ] {
        let message = refused(&toml(store, keys));
        assert!(message.contains(part), "{message}");
    }
}
