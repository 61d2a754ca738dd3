//! A server that answers as Tencent's service did, with faults on demand. Written from the documentation and not from our
//! client: it shares no code with [`xinge`](crate::xinge), so an error on one side is not repeated on the other.
//!
//! | path | answers |
//! |---|---|
//! | `/v2/push/single_device` | `{"ret_code","err_msg","result"}`, status 200 |
//! | `GET /_sim/deliveries?after=SEQ&limit=N` | what was accepted, oldest first |
//! | `GET /_sim/phones/{token}?limit=N` | what one device was sent, newest first |
//! | `GET /_sim/stats` | counts: answers by code, distinct ids, repeats |
//! | `GET`, `POST /_sim/faults` | the faults; a POST replaces the whole set |
//! | `POST /_sim/reset` | forgets everything and takes back the configured faults |
//! | `GET /healthz` | `ok` |
//!
//! `config` is what it is told, `form` and `check` are the service's side of the protocol, `state` is its memory, `dice`
//! its chance, `conn` a connection that can be cut, `http` and `control` the routes.

mod check;
mod config;
mod conn;
mod control;
mod dice;
mod form;
mod http;
mod state;

pub use config::{App, Faults, SimulatorConfig};
pub use http::serve;
