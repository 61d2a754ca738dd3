//! Why an intake cannot be made.

use std::net::SocketAddr;

/// Settings that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nowhere to put an event.
    #[error("there is no lane to take events for")]
    NoLane,
    /// A lane without lists.
    #[error("lane {0} has no entry list")]
    NoEntry(String),
    /// An API key that cannot be used.
    #[error("keys: `{name}` {what}")]
    Key {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Other machines can reach it and it asks for nothing.
    #[error("listen = \"{0}\" can be reached from other machines: it needs keys, and open_on_loopback must be off")]
    Public(SocketAddr),
    /// A share is no share.
    #[error("brake = {0} must lie between 0.1 and 1.0")]
    Brake(f64),
    /// It would serve nobody.
    #[error("connections must be at least 1")]
    NoConnection,
    /// The registry's changes could not be told.
    #[error("registry: its changes cannot be told: {what}")]
    Registry {
        /// What is wrong.
        what: String,
    },
    /// `/api/push` would refuse everything.
    #[error("gorush_type: {0}")]
    GorushType(homing_core::event::Invalid),
    /// A setting of the agent.
    #[error("agent.{field}: {what}")]
    Agent {
        /// Its key.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
