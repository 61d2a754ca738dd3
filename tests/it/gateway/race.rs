//! A phone and the user's tabs: who is told, when the last tab has just gone, or its node died.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    calls::Calls,
    site::{Plan, Site},
    tab::Tab,
};
use crate::support::{Company, Fate, Process, World, until};

/// The daemons, and nodes beside them.
struct Street {
    world: World,
    site: Site,
    calls: Calls,
    _daemons: [Process; 2],
}

impl Street {
    /// With what the rule `presence` does, and in how long a dead node's word is void.
    async fn new(nodes: usize, presence: &str, ttl: &str) -> Self {
        let world = World::start(&format!(
            "[live]\npresence_ttl = '{ttl}'\n\
             [lane.system]\nrules = ['login', 'presence', 'account', 'dnd']\nsockets = 'websocket'\npresence = {presence}\n\
             [lane.system.delivery.websocket]\nname = 'hg_websocket_queue'\n"
        ))
        .await;
        let more = |_| "[gateway.node]\nbeat = '500ms'\n".to_owned();
        let site = Site::plan(Plan { nodes, beside: Some(&world), more: Some(&more), ..Plan::default() }).await;
        let daemons = [world.daemon("distributor").await, world.daemon("sender").await];
        Self { world, site, calls: Calls::new(), _daemons: daemons }
    }

    /// Users whom every other rule lets pass, and who have a phone.
    fn users(count: usize) -> Vec<String> {
        (1_000..3_000).filter(|u| Company::fate(*u) == Fate::Told).take(count).map(|u| u.to_string()).collect()
    }

    async fn online(&self, users: &[String], sessions: u64) {
        let node = self.site.http(0);
        until("presence", async || {
            let seen = self.calls.sessions(&node, users).await;
            seen.iter().all(|n| *n == sessions)
        })
        .await;
    }

    async fn push(&self, id: &str, users: &[String]) {
        let event = json!({"id": id, "type": "GOODS_SENT", "to": {"users": users}}).to_string();
        self.world.rpush("hg_message_queue", &[event.into()]).await;
    }

    /// What is on record about a message.
    fn trace(&self, id: &str) -> String {
        self.world.homing(&["trace", id]).1
    }

    async fn told(&self) -> BTreeSet<(String, String)> {
        let simulated = self.world.simulated().await;
        assert_eq!(simulated.repeats(), 0);
        simulated.arrived.into_keys().collect()
    }
}

fn token(user: &str) -> String {
    Company::token(user.parse().unwrap())
}

fn has(tab: &Tab, id: &str) -> bool {
    tab.seen(|seen| seen.messages.iter().any(|(own, _)| own == id))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_told_when_no_tab_came_back_in_time() {
    let grace = Duration::from_secs(4);
    let street = Street::new(1, "{ grace = '4s' }", "15s").await;
    let users = Street::users(4);
    let [open, reads, stays, gone] = &users[..] else { panic!("{users:?}") };
    let port = street.site.port(0);
    let tab = |user: &str, own_reads| Tab::open(user, vec![port], own_reads);
    let opened = tab(open, |_| false);
    let closing = [reads, stays, gone].map(|user| tab(user, |_| false));
    street.online(&users, 1).await;
    let closed = Instant::now();
    drop(closing);
    street.online(&users[1..], 0).await;
    // Half a second after the tabs were closed.
    sleep(Duration::from_millis(500).saturating_sub(closed.elapsed())).await;
    for user in &users {
        street.push(&format!("to-{user}"), std::slice::from_ref(user)).await;
    }
    for user in &users[1..] {
        until("the phone waits", async || street.trace(&format!("to-{user}")).contains("deferred")).await;
    }
    // Back within the grace: one reads, one only looks.
    let back = [tab(reads, |_| true), tab(stays, |_| false)];
    let read = format!("to-{reads}");
    until("it is read", async || back[0].seen(|seen| seen.acked.contains(&read))).await;
    let returned = closed.elapsed();
    assert!(returned < grace, "the tabs came back after {returned:?}: too late to show anything");

    let at = format!("to-{gone}");
    until("the phone is told", async || street.told().await.contains(&(at.clone(), token(gone)))).await;
    let told = closed.elapsed();
    assert!(told >= grace, "{told:?}");
    let ledger = street.world.settled(&[("system", 4)], Duration::from_secs(20)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    assert_eq!(street.told().await, BTreeSet::from([(at, token(gone))]), "nobody else's phone is told");
    for tab in [&opened, &back[0], &back[1]] {
        assert!(has(tab, &format!("to-{}", tab.user)) && tab.once().len() == 1, "{}", tab.user);
    }
    let rules = &ledger["lanes"]["system"]["rules"]["fates"];
    assert_eq!(rules["skipped.read"], 1, "{rules}");
    let trace = street.trace(&read);
    assert!(trace.contains("rule read; read on a socket"), "{trace}");
    // Who is judged again was told on the socket already.
    for (user, reason) in [(open, "only by a live way: online: "), (stays, "rule online; ")] {
        let trace = street.trace(&format!("to-{user}"));
        assert!(trace.contains(&format!("{reason}1 session(s) on 1 node(s)")), "{trace}");
    }
    println!(
        "tab open: phone told 0; closed, back after {returned:.1?} and read: 0 (rule `read`); back and not read: 0; not \
         back: told after {told:.1?} (grace {grace:?})"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_are_told_though_a_node_died_with_its_sockets() {
    const ALONE: usize = 20;
    let mut street = Street::new(2, "{ grace = '1s', confirm = '2500ms' }", "4s").await;
    let users = Street::users(ALONE + 5);
    let (alone, both) = users.split_at(ALONE);
    let [one, two] = [street.site.port(0), street.site.port(1)];
    // Nobody comes back to the other node; five users have a tab there, too, and read.
    let _dying: Vec<Tab> = users.iter().map(|user| Tab::open(user, vec![two], |_| false)).collect();
    let living: Vec<Tab> = both.iter().map(|user| Tab::open(user, vec![one], |_| true)).collect();
    street.online(alone, 1).await;
    street.online(both, 2).await;

    street.site.kill(1);
    let died = Instant::now();
    // The node's word still counts: that nobody reads shows that the sockets were dead.
    street.push("early", &users).await;
    street.online(alone, 0).await;
    let lapsed = died.elapsed();
    street.online(both, 1).await;
    street.push("late", &users).await;
    until("reads", async || living.iter().all(|tab| tab.seen(|seen| seen.acked.len() == 2))).await;
    let ledger = street.world.settled(&[("system", 2)], Duration::from_secs(20)).await;
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let wanted: BTreeSet<(String, String)> =
        ["early", "late"].iter().flat_map(|id| alone.iter().map(|user| ((*id).to_owned(), token(user)))).collect();
    assert_eq!(street.told().await, wanted);
    let rules: &Value = &ledger["lanes"]["system"]["rules"]["fates"];
    assert_eq!(rules["skipped.read"], 2 * both.len(), "{rules}");
    assert!(street.trace("late").contains("rule read; read on a socket"));
    println!(
        "a node killed: its presence lapsed after {lapsed:.1?} (limit 4s, a beat each 500ms); phones told {} of {ALONE} users \
         who had a tab there alone, 0 of {} with another",
        wanted.len(),
        both.len()
    );
}
