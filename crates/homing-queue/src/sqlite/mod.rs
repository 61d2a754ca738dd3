//! The SQLite backend: the queues of one machine in one file, for the embedded mode and for demonstrations.
//!
//! - [`queue`] opens shards, appends, and shows what stands where; [`shard`] is an owned shard.
//! - `schema.rs` has the tables, `list.rs` how a list lies in them.
//! - `writer.rs` is the thread that writes (group commit), `reader.rs` the one that reads.
//! - `lease.rs`, `commit.rs`, `marks.rs`, `board.rs`, `trace.rs`, `inspect.rs`, `resync.rs`: one step each.
//!
//! The file is in WAL mode with `synchronous=FULL`: an answer follows the sync of the disk. Requests that wait while
//! a transaction is written share the next one, so many producers cost about as much as one. Peeks read in a thread of
//! their own and see what is committed, never waiting for the disk.
//!
//! Any number of processes may open the file; leases hold between them. Within a process the owner of a shard is woken
//! by the commit that appends; what another process appends is noticed within [`LOOK`].

mod board;
mod commit;
mod error;
mod inspect;
mod lease;
mod list;
mod marks;
pub mod queue;
mod reader;
mod resync;
mod schema;
pub mod shard;
mod trace;
mod wake;
mod writer;

pub use error::OpenError;
pub use queue::{Options, SqliteQueue};
pub use writer::LOOK;
