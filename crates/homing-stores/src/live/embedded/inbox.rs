//! The port [`Inbox`]: checks, and hands over to the threads.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use homing_core::live::{Backlog, Inbox, LiveDown, Marks, Position, Post, Posted, Stream, Unread};

use super::{EmbeddedLive, marks, streams};
use crate::live::failure::{check_name, check_posts, check_stream};

const PART: &str = "inbox";

impl Inbox for EmbeddedLive {
    fn post<'a>(&'a self, posts: &'a [Post]) -> BoxFuture<'a, Result<Vec<Posted>, LiveDown>> {
        Box::pin(async move {
            let what = self.what(PART);
            check_posts(&what, posts)?;
            let posts = posts.to_vec();
            self.store.writer.run(&what, move |tx| posts.iter().map(|post| streams::store(tx, post)).collect()).await
        })
    }

    fn after<'a>(
        &'a self,
        asks: &'a [(Stream, Position)],
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Backlog>, LiveDown>> {
        Box::pin(async move {
            let what = self.what(PART);
            for (stream, _) in asks {
                check_stream(&what, stream)?;
            }
            let (asks, ttl) = (asks.to_vec(), self.store.settings.ttl);
            let look = move |view: &super::threads::View<'_>| {
                asks.iter().map(|(stream, at)| streams::after(view, stream, *at, limit, ttl)).collect()
            };
            self.store.reader.run(&what, look).await
        })
    }

    fn unread<'a>(
        &'a self,
        user: &'a str,
        streams: &'a [Stream],
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unread>, LiveDown>> {
        Box::pin(async move {
            let what = self.what(PART);
            check_name(&what, user)?;
            for stream in streams {
                check_stream(&what, stream)?;
            }
            let (user, streams, ttl) = (user.to_owned(), streams.to_vec(), self.store.settings.ttl);
            let look = move |view: &super::threads::View<'_>| {
                streams.iter().map(|stream| marks::unread(view, &user, stream, limit, ttl)).collect()
            };
            self.store.reader.run(&what, look).await
        })
    }

    fn mark<'a>(
        &'a self,
        user: &'a str,
        streams: &'a [Stream],
        marks: &'a Marks,
    ) -> BoxFuture<'a, Result<Vec<Arc<str>>, LiveDown>> {
        Box::pin(async move {
            let what = self.what(PART);
            check_name(&what, user)?;
            let (user, streams, marks): (Arc<str>, _, _) = (user.into(), streams.to_vec(), marks.clone());
            self.store.writer.run(&what, move |tx| marks::mark(tx, &user, &streams, &marks)).await
        })
    }

    fn were_read<'a>(&'a self, pairs: &'a [(&'a str, &'a str)]) -> BoxFuture<'a, Result<Vec<bool>, LiveDown>> {
        Box::pin(async move {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(user, id)| ((*user).to_owned(), (*id).to_owned())).collect();
            let look = move |view: &super::threads::View<'_>| {
                pairs.iter().map(|(user, id)| marks::was_read(view.db, user, id)).collect()
            };
            self.store.reader.run(&self.what(PART), look).await
        })
    }
}
