//! A server that answers as APNs does: HTTP/2 over TLS, on one port for one environment. Written from Apple's
//! documentation and not from our client: it shares no code with [`crate::apns`].
//!
//! | path | answers |
//! |---|---|
//! | `POST /3/device/{token}` | 200 with `apns-id`, or a status with `{"reason", "timestamp"}` |
//! | `/_sim/...` | see [`stand`](super::stand), on this port by HTTP/2, and on [`Config::plain`] by plain HTTP |
//!
//! States of tokens: dead ones are answered 410 `Unregistered` with a timestamp, foreign ones 400 `BadDeviceToken`,
//! throttled ones 429 `TooManyRequests`; a code of the script is a reason of Apple's (`Shutdown`), or a status
//! (`410 ExpiredToken`).
//!
//! `own` in the script:
//!
//! | name | what happens |
//! |---|---|
//! | `goaway_every` | a connection is closed gracefully (GOAWAY) after so many requests |
//! | `max_streams` | new connections announce so many streams in their SETTINGS |
//! | `kill_every` | every so many requests, over all connections, one is accepted and its connection cut without an answer |
//!
//! Counts beside the usual ones: `connections`, `most_connections` at once, `most_streams` of a connection, `goaways`,
//! `kills`, `tokens_seen`, and `early_streams`: requests that came on a new connection before one was authenticated, while
//! another was under way. Those are refused (REFUSED_STREAM).
//!
//! `config` is what it is told, `tls` its certificate, `proof` who may call, `request` what a call must look like, `reasons`
//! Apple's words, `server` the connections.

mod config;
mod proof;
mod reasons;
mod request;
mod server;
mod tls;

pub use config::{Account, Config, Who};
pub use server::serve;
pub use tls::Authority;
