//! The gateway's presence as a lookup: what the rule `presence` reads, and explain shows.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{LiveDown, Presence, Seen},
    lookup::{Death, Explained, Lookup, Row, StoreDown, Verdict},
};

/// A row per user: `online` (0 or 1), `sessions`, `nodes`, and `gone_at` where it is remembered.
pub(super) struct PresenceLookup {
    name: &'static str,
    presence: Arc<dyn Presence>,
}

impl PresenceLookup {
    pub(super) fn new(name: &'static str, presence: Arc<dyn Presence>) -> Self {
        Self { name, presence }
    }

    /// It is asked again: a presence that is not known is no absence.
    fn down(&self, down: LiveDown) -> StoreDown {
        StoreDown { lookup: self.name.to_owned(), refused: false, source: Box::new(down) }
    }
}

fn row(seen: &Seen) -> Row {
    let mut row = Row::from([
        ("online".to_owned(), u8::from(seen.sessions > 0).to_string()),
        ("sessions".to_owned(), seen.sessions.to_string()),
        ("nodes".to_owned(), seen.nodes.to_string()),
    ]);
    row.extend(seen.gone_at.map(|at| ("gone_at".to_owned(), at.to_string())));
    row
}

impl Lookup for PresenceLookup {
    fn name(&self) -> &str {
        self.name
    }

    fn rows<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreDown>> {
        Box::pin(async move {
            let seen = self.presence.seen(ids).await.map_err(|error| self.down(error))?;
            if seen.len() != ids.len() {
                let source = format!("{} answers to {} questions", seen.len(), ids.len()).into();
                return Err(self.down(LiveDown { what: self.name.to_owned(), refused: false, source }));
            }
            Ok(seen.iter().map(|seen| vec![row(seen)]).collect())
        })
    }

    fn explain<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Explained, StoreDown>> {
        Box::pin(async move {
            let seen = self.presence.seen(&[id]).await.map_err(|error| self.down(error))?;
            let Seen { sessions, nodes, gone_at } = seen.first().copied().unwrap_or_default();
            let gone = gone_at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
            let gone = gone.map(|at| format!(", the last one ended at {at}")).unwrap_or_default();
            Ok(Explained {
                store: "live".to_owned(),
                asked: format!("who is on a socket: {id}"),
                raw: format!("{sessions} session(s) on {nodes} node(s){gone}"),
                rows: seen.iter().map(row).collect(),
            })
        })
    }

    /// The rule decides, not the lookup.
    fn judge(&self, _: &[Row], _: Millis) -> Verdict {
        Verdict { pass: true, seen: String::new() }
    }

    fn forget<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Death) -> BoxFuture<'a, Result<bool, StoreDown>> {
        Box::pin(std::future::ready(Ok(false)))
    }
}
