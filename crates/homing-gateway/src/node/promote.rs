//! Scheduled messages: whoever of the nodes sees one due takes it and stores it in one step, so it is published once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use homing_core::{
    live::{Due, MAX_ID, Once, Post, Stream},
    wire_live::Message,
};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Node, meter};
use crate::emit::plain;

/// What a member may have beside a publication's keys.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<Arc<str>>,
}

/// Pause after the store was away.
const PAUSE: Duration = Duration::from_millis(250);

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
    async fn promote_once(&self) -> Result<Duration, homing_core::live::LiveDown> {
        let agenda = self.stores.schedule.look(self.settings.promote).await?;
        let now = self.clock.now();
        let mut posts = Vec::with_capacity(agenda.due.len());
        let mut late = Vec::with_capacity(agenda.due.len());
        for Due { member, at } in agenda.due {
            match self.scheduled(&member, now) {
                Ok(post) => {
                    posts.push(post);
                    late.push(at);
                }
                Err(why) => {
                    warn!(%why, "A scheduled message cannot be read; it is buried.");
                    self.stores.schedule.bury(&member, &why).await?;
                }
            }
        }
        if !posts.is_empty() {
            let posted = self.stores.inbox.post(&posts).await?;
            let now = self.clock.now();
            for (posted, at) in posted.iter().zip(late) {
                if posted.fresh {
                    metrics::counter!(meter::PROMOTED).increment(1);
                    #[expect(clippy::cast_precision_loss, reason = "seconds for a histogram")]
                    metrics::histogram!(meter::LATENESS).record((now - at).max(0) as f64 / 1_000.0);
                }
            }
            debug!(taken = posted.iter().filter(|p| p.fresh).count(), of = posted.len(), "Published what was due.");
        }
        let next = agenda.next.map_or(self.settings.look, |ms| Duration::from_millis(ms.unsigned_abs()));
        Ok(next)
    }

    /// A member as a message to be stored.
    fn scheduled(&self, member: &Bytes, now: i64) -> Result<Post, String> {
        let publication = plain::read(member).map_err(|error| error.to_string())?;
        let named: Named = serde_json::from_slice(member).map_err(|error| error.to_string())?;
        let id = named.id.filter(|id| id.len() <= MAX_ID).unwrap_or_else(|| super::service::new_id().into());
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
