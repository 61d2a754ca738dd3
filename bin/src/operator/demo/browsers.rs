//! Browsers that asked to be told: devices of the platform `web` in the demo's directory, by default each of a user of
//! its own. Their token is the subscription, as the channel `web_push` reads it.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::sample::{self, User};

/// Browsers that are known at once; one that is gone makes room.
const MOST: i64 = 100;

/// Browsers' own users come after the sample users.
const FIRST_USER: i64 = 101;

/// By this note an own user is known.
const NOTE: &str = "is a browser: is told by Web Push";

/// The longest token that the channel reads, in bytes.
const TOKEN_MAX: usize = 8 * 1024;

/// What the page posts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    subscription: Subscription,
    /// Whose device it is; without it the browser is a user of its own.
    #[serde(default)]
    user: Option<String>,
    /// Of the own user: `zh`, or anything else for English.
    #[serde(default)]
    locale: Option<String>,
}

/// Of what `JSON.stringify` writes the members that matter, so that a browser has one token. It ends with the address:
/// traces show the end of a token.
#[derive(Debug, Deserialize, Serialize)]
struct Subscription {
    keys: Keys,
    endpoint: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// What the browser is now.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Registered {
    /// Whose device.
    pub(super) user: String,
    /// Its name in receipts.
    pub(super) device: String,
}

/// Why a browser was not registered.
#[derive(Debug)]
pub(super) enum Refused {
    /// The wish is wrong there.
    Bad(&'static str, String),
    /// There are [`MOST`] browsers.
    Full,
    /// The file cannot be used.
    Store(anyhow::Error),
}

/// The directory's browsers.
#[derive(Debug)]
pub(super) struct Browsers {
    directory: PathBuf,
    /// The public VAPID key that pages subscribe with.
    pub(super) key: String,
}

// === impl Browsers ===

impl Browsers {
    pub(super) fn new(directory: PathBuf, key: String) -> Self {
        Self { directory, key }
    }

    /// Everybody in the directory.
    pub(super) async fn users(&self) -> anyhow::Result<Vec<User>> {
        let path = self.directory.clone();
        tokio::task::spawn_blocking(move || sample::users(&path)).await?
    }

    /// Makes the browser a device. The same subscription again is the same device, of another user if it is wished so.
    pub(super) async fn register(&self, wish: Wish) -> Result<Registered, Refused> {
        let path = self.directory.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut file = Connection::open(&path)?;
            let change = file.transaction()?;
            let registered = register(&change, &wish)?;
            change.commit()?;
            Ok(registered)
        });
        done.await.unwrap_or_else(|error| Err(Refused::Store(error.into())))
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(anyhow::Error::new(error).context("the directory cannot be written"))
    }
}

fn register(file: &Transaction<'_>, wish: &Wish) -> Result<Registered, Refused> {
    let token = token(&wish.subscription)?;
    // Browsers that took the permission back: the first push found it out.
    file.execute("DELETE FROM device WHERE platform = 'web' AND removed = 1 AND token <> ?1", [&token])?;
    file.execute("DELETE FROM account WHERE note = ?1 AND user_id NOT IN (SELECT user_id FROM device)", [NOTE])?;
    let select = "SELECT device.user_id FROM device JOIN account USING (user_id) WHERE token = ?1 AND note = ?2";
    let own: Option<i64> = file.query_row(select, params![token, NOTE], |row| row.get(0)).optional()?;
    let count = "SELECT count(*) FROM device WHERE platform = 'web' AND token <> ?1";
    if file.query_row(count, [&token], |row| row.get::<_, i64>(0))? >= MOST {
        return Err(Refused::Full);
    }
    let user = match (&wish.user, own) {
        (Some(user), _) => {
            let there = "SELECT user_id FROM account WHERE CAST(user_id AS TEXT) = ?1";
            let there: Option<i64> = file.query_row(there, [user], |row| row.get(0)).optional()?;
            there.ok_or_else(|| Refused::Bad("user", "there is no such user in the demo's directory".to_owned()))?
        }
        (None, Some(own)) => own,
        (None, None) => {
            let locale = if wish.locale.as_deref().is_some_and(|l| l.starts_with("zh")) { "zh" } else { "en" };
            let insert = "INSERT INTO account (user_id, note, logged_in, push_status, locale) \
                          SELECT max(?1, coalesce(max(user_id), 0) + 1), ?2, 1, 1, ?3 FROM account RETURNING user_id";
            file.query_row(insert, params![FIRST_USER, NOTE, locale], |row| row.get(0))?
        }
    };
    let upsert = "INSERT INTO device (user_id, token, platform, app) VALUES (?1, ?2, 'web', 'higo') \
                  ON CONFLICT (token) DO UPDATE SET user_id = excluded.user_id, removed = 0 RETURNING id";
    let id: i64 = file.query_row(upsert, params![user, token], |row| row.get(0))?;
    Ok(Registered { user: user.to_string(), device: format!("browser-{id}") })
}

/// Whether the push service may be called is the channel's to say, at each push.
fn token(subscription: &Subscription) -> Result<String, Refused> {
    let bad = |field, problem: &str| Err(Refused::Bad(field, problem.to_owned()));
    let Subscription { endpoint, keys } = subscription;
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        return bad("subscription.endpoint", "is no address of the web");
    }
    if keys.p256dh.is_empty() || keys.auth.is_empty() {
        return bad("subscription.keys", "p256dh and auth are needed");
    }
    match serde_json::to_string(subscription) {
        Ok(token) if token.len() <= TOKEN_MAX => Ok(token),
        _ => bad("subscription", "is too long"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use tempfile::TempDir;

    use super::*;

    fn directory() -> (TempDir, Browsers) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory.db");
        sample::directory(&path).unwrap();
        (dir, Browsers::new(path, String::new()))
    }

    fn wish(n: usize, user: Option<&str>) -> Wish {
        let keys = Keys { p256dh: "B".to_owned(), auth: "a".to_owned() };
        let subscription = Subscription { keys, endpoint: format!("https://push.example/{n}") };
        Wish { subscription, user: user.map(str::to_owned), locale: Some("zh-CN".to_owned()) }
    }

    fn run(browsers: &Browsers, sql: &str) {
        Connection::open(&browsers.directory).unwrap().execute_batch(sql).unwrap();
    }

    #[tokio::test]
    async fn a_browser_is_one_device_of_its_own_user_or_of_the_named_one() {
        let (_dir, browsers) = directory();
        let first = browsers.register(wish(1, None)).await.unwrap();
        assert_eq!((first.user.as_str(), first.device.starts_with("browser-")), ("101", true));
        assert_eq!(browsers.register(wish(1, None)).await.unwrap(), first, "the same again");
        assert_eq!(browsers.register(wish(2, None)).await.unwrap().user, "102");
        let users = browsers.users().await.unwrap();
        assert_eq!(users.iter().filter(|user| user.note == NOTE).count(), 2);
        // Its user goes with it, and the number is free again.
        let moved = browsers.register(wish(2, Some("42"))).await.unwrap();
        assert_eq!(moved.user, "42");
        assert_eq!(browsers.register(wish(3, None)).await.unwrap().user, "102");
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let (_dir, browsers) = directory();
        let field = async |wish: Wish| match browsers.register(wish).await {
            Err(Refused::Bad(field, _)) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(wish(1, Some("9999"))).await, "user");
        assert_eq!(field(wish(1, Some("4 OR 1"))).await, "user");
        let mut ftp = wish(1, None);
        ftp.subscription.endpoint = "ftp://x".to_owned();
        assert_eq!(field(ftp).await, "subscription.endpoint");
        let mut bare = wish(1, None);
        bare.subscription.keys.auth.clear();
        assert_eq!(field(bare).await, "subscription.keys");
        let mut long = wish(1, None);
        long.subscription.endpoint += &"x".repeat(TOKEN_MAX);
        assert_eq!(field(long).await, "subscription");
    }

    #[tokio::test]
    async fn there_is_a_bound_and_who_is_gone_makes_room() {
        let (_dir, browsers) = directory();
        for n in 0..100 {
            browsers.register(wish(n, None)).await.unwrap();
        }
        assert!(matches!(browsers.register(wish(100, None)).await, Err(Refused::Full)));
        browsers.register(wish(7, None)).await.unwrap();
        run(&browsers, "UPDATE device SET removed = 1 WHERE token LIKE '%/8\"}'");
        browsers.register(wish(100, None)).await.unwrap();
        assert_eq!(browsers.users().await.unwrap().len(), 60 + 100);
    }
}
