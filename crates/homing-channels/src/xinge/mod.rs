//! Xinge (信鸽), Tencent's push service.
//!
//! One flavour is one file that implements [`Channel`](homing_core::channel::Channel); the rest is shared or plain data:
//!
//! | file | holds |
//! |---|---|
//! | `account` | configuration of one (app, platform) and its checks |
//! | `v2` | the channel: `POST /v2/push/single_device` |
//! | `sign`, `form` | the signature, and the body whose very strings it signs |
//! | `message`, `window` | the message's JSON, as our builder and foreign SDKs write it |
//! | `build`, `refuse` | a message from a notification; what is refused before a request leaves |
//! | `codes` | result codes to classes, from `codes.toml` |
//! | `transport`, `reply` | one HTTP exchange, one JSON reply, each classified |
//! | `skew` | the offset of the service's clock |
//! | `options` | what all accounts of the channel share |

mod account;
mod build;
mod codes;
mod form;
mod message;
mod options;
mod refuse;
mod reply;
mod sign;
mod skew;
mod transport;
mod v2;
mod window;

pub use account::{Account, Environment, Flavour, IOS_MIN_ID};
pub use build::build;
pub use codes::{Class, Codes};
pub use form::encode;
pub use message::{Action, Alert, Android, Aps, AtyAttr, Browser, Field, Ios, Message, Transparent};
pub use options::Options;
pub use refuse::{MESSAGE_MAX, Refusal};
pub use sign::{Signer, sign};
pub use v2::XingeV2;
pub use window::{HourMin, Window};
