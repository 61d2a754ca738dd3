//! The registry as lookups and enumerators, under fixed names.
//!
//! | name | rows or members |
//! |---|---|
//! | `registry.devices` | a row per device and channel: `token`, `platform`, `app`, `env`, `channel`, `device`; the device that was last seen first |
//! | `registry.profile` | `locale`, `time_zone`, `quiet_from`, `quiet_to`, `muted` |
//! | `registry.topic` | the users who follow a topic |
//! | `registry.everyone` | the users with a device |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::clock::Millis;
use homing_core::lookup::{Death, Explained, Lookup, Members, Page, Row, StoreDown, Verdict};
use homing_core::registry::{MAX_NAME, MAX_USER, Registry as _};

use crate::failure::Failure;
use crate::lookup::is_id;
use crate::registry::tables::{Values, filled, marks, text, values};
use crate::registry::{SqlRegistry, Stop, again};
use crate::shorten;

/// The most ids of one statement.
const MOST: usize = 5_000;

/// The most members of a page, whatever is asked for.
const MAX_PAGE: usize = 10_000;

/// Is this a name that the registry has taken?
pub(crate) fn is_of_the_registry(name: &str) -> bool {
    [Devices::NAME, Profile::NAME, Topic::NAME, Everyone::NAME].contains(&name)
}

/// The devices of users, by channel.
pub(crate) struct Devices(pub(crate) Arc<SqlRegistry>);

/// What users want.
pub(crate) struct Profile(pub(crate) Arc<SqlRegistry>);

/// Who follows a topic.
pub(crate) struct Topic(pub(crate) Arc<SqlRegistry>);

/// All who have a device.
pub(crate) struct Everyone(pub(crate) Arc<SqlRegistry>);

/// A question: the user's id is the first column.
struct Question {
    /// With `IDS` where the ids stand.
    statement: &'static str,
    columns: &'static [&'static str],
}

const DEVICES: Question = Question {
    statement: "SELECT user_id, token, platform, app, env, channel, device FROM @token WHERE died_at = 0 AND user_id IN (IDS) \
                ORDER BY registered_at DESC, device, channel",
    columns: &["token", "platform", "app", "env", "channel", "device"],
};

const PROFILE: Question = Question {
    statement: "SELECT user_id, CASE WHEN locale = '' THEN device_locale ELSE locale END, time_zone, quiet_from, quiet_to, \
                muted FROM @user WHERE user_id IN (IDS)",
    columns: &["locale", "time_zone", "quiet_from", "quiet_to", "muted"],
};

// === impl SqlRegistry ===

impl SqlRegistry {
    async fn answers(&self, question: &Question, ids: &[&str]) -> Result<Vec<Vec<Row>>, Failure> {
        let mut found: HashMap<&str, Vec<Row>> = HashMap::with_capacity(ids.len());
        let distinct: HashSet<&str> = ids.iter().copied().filter(|id| is_user(id)).collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let mut work: Vec<&[&str]> = distinct.chunks(MOST).collect();
        while let Some(chunk) = work.pop() {
            match self.ask(question, chunk).await {
                Ok(rows) => {
                    let asked: HashSet<&str> = chunk.iter().copied().collect();
                    for row in rows {
                        let Some(id) = asked.get(text(&row, 0).as_str()) else { continue };
                        found.entry(id).or_default().push(named(question, &row));
                    }
                }
                // More rows than one answer may have.
                Err(Failure::Contradiction { .. }) if chunk.len() > 1 => {
                    work.extend(chunk.chunks(chunk.len().div_ceil(2)));
                }
                Err(failure) => return Err(failure),
            }
        }
        // A user may be asked for twice.
        Ok(ids.iter().map(|id| found.get(id).cloned().unwrap_or_default()).collect())
    }

    async fn ask(&self, question: &Question, ids: &[&str]) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let ids = filled(ids);
        let statement = question.statement.replace("IDS", &marks(ids.len()));
        self.tables.rows(&statement, values().texts(ids)).await
    }

    async fn told(&self, question: &Question, id: &str) -> Result<Explained, Failure> {
        let store = self.tables.server.name().to_owned();
        let literal = format!("'{}'", id.replace('\'', "''"));
        let asked = self.tables.sql(question.statement).replace("IDS", &literal);
        if !is_user(id) {
            let raw = "nothing: this is nobody's id".to_owned();
            return Ok(Explained { store, asked, raw, rows: Vec::new() });
        }
        let rows = self.ask(question, &[id]).await?;
        let rows: Vec<Row> = rows.iter().map(|row| named(question, row)).collect();
        let cells = |row: &Row| {
            let cells = row.iter().map(|(name, text)| format!("{name}={}", shorten::value(&[name], text)));
            cells.collect::<Vec<_>>().join(" ")
        };
        let raw = rows.iter().take(50).map(cells).collect::<Vec<_>>().join("\n");
        let raw = if raw.is_empty() { "no rows".to_owned() } else { shorten::bounded(&raw) };
        Ok(Explained { store, asked, raw, rows })
    }

    async fn page(&self, statement: &str, of: Values, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let limit = limit.clamp(1, MAX_PAGE);
        let bound = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.tables.rows(statement, of.text(after.unwrap_or_default()).number(bound)).await?;
        let members: Vec<String> = rows.iter().map(|row| text(row, 0)).collect();
        let next = members.last().filter(|_| members.len() == limit).cloned();
        Ok(Page { members, next })
    }
}

/// A row by its names; what is empty is absent.
fn named(question: &Question, row: &[Option<String>]) -> Row {
    let cells = question.columns.iter().enumerate().map(|(n, name)| ((*name).to_owned(), text(row, n + 1)));
    cells.filter(|(_, text)| !text.is_empty()).collect()
}

fn is_user(id: &str) -> bool {
    is_id(id) && id.len() <= MAX_USER
}

/// A row is enough; a user without one has none.
fn verdict(rows: &[Row]) -> Verdict {
    let seen = if rows.is_empty() { "missing".to_owned() } else { format!("rows={}", rows.len()) };
    Verdict { pass: !rows.is_empty(), seen }
}

fn down(name: &str, stop: Stop) -> StoreDown {
    match stop {
        Stop::Store(failure) => failure.of(name),
        Stop::Refused(error) => StoreDown { lookup: name.to_owned(), refused: true, source: Box::new(error) },
    }
}

// === impl Devices ===

impl Devices {
    pub(crate) const NAME: &'static str = "registry.devices";
}

impl Lookup for Devices {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        Box::pin(async move { self.0.answers(&DEVICES, ids).await.map_err(|failure| failure.of(Self::NAME)) })
    }

    fn explain<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        Box::pin(async move { self.0.told(&DEVICES, id).await.map_err(|failure| failure.of(Self::NAME)) })
    }

    fn judge(&self, rows: &[Row], _: Millis) -> Verdict {
        verdict(rows)
    }

    fn forget<'a>(&'a self, user: &'a str, token: &'a str, death: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(async move {
            if !is_user(user) || token.is_empty() {
                return Ok(false);
            }
            let now = self.0.clock.now();
            again!(self.0.die_once(user, token, death, now)).map_err(|stop| down(Self::NAME, stop))
        })
    }

    fn clean<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(async move {
            let erased = self.0.erase(user, self.0.clock.now()).await;
            erased.map_err(|error| StoreDown { lookup: Self::NAME.to_owned(), refused: false, source: Box::new(error) })
        })
    }
}

// === impl Profile ===

impl Profile {
    pub(crate) const NAME: &'static str = "registry.profile";
}

impl Lookup for Profile {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        Box::pin(async move { self.0.answers(&PROFILE, ids).await.map_err(|failure| failure.of(Self::NAME)) })
    }

    fn explain<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        Box::pin(async move { self.0.told(&PROFILE, id).await.map_err(|failure| failure.of(Self::NAME)) })
    }

    fn judge(&self, rows: &[Row], _: Millis) -> Verdict {
        verdict(rows)
    }

    /// It holds no token.
    fn forget<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(std::future::ready(Ok(false)))
    }
}

// === impl Topic ===

impl Topic {
    pub(crate) const NAME: &'static str = "registry.topic";
}

impl Members for Topic {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn page<'a>(&'a self, of: &'a str, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Page, StoreDown>> {
        Box::pin(async move {
            if !is_id(of) || of.len() > MAX_NAME {
                return Ok(Page::default());
            }
            let statement = "SELECT user_id FROM @topic WHERE topic = ? AND user_id > ? ORDER BY user_id LIMIT ?";
            let page = self.0.page(statement, values().text(of), after, limit).await;
            page.map_err(|failure| failure.of(Self::NAME))
        })
    }
}

// === impl Everyone ===

impl Everyone {
    pub(crate) const NAME: &'static str = "registry.everyone";
}

impl Members for Everyone {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn page<'a>(&'a self, of: &'a str, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Page, StoreDown>> {
        Box::pin(async move {
            // Nobody is told by mistake: a group is not everyone.
            if !of.is_empty() {
                let reason = format!("lists everyone and was asked for the members of {of}");
                return Err(Failure::contradiction(self.0.tables.server.name(), reason).of(Self::NAME));
            }
            let statement =
                "SELECT DISTINCT user_id FROM @token WHERE died_at = 0 AND user_id > ? ORDER BY user_id LIMIT ?";
            let page = self.0.page(statement, values(), after, limit).await;
            page.map_err(|failure| failure.of(Self::NAME))
        })
    }
}
