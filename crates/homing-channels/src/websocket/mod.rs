//! Sockets of the gateway: a message is stored in the stream of a user, a group or everyone, and the nodes that have
//! sockets there tell them.
//!
//! What is stored has the message's own id, so that a repeat after a crash or a lost answer is stored once. *Delivered* means
//! stored: whether a socket was there, and what its user read, the stream knows.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.websocket]`; where the streams are stands in `[live]` |
//! | `body` | what clients get, and which stream a token means |
//! | `channel` | one call of the store for a page of targets, and what its answer means |

mod body;
mod channel;
mod settings;

pub(crate) use channel::open;
pub use channel::{PAGE, Websocket};
