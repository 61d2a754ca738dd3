//! The fan-out core: shards, threads that own sockets and sessions, and what may be ordered of them from outside.
//!
//! ```text
//!  accept -> request -> Doorman -> Session ------ asks ------> Desk (the node)
//!     |         |                     ^                          |
//!     |         `-> Http              | its messages             | Order, by a bounded mailbox
//!     v                               |                          v
//!  a socket = a small task that waits, and calls the shard's state; one state per thread, nothing is locked
//! ```

mod deliver;
mod handle;
mod inbound;
mod lines;
mod link;
pub mod meter;
mod order;
mod queue;
mod settings;
mod shard;
mod slots;
mod socket;
mod state;
mod topics;
mod wheel;

pub use handle::{Counts, Full, Hub, Ports};
pub use order::Order;
pub use settings::{Settings, Tls};

pub use crate::net::http::{Http, HttpIo};
