//! What a file can do: be opened again, be in use, be something else.

use std::sync::Arc;

use homing_core::clock::SystemClock;
use homing_core::live::{Marks, Position};
use homing_stores::live::embedded::EmbeddedLive;
use homing_stores::live::{OldHistory, Ports, Settings};

use crate::support::{after, fill, now, numbered, open, settings, unread, user};

#[tokio::test]
async fn all_but_bus_and_presence_survives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (path, settings, stream) = (dir.path().join("live.db"), settings(), user("42"));
    let top = {
        let ports = Ports::of(&open(&path, &settings));
        let posted = fill(&ports, &stream, numbered(1..=5)).await;
        ports.inbox.mark("42", &[], &Marks::Ids(vec!["2".into()])).await.unwrap();
        ports.schedule.put("due", b"due", now()).await.unwrap();
        posted[4].at
    };
    let ports = Ports::of(&open(&path, &settings));
    assert_eq!(after(&ports, &stream, Position { offset: 3, ..top }, 10).await, (true, top, vec![4, 5]));
    assert_eq!(unread(&ports, "42", &stream, 10).await.0, ["1", "3", "4", "5"]);
    assert!(!fill(&ports, &stream, numbered(2..=2)).await[0].fresh);
    assert_eq!(ports.schedule.look(1).await.unwrap().due.len(), 1);
}

#[tokio::test]
async fn a_lost_file_is_another_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, stream) = (settings(), user("42"));
    let before = fill(&Ports::of(&open(&dir.path().join("one.db"), &settings)), &stream, numbered(1..=5)).await[4].at;
    let ports = Ports::of(&open(&dir.path().join("two.db"), &settings));
    assert_eq!(after(&ports, &stream, before, 10).await, (false, Position::default(), vec![]));
    let top = fill(&ports, &stream, numbered(1..=9)).await[8].at;
    assert_eq!(after(&ports, &stream, before, 10).await, (false, top, vec![]));
}

#[tokio::test]
async fn what_cannot_be_opened_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    let try_open = |path: &std::path::Path, settings: &Settings| {
        let opened = EmbeddedLive::open(path, settings, "a", Arc::new(SystemClock::default()));
        opened.map(|_| ()).map_err(|error| format!("{error}")).unwrap_err()
    };
    let first = open(&path, &settings());
    let told = try_open(&path, &settings());
    assert!(told.starts_with("live store of sqlite /") && told.ends_with("and only one may"), "{told}");
    drop(first);
    drop(open(&path, &settings()));
    let other = dir.path().join("other.db");
    std::fs::write(&other, "no database, but longer than a page's header has to be").unwrap();
    assert!(try_open(&other, &settings()).contains("not a database"));
    assert!(try_open(&dir.path().join("none/live.db"), &settings()).contains("cannot make"));
    let old = Settings { old_history: Some(OldHistory::default()), ..settings() };
    assert!(try_open(&path, &old).contains("live.old_history"));
    assert!(try_open(&path, &Settings { max_messages: 0, ..settings() }).contains("live.max_messages: must be"));
}
