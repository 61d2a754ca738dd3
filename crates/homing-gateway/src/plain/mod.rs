//! The plain WebSocket: frames of JSON text.
//!
//! ```text
//! → {"msg_type":"notify","data":{...},"id":"a1","offset":7,"epoch":2779096485,"stream":"u:42"}
//! ← {"msg_type":"ack","id":"a1"}
//! → {"msg_type":"acked","ids":["a1"]}
//! ```
//!
//! A client is known by what came with its request, or by its first frame. Then it *attends*: it follows its user's
//! stream, everyone's and its groups', is told where they stand (`connected`), is shown what it missed, and from then on
//! what comes. `docs/gateway-clients.md` says all of it to those who write clients.

mod attend;
mod client;
mod door;
mod frames;
mod login;
mod marks;
pub mod meter;
mod session;
mod settings;

pub use door::Door;
pub use frames::{Frames, read_notice};
pub use settings::{Login, RefuseWith, Settings, Subscribe};
