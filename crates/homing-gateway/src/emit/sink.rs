//! Where readers take what they have read.

use futures_util::future::BoxFuture;
use homing_core::live::LiveDown;

use super::{command::Command, plain::Publication};

/// What the node does with what emitters want. `source` is the emitter's place in the configuration; `raw` is what came
/// over the wire, the same bytes on every node that heard it.
///
/// A source's commands come one after another, in its order: the next one waits for the future of the last. Futures may be
/// dropped half-way when the reader ends.
pub trait Sink: Send + Sync {
    /// A command that every node hears: for the sessions of this node.
    fn command<'a>(&'a self, source: usize, command: Command, raw: &'a [u8]) -> BoxFuture<'a, ()>;

    /// A publication that every node hears.
    fn publication<'a>(&'a self, source: usize, publication: Publication, raw: &'a [u8]) -> BoxFuture<'a, ()>;

    /// A command that this node alone got, from the queue that all nodes share: it is to be stored, and is gone from the
    /// queue when this says so. An error that the store [refused](LiveDown::refused) buries it; after any other it is tried
    /// again with the same `id`, so that what was stored without an answer is stored once. After a crash the same command
    /// may come again with another.
    fn store<'a>(&'a self, source: usize, command: Command, id: &'a str) -> BoxFuture<'a, Result<(), LiveDown>>;

    /// Bytes that cannot be read, and why. Returns at once.
    fn bad(&self, source: usize, why: &str, raw: &[u8]);
}

/// Hears how sources are.
pub trait Health: Send + Sync {
    /// A source came or went; called at every change, first when it is known.
    fn status(&self, source: usize, name: &str, state: &State);
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is listened to.
    Up,
    /// It is not, and why. The reader tries again.
    Down(String),
}
