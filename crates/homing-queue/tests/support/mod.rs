//! What the contract suite needs of a backend, and small helpers to read shards with.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use homing_core::{
    queue::{Append, Budget, Commit, Destination, Log, NewItem, Queue, QueueName, Seq, Shard},
    window::Window,
};

/// A backend under test. `queue` gives a handle as one process would open it, with the given lease.
pub trait Backend: Send + Sync {
    fn queue(&self, lease: Duration) -> Arc<dyn Queue>;
    /// Appends as a producer does that knows nothing of Homing.
    fn foreign_push<'a>(&'a self, list: &'a QueueName, items: &'a [Bytes]) -> BoxFuture<'a, ()>;
    /// Takes the first item away as a foreign consumer would.
    fn foreign_pop<'a>(&'a self, list: &'a QueueName) -> BoxFuture<'a, ()>;
    /// Puts an item in front of all others, as no producer should.
    fn foreign_unshift<'a>(&'a self, list: &'a QueueName, item: &'a Bytes) -> BoxFuture<'a, ()>;
    /// Deletes everything that stands in a list of a shard.
    fn foreign_delete<'a>(&'a self, shard: &'a QueueName, log: &'a Log) -> BoxFuture<'a, ()>;
    /// What stands in a main list.
    fn contents<'a>(&'a self, list: &'a QueueName) -> BoxFuture<'a, Vec<Bytes>>;
}

pub const LONG: Duration = Duration::from_secs(30);
pub const ALL: Budget = Budget { items: 10_000, bytes: 64 << 20 };

/// A queue name that no other test has.
pub fn fresh(what: &str) -> QueueName {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    QueueName::new(format!("test_{what}_{random:016x}"))
}

pub fn items(from: usize, n: usize) -> Vec<Bytes> {
    (from..from + n).map(|i| Bytes::from(format!("item {i}"))).collect()
}

/// Items as they are offered, without ids.
pub fn plain(bodies: &[Bytes]) -> Vec<NewItem> {
    bodies.iter().map(|body| NewItem { id: None, body: body.clone() }).collect()
}

/// An owned shard with its main window.
pub struct Held {
    pub shard: Box<dyn Shard>,
    pub window: Window,
}

impl Held {
    pub async fn take(queue: &dyn Queue, name: &QueueName) -> Self {
        let shard = queue.acquire(name).await.unwrap();
        let main = shard.opened().logs.iter().find(|l| l.log == Log::MAIN).unwrap();
        let window = Window::open(main);
        Self { shard, window }
    }

    /// Peeks everything that is there; answers the positions to work.
    pub async fn peek(&mut self) -> Vec<Seq> {
        let items = self.shard.peek(&Log::MAIN, self.window.next(), ALL).await.unwrap();
        self.window.accept(items)
    }

    /// A commit that finishes these positions and hands their bodies to `to`.
    pub fn hand_over(&mut self, seqs: &[Seq], to: &QueueName) -> Commit {
        let items = seqs.iter().map(|s| self.window.body(*s).unwrap().clone()).collect();
        for seq in seqs {
            self.window.finish(*seq);
        }
        let mut commit = Commit { advance: self.window.advance().into_iter().collect(), ..Commit::default() };
        commit.append.push(Append {
            to: Destination::Queue(to.clone()),
            items,
            high_water: 0,
            counts: [("send.in".to_owned(), seqs.len() as i64)].into_iter().collect(),
        });
        commit.counts.add("entry.expanded", seqs.len() as i64);
        commit
    }

    pub async fn commit(&mut self, commit: &Commit) {
        self.shard.commit(commit).await.unwrap();
        for advance in &commit.advance {
            self.window.applied(advance);
        }
    }
}
