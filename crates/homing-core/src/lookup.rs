//! The port of an installation's own data: who is logged in, who is online, who may be told, on which device.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use crate::clock::Millis;

/// One row of an answer: column to text. A plain value (a Redis string) is the column `value`.
pub type Row = BTreeMap<String, String>;

/// The store could not answer. The lane stops and tries again; it never guesses.
#[derive(Debug, thiserror::Error)]
#[error("lookup {lookup} could not be answered: {source}")]
pub struct StoreDown {
    /// Name of the lookup.
    pub lookup: String,
    /// The store is well, and what it holds for these subjects cannot be used: the same question gets the same answer.
    pub refused: bool,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a lookup says of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Does the message go on?
    pub pass: bool,
    /// What was seen, for explain: `value=1`, `missing`.
    pub seen: String,
}

/// How one id was looked up, for explain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// The store's name in the configuration.
    pub store: String,
    /// The concrete command, statement or request: `GET login_status:42`.
    pub asked: String,
    /// The raw answer as text, shortened; never a whole token.
    pub raw: String,
    /// The decoded and mapped rows.
    pub rows: Vec<Row>,
}

/// A page of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The members, in the store's own order, each once.
    pub members: Vec<String>,
    /// Where the next page begins; `None` = this was the last. Only the same enumerator reads it.
    pub next: Option<String>,
}

/// An enumerator: the members of a group or topic, or everyone, in a stable order, a page at a time.
///
/// It only reads and may be cancelled and repeated freely. A member that was there all the time is in exactly one page,
/// whoever comes and goes meanwhile.
pub trait Members: Send + Sync {
    /// Its name in the configuration: `group_members`.
    fn name(&self) -> &str;

    /// Up to `limit` members of `of` (a group's or topic's id; empty for everyone), from the first or from where the
    /// former page's [`Page::next`] says.
    fn page<'a>(&'a self, of: &'a str, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Page, StoreDown>>;
}

/// Why a token is dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Death {
    /// The channel whose provider said so.
    pub channel: String,
    /// In the provider's words.
    pub why: String,
    /// Since when, by the provider, in milliseconds since 1970.
    pub since: Option<Millis>,
}

/// One configured lookup.
///
/// `rows` answers for many ids in one round trip per store, in the order of the ids; an id without data has no rows.
/// It may be cancelled and repeated freely.
pub trait Lookup: Send + Sync {
    /// Its name in the configuration: `login`, `tokens`.
    fn name(&self) -> &str;

    /// The rows of each id.
    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>>;

    /// Looks one id up without any cache and shows how. Tokens are shortened in `raw`.
    fn explain<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>>;

    /// Applies the lookup's `accept` expression and `on_missing` to the rows of one id.
    fn judge(&self, rows: &[Row], now: Millis) -> Verdict;

    /// Takes a dead token out, if the lookup allows writes, the token is still that one, and it was not registered again
    /// after its death. Answers whether it did.
    fn forget<'a>(&'a self, user: &'a str, token: &'a str, death: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>>;

    /// Removes everything that the lookup holds of a user, if it allows that. Answers whether it did.
    fn clean<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<bool, StoreDown>> {
        let _ = user;
        Box::pin(std::future::ready(Ok(false)))
    }
}
