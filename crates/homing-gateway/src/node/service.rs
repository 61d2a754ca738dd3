//! What JSON-RPC and REST end at: the stores, and the other nodes by the bus.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use homing_core::{
    clock::Millis,
    live::{Announcement, Marks, Once, Post, Seen, Stream, Unread},
    wire_live::Message,
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Node;
use crate::rpc::{Failure, Push, Pushed, Read, Scheduled, Service, To, When};

/// An id for what came without one; later ones are greater.
pub(super) fn new_id() -> String {
    Uuid::now_v7().simple().to_string()
}

/// A scheduled message as it waits: the form that other producers write, with an id.
#[derive(Serialize)]
struct Member<'a> {
    id: &'a str,
    msg_type: &'a str,
    to_user_id: &'a str,
    data: &'a RawValue,
}

impl Service for Node {
    fn push(&self, push: Push) -> BoxFuture<'_, Result<Vec<Pushed>, Failure>> {
        Box::pin(async move {
            let now = self.clock.now();
            let id: Arc<str> = push.id.unwrap_or_else(|| new_id().into());
            let (streams, users): (Vec<Stream>, Vec<Arc<str>>) = match push.to {
                To::User(user) => (vec![Stream::User(Arc::clone(&user))], vec![user]),
                To::Users(users) => (users.iter().cloned().map(Stream::User).collect(), users),
                To::Group(group) => (vec![Stream::Group(group)], Vec::new()),
                To::Everyone => (vec![Stream::Everyone], Vec::new()),
            };
            let message =
                Message { id: Arc::clone(&id), kind: push.kind, data: push.data, at: now, to: None, emit: None };
            let expires_at = push.ttl.map(|ttl| now.saturating_add(millis(ttl)));
            let post = |stream: &Stream| {
                let to = match stream {
                    Stream::User(user) => Some(Arc::clone(user)),
                    Stream::Group(_) | Stream::Everyone => None,
                };
                let body = Message { to, ..message.clone() }.encode();
                Post { stream: stream.clone(), id: Arc::clone(&id), body, expires_at, once: Once::Id }
            };
            let posts: Vec<Post> = streams.iter().map(post).collect();
            let posted = self.stores.inbox.post(&posts).await?;
            // How many are online is only told; the message stands without it.
            let names: Vec<&str> = users.iter().map(|user| &**user).collect();
            let seen = if names.is_empty() { Ok(Vec::new()) } else { self.stores.presence.seen(&names).await };
            let mut seen = seen.unwrap_or_default().into_iter();
            let pushed = streams.into_iter().zip(posted).map(|(stream, posted)| Pushed {
                stream,
                id: Arc::clone(&id),
                at: posted.at,
                fresh: posted.fresh,
                sessions: seen.next().map(|seen| seen.sessions),
            });
            Ok(pushed.collect())
        })
    }

    fn presence<'a>(&'a self, users: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Seen>, Failure>> {
        Box::pin(async move {
            let users: Vec<&str> = users.iter().map(|user| &**user).collect();
            Ok(self.stores.presence.seen(&users).await?)
        })
    }

    fn unread<'a>(&'a self, user: &'a Arc<str>, limit: usize) -> BoxFuture<'a, Result<Vec<(Stream, Unread)>, Failure>> {
        Box::pin(async move {
            let streams = own_streams(user);
            let unread = self.stores.inbox.unread(user, &streams, limit).await?;
            Ok(streams.into_iter().zip(unread).collect())
        })
    }

    fn read<'a>(&'a self, user: &'a Arc<str>, what: Read) -> BoxFuture<'a, Result<Vec<Arc<str>>, Failure>> {
        Box::pin(async move {
            let streams = own_streams(user);
            let Read::Ids(ids) = what else {
                let unread = self.stores.inbox.unread(user, &streams, 1).await?;
                let mut read = Vec::new();
                for (stream, unread) in streams.iter().zip(unread) {
                    let marks = Marks::UpTo(stream.clone(), unread.top);
                    read.extend(self.stores.inbox.mark(user, &streams, &marks).await?);
                }
                return Ok(read);
            };
            Ok(self.stores.inbox.mark(user, &streams, &Marks::Ids(ids)).await?)
        })
    }

    fn schedule(&self, when: When, push: Push) -> BoxFuture<'_, Result<Scheduled, Failure>> {
        Box::pin(async move {
            let To::User(user) = &push.to else {
                let why = "a scheduled message is for one user".to_owned();
                return Err(Failure::Refused { field: "user", why });
            };
            let id = push.id.map_or_else(new_id, |id| id.to_string());
            let at: Millis = match when {
                When::At(at) => at,
                When::After(time) => self.clock.now().saturating_add(millis(time)),
            };
            let member = Member { id: &id, msg_type: &push.kind, to_user_id: user, data: &push.data };
            let member = serde_json::to_vec(&member)
                .map_err(|error| Failure::Refused { field: "data", why: error.to_string() })?;
            self.stores.schedule.put(&id, &member, at).await?;
            Ok(Scheduled { id, at })
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move { Ok(self.stores.schedule.cancel(id).await?) })
    }

    fn end<'a>(&'a self, user: &'a Arc<str>, why: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let leave = Announcement::Leave { user: Arc::clone(user), why: why.to_owned() };
            Ok(self.stores.bus.announce(&[leave]).await?)
        })
    }
}

fn own_streams(user: &Arc<str>) -> [Stream; 2] {
    [Stream::User(Arc::clone(user)), Stream::Everyone]
}

fn millis(time: Duration) -> Millis {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
