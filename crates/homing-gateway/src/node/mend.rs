//! Announcements may be lost (the bus keeps nothing): a shard sees the gap with the next message and asks; what is last in
//! a stream shows no gap, so every stream is compared with the store every so often, and at once when the bus was away.

use homing_core::live::{Backlog, Position, Stream};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use super::{Node, meter};
use crate::hub::Order;

/// Streams that are compared in one round trip.
const CHUNK: usize = 500;
/// First pause after the store was away, in milliseconds; it doubles.
const PAUSE_MS: u64 = 50;

impl Node {
    /// Compares everything with the store, every so often.
    pub(super) async fn check(&self) {
        loop {
            sleep(self.settings.check).await;
            self.mend_all("check").await;
            self.follows.tidy().await;
        }
    }

    /// Does the store of streams answer? Where nobody is, nothing else would find out that it is back; and while it is said
    /// to be away, nobody may be sent here.
    pub(super) async fn look(&self) {
        match self.stores.inbox.after(&[(Stream::Everyone, Position::default())], 1).await {
            Ok(_) => self.status.up("inbox"),
            Err(error) => self.status.down("inbox", &error.to_string()),
        }
    }

    /// Compares every stream of every shard with the store.
    pub(super) async fn mend_all(&self, how: &'static str) {
        for shard in 0..self.shard_count() {
            let (tx, rx) = oneshot::channel();
            self.order(shard, Order::Places(tx)).await;
            let Ok(mut places) = rx.await else { continue };
            while !places.is_empty() {
                let chunk = places.split_off(places.len().saturating_sub(CHUNK));
                self.mend(shard, chunk, how).await;
            }
        }
    }

    /// Brings a shard what it missed of these streams. While the store is away it is tried again, for as long as sessions
    /// have patience; then they are broken off and come back.
    pub(super) async fn mend(&self, shard: u16, places: Vec<(Stream, Position)>, how: &'static str) {
        let give_up = Instant::now() + self.settings.patience;
        let mut pause = PAUSE_MS;
        let backlogs = loop {
            match self.stores.inbox.after(&places, self.settings.replay).await {
                Ok(backlogs) => break backlogs,
                Err(error) if how == "check" => {
                    return self.status.down("inbox", &error.to_string());
                }
                Err(error) if Instant::now() >= give_up => {
                    warn!(%error, "What was missed could not be looked up; the sessions are to come back.");
                    for (stream, _) in places {
                        let top = Position::default();
                        let order = Order::CaughtUp { stream, whole: false, top, messages: Vec::new() };
                        self.order(shard, order).await;
                    }
                    return;
                }
                Err(error) => {
                    self.status.down("inbox", &error.to_string());
                    sleep(std::time::Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(1_000);
                }
            }
        };
        self.status.up("inbox");
        for ((stream, last), backlog) in places.into_iter().zip(backlogs) {
            if backlog.recovered && backlog.messages.is_empty() && how != "gap" {
                continue;
            }
            if how != "gap" {
                info!(%stream, shard, missed = backlog.messages.len(), "An announcement was missed; it is mended.");
            }
            metrics::counter!(meter::MENDED, "how" => how).increment(1);
            let top = newest(last, &backlog);
            let order = Order::CaughtUp {
                whole: backlog.recovered,
                top,
                messages: backlog
                    .messages
                    .into_iter()
                    .filter_map(|one| Some((one.offset, self.shelf.parcel(&stream, top.epoch, &one)?)))
                    .collect(),
                stream,
            };
            self.order(shard, order).await;
        }
    }
}

/// Where a stream is, for a shard that was at `last`. A store that is behind the shard in the same epoch has lost what it
/// had (another server took its place): what comes next would look as if it had been shown. No place is like none of the
/// sessions', so all of them come back.
fn newest(last: Position, backlog: &Backlog) -> Position {
    let lost = !backlog.recovered && backlog.top.epoch == last.epoch && backlog.top.offset < last.offset;
    if lost { Position::default() } else { backlog.top }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_hears_where_the_stream_is() {
        let at = |epoch, offset| Position { epoch, offset };
        let newest = |last, recovered, top| newest(last, &Backlog { recovered, top, messages: Vec::new() });
        assert_eq!(newest(at(7, 3), true, at(7, 5)), at(7, 5));
        assert_eq!(newest(at(7, 3), true, at(7, 3)), at(7, 3));
        // More than can be shown, another life of the stream, and nothing at all: who is not there comes back.
        assert_eq!(newest(at(7, 3), false, at(7, 900)), at(7, 900));
        assert_eq!(newest(at(7, 3), false, at(8, 2)), at(8, 2));
        assert_eq!(newest(at(7, 3), false, at(0, 0)), at(0, 0));
        // The end of it is lost.
        assert_eq!(newest(at(7, 3), false, at(7, 2)), at(0, 0));
    }
}
