//! HMS, Huawei's Push Kit: v1 for Android phones with Huawei's services, v3 for HarmonyOS 5 and later.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | `[channel.hms]` and its accounts |
//! | `account` | one account, of either flavour: its credential and one call |
//! | `access` | v1's access token, lent for an hour; v3's JWT, signed by us |
//! | `service_account` | v3's key file |
//! | `v1`, `v3` | the body of a call from a notification |
//! | `answer` | what an answer means for each target, by `codes.toml` |
//! | `channel` | the port |
//! | `examine` | tries the credentials without sending |

mod access;
mod account;
mod answer;
mod channel;
mod examine;
mod service_account;
mod settings;
mod v1;
mod v3;

pub use channel::{Hms, MESSAGE_MAX, PAGE};
