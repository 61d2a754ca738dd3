//! The intake: events over HTTP into the entry queues.
//!
//! An event is answered with 202 once it stands in its entry list, and not before. What the distributor would refuse is
//! refused here, with the field and the reason, while the producer still listens.
//!
//! | route | what |
//! |---|---|
//! | `POST /v1/events` | one event or a batch |
//! | `DELETE /v1/events/{id}` | takes an event back |
//! | `GET /v1/events/{id}` | its trace |
//! | `GET /v1/ledger` | the balance of every lane |
//! | `POST /api/push` | the body of gorush |
//! | `/v1/users/{id}/...` | devices, preferences and topics: [`registry`] |
//! | `POST /v1/receipts` | what devices say of messages: [`receipts`] |
//! | `GET /healthz`, `/readyz` | lives; the queue answers |
//!
//! ```text
//! body ─► split ─► decode ─► check ─► id ─► shard ─► gather ─► append ─► 202
//!                              │                        │
//!                              400                      429, 503
//! ```

#![warn(missing_docs)]

pub mod agent;
mod body;
pub mod books;
mod brake;
mod check;
mod error;
mod gather;
mod gorush;
mod guard;
mod handlers;
mod idempotency;
mod ids;
mod intake;
mod keys;
mod lane;
mod meter;
mod msgpack;
pub mod receipts;
mod refusal;
pub mod registry;
mod router;
mod serve;
mod settings;

pub use error::{Error, Result};
pub use intake::{Accepted, Intake, Parts};
pub use keys::{Caller, Capability};
pub use lane::Lane;
pub use refusal::{Fault, Refusal};
pub use router::{router, routes};
pub use serve::serve;
pub use settings::{Key, Settings};
