#![allow(clippy::unwrap_used, reason = "a test may panic")]

use homing_queue::sqlite::{Options, SqliteQueue};

use super::*;

/// A clock that stands.
struct At(Millis);

impl Clock for At {
    fn now(&self) -> Millis {
        self.0
    }
}

const NOW: Millis = 1_700_000_000_000;

struct Office {
    _dir: tempfile::TempDir,
    queue: Arc<dyn Queue>,
    stop: CancellationToken,
}

impl Office {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let queue = SqliteQueue::open(dir.path().join("queue.db"), Options::default()).unwrap();
        Self { _dir: dir, queue: Arc::new(queue), stop: CancellationToken::new() }
    }

    /// As a process at a time of its own sees the board.
    fn board(&self, now: Millis) -> Arc<Board> {
        Board::start(Arc::clone(&self.queue), Arc::new(At(now)), self.stop.clone())
    }
}

/// Waits until the board is as expected; a guard against hanging ends it.
async fn until(board: &Board, expected: impl Fn(&Notices) -> bool) {
    let mut seen = board.subscribe();
    let wait = async {
        while !expected(&board.now()) {
            seen.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the board comes to be so");
}

fn says(key: &str, text: &str) -> impl Fn(&Notices) -> bool {
    let (key, text) = (key.to_owned(), text.to_owned());
    move |notices| notices.get(&key) == Some(&text)
}

#[tokio::test]
async fn what_one_process_puts_up_the_others_see() {
    let office = Office::open();
    let (one, two) = (office.board(NOW), office.board(NOW));
    one.first_look().await;
    assert!(one.now().is_empty());
    one.post("migration:x", Some("1".to_owned()));
    until(&two, says("migration:x", "1")).await;
    two.post("migration:x", Some("2".to_owned()));
    until(&one, says("migration:x", "2")).await;
    two.post("migration:x", None);
    until(&one, |notices| notices.is_empty()).await;
    // Of many within a second the last.
    for i in 0..50 {
        one.post_later("migration-error:x:new".to_owned(), i.to_string());
    }
    until(&two, says("migration-error:x:new", "49")).await;
    office.stop.cancel();
}

#[tokio::test]
async fn a_later_pause_stands_and_one_that_is_over_is_taken_down() {
    let office = Office::open();
    office.queue.post("pause:a:old-ios", Some(&(NOW - OVER - 1).to_string())).await.unwrap();
    office.queue.post("pause:a:just-over-ios", Some(&(NOW - 1).to_string())).await.unwrap();
    office.queue.post("pause:a:nonsense", Some("soon")).await.unwrap();
    let (one, two) = (office.board(NOW), office.board(NOW));
    until(&one, |notices| notices.len() == 2 && !notices.contains_key("pause:a:old-ios")).await;
    let key = "pause:a:higo-ios";
    one.pause(key.to_owned(), NOW + 60_000);
    until(&two, says(key, &(NOW + 60_000).to_string())).await;
    two.pause(key.to_owned(), NOW + 30_000);
    two.pause("pause:a:higo-android".to_owned(), NOW + 1_000);
    until(&one, says("pause:a:higo-android", &(NOW + 1_000).to_string())).await;
    assert!(says(key, &(NOW + 60_000).to_string())(&one.now()), "an earlier end changes nothing");
    two.pause(key.to_owned(), NOW + 90_000);
    until(&one, says(key, &(NOW + 90_000).to_string())).await;
    // Somebody's mistake is mended by the process that was told.
    office.queue.post(key, None).await.unwrap();
    let mended = async {
        while office.queue.notices().await.unwrap().get(key) != Some(&(NOW + 90_000).to_string()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), mended).await.expect("put up again");
    office.stop.cancel();
}

#[tokio::test]
async fn a_board_that_nobody_changes_is_there_at_once() {
    let board = Board::still([("a".to_owned(), "1".to_owned())].into());
    board.first_look().await;
    board.post("b", Some("2".to_owned()));
    assert_eq!(board.now().len(), 1);
}
