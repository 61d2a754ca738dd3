//! Engine.IO, protocols 3 and 4: what carries Socket.IO. JSONP polling, of browsers before 2012, is not spoken.
//!
//! ```text
//! HTTP --serve--> open a session, or Order::Poll to its shard \
//!                                                             Engine (a Session) -> Socketio
//! WebSocket --doorman--> a new session, or an offer to one    /
//! ```

mod door;
pub mod fixture;
pub mod http;
pub mod meter;
pub mod packet;
mod session;
pub mod sid;
mod site;
mod wire;

#[cfg(test)]
pub(crate) mod fake;

pub use door::doorman;
pub use session::Engine;
pub use site::Site;
pub(crate) use wire::Out;
