//! Xinge (信鸽), Tencent's push service.
//!
//! | file | holds |
//! |---|---|
//! | `account` | configuration of one (app, platform, environment) and its checks |
//! | `channel` | the channel: finds the account and hands over to its flavour |
//! | `v2` | `single_device`, and `create_multipush` with `device_list_multiple` |
//! | `app` | v3 and TPNS: `POST /v3/push/app` |
//! | `sign`, `form` | the signature of v2, and the body whose very strings it signs |
//! | `auth` | Basic, and the HMAC of TPNS |
//! | `message`, `window`, `push` | the JSON of each flavour, as our builder and foreign SDKs write it |
//! | `build`, `refuse` | a message from a notification; what is refused before a request leaves |
//! | `codes` | result codes to classes, from `codes.toml` |
//! | `transport`, `reply` | one HTTP exchange, one JSON reply, each classified |
//! | `skew` | the offset of the service's clock |
//! | `options` | what all accounts of the channel share |

mod account;
mod app;
mod auth;
mod build;
mod channel;
mod codes;
mod examine;
mod form;
mod message;
mod options;
mod push;
mod refuse;
mod reply;
mod sign;
mod skew;
mod transport;
mod v2;
mod window;

pub use account::{Account, Auth, Flavour, IOS_MIN_ID};
pub use auth::{basic, hmac_sign};
pub use build::{build, build_app, n_id};
pub use channel::{PAGE_MAX, Xinge};
pub use codes::{Class, Codes};
pub use form::encode;
pub use message::{Action, Alert, Android, Aps, AtyAttr, Browser, Custom, Field, Ios, Message, Transparent};
pub use options::Options;
pub use push::{AppIos, AppMessage, AppPush};
pub use refuse::{MESSAGE_MAX, Refusal};
pub use sign::{Signer, sign};
pub use window::{HourMin, Window};
