//! The hub as the node orders it about.

use futures_util::future::BoxFuture;

use super::Shards;
use crate::hub::{Hub, Order};

impl Shards for Hub {
    fn count(&self) -> u16 {
        self.shards()
    }

    fn order(&self, shard: u16, order: Order) -> BoxFuture<'_, ()> {
        Box::pin(Hub::order(self, Some(shard), order))
    }
}
