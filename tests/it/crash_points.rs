//! The crash-point table: each daemon dies at each place between two steps (it aborts itself, by `HOMING_DIE_AT`), is
//! started again, and what is lost and repeated is compared with what `docs/queue.md` states.

use std::{collections::BTreeSet, time::Duration};

use homing_core::steps::Step;

use crate::{
    main_path::php_expected,
    support::{Chats, World, wait_for_cursor},
};

/// One call at a time per app and platform, so that the table can be exact; failures come back quickly.
const EXACT: &str = "[sender]\nconcurrency = 1\ncheckpoint = '20ms'\nbackoff = '20ms'\nbackoff_cap = '50ms'\n";

/// Events per crash.
const EVENTS: u64 = 150;

struct Crash {
    step: Step,
    lost: usize,
    repeats: u64,
    allowed: u64,
}

fn print(daemon: &str, crashes: &[Crash]) {
    println!("| {daemon} dies at | lost | repeated | allowed |");
    for c in crashes {
        println!("| {:<9} | {} | {} | {} |", c.step.name(), c.lost, c.repeats, c.allowed);
    }
    for c in crashes {
        assert_eq!(c.lost, 0, "{daemon} at {}", c.step.name());
        assert!(c.repeats <= c.allowed, "{daemon} at {}: {} repeats", c.step.name(), c.repeats);
    }
}

/// Dies at `step`: by itself while it works, or while it gives its shard back after SIGTERM.
async fn die(world: &World, daemon: &str, step: Step, count: u64) {
    let wish = format!("{}:{count}", step.name());
    let mut dying = world.spawn(daemon, &[("HOMING_DIE_AT", wish.as_str())]);
    if step == Step::Releasing {
        dying = dying.ready().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        dying.signal("TERM");
    }
    let status = dying.ended().await;
    assert!(!status.success() && dying.log().contains("HOMING_DIE_AT: dies"), "{}:\n{}", step.name(), dying.log());
}

/// Lets `daemon` die at every step of `steps` while the other works, and counts.
async fn system_lane(daemon: &str, other: &str, steps: &[(Step, u64, u64)], faults: serde_json::Value) {
    let world = World::start(EXACT).await;
    let _other = world.daemon(other).await;
    world.faults(faults).await;
    let (mut crashes, mut pushed, mut repeats_before) = (Vec::new(), 0, 0);
    for (step, count, allowed) in steps.iter().copied() {
        world.php_push("hg_message_queue", EVENTS, pushed);
        die(&world, daemon, step, count).await;
        let healthy = world.daemon(daemon).await;
        pushed += EVENTS;
        let ledger = world.settled(&[("system", pushed)], Duration::from_secs(60)).await;
        assert_eq!(ledger["balanced"], true, "{}: {ledger:#}", step.name());
        let simulated = world.simulated().await;
        let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
        let expected = php_expected(0..pushed);
        assert_eq!(arrived.difference(&expected).count(), 0, "nobody else was told");
        let lost = expected.difference(&arrived).count();
        crashes.push(Crash { step, lost, repeats: simulated.repeats() - repeats_before, allowed });
        repeats_before = simulated.repeats();
        assert!(healthy.stop().await.success());
    }
    print(daemon, &crashes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributor_may_die_anywhere_and_nothing_is_lost_or_repeated() {
    let steps = [
        (Step::Taken, 1, 0),
        (Step::Peeked, 1, 0),
        (Step::LookedUp, 1, 0),
        (Step::Decided, 1, 0),
        (Step::Committed, 1, 0),
        (Step::Releasing, 1, 0),
    ];
    system_lane("distributor", "sender", &steps, serde_json::json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_may_die_anywhere_and_repeats_only_what_was_under_way() {
    // Four apps and platforms have a call under way each, and may have finished some since the last checkpoint.
    let unknown = 4 + 64;
    let steps = [
        (Step::Taken, 1, 0),
        (Step::Peeked, 1, 0),
        (Step::Calling, 1, 0),
        (Step::Calling, 20, unknown),
        (Step::Answered, 1, 4),
        (Step::Answered, 30, unknown),
        (Step::Decided, 1, unknown),
        (Step::Decided, 3, unknown),
        // The script ran: only calls that were under way besides are repeated.
        (Step::Committed, 1, 4),
        (Step::Committed, 3, 4),
        // The first shard that is given back takes the process with it while another may still be at work.
        (Step::Releasing, 1, unknown),
    ];
    system_lane("sender", "distributor", &steps, serde_json::json!({"latency_ms": 2})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_may_die_with_retries_in_hand() {
    // A third of the answers is "busy": those messages go through the delayed set.
    let busy = serde_json::json!({"latency_ms": 1, "answer": 15, "answer_rate": 0.33, "seed": 7});
    let unknown = 4 + 64;
    let steps = [
        (Step::Answered, 10, unknown),
        (Step::Decided, 2, unknown),
        (Step::Promoted, 1, unknown),
        (Step::Promoted, 3, unknown),
    ];
    system_lane("sender", "distributor", &steps, busy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_may_die_anywhere_and_no_chat_is_lost_or_repeated() {
    let world = World::start("[scanner.group]\npage = 100\npoll = '50ms'\n").await;
    let _daemons = [world.daemon("distributor").await, world.daemon("sender").await];
    world.insert_chats(1, 1, 3_600);
    let before = Chats::stored(&world, "group").await;
    let first = world.daemon("scanner").await;
    wait_for_cursor(&world, "group").await;
    assert!(first.stop().await.success());
    let steps = [Step::Taken, Step::Peeked, Step::Decided, Step::Committed, Step::Releasing];
    let (mut crashes, mut inserted) = (Vec::new(), 0);
    for (round, step) in steps.into_iter().enumerate() {
        // Later rounds have later times, as a source's messages do.
        world.insert_chats(450, 100, 3_000 - 60 * round as u64);
        inserted += 450;
        die(&world, "scanner", step, if matches!(step, Step::Taken | Step::Releasing) { 1 } else { 3 }).await;
        let healthy = world.daemon("scanner").await;
        world.settled(&[("group", inserted)], Duration::from_secs(60)).await;
        let simulated = world.simulated().await;
        let arrived: BTreeSet<(String, String)> = simulated.arrived.keys().cloned().collect();
        let expected = Chats::stored(&world, "group").await.since(&before).expected();
        assert_eq!(arrived.difference(&expected).count(), 0, "nobody else was told");
        let lost = expected.difference(&arrived).count();
        crashes.push(Crash { step, lost, repeats: simulated.repeats(), allowed: 0 });
        assert!(healthy.stop().await.success());
    }
    print("scanner", &crashes);
}
