//! The node: what stands between the shards, which only know sockets, and the stores and other nodes.
//!
//! | file | what it does |
//! |---|---|
//! | `desk.rs` | takes the questions of sessions, and answers them |
//! | `follow.rs` | knows which streams have sessions here, and hears their shards of the bus |
//! | `attend.rs` | what a session that has just come has missed |
//! | `shelf.rs` | stored messages as parcels, one for all who missed the same |
//! | `hear.rs` | what other nodes and the stores announce goes to the shards |
//! | `mend.rs` | what was lost on the way is looked up: at once when a gap shows, and every so often |
//! | `presence.rs` | tells the others who is here |
//! | `promote.rs` | publishes scheduled messages when they are due |
//! | `emits.rs` | what emitters publish |
//! | `service.rs` | what JSON-RPC and REST ask |
//!
//! A message to a user goes: [`Inbox::post`] stores it and announces it in one step; every node that has sessions of the
//! user hears it and orders its shards to write it. Nothing is written to a socket that was not stored before, emits apart,
//! which their emitters publish to nobody in particular.

mod attend;
mod desk;
mod emits;
mod follow;
mod hear;
mod mend;
pub mod meter;
mod presence;
mod promote;
mod service;
mod settings;
mod shards;
mod shelf;

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use homing_core::{clock::Clock, live::Ports};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::settings::Settings;
use self::{desk::Question, follow::Follows, presence::Roll, shelf::Shelf};
use crate::{hub::Order, identity::Authenticate, rpc, session::SessionKey};

/// The shards, as the node orders them about.
pub trait Shards: Send + Sync {
    /// How many there are.
    fn count(&self) -> u16;

    /// Gives an order to one; waits while the shard has too many.
    fn order(&self, shard: u16, order: Order) -> BoxFuture<'_, ()>;
}

/// What a part of the node says of its health.
pub trait Status: Send + Sync {
    /// The part works.
    fn up(&self, part: &str);
    /// It does not, and why.
    fn down(&self, part: &str, why: &str);
}

/// See the module.
pub struct Node {
    name: Arc<str>,
    stores: Ports,
    auth: Arc<dyn Authenticate>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    status: Arc<dyn Status>,
    shards: OnceLock<Arc<dyn Shards>>,
    runtime: tokio::runtime::Handle,
    questions: mpsc::Sender<Question>,
    asked: std::sync::Mutex<Option<mpsc::Receiver<Question>>>,
    follows: Follows,
    roll: Roll,
    shelf: Shelf,
    rpc: OnceLock<Arc<rpc::Rpc>>,
    writers: OnceLock<Vec<Arc<crate::emit::Writer>>>,
    sources: Vec<emits::Source>,
}

/// What a node is made of.
pub struct Parts {
    /// Its name, unlike that of any other node that lives: it stands in presence and in the names of queues.
    pub name: Arc<str>,
    /// Stores and bus.
    pub stores: Ports,
    /// Who checks tokens that need the network.
    pub auth: Arc<dyn Authenticate>,
    /// Its settings.
    pub settings: Settings,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Where its health is told.
    pub status: Arc<dyn Status>,
    /// The configured emitters, for what is to be done with what they publish.
    pub emitters: crate::emit::Settings,
}

impl Node {
    /// A node; to be called inside of the runtime on which it works.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { name, stores, auth, settings, clock, status, emitters } = parts;
        let (questions, asked) = mpsc::channel(settings.questions.max(1));
        Arc::new(Self {
            follows: Follows::new(Arc::clone(&stores.bus)),
            roll: Roll::default(),
            shelf: Shelf::default(),
            sources: emitters.0.iter().enumerate().map(|(i, emitter)| emits::Source::new(i, emitter)).collect(),
            name,
            stores,
            auth,
            settings,
            clock,
            status,
            shards: OnceLock::new(),
            runtime: tokio::runtime::Handle::current(),
            questions,
            asked: std::sync::Mutex::new(Some(asked)),
            rpc: OnceLock::new(),
            writers: OnceLock::new(),
        })
    }

    /// The shards that it serves; said once, before [`run`](Self::run).
    pub fn command(&self, shards: Arc<dyn Shards>) {
        // Said twice, the first holds.
        self.shards.set(shards).ok();
    }

    /// JSON-RPC over sockets; without it such requests are refused.
    pub fn speak(&self, rpc: Arc<rpc::Rpc>) {
        self.rpc.set(rpc).ok();
    }

    /// The ways back to emitters, by the index of their source.
    pub fn answer_by(&self, writers: Vec<Arc<crate::emit::Writer>>) {
        self.writers.set(writers).ok();
    }

    /// Works until `stop`, then says that its users are gone.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let node = &self;
        let work = async {
            tokio::join!(node.answer(), node.hear(), node.check(), node.tell(), node.beat(), node.promote());
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        self.farewell().await;
    }

    async fn order(&self, shard: u16, order: Order) {
        if let Some(shards) = self.shards.get() {
            shards.order(shard, order).await;
        }
    }

    /// The same order to every shard.
    async fn order_all(&self, make: impl Fn() -> Order) {
        for shard in 0..self.shard_count() {
            self.order(shard, make()).await;
        }
    }

    fn shard_count(&self) -> u16 {
        self.shards.get().map_or(0, |shards| shards.count())
    }

    async fn reply(&self, key: SessionKey, reply: crate::desk::Reply) {
        self.order(key.shard, Order::Reply(key, reply)).await;
    }
}
