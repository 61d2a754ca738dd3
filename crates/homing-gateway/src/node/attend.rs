//! What a session that has just come has missed: everything since the place that it names, or what its user has not read.

use std::sync::Arc;

use homing_core::live::{Backlog, LiveDown, Position, Stored, Stream, Unread};

use super::{Node, shelf::newest};
use crate::{desk::Missed, parcel::Parcel};

impl Node {
    /// What is shown first on each of the streams, in their order. The bus is heard before the streams are read, so that
    /// nothing falls between; what comes twice is known by its offset.
    pub(super) async fn missed(
        &self,
        user: Option<&str>,
        streams: Vec<(Stream, Option<Position>)>,
    ) -> Result<Vec<Missed>, LiveDown> {
        self.follows.hear(streams.iter().map(|(stream, _)| stream)).await?;
        let named: Vec<(Stream, Position)> =
            streams.iter().filter_map(|(stream, at)| Some((stream.clone(), (*at)?))).collect();
        let backlogs =
            if named.is_empty() { Vec::new() } else { self.stores.inbox.after(&named, self.settings.replay).await? };
        // What is too much to be sent is not sent in part.
        let fits = |backlog: &Backlog| {
            backlog.messages.iter().map(|stored| stored.body.len()).sum::<usize>() <= self.settings.replay_bytes
        };
        let recovered = named.into_iter().zip(backlogs).filter(|(_, backlog)| backlog.recovered && fits(backlog));
        let mut known: Vec<(Stream, Backlog)> = recovered.map(|((stream, _), backlog)| (stream, backlog)).collect();
        let fresh: Vec<Stream> = streams
            .iter()
            .map(|(stream, _)| stream)
            .filter(|stream| !known.iter().any(|(known, _)| known == *stream))
            .cloned()
            .collect();
        let mut unread = self.unread(user, &fresh).await?.into_iter();
        let mut missed = Vec::with_capacity(streams.len());
        for (stream, _) in streams {
            let one = match known.iter().position(|(known, _)| *known == stream) {
                Some(place) => {
                    let (_, Backlog { top, messages, .. }) = known.swap_remove(place);
                    let messages = self.parcels(&stream, top.epoch, &messages);
                    Missed { stream, recovered: true, truncated: false, top, messages }
                }
                None => {
                    let Unread { mut truncated, top, mut messages } = unread.next().unwrap_or_default();
                    truncated |= newest(&mut messages, self.settings.replay_bytes);
                    let messages = self.parcels(&stream, top.epoch, &messages);
                    Missed { stream, recovered: false, truncated, top, messages }
                }
            };
            missed.push(one);
        }
        Ok(missed)
    }

    fn parcels(&self, stream: &Stream, epoch: u32, stored: &[Stored]) -> Vec<Arc<Parcel>> {
        stored.iter().filter_map(|stored| self.shelf.parcel(stream, epoch, stored)).collect()
    }

    /// What the user has not read; of nobody in particular only where the streams are.
    async fn unread(&self, user: Option<&str>, streams: &[Stream]) -> Result<Vec<Unread>, LiveDown> {
        if streams.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(user) = user {
            return self.stores.inbox.unread(user, streams, self.settings.replay).await;
        }
        let asks: Vec<(Stream, Position)> =
            streams.iter().map(|stream| (stream.clone(), Position::default())).collect();
        let backlogs = self.stores.inbox.after(&asks, 1).await?;
        Ok(backlogs.into_iter().map(|backlog| Unread { top: backlog.top, ..Unread::default() }).collect())
    }
}
