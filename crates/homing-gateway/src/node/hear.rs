//! What is announced on the bus goes to those shards that have sessions for it.

use std::sync::Arc;

use homing_core::{
    live::{Announcement, Heard, Stream},
    wire_live::Message,
};
use tracing::warn;

use super::{Node, meter};
use crate::{
    hub::Order,
    parcel::{Parcel, Source},
    plain,
    session::{Close, code},
    topic::Topic,
};

impl Node {
    /// Hears the bus.
    pub(super) async fn hear(&self) {
        loop {
            match self.stores.bus.hear().await {
                Heard::Said(said) => self.heard(said).await,
                Heard::Gap => {
                    metrics::counter!(meter::HEARD, "kind" => "gap").increment(1);
                    self.roll.call();
                    self.mend_all("bus").await;
                }
            }
        }
    }

    async fn heard(&self, said: Announcement) {
        match said {
            Announcement::Message { stream, at, body } => {
                metrics::counter!(meter::HEARD, "kind" => "message").increment(1);
                let mut shards = self.follows.shards(&stream).peekable();
                if shards.peek().is_none() {
                    return;
                }
                let message = match Message::decode(&body) {
                    Ok(message) => message,
                    Err(error) => return warn!(%stream, %error, "An announced message cannot be read."),
                };
                let parcel = Arc::new(Parcel::new(Source::Message { stream: stream.clone(), at, message }));
                self.deliver(shards, &stream, &parcel).await;
            }
            Announcement::Read { user, ids } => {
                metrics::counter!(meter::HEARD, "kind" => "read").increment(1);
                let stream = Stream::User(user);
                let parcel = Arc::new(Parcel::new(plain::read_notice(&ids)));
                self.deliver(self.follows.shards(&stream), &stream, &parcel).await;
            }
            Announcement::Leave { user, why } => {
                let stream = Stream::User(user);
                for shard in self.follows.shards(&stream) {
                    let close = Close::new(code::DISMISSED, why.clone());
                    self.order(shard, Order::End(Topic::Stream(stream.clone()), close)).await;
                }
            }
        }
    }

    async fn deliver(&self, shards: impl Iterator<Item = u16>, stream: &Stream, parcel: &Arc<Parcel>) {
        let to: Arc<[Topic]> = [Topic::Stream(stream.clone())].into();
        for shard in shards {
            let order =
                Order::Deliver { to: Arc::clone(&to), except: [].into(), parcel: Arc::clone(parcel), callback: None };
            self.order(shard, order).await;
        }
    }
}
