//! A collection per month: the turn of the month loses nothing.

use std::collections::BTreeSet;

use homing_pipeline::scanner::From;

use super::field::{Field, Shape};
use crate::support::variable;

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_of_a_month_is_read_in_both_collections() {
    let shape = Shape { what: "months", collection: "chats_{yyyyMM}", history: 0, ..Shape::default() };
    let field = Field::new(&variable("HOMING_TEST_MONGO_URL"), shape).await;
    // 2026-12-01T00:00:00Z; a writer in Shanghai turns eight hours earlier.
    let turn = 1_796_083_200_000;
    let mut expected = BTreeSet::new();
    let mut insert = async |collection: &str, at: i64, new: bool| {
        let id = field.next_id();
        field.insert_into(collection, vec![field.chat(id, at)]).await;
        if new {
            expected.insert(format!("group:{}", id.to_hex()));
        }
    };
    insert("chats_202610", turn - 40 * 24 * 3_600_000, false).await;
    insert("chats_202611", turn - 20_000, false).await;
    let scanner = field.scanner(From::Newest);
    scanner.begun(&field).await;
    insert("chats_202611", turn - 10_000, true).await;
    field.until_taken(1).await;
    // The new month begins while the old one is still written, in turns and late.
    insert("chats_202612", turn + 100, true).await;
    insert("chats_202611", turn - 500, true).await;
    insert("chats_202612", turn + 1_000, true).await;
    insert("chats_202611", turn + 500, true).await;
    field.until_taken(5).await;
    scanner.kill().await;
    for n in 0..300 {
        let collection = if n % 3 == 0 { "chats_202611" } else { "chats_202612" };
        insert(collection, turn + 1_000 + 7 * n, true).await;
    }
    insert("chats_202611", turn - 1_000, true).await;
    insert("chats_202701", turn + 40 * 24 * 3_600_000, true).await;
    let scanner = field.scanner(From::Newest);
    field.until_taken(307).await;
    scanner.stop().await;
    assert_eq!(field.taken().await.into_iter().collect::<BTreeSet<_>>(), expected);
    field.clear().await;
}
