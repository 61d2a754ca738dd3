//! More of the contract: the notice board, and receipts.

use std::time::Duration;

use homing_core::{
    queue::{BOARD, Error, MAX_NOTICE, MAX_NOTICES, Queue, QueueName, REMEMBERED, Receipt},
    record::{Fate, Record, Seen, Stage},
};

use super::support::{Backend, Held, LONG, fresh, items};

/// The board is one for all tests that share a server: each has keys of its own.
fn key(what: &str) -> String {
    fresh(what).to_string()
}

async fn stands(queue: &dyn Queue, key: &str) -> Option<String> {
    queue.notices().await.unwrap().remove(key)
}

pub async fn a_notice_is_read_by_every_handle_until_it_is_taken_down(b: &dyn Backend) {
    let (one, two, key) = (b.queue(LONG), b.queue(LONG), key("notice"));
    one.post(&key, None).await.unwrap();
    assert_eq!(stands(&*two, &key).await, None);
    one.post(&key, Some("für alle")).await.unwrap();
    one.post(&key, Some("für alle")).await.unwrap();
    assert_eq!(stands(&*two, &key).await.as_deref(), Some("für alle"));
    two.post(&key, Some("")).await.unwrap();
    assert_eq!(stands(&*one, &key).await.as_deref(), Some(""), "in place of the older one");
    two.post(&key, None).await.unwrap();
    two.post(&key, None).await.unwrap();
    assert_eq!((stands(&*one, &key).await, stands(&*two, &key).await), (None, None));
}

pub async fn whoever_waits_is_told_of_each_change(b: &dyn Backend) {
    let (here, other, key) = (b.queue(LONG), b.queue(LONG), key("told"));
    let wait = async |expected: Option<&str>| {
        while stands(&*here, &key).await.as_deref() != expected {
            // Other tests change the board, too.
            tokio::time::timeout(Duration::from_secs(20), here.noticed()).await.expect("told");
        }
    };
    wait(None).await;
    for round in ["1", "2", "3"] {
        let post = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            other.post(&key, Some(round)).await.unwrap();
        };
        tokio::join!(post, wait(Some(round)));
    }
    // Of its own, too.
    let post = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        here.post(&key, None).await.unwrap();
    };
    tokio::join!(post, wait(None));
}

pub async fn a_notice_is_bounded_in_bytes(b: &dyn Backend) {
    let (queue, key) = (b.queue(LONG), key("long"));
    let text = "x".repeat(MAX_NOTICE);
    queue.post(&key, Some(&text)).await.unwrap();
    let refused = queue.post(&key, Some(&format!("{text}x"))).await.unwrap_err();
    assert_eq!(refused.to_string(), "16385 bytes for homing:board are over the limit of 16384");
    assert!(matches!(refused, Error::TooLarge { .. }));
    assert!(matches!(queue.post(&format!("{text}x"), Some("")).await, Err(Error::TooLarge { .. })));
    assert_eq!(stands(&*queue, &key).await, Some(text), "what stood there stands");
    queue.post(&key, None).await.unwrap();
}

/// Only for a board that no other test uses.
pub async fn a_board_is_bounded_in_notices(queue: &dyn Queue) {
    for i in 0..MAX_NOTICES {
        queue.post(&format!("notice {i}"), Some("x")).await.unwrap();
    }
    let refused = queue.post("one more", Some("x")).await;
    assert!(matches!(&refused, Err(Error::Full(board)) if board.as_str() == BOARD), "{refused:?}");
    queue.post("notice 0", Some("y")).await.unwrap();
    queue.post("notice 1", None).await.unwrap();
    queue.post("one more", Some("x")).await.unwrap();
    assert_eq!(queue.notices().await.unwrap().len(), MAX_NOTICES);
}

fn receipt(id: &str, user: &str, how: Seen) -> Receipt {
    let fate = Fate::Seen { how };
    let target = Some(user.to_owned());
    let record = Record { at: 7, id: id.to_owned(), stage: Stage::Client, fate, target, reason: None };
    Receipt { key: format!("{id}:{user}:{}", how.name()), record }
}

pub async fn a_receipt_is_counted_and_traced_once_without_a_lease(b: &dyn Backend) {
    let (queue, other, q) = (b.queue(LONG), b.queue(LONG), fresh("receipts"));
    assert_eq!(queue.tally(&q, &[], 1_000).await.unwrap(), [] as [bool; 0]);
    let shown = [receipt("m-1", "a", Seen::Shown), receipt("m-1", "b", Seen::Shown), receipt("m-1", "a", Seen::Shown)];
    assert_eq!(queue.tally(&q, &shown, 1_000).await.unwrap(), [true, true, false]);
    // Whoever owns the shard goes on undisturbed.
    b.foreign_push(&q, &items(0, 2)).await;
    let mut held = Held::take(&*other, &q).await;
    let seqs = held.peek().await;
    let more = [receipt("m-1", "b", Seen::Shown), receipt("m-1", "b", Seen::Clicked), receipt("m-2", "b", Seen::Shown)];
    assert_eq!(other.tally(&q, &more, 2_000).await.unwrap(), [false, true, true]);
    assert_eq!(other.tally(&q, &more, 2_000).await.unwrap(), [false; 3], "repeated freely");
    let commit = held.hand_over(&seqs, &fresh("next"));
    held.commit(&commit).await;
    let counts = queue.inspect(&q).await.unwrap().counts;
    assert_eq!((counts.get("client.shown"), counts.get("client.clicked"), counts.get("entry.expanded")), (3, 1, 2));
    let traced = queue.trace(&q, "m-1").await.unwrap();
    let expected = [&shown[0], &shown[1], &more[1]].map(|receipt| receipt.record.clone());
    assert_eq!(traced, expected);
    assert_eq!(queue.trace(&q, "m-2").await.unwrap(), [more[2].record.clone()]);
    let elsewhere: &QueueName = &fresh("elsewhere");
    assert_eq!(queue.tally(elsewhere, &shown[..1], 1_000).await.unwrap(), [true], "each shard for itself");
}

pub async fn a_receipt_is_forgotten_after_an_hour(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("receipts_hour"));
    let (start, shown) = (1_700_000_000_000, [receipt("m", "a", Seen::Shown)]);
    assert_eq!(queue.tally(&q, &shown, start).await.unwrap(), [true]);
    assert_eq!(queue.tally(&q, &shown, start + REMEMBERED).await.unwrap(), [false]);
    assert_eq!(queue.tally(&q, &shown, start + REMEMBERED + 1).await.unwrap(), [true]);
    assert_eq!(queue.tally(&q, &shown, start + REMEMBERED + 2).await.unwrap(), [false]);
    // Nor is it an accepted item's id.
    let item = homing_core::queue::NewItem { id: Some("m:a:shown".to_owned()), body: items(0, 1).remove(0) };
    assert_eq!(queue.append(&q, &[item], 0, start).await.unwrap(), [true]);
}

pub async fn two_thousand_receipts_in_one_call(b: &dyn Backend) {
    let (queue, q) = (b.queue(LONG), fresh("receipts_many"));
    let all: Vec<Receipt> = (0..2_000).map(|i| receipt(&format!("m-{i}"), "a", Seen::Shown)).collect();
    assert_eq!(queue.tally(&q, &all, 1_000).await.unwrap(), vec![true; 2_000]);
    assert_eq!(queue.tally(&q, &all, 1_000).await.unwrap(), vec![false; 2_000]);
    assert_eq!(queue.inspect(&q).await.unwrap().counts.get("client.shown"), 2_000);
    assert_eq!(queue.trace(&q, "m-1999").await.unwrap(), [all[1_999].record.clone()]);
}
