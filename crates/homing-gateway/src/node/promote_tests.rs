//! What is due is stored, whatever stands beside it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use homing_core::live::{Backlog, Marks, Position, Unread};

use super::*;

/// Takes nothing for the streams in `broken` (`*` = any), and notes what it took.
struct Shelf {
    broken: &'static [&'static str],
    taken: Mutex<Vec<String>>,
    asked: Mutex<usize>,
}

impl Shelf {
    fn new(broken: &'static [&'static str]) -> Self {
        Self { broken, taken: Mutex::default(), asked: Mutex::default() }
    }
}

fn down<T>() -> Result<T, LiveDown> {
    Err(LiveDown { what: "inbox".to_owned(), refused: false, source: "WRONGTYPE".into() })
}

impl Inbox for Shelf {
    fn post<'a>(&'a self, posts: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        Box::pin(async move {
            *self.asked.lock().unwrap() += 1;
            let name = |post: &Post| post.stream.to_string();
            let broken = |post: &Post| self.broken.contains(&"*") || self.broken.contains(&name(post).as_str());
            if posts.iter().any(broken) {
                return down();
            }
            self.taken.lock().unwrap().extend(posts.iter().map(name));
            Ok(posts.iter().map(|_| Posted { at: Position::default(), fresh: true }).collect())
        })
    }

    fn after<'a>(&'a self, _: &'a [(Stream, Position)], _: usize) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        Box::pin(async { down() })
    }

    fn unread<'a>(&'a self, _: &'a str, _: &'a [Stream], _: usize) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        Box::pin(async { down() })
    }

    fn mark<'a>(&'a self, _: &'a str, _: &'a [Stream], _: &'a Marks) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        Box::pin(async { down() })
    }

    fn were_read<'a>(&'a self, _: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        Box::pin(async { down() })
    }
}

fn posts(users: &[&str]) -> Vec<Post> {
    let post = |user: &&str| Post {
        stream: Stream::User((*user).into()),
        id: (*user).into(),
        body: Bytes::from_static(b"{}"),
        expires_at: None,
        once: Once::Id,
    };
    users.iter().map(post).collect()
}

#[tokio::test]
async fn a_broken_stream_holds_up_nobody_else() {
    let shelf = Shelf::new(&["u:b"]);
    let (posted, outcome) = store(&shelf, &posts(&["a", "b", "c"])).await;
    assert_eq!(*shelf.taken.lock().unwrap(), ["u:a", "u:c"]);
    assert_eq!(posted.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert!(outcome.unwrap_err().to_string().contains("WRONGTYPE"));
    // Nothing wrong: at once.
    let shelf = Shelf::new(&[]);
    let (posted, outcome) = store(&shelf, &posts(&["a", "b"])).await;
    assert_eq!((posted.len(), outcome.is_ok(), *shelf.asked.lock().unwrap()), (2, true, 1));
}

#[tokio::test]
async fn a_store_that_is_away_is_not_asked_for_each() {
    let users: Vec<String> = (0..200).map(|n| format!("{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let shelf = Shelf::new(&["*"]);
    let (_, outcome) = store(&shelf, &posts(&users)).await;
    assert!(outcome.is_err());
    assert_eq!(*shelf.asked.lock().unwrap(), 1 + FAILURES + 1);
}

#[test]
fn ids_that_can_be_used_are() {
    let id = |json: &str| serde_json::from_str::<Named>(json).unwrap().id();
    assert_eq!(id(r#"{"id":"a"}"#).as_deref(), Some("a"));
    assert_eq!(id(r#"{"id":7}"#).as_deref(), Some("7"));
    for unusable in
        [r#"{"id":""}"#, r#"{"id":null}"#, r#"{"id":{}}"#, "{}", &format!(r#"{{"id":"{}"}}"#, "a".repeat(129))]
    {
        assert_eq!(id(unusable), None, "{unusable}");
    }
}
