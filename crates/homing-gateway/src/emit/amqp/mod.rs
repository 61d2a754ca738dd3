//! The reader of RabbitMQ.
//!
//! Emitters publish to a fanout exchange. It must be declared exactly as kombu does (fanout, not durable, not deleted by
//! itself, no arguments), or RabbitMQ closes the channel with 406. Queues:
//!
//! | name | who reads | lives |
//! |---|---|---|
//! | `homing.gateway.<node>` | one node, always the same | while the node is away, until `x-expires` |
//! | `homing.gateway.inbox` | all nodes in turn, where `durable` is set | over restarts of the broker |
//!
//! An exchange that is not called `socketio` is added to their names.
//!
//! The reference's readers take a queue of a new name at each connect; what is published between two is lost to them. Both
//! of ours are bounded (`x-max-length`; the oldest messages go). A message is acknowledged when it was handed on, or
//! stored.

mod link;
mod listen;

pub(super) use link::{Link, exchange, short};
pub use listen::Part;
pub(super) use listen::listen;
