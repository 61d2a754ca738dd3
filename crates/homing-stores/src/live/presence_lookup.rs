//! The rule "online" over the nodes' own presence: `[lookup.online] source = "presence"`.
//!
//! Columns: `online` (`1` or `0`), `sessions`, `nodes`, and `gone_at` (ms since 1970) as long as it is remembered when
//! the last session ended. Everybody has a row. Without an expression those pass who are not online: they are to be
//! pushed to.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{LiveDown, Presence, Seen},
    lookup::{Death, Explained, Lookup, Row, StoreDown, Verdict},
};

use crate::{config::OnMissing, error::ConfigError, judge::Judge};

const COLUMNS: [&str; 4] = ["online", "sessions", "nodes", "gone_at"];

/// See the module.
pub struct PresenceLookup {
    name: String,
    presence: Arc<dyn Presence>,
    accept: Option<Judge>,
}

impl PresenceLookup {
    /// The lookup of this name.
    pub fn new(name: &str, presence: Arc<dyn Presence>) -> Self {
        Self { name: name.to_owned(), presence, accept: None }
    }

    /// With an expression over its columns, as any lookup has: `online == '0'`.
    ///
    /// # Errors
    /// It is none, or names another column.
    pub fn with_accept(mut self, accept: &str) -> Result<Self, ConfigError> {
        let columns = COLUMNS.map(str::to_owned);
        self.accept = Some(Judge::new(&self.name, Some(accept), OnMissing::Allow, Some(&columns))?);
        Ok(self)
    }

    async fn seen(&self, ids: &[&str]) -> Result<Vec<Seen>, StoreDown> {
        self.presence.seen(ids).await.map_err(|down: LiveDown| StoreDown {
            lookup: self.name.clone(),
            refused: down.refused,
            source: Box::new(down),
        })
    }
}

impl Lookup for PresenceLookup {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        Box::pin(async move { Ok(self.seen(ids).await?.iter().map(|seen| vec![row(seen)]).collect()) })
    }

    fn explain<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        Box::pin(async move {
            let seen = self.seen(&[id]).await?.into_iter().next().unwrap_or_default();
            let plural = |n: u32, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
            let mut raw = format!("{} on {}", plural(seen.sessions, "session"), plural(seen.nodes, "node"));
            if let Some(at) = seen.gone_at {
                raw = format!("{raw}, gone at {at}");
            }
            let asked = format!("presence of {id}");
            Ok(Explained { store: "presence".to_owned(), asked, raw, rows: vec![row(&seen)] })
        })
    }

    fn judge(&self, rows: &[Row], now: Millis) -> Verdict {
        if let Some(accept) = &self.accept {
            return accept.judge(rows, now);
        }
        // Unknown counts as offline.
        let online = rows.first().and_then(|row| row.get("online")).is_some_and(|online| online == "1");
        Verdict { pass: !online, seen: format!("online={}", u8::from(online)) }
    }

    /// Presence has no tokens.
    fn forget<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(std::future::ready(Ok(false)))
    }
}

fn row(seen: &Seen) -> Row {
    let online = if seen.sessions > 0 { "1" } else { "0" };
    let mut row = Row::from([
        ("online".to_owned(), online.to_owned()),
        ("sessions".to_owned(), seen.sessions.to_string()),
        ("nodes".to_owned(), seen.nodes.to_string()),
    ]);
    if let Some(at) = seen.gone_at {
        row.insert("gone_at".to_owned(), at.to_string());
    }
    row
}
