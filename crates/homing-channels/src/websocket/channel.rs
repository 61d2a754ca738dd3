//! The channel: builds one body, stores it in every target's stream, in one call of the store.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::{
    catalogue::Catalogue,
    channel::{Answer, Channel, Credential, Health, Outcome},
    live::{Inbox, LiveDown, Once, Post, Posted},
    notification::{Notification, Target, live_id},
};
use toml::Table;

use super::{
    body::{build, stream},
    settings::Settings,
};
use crate::{Error, Result, common::section, registry::Tools};

/// Targets of one call at most; they are stored together.
pub const PAGE: usize = 256;

/// Its section in the configuration.
const NAME: &str = "websocket";

/// See the module.
pub struct Websocket {
    settings: Settings,
    inbox: Arc<dyn Inbox>,
    types: Option<Arc<Catalogue>>,
}

/// For [`registry`](crate::registry).
///
/// # Errors
/// Names the setting that cannot work.
pub(crate) fn open(section: &Table, tools: &Tools) -> Result<Arc<dyn Channel>> {
    Ok(Arc::new(Websocket::new(section, tools)?))
}

// === impl Websocket ===

impl Websocket {
    /// Reads `[channel.websocket]`; asks the store nothing yet.
    ///
    /// # Errors
    /// Names the setting that cannot work.
    pub fn new(section: &Table, tools: &Tools) -> Result<Self> {
        let settings: Settings = section::read(NAME, section)?;
        settings.check()?;
        let no_store = || Error::setting(format!("channel.{NAME}"), "there is no store of live delivery");
        let inbox = tools.inbox.clone().ok_or_else(no_store)?;
        Ok(Self { settings, inbox, types: tools.types.clone() })
    }

    /// What is to be stored for each target, or why nothing can be.
    fn posts(&self, notification: &Notification, targets: &[Target]) -> Vec<Result<Post, Answer>> {
        let refused = |why: String| Answer::new(Outcome::Payload, format!("not sent: {why}"));
        let body = match build(&self.settings, self.types.as_deref(), notification) {
            Ok(body) => body,
            Err(why) => return targets.iter().map(|_| Err(refused(why.clone()))).collect(),
        };
        let id: Arc<str> = live_id(&notification.id).into();
        let expires_at = Some(notification.expires_at);
        let post = |target| {
            let stream = stream(target).map_err(refused)?;
            Ok(Post { stream, id: Arc::clone(&id), body: body.clone(), expires_at, once: Once::Id })
        };
        targets.iter().map(post).collect()
    }

    async fn send_all(&self, notification: &Notification, targets: &[Target]) -> Vec<Answer> {
        let (mut posts, mut refused) = (Vec::with_capacity(targets.len()), Vec::with_capacity(targets.len()));
        for post in self.posts(notification, targets) {
            refused.push(match post {
                Ok(post) => {
                    posts.push(post);
                    None
                }
                Err(answer) => Some(answer),
            });
        }
        let stored = if posts.is_empty() { Ok(Vec::new()) } else { self.inbox.post(&posts).await };
        let (stored, down) = match stored {
            Ok(stored) => (stored, None),
            Err(error) => (Vec::new(), Some(unstored(&error))),
        };
        let mut stored = stored.into_iter();
        let mut answer = || match (&down, stored.next()) {
            (Some(down), _) => down.clone(),
            (None, Some(posted)) => delivered(posted),
            // A store that says less than it was asked: the message is stored once however often it is sent.
            (None, None) => Answer::new(Outcome::Retry { after: None }, "the store gave no answer for it"),
        };
        refused.into_iter().map(|refused| refused.unwrap_or_else(&mut answer)).collect()
    }
}

fn delivered(posted: Posted) -> Answer {
    let place = format!("{}:{}", posted.at.epoch, posted.at.offset);
    let detail = if posted.fresh { "stored" } else { "stored before" };
    Answer::new(Outcome::Delivered { provider_id: Some(place) }, detail)
}

/// Nothing is ambiguous here: what was stored without our hearing of it is not stored again. What no store would ever take
/// was refused before; one that refuses now has no room.
fn unstored(error: &LiveDown) -> Answer {
    let why = if error.refused { "not stored now" } else { "not stored, or not heard of" };
    Answer::new(Outcome::Retry { after: None }, format!("{why}: {error}"))
}

impl Channel for Websocket {
    fn name(&self) -> &'static str {
        NAME
    }

    fn page(&self) -> usize {
        PAGE
    }

    fn send<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(self.send_all(notification, targets))
    }

    /// Built and checked; nothing is stored.
    fn rehearse<'a>(&'a self, notification: &'a Notification, targets: &'a [Target]) -> BoxFuture<'a, Vec<Answer>> {
        let fits = |_| Answer::new(Outcome::Delivered { provider_id: None }, "not stored: built and checked");
        let answers = self.posts(notification, targets).into_iter().map(|post| post.map_or_else(|no| no, fits));
        Box::pin(std::future::ready(answers.collect()))
    }

    /// Asks the store about a message that there is not.
    fn examine(&self) -> BoxFuture<'_, Vec<Credential>> {
        Box::pin(async {
            let (health, detail) = match self.inbox.were_read(&[("homing", "examine")]).await {
                Ok(_) => (Health::Good, "the store of live delivery answers".to_owned()),
                Err(error) if error.refused => (Health::Doubtful, error.to_string()),
                Err(error) => (Health::Unknown, error.to_string()),
            };
            vec![Credential { account: format!("channel.{NAME}"), health, detail, expires_at: None }]
        })
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
