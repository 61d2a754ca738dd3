#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use homing_core::{
    clock::Clock,
    live::{Attendance, Inbox, Marks, Once, Position, Post, Presence, Stream},
};

use super::*;
use crate::live::embedded::{EmbeddedLive, schema};

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

const TABLES: [&str; 8] = ["stream", "message", "known", "mark", "done", "copy", "heard", "place"];

fn counts(db: &Connection) -> Vec<i64> {
    TABLES
        .iter()
        .map(|table| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap())
        .collect()
}

#[tokio::test]
async fn what_has_ended_is_taken_out_and_what_has_not_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    let clock = Arc::new(Hand(AtomicI64::new(1_000_000_000)));
    let settings = Settings::default();
    let live = EmbeddedLive::open(&path, &settings, "a", Arc::clone(&clock) as _).unwrap();
    let user = Stream::User("42".into());
    let post = |id: &str, once| Post { stream: user.clone(), id: id.into(), body: "{}".into(), expires_at: None, once };
    let copy = Once::Copy { hash: u64::MAX, node: "a".into() };
    live.post(&[post("1", Once::Id), post("2", copy)]).await.unwrap();
    live.mark("42", &[], &Marks::Ids(vec!["1".into()])).await.unwrap();
    live.attend(&[Attendance { user: "42".into(), sessions: 1 }]).await.unwrap();
    let (mut db, _) = schema::open(&path).unwrap();
    let mut sweep = |ahead: i64| {
        clock.0.fetch_add(ahead, Ordering::Relaxed);
        some(&mut db, &settings, clock.now()).unwrap();
        counts(&db)
    };
    assert_eq!(sweep(0), [1, 2, 2, 1, 1, 1, 1, 1]);
    assert_eq!(sweep(5_000), [1, 2, 2, 1, 1, 0, 0, 0], "copies have ended");
    assert_eq!(sweep(3_600_000), [1, 2, 2, 1, 0, 0, 0, 0], "read ids have ended, the mark has not");
    assert!(live.were_read(&[("42", "1")]).await.unwrap()[0]);
    assert_eq!(sweep(7 * 86_400_000), [1, 0, 0, 1, 0, 0, 0, 0], "messages have ended, their number has not");
    let backlog = live.after(&[(user.clone(), Position::default())], 9).await.unwrap();
    assert_eq!(backlog[0].top.offset, 2);
    assert!(live.post(&[post("1", Once::Id)]).await.unwrap()[0].fresh);
    assert_eq!(sweep(30 * 86_400_000), [0; 8]);
}
