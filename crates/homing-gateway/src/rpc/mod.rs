//! What other services call: JSON-RPC 2.0 by HTTP and over sockets, and REST beside it, all on one [`Service`].
//!
//! A call goes through four steps, whatever it came by: who calls ([`Keys`], or the user of a socket), which method (its own
//! name, or an alias of the configuration), its parameters (by name or by place), and what the service says. The methods
//! and their parameters stand in [`method::Method`].

mod alias;
mod answer;
mod body;
mod call;
mod caller;
mod fault;
mod http;
pub(crate) mod json;
mod keys;
pub mod meter;
mod method;
mod params;
mod request;
mod rest;
mod service;
mod settings;

pub use answer::Rpc;
pub use caller::Caller;
pub use fault::{Fault, code};
pub use http::router;
pub use keys::{Capability, Key, Keys};
pub use method::Method;
pub use service::{Failure, Push, Pushed, Read, Scheduled, Service, To, When};
pub use settings::{KeySettings, Settings};

pub use self::alias::Alias;
