//! From the entry list to the tabs, through the real daemons, while they die: each tab has each message once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    site::{Plan, Site},
    tab::Tab,
};
use crate::support::{Company, Fate, Process, World, until};

const USERS: usize = 100;
const EVENTS: usize = 3_000;
const ROUND: usize = 300;
/// So many of a round's messages have been shown when somebody is killed: the others are on their way.
const MIDWAY: usize = 50;

/// Who dies in the middle of each round, and who comes back.
const ROUNDS: [&[&str]; EVENTS / ROUND] = [
    &[],
    &["kill sender"],
    &["kill distributor"],
    &["kill node 0"],
    &["kill sender", "kill distributor"],
    &["start node 0"],
    &["kill distributor"],
    &["kill node 1"],
    &["kill sender", "start node 1"],
    &[],
];

/// Does a tab read a message at once? A third is never read.
fn is_read_at_once(id: &str) -> bool {
    let number: usize = id.strip_prefix("e-").unwrap().parse().unwrap();
    !(number / USERS).is_multiple_of(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tab_has_each_message_once_though_every_daemon_dies() {
    let world = World::start(
        "[lane.system]\nrules = ['presence']\nsockets = 'websocket'\n\
         [lane.system.delivery.websocket]\nname = 'hg_websocket_queue_{n}'\nshards = 2\n",
    )
    .await;
    let mut site = Site::plan(Plan { nodes: 2, beside: Some(&world), ..Plan::default() }).await;
    let mut daemons: BTreeMap<&str, Process> = BTreeMap::new();
    for name in ["distributor", "sender"] {
        daemons.insert(name, world.daemon(name).await);
    }
    // Users who have a phone, too: it is to keep quiet, because a tab is open.
    let users: Vec<String> =
        (1_000..3_000).filter(|u| Company::fate(*u) == Fate::Told).take(USERS).map(|u| u.to_string()).collect();
    let ports = [site.port(0), site.port(1)];
    let tabs: Vec<[Tab; 2]> = users
        .iter()
        .map(|user| {
            let [one, two] = ports;
            [Tab::open(user, vec![one, two], is_read_at_once), Tab::open(user, vec![two, one], |_| false)]
        })
        .collect();
    until("all tabs are connected", async || tabs.iter().flatten().all(|tab| tab.seen(|s| s.connects) > 0)).await;

    let began = Instant::now();
    let shown = || tabs.iter().map(|[reader, _]| reader.seen(|s| s.messages.len())).sum::<usize>();
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (round, orders) in ROUNDS.iter().enumerate() {
        let events: Vec<Vec<u8>> = (round * ROUND..(round + 1) * ROUND)
            .map(|n| {
                let (id, user) = (format!("e-{n}"), &users[n % USERS]);
                json!({"id": id, "type": "GOODS_SENT", "to": {"user": user}, "data": {"n": n}}).to_string().into()
            })
            .collect();
        world.rpush("hg_message_queue", &events).await;
        until("a round is under way", async || shown() >= round * ROUND + MIDWAY).await;
        for order in *orders {
            match *order {
                "kill node 0" => site.kill(0),
                "kill node 1" => site.kill(1),
                "start node 0" => site.start(0).await,
                "start node 1" => site.start(1).await,
                kill => {
                    let name = kill.strip_prefix("kill ").unwrap();
                    daemons.remove(name).unwrap().kill();
                    daemons.insert(name, world.spawn(name, &[]));
                }
            }
            if order.starts_with("kill") {
                *ends.entry(order).or_default() += 1;
            }
        }
    }
    let expected: BTreeMap<&str, BTreeSet<String>> = users
        .iter()
        .enumerate()
        .map(|(u, user)| (&**user, (u..EVENTS).step_by(USERS).map(|n| format!("e-{n}")).collect()))
        .collect();
    until("every tab has every message", async || {
        tabs.iter().flatten().all(|tab| tab.seen(|s| s.messages.len()) >= expected[&*tab.user].len())
    })
    .await;
    let took = began.elapsed();
    let ledger = world.settled(&[("system", EVENTS as u64)], Duration::from_secs(20)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");

    let mut came_back = 0;
    for tab in tabs.iter().flatten() {
        assert_eq!(&tab.once(), &expected[&*tab.user], "each message once on a tab of {}", tab.user);
        assert_eq!(tab.seen(|s| s.gaps), 0, "every place was still known");
        came_back += tab.seen(|s| s.connects) - 1;
    }
    assert!(came_back >= 3 * USERS, "{came_back} tabs came back");
    assert_eq!(world.simulated().await.arrived.len(), 0, "a tab was open: no phone is told");

    // A fresh tab of each user is shown what was not read, and nothing else.
    for [reader, _] in &tabs {
        let wanted: BTreeSet<String> =
            expected[&*reader.user].iter().filter(|id| is_read_at_once(id)).cloned().collect();
        until("reads are confirmed", async || reader.seen(|s| s.acked.len()) >= wanted.len()).await;
        assert_eq!(reader.seen(|s| s.acked.clone()), wanted);
    }
    let unread =
        |user: &str| -> BTreeSet<String> { expected[user].iter().filter(|id| !is_read_at_once(id)).cloned().collect() };
    let fresh: Vec<Tab> = users.iter().map(|user| Tab::open(user, vec![ports[0]], |_| false)).collect();
    // The last frame of each: what comes after it is not of the replay.
    let last = json!({"id": "e-9999", "type": "GOODS_SENT", "to": {"users": users}}).to_string();
    until("fresh tabs are connected", async || fresh.iter().all(|tab| tab.seen(|s| s.connects) > 0)).await;
    world.rpush("hg_message_queue", &[last.into()]).await;
    until("the last message is there", async || {
        fresh.iter().all(|tab| tab.seen(|s| s.messages.last().is_some_and(|(id, _)| id == "e-9999")))
    })
    .await;
    let mut replayed = 0;
    for tab in &fresh {
        let mut ids = tab.once();
        assert!(ids.remove("e-9999"));
        assert_eq!(ids, unread(&tab.user), "{}", tab.user);
        replayed += ids.len();
    }
    println!(
        "{EVENTS} events to {} tabs of {USERS} users in {took:.1?}, killed {ends:?}: lost 0, twice 0, {came_back} came back \
         and resumed, phones told 0, ledger balanced; {replayed} unread ones replayed, nothing that was read",
        2 * USERS
    );
}
