//! Who is online.

use std::time::Duration;

use homing_core::live::{Attendance, Seen};
use homing_core::lookup::Lookup;
use homing_stores::live::{Ports, PresenceLookup};

use crate::support::{World, both, now, until};

both! {
    sessions_of_all_nodes_count;
    who_has_gone_is_known_for_a_while with |s| s.gone_ttl = Duration::from_millis(300);
    a_node_that_dies_takes_its_users_along with |s| s.presence_ttl = Duration::from_millis(300);
    a_node_that_ends_or_starts_again_has_nobody;
    a_thousand_are_seen_in_one_call;
    the_rule_online_reads_it;
}

async fn attend(ports: &Ports, user: &str, sessions: u32) {
    ports.presence.attend(&[Attendance { user: user.into(), sessions }]).await.unwrap();
}

async fn seen(ports: &Ports, user: &str) -> Seen {
    ports.presence.seen(&[user]).await.unwrap()[0]
}

async fn sessions_of_all_nodes_count(world: World) {
    let (a, b) = (world.node("a"), world.node("b"));
    a.presence.beat().await.unwrap();
    assert_eq!(b.presence.beat().await.unwrap(), ["a", "b"]);
    attend(&a, "42", 2).await;
    attend(&b, "42", 1).await;
    attend(&b, "42", 3).await;
    for ports in [&a, &b] {
        assert_eq!(seen(ports, "42").await, Seen { sessions: 5, nodes: 2, gone_at: None });
        assert_eq!(seen(ports, "43").await, Seen::default());
    }
    attend(&a, "42", 0).await;
    attend(&a, "42", 0).await;
    attend(&a, "43", 0).await;
    assert_eq!(seen(&a, "42").await, Seen { sessions: 3, nodes: 1, gone_at: None });
    assert_eq!(seen(&a, "43").await, Seen::default(), "who never came has not gone");
    let before = now();
    attend(&b, "42", 0).await;
    let gone = seen(&a, "42").await;
    assert!(gone.sessions == 0 && gone.nodes == 0, "{gone:?}");
    assert!((before - 50..=now() + 50).contains(&gone.gone_at.unwrap()), "{gone:?} {before}");
    attend(&b, "42", 0).await;
    assert_eq!(seen(&a, "42").await, gone, "said again, it is no later");
    attend(&a, "42", 1).await;
    assert_eq!(seen(&b, "42").await, Seen { sessions: 1, nodes: 1, gone_at: None });
}

async fn who_has_gone_is_known_for_a_while(world: World) {
    let ports = world.node("a");
    attend(&ports, "42", 1).await;
    attend(&ports, "42", 0).await;
    assert!(seen(&ports, "42").await.gone_at.is_some());
    until(|| async { seen(&ports, "42").await == Seen::default() }).await;
}

async fn a_node_that_dies_takes_its_users_along(world: World) {
    let (a, b) = (world.node("a"), world.node("b"));
    let last = now();
    attend(&b, "42", 1).await;
    attend(&a, "42", 1).await;
    attend(&b, "7", 1).await;
    assert_eq!(a.presence.beat().await.unwrap(), ["a", "b"]);
    // `b` says nothing more.
    until(|| async { a.presence.beat().await.unwrap() == ["a"] }).await;
    assert_eq!(seen(&a, "42").await, Seen { sessions: 1, nodes: 1, gone_at: None });
    let gone = seen(&a, "7").await;
    assert!(gone.sessions == 0 && (last..=last + 1_000).contains(&gone.gone_at.unwrap()), "{gone:?} {last}");
    // The dead node's word is cleaned away, the live one's stays.
    attend(&a, "42", 1).await;
    a.presence.beat().await.unwrap();
    assert_eq!(seen(&a, "42").await.nodes, 1);
    // It was only away: its word counts again.
    b.presence.beat().await.unwrap();
    assert_eq!(seen(&a, "7").await, Seen { sessions: 1, nodes: 1, gone_at: None });
}

async fn a_node_that_ends_or_starts_again_has_nobody(world: World) {
    let (a, b) = (world.node("a"), world.node("b"));
    a.presence.beat().await.unwrap();
    attend(&b, "42", 1).await;
    attend(&a, "43", 1).await;
    b.presence.leave().await.unwrap();
    assert_eq!(a.presence.beat().await.unwrap(), ["a"]);
    let gone = seen(&a, "42").await;
    assert!(gone.sessions == 0 && gone.gone_at.is_some(), "{gone:?}");
    // The next life of `a`: what the former said is void, and stays so when the new one speaks.
    let again = world.node("a");
    assert_eq!(again.presence.beat().await.unwrap(), ["a"]);
    let gone = seen(&b, "43").await;
    assert!(gone.sessions == 0 && gone.gone_at.is_some(), "{gone:?}");
    attend(&again, "42", 1).await;
    assert_eq!(seen(&b, "42").await, Seen { sessions: 1, nodes: 1, gone_at: None });
    assert_eq!(seen(&b, "43").await.sessions, 0);
}

async fn a_thousand_are_seen_in_one_call(world: World) {
    let ports = world.node("a");
    let here: Vec<_> = (0..1_500).map(|n| Attendance { user: n.to_string().into(), sessions: 1 + n % 3 }).collect();
    ports.presence.attend(&here).await.unwrap();
    let names: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = ports.presence.seen(&names).await.unwrap();
    assert_eq!(all.len(), 2_000);
    for (n, seen) in (0_u32..).zip(&all) {
        let expected = if n < 1_500 { Seen { sessions: 1 + n % 3, nodes: 1, gone_at: None } } else { Seen::default() };
        assert_eq!(*seen, expected, "{n}");
    }
    assert_eq!(ports.presence.seen(&[]).await.unwrap(), []);
}

async fn the_rule_online_reads_it(world: World) {
    let ports = world.node("a");
    let lookup = PresenceLookup::new("online", ports.presence.clone());
    attend(&ports, "42", 2).await;
    attend(&ports, "43", 1).await;
    attend(&ports, "43", 0).await;
    let rows = lookup.rows(&["42", "43", "44"]).await.unwrap();
    let column = |n: usize, name: &str| rows[n][0].get(name).map(String::as_str);
    assert_eq!((column(0, "online"), column(0, "sessions"), column(0, "nodes")), (Some("1"), Some("2"), Some("1")));
    assert_eq!((column(1, "online"), column(2, "online")), (Some("0"), Some("0")));
    assert!(column(1, "gone_at").is_some() && column(0, "gone_at").is_none() && column(2, "gone_at").is_none());
    // It passes who is not online: they are to be pushed to.
    let verdicts: Vec<_> = rows.iter().map(|rows| lookup.judge(rows, now())).collect();
    assert_eq!(verdicts.iter().map(|v| v.pass).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(verdicts[0].seen, "online=1");
    let grace = PresenceLookup::new("online", ports.presence.clone())
        .with_accept("online == '0' and (gone_at is none or now * 1000 - gone_at|int > 3000)")
        .unwrap();
    assert_eq!(rows.iter().map(|rows| grace.judge(rows, now()).pass).collect::<Vec<_>>(), [false, false, true]);
    assert!(PresenceLookup::new("online", ports.presence.clone()).with_accept("nobody == '0'").is_err());
    let told = lookup.explain("42").await.unwrap();
    assert!(told.raw.contains("2 sessions on 1 node"), "{told:?}");
}
