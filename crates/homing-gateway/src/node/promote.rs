//! Scheduled messages: whoever of the nodes sees one due takes it and stores it in one step, so it is published once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::{
    clock::Millis,
    live::{Due, Inbox, LiveDown, MAX_ID, Once, Post, Posted, Stream},
    wire_live::Message,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Node, meter};
use crate::emit::plain;

/// What a member may have beside a publication's keys.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<Value>,
}

impl Named {
    /// A usable one; a number is the text that it is written as.
    fn id(self) -> Option<Arc<str>> {
        let id = match self.id? {
            Value::String(id) => id,
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        (1..=MAX_ID).contains(&id.len()).then(|| id.into())
    }
}

/// Pause after the store was away.
const PAUSE: Duration = Duration::from_millis(250);
/// So many may fail one by one until the store is taken to be away.
const FAILURES: usize = 8;

impl Node {
    /// Publishes what is due, and sleeps until the next is or somebody changed the schedule.
    pub(super) async fn promote(&self) {
        loop {
            match self.promote_once().await {
                Ok(pause) => {
                    self.status.up("schedule");
                    // A change ends the sleep; so does, by and by, a change that was not announced.
                    timeout(pause.min(self.settings.look), self.stores.schedule.changed()).await.ok();
                }
                Err(error) => {
                    self.status.down("schedule", &error.to_string());
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Answers how long until the next is due.
    async fn promote_once(&self) -> Result<Duration, LiveDown> {
        let agenda = self.stores.schedule.look(self.settings.promote).await?;
        let now = self.clock.now();
        let mut posts = Vec::with_capacity(agenda.due.len());
        for Due { member, at } in agenda.due {
            match self.scheduled(&member, now) {
                Ok(post) => posts.push((post, at)),
                Err(why) => {
                    warn!(%why, "A scheduled message cannot be read; it is buried.");
                    self.stores.schedule.bury(&member, &why).await?;
                }
            }
        }
        self.publish(posts).await?;
        let next = agenda.next.map_or(self.settings.look, |ms| Duration::from_millis(ms.unsigned_abs()));
        Ok(next)
    }

    /// Stores what is due, and answers the first failure.
    async fn publish(&self, due: Vec<(Post, Millis)>) -> Result<(), LiveDown> {
        let (posts, at): (Vec<_>, Vec<_>) = due.into_iter().unzip();
        let (posted, outcome) = store(&*self.stores.inbox, &posts).await;
        let now = self.clock.now();
        let fresh = |(posted, _): &(&Option<Posted>, &Millis)| posted.is_some_and(|posted| posted.fresh);
        let mut taken = 0;
        for (_, at) in posted.iter().zip(&at).filter(fresh) {
            taken += 1;
            metrics::counter!(meter::PROMOTED).increment(1);
            #[expect(clippy::cast_precision_loss, reason = "seconds for a histogram")]
            metrics::histogram!(meter::LATENESS).record((now - at).max(0) as f64 / 1_000.0);
        }
        debug!(taken, of = posts.len(), "Published what was due.");
        outcome
    }

    /// A member as a message to be stored.
    fn scheduled(&self, member: &Bytes, now: i64) -> Result<Post, String> {
        let publication = plain::read(member).map_err(|error| error.to_string())?;
        let named: Named = serde_json::from_slice(member).map_err(|error| error.to_string())?;
        let id = named.id().unwrap_or_else(|| super::service::new_id().into());
        let stream = publication.to.clone().map_or(Stream::Everyone, Stream::User);
        let message = Message {
            id: Arc::clone(&id),
            kind: publication.kind,
            data: publication.data,
            at: now,
            to: publication.to,
            emit: None,
        };
        let once = Once::Due { member: member.clone() };
        Ok(Post { stream, id, body: message.encode(), expires_at: None, once })
    }
}

/// Stores all at once; if that fails, one by one: what cannot be stored for one user, whose stream is broken, is not to hold
/// up everybody's. Answers what became of each that could be stored, and the first failure.
async fn store(inbox: &dyn Inbox, posts: &[Post]) -> (Vec<Option<Posted>>, Result<(), LiveDown>) {
    if posts.is_empty() {
        return (Vec::new(), Ok(()));
    }
    let first = match inbox.post(posts).await {
        Ok(posted) => return (posted.into_iter().map(Some).collect(), Ok(())),
        Err(error) => error,
    };
    let (mut all, mut failures) = (Vec::with_capacity(posts.len()), 0);
    for post in posts.iter().take_while(|_| posts.len() > 1) {
        let posted = inbox.post(std::slice::from_ref(post)).await.ok();
        failures += usize::from(posted.is_none());
        all.push(posted.and_then(|posted| posted.first().copied()));
        if failures > FAILURES {
            break;
        }
    }
    (all, Err(first))
}

#[cfg(test)]
#[path = "promote_tests.rs"]
mod tests;
