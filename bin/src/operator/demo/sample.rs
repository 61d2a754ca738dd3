//! The demo's directory, a SQLite file, and chats as a scanner would find them: there is no MongoDB here.

use std::path::Path;

use anyhow::Context as _;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};

/// Sixty users with devices, groups and a topic.
const DIRECTORY: &str = include_str!("sample.sql");

/// User 6 has quiet hours whenever the demo is started.
const QUIET_NOW: &str = "UPDATE account SET time_zone = 'UTC', quiet_from = strftime('%H:%M', 'now', '-1 hour'), \
                         quiet_to = strftime('%H:%M', 'now', '+8 hours') WHERE user_id = 6";

/// Of user 7: the simulator does not know it any more.
pub(super) const DEAD_TOKEN: &str = "0000000000000000000000000000000000000000000000000000000000bbbbc2";

/// A sample user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct User {
    /// Its id.
    pub(super) id: String,
    /// What to expect when it is told.
    pub(super) note: String,
}

/// An event of a lane.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Chat {
    /// The lane.
    pub(super) lane: &'static str,
    /// The event.
    pub(super) event: Value,
}

/// Makes the file where it is not there: was it made just now? What an earlier run or somebody else changed in it stays.
pub(super) fn directory(path: &Path) -> anyhow::Result<bool> {
    fill(path).with_context(|| format!("cannot use {}", path.display()))
}

/// Everybody in the file.
pub(super) fn users(path: &Path) -> anyhow::Result<Vec<User>> {
    read(path).with_context(|| format!("cannot use {}", path.display()))
}

fn fill(path: &Path) -> rusqlite::Result<bool> {
    let mut file = Connection::open(path)?;
    let version: i64 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let made = file.transaction()?;
    if version == 0 {
        made.execute_batch(DIRECTORY)?;
    }
    made.execute(QUIET_NOW, [])?;
    made.commit()?;
    Ok(version == 0)
}

fn read(path: &Path) -> rusqlite::Result<Vec<User>> {
    let file = Connection::open(path)?;
    let mut select = file.prepare("SELECT CAST(user_id AS TEXT), note FROM account ORDER BY user_id")?;
    let users = select.query_map([], |row| Ok(User { id: row.get(0)?, note: row.get(1)? }))?;
    users.collect()
}

/// A group's chat, and two friends' own.
pub(super) fn chats() -> Vec<Chat> {
    let group = |author: &str, text: &str| Chat {
        lane: "group",
        event: json!({"type": "GROUP_CHAT", "to": {"group": "9", "members": true}, "author": author,
                      "data": {"group_id": "9", "author": author, "text": text}}),
    };
    let private = |author: &str, user: &str, text: &str| Chat {
        lane: "private",
        event: json!({"type": "CHAT", "to": {"user": user}, "author": author,
                      "data": {"author": author, "text": text}}),
    };
    vec![
        group("10", "今天有新款到货"),
        group("1", "Which sizes are there?"),
        private("1", "42", "See you at eight"),
        private("42", "1", "我会晚一点到"),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn count(path: &Path, sql: &str) -> i64 {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_directory_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory.db");
        assert!(directory(&path).unwrap());
        let first = users(&path).unwrap();
        assert_eq!(first.len(), 60);
        for user in ["1", "2", "42"] {
            assert!(first.iter().any(|known| known.id == user), "user {user}");
        }
        assert_eq!(count(&path, "SELECT count(*) FROM device WHERE user_id IN (5)"), 2);
        assert_eq!(count(&path, "SELECT count(*) FROM device WHERE user_id IN (8)"), 0);
        // All but user 8; user 5 has two.
        assert_eq!(count(&path, "SELECT count(*) FROM device"), 60);
        let dead = format!("SELECT user_id FROM device WHERE token = '{DEAD_TOKEN}'");
        assert_eq!(count(&path, &dead), 7);
        assert_eq!(count(&path, "SELECT count(*) FROM group_member WHERE group_id = 9"), 20);
        assert_eq!(count(&path, "SELECT quiet_from <> quiet_to FROM account WHERE user_id = 6"), 1);
        assert_eq!(count(&path, "SELECT count(quiet_from) FROM account WHERE user_id <> 6"), 0);

        Connection::open(&path).unwrap().execute("UPDATE account SET push_status = 0 WHERE user_id = 1", []).unwrap();
        assert!(!directory(&path).unwrap());
        assert_eq!(users(&path).unwrap(), first);
        assert_eq!(count(&path, "SELECT push_status FROM account WHERE user_id = 1"), 0);
    }

    #[test]
    fn a_file_that_is_something_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory.db");
        std::fs::write(&path, "this is a text, and not a short one either").unwrap();
        let error = format!("{:#}", directory(&path).unwrap_err());
        assert!(error.contains("directory.db") && error.contains("not a database"), "{error}");
    }
}
