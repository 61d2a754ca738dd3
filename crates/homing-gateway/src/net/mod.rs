//! Sockets and what is spoken on them: TLS, the WebSocket handshake, frames (RFC 6455), compression (RFC 7692).

pub(crate) mod deflate;
pub mod frame;
pub mod handshake;
pub mod http;
pub(crate) mod io;
pub(crate) mod parser;
pub(crate) mod tls;
