//! Messages that wait for their time.

use std::time::{Duration, Instant};

use homing_stores::live::Unit;
use tokio::time::timeout;

use crate::support::{SOON, World, both, now};

both! {
    what_is_due_is_shown_oldest_first;
    an_id_stands_for_one_member;
    milliseconds_may_be_the_unit with |s| s.schedule.unit = Unit::Millis;
    a_change_is_told;
    what_nobody_can_read_is_buried with |s| s.schedule.dead_max = 3;
}

async fn what_is_due_is_shown_oldest_first(world: World) {
    let ports = world.node("a");
    let empty = ports.schedule.look(10).await.unwrap();
    assert_eq!((empty.due.len(), empty.next), (0, None));
    let at = now();
    for (id, delta) in [("b", -500), ("a", -1_000), ("later", 60_000), ("c", -499), ("negative", -at - 7)] {
        ports.schedule.put(id, format!("{id}\0\u{ff}").as_bytes(), at + delta).await.unwrap();
    }
    let all = ports.schedule.look(10).await.unwrap();
    let shown: Vec<_> = all.due.iter().map(|due| (due.member.to_vec(), due.at)).collect();
    let member = |id: &str| format!("{id}\0\u{ff}").into_bytes();
    let expected = [("negative", 0), ("a", at - 1_000), ("b", at - 500), ("c", at - 499)];
    assert_eq!(shown, expected.map(|(id, at)| (member(id), at)));
    let next = all.next.unwrap();
    assert!((30_000..=60_000).contains(&next), "{next}");
    let some = ports.schedule.look(2).await.unwrap();
    assert_eq!((some.due.len(), some.next), (2, Some(0)));
    // It only looked.
    assert_eq!(ports.schedule.look(4).await.unwrap().due.len(), 4);
}

async fn an_id_stands_for_one_member(world: World) {
    let ports = world.node("a");
    let members = async || {
        let agenda = ports.schedule.look(10).await.unwrap();
        agenda.due.iter().map(|due| String::from_utf8(due.member.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    ports.schedule.put("1", b"one", now() - 1_000).await.unwrap();
    ports.schedule.put("1", b"one", now() + 60_000).await.unwrap();
    assert!(members().await.is_empty(), "it was moved");
    ports.schedule.put("1", b"another", now() - 1_000).await.unwrap();
    ports.schedule.put("2", b"two", now() - 900).await.unwrap();
    assert_eq!(members().await, ["another", "two"]);
    assert!(ports.schedule.look(10).await.unwrap().next.is_none(), "what it was before is gone");
    assert!(ports.schedule.cancel("1").await.unwrap());
    assert!(!ports.schedule.cancel("1").await.unwrap());
    assert!(!ports.schedule.cancel("two").await.unwrap());
    assert_eq!(members().await, ["two"]);
    let error = ports.schedule.put("", b"x", 0).await.unwrap_err();
    assert!(error.refused && error.to_string().starts_with("schedule of "), "{error}");
    assert!(ports.schedule.put("3", &vec![0; (1 << 20) + 1], 0).await.unwrap_err().refused);
}

async fn milliseconds_may_be_the_unit(world: World) {
    let ports = world.node("a");
    let at = now();
    ports.schedule.put("1", b"1", at - 1).await.unwrap();
    ports.schedule.put("2", b"2", at + 60_000).await.unwrap();
    let agenda = ports.schedule.look(10).await.unwrap();
    assert_eq!(agenda.due.iter().map(|due| due.at).collect::<Vec<_>>(), [at - 1]);
    assert!((30_000..=60_000).contains(&agenda.next.unwrap()));
}

async fn a_change_is_told(world: World) {
    let (watcher, writer) = (world.node("a"), world.node("b"));
    watcher.schedule.look(1).await.unwrap();
    // What it did itself may wake it as well; after this it sleeps.
    while timeout(Duration::from_millis(50), watcher.schedule.changed()).await.is_ok() {
        watcher.schedule.look(1).await.unwrap();
    }
    let waiting = tokio::spawn({
        let watcher = watcher.clone();
        async move {
            watcher.schedule.changed().await;
            Instant::now()
        }
    });
    let began = Instant::now();
    writer.schedule.put("1", b"1", now()).await.unwrap();
    let woken = timeout(SOON, waiting).await.expect("it is told").unwrap();
    #[allow(clippy::print_stdout, reason = "a figure for whoever looks")]
    {
        println!("woken {:?} after another node's put", woken.saturating_duration_since(began));
    }
    assert_eq!(watcher.schedule.look(1).await.unwrap().due.len(), 1);
}

async fn what_nobody_can_read_is_buried(world: World) {
    let ports = world.node("a");
    for n in 0..5 {
        let member = format!("rubbish {n}");
        ports.schedule.put(&n.to_string(), member.as_bytes(), now() - 1).await.unwrap();
        for _ in 0..2 {
            ports.schedule.bury(member.as_bytes(), "not \"JSON\"").await.unwrap();
        }
    }
    assert!(ports.schedule.look(10).await.unwrap().due.is_empty());
    ports.schedule.bury(b"never there", "why").await.unwrap();
}
