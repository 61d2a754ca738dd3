//! The scanner against a real MongoDB and a real Redis: chats that come in order, with equal times and smaller ids, and
//! late; scanners that die anywhere. What stands in the entry queues must equal what was inserted, once each.

mod audit;
mod field;
mod months;

use std::{collections::BTreeSet, time::Duration};

use field::{Dice, Field, Mongod, Shape};
use homing_pipeline::scanner::From;
use tokio::time::{Instant, sleep};

/// Inserts chats in every way that a writer may be late, kills and restarts the scanner meanwhile, and compares.
async fn torture(field: &Field, mut dice: Dice, chats: u64, deaths: bool) {
    let seed = dice.seed;
    let mut scanner = field.scanner(From::Newest);
    scanner.begun(field).await;
    let mut inserted = BTreeSet::new();
    let mut newest = field.time;
    let mut killed = 0;
    let mut counts = [0_u64; 4];
    while (inserted.len() as u64) < chats {
        let mut batch = Vec::new();
        for _ in 0..dice.below(40) + 1 {
            let way = dice.below(10);
            let (at, id) = match way {
                0..=4 => {
                    newest += i64::try_from(dice.below(30)).unwrap();
                    counts[0] += 1;
                    (newest, field.next_id())
                }
                5..=6 => {
                    counts[1] += 1;
                    (newest, field.next_id())
                }
                // Two writers: an equal time and a smaller id.
                7 => {
                    counts[2] += 1;
                    (newest, field.smaller_id())
                }
                _ => {
                    counts[3] += 1;
                    let late = i64::try_from(dice.below(u64::try_from(field.overlap).unwrap())).unwrap();
                    (newest - late, if way == 8 { field.next_id() } else { field.smaller_id() })
                }
            };
            let chat = field.chat(id, at);
            inserted.insert(chat.get_object_id("_id").unwrap().to_hex());
            batch.push(chat);
        }
        field.insert(batch).await;
        if deaths && dice.below(12) == 0 {
            killed += 1;
            match dice.below(3) {
                0 => scanner.kill().await,
                _ => scanner.die_within(dice.below(12) + 1).await,
            }
            scanner = field.scanner(From::Newest);
        }
        sleep(Duration::from_millis(dice.below(15))).await;
    }
    let since = Instant::now();
    let expected: BTreeSet<String> = inserted.iter().map(|id| format!("group:{id}")).collect();
    loop {
        let taken = field.taken().await;
        let distinct: BTreeSet<String> = taken.iter().cloned().collect();
        assert_eq!(taken.len(), distinct.len(), "seed {seed}: something was taken in twice");
        assert_eq!(distinct.difference(&expected).count(), 0, "seed {seed}: history was taken in");
        if distinct == expected {
            break;
        }
        let lost: Vec<_> = expected.difference(&distinct).take(5).collect();
        assert!(since.elapsed() < Duration::from_secs(60), "seed {seed}: lost {lost:?}");
        sleep(Duration::from_millis(50)).await;
    }
    // A new owner with an empty memory sweeps the whole overlap again: it must know everything.
    scanner.kill().await;
    let scanner = field.scanner(From::Newest);
    scanner.begun(field).await;
    let (id, at) = (field.next_id(), newest + 1);
    field.insert(vec![field.chat(id, at)]).await;
    field.until_taken(expected.len() + 1).await;
    scanner.stop().await;
    let taken = field.taken().await;
    let distinct: BTreeSet<String> = taken.iter().cloned().collect();
    assert_eq!((taken.len(), distinct.len()), (expected.len() + 1, expected.len() + 1), "seed {seed}");
    let [on_time, equal, smaller, late] = counts;
    println!(
        "{}: inserted {} (on time {on_time}, equal {equal}, equal with a smaller id {smaller}, late {late}), scanners killed {killed}, lost 0, twice 0",
        field.what,
        taken.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_on_a_replica_set() {
    let field = Field::new(&super::support::variable("HOMING_TEST_MONGO_URL"), Shape::default()).await;
    torture(&field, Dice::new(), 4_000, true).await;
    field.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_on_a_standalone_server() {
    let mongod = Mongod::start().await;
    let field = Field::new(&mongod.url(), Shape { what: "standalone", ..Shape::default() }).await;
    torture(&field, Dice::new(), 4_000, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_time_finds_late_chats() {
    for kind in ["string-seconds", "seconds", "millis", "objectid"] {
        let shape = Shape { what: kind, kind, ..Shape::default() };
        let field = Field::new(&super::support::variable("HOMING_TEST_MONGO_URL"), shape).await;
        torture(&field, Dice::new(), 600, true).await;
        field.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_of_the_future_holds_nothing_up() {
    let shape = Shape { what: "future", ..Shape::default() };
    let field = Field::new(&super::support::variable("HOMING_TEST_MONGO_URL"), shape).await;
    let scanner = field.scanner(From::Newest);
    scanner.begun(&field).await;
    // A writer whose clock is a year ahead; after it, the present.
    let far = field.now() + 365 * 24 * 3_600_000;
    field.insert(vec![field.chat(field.next_id(), far)]).await;
    field.until_taken(1).await;
    for n in 2..40 {
        field.insert(vec![field.chat(field.next_id(), field.now())]).await;
        if n % 10 == 0 {
            field.until_taken(n).await;
        }
    }
    field.until_taken(39).await;
    scanner.stop().await;
    field.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_a_time_takes_what_came_since_and_no_more() {
    let shape = Shape { what: "from", ..Shape::default() };
    let field = Field::new(&super::support::variable("HOMING_TEST_MONGO_URL"), shape).await;
    let mut since = BTreeSet::new();
    for n in 0..200 {
        let (id, at) = (field.next_id(), field.time + n * 50);
        field.insert(vec![field.chat(id, at)]).await;
        if n >= 100 {
            since.insert(format!("group:{}", id.to_hex()));
        }
    }
    let scanner = field.scanner(From::At(field.time + 100 * 50));
    field.until_taken(100).await;
    // What is late and older than the beginning is history, within the overlap or not.
    scanner.kill().await;
    let scanner = field.scanner(From::Newest);
    let last = field.next_id();
    field.insert(vec![field.chat(last, field.time + 200 * 50)]).await;
    since.insert(format!("group:{}", last.to_hex()));
    field.until_taken(101).await;
    scanner.stop().await;
    assert_eq!(field.taken().await.into_iter().collect::<BTreeSet<_>>(), since);
    field.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_into_an_empty_source_while_nobody_scans_is_new() {
    let shape = Shape { what: "empty", history: 0, ..Shape::default() };
    let field = Field::new(&super::support::variable("HOMING_TEST_MONGO_URL"), shape).await;
    let scanner = field.scanner(From::Newest);
    scanner.begun(&field).await;
    scanner.kill().await;
    field.insert(vec![field.chat(field.next_id(), field.time)]).await;
    let scanner = field.scanner(From::Newest);
    field.until_taken(1).await;
    scanner.stop().await;
    field.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_the_cursor_and_what_is_before_it_is_history() {
    let shape = Shape { what: "operator", ..Shape::default() };
    let field = Field::new(&super::support::variable("HOMING_TEST_MONGO_URL"), shape).await;
    let scanner = field.scanner(From::Newest);
    scanner.begun(&field).await;
    scanner.stop().await;
    let mut expected = BTreeSet::new();
    for n in 1..=40 {
        let (id, at) = (field.next_id(), field.time + n * 100);
        field.insert(vec![field.chat(id, at)]).await;
        if n == 30 {
            let cursor = format!(r#"{{"at":{{"$date":{{"$numberLong":"{at}"}}}},"id":{{"$oid":"{}"}}}}"#, id.to_hex());
            field.set_cursor(&cursor).await;
        } else if n > 30 {
            expected.insert(format!("group:{}", id.to_hex()));
        }
    }
    let scanner = field.scanner(From::Newest);
    field.until_taken(10).await;
    scanner.stop().await;
    assert_eq!(field.taken().await.into_iter().collect::<BTreeSet<_>>(), expected);
    field.clear().await;
}
