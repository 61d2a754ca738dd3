//! A server that answers as Tencent's services did, with faults on demand. Written from the documentation and not from our
//! client: it shares no code with [`crate::xinge`], so an error on one side is not repeated on the other.
//!
//! | path | answers |
//! |---|---|
//! | `/v2/push/single_device`, `create_multipush`, `device_list_multiple` | `{"ret_code","err_msg","result"}`, status 200 |
//! | `/v3/push/app`, `/v3/device/tag` | v3 or TPNS, by the app: `{"seq","push_id","ret_code","environment","err_msg","result"}` |
//! | `GET /_sim/deliveries?after=SEQ&limit=N` | what was accepted, oldest first |
//! | `GET /_sim/phones/{token}?limit=N` | what one device was sent, newest first |
//! | `GET /_sim/stats` | counts: calls by path, answers by code, the largest page, distinct ids, repeats |
//! | `GET`, `POST /_sim/faults` | the faults; a POST replaces the whole set |
//! | `GET`, `POST /_sim/accounts` | the apps, without secrets; a POST adds one |
//! | `POST /_sim/reset` | forgets everything but the apps and takes back the configured faults |
//! | `GET /healthz` | `ok` |
//!
//! `config` is what it is told, `apps` who may call. The service's side of the protocol: `form` and `v2`; `proof`,
//! `fields` and `app` for v3 and TPNS; `order` is what both come to. `state` is its memory with `tasks` and `shelf`,
//! `http`, `control` and `view` the routes.

mod app;
mod apps;
mod config;
mod control;
mod fields;
mod form;
mod http;
mod order;
mod proof;
mod shelf;
mod state;
mod tasks;
mod v2;
mod view;

pub use config::{App, Faults, Flavour, SimulatorConfig};
pub use http::serve;
