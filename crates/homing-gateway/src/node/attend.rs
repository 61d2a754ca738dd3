//! What a session that has just come has missed: everything since the place that it names, or what its user has not read.

use std::sync::Arc;

use homing_core::{
    live::{Backlog, LiveDown, Position, Stored, Stream, Unread},
    wire_live::Message,
};
use tracing::warn;

use super::Node;
use crate::{
    desk::Missed,
    parcel::{Parcel, Source},
};

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
        let mut recovered = named.into_iter().zip(backlogs).filter(|(_, backlog)| backlog.recovered);
        let mut known: Vec<(Stream, Backlog)> = Vec::new();
        known.extend(recovered.by_ref().map(|((stream, _), backlog)| (stream, backlog)));
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
                    let messages = parcels(&stream, top.epoch, messages);
                    Missed { stream, recovered: true, truncated: false, top, messages }
                }
                None => {
                    let Unread { truncated, top, messages } = unread.next().unwrap_or_default();
                    let messages = parcels(&stream, top.epoch, messages);
                    Missed { stream, recovered: false, truncated, top, messages }
                }
            };
            missed.push(one);
        }
        Ok(missed)
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

/// Stored messages as sessions are shown them. One that cannot be read is left out, and said once.
pub(super) fn parcels(stream: &Stream, epoch: u32, stored: Vec<Stored>) -> Vec<Arc<Parcel>> {
    let parcel = |Stored { offset, id, body }: Stored| match Message::decode(&body) {
        Ok(message) => {
            let at = Some(Position { epoch, offset });
            Some(Arc::new(Parcel::new(Source::Message { stream: stream.clone(), at, message })))
        }
        Err(error) => {
            warn!(%stream, offset, %id, %error, "A stored message cannot be read.");
            None
        }
    };
    stored.into_iter().filter_map(parcel).collect()
}
