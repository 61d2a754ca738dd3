//! The operator's tool beside a company's servers: why somebody is told or not, and a look that changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use redis::AsyncCommands as _;
use serde_json::Value;

use crate::{
    edges::{ENTRY, event, length},
    main_path::php_user,
    support::{Chats, Company, Fate, GROUP_CHATS, Process, World, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_of_every_user_what_the_rules_say() {
    let world = World::start("").await;
    let check = |wanted: Fate, verdict: &str| {
        let user = (1000..3000).find(|u| Company::fate(*u) == wanted).unwrap().to_string();
        let (code, text) = world.homing(&["explain", "--user", &user, "--lane", "system", "--json"]);
        assert_eq!(code, 0, "{text}");
        let whole: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let explanation = &whole["explanations"][0];
        assert!(explanation["verdict"].as_str().unwrap().contains(verdict), "{wanted:?}: {explanation:#}");
        assert_eq!(explanation["told"], wanted == Fate::Told);
        let asked = explanation["lookups"].as_array().unwrap();
        let asked: Vec<&str> = asked.iter().map(|l| l["asked"].as_str().unwrap()).collect();
        // Concrete keys and statements, each with the user in it.
        assert!(asked.iter().any(|a| a.contains(&format!("login_status:{user}"))), "{asked:?}");
        assert!(asked.iter().any(|a| a.contains("t_account")) && asked.iter().any(|a| a.contains("t_device")));
        // No whole token reaches a terminal.
        assert!(!text.contains(&Company::token(user.parse().unwrap())), "{text}");
    };
    check(Fate::Told, "told on 1 device");
    check(Fate::NotLoggedIn, "the rule login refuses");
    check(Fate::Online, "the rule online refuses");
    check(Fate::NoAccount, "the rule account refuses");
    check(Fate::DoNotDisturb, "the rule dnd refuses");
    check(Fate::NoDevice, "no device is known");
    let nobody = world.homing(&["explain", "--user", "1", "--lane", "system"]).1;
    assert!(nobody.contains("the rule login refuses"), "{nobody}");
    let (code, text) = world.homing(&["explain", "--user", "1002", "--type", "NO_SUCH_TYPE"]);
    assert!(code != 0 && text.contains("NO_SUCH_TYPE is not in the catalogue"), "{text}");
}

/// Every key of a Redis with its type and its bytes.
async fn dump(world: &World) -> BTreeMap<Vec<u8>, (String, Vec<u8>)> {
    let mut redis = world.redis().await;
    let keys: Vec<Vec<u8>> = redis.keys("*").await.unwrap();
    let mut all = BTreeMap::new();
    for chunk in keys.chunks(500) {
        let mut pipe = redis::pipe();
        for key in chunk {
            pipe.cmd("TYPE").arg(key).cmd("DUMP").arg(key);
        }
        let answers: Vec<(String, Vec<u8>)> = pipe.query_async(&mut redis).await.unwrap();
        all.extend(chunk.iter().cloned().zip(answers));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_beside_an_old_worker_changes_nothing_and_says_who_would_be_told() {
    const N: u64 = 300;
    let world = World::start("").await;
    world.insert_chats(5, 5, 60);
    let before_chats = Chats::stored(&world, "group").await;
    world.php_push(ENTRY, N, 0);
    world.rpush(ENTRY, &[b"not an item".to_vec()]).await;
    let mut redis = world.redis().await;
    let list: Vec<Vec<u8>> = redis.lrange(ENTRY, 0, -1).await.unwrap();
    let before = dump(&world).await;
    let args = ["up", "--observe", "--json"].map(str::to_owned).into_iter().chain(world.config());
    let mut observe = Process::start(world.dir.path(), "observe", env!("CARGO_BIN_EXE_homing"), args, &[]);
    until("it looks", async || observe.log().contains("Observing")).await;
    until("it has seen the list", async || observe.log().contains(&format!("php-{}", N - 1))).await;

    // The old worker takes one after the other, as it always did, while more come in and people chat.
    let mut taken = 0;
    for round in 0..40_u64 {
        for _ in 0..5 {
            let item: Option<Vec<u8>> = redis.lpop(ENTRY, None).await.unwrap();
            taken += u64::from(item.is_some());
        }
        if round == 20 {
            world.rpush(ENTRY, &[event("while-it-looks", 1002, Value::Null)]).await;
            world.inserting(GROUP_CHATS, 50, 50, &["--first", "5"]).finish();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(taken, 200);
    let chats = Chats::stored(&world, "group").await.since(&before_chats);
    let of = |log: &str| -> Vec<Value> {
        let lines = log.lines().filter(|line| line.starts_with('{'));
        lines.filter_map(|line| serde_json::from_str(line).ok()).filter(|o: &Value| o["id"].is_string()).collect()
    };
    until("it has seen all of it", async || of(&observe.log()).len() as u64 >= N + 2 + 50).await;
    observe.signal("INT");
    assert!(observe.ended().await.success(), "{}", observe.log());
    let observed = of(&observe.log());

    // Nothing but what the old worker and the producers did.
    let mut after = dump(&world).await;
    let mut unchanged = before;
    unchanged.remove(ENTRY.as_bytes());
    assert!(after.remove(ENTRY.as_bytes()).is_some());
    assert_eq!(after.keys().collect::<Vec<_>>(), unchanged.keys().collect::<Vec<_>>(), "no key came or went");
    assert!(after == unchanged, "a key was changed");
    let rest: Vec<Vec<u8>> = redis.lrange(ENTRY, 0, -1).await.unwrap();
    assert_eq!(rest[..rest.len() - 1], list[200..], "the list is what the old worker left");
    assert_eq!(length(&world, ENTRY).await, N + 2 - 200);
    assert_eq!(world.stats().await["total"], 0, "the provider was not called");

    // Who would be told, and why others would not.
    let mut would: BTreeSet<(String, String)> = BTreeSet::new();
    let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
    let mut php: BTreeMap<Fate, u64> = BTreeMap::new();
    for message in &observed {
        let id = message["id"].as_str().unwrap();
        let told: Vec<&str> = message["would_push"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|p| p["to"].as_array().unwrap())
            .map(|t| t.as_str().unwrap())
            .collect();
        let rule = message["records"].as_array().unwrap().iter().find_map(|r| match r["fate"].as_str().unwrap() {
            "skipped" => Some(r["rule"].as_str().unwrap()),
            "no_device" => Some("no device"),
            "invalid" => Some("invalid"),
            _ => None,
        });
        if let Some(i) = id.strip_prefix("php-") {
            let user = php_user(i.parse().unwrap());
            let fate = Company::fate(user);
            *php.entry(fate).or_default() += 1;
            let wanted = match fate {
                Fate::Told => None,
                Fate::NotLoggedIn => Some("login"),
                Fate::Online => Some("online"),
                Fate::NoAccount => Some("account"),
                Fate::DoNotDisturb => Some("dnd"),
                Fate::NoDevice => Some("no device"),
                Fate::Author => unreachable!(),
            };
            assert_eq!((rule, told.len()), (wanted, usize::from(fate == Fate::Told)), "{message:#}");
        }
        would.extend(told.iter().map(|to| (id.to_owned(), (*to).to_owned())));
        if let Some(rule) = rule {
            *skipped.entry(rule.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(php, Company::count((0..N).map(|i| Company::fate(php_user(i)))));
    assert_eq!(skipped["invalid"], 1, "{skipped:?}");
    let label = |(id, token): (String, String)| {
        let user = u64::from_str_radix(&token, 16).unwrap();
        (id, format!("{user}/..{}", token.get(token.len() - 4..).unwrap()))
    };
    let chats: BTreeSet<(String, String)> = chats.expected().into_iter().map(label).collect();
    let seen: BTreeSet<(String, String)> = would.iter().filter(|(id, _)| id.starts_with("group:")).cloned().collect();
    assert_eq!(seen, chats);
    println!(
        "observed {} messages beside an old worker: would tell {}, would not {skipped:?}; keys changed 0",
        observed.len(),
        would.len()
    );
}
