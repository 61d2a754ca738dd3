//! `homing scan audit`: what came later than the overlap is found, taken in once, and known afterwards.

use homing_pipeline::scanner::{Audit, From, Report};

use super::field::{Field, Shape};
use crate::support::variable;

async fn audit(field: &Field, repair: bool) -> Report {
    let audit = Audit { from: field.time - 3_600_000, to: field.time + 3_600_000, repair };
    field.feed.audit(&*field.queue, audit, field.now()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_too_late_is_found_and_repaired() {
    let field = Field::new(&variable("HOMING_TEST_MONGO_URL"), Shape { what: "audit", ..Shape::default() }).await;
    let scanner = field.scanner(From::Newest);
    scanner.begun(&field).await;
    let chats = |n: i64, step: i64| (1..=n).map(|i| field.chat(field.next_id(), field.time + i * step)).collect();
    field.insert(chats(100, 1_000)).await;
    field.until_taken(100).await;
    let found = audit(&field, false).await;
    // 40 of the history stand in the overlap before the beginning; the rest is older than the record.
    assert_eq!((found.missing, found.taken_in + found.waiting + found.cannot_say, found.in_source), (0, 150, 150));

    // The sweep after that page has seen everything: from now on the overlap counts from its end.
    let judged = async |past: i64| audit(&field, false).await.judged_until > Some(field.time + past);
    crate::support::until("the sweep is past", async || judged(95_000).await).await;

    // Two of a writer that was cut off for 50 s, one unreadable, one within the overlap.
    let late = [field.next_id(), field.next_id()];
    let mut unreadable = field.chat(field.next_id(), field.time + 50_100);
    unreadable.remove("user");
    let broken = unreadable.get_object_id("_id").unwrap();
    let mut chats = vec![field.chat(late[0], field.time + 50_500), unreadable];
    chats.push(field.chat(late[1], field.time + 40_500));
    chats.push(field.chat(field.next_id(), field.time + 98_500));
    field.insert(chats).await;
    field.until_taken(101).await;
    scanner.kill().await;
    let scanner = field.scanner(From::Newest);
    // A chat far ahead takes the overlap past everything: what was not found by now never is.
    field.insert(vec![field.chat(field.next_id(), field.time + 300_000)]).await;
    field.until_taken(102).await;
    crate::support::until("the sweeps are past", async || judged(200_000).await).await;

    let found = audit(&field, false).await;
    assert_eq!((found.missing, found.repaired, found.is_complete()), (3, 0, false), "{found:?}");
    let [a, b] = late.map(|id| id.to_hex());
    assert_eq!(found.missing_ids, [b.clone(), broken.to_hex(), a.clone()], "in the order of their times");
    field.until_taken(102).await;

    let repaired = audit(&field, true).await;
    assert_eq!((repaired.missing, repaired.repaired, repaired.is_complete()), (3, 2, false), "one cannot be read");
    field.until_taken(104).await;
    let taken = field.taken().await;
    assert!(taken.contains(&format!("group:{a}")) && taken.contains(&format!("group:{b}")));
    for _ in 0..2 {
        let again = audit(&field, true).await;
        assert_eq!((again.missing, again.repaired, again.repaired_before), (1, 0, 2), "{again:?}");
    }
    field.until_taken(104).await;
    scanner.stop().await;
    field.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_scanner_may_still_find_is_left_to_it() {
    let field = Field::new(&variable("HOMING_TEST_MONGO_URL"), Shape { what: "left", ..Shape::default() }).await;
    assert!(field.feed.audit(&*field.queue, Audit { from: 0, to: i64::MAX, repair: true }, field.now()).await.is_err());
    let scanner = field.scanner(From::Newest);
    scanner.begun(&field).await;
    field.insert(vec![field.chat(field.next_id(), field.time + 60_000)]).await;
    field.until_taken(1).await;
    scanner.stop().await;
    // Nobody scans: a late one within the overlap, and one ahead.
    field.insert(vec![field.chat(field.next_id(), field.time + 59_500)]).await;
    field.insert(vec![field.chat(field.next_id(), field.time + 90_000)]).await;
    let found = audit(&field, true).await;
    assert_eq!((found.missing, found.repaired), (0, 0), "{found:?}");
    assert!(found.waiting >= 2, "{found:?}");
    field.until_taken(1).await;
    let scanner = field.scanner(From::Newest);
    field.until_taken(3).await;
    scanner.stop().await;
    field.clear().await;
}
