//! Emitters: processes that publish events for Socket.IO clients through Redis or RabbitMQ, unmodified, in every version.
//!
//! - [`python`] (with [`pickle`] and [`kombu`]), [`node`] and [`plain`] read what they publish, into a [`Command`] or a
//!   [`Publication`]: pure functions, bounded whatever the bytes are.
//! - [`reader`] listens to one source ([`redis`](mod@redis), [`amqp`]), reconnects, and hands all to a [`Sink`].
//! - [`Writer`] takes acknowledgements back to the emitters that wait for them.

pub mod amqp;
mod bad;
mod command;
mod intake;
pub mod json_text;
pub mod kombu;
mod meter;
pub mod node;
pub mod pickle;
pub mod plain;
pub mod python;
mod quiet;
mod raw;
pub mod reader;
pub mod redis;
mod rooms;
mod settings;
mod sink;
mod value;
mod writer;

pub use bad::Bad;
pub use command::{Command, Ignored, Route};
pub use plain::Publication;
pub use settings::{Emitter, Kind, Settings};
pub use sink::{Health, Sink, State};
pub use value::Value;
pub use writer::{Undelivered, Writer};
