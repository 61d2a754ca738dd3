//! Servers that answer as the providers do, with faults on demand. They are written from the providers' documentation and
//! share no code with the channels, so that an error on one side is not repeated on the other.
//!
//! [`xinge`] is a server of its own. The others stand on [`stand`]: what was accepted, states of tokens, faults by script,
//! and the routes under `/_sim` are the same for all of them. `dice` is their chance, `conn` a connection that can be cut.

pub mod apns;
mod conn;
mod dice;
mod encounter;
pub mod fcm;
pub mod hms;
mod jwt;
pub mod stand;
pub mod vendor;
pub mod web_push;
pub mod webhook;
pub mod xinge;

pub use xinge::{App, Faults, Flavour, SimulatorConfig, serve};
